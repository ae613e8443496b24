//! One line of input as an operation. Pure: text in, a checked [`Op`] or an [`OpError`] out.
//!
//! # Rules
//! - Nothing is guessed and nothing ignored: an unknown field, a field that means nothing to the op, a field given twice,
//!   two times or none are errors. `null` is the same as leaving an optional field out.
//! - The payload is not interpreted. It is passed on byte by byte as written, or decoded from base64.
//! - No text makes this panic, and no error message grows with the line.

mod error;
mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use reveille::job::JobOptions;
use reveille::{Due, Key, OnConflict, Payload, Shift, Version};

use super::reading::Reading;
pub(crate) use error::OpError;
pub(crate) use parse::parse;

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
    /// The same, if the job still is of a version.
    JobIf(Key, Version, Action),
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
