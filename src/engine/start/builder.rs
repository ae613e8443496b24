//! Building and starting an engine.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::restore::{self, Base, Built, Claimed};
use super::told::{RestoreTold, StandbyTold};
use crate::clock::{Clock, Profile};
use crate::engine::durability::{committer, deadline, snapshots};
use crate::engine::error::StartError;
use crate::engine::meters::Register;
#[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
use crate::engine::ownership::OnLoss;
use crate::engine::ownership::{Keeper, Ownership, keeper};
use crate::engine::queues::{Pool, Queue, QueueConfig, Queues, Runner};
use crate::engine::run::{BoxError, Ends, InlineFn, InlineQueue, Job, Task, driver, run_task, worker};
use crate::engine::state::{
    Contexts, Engine, EngineMeters, Gates, Handlers, KeyHasher, Life, Notes, Probe, Proposal, Releases, Room,
    Settings, Shared, Signals, Wanted,
};
use crate::engine::tell::publish;
use crate::rt::{Io, Runtime};
use crate::store::{Durability, Store};
use crate::sync::atomic::AtomicU64;

/// Collects what an engine is made of. See [`Engine::builder`].
#[must_use = "a builder does nothing until `start` is called"]
#[derive(Default)]
pub struct Builder {
    pub(crate) settings: Settings,
    queues: Vec<(QueueConfig, Handler)>,
    clock: Clock,
    pub(crate) store: Option<Arc<dyn Store>>,
    runtime: Option<Runtime>,
    probe: Option<Probe>,
    pub(crate) told: Option<RestoreTold>,
    pub(crate) standby_told: Option<StandbyTold>,
    pub(crate) contexts: Contexts,
    gates: Gates,
    /// The tasks that have handlers, and what they need to find in `contexts`.
    wanted: Vec<(&'static str, Option<Wanted>)>,
    /// The first setting that means nothing without a store.
    pub(crate) wants_store: Option<&'static str>,
    /// Whether an engine without a queue is intended.
    is_without_queues: bool,
}

/// A handler whose engine does not exist yet.
enum Handler {
    Async(Box<dyn FnOnce(Weak<Shared>) -> Runner + Send>),
    Inline(Arc<InlineFn>),
}

impl Engine {
    /// Starts building an engine.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Adds a queue whose jobs an async handler runs, on the runtime.
    ///
    /// The handler gets the [`Job`] and ends with `()` or with a `Result` of any error. An error or a panic is a failed
    /// attempt: logged, counted, and never the end of the worker.
    ///
    /// A handler that blocks its thread, or computes for long between two awaits, holds up everything else on that thread: other
    /// handlers (on a `current_thread` runtime all of them) and your own tasks, including those that await a
    /// [`Commit`](crate::Commit). It does not hold up the engine: due jobs, commits, leases and snapshots have threads of their
    /// own. When a runtime polls nothing for a second, the engine warns in the log and counts it in
    /// [`Stats::runtime_pause`](crate::Stats::runtime_pause). Blocking work belongs on a
    /// [`blocking_queue`](Self::blocking_queue), or in `tokio::task::spawn_blocking` within the handler.
    pub fn queue<F, Fut>(mut self, config: impl Into<QueueConfig>, handler: F) -> Self
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ends,
    {
        let (config, handler) = (config.into(), Arc::new(handler));
        let layers = config.layers().clone();
        let runner = Handler::Async(Box::new(move |shared| worker::runner(shared, &layers, handler)));
        self.queues.push((config, runner));
        self
    }

