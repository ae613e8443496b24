//! What callers, driver, workers and committer share, and the one way into a partition.
//!
//! # Rules
//! - A partition is entered through [`Shared::enter`] only. It runs a few hundred nanoseconds of state machine under the
//!   partition's lock, then publishes what others read without the lock: the wake hints, the queues' backlogs, the
//!   log.
//! - Never two partitions at a time.
//! - No lock is held across an await, and no store is called under one.
//!
//! # When the clocks are read
//! Where the time decides whether a job may fire ([`Shared::enter`] without a reading), the clocks are read under the
//! partition's lock, so nobody has shown the partition a later time. A call reads them when something in it first asks
//! ([`Shared::enter_lazily`]): for a delay, for a due that may have passed, for the first record of a batch, to tell
//! the driver when to wake. Most calls ask nothing. That is sound:
//! - A reading under the lock is later than every reading under it before, so what the partition sees does not go back.
//! - What a call does without a reading does not depend on the time. A job that it puts on a wheel fires when the driver
//!   advances that wheel and a worker starts the job, each by a reading of its own. Never early rests on these two.

use std::sync::Arc;
use std::time::Duration;

use super::cell::{Cell, HISTOGRAM_MAX_US, Owned};
use super::contexts::Contexts;
use super::gates::Gates;
use super::jobs::{self, Room};
use super::keys::KeyHasher;
use super::life::Life;
use super::meters::EngineMeters;
use super::notes::Notes;
use super::probe::Probe;
use super::releases::Releases;
use super::runtime::Handlers;
use super::settings::Settings;
use super::signals::{CancelReason, Signals};
use crate::clock::{Clock, LazyNow, Waker};
use crate::engine::error::CallError;
use crate::engine::meters::seconds;
use crate::engine::ownership::Ownership;
use crate::engine::queues::{Pool, Queue, Queues};
use crate::partition::{MonoTime, Now, NowSource, Partition, PartitionId, QueueId};
use crate::store::Durability;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) struct Shared {
    pub(crate) meters: EngineMeters,
    pub(crate) settings: Settings,
    /// What the application asks of every job.
    pub(crate) gates: Gates,
    /// Tells this engine from all others, those before a restart too: for cursors.
    pub(crate) incarnation: u64,
    pub(crate) clock: Clock,
    /// The runtime that handlers run on, and nothing else.
    pub(crate) handlers: Handlers,
    /// The store, and the right to write to it; `None` without a store.
    pub(crate) ownership: Option<Arc<Ownership>>,
    pub(crate) cells: Box<[Cell]>,
    pub(crate) hasher: KeyHasher,
    pub(crate) queues: Queues,
    /// How many handlers run at a time over all queues, if that is limited.
    pub(crate) pool: Option<Box<Pool>>,
    pub(crate) releases: Releases,
    /// When the next of those may go that were overdue at the start, by the monotonic clock; `u64::MAX` when there are none.
    pub(crate) overdue_wake: AtomicU64,
    /// When the next of the queues may go on that their rates hold back, by the monotonic clock; `u64::MAX` when there are none.
    pub(crate) rate_wake: AtomicU64,
    /// Wakes the driver.
    pub(crate) waker: Arc<Waker>,
    pub(crate) life: Life,
    /// For more jobs.
    pub(crate) room: Room,
    pub(crate) clock_steps: AtomicU64,
    pub(crate) driver_wakes: AtomicU64,
    /// Told of every job that starts; for tests.
    pub(crate) probe: Option<Probe>,
    /// What the application gives its handlers.
    pub(crate) contexts: Contexts,
    /// Of handlers that want to hear when they are no longer wanted.
    pub(crate) signals: Signals,
    /// What running handlers say of how far they are.
    pub(crate) notes: Notes,
}

/// How long a job that a restart found overdue waits for the store to have its start.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// What the store has taken of a log: up to which record, and how long that took.
pub(crate) struct Taken {
    pub(crate) end: u64,
    pub(crate) batches: usize,
    pub(crate) bytes: usize,
    pub(crate) delay_us: u64,
}

