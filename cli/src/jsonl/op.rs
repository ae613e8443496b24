//! One line of input as an operation. Pure: text in, a checked [`Op`] or an [`OpError`] out.
//!
//! # Rules
//! - Nothing is guessed and nothing ignored: an unknown field, a field that means nothing to the op, a field given twice,
//!   two times or none are errors. `null` is the same as leaving an optional field out.
//! - The payload is not interpreted. It is passed on byte by byte as written, or decoded from base64.
//! - No text makes this panic, and no error message grows with the line.

use std::borrow::Cow;
use std::time::Duration;

use reveille::job::{InvalidOption, InvalidQueueName, InvalidTag, JobOptions, QueueName, Tags};
use reveille::{Due, InvalidKey, Key, OnConflict, Payload, Shift};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::payload;
use super::reading::Reading;
use super::rule;
use super::text::{Brief, cut_middle, escaped};
use super::time::{self, TimeError};

/// The queue of a job that names none.
const QUEUE_DEFAULT: &str = "default";

/// What `op` may be.
pub(super) const OPS: [&str; 12] = [
    "schedule",
    "reschedule",
    "cancel",
    "lookup",
    "revive",
    "purge",
    "pause",
    "resume",
    "drain",
    "list",
    "count",
    "load",
];

/// What `on_conflict` may be.
pub(super) const ON_CONFLICT: [(&str, OnConflict); 7] = [
    ("reject", OnConflict::Reject),
    ("replace", OnConflict::Replace),
    ("keep", OnConflict::Keep),
    ("keep_earlier", OnConflict::KeepEarlier),
    ("keep_later", OnConflict::KeepLater),
    ("payload", OnConflict::Payload),
    ("update", OnConflict::Update),
];

/// The operation of a line.
#[derive(Debug)]
pub(crate) enum Op {
    /// About the job of a key.
    Job(Key, Action),
    /// About all jobs that have a tag.
    Tag(String, TagAction),
    /// About a queue.
    Queue(String, QueueAction),
    /// About jobs as they stand.
    Read(Reading),
}

/// What is to be done with the jobs of a tag.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TagAction {
    Cancel,
    Reschedule(Due),
    Move(Shift),
}

impl TagAction {
    /// The op's name in a line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TagAction::Cancel => "cancel",
            TagAction::Reschedule(_) | TagAction::Move(_) => "reschedule",
        }
    }
}

/// What is to be done with the job of the key.
#[derive(Debug)]
pub(crate) enum Action {
    Schedule(Draft),
    Reschedule(Due),
    Cancel {
        /// Also one that runs: nothing comes after.
        and_after: bool,
    },
    Lookup,
    Revive(Due),
    Purge,
    Pause,
    Resume,
}

/// What is to be done with a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueAction {
    Pause,
    Resume,
    /// Paused, and waited for this long at most until nothing of it runs.
    Drain(Duration),
}

impl QueueAction {
    /// The op's name in a line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            QueueAction::Pause => "pause",
            QueueAction::Resume => "resume",
            QueueAction::Drain(_) => "drain",
        }
    }
}

/// A job to be scheduled.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) queue: String,
    /// `None` for a job that recurs, and whose rule says when it comes first.
    pub(crate) due: Option<Due>,
    /// JSON text, unless the line has base64.
    pub(crate) payload: Payload,
    pub(crate) options: JobOptions,
    /// `None` if the line does not say.
    pub(crate) on_conflict: Option<OnConflict>,
}

impl Action {
    /// The op's name in a line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Schedule(_) => "schedule",
            Action::Reschedule(_) => "reschedule",
            Action::Cancel { .. } => "cancel",
            Action::Lookup => "lookup",
            Action::Revive(_) => "revive",
            Action::Purge => "purge",
            Action::Pause => "pause",
            Action::Resume => "resume",
        }
    }
}

