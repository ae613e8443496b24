//! What is wrong with a line.

use reveille::InvalidKey;
use reveille::job::{InvalidOption, InvalidQueueName, InvalidTag};
use serde_json::value::RawValue;

use super::OPS;
use crate::jsonl::text::Brief;
use crate::jsonl::time::TimeError;

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
        "the time is missing; add `at` (RFC 3339, or seconds since 1970) or `in` (\"1.5s\", or seconds){or}"
    )]
    NoTime { or: &'static str },
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
    pub(super) fn wrong_option(name: &'static str, value: &RawValue, error: &InvalidOption) -> Self {
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
