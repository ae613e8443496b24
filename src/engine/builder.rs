//! Building and starting an engine.

use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::error::StartError;
use super::handler::{BoxError, InlineFn, Job, Outcome, Task, run_task};
use super::keys::KeyMap;
use super::queue::{QueueConfig, Queues, Runner};
use super::settings::Settings;
use super::shared::{Cell, Life, Probe, Shared};
use super::{Engine, committer, driver, worker};
use crate::clock::{Clock, Profile};
use crate::partition::{Handle, Key, PartitionId, Replay};
use crate::store::{Durability, Store, StoreError};

/// Collects what an engine is made of. See [`Engine::builder`].
#[must_use = "a builder does nothing until `start` is called"]
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    queues: Vec<(QueueConfig, Handler)>,
    clock: Clock,
    store: Option<Arc<dyn Store>>,
    runtime: Option<tokio::runtime::Handle>,
    probe: Option<Probe>,
}

/// A handler whose engine is yet to come.
enum Handler {
    Async(Box<dyn FnOnce(Weak<Shared>) -> Runner + Send>),
    Inline(Arc<InlineFn>),
}

impl Builder {
    /// Adds a queue whose jobs an async handler runs, on the runtime.
    ///
    /// The handler gets the [`Job`] and ends with `()` or with a `Result` of any error. An error or a panic is a failed
    /// attempt: logged, counted, and never the end of the worker.
    pub fn queue<F, Fut>(mut self, config: impl Into<QueueConfig>, handler: F) -> Self
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        let handler = Arc::new(handler);
        let runner = Handler::Async(Box::new(|shared| worker::runner(shared, handler)));
        self.queues.push((config.into(), runner));
        self
    }

    /// Adds a queue whose jobs run on the driver's own thread, the moment they are due, one after another.
    ///
    /// For those who count microseconds: nothing else fires while such a handler runs, so it must be short and must not
    /// block. An error or a panic is a failed attempt, as for async handlers.
    pub fn inline_queue<F, O>(mut self, config: impl Into<QueueConfig>, handler: F) -> Self
    where
        F: Fn(&Job) -> O + Send + Sync + 'static,
        O: Outcome,
    {
        let handler = move |job: &Job| -> Result<(), BoxError> { handler(job).into_result() };
        self.queues.push((config.into(), Handler::Inline(Arc::new(handler))));
        self
    }

    /// Adds the queue that runs tasks of type `T`, named [`Task::NAME`].
    pub fn task<T: Task>(self) -> Self {
        self.task_with::<T>(QueueConfig::new(T::NAME))
    }

    /// As [`task`](Self::task), with limits. The queue's name is [`Task::NAME`] whatever `config` says.
    pub fn task_with<T: Task>(self, config: QueueConfig) -> Self {
        self.queue(config.named(T::NAME), run_task::<T>)
    }

    /// Where records are kept. Without a store a restart forgets everything.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// When calls are acknowledged, unless they say otherwise. [`Durability::Logged`] with a store, and
    /// [`Durability::Memory`] without, if this is not called.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = Some(durability);
        self
    }

    /// How the driver waits. See [`Profile`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings.profile = profile;
        self
    }

    /// The wheel's resolution: a job fires at the first tick at or after its due time. 1 ms if this is not called; from
    /// 1 µs to 60 s, in whole microseconds.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.settings.tick = tick;
        self
    }

    /// How many partitions there are, 1 to 1024: 8 if this is not called. What is written to a store keeps its number.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.settings.partitions = partitions;
        self
    }

    /// How many jobs may be pending or running: 50 million if this is not called.
    pub fn jobs_max(mut self, jobs: usize) -> Self {
        self.settings.jobs_max = jobs;
        self
    }

    /// How many bytes a payload may have: 64 KiB if this is not called.
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.payload_bytes_max = bytes;
        self
    }

    /// How far ahead a job may be due: ten years if this is not called.
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.settings.horizon = horizon;
        self
    }

    /// How many fired jobs are remembered, so that `AlreadyFired` can be told from `NotFound`, and for how long: 100,000 for
    /// an hour, if this is not called. What is older goes when other jobs of its partition end.
    pub fn remember_fired(mut self, jobs: usize, time: Duration) -> Self {
        self.settings.fired_max = jobs;
        self.settings.fired_for = time;
        self
    }

    /// How many records a partition may have waiting for the store before calls are refused: 100,000 if this is not
    /// called.
    pub fn log_records_max(mut self, records: usize) -> Self {
        self.settings.log_records_max = records;
        self
    }

    /// Where the time comes from: the system, if this is not called.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The runtime that handlers run on: the one that [`start`](Self::start) is called in, if this is not called. With a
    /// store its timer must be enabled.
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    pub(crate) fn probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Loads what the store holds and starts firing.
    ///
    /// # Errors
    /// When a setting is out of range, a queue is invalid, there is no runtime, or the store fails or holds what does
    /// not fit together.
    pub async fn start(self) -> Result<Engine, StartError> {
        let Builder { mut settings, queues: configs, clock, store, runtime, probe } = self;
        settings.check()?;
        let durability = settings.durability.unwrap_or(default_durability(store.is_some()));
        if durability > Durability::Memory && store.is_none() {
            return Err(StartError::NoStore);
        }
        settings.durability = Some(durability);
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?,
        };
        let queues = Queues::new(usize::from(settings.partitions));
        let mut handlers = Vec::with_capacity(configs.len());
        for (config, handler) in configs {
            handlers.push((queues.claim(config)?, handler));
        }
        let keys = KeyMap::new();
        let (cells, jobs) = restore(&settings, &clock, store.as_deref(), &queues, &keys).await?;
        let shared = Arc::new(Shared {
            settings,
            clock,
            runtime_threads: runtime.metrics().num_workers(),
            runtime,
            store,
            cells,
            keys,
            queues,
            waker: Arc::default(),
            life: Life::new(jobs),
            clock_steps: AtomicU64::new(0),
            driver_wakes: AtomicU64::new(0),
            probe,
        });
        let mut inline = Vec::new();
        for (queue, handler) in handlers {
            match handler {
                Handler::Async(runner) => queue.run_by(runner(Arc::downgrade(&shared))),
                Handler::Inline(handler) => {
                    queue.run_by(Runner::Driver);
                    inline.push((queue, handler));
                }
            }
        }
        let driver = driver::start(&shared, inline).map_err(StartError::Thread)?;
        if let Some(store) = &shared.store {
            committer::start(&shared, store);
        }
        tracing::info!(partitions = shared.cells.len(), jobs, "the engine has started");
        Ok(Engine::owning(shared, driver))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Half of what can be counted.