    /// Adds a queue for handlers that block or compute. Each job runs on one of the runtime's threads for blocking work
    /// (`spawn_blocking`), as many at a time as the queue's concurrency says, and holds up no other.
    ///
    /// The runtime shares 512 such threads among all its users, unless it was built with another number. An error or a panic is
    /// a failed attempt, as for async handlers. A blocking handler cannot be interrupted: a shutdown waits for it within its
    /// grace period, and the runtime waits for it before it ends.
    ///
    /// ```
    /// # use reveille::{Engine, Job, QueueConfig};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder()
    ///     .blocking_queue(QueueConfig::new("thumbnails").concurrency(4), |job: &Job| {
    ///         std::thread::sleep(Duration::from_millis(1)); // or half a second of computing
    ///         println!("{} is done", job.key());
    ///     })
    ///     .start()
    ///     .await?;
    /// engine.schedule_raw("thumbnails", "").key("photo:42").after(Duration::ZERO).await?;
    /// engine.idle().await;
    /// # Ok(()) }
    /// ```
    pub fn blocking_queue<F, O>(mut self, config: impl Into<QueueConfig>, handler: F) -> Self
    where
        F: Fn(&Job) -> O + Send + Sync + 'static,
        O: Ends,
    {
        let handler = inline(handler);
        let runner = Handler::Async(Box::new(|shared| worker::blocking_runner(shared, handler)));
        self.queues.push((config.into().not_async(), runner));
        self
    }

    /// Adds a queue whose jobs run on the driver's own thread, the moment they are due, one after another.
    ///
    /// Use it when microseconds count. Nothing else fires while such a handler runs, so it must be short and must not
    /// block. An error or a panic is a failed attempt, as for async handlers.
    pub fn inline_queue<F, O>(mut self, config: impl Into<QueueConfig>, handler: F) -> Self
    where
        F: Fn(&Job) -> O + Send + Sync + 'static,
        O: Ends,
    {
        self.queues.push((config.into().not_async(), Handler::Inline(inline(handler))));
        self
    }

    /// Adds the queue that runs tasks of type `T`, named [`Task::NAME`].
    pub fn task<T: Task>(self) -> Self {
        self.task_with::<T>(QueueConfig::new(T::NAME))
    }

    /// Like [`task`](Self::task), with limits. The queue's name is [`Task::NAME`], whatever name `config` has.
    pub fn task_with<T: Task>(self, config: QueueConfig) -> Self {
        let config = config.named(T::NAME).unless_said(T::retry(), T::timeout());
        let mut builder = self.queue(config, run_task::<T>);
        builder.wanted.push((T::NAME, T::wanted()));
        builder
    }

    /// Gives handlers a value of the application, such as a pool of connections: a [`ContextTask`](crate::ContextTask) runs with
    /// it, and [`Job::context`] returns it. One value of each type; a second replaces the first.
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

