//! What an error says about the change that a call asked for.

use super::{CallError, CancelError, RescheduleError, ScheduleError};
use crate::store::StoreError;

/// What became of the change when a call ends with an error. For a commit that was awaited, the change is what its outcome
/// says, which may be that there was nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Nothing was changed. You can make the same call again.
    None,
    /// The change is in force in this engine, but not as durable as the call asked: a restart may forget it. Making the same
    /// call again changes the job twice.
    InForce,
    /// The change was made, and since then the engine has ended or lost the jobs. Only the next owner knows whether it is in
    /// force: look the job up there.
    Unknown,
}

impl Change {
    /// Whether the change is in force or may be.
    pub fn may_be_in_force(self) -> bool {
        self != Change::None
    }
}

impl CallError {
    /// What became of the change.
    pub fn change(&self) -> Change {
        match self {
            CallError::ShuttingDown | CallError::RuntimeEnded | CallError::LogFull { .. } => Change::None,
            CallError::NotOwner { change, .. } | CallError::NoSuchDurability { change, .. } => *change,
            CallError::Unconfirmed | CallError::NotDurable(_) => Change::InForce,
            CallError::Interrupted => Change::Unknown,
        }
    }

    /// A change that was made but not confirmed when another engine took the jobs.
    pub(crate) fn disowned(error: StoreError) -> Self {
        CallError::NotOwner { error, change: Change::Unknown }
    }
}

impl ScheduleError {
    /// What became of the job.
    pub fn change(&self) -> Change {
        match self {
            ScheduleError::Call(error) => error.change(),
            ScheduleError::InvalidKey(_)
            | ScheduleError::Refused(_)
            | ScheduleError::UnknownQueue { .. }
            | ScheduleError::Full { .. }
            | ScheduleError::Encode(_) => Change::None,
        }
    }
}

impl RescheduleError {
    /// What became of the move.
    pub fn change(&self) -> Change {
        match self {
            RescheduleError::Call(error) => error.change(),
            RescheduleError::InvalidKey(_) | RescheduleError::Refused(_) => Change::None,
        }
    }
}

impl CancelError {
    /// What became of the cancellation.
    pub fn change(&self) -> Change {
        match self {
            CancelError::Call(error) => error.change(),
            CancelError::InvalidKey(_) => Change::None,
        }
    }
}
