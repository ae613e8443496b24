//! An engine's figures.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;

use hdrhistogram::Histogram;

use crate::engine::ownership::{Ownership, StoreState};
use crate::engine::state::{Engine, Shared, new_histogram};
use crate::json;
use crate::partition::Timestamp;

/// An engine's figures at one moment. Counts are since the engine started.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Jobs pending: scheduled and not yet started, due ones included.
    pub pending: usize,
    /// Due jobs that wait for their queue.
    pub ready: usize,
    /// Jobs whose handler runs.
    pub running: usize,
    /// Fired jobs that are remembered.
    pub fired_remembered: usize,
    /// Jobs taken.
    pub scheduled: u64,
    /// Jobs moved.
    pub rescheduled: u64,
    /// Jobs cancelled or replaced.
    pub cancelled: u64,
    /// Jobs handed to a handler.
    pub fired: u64,
    /// Handlers that succeeded.
    pub succeeded: u64,
    /// Dead jobs that are kept.
    pub dead: usize,
    /// Handlers that failed, by error or by panic.
    pub failed: u64,
    /// How late jobs were started.
    pub lateness: Lateness,
    /// The handlers that all queues share; `None` without a [pool](crate::Builder::pool).
    pub pool: Option<PoolStats>,
    /// Each queue's own figures, in the order in which the queues were added: first the queues that were built, then those
    /// that only the store knows.
    pub queues: Vec<QueueStats>,
    /// Records that the store has not taken yet.
    pub log_pending: u64,
    /// Whether the store takes the engine's records; `true` without a store.
    pub is_store_healthy: bool,
    /// The state of the store; `None` without one.
    pub store: Option<StoreStats>,
    /// Jobs that a restart found too overdue to fire: see [`Misfire`](crate::Misfire).
    pub skipped: u64,
    /// How often the wall clock was set.
    pub clock_steps: u64,
    /// How often the driver woke.
    pub driver_wakes: u64,
    /// How long the runtime that handlers run on has polled nothing although jobs run or wait, because a handler blocks it.
    /// Zero while that is less than a second.
    #[serde(rename = "runtime_pause_ms", serialize_with = "json::millis")]
    pub runtime_pause: Duration,
    /// The longest such pause so far.
    #[serde(rename = "runtime_pause_max_ms", serialize_with = "json::millis")]
    pub runtime_pause_max: Duration,
    /// Whether the runtime that handlers run on has ended: then nothing fires, and calls are refused.
    pub has_runtime_ended: bool,
}

/// The state of an engine's store.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// What its answers say about it.
    pub state: StoreState,
    /// The last error, even if it has passed.
    pub last_error: Option<String>,
    /// Reasons not to rely on the store although it takes what it is sent, and what to do about them: settings of Redis that
    /// were changed while the engine runs. Checked every 30 s.
    pub doubts: Vec<String>,
    /// The name under which the engine holds its leases.
    pub owner: String,
    /// How much longer the engine can prove that it is the owner, for the partition where that is shortest; `None` if it needs
    /// no proof. At zero it cannot prove it, and fires nothing.
    #[serde(rename = "lease_left_ms", serialize_with = "json::millis_if_any")]
    pub lease_left: Option<Duration>,
    /// How long the store took to confirm a change, by batch.
    pub commit_delay: Lateness,
    /// Snapshots taken since the start.
    pub snapshots: u64,
    /// Records logged since the last snapshots.
    pub log_records: u64,
    /// Partitions of which the store has lost something it had acknowledged, until it has been written again. Meanwhile a
    /// restart may miss their jobs.
    pub partitions_behind: usize,
    /// Partitions that another engine has taken over: this one fires and writes nothing of them, and refuses calls to them.
    pub partitions_lost: usize,
    /// How often the store had lost what it had acknowledged.
    pub incidents: u64,
    /// The last incident.
    pub last_incident: Option<String>,
}

/// A distribution of lateness. Percentiles are exact to about 1 %; a lateness below a microsecond counts as one
/// microsecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Lateness {
    /// How many jobs it covers.
    pub count: u64,
    /// Half were no later.
    #[serde(rename = "p50_us", serialize_with = "json::micros")]
    pub p50: Duration,
    /// 99 in 100 were no later.
    #[serde(rename = "p99_us", serialize_with = "json::micros")]
    pub p99: Duration,
    /// 999 in 1,000 were no later.
    #[serde(rename = "p999_us", serialize_with = "json::micros")]
    pub p999: Duration,
    /// The latest.
    #[serde(rename = "max_us", serialize_with = "json::micros")]
    pub max: Duration,
}

/// The handlers that all queues of an engine share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// How many may run at a time.
    pub limit: usize,
    /// How many run, or are about to. More than the limit for a while after that was lowered.
    pub in_use: usize,
}

/// A queue's figures.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct QueueStats {
    /// Its name.
    pub name: String,
    /// Whether its jobs have a handler. A queue that only the store knows has none: its jobs wait until the queue is built or
    /// added, or until they are cancelled.
    pub has_handler: bool,
    /// For a queue without a handler, how many jobs the restore found; otherwise 0. Jobs cancelled since then still count. The
    /// queue takes no new jobs meanwhile.
    pub unhandled: usize,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Since when, if a call has paused it and not its configuration.
    pub paused_since: Option<Timestamp>,
    /// Whether its rate keeps its ready jobs from starting.
    pub is_rate_held: bool,
    /// Due jobs that wait for it.
    pub ready: usize,
    /// Jobs whose handler runs.
    pub running: usize,
    /// Jobs handed to its handler.
    pub fired: u64,
    /// Of these, how many succeeded.
    pub succeeded: u64,
    /// How many failed, those that panicked included.
    pub failed: u64,
    /// How many panicked.
    pub panicked: u64,
    /// How many attempts took longer than they may.
    pub timed_out: u64,
    /// How many jobs ended as their handler found nothing to do any more ([`JobResult::Discarded`](crate::JobResult::Discarded)).
    pub discarded: u64,
    /// After how many of these attempts the job waits for another.
    pub retried: u64,
    /// How many jobs have died: they failed as often as they may, or too late.
    pub died: u64,
    /// How many occurrences of recurring jobs were passed over: they were skipped, or a later one ran for them.
    pub passed_over: u64,
}