    /// Has every job looked at before it is scheduled, by whichever call: to add a header to it or a tag, to give it other options, or to
    /// decline it, which the call answers with [`ScheduleError::Declined`](crate::ScheduleError::Declined). Several are asked in
    /// the order in which they were added, and each sees what those before it have made of the job; the first to decline ends it.
    ///
    /// It runs on the thread of the call and must be quick. It is not asked again for retries and occurrences of a job. What
    /// several replicas schedule under one key when they start ([`OnConflict::Update`](crate::OnConflict::Update)) is only the
    /// same if this says the same of it each time.
    ///
    /// ```
    /// # use reveille::{Engine, Job, ScheduleError};
    /// # use std::time::Duration;
    /// # fn current_traceparent() -> Option<String> { Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder()
    ///     .queue("mails", |_: Job| async {})
    ///     .before_schedule(|job| {
    ///         if job.payload().is_empty() {
    ///             return Err("a mail without a body".into());
    ///         }
    ///         if let Some(traceparent) = current_traceparent() {
    ///             job.header("traceparent", traceparent)?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .start()
    ///     .await?;
    /// let declined = engine.schedule_raw("mails", "").after(Duration::from_secs(60)).await;
    /// assert!(matches!(declined, Err(ScheduleError::Declined(_))));
    /// # Ok(()) }
    /// ```
    pub fn before_schedule(
        mut self,
        gate: impl Fn(&mut Proposal<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.gates.add(Box::new(gate));
        self
    }

    /// How many handlers run at a time over all queues but inline ones, which have the driver's thread to themselves. By default each
    /// queue has its own [concurrency](QueueConfig::concurrency) and no regard for others; with a pool both limits hold.
    ///
    /// When a handler ends, the queue that comes first starts the next job: by [precedence](QueueConfig::precedence), and by
    /// [weight](QueueConfig::weight) among those of the same. A queue that is paused, held by its rate, at its own limit, or without a
    /// due job is passed by: no handler of the pool idles while any job could start. Within a queue the order stays as it is.
    ///
    /// It can be changed while the engine runs: [`Engine::set_pool`]. A start looks at the queues one by one, so a pool is for some tens
    /// of queues, not thousands.
    ///
    /// ```
    /// use reveille::{Engine, Job, QueueConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder()
    ///     .pool(20)
    ///     .queue(QueueConfig::new("alarms").precedence(1), |_: Job| async {}) // before all others
    ///     .queue(QueueConfig::new("mails").weight(3), |_: Job| async {}) // three for each report
    ///     .queue("reports", |_: Job| async {})
    ///     .start()
    ///     .await?;
    /// # drop(engine); Ok(()) }
    /// ```
    pub fn pool(mut self, handlers: usize) -> Self {
        self.settings.pool = Some(handlers);
        self
    }

    /// Lets the engine start without a queue; add queues later with [`Engine::add_queue`]. Without this call, an engine that
    /// has no queue does not start.
    pub fn without_queues(mut self) -> Self {
        self.is_without_queues = true;
        self
    }

    /// Names the engine in metrics, as the label `engine`. A process with several engines needs it: without names there is no
    /// such label, and the engines overwrite each other's gauges.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Whether the spans of attempts also have fields by the names of OpenTelemetry's conventions for messaging, as
    /// `tracing-opentelemetry` reads them. By default they have a few short ones. `docs/metrics.md` lists them all.
    pub fn messaging_spans(mut self, are_wanted: bool) -> Self {
        self.settings.has_messaging_spans = are_wanted;
        self
    }

    /// How the driver waits. See [`Profile`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings.profile = profile;
        self
    }

    /// The wheel's resolution: a job fires at the first tick at or after its due time. 1 µs to 60 s, in whole microseconds;
    /// 1 ms by default.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.settings.tick = tick;
        self
    }

