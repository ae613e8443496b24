//! What a call may answer, and when it is right to.

use reveille::partition::{CancelOutcome, Delivery, RescheduleOutcome, ScheduleOutcome};
use reveille::{
    CallError, CancelError, Change, EditError, EditOutcome, PauseError, PurgeError, RescheduleError,
    ReviveError, ScheduleError, TransactionError, Version,
};

use crate::ledger::{JobLog, Life, Stand};

/// Why a change is not acknowledged.
pub(crate) trait Refusal: std::fmt::Display + Sized {
    /// A refusal that any call may get, or another reason in words.
    fn of_call(self) -> Result<CallError, String>;
}

macro_rules! refusals {
    ($($error:ident),*) => {
        $(impl Refusal for $error {
            fn of_call(self) -> Result<CallError, String> {
                match self {
                    $error::Call(error) => Ok(error),
                    error => Err(error.to_string()),
                }
            }
        })*
    };
}

refusals!(
    EditError,
    PauseError,
    ScheduleError,
    RescheduleError,
    CancelError,
    ReviveError,
    PurgeError,
    TransactionError
);

impl Refusal for CallError {
    fn of_call(self) -> Result<CallError, String> {
        Ok(self)
    }
}

/// An answer that came too late to change anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Running,
    Fired,
    Dead,
    NotFound,
    /// No such answer.
    Never,
}

macro_rules! late {
    ($($outcome:ident),*) => {
        $(impl From<$outcome> for Late {
            fn from(outcome: $outcome) -> Self {
                match outcome {
                    $outcome::Running => Late::Running,
                    $outcome::AlreadyFired { .. } => Late::Fired,
                    $outcome::Dead { .. } => Late::Dead,
                    $outcome::NotFound => Late::NotFound,
                    _ => Late::Never,
                }
            }
        })*
    };
}

late!(RescheduleOutcome, CancelOutcome, EditOutcome);

/// Whether a call that names `version` is right to be told that the job has another.
pub(super) fn is_changed(version: Option<Version>, now: Version, told: Version) -> bool {
    version.is_some_and(|version| version != now) && told == now
}

pub(super) fn is_late(stand: Stand, is_once: bool, key: &str, life: &Life, late: Late) -> bool {
    match stand {
        Stand::Pending(_) => false,
        // One that may begin once only can end without having begun.
        Stand::Running => late == Late::Running || (is_once && late != Late::Never),
        // The memory of fired jobs has an end.
        Stand::Ended(_) => matches!(late, Late::Fired | Late::NotFound),
        Stand::Dead(_) => late == Late::Dead || (late == Late::NotFound && life.purges()),
        Stand::Gone => late == Late::NotFound || (late == Late::Fired && life.may_remember(key)),
    }
}

pub(super) fn is_once(nonce: Option<usize>, jobs: &[JobLog]) -> bool {
    nonce.is_some_and(|nonce| jobs[nonce].delivery == Delivery::AtMostOnce)
}

/// An outcome without the handle, which holds the number of an engine and so differs in the next run.
pub(super) fn word(outcome: &ScheduleOutcome) -> &'static str {
    match outcome {
        ScheduleOutcome::Scheduled { .. } => "Scheduled",
        ScheduleOutcome::Replaced { .. } => "Replaced",
        ScheduleOutcome::Updated { .. } => "Updated",
        ScheduleOutcome::Kept { .. } => "Kept",
        ScheduleOutcome::AlreadyScheduled { .. } => "AlreadyScheduled",
    }
}

/// Whether a call was refused for an allowed reason, and says that nothing was changed.
pub(crate) fn is_refusal(error: &CallError) -> bool {
    let may_be =
        matches!(error, CallError::ShuttingDown | CallError::LogFull { .. } | CallError::NotOwner { .. });
    may_be && error.change() == Change::None
}
