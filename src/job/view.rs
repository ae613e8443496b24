//! What readers are told of jobs: where one stands, and of those that have fired what is remembered.

use super::history::cut;
use super::{End, JobId, Key};
use crate::time::Timestamp;

/// Where a job stands, as far as whoever reads it can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its due time.
    Pending,
    /// It is due, and waits for its queue to take it.
    Ready,
    /// It is with its handler.
    Running,
    /// Its handler has ended. It is remembered for a while.
    Fired,
    /// An attempt has failed, or asked for another, and it waits for that.
    Retrying,
    /// It failed as often as it may, or too late. It is kept until it is revived or purged, or there are too many.
    Dead,
    /// It is paused: it does not start until it is resumed.
    Paused,
}

impl JobState {
    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a handler says of how far it is: see [`Job::progress`](crate::Job::progress).
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ProgressNote {
    /// Its words, as far as they are kept.
    pub note: Box<str>,
    /// When it said so.
    pub at: Timestamp,
}

/// How many bytes of a progress note are kept.
pub const PROGRESS_BYTES_MAX: usize = 256;

impl ProgressNote {
    pub(crate) fn new(note: &str, at: Timestamp) -> Self {
        ProgressNote { note: cut(note, PROGRESS_BYTES_MAX).into(), at }
    }
}

/// A fired job that is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FiredView {
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// When its handler began.
    pub fired_at: Timestamp,
    /// When its handler ended, as recorded: later than the end before it.
    pub ended_at: Timestamp,
    /// How its handler ended.
    pub end: End,
}
