//! From the fields of a line to its operation.

use std::borrow::Cow;
use std::time::Duration;

use reveille::job::{JobOptions, QueueName, Tags};
use reveille::{Due, Key, OnConflict, Payload, Shift, Version};
use serde_json::value::RawValue;

use super::{Action, Draft, ON_CONFLICT, Op, OpError, QueueAction, TagAction};
use crate::jsonl::fields::Fields;
use crate::jsonl::payload;
use crate::jsonl::reading::Reading;
use crate::jsonl::rule;
use crate::jsonl::text::{Brief, cut_middle, escaped};
use crate::jsonl::time::{self, TimeError};

/// The queue of a job that names none.
const QUEUE_DEFAULT: &str = "default";

/// What may stand in place of a time.
const OR_RULE: &str = "; or `every` or `cron` for a job that comes again";
const OR_BY: &str = "; or `by`, to move them by a length of time";

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
        "reschedule" => Action::Reschedule(fields.take_due("").and_then(|due| fields.spread(due, &key))?),
        "cancel" => Action::Cancel { and_after: fields.and_after.take().unwrap_or(false) },
        "lookup" => Action::Lookup,
        "revive" if fields.at.is_none() && fields.after.is_none() => {
            Action::Revive(fields.spread(Due::In(Duration::ZERO), &key)?)
        }
        "revive" => Action::Revive(fields.take_due("").and_then(|due| fields.spread(due, &key))?),
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
    let changes_one = !matches!(action, Action::Schedule(_) | Action::Lookup);
    let version = if changes_one { fields.if_version.take() } else { None };
    if let Some(field) = fields.left_over() {
        return Err(OpError::Useless { field, op: action.name() });
    }
    let key = Key::new(key.ok_or(OpError::Missing { field: "key" })?)?;
    Ok(match version {
        Some(version) => Op::JobIf(key, Version(version), action),
        None => Op::Job(key, action),
    })
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
            (_, None) => TagAction::Reschedule(self.take_due(OR_BY)?),
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

    /// `or` says what else there could be.
    fn take_due(&mut self, or: &'static str) -> Result<Due, OpError> {
        match (self.at.take(), self.after.take()) {
            (Some(at), None) => time(at, "at", |text, is_number| {
                let instant =
                    if is_number { time::parse_epoch_seconds(text) } else { time::parse_instant(text) };
                instant.map(Due::At)
            }),
            (None, Some(after)) => length(after, "in").map(Due::In),
            (None, None) => Err(OpError::NoTime { or }),
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
            _ => self.take_due(OR_RULE).map(Some),
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
