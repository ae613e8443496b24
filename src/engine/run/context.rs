//! What an application gives its handlers: values by type, named once at the builder.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{IntoJobResult, Job, JobResult, Task};
use crate::engine::error::StartError;
use crate::engine::start::Builder;

/// The values of an engine, by type. A few, so looking through them is faster than a hash.
#[derive(Default)]
pub(crate) struct Contexts(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

/// A type that a task wants to find among the values.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    id: TypeId,
    name: &'static str,
}

impl Contexts {
    fn insert<C: Send + Sync + 'static>(&mut self, context: Arc<C>) {
        let id = TypeId::of::<C>();
        self.0.retain(|&(known, _)| known != id);
        self.0.push((id, context));
    }

    fn any(&self, id: TypeId) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.iter().find(|&&(known, _)| known == id).map(|(_, context)| context)
    }

    /// Whether what the task `task` wants is there.
    pub(crate) fn check(&self, task: &'static str, wanted: Option<Wanted>) -> Result<(), StartError> {
        match wanted {
            Some(Wanted { id, name }) if self.any(id).is_none() => {
                Err(StartError::NoContext { task, context: name })
            }
            _ => Ok(()),
        }
    }
}

impl Builder {
    /// Gives handlers a value of the application, such as a pool of connections: what a [`ContextTask`] runs with, and what
    /// [`Job::context`] finds. One of each type; a second replaces the first.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use reveille::{BoxError, ContextTask, Engine, Job};
    ///
    /// struct Shop { name: String }
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct OpenSale { product: u64 }
    ///
    /// impl ContextTask for OpenSale {
    ///     const NAME: &'static str = "open_sale";
    ///     type Context = Shop;
    ///     type Output = ();
    ///
    ///     async fn run(self, shop: &Shop, job: Job) {
    ///         println!("{} sells {}, {:?} late", shop.name, self.product, job.lateness());
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// let shop = Arc::new(Shop { name: "Reveille".into() });
    /// let engine = Engine::builder().context(shop).task::<OpenSale>().start().await?;
    /// engine.schedule(OpenSale { product: 42 }).after(std::time::Duration::ZERO).await?.scheduled()?;
    /// # engine.idle().await; Ok(()) }
    /// ```
    pub fn context<C: Send + Sync + 'static>(mut self, context: Arc<C>) -> Self {
        self.contexts.insert(context);
        self
    }
}

impl Job {
    /// The application's value of this type: see [`Builder::context`]. `None` if the builder was given none.
    pub fn context<C: Send + Sync + 'static>(&self) -> Option<Arc<C>> {
        let context = self.contexts().any(TypeId::of::<C>())?;
        Arc::clone(context).downcast().ok()
    }
}

/// A [`Task`] that needs something of the application to run: [`Builder::context`] names it, once, and has an example.
///
/// It is registered and scheduled as any task. Without its context the engine does not start
/// ([`StartError::NoContext`]).
pub trait ContextTask: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the queue that runs it.
    const NAME: &'static str;

    /// What it needs.
    type Context: Send + Sync + 'static;

    /// What it ends with: `()`, `Result<(), E>`, or all else that a handler may return.
    type Output: IntoJobResult;

    /// Runs it.
    fn run(self, context: &Self::Context, job: Job) -> impl Future<Output = Self::Output> + Send;
}

impl<T: ContextTask> Task for T {
    const NAME: &'static str = T::NAME;
    type Output = JobResult;

    fn wanted() -> Option<Wanted> {
        Some(Wanted { id: TypeId::of::<T::Context>(), name: type_name::<T::Context>() })
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

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts").field("count", &self.0.len()).finish()
    }
}