impl Shared {
    pub(crate) fn cell(&self, partition: PartitionId) -> &Cell {
        &self.cells[usize::from(partition.0)]
    }

    /// Enters partition `at`, publishes what `change` brought about, and calls workers for what is ready.
    ///
    /// With a `read_at` the caller has read the clock already, which keeps that out of the lock. Where the time decides
    /// whether a job may fire there must be none: the clock is then read under the lock, so nobody has shown the
    /// partition a later time, and no job that it holds ready is early.
    pub(crate) fn enter<R>(
        self: &Arc<Self>,
        at: usize,
        read_at: Option<Now>,
        change: impl FnOnce(&mut Owned, Now) -> R,
    ) -> R {
        let mut busier = Busier::default();
        let result = self.enter_quietly(at, read_at, &mut busier, change);
        if !busier.is_none() {
            busier.call(self);
        }
        result
    }

    /// As [`enter`](Self::enter), and leaves it to the caller to call workers for what is `busier` then.
    #[inline(always)]
    pub(crate) fn enter_quietly<R>(
        self: &Arc<Self>,
        at: usize,
        read_at: Option<Now>,
        busier: &mut Busier,
        change: impl FnOnce(&mut Owned, Now) -> R,
    ) -> R {
        let mut clock = LazyNow::with(&self.clock, read_at);
        self.enter_with(at, &mut clock, busier, |owned, clock| change(owned, clock.now()))
    }

