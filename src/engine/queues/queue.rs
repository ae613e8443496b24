//! Queues: a handler, a concurrency limit, pause and resume; and the table of all queues of an engine.

use std::fmt;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::{self, Arc};
use std::time::Duration;

use parking_lot::Mutex;

use super::unhandled::Unhandled;
use crate::engine::error::QueueError;
use crate::engine::tell::{QueueMeters, Register};
use crate::partition::{self, QueueId, QueueName, Rank};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Notify, OnceLock};

/// How many queues an engine may have.
pub const QUEUES_MAX: usize = 1024;

/// How a queue is to be: its name and its limits.
///
/// ```
/// use reveille::QueueConfig;
///
/// let mails = QueueConfig::new("mails").concurrency(4).paused();
/// ```
#[derive(Clone, Debug)]
pub struct QueueConfig {
    name: String,
    concurrency: usize,
    is_paused: bool,
    misfire: Misfire,
}

/// What becomes of a queue's jobs that came due while no engine was there: between the end of one and the restore of the
/// next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Misfire {
    /// They fire now, late.
    #[default]
    FireNow,
    /// Those that are overdue by more than this never fire: they are dropped, counted and logged. For what is of no use
    /// when it is late.
    SkipAfter(Duration),
}

impl QueueConfig {
    /// A queue that runs up to 128 jobs at a time.
    pub fn new(name: impl Into<String>) -> Self {
        QueueConfig { name: name.into(), concurrency: 128, is_paused: false, misfire: Misfire::FireNow }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// How many jobs may be with its handler at a time. Inline handlers run one at a time whatever this says.
    ///
    /// With 1 they begin in exactly the order that [`Priority`](crate::Priority) describes; with more, neighbours may change
    /// places.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// What becomes of jobs that a restart finds overdue: they fire, if this is not called.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Begins paused: jobs become due and wait until [`Engine::resume`](crate::Engine::resume).
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.is_paused = true;
        self
    }
}

impl From<&str> for QueueConfig {
    fn from(name: &str) -> Self {
        QueueConfig::new(name)
    }
}

impl From<String> for QueueConfig {
    fn from(name: String) -> Self {
        QueueConfig::new(name)
    }
}

/// A queue of an engine. Shared by callers, driver and workers; everything in it is atomic.
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) name: QueueName,
    /// How many workers it may have. Set for a queue that was built; not for one that is known from a store only.
    concurrency: OnceLock<usize>,
    /// How overdue a job may be at a restart and still fire; without it, as overdue as can be.
    skip_after_us: OnceLock<u64>,
    /// What runs its jobs. Without it they wait.
    runner: OnceLock<Runner>,
    is_paused: AtomicBool,
    /// What there is of it in each partition.
    shares: Box<[Share]>,
    workers: AtomicUsize,
    /// How many workers there have been.
    seats: AtomicUsize,
    idle_workers: AtomicUsize,
    work: Notify,
    pub(crate) unhandled: Unhandled,
    pub(crate) meters: QueueMeters,
}

/// A queue's part in one partition, on a cache line of its own: workers of different partitions write at the same time.
#[repr(align(64))]
#[derive(Default)]
pub(crate) struct Share {
    /// Due jobs, as the partition's holder last published; and the first of them.
    ready: AtomicUsize,
    first: [AtomicU64; 2],
    pub(crate) running: AtomicUsize,
    pub(crate) fired: AtomicU64,
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) panicked: AtomicU64,
}

/// Who runs a queue's jobs.
pub(crate) enum Runner {
    /// Workers on the runtime. This starts one.
    Workers(Box<SpawnFn>),
    /// The driver itself.
    Driver,
}

pub(crate) type SpawnFn = dyn Fn(&Arc<Queue>) + Send + Sync;

impl Queue {
    pub(crate) fn new(id: QueueId, name: &QueueName, partitions: usize, register: &Register) -> Self {
        Queue {
            id,
            name: name.clone(),
            concurrency: OnceLock::new(),
            skip_after_us: OnceLock::new(),
            runner: OnceLock::new(),
            is_paused: AtomicBool::new(false),
            shares: (0..partitions).map(|_| Share::default()).collect(),
            workers: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
            idle_workers: AtomicUsize::new(0),
            work: Notify::new(),
            unhandled: Unhandled::default(),
            meters: QueueMeters::new(register, name.as_str()),
        }
    }

    pub(crate) fn as_recorded(&self) -> partition::Queue {
        partition::Queue { id: self.id, name: self.name.clone() }
    }

    /// How overdue a job may be at a restart and still fire.
    pub(crate) fn skip_after_us(&self) -> Option<u64> {
        self.skip_after_us.get().copied()
    }

