//! Middleware around handlers, in the terms of tower: a job is a request, and how it ended is the response.
//!
//! # Rules
//! - A queue without layers has none of this: see `worker`.
//! - A queue has one service, which its workers share: at a [`Turnstile`]. Layers need not be `Clone`, and a limit in one of them
//!   is a limit of the queue.
//! - `Err` is a failed attempt, and nothing else is. A handler's [`JobResult::Failed`] comes to a layer as `Err`, so that layers that
//!   know nothing of jobs see failures; what a layer returns as `Err` fails the attempt.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tower_layer::Layer;
use tower_service::Service;

use super::handler::{BoxError, Ends, IntoJobResult, Job, JobResult};
use crate::engine::queues::{Layers, QueueConfig};

/// How a job goes through a service.
type JobFuture = Pin<Box<dyn Future<Output = Result<JobResult, BoxError>> + Send>>;

/// A service whose type is forgotten.
type BoxService = Box<dyn Service<Job, Response = JobResult, Error = BoxError, Future = JobFuture> + Send>;

type HandlerFn = dyn Fn(Job) -> JobFuture + Send + Sync;

/// The handler of a queue as a `tower` service of jobs, with the layers that are around it already: what a layer of
/// [`QueueConfig::layer`] gets.
#[derive(Clone)]
pub struct JobService(Inner);

#[derive(Clone)]
enum Inner {
    Handler(Arc<HandlerFn>),
    Layered(Turnstile),
}

/// Puts another layer around a service.
type Wrap = dyn Fn(JobService) -> BoxService + Send + Sync;

impl QueueConfig {
    /// Puts middleware around the handler of the queue: anything of [`tower`](https://docs.rs/tower), such as its time-outs and limits, or a
    /// [`Layer`] of your own. Needs the cargo feature `tower`, and an async handler.
    ///
    /// Each call goes around what was there before, so the last layer is the outermost. With a `tower::ServiceBuilder` as the
    /// layer the order is that of its lines: the first is the outermost.
    ///
    /// - **How it ends.** A handler that failed answers `Err`, and every other end is an `Ok`. What the outermost layer answers is how
    ///   the attempt ended: an error of a layer is a failed attempt, tried again as the policy says. So is one of `poll_ready`.
    ///   A panic in a layer is a panic of the handler.
    /// - **Back-pressure.** No job of the queue starts until the layers are ready (`poll_ready`). Until then it waits among the ready jobs,
    ///   in its order, where it can be moved and cancelled, and survives a shutdown. What waits within `call`, as behind a
    ///   `tower::buffer::Buffer`, has started.
    /// - **One service.** The workers of a queue share it, so a limit holds for the queue, and layers need not be `Clone`. If the job for
    ///   which it became ready is cancelled, it stays ready, with what it has taken for that, until the next. So a
    ///   `tower::limit::GlobalConcurrencyLimitLayer` that several queues share needs at least as many permits as there are queues.
    /// - **Jobs whose start is written first** (at most once, or found overdue by a restart) start, wait for the store, and
    ///   wait for the layers once more if another job went first meanwhile.
    ///
    /// The layers are built when the engine starts, within its runtime.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reveille::{Engine, Job, QueueConfig};
    /// use tower::ServiceBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layers = ServiceBuilder::new()
    ///     .map_request(|job: Job| { println!("{} begins", job.key()); job }) // the outermost
    ///     .rate_limit(100, Duration::from_secs(1))
    ///     .timeout(Duration::from_secs(5));
    /// let mails = QueueConfig::new("mails").layer(layers);
    /// let engine = Engine::builder().queue(mails, |_: Job| async {}).start().await?;
    /// # engine.schedule_raw("mails", "").after(Duration::ZERO).await?.scheduled()?; engine.idle().await;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<JobService> + Send + Sync + 'static,
        L::Service: Service<Job> + Send + 'static,
        <L::Service as Service<Job>>::Response: IntoJobResult,
        <L::Service as Service<Job>>::Error: Into<BoxError>,
        <L::Service as Service<Job>>::Future: Send + 'static,
    {
        let wrap: Box<Wrap> = Box::new(move |inner| Box::new(Erasing(layer.layer(inner))));
        self.layers_mut().push(Arc::new(wrap));
        self
    }
}

