//! What a queue says of failures, for jobs that do not say it themselves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{AttemptError, Cause, DeathReason, JobId, JobView, Key, Passed, QueueName, Retry};
use crate::partition::Timestamp;

/// How long a job waits after its so manieth failure; `None`: it is not tried again.
pub(crate) type BackoffFn = dyn Fn(u16, &AttemptError) -> Option<Duration> + Send + Sync;

/// Told of a job that is dead, and why.
pub(crate) type DeathFn = dyn Fn(&JobView, DeathReason) + Send + Sync;

/// Told of a job that its handler has discarded, and of the reason that it gave.
pub(crate) type DiscardFn = dyn Fn(&JobView, &str) + Send + Sync;

/// Told of occurrences of a recurring job, by its key, that were passed over.
pub(crate) type PassedFn = dyn Fn(&str, &Passed) + Send + Sync;

/// An attempt that failed: what [`QueueConfig::on_failure`](crate::QueueConfig::on_failure) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The job's number.
    pub id: JobId,
    /// The caller's name for the job.
    pub key: Key,
    /// The name of its queue.
    pub queue: QueueName,
    /// Which attempt it was, counted from 1.
    pub attempt: u16,
    /// Why it failed.
    pub cause: Cause,
    /// What the handler said.
    pub error: String,
    /// When the job is tried again; `None` if it is not.
    pub retry_at: Option<Timestamp>,
}

/// Told of an attempt that failed.
pub(crate) type FailureFn = dyn Fn(&FailedAttempt) + Send + Sync;

/// See the [module's documentation](self). The default: one attempt, however long it takes.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    pub(crate) retry: Option<Retry>,
    pub(crate) backoff: Option<Arc<BackoffFn>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_failure: Option<Arc<FailureFn>>,
    pub(crate) on_death: Option<Arc<DeathFn>>,
    pub(crate) on_discard: Option<Arc<DiscardFn>>,
    pub(crate) on_passed_over: Option<Arc<PassedFn>>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