impl Engine {
    /// The engine's figures. Takes each partition's lock once, briefly, so the partitions are seen at slightly different
    /// moments.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        shared.publish_meters();
        let mut stats = Stats { is_store_healthy: true, ..Stats::default() };
        let (mut lateness_us, mut commit_us) = (new_histogram(), new_histogram());
        for cell in &shared.cells {
            let owned = cell.lock();
            let counts = owned.partition.counts();
            stats.pending += owned.pending();
            stats.fired_remembered += owned.partition.fired_remembered();
            stats.dead += owned.partition.dead();
            stats.scheduled += counts.scheduled;
            stats.rescheduled += counts.rescheduled;
            stats.cancelled += counts.cancelled;
            stats.skipped += counts.skipped;
            let (log_end, is_lost) = (owned.log.end() - owned.log.lost(), owned.is_lost());
            // The bounds are the same, so nothing can fail to fit.
            let _ = lateness_us.add(&owned.lateness_us);
            let _ = commit_us.add(&owned.commit_us);
            drop(owned);
            if is_lost {
                // What the store has of it is another engine's affair.
                continue;
            }
            stats.log_pending += log_end.saturating_sub(cell.progress.durable());
            stats.is_store_healthy &= !cell.progress.is_ended();
        }
        stats.lateness = Lateness::of(&lateness_us);
        stats.store = shared.ownership.as_ref().map(|ownership| ownership.stats(shared, &commit_us));
        stats.is_store_healthy &= stats.store.as_ref().is_none_or(|store| store.state == StoreState::Healthy);
        stats.pool =
            shared.pool.as_ref().map(|pool| PoolStats { limit: pool.limit(), in_use: pool.in_use() });
        for queue in shared.queues.iter() {
            let queue = QueueStats {
                name: queue.name.as_str().to_owned(),
                has_handler: queue.is_claimed(),
                unhandled: if queue.is_claimed() { 0 } else { queue.unhandled.jobs() },
                is_paused: queue.is_paused(),
                paused_since: queue.paused_since(),
                is_rate_held: queue.is_rate_held(),
                ready: shared.ready_of(queue),
                running: queue.running(),
                fired: queue.total(|share| &share.fired),
                succeeded: queue.total(|share| &share.succeeded),
                failed: queue.total(|share| &share.failed),
                panicked: queue.total(|share| &share.panicked),
                timed_out: queue.total(|share| &share.timed_out),
                discarded: queue.total(|share| &share.discarded),
                retried: queue.total(|share| &share.retried),
                died: queue.total(|share| &share.died),
                passed_over: queue.total(|share| &share.passed),
            };
            stats.ready += queue.ready;
            stats.running += queue.running;
            stats.fired += queue.fired;
            stats.succeeded += queue.succeeded;
            stats.failed += queue.failed;
            stats.queues.push(queue);
        }
        stats.clock_steps = shared.clock_steps.load(Relaxed);
        stats.driver_wakes = shared.driver_wakes.load(Relaxed);
        (stats.runtime_pause, stats.runtime_pause_max) = shared.handlers.pauses();
        stats.has_runtime_ended = shared.handlers.has_ended();
        stats
    }
}

impl Lateness {
    fn of(us: &Histogram<u64>) -> Self {
        let at = |percentile| Duration::from_micros(us.value_at_quantile(percentile));
        Lateness {
            count: us.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(us.max()),
        }
    }
}

impl Ownership {
    pub(crate) fn state(&self, shared: &Shared) -> StoreState {
        if self.are_all_lost() {
            return StoreState::Lost;
        }
        match self.health.state() {
            StoreState::Healthy if shared.handlers.has_ended() => StoreState::Ended,
            state => state,
        }
    }

    fn stats(&self, shared: &Shared, commit_us: &Histogram<u64>) -> StoreStats {
        let now = shared.clock.now().mono;
        let (incidents, last_incident) = self.health.incidents();
        let log_records = |cell: &crate::engine::state::Cell| {
            cell.progress.durable().saturating_sub(cell.last_snapshot().covered)
        };
        StoreStats {
            state: self.state(shared),
            last_error: self.health.last_error(),
            doubts: self.health.doubts(),
            owner: self.claim.owner.to_string(),
            lease_left: self.all_proved_until().map(|until| Duration::from_micros(until.micros_since(now))),
            commit_delay: Lateness::of(commit_us),
            snapshots: self.health.snapshots.load(Relaxed),
            log_records: shared.cells.iter().map(log_records).sum(),
            partitions_lost: (0..shared.cells.len()).filter(|&at| self.is_lost(at)).count(),
            partitions_behind: (0..shared.cells.len())
                .filter(|&at| self.is_behind(at) && !self.is_lost(at))
                .count(),
            incidents,
            last_incident,
        }
    }
}