    /// Whether there is anybody to run its jobs.
    pub(crate) fn has_runner(&self) -> bool {
        self.runner.get().is_some()
    }

    /// Whether workers run its jobs, on the handlers' runtime.
    pub(crate) fn is_by_workers(&self) -> bool {
        matches!(self.runner.get(), Some(Runner::Workers(_)))
    }

    /// Whether a worker could take another job.
    #[cfg(feature = "_sim")]
    pub(crate) fn has_room(&self) -> bool {
        let most = self.concurrency.get().copied().unwrap_or(0);
        self.has_runner() && self.running() < most
    }

    /// Whether somebody runs its jobs, or is about to. Otherwise it is known from a store only.
    pub(crate) fn is_claimed(&self) -> bool {
        self.concurrency.get().is_some()
    }

    /// Has its jobs run. Only the first call counts: a queue is claimed once.
    pub(crate) fn run_by(&self, runner: Runner) {
        let is_first = self.runner.set(runner).is_ok();
        debug_assert!(is_first, "a queue is claimed by one builder");
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
    }

    /// Publishes how many jobs of a partition are due; the caller holds the partition. Returns how many were.
    pub(crate) fn publish_ready(&self, partition: usize, jobs: usize) -> usize {
        self.shares[partition].ready.swap(jobs, Ordering::SeqCst)
    }

    /// Publishes the first of them, before their number. Whoever reads it meanwhile looks again under the lock.
    pub(crate) fn publish_first(&self, partition: usize, rank: Rank) {
        let [first, second] = &self.shares[partition].first;
        let (tick, rest) = rank.to_words();
        first.store(tick, Ordering::Relaxed);
        second.store(rest, Ordering::Relaxed);
    }

