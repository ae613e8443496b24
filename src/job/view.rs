//! What readers are told of jobs: where one stands, and of those that have fired what is remembered.

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