    /// As [`enter`](Self::enter), for a call whose answer may not depend on the time: it is read when `change` asks.
    #[inline(always)]
    pub(crate) fn enter_lazily<R>(
        self: &Arc<Self>,
        at: usize,
        change: impl FnOnce(&mut Owned, &mut LazyNow<'_>) -> R,
    ) -> R {
        let (mut busier, mut clock) = (Busier::default(), LazyNow::new(&self.clock));
        let result = self.enter_with(at, &mut clock, &mut busier, change);
        if !busier.is_none() {
            busier.call(self);
        }
        result
    }

    #[inline(always)]
    fn enter_with<R>(
        self: &Arc<Self>,
        at: usize,
        clock: &mut LazyNow<'_>,
        busier: &mut Busier,
        change: impl FnOnce(&mut Owned, &mut LazyNow<'_>) -> R,
    ) -> R {
        let cell = &self.cells[at];
        let mut owned = cell.lock();
        let result = change(&mut owned, clock);
        if owned.partition.has_forgotten() {
            self.forget_keys(&mut owned);
        }
        let is_to_be_sent = self.ownership.is_some() && self.keep_records(cell, &mut owned, clock);
        let wake = owned.partition.next_wake();
        let has_wake_changed = cell.publish(wake);
        self.publish_ready(at, &mut owned, busier);
        let is_emptied = self.publish_jobs(cell, &mut owned);
        drop(owned);
        self.look_for_idle(is_emptied);
        if is_to_be_sent {
            cell.flush.notify_one();
        }
        if has_wake_changed && let Some(deadline) = wake.as_mono(clock.now()) {
            self.waker.wake_before(deadline);
        }
        result
    }

    /// Publishes how many jobs a partition has, and settles its room. Returns whether it has run empty.
    #[inline]
    pub(super) fn publish_jobs(&self, cell: &Cell, owned: &mut Owned) -> bool {
        let jobs = owned.jobs();
        self.room.settle(&mut owned.room, jobs);
        cell.jobs.publish(jobs)
    }

    /// Tells those who wait for no job to be left, if there is none now that a partition is empty.
    #[inline]
    pub(super) fn look_for_idle(&self, is_emptied: bool) {
        if is_emptied {
            self.life.one_is_empty(|| self.jobs());
        }
    }

    fn forget_keys(&self, owned: &mut Owned) {
        let Owned { partition, keys, .. } = owned;
        for (key, handle) in partition.drain_forgotten() {
            keys.remove(self.hasher.hash(key.as_str()), handle.slot());
        }
        // In a burst each end forgets a job that has left all caches long ago.
        if let Some(key) = partition.soon_forgotten() {
            keys.heads().warm(self.hasher.hash(key));
        }
    }

    /// Moves what was logged to the buffer. Returns whether the committer has to be told: it looks by itself whenever the
    /// store has answered, and a word for every record would have it run as often.
    fn keep_records(&self, cell: &Cell, owned: &mut Owned, clock: &mut LazyNow<'_>) -> bool {
        let Owned { partition, log, .. } = owned;
        if cell.progress.is_ended() {
            // There may be nobody left to take them, and whoever waits for them is told so.
            log.lose(partition.drain_records().count());
            log.discard();
            return false;
        }
        let had = log.end();
        let is_to_be_sent = log.extend(partition.drain_records(), || clock.now().mono);
        if log.end() > had && self.is_full(owned) {
            cell.is_shut.store(true, SeqCst);
        }
        is_to_be_sent
    }

    /// As [`keep_records`](Self::keep_records), for records of which the store is to have all or none: in the stay that made them, as its
    /// last step.
    pub(crate) fn keep_together(&self, at: usize, owned: &mut Owned, clock: &mut LazyNow<'_>) -> bool {
        let cell = &self.cells[at];
        if self.ownership.is_none() || cell.progress.is_ended() {
            // On the way out they are counted as lost.
            return false;
        }
        let Owned { partition, log, .. } = owned;
        let had = log.end();
        let is_to_be_sent = log.extend_together(partition.drain_records().collect(), || clock.now().mono);
        if log.end() > had && self.is_full(owned) {
            cell.is_shut.store(true, SeqCst);
        }
        is_to_be_sent
    }

    fn is_full(&self, owned: &Owned) -> bool {
        owned.log.outstanding() >= self.settings.log_records_max as u64
            || owned.log.outstanding_bytes() >= self.settings.log_bytes_max
    }

    /// Looks again whether the log of partition `at` is full, after some of it has gone.
    pub(crate) fn unblock_log(self: &Arc<Self>, at: usize, taken: Option<Taken>) {
        let cell = &self.cells[at];
        let has_room_again = {
            // Under the lock, so that whoever fills the buffer does not have its mark wiped off.
            let mut owned = cell.lock();
            if let Some(Taken { end, batches, bytes, delay_us }) = taken {
                if let Some(ownership) = self.ownership.as_ref().filter(|_| batches > 0) {
                    ownership.meters.commit_delay_s.record(seconds(delay_us));
                }
                owned.log.acknowledge(end, batches, bytes);
                owned.commit_us.saturating_record(delay_us.clamp(1, HISTOGRAM_MAX_US));
            }
            let is_full = self.is_full(&owned) && !cell.progress.is_ended();
            let is_shut = is_full || self.is_lost(at);
            cell.is_shut.swap(is_shut, SeqCst) && !is_shut
        };
        if has_room_again {
            // Work stood still for want of room.
            self.call_all();
        }
    }

    /// Whether the store of partition `at` is not being written anew, or never will have been.
    pub(crate) fn is_in_step(&self, at: usize) -> bool {
        !self.is_behind(at) || self.cells[at].progress.is_ended()
    }

    /// Whether the store of partition `at` was found to lack something, and has not been mended.
    pub(crate) fn is_behind(&self, at: usize) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.is_behind(at))
    }

    /// Has driver and workers look for work.
    pub(crate) fn call_all(&self) {
        self.waker.wake();
        self.queues.iter().for_each(|queue| self.call_workers(queue));
    }

    /// Something that kept jobs of the queue from starting is gone.
    pub(crate) fn start_again(&self, queue: &Arc<Queue>) {
        self.call_workers(queue);
        self.waker.wake();
    }

    /// Has workers of the queue look for work, if there is some.
    pub(crate) fn call_workers(&self, queue: &Arc<Queue>) {
        if self.could_start(queue) {
            self.call_up_to(queue, self.handlers.threads());
        }
    }

    /// Publishes the backlogs that have changed: none, as a rule.
    #[inline]
    fn publish_ready(&self, at: usize, owned: &mut Owned, busier: &mut Busier) {
        while let Some(id) = owned.partition.take_touched() {
            self.publish_backlog(at, id, &owned.partition, busier);
        }
    }