const RECORDS_MAX: u64 = u64::MAX / 2;

fn default_durability(has_store: bool) -> Durability {
    if has_store { Durability::Logged } else { Durability::Memory }
}

/// Builds every partition from what the store holds. Returns them, and how many jobs they have.
async fn restore(
    settings: &Settings,
    clock: &Clock,
    store: Option<&dyn Store>,
    queues: &Queues,
    keys: &KeyMap,
) -> Result<(Box<[Cell]>, usize), StartError> {
    if let Some(store) = store {
        let needs = crate::store::Needs {
            partitions: settings.partitions,
            durability: settings.durability.unwrap_or_default(),
        };
        store.open(&needs).await?;
    }
    let mut cells = Vec::with_capacity(usize::from(settings.partitions));
    let mut jobs = 0;
    for partition in 0..settings.partitions {
        let mut grant = None;
        let mut loaded = match store {
            Some(store) => {
                let claim = crate::store::Claim {
                    owner: crate::store::Owner::new("engine"),
                    partitions: settings.partitions,
                    term: Duration::from_secs(10),
                    epoch_after: 0,
                    by_force: false,
                };
                let lease = store.acquire(PartitionId(partition), &claim).await?;
                let loaded = store.load(&lease.grant, &|_| ()).await?;
                grant = Some(lease.grant);
                loaded
            }
            None => crate::store::Loaded::default(),
        };
        let next_record = loaded.next_record();
        if next_record > RECORDS_MAX {
            let message = format!("partition {partition} is at record {next_record}, which no log gets to");
            return Err(StoreError::fatal(message).into());
        }
        for job in &mut loaded.image.jobs {
            job.queue = queues.know(&job.queue.name)?.as_recorded();
        }
        let now = clock.now();
        let mut replay = Replay::new(PartitionId(partition), settings.partition(store.is_some()), now);
        replay.load(loaded.image, now).map_err(|error| StartError::Restore { partition, error })?;
        let (restored, handles): (_, Vec<(Key, Handle)>) = replay.finish(store.is_some(), now);
        for (key, handle) in handles {
            keys.insert(key, handle);
        }
        jobs += restored.live();
        cells.push(Cell::new(restored, next_record, grant));
    }
    Ok((cells.into(), jobs))
}
