//! What an error says of the change that was asked for.

use super::{CallError, CancelError, RescheduleError, ScheduleError};
use crate::store::StoreError;

/// What has become of the change that a call asked for, when the call ends with an error. Of a commit that has waited, the
/// change is what its outcome tells, which may be that there was nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Nothing was changed. The same call can be made again.
    None,
    /// The change is in force in this engine, and is not as durable as was asked for: a restart may forget it. To make the
    /// same call again is to change twice.
    InForce,
    /// The change was made, and the engine has ended or lost the jobs since. Whether it is in force is for the next
    /// owner to say: look the job up there.
    Unknown,
}

impl Change {
    /// Whether the change is in force or may be.
    pub fn may_be_in_force(self) -> bool {
        self != Change::None
    }
}

impl CallError {
    /// What has become of the change.
    pub fn change(&self) -> Change {
        match self {
            CallError::ShuttingDown | CallError::RuntimeEnded | CallError::LogFull { .. } => Change::None,
            CallError::NotOwner { change, .. } | CallError::NoSuchDurability { change, .. } => *change,
            CallError::Unconfirmed | CallError::NotDurable(_) => Change::InForce,
            CallError::Interrupted => Change::Unknown,
        }
    }

    /// A change that was made and not confirmed when another engine took the jobs.
    pub(crate) fn disowned(error: StoreError) -> Self {
        CallError::NotOwner { error, change: Change::Unknown }
    }
}

impl ScheduleError {
    /// What has become of the job.
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
    /// What has become of the move.
    pub fn change(&self) -> Change {
        match self {
            RescheduleError::Call(error) => error.change(),
            RescheduleError::InvalidKey(_) | RescheduleError::Refused(_) => Change::None,
        }
    }
}

impl CancelError {
    /// What has become of the cancellation.
    pub fn change(&self) -> Change {
        match self {
            CancelError::Call(error) => error.change(),
            CancelError::InvalidKey(_) => Change::None,
        }
    }
}
