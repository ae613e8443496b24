//! The one value that says what a job is.

use super::{JobOptions, Key, Payload, QueueName};
use crate::time::{TimeBase, Timestamp};

/// What a job is, from the call that asks for it to its handler: a draft, a record and an image hold it whole.
///
/// `D` says how its due is told: a [`Due`](crate::Due) where it is asked for, a [`RecordedDue`] where it is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobSpec<D = RecordedDue> {
    /// The caller's name for it.
    pub key: Key,
    /// The name of its queue.
    pub queue: QueueName,
    /// What its handler gets.
    pub payload: Payload,
    /// When it must fire.
    pub due: D,
    /// All else.
    pub options: JobOptions,
}

impl<D> JobSpec<D> {
    /// A plain job.
    pub fn new(key: Key, queue: QueueName, payload: Payload, due: D) -> Self {
        JobSpec { key, queue, payload, due, options: JobOptions::default() }
    }

    /// The same job, its due told in another way.
    #[inline(always)]
    pub fn with_due<E>(self, due: E) -> JobSpec<E> {
        let JobSpec { key, queue, payload, due: _, options } = self;
        JobSpec { key, queue, payload, due, options }
    }
}

/// A due time as it is written down: always an instant of the wall clock, since the monotonic clock of one process
/// means nothing to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedDue {
    /// The clock that the job follows.
    pub base: TimeBase,
    /// The instant; an estimate, made when it was scheduled, for a job that follows the monotonic clock.
    pub wall: Timestamp,
}