/// A handler with layers around it, that are not built yet; `None` if there are none.
pub(super) fn around<F, Fut>(
    layers: &Layers,
    handler: &Arc<F>,
) -> Option<impl FnOnce() -> Stack + use<F, Fut>>
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Ends,
{
    let layers = layers.clone();
    layers.iter().next()?;
    let handler = Arc::clone(handler);
    Some(move || {
        let handler = move |job: Job| -> JobFuture {
            let handler = Arc::clone(&handler);
            Box::pin(async move { told(handler(job).await.into_end()) })
        };
        let mut inner = JobService(Inner::Handler(Arc::new(handler)));
        let mut outermost = None;
        for wrap in layers.iter().filter_map(|layer| layer.downcast_ref::<Box<Wrap>>()) {
            let stack = Stack::new(wrap(inner));
            inner = JobService(Inner::Layered(stack.turnstile()));
            outermost = Some(stack);
        }
        outermost.unwrap_or_else(|| Stack::new(Box::new(inner)))
    })
}

/// A failure as an error.
fn told(end: JobResult) -> Result<JobResult, BoxError> {
    match end {
        JobResult::Failed(error) => Err(error),
        end => Ok(end),
    }
}

impl Service<Job> for JobService {
    type Response = JobResult;
    type Error = BoxError;
    type Future = JobFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.0 {
            Inner::Handler(_) => Poll::Ready(Ok(())),
            Inner::Layered(turnstile) => turnstile.poll_ready(context),
        }
    }

    fn call(&mut self, job: Job) -> JobFuture {
        match &mut self.0 {
            Inner::Handler(handler) => handler(job),
            Inner::Layered(turnstile) => turnstile.call(job),
        }
    }
}

impl fmt::Debug for JobService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobService").finish_non_exhaustive()
    }
}

struct Erasing<S>(S);

impl<S> Service<Job> for Erasing<S>
where
    S: Service<Job>,
    S::Response: IntoJobResult,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = JobResult;
    type Error = BoxError;
    type Future = JobFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, job: Job) -> JobFuture {
        let called = self.0.call(job);
        Box::pin(async move { told(called.await.into_job_result()) })
    }
}

/// A service that many share.
#[derive(Clone)]
pub(super) struct Stack(Arc<Mutex<BoxService>>);

impl Stack {
    fn new(service: BoxService) -> Self {
        Stack(Arc::new(Mutex::new(service)))
    }

    pub(super) fn turnstile(&self) -> Turnstile {
        Turnstile { stack: self.clone(), stands: Stands::Outside }
    }
}

/// A way into a service that many share. One at a time has it, from before it asks whether the service is ready until it has called
/// it, or is dropped: so what is ready for one is not taken by another.
pub(super) struct Turnstile {
    stack: Stack,
    stands: Stands,
}

enum Stands {
    Outside,
    InLine(Pin<Box<dyn Future<Output = OwnedMutexGuard<BoxService>> + Send>>),
    Inside(OwnedMutexGuard<BoxService>),
}

impl Turnstile {
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            match &mut self.stands {
                Stands::Outside => {
                    self.stands = match Arc::clone(&self.stack.0).try_lock_owned() {
                        Ok(service) => Stands::Inside(service),
                        Err(_) => Stands::InLine(Box::pin(Arc::clone(&self.stack.0).lock_owned())),
                    };
                }
                Stands::InLine(comes) => self.stands = Stands::Inside(ready!(comes.as_mut().poll(context))),
                Stands::Inside(service) => {
                    let is_ready = ready!(service.poll_ready(context));
                    if is_ready.is_err() {
                        self.step_back();
                    }
                    return Poll::Ready(is_ready);
                }
            }
        }
    }

    /// Takes a job through. Whoever has not waited until it was ready waits then.
    pub(super) fn call(&mut self, job: Job) -> JobFuture {
        match mem::replace(&mut self.stands, Stands::Outside) {
            Stands::Inside(mut service) => service.call(job),
            stands => {
                let mut later = Turnstile { stack: self.stack.clone(), stands };
                Box::pin(async move {
                    poll_fn(|context| later.poll_ready(context)).await?;
                    later.call(job).await
                })
            }
        }
    }

    /// Lets others go first.
    pub(super) fn step_back(&mut self) {
        self.stands = Stands::Outside;
    }
}

/// Another way into the same, in which nobody stands.
impl Clone for Turnstile {
    fn clone(&self) -> Self {
        self.stack.turnstile()
    }
}
