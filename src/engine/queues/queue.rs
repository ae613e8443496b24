//! A queue: a handler, a concurrency limit, pause and resume.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;

use super::meters::QueueMeters;
use super::policy::Policy;
use super::pool::Place;
use super::rate::{Limiter, Rate};
use super::told::Untold;
use super::unhandled::Unhandled;
use crate::engine::meters::Register;
use crate::partition::{MonoTime, QueueId, QueueName, Rank, Timestamp};
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Notify, OnceLock};

/// A queue that is paused, one that its rate holds back, one that a test leaves out, and one that only takes jobs.
const PAUSED: u8 = 1;
const HELD: u8 = 2;
const LEFT_OUT: u8 = 8;
const NEVER: u8 = 16;
/// What keeps jobs from starting.
const STOPS: u8 = PAUSED | HELD | LEFT_OUT | NEVER;
/// A call has said whether it is paused: its configuration counts no more.
const SAID: u8 = 4;
/// Its layers are not ready for a job. In a pool others go on meanwhile.
const LAYERS_WAIT: u8 = 32;

/// A queue of an engine. Shared by callers, driver and workers; everything in it is atomic.
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) name: QueueName,
    /// How many workers it may have: 0 for a queue that is known from a store only.
    concurrency: AtomicUsize,
    /// How overdue a job may be at a restart and still fire; `None`: without a limit.
    skip_after_us: OnceLock<u64>,
    /// How many of its jobs may start in a time.
    pub(crate) limiter: Limiter,
    /// Where it stands in a pool.
    pub(super) place: OnceLock<Place>,
    /// Whether it may have ready jobs, for its pool: a look at one place and not at every partition.
    pub(super) is_noted: AtomicBool,
    /// What it says of failures.
    policy: OnceLock<Policy>,
    /// What a restart has found before the queue was claimed.
    pub(super) untold: Mutex<Vec<Untold>>,
    /// What runs its jobs. Without it they wait.
    runner: OnceLock<Runner>,
    /// What keeps its jobs from starting, as bits.
    stops: AtomicU8,
    /// When a call last said whether it is paused, in microseconds of the wall clock, as bits.
    said_at_us: AtomicU64,
    /// Its share of each partition.
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
    pub(crate) timed_out: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) died: AtomicU64,
    /// Occurrences of recurring jobs that were passed over.
    pub(crate) passed: AtomicU64,
}