/// Why a line is not an operation, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpError {
    #[error("the line is not a JSON object; write one as {{\"op\":\"cancel\",\"key\":\"..\"}}")]
    NotAnObject,
    #[error("{0}")]
    Json(String),
    #[error("`{field}` is missing")]
    Missing { field: &'static str },
    #[error("unknown op {name}; the ops are {}", OPS.join(", "))]
    UnknownOp { name: Brief },
    #[error("`{field}` has no meaning for {op}; leave it out")]
    Useless { field: &'static str, op: &'static str },
    #[error(
        "the time is missing; add `at` (RFC 3339, or seconds since 1970) or `in` (\"1.5s\", or seconds); or `every` or `cron` \
         for a job that comes again"
    )]
    NoTime,
    #[error("there are two times; keep one of `at`, `in` and `by`")]
    TwoTimes,
    #[error("there are two rules; keep one of `every`, `cron` and `recurrence`")]
    TwoRules,
    #[error("`{field}`: {error}")]
    Rule { field: &'static str, error: String },
    #[error("there are two payloads; keep `payload` or `payload_base64`, not both")]
    TwoPayloads,
    #[error("`{field}`: {error}")]
    Time { field: &'static str, error: TimeError },
    #[error("`{field}` is {value}, and must be {must_be}")]
    WrongValue { field: &'static str, value: Brief, must_be: &'static str },
    #[error("the name is missing; add `queue`, or `key` to {op} one job")]
    NoName { op: &'static str },
    #[error("there are two names; keep one of `key`, `tag` and `queue`")]
    TwoNames,
    #[error("`{field}`: {why}")]
    Option { field: &'static str, why: String },
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Queue(#[from] InvalidQueueName),
}

impl OpError {
    fn wrong_option(name: &'static str, value: &RawValue, error: &InvalidOption) -> Self {
        let json = value.get();
        let text: Option<String> = serde_json::from_str(json).ok();
        let value = text.as_deref().map_or_else(|| Brief::number(json), Brief::new);
        match error {
            InvalidOption::Value { name, must_be } => OpError::WrongValue { field: name, value, must_be },
            InvalidOption::Refused { name, why, .. } => OpError::Option { field: name, why: why.clone() },
            _ => OpError::WrongValue { field: name, value, must_be: "left out" },
        }
    }
}

/// Reads a line.
pub(crate) fn parse(line: &str) -> Result<Op, OpError> {
    // serde would accept an array of the fields in order.
    if !line.trim_ascii_start().starts_with('{') {
        return Err(OpError::NotAnObject);
    }
    let mut fields: Fields<'_> =
        serde_json::from_str(line).map_err(|error| OpError::Json(describe(&error)))?;
    let op = fields.op.take().ok_or(OpError::Missing { field: "op" })?;
    if let Some(queue) = &fields.queue {
        QueueName::new(queue)?;
    }
    let key = fields.key.take();
    if let (Some(tag), "cancel" | "reschedule") = (&fields.tag, op.as_str()) {
        Tags::check(tag)?;
        return fields.into_tag_op(&op, key.is_some());
    }
    if let Some(reading) = Reading::take(&op, &mut fields) {
        let reading = reading?;
        return match key.map(|_| "key").or(fields.left_over()) {
            Some(field) => Err(OpError::Useless { field, op: reading.name() }),
            None => Ok(Op::Read(reading)),
        };
    }
    let action = match op.as_str() {
        "schedule" => Action::Schedule(Draft {
            options: fields.take_options()?,
            due: fields.take_first_due()?.map(|due| fields.spread(due, &key)).transpose()?,
            queue: fields.queue.take().unwrap_or_else(|| QUEUE_DEFAULT.to_owned()),
            payload: fields.take_payload()?,
            on_conflict: fields.on_conflict.take().map(|text| on_conflict(&text)).transpose()?,
        }),
        "reschedule" => Action::Reschedule(fields.take_due().and_then(|due| fields.spread(due, &key))?),
        "cancel" => Action::Cancel { and_after: fields.and_after.take().unwrap_or(false) },
        "lookup" => Action::Lookup,
        "revive" => Action::Revive(fields.take_due().and_then(|due| fields.spread(due, &key))?),
        "purge" => Action::Purge,
        "pause" | "resume" if key.is_some() && fields.queue.is_some() => return Err(OpError::TwoNames),
        "pause" if key.is_some() => Action::Pause,
        "resume" if key.is_some() => Action::Resume,
        "pause" => return fields.into_queue_op(QueueAction::Pause),
        "resume" => return fields.into_queue_op(QueueAction::Resume),
        "drain" if key.is_some() => return Err(OpError::Useless { field: "key", op: "drain" }),
        "drain" => {
            let within = fields.within.take().ok_or(OpError::Missing { field: "within" })?;
            return fields.into_queue_op(QueueAction::Drain(length(within, "within")?));
        }
        unknown => return Err(OpError::UnknownOp { name: Brief::new(unknown) }),
    };
    if let Some(field) = fields.left_over() {
        return Err(OpError::Useless { field, op: action.name() });
    }
    let key = Key::new(key.ok_or(OpError::Missing { field: "key" })?)?;
    Ok(Op::Job(key, action))
}

impl Fields<'_> {
    /// Of an op that has a tag.
    fn into_tag_op(mut self, op: &str, has_key: bool) -> Result<Op, OpError> {
        if has_key {
            return Err(OpError::TwoNames);
        }
        let tag = self.tag.take().ok_or(OpError::Missing { field: "tag" })?;
        let action = match (op, self.by.take()) {
            ("cancel", None) => TagAction::Cancel,
            ("cancel", Some(_)) => return Err(OpError::Useless { field: "by", op: "cancel" }),
            (_, None) => TagAction::Reschedule(self.take_due()?),
            (_, Some(_)) if self.at.is_some() || self.after.is_some() => return Err(OpError::TwoTimes),
            (_, Some(by)) => TagAction::Move(shift(by)?),
        };
        match self.left_over() {
            Some(field) => Err(OpError::Useless { field, op: action.name() }),
            None => Ok(Op::Tag(tag, action)),
        }
    }

    fn into_queue_op(mut self, action: QueueAction) -> Result<Op, OpError> {
        let nameless = match action {
            QueueAction::Drain(_) => OpError::Missing { field: "queue" },
            _ => OpError::NoName { op: action.name() },
        };
        let queue = self.queue.take().ok_or(nameless)?;
        match self.left_over() {
            Some(field) => Err(OpError::Useless { field, op: action.name() }),
            None => Ok(Op::Queue(queue, action)),
        }
    }

    fn take_due(&mut self) -> Result<Due, OpError> {
        match (self.at.take(), self.after.take()) {
            (Some(at), None) => time(at, "at", |text, is_number| {
                let instant =
                    if is_number { time::parse_epoch_seconds(text) } else { time::parse_instant(text) };
                instant.map(Due::At)
            }),
            (None, Some(after)) => length(after, "in").map(Due::In),
            (None, None) => Err(OpError::NoTime),
            (Some(_), Some(_)) => Err(OpError::TwoTimes),
        }
    }

    /// The place of a key in the window that a due begins, if the line says how long that is.
    fn spread(&mut self, due: Due, key: &Option<String>) -> Result<Due, OpError> {
        let Some(window) = self.spread.take() else { return Ok(due) };
        let window = length(window, "spread")?;
        Ok(key.as_ref().map_or(due, |key| due.spread(key, window)))
    }

    fn take_payload(&mut self) -> Result<Payload, OpError> {
        match (self.payload.take(), self.payload_base64.take()) {
            (Some(json), None) => Ok(payload::from_json(json)),
            (None, Some(text)) => payload::from_base64(&text).ok_or_else(|| OpError::WrongValue {
                field: "payload_base64",
                value: Brief::new(&text),
                must_be: "base64, with its padding and without spaces (RFC 4648, section 4)",
            }),
            (None, None) => Ok(Payload::from("null")),
            (Some(_), Some(_)) => Err(OpError::TwoPayloads),
        }
    }

    fn take_options(&mut self) -> Result<JobOptions, OpError> {
        let mut options = JobOptions::default();
        for (name, value) in self.options.drain(..) {
            options
                .set_json(name, value.get())
                .map_err(|error| OpError::wrong_option(name, value, &error))?;
        }
        self.recurs = options.recurrence().is_some();
        match rule::take(&mut self.rule)? {
            Some(_) if self.recurs => Err(OpError::TwoRules),
            Some(rule) => {
                self.recurs = true;
                Ok(options.with_recurrence(rule))
            }
            None => Ok(options),
        }
    }

    /// The due of a new job. One that recurs need not have any. To be called after its options were taken.
    fn take_first_due(&mut self) -> Result<Option<Due>, OpError> {
        match (&self.at, &self.after) {
            (None, None) if self.recurs => Ok(None),
            _ => self.take_due().map(Some),
        }
    }
}

fn length(value: &RawValue, field: &'static str) -> Result<Duration, OpError> {
    let read = |text: &str, is_number| {
        if is_number { time::parse_delay_seconds(text) } else { time::parse_delay(text) }
    };
    time(value, field, read)
}

fn time<T>(
    value: &RawValue,
    field: &'static str,
    read: impl Fn(&str, bool) -> Result<T, TimeError>,
) -> Result<T, OpError> {
    let json = value.get();
    let time = match json.as_bytes().first() {
        Some(b'"') => {
            let text: Cow<'_, str> =
                serde_json::from_str(json).map_err(|error| OpError::Json(describe(&error)))?;
            read(&text, false)
        }
        // Only a number begins like this, and reading the line has checked that it is one.
        Some(b'-' | b'0'..=b'9') => read(json, true),
        _ => {
            let must_be = "a string or a number of seconds";
            return Err(OpError::WrongValue { field, value: Brief::new(json), must_be });
        }
    };
    time.map_err(|error| OpError::Time { field, error })
}

/// A delay, or one with a minus before it.
fn shift(value: &RawValue) -> Result<Shift, OpError> {
    let json = value.get();
    let read = |text: &str, is_number: bool| {
        let (length, is_earlier) = text.strip_prefix('-').map_or((text, false), |length| (length, true));
        let delay = if is_number { time::parse_delay_seconds(length) } else { time::parse_delay(length) };
        let shift = |delay| if is_earlier { Shift::Earlier(delay) } else { Shift::Later(delay) };
        delay.map(shift).map_err(|error| OpError::Time { field: "by", error })
    };
    match serde_json::from_str::<Cow<'_, str>>(json) {
        Ok(text) => read(&text, false),
        // Only a number begins like this, and reading the line has checked that it is one.
        Err(_) if json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => read(json, true),
        Err(_) => {
            let must_be = "a string or a number of seconds, with a minus before it for earlier";
            Err(OpError::WrongValue { field: "by", value: Brief::new(json), must_be })
        }
    }
}

fn on_conflict(text: &str) -> Result<OnConflict, OpError> {
    let known = ON_CONFLICT.iter().find(|(name, _)| *name == text);
    known.map(|&(_, on_conflict)| on_conflict).ok_or_else(|| OpError::WrongValue {
        field: "on_conflict",
        value: Brief::new(text),
        must_be: "\"reject\", \"replace\", \"keep\", \"keep_earlier\", \"keep_later\", \"payload\" or \"update\"",
    })
}

/// serde's own message without its line number, which is 1 for every line of the input. A field's name stands in it as
/// it was read, so it is escaped.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = escaped(text.strip_suffix(&place).unwrap_or(&text));
    cut_middle(match error.classify() {
        serde_json::error::Category::Data => format!("{what} (at column {})", error.column()),
        _ => format!("the line is not JSON: {what} (at column {})", error.column()),
    })
}

#[cfg(test)]
mod tests {
    use reveille::job::Delivery;
    use reveille::{Priority, Timestamp};

    use super::*;

    fn draft(line: &str) -> Draft {
        match parse(line) {
            Ok(Op::Job(_, Action::Schedule(draft))) => draft,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn error(line: &str) -> String {
        match parse(line) {
            Ok(op) => panic!("{line}: {op:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_schedule_has_defaults() {
        let draft = draft(r#"{"op":"schedule","key":"k","in":0.25}"#);
        assert_eq!(draft.queue, "default");
        assert_eq!(draft.due, Some(Due::In(Duration::from_millis(250))));
        assert_eq!(draft.payload.as_bytes(), b"null");
        assert_eq!(draft.options, JobOptions::default());
        assert_eq!(draft.on_conflict, None);
    }

    #[test]
    fn a_schedule_takes_all_fields() {
        let draft = draft(
            r#" { "op":"schedule", "key":"concert:42", "queue":"open_sale", "at":"2026-12-01T10:00:00+07:00",
                 "payload":{"seats": 5e2,"a":[1.10]} , "priority":0, "on_conflict":"replace",
                 "delivery":"at_most_once" } "#,
        );
        assert_eq!(draft.queue, "open_sale");
        assert_eq!(draft.due, Some(Due::At(Timestamp::from_micros(1_796_094_000_000_000))));
        assert_eq!(draft.payload.as_bytes(), br#"{"seats": 5e2,"a":[1.10]}"#);
        let options = JobOptions::default().with_priority(Priority::FIRST);
        assert_eq!(draft.options, options.with_delivery(Delivery::AtMostOnce));
        assert_eq!(draft.on_conflict, Some(OnConflict::Replace));
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let line = r#"{"op":"cancel","key":"k","at":null,"payload":null,"queue":null}"#;
        assert!(matches!(parse(line), Ok(Op::Job(_, Action::Cancel { and_after: false }))));
    }

    #[test]
    fn jobs_are_named_by_tag() {
        let parsed = |line: &str| match parse(line) {
            Ok(Op::Tag(tag, action)) => format!("{tag} {action:?}"),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(parsed(r#"{"op":"cancel","tag":"t"}"#), "t Cancel");
        assert_eq!(parsed(r#"{"op":"reschedule","tag":"t","in":1}"#), "t Reschedule(In(1s))");
        for (by, shift) in
            [("\"5m\"", "Later(300s)"), ("\"-5m\"", "Earlier(300s)"), ("-1.5", "Earlier(1.5s)")]
        {
            let line = format!(r#"{{"op":"reschedule","tag":"t","by":{by}}}"#);
            assert_eq!(parsed(&line), format!("t Move({shift})"));
        }
    }

    #[test]
    fn escapes_are_read() {
        let Ok(Op::Job(key, Action::Lookup)) = parse(r#"{"op":"lookup","key":"\u00e9\n\ud83c\udfab"}"#)
        else {
            panic!("a look-up")
        };
        assert_eq!(key.as_str(), "é\n🎫");
        let draft = draft(r#"{"op":"schedule","key":"k","in":"\u0031s"}"#);
        assert_eq!(draft.due, Some(Due::In(Duration::from_secs(1))));
    }

    #[test]
    fn a_payload_is_one_line() {
        let draft = draft("{\"op\":\"schedule\",\"key\":\"k\",\"in\":1,\"payload\":[1,\r2]}");
        assert_eq!(draft.payload.as_bytes(), b"[1, 2]");
    }

    #[test]
    fn a_payload_may_be_any_bytes() {
        for (base64, bytes) in [("AP8=", &b"\x00\xff"[..]), ("", b""), ("\\u0041P8=", b"\x00\xff")] {
            let draft = draft(&format!(
                r#"{{"op":"schedule","key":"k","in":1,"payload_base64":"{base64}","payload":null}}"#
            ));
            assert_eq!(draft.payload.as_bytes(), bytes);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("", "not a JSON object"),
            ("[\"cancel\",\"k\"]", "not a JSON object"),
            ("{\"op\":\"cancel\",\"key\":\"k\"", "not JSON: EOF"),
            ("{\"op\":\"cancel\",\"key\":\"k\"} x", "not JSON: trailing characters (at column 27)"),
            (r#"{"op":"cancel","key":"k","when":1}"#, "unknown field `when`"),
            (r#"{"op":"cancel","key":"k","key":"l"}"#, "duplicate field `key`"),
            (r#"{"op":"schedule","key":"k","in":1,"payload":1,"payload":2}"#, "duplicate field `payload`"),
            (r#"{"op":"fire","key":"k"}"#, "unknown op \"fire\""),
            (r#"{"op":"cancel"}"#, "`key` is missing"),
            (r#"{"key":"k"}"#, "`op` is missing"),
            (r#"{"op":"cancel","key":7}"#, "invalid type: integer `7`, expected a string"),
            (r#"{"op":"cancel","key":""}"#, "the key is empty"),
            (r#"{"op":"cancel","key":"k","in":1}"#, "`in` has no meaning for cancel"),
            (
                r#"{"op":"reschedule","key":"k","in":1,"payload":1}"#,
                "`payload` has no meaning for reschedule",
            ),
            (r#"{"op":"schedule","key":"k"}"#, "the time is missing"),
            (r#"{"op":"schedule","key":"k","in":1,"at":1}"#, "two times"),
            (r#"{"op":"schedule","key":"k","in":true}"#, "`in` is \"true\", and must be"),
            (r#"{"op":"schedule","key":"k","in":NaN}"#, "not JSON"),
            (r#"{"op":"schedule","key":"k","in":1e400}"#, "out of range"),
            (r#"{"op":"schedule","key":"k","in":-1}"#, "negative"),
            (r#"{"op":"schedule","key":"k","at":"noon"}"#, "`at`: \"noon\" is not a time"),
            (r#"{"op":"schedule","key":"k","in":1,"priority":256}"#, "0 to 255"),
            (r#"{"op":"schedule","key":"k","in":1,"priority":1.5}"#, "0 to 255"),
            (r#"{"op":"schedule","key":"k","in":1,"priority":"1"}"#, "0 to 255"),
            (r#"{"op":"schedule","key":"k","in":1,"on_conflict":"merge"}"#, "`on_conflict` is \"merge\""),
            (r#"{"op":"schedule","key":"k","in":1,"delivery":"once"}"#, "`delivery` is \"once\""),
            (
                r#"{"op":"cancel","key":"k","delivery":"at_most_once"}"#,
                "`delivery` has no meaning for cancel",
            ),
            (r#"{"op":"schedule","key":"k","in":1,"payload_base64":"AP8"}"#, "must be base64"),
            (r#"{"op":"schedule","key":"k","in":1,"payload_base64":7}"#, "expected a string"),
            (r#"{"op":"schedule","key":"k","in":1,"payload_base64":"","payload":1}"#, "two payloads"),
            (
                r#"{"op":"lookup","key":"k","payload_base64":""}"#,
                "`payload_base64` has no meaning for lookup",
            ),
            (r#"{"op":"cancel","key":"\ud800"}"#, "not JSON"),
            (r#"{"op":"cancel","key":"k","tag":"t"}"#, "two names"),
            (r#"{"op":"cancel","tag":""}"#, "a tag is empty"),
            (r#"{"op":"cancel","tag":"a\tb"}"#, "the tag \"a\\tb\" has a control character at byte 1"),
            (r#"{"op":"cancel","tag":"t","by":1}"#, "`by` has no meaning for cancel"),
            (r#"{"op":"cancel","tag":"t","and_after":true}"#, "`and_after` has no meaning for cancel"),
            (r#"{"op":"lookup","key":"k","tag":"t"}"#, "`tag` has no meaning for lookup"),
            (r#"{"op":"reschedule","key":"k","in":1,"by":1}"#, "`by` has no meaning for reschedule"),
            (r#"{"op":"reschedule","tag":"t"}"#, "the time is missing"),
            (r#"{"op":"reschedule","tag":"t","by":"5m","in":1}"#, "two times"),
            (r#"{"op":"reschedule","tag":"t","by":"soon"}"#, "`by`: "),
            (r#"{"op":"reschedule","tag":"t","by":[]}"#, "`by` is \"[]\", and must be"),
            (r#"{"op":"schedule","key":"k","in":1,"tags":["a",""]}"#, "`tags`: a tag is empty"),
            (
                r#"{"op":"schedule","key":"k","in":1,"tags":["1","2","3","4","5","6","7","8","9"]}"#,
                "`tags`: the tag \"9\" is one too many",
            ),
            (r#"{"op":"schedule","key":"k","in":1,"tags":"a"}"#, "`tags` is \"a\", and must be a list"),
            (
                r#"{"op":"schedule","key":"k","in":1,"headers":{"a":"\n"}}"#,
                "`headers`: the value of the header \"a\" has a control character at byte 0",
            ),
        ] {
            let error = error(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn what_a_message_quotes_is_escaped() {
        let error = error("{\"a\\n\\u001b[2J\u{9b}\":1}");
        assert!(error.contains("unknown field `a\\n\\u{1b}[2J\\u{9b}`"), "{error}");
    }

    #[test]
    fn no_message_grows_with_the_line() {
        let long = "x".repeat(1_000_000);
        for line in [
            long.clone(),
            format!(r#"{{"{long}":1}}"#),
            format!(r#"{{"op":"{long}","key":"k"}}"#),
            format!(r#"{{"op":"cancel","key":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","at":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":{}}}"#, "9".repeat(1_000_000)),
            format!(r#"{{"op":"schedule","key":"k","in":1,"priority":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":1,"on_conflict":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":["{long}"]}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":1,"delivery":"{long}"}}"#),
            format!(r#"{{"op":"schedule","key":"k","in":1,"payload_base64":"{long}!"}}"#),
            "{\"op\":".repeat(150_000),
        ] {
            let error = error(&line);
            assert!(error.len() < 600, "{} bytes", error.len());
        }
    }
}