    /// How many partitions there are: 1 to 1024, 8 by default. The number cannot change once a store has jobs.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.settings.partitions = partitions;
        self
    }

    /// How many jobs may be pending or running: 50 million by default.
    pub fn jobs_max(mut self, jobs: usize) -> Self {
        self.settings.jobs_max = jobs;
        self
    }

    /// How many bytes a payload may have: 1 to 16 MiB, 64 KiB by default. Keep larger data elsewhere, and schedule a
    /// reference to it.
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.payload_bytes_max = bytes;
        self
    }

    /// How far ahead a job may be due: at least a tick, ten years by default. Where the wall clock was set back, half of it counts
    /// from where it was before.
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.settings.horizon = horizon;
        self
    }

    /// How many fired jobs are remembered, and for how long, so that `AlreadyFired` can be told from `NotFound`: 100,000 for
    /// an hour by default. Older ones are forgotten as other jobs of their partition end. With 0 of either nothing is
    /// remembered, and a job that has fired is `NotFound`.
    pub fn remember_fired(mut self, jobs: usize, time: Duration) -> Self {
        self.settings.fired_max = jobs;
        self.settings.fired_for = time;
        self
    }

    /// How many dead jobs of a queue are kept, and for how long: 10,000 for 180 days by default. Each death purges the oldest of its
    /// queue that are too many or too old, by partition: of 8 partitions each keeps an eighth. With 0 jobs nothing is kept.
    pub fn keep_dead(mut self, jobs: usize, time: Duration) -> Self {
        self.settings.dead_max = jobs;
        self.settings.dead_for = time;
        self
    }

    /// Says that the store may have jobs of queues that are not built here: queues that are added after the start
    /// ([`Engine::add_queue`]), or whose jobs this engine should not run. By default the engine logs a warning for each such
    /// queue at the start, with the number of its jobs, and another when one of them comes due.
    pub fn unhandled_queues(mut self, are_expected: bool) -> Self {
        self.settings.expects_unhandled = are_expected;
        self
    }

    /// Where the time comes from: the system by default. Takes a [`Clock`], or an `Arc` of the
    /// [`ManualClock`](crate::clock::ManualClock) that a test moves.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// The runtime that handlers run on: by default the one in which [`start`](Self::start) is called. The engine itself needs
    /// neither its timer nor its I/O.
    ///
    /// The runtime has to live as long as the engine. When it ends, the engine stops: running handlers are interrupted, the
    /// leases are given back, and calls are refused with [`CallError::RuntimeEnded`](crate::CallError::RuntimeEnded). So do not
    /// build an engine in a `static` that several tests share on the runtime of one of them.
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(Runtime::Tokio(runtime));
        self
    }

    /// What it gives up with a partition that another takes.
    #[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
    pub(crate) fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.settings.on_loss = on_loss;
        self
    }

    pub(crate) fn probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Takes the leases, loads what the store holds, and starts firing. Add queues and tasks first:
    /// `builder.queue(..).start().await?`.
    ///
    /// While another engine owns the jobs this waits, or fails at once: see [`standby`](Self::standby). A service that must answer
    /// meanwhile calls [`start_in_background`](Self::start_in_background). If this future is dropped before it resolves, nothing
    /// starts, and leases it has taken are given back. Any executor may poll it, if the runtime is named.
    ///
    /// # Errors
    /// When a setting is out of range, a queue is invalid, there is no runtime or it has ended, or the store fails, cannot
    /// give the durability, or holds inconsistent data. The store's data is then unchanged.
    pub async fn start(self) -> Result<Engine, StartError> {
        self.check()?;
        let runtime = self.runtime_or_current()?;
        let Builder {
            mut settings,
            queues: configs,
            clock,
            store,
            probe,
            told,
            standby_told,
            contexts,
            gates,
            ..
        } = self;
        let durability = settings.durability.unwrap_or(default_durability(store.is_some()));
        settings.durability = Some(durability);
        let on_runtime = Handlers::on(runtime.for_handlers())?;
        let register = Register::new(settings.name.as_deref());
        let meters = EngineMeters::new(&register, settings.jobs_max, settings.pool.is_some());
        let queues = Queues::new(usize::from(settings.partitions), register);
        let mut handlers = Vec::with_capacity(configs.len());
        for (config, handler) in configs {
            config.check(settings.horizon)?;
            config.check_place(settings.pool.is_some() && matches!(handler, Handler::Async(_)))?;
            handlers.push((queues.claim(config)?, handler));
        }
        let base = Arc::new(Base { settings, clock, queues, hasher: KeyHasher::default(), standby_told });
        let (built, claimed, keeper) = match store {
            Some(store) => {
                let (built, claimed, keeper) = tokio::select! {
                    biased;
                    restored = restore(store, &base, told) => restored?,
                    () = on_runtime.ended() => return Err(StartError::RuntimeEnded),
                };
                (built, Some(claimed), Some(keeper))
            }
            None => (restore::nothing(&base)?, None, None),
        };
        on_runtime.check()?;
        // All tasks that took part in building have ended.
        let Base { settings, clock, queues, hasher, .. } =
            Arc::into_inner(base).ok_or(StartError::Interrupted)?;
        let jobs = built.iter().map(|built| built.jobs).sum();
        let room = Room::new(settings.jobs_max, built.len(), jobs);
        let ownership = claimed.as_ref().map(|claimed| claimed.ownership());
        let (horizon, pool) = (settings.horizon, settings.pool.map(|handlers| Box::new(Pool::new(handlers))));
        let shared = Arc::new(Shared {
            meters,
            incarnation: (clock.now().wall.as_micros() as u64) << 16 | u64::from(settings.engine),
            settings,
            clock,
            handlers: on_runtime,
            ownership,
            cells: built.into_iter().map(|built| built.cell).collect(),
            hasher,
            queues,
            pool,
            releases: Releases::default(),
            // The driver looks at its first turn.
            rate_wake: AtomicU64::new(u64::MAX),
            overdue_wake: AtomicU64::new(0),
            waker: Arc::default(),
            life: Life::new(),
            room,
            clock_steps: AtomicU64::new(0),
            driver_wakes: AtomicU64::new(0),
            probe,
            contexts,
            gates: gates.within(horizon),
            signals: Signals::default(),
            notes: Notes::default(),
        });
        let inline = run_queues(&shared, handlers);
        // Before the driver finds that such jobs are due: who expects them is not told.
        shared.queues.tell_unhandled(shared.settings.expects_unhandled);
        let driver = driver::start(&shared, inline).map_err(StartError::Thread)?;
        if let Some(ownership) = claimed.map(Claimed::keep) {
            let weak = Arc::downgrade(&shared);
            ownership.serves(weak);
            committer::start(&shared, &ownership);
            keep_leases(&shared, &ownership);
            drop(keeper);
            snapshots::start(&shared, &ownership);
            deadline::start(&shared, &ownership.io);
        }
        let weak = Arc::downgrade(&shared);
        shared.handlers.on_end(move || weak.upgrade().iter().for_each(|shared| shared.runtime_ends()));
        publish::start(&shared);
        tracing::info!(partitions = shared.cells.len(), jobs, "the engine has started");
        Ok(Engine::owning(shared, driver, |shared| shared.tell_drop()))
    }
}

