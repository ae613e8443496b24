//! A rule as JSON: `{"every":"5s"}`, or `{"cron":"0 9 * * *","zone":"Europe/Berlin"}`, and beside it `anchor`, `from`,
//! `until`, `count`, `missed` and `overlap`.
//!
//! What is as it would be anyway is left out. A cron expression without a zone is one of UTC. With the cargo feature `cron` an
//! expression that is none is refused; without it, it is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{CronText, InvalidRecurrence, Missed, Overlap, Recurrence, Rule};
use crate::time::{DurationText, Timestamp, parse_duration};

const UTC: &str = "UTC";

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Every>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<MissedName>,
    /// Of `"missed":"all"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed_max: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<OverlapName>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MissedName {
    One,
    All,
    None,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OverlapName {
    Skip,
    Allow,
    After,
}

impl Missed {
    /// How many run if it is not said.
    pub const ALL_MAX_DEFAULT: NonZeroU32 = NonZeroU32::new(100).unwrap();
}

impl Serialize for Recurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields =
            Fields { from: self.from, until: self.until, count: self.count, ..Fields::default() };
        match &self.rule {
            Rule::Every { interval_us, anchor } => {
                (fields.every, fields.anchor) = (Some(Every(Duration::from_micros(*interval_us))), *anchor);
            }
            Rule::Cron(CronText { expression, zone }) => {
                (fields.cron, fields.zone) = (Some(expression.to_string()), Some(zone.to_string()));
            }
        }
        (fields.missed, fields.missed_max) = match self.missed {
            Missed::One => (None, None),
            Missed::All { max } => (Some(MissedName::All), (max != Missed::ALL_MAX_DEFAULT).then_some(max)),
            Missed::None => (Some(MissedName::None), None),
        };
        fields.overlap = match self.overlap {
            Overlap::Skip => None,
            Overlap::Allow => Some(OverlapName::Allow),
            Overlap::After => Some(OverlapName::After),
        };
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer)?.recurrence().map_err(de::Error::custom)
    }
}

/// Why an object is no rule.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("`every` or `cron` is missing")]
    NoRule,
    #[error("there are two rules; keep `every` or `cron`, not both")]
    TwoRules,
    #[error("`{0}` has no meaning here; leave it out")]
    Useless(&'static str),
    #[error(transparent)]
    Invalid(#[from] InvalidRecurrence),
}

impl Fields {
    fn recurrence(self) -> Result<Recurrence, Fault> {
        let mut recurrence = match (self.every, self.cron) {
            (None, None) => return Err(Fault::NoRule),
            (Some(_), Some(_)) => return Err(Fault::TwoRules),
            (Some(_), None) if self.zone.is_some() => return Err(Fault::Useless("zone")),
            (Some(Every(interval)), None) => Recurrence::every(interval)?,
            (None, Some(expression)) => cron(&expression, self.zone.as_deref().unwrap_or(UTC))?,
        };
        if let Some(anchor) = self.anchor {
            recurrence = recurrence.anchor(anchor)?;
        }
        if let Some(from) = self.from {
            recurrence = recurrence.from(from)?;
        }
        if let Some(until) = self.until {
            recurrence = recurrence.until(until)?;
        }
        if let Some(count) = self.count {
            recurrence = recurrence.count(count)?;
        }
        recurrence.missed = match (self.missed, self.missed_max) {
            (Some(MissedName::All), max) => Missed::All { max: max.unwrap_or(Missed::ALL_MAX_DEFAULT) },
            (_, Some(_)) => return Err(Fault::Useless("missed_max")),
            (Some(MissedName::None), None) => Missed::None,
            (Some(MissedName::One) | None, None) => Missed::One,
        };
        recurrence.overlap = match self.overlap {
            Some(OverlapName::Allow) => Overlap::Allow,
            Some(OverlapName::After) => Overlap::After,
            Some(OverlapName::Skip) | None => Overlap::Skip,
        };
        Ok(recurrence)
    }
}

#[cfg(feature = "cron")]
fn cron(expression: &str, zone: &str) -> Result<Recurrence, InvalidRecurrence> {
    Recurrence::cron(expression, zone)
}

#[cfg(not(feature = "cron"))]
fn cron(expression: &str, zone: &str) -> Result<Recurrence, InvalidRecurrence> {
    CronText::new(expression, zone).map(|text| Recurrence::of(Rule::Cron(text)))
}

/// An interval: text with units, or a whole number of seconds.
struct Every(Duration);

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // One has been made of microseconds, of which there are no more than that.
        serializer.collect_str(&DurationText(self.0.as_micros() as u64))
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EveryVisitor)
    }
}

struct EveryVisitor;

impl Visitor<'_> for EveryVisitor {
    type Value = Every;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a duration such as \"1h30m\", or a whole number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Every, E> {
        parse_duration(text).map(Every).map_err(|error| E::custom(format_args!("{text:?} {error}")))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Every, E> {
        let seconds = u64::try_from(seconds);
        seconds
            .map_err(|_| E::custom("an interval is not negative"))
            .and_then(|seconds| self.visit_u64(seconds))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Every, E> {
        Ok(Every(Duration::from_secs(seconds)))
    }
}
