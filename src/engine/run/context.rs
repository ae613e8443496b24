//! What an application gives its handlers: values by type, set once at the builder.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{BoxError, Job, Task};
use crate::engine::state::Wanted;

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

    /// Runs it.
    fn run(self, context: &Self::Context, job: Job) -> impl Future<Output = Result<(), BoxError>> + Send;
}

impl<T: ContextTask> Task for T {
    const NAME: &'static str = T::NAME;

    fn wanted() -> Option<Wanted> {
        Some(Wanted::of::<T::Context>())
    }

    async fn run(self, job: Job) -> Result<(), BoxError> {
        match job.context::<T::Context>() {
            Some(context) => ContextTask::run(self, &context, job).await,
            // A start sees to it that there is one.
            None => Err(format!("{} has no context {}", T::NAME, type_name::<T::Context>()).into()),
        }
    }
}
