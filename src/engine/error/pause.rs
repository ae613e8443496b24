//! Errors of pausing and resuming a queue.

use super::{CallError, Change, no_queue};

/// Why a queue was not paused or resumed, or that was not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// No queue of this name was built or added, and the store knows of none.
    #[error("{}", no_queue(name))]
    #[non_exhaustive]
    UnknownQueue {
        /// The name.
        name: String,
    },
    /// So many queues were paused or resumed, over the years, that no more can be kept in mind.
    #[error(
        "{max} queues were paused or resumed since the namespace began, which is the limit; nothing was changed; build the queue \
         `paused()` instead"
    )]
    #[non_exhaustive]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl PauseError {
    /// What became of the change.
    pub fn change(&self) -> Change {
        match self {
            PauseError::Call(error) => error.change(),
            PauseError::UnknownQueue { .. } | PauseError::TooMany { .. } => Change::None,
        }
    }
}
