//! What an application gives its handlers: values by type, set once at the builder.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{IntoJobResult, Job, JobResult, Task};
use crate::engine::state::Wanted;
use crate::job::Retry;

impl Job {
    /// The application's value of this type: see [`Builder::context`](crate::Builder::context). `None` if the builder was given none.
    pub fn context<C: Send + Sync + 'static>(&self) -> Option<Arc<C>> {
        self.contexts().find()
    }
}

/// A [`Task`] that needs something of the application to run: [`Builder::context`](crate::Builder::context) names it, once, and has an example.
///
/// It is registered and scheduled like any task. Without its context the engine does not start
/// ([`StartError::NoContext`](crate::StartError::NoContext)).
pub trait ContextTask: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the queue that runs it.
    const NAME: &'static str;

    /// What it needs.
    type Context: Send + Sync + 'static;

    /// What it ends with: `()`, `Result<(), E>`, or all else that a handler may return.
    type Output: IntoJobResult;

    /// As [`Task::retry`].
    fn retry() -> Option<Retry> {
        None
    }

    /// As [`Task::timeout`].
    fn timeout() -> Option<Duration> {
        None
    }

    /// Runs it.
    fn run(self, context: &Self::Context, job: Job) -> impl Future<Output = Self::Output> + Send;
}

impl<T: ContextTask> Task for T {
    const NAME: &'static str = T::NAME;
    type Output = JobResult;

    fn retry() -> Option<Retry> {
        <T as ContextTask>::retry()
    }

    fn timeout() -> Option<Duration> {
        <T as ContextTask>::timeout()
    }

    fn wanted() -> Option<Wanted> {
        Some(Wanted::of::<T::Context>())
    }

    async fn run(self, job: Job) -> JobResult {
        match job.context::<T::Context>() {
            Some(context) => ContextTask::run(self, &context, job).await.into_job_result(),
            // A start sees to it that there is one.
            None => {
                JobResult::Failed(format!("{} has no context {}", T::NAME, type_name::<T::Context>()).into())
            }
        }
    }
}
