//! What a test or a simulator is told of jobs, at the moment at which it happens.

use crate::partition::{Handle, QueueName, Started};

pub(crate) type Probe = Box<dyn Fn(Probed<'_>) + Send + Sync>;

/// What a probe is told.
pub(crate) enum Probed<'a> {
    Started(&'a QueueName, &'a Started),
    /// With the handler's error, if it failed.
    Ended(Handle, Result<(), &'a Failure>),
}

/// Why an attempt failed, in words.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) is_panic: bool,
}
