//! Handlers: what a user provides, what a handler gets, and how it ends.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::queues::Queue;
use crate::engine::state::{Contexts, Engine, Shared, Wanted};
use crate::job::Retry;
use crate::partition::{
    Due, Handle, JobId, JobOptions, Key, MonoTime, Payload, Priority, Started, Timestamp, Version,
};

/// Any error that a handler may return.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A job that has fired, as its handler gets it, with everything a handler needs to be idempotent.
///
/// At least once means that a handler may see the same job again after a crash. [`id`](Self::id) and
/// [`version`](Self::version) are then the same, and [`attempt`](Self::attempt) is higher.
pub struct Job {
    started: Started,
    seat: Arc<Seat>,
}

/// What runs jobs of a queue: a worker, or the driver. Each has its own, so that jobs that run at the same time do not count
/// their references in the same place.
pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<Queue>,
}

impl Seat {
    /// How long an attempt may take.
    #[inline]
    pub(crate) fn time_allowed(&self, started: &Started) -> Option<Duration> {
        let own = started.options.timeout().map(|timeout| timeout.0);
        own.or(self.queue.policy().timeout)
    }
}

impl Job {
    pub(crate) fn new(started: Started, seat: &Arc<Seat>) -> Self {
        Job { started, seat: Arc::clone(seat) }
    }

    /// The caller's name for the job.
    pub fn key(&self) -> &Key {
        &self.started.key
    }

    /// The name of the queue that runs it.
    pub fn queue(&self) -> &str {
        self.seat.queue.name.as_str()
    }

    /// Its number, never used twice.
    pub fn id(&self) -> JobId {
        self.started.id
    }

    /// Its handle.
    pub fn handle(&self) -> Handle {
        self.started.handle
    }

    /// 1 for a new job, and 1 more for every change.
    pub fn version(&self) -> Version {
        self.started.version
    }

    /// How often its handler has begun, this time included. Above 1 if it was tried before, or if a process or the runtime ended while
    /// it ran.
    ///
    /// Earlier attempts count if the store has their start:
    /// - At most once: the start is in the store before the handler begins.
    /// - At least once: the start is sent when the handler begins, and arrives while it runs, also while it blocks. If the
    ///   handler ends its process before that, within about a round trip, the attempt is not counted.
    /// - A job that a restart found overdue may have ended the process before. So its handler begins only when its start is in
    ///   the store, and a job that ends its process at once is counted from the second time on. If the store is failing, or does
    ///   not answer within a second, the handler begins nevertheless.
    pub fn attempt(&self) -> u16 {
        self.started.attempt
    }

    /// Its place among the jobs of one tick.
    pub fn priority(&self) -> Priority {
        self.started.options.priority()
    }

    /// What else was said of it when it was scheduled.
    pub fn options(&self) -> &JobOptions {
        &self.started.options
    }

    /// The value of one of its headers: see [`Schedule::header`](crate::Schedule::header). All of them are in its
    /// [`options`](Self::options).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.started.options.headers()?.value(name)
    }

    /// When it was due. For a job scheduled after a delay, by the wall clock as it stood when it fired.
    pub fn due(&self) -> Timestamp {
        self.started.due
    }

    /// The instant for which it was scheduled: of a recurring job, the one that its rule names, however late it runs, and whatever
    /// [`due`](Self::due) became of retries. Of another, its due time.
    pub fn scheduled_for(&self) -> Timestamp {
        self.started
            .options
            .occurrence()
            .map_or(self.started.due, |progress| progress.occurrence.scheduled_for)
    }

    /// How many occurrences of a recurring job were passed over since the last one that ran. 0 for another job.
    pub fn missed(&self) -> u64 {
        self.started.options.occurrence().map_or(0, |progress| progress.occurrence.missed)
    }

    /// When it fired; never before it was due.
    pub fn fired_at(&self) -> Timestamp {
        self.started.fired_at
    }

    /// How long after its due time it fired, by the clock it follows.
    pub fn lateness(&self) -> Duration {
        Duration::from_micros(self.started.lateness_us)
    }

    /// Its payload.
    pub fn payload(&self) -> &Payload {
        &self.started.payload
    }

    /// Its payload, read as JSON.
    ///
    /// # Errors
    /// When the payload is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.started.payload.as_bytes())
    }

    /// The epoch of the lease under which the engine writes now: it grows with every engine that takes over the job's partition, and
    /// when the same has to claim it again. 0 without a store. To keep stale attempts out of other systems there is
    /// [`fencing_token`](Self::fencing_token).
    pub fn epoch(&self) -> u64 {
        let at = usize::from(self.started.handle.partition().0);
        let ownership = self.seat.shared.ownership.as_ref();
        ownership.and_then(|ownership| ownership.grant(at)).map_or(0, |grant| grant.epoch)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.seat.shared
    }

    pub(super) fn started(&self) -> &Started {
        &self.started
    }

    pub(super) fn turn(&self) -> u64 {
        self.started.turn
    }

    /// When the attempt has taken too long.
    pub(crate) fn deadline(&self) -> Option<MonoTime> {
        let limit = self.seat.time_allowed(&self.started)?;
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Some(self.started.began.saturating_add_micros(limit_us))
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(crate) fn contexts(&self) -> &Contexts {
        &self.seat.shared.contexts
    }

    /// The engine that fired it. A handler may schedule, move and cancel jobs, also under its own key.
    ///
    /// It does not keep the engine from stopping: when the last [`Engine`] of the application is dropped, the engine ends, whatever
    /// handlers hold. Kept beyond that, its calls answer [`ShuttingDown`](crate::CallError::ShuttingDown), and the jobs stay in
    /// memory with it.
    pub fn engine(&self) -> Engine {
        Engine::borrowed(Arc::clone(&self.seat.shared))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("queue", &self.queue()).field("started", &self.started).finish()
    }
}