    fn publish_backlog(&self, at: usize, id: QueueId, partition: &Partition, busier: &mut Busier) {
        let Some(queue) = self.queues.by_id(id) else { return };
        let (ready, first) = partition.backlog(id);
        if let Some(first) = first {
            queue.publish_first(at, first);
        }
        let more = ready.saturating_sub(queue.publish_ready(at, ready));
        if more > 0 {
            busier.push(id, more);
        }
    }

    /// Whether [`start_next`](Self::start_next) would find a job of `queue`.
    pub(crate) fn could_start(&self, queue: &Queue) -> bool {
        (0..self.cells.len()).any(|at| self.could_start_in(at, queue))
    }

    #[inline]
    pub(crate) fn could_start_in(&self, at: usize, queue: &Queue) -> bool {
        queue.ready_in(at) > 0 && self.may_start(queue) && !self.is_shut(at) && !self.has_lapsed(at)
    }

    #[inline]
    pub(crate) fn may_start(&self, queue: &Queue) -> bool {
        queue.is_open() && !self.is_stopping()
    }

    /// Due jobs of a queue that wait, but for those of partitions that are lost.
    pub(crate) fn ready_of(&self, queue: &Queue) -> usize {
        (0..self.cells.len()).filter(|&at| !self.is_lost(at)).map(|at| queue.ready_in(at)).sum()
    }