/// What runs a queue's jobs.
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
            concurrency: AtomicUsize::new(0),
            skip_after_us: OnceLock::new(),
            limiter: Limiter::default(),
            place: OnceLock::new(),
            is_noted: AtomicBool::new(false),
            policy: OnceLock::new(),
            untold: Mutex::default(),
            runner: OnceLock::new(),
            stops: AtomicU8::new(0),
            said_at_us: AtomicU64::new(0),
            shares: (0..partitions).map(|_| Share::default()).collect(),
            workers: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
            idle_workers: AtomicUsize::new(0),
            work: Notify::new(),
            unhandled: Unhandled::default(),
            meters: QueueMeters::new(register, name.as_str()),
        }
    }

    /// How overdue a job may be at a restart and still fire.
    pub(crate) fn skip_after_us(&self) -> Option<u64> {
        self.skip_after_us.get().copied()
    }

    /// How many workers it may have.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::SeqCst)
    }

    /// Has so many of its jobs run at a time from here on. Those that run go on.
    pub(crate) fn set_concurrency(&self, jobs: usize) {
        self.concurrency.store(jobs, Ordering::SeqCst);
    }

    /// Whether a worker is one too many, since there may be fewer than there were.
    #[inline]
    pub(crate) fn has_too_many_workers(&self) -> bool {
        self.workers.load(Ordering::SeqCst) > self.concurrency()
    }

    /// What it says of failures.
    pub(crate) fn policy(&self) -> &Policy {
        const NONE: &Policy = &Policy {
            retry: None,
            backoff: None,
            timeout: None,
            on_failure: None,
            on_death: None,
            on_discard: None,
            on_passed_over: None,
        };
        self.policy.get().unwrap_or(NONE)
    }

    /// Whether its jobs have a runner.
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
        let most = self.concurrency();
        self.has_runner() && self.running() < most
    }

    /// Whether its jobs have a runner, or are about to get one. Otherwise only a store knows it.
    pub(crate) fn is_claimed(&self) -> bool {
        self.concurrency() > 0
    }

    /// Has so many of its jobs run at a time, at most. Returns `false` if somebody has said so before: a queue is claimed once.
    pub(super) fn claim(&self, concurrency: usize, skip_after_us: Option<u64>, policy: Policy) -> bool {
        let claimed = self.concurrency.compare_exchange(0, concurrency, Ordering::SeqCst, Ordering::SeqCst);
        let is_first = claimed.is_ok();
        if is_first {
            let _ = self.policy.set(policy);
            self.tell_untold();
        }
        if let Some(us) = skip_after_us.filter(|_| is_first) {
            let _ = self.skip_after_us.set(us);
        }
        is_first
    }

    /// Jobs are due, and nobody runs them.
    #[cold]
    fn tell_due(&self) {
        if !self.is_claimed() {
            self.unhandled.tell_due(self.name.as_str());
        }
    }

    /// Has its jobs run. Only the first call counts: a queue is claimed once.
    pub(crate) fn run_by(&self, runner: Runner) {
        let is_first = self.runner.set(runner).is_ok();
        debug_assert!(is_first, "a queue is claimed by one builder");
        fence(Ordering::SeqCst);
    }

    /// Whether nothing keeps its jobs from starting: neither a pause nor its rate.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.stops.load(Ordering::SeqCst) & STOPS == 0
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.stops.load(Ordering::SeqCst) & PAUSED != 0
    }

    /// Since when, if a call has paused it.
    pub(crate) fn paused_since(&self) -> Option<Timestamp> {
        let is_so = self.stops.load(Ordering::SeqCst) & (PAUSED | SAID) == PAUSED | SAID;
        is_so.then(|| Timestamp::from_micros(self.said_at_us.load(Ordering::SeqCst) as i64))
    }

    /// Its configuration has it paused, unless a call has said something else.
    pub(super) fn pause_by_default(&self) {
        let paused = |stops: u8| (stops & SAID == 0).then_some(stops | PAUSED);
        let _ = self.stops.fetch_update(Ordering::SeqCst, Ordering::SeqCst, paused);
    }

    /// A call says that it is paused, or goes on, or has said so before a restart. Under the lock of the partition that keeps it.
    pub(crate) fn say_paused(&self, is_paused: bool, at: Timestamp) {
        self.said_at_us.store(at.as_micros() as u64, Ordering::SeqCst);
        let said = |stops: u8| Some(if is_paused { stops | PAUSED } else { stops & !PAUSED } | SAID);
        let _ = self.stops.fetch_update(Ordering::SeqCst, Ordering::SeqCst, said);
    }

    /// Whether its rate keeps its jobs from starting.
    pub(crate) fn is_rate_held(&self) -> bool {
        self.stops.load(Ordering::SeqCst) & HELD != 0
    }

    /// Its rate lets nothing start until then.
    pub(crate) fn hold(&self, until: MonoTime) {
        // In this order: whoever lets it go, once it is said until when, undoes both.
        self.set_stop(HELD, true);
        self.limiter.hold(until);
    }

    /// Its rate lets something start again, if its time has come. Returns whether it was held until now; if it still is, until when.
    pub(crate) fn let_go(&self, now: MonoTime) -> Result<bool, MonoTime> {
        if self.limiter.let_go(now) {
            self.set_stop(HELD, false);
            return Ok(true);
        }
        self.limiter.held_until().map_or(Ok(false), Err)
    }

    /// Whether its rate held it, and lets it go now.
    pub(crate) fn is_held_until(&self, now: MonoTime) -> bool {
        self.limiter.held_until().is_some_and(|until| until <= now)
    }

    /// Has so many of its jobs start in a time from here on.
    pub(crate) fn set_rate(&self, rate: Option<Rate>) {
        self.limiter.set(rate);
        self.set_stop(HELD, false);
    }

    /// Has nothing of it ever start in this process.
    pub(super) fn never_start(&self) {
        self.set_stop(NEVER, true);
    }

    /// Has nothing of it start while a test runs another queue.
    pub(crate) fn set_left_out(&self, is_left_out: bool) {
        self.set_stop(LEFT_OUT, is_left_out);
    }

    /// For as long as a test runs it, a pause does not hold it back.
    pub(crate) fn lift_pause(&self, is_lifted: bool) {
        self.set_stop(PAUSED, !is_lifted);
    }

    /// Says whether its layers are not ready for a job. Returns whether it was otherwise.
    #[cfg(feature = "tower")]
    pub(crate) fn set_layers_wait(&self, do_wait: bool) -> bool {
        let did = self.do_layers_wait();
        if did != do_wait {
            self.set_stop(LAYERS_WAIT, do_wait);
        }
        did != do_wait
    }

    pub(crate) fn do_layers_wait(&self) -> bool {
        self.stops.load(Ordering::SeqCst) & LAYERS_WAIT != 0
    }

    fn set_stop(&self, stop: u8, is_set: bool) {
        if is_set {
            self.stops.fetch_or(stop, Ordering::SeqCst);
        } else {
            self.stops.fetch_and(!stop, Ordering::SeqCst);
        }
    }

    /// Publishes how many jobs of a partition are due; the caller holds the partition. Returns how many were.
    pub(crate) fn publish_ready(&self, partition: usize, jobs: usize) -> usize {
        let before = self.shares[partition].ready.swap(jobs, Ordering::SeqCst);
        if jobs > before {
            self.note_ready();
        }
        before
    }

    /// Publishes the first of them, before their number. A reader in between looks again under the lock.
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
        let most = self.concurrency();
        self.idle_workers.load(Ordering::SeqCst) > 0 || self.workers.load(Ordering::SeqCst) < most
    }

    /// Has `count` workers look for work: idle ones, or new ones below the limit. If all are busy there is nothing to do:
    /// each looks again when its job ends.
    ///
    /// A thread that brings work calls as many workers as the runtime has threads. Each worker calls one more while there is
    /// work, so the driver wakes a few and not a hundred. It must not wake only one: a task that a worker wakes may have to
    /// wait for that worker's thread, and so for a handler that does not yield.
    pub(crate) fn call_workers(self: &Arc<Self>, count: usize) {
        let idle = self.idle_workers.load(Ordering::SeqCst);
        for _ in 0..count.min(idle) {
            self.work.notify_one();
        }
        // `run_by` sets the runner, then looks for work; a thread that brings work publishes it, then looks for the runner.
        fence(Ordering::SeqCst);
        let Some(Runner::Workers(spawn)) = self.runner.get() else { return self.tell_due() };
        let most = self.concurrency();
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
        // Listen, then say so, then look once more: a thread that brings work after that look finds an idle worker to call.
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

    /// Calls all idle workers, even without work: they check whether to go on at all.
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
