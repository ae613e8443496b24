//! Errors of changes that are made together or not at all.

use super::{CallError, CancelError, Change, RescheduleError, ScheduleError};
use crate::partition::PartitionId;

/// Why a transaction was not applied, or not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A job cannot be scheduled.
    #[error("nothing was changed, since change number {at} of the transaction cannot be made")]
    #[non_exhaustive]
    Schedule {
        /// The place of the change, counted from 0.
        at: usize,
        /// Why not.
        source: ScheduleError,
    },
    /// A job cannot be moved.
    #[error("nothing was changed, since change number {at} of the transaction cannot be made")]
    #[non_exhaustive]
    Reschedule {
        /// The place of the change, counted from 0.
        at: usize,
        /// Why not.
        source: RescheduleError,
    },
    /// A job cannot be cancelled.
    #[error("nothing was changed, since change number {at} of the transaction cannot be made")]
    #[non_exhaustive]
    Cancel {
        /// The place of the change, counted from 0.
        at: usize,
        /// Why not.
        source: CancelError,
    },
    /// The jobs are in several partitions, and a transaction is of one.
    #[error(
        "change number {at} of the transaction is of partition {}, and those before it of partition {}; nothing was changed; give the job a \
         key that `Engine::key_beside` makes, or make the changes one by one",
        partition.0, first.0
    )]
    #[non_exhaustive]
    OtherPartition {
        /// The place of the first change of another partition, counted from 0.
        at: usize,
        /// That partition.
        partition: PartitionId,
        /// The partition of the changes before it.
        first: PartitionId,
    },
    /// Two of the changes are of the same job.
    #[error(
        "the changes number {first} and {at} of the transaction are of one job; nothing was changed; say in one change what is to \
         become of it"
    )]
    #[non_exhaustive]
    SameJob {
        /// The place of the earlier one, counted from 0.
        first: usize,
        /// The place of the later one.
        at: usize,
    },
    /// There are more changes than can be made together.
    #[error(
        "the transaction has {changes} changes, and may have {max}; nothing was changed; split it, or use `Engine::schedule_many` \
         and the like"
    )]
    #[non_exhaustive]
    TooMany {
        /// How many there are.
        changes: usize,
        /// How many there may be.
        max: usize,
    },
    /// The changes take more room in the log than they may take together.
    #[error(
        "the changes of the transaction take about {bytes} bytes in the log, and may take {max}; nothing was changed; split it, or \
         store payloads elsewhere and schedule references"
    )]
    #[non_exhaustive]
    TooLarge {
        /// How many bytes they take.
        bytes: usize,
        /// How many they may take.
        max: usize,
    },
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl TransactionError {
    /// What became of the changes: of all of them the same.
    pub fn change(&self) -> Change {
        match self {
            TransactionError::Call(error) => error.change(),
            TransactionError::Schedule { .. }
            | TransactionError::Reschedule { .. }
            | TransactionError::Cancel { .. }
            | TransactionError::OtherPartition { .. }
            | TransactionError::SameJob { .. }
            | TransactionError::TooMany { .. }
            | TransactionError::TooLarge { .. } => Change::None,
        }
    }
}