/// Has the leases kept until nobody has anything left to write.
fn keep_leases(shared: &Arc<Shared>, ownership: &Arc<Ownership>) {
    let runtime = ownership.io.runtime();
    let (shared, ownership) = (Arc::clone(shared), Arc::clone(ownership));
    runtime.spawn(async move {
        let ended = shared.logs_ended();
        keeper::keep_for(Arc::clone(&shared), ownership, ended).await;
    });
}

fn inline<O: Ends>(handler: impl Fn(&Job) -> O + Send + Sync + 'static) -> Arc<InlineFn> {
    Arc::new(move |job: &Job| handler(job).into_end())
}

/// Restores what the store holds, on a thread that is the engine's from then on.
async fn restore(
    store: Arc<dyn Store>,
    base: &Arc<Base>,
    told: Option<RestoreTold>,
) -> Result<(Vec<Built>, Claimed, Keeper), StartError> {
    let io = Io::start().map_err(StartError::Thread)?;
    let (base, its) = (Arc::clone(base), io.clone());
    let restoring = io.runtime().spawn_scoped(async move { restore::from(store, &base, its, told).await });
    restoring.await.ok_or(StartError::Interrupted)?
}

impl Builder {
    /// Checks the settings, each by itself and together. Setters take any value, so that they can be chained; this names the
    /// setting that is wrong.
    pub(super) fn check(&self) -> Result<(), StartError> {
        self.settings.check()?;
        for &(task, wanted) in &self.wanted {
            self.contexts.check(task, wanted)?;
        }
        let is_durable = self.settings.durability.is_some_and(|durability| durability > Durability::Memory);
        match self.wants_store.or(is_durable.then_some("durability")) {
            Some(setting) if self.store.is_none() => Err(StartError::NoStore { setting }),
            _ if self.queues.is_empty() && !self.is_without_queues => Err(StartError::NoQueue),
            _ => Ok(()),
        }
    }

    pub(crate) fn runtime_or_current(&self) -> Result<Runtime, StartError> {
        self.runtime.clone().or_else(Runtime::current).ok_or(StartError::NoRuntime)
    }
}

/// Has the jobs of every queue run by its handler. Returns the queues that the driver has to run.
fn run_queues(shared: &Arc<Shared>, handlers: Vec<(Arc<Queue>, Handler)>) -> Vec<InlineQueue> {
    let mut inline = Vec::new();
    for (queue, handler) in handlers {
        match handler {
            Handler::Async(runner) => {
                shared.pool.iter().for_each(|pool| pool.join(&queue));
                queue.run_by(runner(Arc::downgrade(shared)));
            }
            Handler::Inline(handler) => {
                queue.run_by(Runner::Driver);
                inline.push((queue, handler));
            }
        }
    }
    inline
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn default_durability(has_store: bool) -> Durability {
    if has_store { Durability::Logged } else { Durability::Memory }
}