    /// Whether the lease of a partition was found to have run out.
    #[inline]
    fn has_lapsed(&self, at: usize) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.has_lapsed(at))
    }

    /// Whether a job of partition `at` may start by its lease, at a time that was read under the partition's lock.
    pub(crate) fn may_fire(&self, at: usize, now: Now) -> bool {
        self.ownership.as_ref().is_none_or(|ownership| ownership.may_fire(at, now.mono))
    }

    /// Jobs that are pending or running. Exact while nothing changes, and 0 only if there was a moment without a job.
    /// O(partitions).
    pub(crate) fn jobs(&self) -> usize {
        jobs::jobs(self.cells.iter().map(|cell| &cell.jobs))
    }

    /// Fetches back room that partitions keep idle, unless that was done since room became tight. Returns the turn in which
    /// a refusal is exact from now on, if it has not ended yet.
    #[cold]
    pub(crate) fn gather_room(&self) -> Option<u64> {
        self.room.exact_turn().or_else(|| {
            let turn = self.room.tighten();
            for cell in &self.cells {
                let owned = &mut *cell.lock();
                let jobs = owned.jobs();
                self.room.fetch_back(&mut owned.room, jobs);
            }
            self.room.is_gathered(turn);
            self.room.exact_turn()
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Has everything stop: the driver, the workers once their jobs end, and calls that want to change something.
    pub(crate) fn stop(&self) {
        self.life.stop();
        self.signals.give_all(CancelReason::ShuttingDown);
        self.waker.wake();
        for queue in self.queues.iter() {
            queue.call_all();
        }
        self.flush_all();
    }

    /// The runtime that handlers run on has ended. May be told more than once.
    pub(crate) fn runtime_ends(&self) {
        self.handlers.end();
        if self.is_stopping() {
            return;
        }
        let kept = if self.ownership.is_some() { "the store keeps the jobs" } else { "the jobs are lost" };
        tracing::error!(
            jobs = self.jobs(),
            "the tokio runtime that handlers run on has ended: the engine stops, and {kept}; \
             build it on a runtime that lives as long (`Builder::runtime`)"
        );
        self.stop();
    }

    pub(crate) fn flush_all(&self) {
        for cell in &self.cells {
            cell.flush.notify_one();
        }
    }

    /// Whether a partition takes no calls and starts no jobs: its log is full, or it is lost.
    #[inline]
    pub(crate) fn is_shut(&self, at: usize) -> bool {
        self.cells[at].is_shut.load(SeqCst)
    }

    /// Whether another engine owns a partition.
    pub(crate) fn is_lost(&self, at: usize) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.is_lost(at))
    }

    /// When calls are acknowledged, unless they say otherwise.
    pub(crate) fn durability(&self) -> Durability {
        self.settings.durability.unwrap_or_default()
    }

    /// Resolves once the store has every record of `partition` so far, as safely as the engine acknowledges calls, however
    /// long that takes; at once when there is no store.
    pub(crate) async fn log_flushed(&self, partition: PartitionId) -> Result<(), CallError> {
        if self.ownership.is_none() {
            return Ok(());
        }
        let at = usize::from(partition.0);
        let end = self.cells[at].lock().log.end();
        let level = self.durability().max(Durability::Logged);
        self.cells[at].want(level, end);
        self.cells[at].progress.reached_at_last(end, level).await
    }

    /// Resolves once the store has every record of `partition` so far, or does not take them soon: it is failing, or lets
    /// [`START_PATIENCE`] pass.
    pub(crate) async fn log_sent(&self, partition: PartitionId) {
        let Some(ownership) = &self.ownership else { return };
        if !ownership.health.state().answers() {
            return;
        }
        let at = usize::from(partition.0);
        let end = self.cells[at].lock().log.end();
        let sent = self.cells[at].progress.reached_at_last(end, Durability::Logged);
        let _ = ownership.io.timeout(START_PATIENCE, sent).await;
    }

    /// Whether the engine stops, or a partition has something to do before `deadline`.
    pub(crate) fn is_due_before(&self, deadline: MonoTime, now: Now) -> bool {
        self.is_stopping() || self.next_wake(now).is_some_and(|earliest| earliest < deadline)
    }

    /// The earliest instant at which any partition has something to do.
    pub(crate) fn next_wake(&self, now: Now) -> Option<MonoTime> {
        let others = self.overdue_wake.load(SeqCst).min(self.rate_wake.load(SeqCst));
        let others = (others != u64::MAX).then_some(MonoTime::from_micros(others));
        self.cells.iter().filter_map(|cell| cell.wake().as_mono(now)).chain(others).min()
    }

    /// The rate of a queue lets nothing start until then: the driver is to see to it that it goes on.
    #[cold]
    pub(crate) fn hold_for_rate(&self, queue: &Queue, until: MonoTime) {
        queue.hold(until);
        self.rate_wake.fetch_min(until.as_micros(), SeqCst);
        self.waker.wake_before(until);
    }

    /// Has the queues go on whose rates let something start again.
    pub(crate) fn let_rates_go(&self, now: MonoTime) {
        if self.rate_wake.load(SeqCst) > now.as_micros() {
            return;
        }
        // First: what is held from here on is not overlooked.
        self.rate_wake.store(u64::MAX, SeqCst);
        for queue in self.queues.iter() {
            match queue.let_go(now) {
                Ok(true) => self.call_workers(queue),
                Ok(false) => {}
                Err(until) => drop(self.rate_wake.fetch_min(until.as_micros(), SeqCst)),
            }
        }
    }

    /// The partition that has something to do at that instant.
    pub(crate) fn next_partition(&self, now: Now) -> Option<usize> {
        let wakes = self.cells.iter().map(|cell| cell.wake().as_mono(now)).zip(0..);
        wakes.filter_map(|(wake, at)| Some((wake?, at))).min().map(|(_, at)| at)
    }
}

/// The queues whose backlog grew, and by how many jobs, until the lock is released. One at most, as a rule, and that takes
/// no allocation.
#[derive(Default)]
#[must_use = "workers have to be called"]
pub(crate) struct Busier {
    first: Option<(QueueId, usize)>,
    more: Vec<(QueueId, usize)>,
}

impl Busier {
    fn push(&mut self, queue: QueueId, jobs: usize) {
        if self.first.is_none() {
            self.first = Some((queue, jobs));
        } else {
            self.more.push((queue, jobs));
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn call(&mut self, shared: &Shared) {
        while let Some((queue, jobs)) = self.next(shared) {
            shared.call_up_to(queue, jobs.min(shared.handlers.threads()));
        }
    }

    fn next<'a>(&mut self, shared: &'a Shared) -> Option<(&'a Arc<Queue>, usize)> {
        let (queue, jobs) = self.first.take().or_else(|| self.more.pop())?;
        Some((shared.queues.by_id(queue)?, jobs))
    }
}
