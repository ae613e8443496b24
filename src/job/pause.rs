//! What calls that pause and resume one job answer.

use super::Version;
use crate::time::Timestamp;

/// What `pause_job` did.
#[must_use = "the job may have fired, or be unknown; match on it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PauseJobOutcome {
    /// The job does not start until it is resumed. If it recurs and is with its handler, that goes on.
    Paused {
        /// Its version now.
        version: Version,
    },
    /// Nothing was done: it is paused.
    AlreadyPaused,
    /// Too late: its handler has begun, and it does not recur.
    Running,
    /// Too late: it fired.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
    },
    /// Nothing was done: it is dead.
    #[non_exhaustive]
    Dead {
        /// When it died.
        at: Timestamp,
    },
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}

/// What `resume_job` did.
#[must_use = "the job may not be paused, or be unknown; match on it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResumeJobOutcome {
    /// The job waits for its due again, or is due.
    Resumed {
        /// Its version now.
        version: Version,
        /// When it is due.
        due: Timestamp,
    },
    /// Its rule ended while it was paused: it has no occurrence left, and is gone.
    Ended,
    /// Nothing was done: it is not paused.
    NotPaused,
    /// Nothing was done: its handler has begun, and it is not paused.
    Running,
    /// Too late: it fired.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
    },
    /// Nothing was done: it is dead.
    #[non_exhaustive]
    Dead {
        /// When it died.
        at: Timestamp,
    },
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}