    /// The first due job of a partition that has any, as last published.
    #[inline]
    pub(crate) fn first_in(&self, partition: usize) -> Rank {
        let [first, second] = &self.shares[partition].first;
        Rank::from_words(first.load(Ordering::Relaxed), second.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn ready_in(&self, partition: usize) -> usize {
        self.shares[partition].ready.load(Ordering::SeqCst)
    }

    pub(crate) fn ready(&self) -> usize {
        self.shares.iter().map(|share| share.ready.load(Ordering::SeqCst)).sum()
    }

    pub(crate) fn running(&self) -> usize {
        self.shares.iter().map(|share| share.running.load(Ordering::SeqCst)).sum()
    }

    /// The sum of a count over all partitions.
    pub(crate) fn total(&self, count: impl Fn(&Share) -> &AtomicU64) -> u64 {
        self.shares.iter().map(|share| count(share).load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn share(&self, partition: usize) -> &Share {
        &self.shares[partition]
    }

    /// Whether a call would find a worker, idle or new. Of a busy queue it is the cheapest thing to know.
    pub(crate) fn has_workers_to_call(&self) -> bool {
        let most = self.concurrency.get().copied().unwrap_or(0);
        self.idle_workers.load(Ordering::SeqCst) > 0 || self.workers.load(Ordering::SeqCst) < most
    }

    /// Sees to it that `count` workers look for work: idle ones, or new ones below the limit. With all of them busy there
    /// is nothing to do: each looks again when its job ends.
    ///
    /// Who brings work calls as many as the runtime has threads. Each worker calls one more while there is work, so the
    /// driver's part in waking a hundred is that of waking a few. It must not be just one: a task that a worker wakes
    /// may have to wait for that worker's thread, and so for a handler that does not yield.
    pub(crate) fn call_workers(self: &Arc<Self>, count: usize) {
        let idle = self.idle_workers.load(Ordering::SeqCst);
        for _ in 0..count.min(idle) {
            self.work.notify_one();
        }
        // `run_by` sets the runner, then looks for work; whoever brings work publishes it, then looks for the runner.
        fence(Ordering::SeqCst);
        let Some(Runner::Workers(spawn)) = self.runner.get() else { return self.unhandled.tell_due(self) };
        let most = self.concurrency.get().copied().unwrap_or(0);
        for _ in idle..count {
            let room = |workers: usize| (workers < most).then_some(workers + 1);
            // Read first: in the common case of a busy queue this is all that a call costs.
            if self.workers.load(Ordering::SeqCst) >= most
                || self.workers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err()
            {
                return;
            }
            spawn(self);
        }
    }

    /// A number for a new worker.
    pub(crate) fn next_seat(&self) -> usize {
        self.seats.fetch_add(1, Ordering::Relaxed)
    }

    /// A worker that has found nothing waits for a call. Returns `false` when it should leave instead: when so many as
    /// `idle_max` wait already.
    pub(crate) async fn called(
        &self,
        idle_max: usize,
        could_start: impl Fn(&Queue) -> bool,
        is_stopping: impl Fn() -> bool,
    ) -> bool {
        let mut called = pin!(self.work.notified());
        // Listen, then say so, then look once more: whoever brings work after that look finds an idle worker to call.
        called.as_mut().enable();
        let already_idle = self.idle_workers.fetch_add(1, Ordering::SeqCst);
        let is_busy = could_start(self);
        let stays = already_idle < idle_max;
        if !is_busy && stays && !is_stopping() {
            called.await;
        }
        self.idle_workers.fetch_sub(1, Ordering::SeqCst);
        is_busy || stays
    }

    /// Calls all who wait, though there may be no work: they look whether to go on at all.
    pub(crate) fn call_all(&self) {
        self.work.notify_waiters();
    }

    /// A worker leaves, or was not started after all.
    pub(crate) fn worker_leaves(self: &Arc<Self>, could_start: impl Fn(&Queue) -> bool) {
        self.workers.fetch_sub(1, Ordering::SeqCst);
        // Work may have come after this worker looked and before it was off the books.
        if could_start(self) {
            self.call_workers(1);
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// All queues of an engine. Looked up by number and by name without a lock: whoever schedules does, and the word of a lock
/// would go from core to core with every call.
pub(crate) struct Queues {
    by_id: Box<[sync::OnceLock<Arc<Queue>>]>,
    /// The numbers, from the place that the name's hash gives on to the first that is free. No queue ever goes.
    by_name: Box<[sync::OnceLock<QueueId>]>,
    hasher: foldhash::fast::RandomState,
    /// How many there are. Held while one is made.
    count: Mutex<usize>,
    partitions: usize,
    register: Register,
}

impl Queues {
    pub(crate) fn new(partitions: usize, register: Register) -> Self {
        Queues {
            by_id: (0..QUEUES_MAX).map(|_| sync::OnceLock::new()).collect(),
            by_name: (0..2 * QUEUES_MAX).map(|_| sync::OnceLock::new()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            count: Mutex::new(0),
            partitions,
            register,
        }
    }

    pub(crate) fn by_id(&self, id: QueueId) -> Option<&Arc<Queue>> {
        self.by_id.get(usize::from(id.0))?.get()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Queue>> {
        let known = self.places(name).map_while(sync::OnceLock::get);
        known.filter_map(|&id| self.by_id(id)).find(|queue| queue.name.as_str() == name)
    }

    /// The places in which a name may be, in order. Half of all are always free.
    fn places(&self, name: &str) -> impl Iterator<Item = &sync::OnceLock<QueueId>> {
        let (before, from) = self.by_name.split_at(self.hasher.hash_one(name) as usize % self.by_name.len());
        from.iter().chain(before)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.by_id.iter().map_while(sync::OnceLock::get)
    }

    /// The queue of this name; made without a handler if there is none.
    pub(crate) fn know(&self, name: &QueueName) -> Result<&Arc<Queue>, QueueError> {
        let mut count = self.count.lock();
        if let Some(queue) = self.by_name(name.as_str()) {
            return Ok(queue);
        }
        if *count == QUEUES_MAX {
            return Err(QueueError::TooMany { max: QUEUES_MAX });
        }
        let id = QueueId(*count as u16);
        // The queue before its number, so that whoever finds the one finds the other.
        let make = || Arc::new(Queue::new(id, name, self.partitions, &self.register));
        let queue = self.by_id[usize::from(id.0)].get_or_init(make);
        let is_placed = self.places(name.as_str()).any(|place| place.set(id).is_ok());
        debug_assert!(is_placed, "there are more places than queues");
        *count += 1;
        Ok(queue)
    }

    /// Makes the queue of `config`, for whoever will have its jobs run. A queue is claimed once.
    pub(crate) fn claim(&self, config: QueueConfig) -> Result<Arc<Queue>, QueueError> {
        let QueueConfig { name, concurrency, is_paused, misfire } = config;
        if concurrency == 0 {
            return Err(QueueError::NoConcurrency { name });
        }
        let Ok(queue_name) = QueueName::new(&name) else { return Err(QueueError::InvalidName { name }) };
        let queue = self.know(&queue_name)?;
        if queue.concurrency.set(concurrency).is_err() {
            return Err(QueueError::Duplicate { name });
        }
        if let Misfire::SkipAfter(time) = misfire {
            let _ = queue.skip_after_us.set(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        // A queue known from a store may have been paused already; that stands.
        if is_paused {
            queue.set_paused(true);
        }
        Ok(Arc::clone(queue))
    }
}
