//! The options of a job: what can be said of it beside its key, queue, payload and due.
//!
//! # Rules
//! - An option is named here and by the rule that uses it, and nowhere else. Drafts, records, images, views and what a handler
//!   gets carry [`JobOptions`] whole; the codec and JSON go through the list below by name.
//! - A *common* option is a byte or so in every job. A *rare* one lies out of line: a job without any has none of their bytes.
//! - What a job has unless told otherwise is not written down. So an option costs bytes only where it is used.
//! - A name, once released, means the same for ever, and so do its bytes ([`JobOption`]).
//!
//! # To add one
//! Write its type in a file of its own, with [`JobOption`] for it, and add a line to the list, and to `all_set` in the tests. If
//! it should have a method of its own on [`Schedule`](crate::Schedule), that adds it to those that are set.

mod debounce;
mod delivery;
mod headers;
mod limits;
mod paused;
mod priority;
mod recurrence;
mod retry;
mod tags;
#[cfg(test)]
mod trial;

use crate::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::recurrence::{Progress, Recurrence};
pub use debounce::Debounce;
pub use delivery::Delivery;
pub use headers::{HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX, Headers, InvalidHeader};
pub use limits::{Expires, Timeout};
pub use paused::Paused;
pub use priority::Priority;
pub use retry::{Backoff, Jitter, Retry};
pub use tags::{InvalidTag, TAG_BYTES_MAX, TAGS_MAX, Tags};
#[cfg(test)]
pub use trial::Trial;

/// One option: its name, and its value as bytes and, by serde, as JSON.
trait JobOption: Serialize + DeserializeOwned {
    /// In a store, in JSON and in messages.
    const NAME: &'static str;

    /// Whether it is a list in JSON. Serde would take a list of its fields, in order, for any object.
    const IS_LIST: bool = false;

    /// What it must be in JSON.
    const MUST_BE: &'static str;

    /// Gives the value, as a store keeps it, to `out`, in as many pieces as it likes.
    fn write(&self, out: &mut dyn FnMut(&[u8]));

    /// The value that was written as `bytes`; `None` if none is.
    #[cfg_attr(not(feature = "codec"), allow(dead_code))]
    fn read(bytes: &[u8]) -> Option<Self>;

    /// What is wrong with JSON of the right shape, if more can be said than what it must be.
    fn why_not(_json: &str) -> Option<String> {
        None
    }
}

