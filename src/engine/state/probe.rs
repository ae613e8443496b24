//! What a test or a simulator is told of jobs, at the moment at which it happens.

use std::time::Duration;

#[cfg(feature = "_sim")]
use crate::partition::JobView;
use crate::partition::{Due, Handle, QueueName, Started};

pub(crate) type Probe = Box<dyn Fn(Probed<'_>) + Send + Sync>;

/// What a probe is told.
pub(crate) enum Probed<'a> {
    Started(&'a QueueName, &'a Started),
    /// Its handler is about to begin. If a failure is put there the attempt ends with it, and the handler does not run.
    Begins(Handle, &'a mut Option<Failure>),
    /// With the handler's error, if it failed.
    Ended(Handle, Result<(), &'a Failure>),
    /// Too late to start, and dead. Its partition is held: a probe may not ask the engine.
    #[cfg(feature = "_sim")]
    Expired(&'a JobView),
}

/// Why an attempt did not do what it had to, in words.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) kind: FailureKind,
}

/// In which way.
pub(crate) enum FailureKind {
    Failed,
    /// It failed, and says when it is to be tried again.
    RetryIn(Duration),
    Panicked,
    TimedOut,
    /// It asks for another attempt, and has not failed.
    Again(Due),
    Discarded,
    Killed,
}

impl Failure {
    /// Whether it counts as one.
    pub(crate) fn is_fault(&self) -> bool {
        !matches!(self.kind, FailureKind::Again(_) | FailureKind::Discarded)
    }
}
