//! What pausing, draining and resuming a queue has done.

use serde::Serialize;

use crate::partition::Timestamp;

/// What [`Engine::pause`](crate::Engine::pause) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PauseOutcome {
    /// It is paused from here on, until it is resumed. It may have been paused by its configuration before: now it has been said.
    Paused,
    /// Nothing was done: a call has paused it before.
    AlreadyPaused {
        /// When.
        since: Timestamp,
    },
}

/// What [`Engine::resume`](crate::Engine::resume) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ResumeOutcome {
    /// It was paused, and goes on.
    Resumed,
    /// Nothing was done: it was not paused.
    NotPaused,
}

/// What [`Engine::drain`](crate::Engine::drain) did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// What the pause did that came first.
    pub paused: PauseOutcome,
    /// How many of the queue's jobs still ran when the time was over, or the engine stopped.
    pub still_running: usize,
}

impl Drained {
    /// Whether none of the queue's jobs runs.
    pub fn is_empty(&self) -> bool {
        self.still_running == 0
    }
}