/// From the list of all options: where they lie, what gets and sets them, and how each is known by its name.
macro_rules! options {
    (
        common { $($(#[doc = $doc:literal])* $common:ident: $Common:ident, $with_common:ident;)* }
        rare { $($(#[cfg($cfg:meta)])? $(#[doc = $rare_doc:literal])* $rare:ident: $Rare:ident, $with_rare:ident;)* }
    ) => {
        /// Those that lie in every job.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub(crate) struct Common {
            $($common: $Common,)*
        }

        /// Those that few jobs have. Each lies apart: a job with one of them does not pay for the others.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub(crate) struct Rare {
            $($(#[cfg($cfg)])? $rare: Option<Box<$Rare>>,)*
        }

        impl JobOptions {
            $($(#[doc = $doc])*
            #[inline]
            pub fn $common(&self) -> $Common {
                self.common.$common
            }

            /// These, and that.
            #[must_use]
            pub fn $with_common(mut self, $common: $Common) -> Self {
                self.common.$common = $common;
                self
            })*

            $($(#[cfg($cfg)])? $(#[doc = $rare_doc])*
            pub fn $rare(&self) -> Option<&$Rare> {
                self.rare.as_deref()?.$rare.as_deref()
            }

            $(#[cfg($cfg)])?
            /// These, and that.
            #[must_use]
            pub fn $with_rare(mut self, $rare: $Rare) -> Self {
                self.rare.get_or_insert_default().$rare = Some(Box::new($rare));
                self
            })*
        }

        /// An option by its name.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(non_camel_case_types, reason = "as they are named above")]
        pub(crate) enum OptionKind {
            $($common,)*
            $($(#[cfg($cfg)])? $rare,)*
        }

        impl OptionKind {
            /// In the order in which they are written.
            const ALL: &[OptionKind] = &[
                $(OptionKind::$common,)*
                $($(#[cfg($cfg)])? OptionKind::$rare,)*
            ];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(OptionKind::$common => $Common::NAME,)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => $Rare::NAME,)*
                }
            }

            fn must_be(self) -> &'static str {
                match self {
                    $(OptionKind::$common => $Common::MUST_BE,)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => $Rare::MUST_BE,)*
                }
            }

            fn is_list(self) -> bool {
                match self {
                    $(OptionKind::$common => $Common::IS_LIST,)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => $Rare::IS_LIST,)*
                }
            }

            fn why_not(self, json: &str) -> Option<String> {
                match self {
                    $(OptionKind::$common => $Common::why_not(json),)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => $Rare::why_not(json),)*
                }
            }
        }

        impl JobOptions {
            /// Whether a job has to be told of it.
            pub(crate) fn has(&self, kind: OptionKind) -> bool {
                match kind {
                    $(OptionKind::$common => self.common.$common != $Common::default(),)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => self.$rare().is_some(),)*
                }
            }

            /// Gives the value of an option, as a store keeps it, to `out`, piece by piece.
            pub(crate) fn write(&self, kind: OptionKind, out: &mut dyn FnMut(&[u8])) {
                match kind {
                    $(OptionKind::$common => self.common.$common.write(out),)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => {
                        if let Some(value) = self.$rare() {
                            value.write(out);
                        }
                    })*
                }
            }

            /// Takes the value of an option as it was written; `None` if these bytes are none.
            #[cfg_attr(not(feature = "codec"), allow(dead_code))]
            pub(crate) fn read(&mut self, kind: OptionKind, bytes: &[u8]) -> Option<()> {
                match kind {
                    $(OptionKind::$common => self.common.$common = $Common::read(bytes)?,)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => {
                        self.rare.get_or_insert_default().$rare = Some(Box::new($Rare::read(bytes)?));
                    })*
                }
                Some(())
            }

            fn read_json(&mut self, kind: OptionKind, json: &str) -> serde_json::Result<()> {
                match kind {
                    $(OptionKind::$common => self.common.$common = serde_json::from_str(json)?,)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => {
                        self.rare.get_or_insert_default().$rare = Some(Box::new(serde_json::from_str(json)?));
                    })*
                }
                Ok(())
            }

            fn serialize_one<M: SerializeMap>(&self, kind: OptionKind, map: &mut M) -> Result<(), M::Error> {
                match kind {
                    $(OptionKind::$common => map.serialize_entry(kind.name(), &self.common.$common),)*
                    $($(#[cfg($cfg)])? OptionKind::$rare => map.serialize_entry(kind.name(), &self.$rare()),)*
                }
            }
        }
    };
}

options! {
    common {
        /// Its place among the jobs of one tick.
        priority: Priority, with_priority;
        /// What a crash in the middle of its handler means.
        delivery: Delivery, with_delivery;
    }
    rare {
        /// How it recurs.
        recurrence: Recurrence, with_recurrence;
        /// How far it has come, if it recurs.
        occurrence: Progress, with_occurrence;
        /// How often, and when, it is tried again if it fails; as its queue has it if there is none.
        retry: Retry, with_retry;
        /// How long an attempt may take; as its queue has it if there is none.
        timeout: Timeout, with_timeout;
        /// When it is too late to begin with it.
        expires: Expires, with_expires;
        /// How far calls under its key may push it back.
        debounce: Debounce, with_debounce;
        /// Its labels, by which it is found.
        tags: Tags, with_tags;
        /// Pairs that travel with it.
        headers: Headers, with_headers;
        /// Since when it is paused, if it is.
        paused: Paused, with_paused;
        #[cfg(test)]
        /// Some text.
        trial: Trial, with_trial;
    }
}

/// What is said of a job beside its key, queue, payload and due. The default is a plain job.
///
/// As JSON it is an object with the options that are not as a plain job has them.
///
/// ```
/// use reveille::Priority;
/// use reveille::job::{Delivery, JobOptions};
///
/// let options = JobOptions::default().with_priority(Priority::FIRST);
/// assert_eq!(options.delivery(), Delivery::AtLeastOnce);
/// assert_eq!(serde_json::to_string(&options).unwrap(), r#"{"priority":0}"#);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobOptions {
    common: Common,
    /// `None` where there is none, so that equal options are equal.
    rare: Option<Box<Rare>>,
}

/// Why a text is not the value of an option.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOption {
    /// There is no such option.
    #[error("there is no option `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It cannot be that.
    #[error("`{name}` must be {must_be}")]
    Value {
        /// The option.
        name: &'static str,
        /// What it can be.
        must_be: &'static str,
    },
    /// It cannot be that, and why.
    #[error("`{name}`: {why}")]
    #[non_exhaustive]
    Refused {
        /// The option.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl JobOptions {
    /// The names of all options.
    pub fn names() -> impl Iterator<Item = &'static str> {
        OptionKind::ALL.iter().map(|kind| kind.name())
    }

    /// Takes the option `name` as JSON has it.
    ///
    /// # Errors
    /// When there is no such option, or this is no value of it. Nothing is changed then.
    pub fn set_json(&mut self, name: &str, json: &str) -> Result<(), InvalidOption> {
        let kind =
            OptionKind::by_name(name).ok_or_else(|| InvalidOption::Unknown { name: name.to_owned() })?;
        let wrong = || InvalidOption::Value { name: kind.name(), must_be: kind.must_be() };
        if json.trim_ascii_start().starts_with('[') && !kind.is_list() {
            return Err(wrong());
        }
        let mut changed = self.clone();
        changed.read_json(kind, json).map_err(|_| match kind.why_not(json) {
            Some(why) => InvalidOption::Refused { name: kind.name(), why },
            None => wrong(),
        })?;
        *self = changed;
        Ok(())
    }

    /// These, and paused since then if another job is.
    pub(crate) fn paused_as(self, since: Option<Timestamp>) -> Self {
        match since {
            Some(since) => self.with_paused(Paused(since)),
            None => self,
        }
    }

    /// Whether it is a plain job that has these.
    #[inline]
    pub(crate) fn are_plain(&self) -> bool {
        self.rare.is_none() && self.common == Common::default()
    }

    /// Those that a plain job has not, in the order in which they are written.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = OptionKind> {
        OptionKind::ALL.iter().copied().filter(|&kind| self.has(kind))
    }

    /// How many bytes the value of an option has, as a store keeps it.
    pub(crate) fn value_bytes(&self, kind: OptionKind) -> usize {
        let mut bytes = 0;
        self.write(kind, &mut |piece| bytes += piece.len());
        bytes
    }

    /// About how many bytes they take in a log, rounded up.
    pub(crate) fn weight(&self) -> usize {
        /// Which it is, and how long.
        const AROUND: usize = 4;
        if self.are_plain() {
            return 0;
        }
        self.kinds().map(|kind| AROUND + self.value_bytes(kind)).sum()
    }

    /// Those that lie in every job.
    #[inline]
    pub(crate) fn common(&self) -> Common {
        self.common
    }

    /// Those that few jobs have, if it has any.
    #[inline]
    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    #[inline]
    pub(crate) fn from_parts(common: Common, rare: Option<Box<Rare>>) -> Self {
        JobOptions { common, rare }
    }
}

impl OptionKind {
    pub(crate) fn by_name(name: &str) -> Option<OptionKind> {
        OptionKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl Rare {
    pub(crate) fn debounce(&self) -> Option<Debounce> {
        self.debounce.as_deref().copied()
    }

    #[inline]
    pub(crate) fn retry(&self) -> Option<Retry> {
        self.retry.as_deref().copied()
    }

    #[inline]
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires.as_deref().map(|Expires(at)| *at)
    }

    #[inline]
    pub(crate) fn recurrence(&self) -> Option<&Recurrence> {
        self.recurrence.as_deref()
    }

    pub(crate) fn occurrence(&self) -> Option<Progress> {
        self.occurrence.as_deref().copied()
    }

    pub(crate) fn tags(&self) -> Option<&Tags> {
        self.tags.as_deref()
    }

    /// These, in place of what it has. Returns that.
    pub(crate) fn set_tags(&mut self, tags: &Tags) -> Option<Box<Tags>> {
        let tags = (tags.iter().len() > 0).then(|| Box::new(tags.clone()));
        std::mem::replace(&mut self.tags, tags)
    }

    pub(crate) fn paused(&self) -> Option<Paused> {
        self.paused.as_deref().copied()
    }

    pub(crate) fn set_paused(&mut self, paused: Option<Paused>) {
        self.paused = paused.map(Box::new);
    }

    pub(crate) fn set_occurrence(&mut self, progress: Progress) {
        match &mut self.occurrence {
            Some(occurrence) => **occurrence = progress,
            None => self.occurrence = Some(Box::new(progress)),
        }
    }

    /// It does not recur any more.
    pub(crate) fn end_recurrence(&mut self) {
        self.recurrence = None;
    }
}

impl Common {
    #[inline]
    pub(crate) fn priority(self) -> Priority {
        self.priority
    }

    #[inline]
    pub(crate) fn set_priority(&mut self, priority: Priority) {
        self.priority = priority;
    }
}

impl Serialize for JobOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for kind in self.kinds() {
            self.serialize_one(kind, &mut map)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn all_set() -> JobOptions {
        JobOptions::default()
            .with_priority(Priority(7))
            .with_delivery(Delivery::AtMostOnce)
            .with_recurrence(Recurrence::every(std::time::Duration::from_secs(5)).unwrap())
            .with_occurrence(Progress::first(Timestamp::from_micros(5)))
            .with_retry(Retry::sidekiq().count_interrupted().forgive_panics())
            .with_timeout(Timeout(Duration::from_millis(1_500)))
            .with_expires(Expires(Timestamp::from_micros(-7)))
            .with_debounce(Debounce::new(Duration::from_secs(9)).begun(Timestamp::from_micros(5), None))
            .with_tags(Tags::new(["tenant:7", "mail"]).unwrap())
            .with_headers(Headers::new([("traceparent", "00-1-2-01"), ("of", "shop")]).unwrap())
            .with_paused(Paused(Timestamp::from_micros(-3)))
            .with_trial(Trial("yes".into()))
    }

    #[test]
    fn every_option_comes_back_from_its_bytes_and_from_its_json() {
        let options = all_set();
        let kinds: Vec<_> = options.kinds().collect();
        assert_eq!(kinds, OptionKind::ALL, "an option that is not tried here");
        let (mut from_bytes, mut from_json) = (JobOptions::default(), JobOptions::default());
        let json = serde_json::to_value(&options).unwrap();
        for kind in kinds {
            let mut bytes = Vec::new();
            options.write(kind, &mut |piece| bytes.extend_from_slice(piece));
            assert_eq!(options.value_bytes(kind), bytes.len());
            assert_eq!(from_bytes.read(kind, &bytes), Some(()));
            from_json.set_json(kind.name(), &json[kind.name()].to_string()).unwrap();
        }
        assert_eq!((&from_bytes, &from_json), (&options, &options));
    }

    #[test]
    fn a_plain_job_has_no_options() {
        let plain = JobOptions::default();
        assert!(plain.are_plain() && !all_set().are_plain());
        assert_eq!(plain.kinds().count(), 0);
        assert_eq!(serde_json::to_string(&plain).unwrap(), "{}");
        assert!(plain.clone().with_priority(Priority::NORMAL).are_plain());
        assert!(!plain.with_trial(Trial(String::new())).are_plain());
    }

    #[test]
    fn names_are_short_and_not_shared() {
        for kind in OptionKind::ALL {
            assert!((1..=32).contains(&kind.name().len()), "{}", kind.name());
            assert_eq!(OptionKind::by_name(kind.name()), Some(*kind));
        }
    }

    #[test]
    fn what_is_no_value_is_refused_and_changes_nothing() {
        let mut options = all_set();
        for (name, json, said) in [
            ("priority", "256", "`priority` must be a whole number from 0 to 255"),
            ("priority", "\"1\"", "`priority` must be a whole number from 0 to 255"),
            ("delivery", "\"once\"", "`delivery` must be \"at_least_once\" or \"at_most_once\""),
            (
                "delivery",
                "{\"at_most_once\":null}",
                "`delivery` must be \"at_least_once\" or \"at_most_once\"",
            ),
            ("trial", "7", "`trial` must be a text"),
            (
                "tags",
                "\"a\"",
                "`tags` must be a list of up to 8 texts of 1 to 64 bytes, without control characters",
            ),
            ("tags", "[\"a\",\"\"]", "`tags`: a tag is empty; give it 1 to 64 bytes"),
            (
                "headers",
                "[]",
                "`headers` must be an object of up to 16 texts of up to 256 bytes, with names of 1 to 64 visible ASCII characters",
            ),
            (
                "headers",
                "{\"a b\":\"\"}",
                "`headers`: the name of the header \"a b\" has something else than visible ASCII characters at byte 1",
            ),
            ("color", "7", "there is no option `color`"),
        ] {
            assert_eq!(options.set_json(name, json).unwrap_err().to_string(), said);
        }
        // Serde would take the fields of an object in their order.
        for (name, json) in [
            ("retry", r#"[3,"fixed","1s","1h",null,[]]"#),
            ("debounce", r#"["10s"]"#),
            ("recurrence", r#" ["5s"]"#),
        ] {
            let error = options.set_json(name, json).unwrap_err();
            assert!(matches!(error, InvalidOption::Value { name: it, .. } if it == name), "{error}");
        }
        for (kind, bytes) in [
            (OptionKind::priority, &b""[..]),
            (OptionKind::priority, b"ab"),
            (OptionKind::delivery, &[0]),
            (OptionKind::delivery, &[3]),
            (OptionKind::trial, &[0xff]),
        ] {
            assert_eq!(options.read(kind, bytes), None, "{kind:?} {bytes:?}");
        }
        assert_eq!(options, all_set());
    }
}
