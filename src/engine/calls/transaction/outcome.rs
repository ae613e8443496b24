//! What a transaction did.

use serde::Serialize;

use crate::partition::{CancelOutcome, RescheduleOutcome, ScheduleOutcome};

/// What a transaction did: all of its changes, or none.
#[must_use = "nothing was changed if one of the changes could not be made; match on it, or insist with `.applied()?`"]
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TransactionOutcome {
    /// All changes are in force.
    Applied {
        /// What each did, in the order in which they were given.
        changes: Vec<ChangeOutcome>,
    },
    /// Nothing was done: one of the changes could not be made.
    NotApplied {
        /// The place of the first that could not, counted from 0.
        at: usize,
        /// What the call would have answered by itself.
        change: ChangeOutcome,
    },
}

/// What one of the changes of a transaction did, or would have answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ChangeOutcome {
    /// Of a job to be scheduled.
    Schedule(ScheduleOutcome),
    /// Of a job to be moved.
    Reschedule(RescheduleOutcome),
    /// Of a job to be cancelled.
    Cancel(CancelOutcome),
}

/// A transaction was not applied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nothing was changed, since change number {at} of the transaction could not be made: {why}")]
#[non_exhaustive]
pub struct NotApplied {
    /// The place of the first change that could not be made, counted from 0.
    pub at: usize,
    /// What the call would have answered by itself.
    pub change: ChangeOutcome,
    why: String,
}

impl TransactionOutcome {
    /// What each change did, if all are in force.
    ///
    /// # Errors
    /// When nothing was changed.
    pub fn applied(self) -> Result<Vec<ChangeOutcome>, NotApplied> {
        match self {
            TransactionOutcome::Applied { changes } => Ok(changes),
            TransactionOutcome::NotApplied { at, change } => {
                Err(NotApplied { at, change, why: change.why() })
            }
        }
    }
}

impl ChangeOutcome {
    fn why(self) -> String {
        let why = match self {
            ChangeOutcome::Schedule(outcome) => outcome.scheduled().err().map(|error| error.to_string()),
            ChangeOutcome::Reschedule(outcome) => outcome.rescheduled().err().map(|error| error.to_string()),
            ChangeOutcome::Cancel(outcome) => outcome.cancelled().err().map(|error| error.to_string()),
        };
        why.unwrap_or_default()
    }
}