/// How a handler says that it ended.
///
/// Most handlers return nothing, or a `Result`, which are turned into this ([`IntoJobResult`]). One that has more to say than
/// that returns it itself, or as `Result<JobResult, E>` if it uses `?`. More ways to end may be added.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobResult {
    /// It did what it had to.
    Done,
    /// It failed. It is tried again as its policy says: see [`Retry`](crate::Retry).
    Failed(BoxError),
    /// It failed, and is to be tried again after this long, if its policy lets it be tried again at all. Without any policy it is.
    RetryIn(Duration, BoxError),
    /// It has not failed, and wants to run again at this time: what it waits for is not there yet. It keeps its key.
    Again(Due),
    /// There is nothing to do any more, for this reason. It has ended.
    Discarded(String),
    /// It is of no use to try it again: it is kept among the dead.
    Dead(BoxError),
}

impl JobResult {
    /// It wants to run again after this long, and has not failed.
    pub fn again_in(delay: Duration) -> Self {
        JobResult::Again(Due::In(delay))
    }

    /// It wants to run again at this instant, and has not failed.
    pub fn again_at(instant: impl Into<Timestamp>) -> Self {
        JobResult::Again(Due::at(instant))
    }

    /// There is nothing to do any more, for this reason.
    pub fn discarded(reason: impl Into<String>) -> Self {
        JobResult::Discarded(reason.into())
    }

    /// It failed, and is of no use to try again.
    pub fn dead(error: impl Into<BoxError>) -> Self {
        JobResult::Dead(error.into())
    }

    /// It failed, and is to be tried again after this long.
    pub fn retry_in(delay: Duration, error: impl Into<BoxError>) -> Self {
        JobResult::RetryIn(delay, error.into())
    }
}

/// What a handler may return: nothing, a [`JobResult`], or a `Result` of either with any error. (Or never, as one that only
/// panics.)
pub trait IntoJobResult {
    /// How the handler ended.
    fn into_job_result(self) -> JobResult;
}

impl IntoJobResult for JobResult {
    fn into_job_result(self) -> JobResult {
        self
    }
}

impl IntoJobResult for () {
    fn into_job_result(self) -> JobResult {
        JobResult::Done
    }
}

impl<T: IntoJobResult, E: Into<BoxError>> IntoJobResult for Result<T, E> {
    fn into_job_result(self) -> JobResult {
        match self {
            Ok(end) => end.into_job_result(),
            Err(error) => JobResult::Failed(error.into()),
        }
    }
}

/// What `fn() -> T` returns: the only way to name the never type in stable Rust.
#[doc(hidden)]
#[expect(unnameable_types, reason = "sealed")]
pub trait Returns {
    type Returned;
}

impl<T> Returns for fn() -> T {
    type Returned = T;
}

/// An [`IntoJobResult`], or the never type. A trait of its own, so that other crates can implement `IntoJobResult`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler cannot end with `{Self}`",
    label = "this handler does",
    note = "a handler ends with `()`, with a `JobResult`, or with a `Result` of one of these whose error can be turned into a `BoxError`: end it with `;` or `Ok(())`"
)]
#[expect(unnameable_types, reason = "sealed: who needs a bound names `IntoJobResult`")]
pub trait Ends {
    fn into_end(self) -> JobResult;
}

impl<T: IntoJobResult> Ends for T {
    fn into_end(self) -> JobResult {
        self.into_job_result()
    }
}

/// The type of a handler's body that only panics.
impl Ends for <fn() -> ! as Returns>::Returned {
    fn into_end(self) -> JobResult {
        self
    }
}

/// A typed kind of job: its name, its payload, and what it does.
///
/// ```
/// use reveille::{BoxError, Job, Task};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct OpenSale {
///     product: u64,
/// }
///
/// impl Task for OpenSale {
///     const NAME: &'static str = "open_sale";
///     type Output = Result<(), BoxError>;
///
///     async fn run(self, job: Job) -> Self::Output {
///         println!("{} is on sale, {:?} after its time", self.product, job.lateness());
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    note = "implement `reveille::Task`, or `reveille::ContextTask` for one that needs something of the application"
)]
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the queue that runs it.
    const NAME: &'static str;

    /// What it ends with: `()`, `Result<(), E>`, or all else that a handler may return.
    type Output: IntoJobResult;

    /// How often, and when, it is tried again if it fails. By default it is not.
    fn retry() -> Option<Retry> {
        None
    }

    /// How long an attempt may take. By default as long as it likes.
    fn timeout() -> Option<Duration> {
        None
    }

    /// What it needs to find among the contexts.
    #[doc(hidden)]
    fn wanted() -> Option<Wanted> {
        None
    }

    /// Runs it.
    fn run(self, job: Job) -> impl Future<Output = Self::Output> + Send;
}

/// A handler that runs on the driver's thread.
pub(crate) type InlineFn = dyn Fn(&Job) -> JobResult + Send + Sync;

/// The handler of a queue of tasks.
pub(crate) async fn run_task<T: Task>(job: Job) -> JobResult {
    match job.json::<T>() {
        Ok(task) => task.run(job).await.into_job_result(),
        Err(error) => JobResult::Failed(format!("the payload is no {}: {error}", T::NAME).into()),
    }
}
