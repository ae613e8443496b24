//! Publishing metrics: see [`crate::metrics`] for the list.
//!
//! A job costs what its two histograms cost. All else is counted anyway, for `stats()`, and is published from there now and
//! then: by a thread of its own, so that a slow recorder makes no job late, and by nobody where there is no recorder.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::engine::meters::{flag, seconds};
use crate::engine::ownership::Ownership;
use crate::engine::queues::Queue;
use crate::engine::state::Shared;
use crate::partition::Counts;

/// How old what is published may be.
const EVERY: Duration = Duration::from_secs(1);

/// What all partitions have together.
#[derive(Default)]
struct Sums {
    counts: Counts,
    pending: usize,
    overdue: usize,
    remembered: usize,
    dead: usize,
    log_waiting: u64,
    log_waiting_bytes: usize,
    log_records: u64,
    /// By queue, in their order.
    oldest_ready_us: Vec<u64>,
}

impl Shared {
    /// Publishes what is so now. Takes each partition's lock once, briefly.
    pub(crate) fn publish_meters(&self) {
        let sums = self.sums();
        let meters = &self.meters;
        meters.pending.set(sums.pending as f64);
        meters.overdue.set(sums.overdue as f64);
        meters.remembered.set(sums.remembered as f64);
        meters.dead.set(sums.dead as f64);
        meters.revived.reach(sums.counts.revived);
        meters.purged.reach(sums.counts.purged);
        meters.scheduled.reach(sums.counts.scheduled);
        meters.rescheduled.reach(sums.counts.rescheduled);
        meters.cancelled.reach(sums.counts.cancelled);
        meters.skipped.reach(sums.counts.skipped);
        meters.clock_steps.reach(self.clock_steps.load(Relaxed));
        meters.driver_wakes.reach(self.driver_wakes.load(Relaxed));
        if let (Some(pool), Some([limit, in_use])) = (&self.pool, &meters.pool) {
            limit.set(pool.limit() as f64);
            in_use.set(pool.in_use() as f64);
        }
        for (queue, &oldest_us) in self.queues.iter().zip(&sums.oldest_ready_us) {
            publish_queue(queue, self.ready_of(queue), oldest_us);
        }
        if let Some(ownership) = &self.ownership {
            self.publish_store(ownership, &sums);
        }
    }

    fn publish_store(&self, ownership: &Ownership, sums: &Sums) {
        let meters = &ownership.meters;
        let is_lost = ownership.are_all_lost();
        let has_leases = !is_lost && !self.life.is_released();
        meters.is_owner.set(flag(has_leases));
        let now_in = ownership.state(self);
        for (state, gauge) in &meters.states {
            gauge.set(flag(*state == now_in));
        }
        let now = self.clock.mono();
        if let (Some(gauge), Some(until)) = (&meters.lease_left_s, ownership.all_proved_until()) {
            gauge.set(if has_leases { seconds(until.micros_since(now)) } else { 0.0 });
        }
        meters.log_waiting.set(sums.log_waiting as f64);
        meters.log_waiting_bytes.set(sums.log_waiting_bytes as f64);
        meters.log_records.set(sums.log_records as f64);
        meters.snapshots.reach(ownership.health.snapshots.load(Relaxed));
        meters.incidents.reach(ownership.health.incidents().0);
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums { oldest_ready_us: vec![0; self.queues.iter().count()], ..Sums::default() };
        for (at, cell) in self.cells.iter().enumerate() {
            let owned = cell.lock();
            let (partition, log) = (&owned.partition, &owned.log);
            let counts = partition.counts();
            sums.dead += partition.dead();
            sums.counts.revived += counts.revived;
            sums.counts.purged += counts.purged;
            sums.counts.scheduled += counts.scheduled;
            sums.counts.rescheduled += counts.rescheduled;
            sums.counts.cancelled += counts.cancelled;
            sums.counts.skipped += counts.skipped;
            sums.pending += owned.pending();
            sums.overdue += partition.overdue();
            sums.remembered += partition.fired_remembered();
            if owned.is_lost() {
                // What waits of it, and what the store has, is another engine's affair.
                continue;
            }
            sums.log_waiting_bytes += log.outstanding_bytes();
            let log_end = log.end() - log.lost();
            let now = self.clock.now();
            for (queue, oldest_us) in self.queues.iter().zip(&mut sums.oldest_ready_us) {
                if queue.ready_in(at) > 0 {
                    *oldest_us = partition.oldest_ready_us(queue.id, now).max(*oldest_us);
                }
            }
            drop(owned);
            let durable = cell.progress.durable();
            sums.log_waiting += log_end.saturating_sub(durable);
            sums.log_records += durable.saturating_sub(cell.last_snapshot().covered);
        }
        sums
    }
}

/// Publishes now and then until the engine stops, if there is anybody who records it.
pub(crate) fn start(shared: &Arc<Shared>) {
    // Nobody else can tell a recorder from the facade's own, which has no state.
    if metrics::with_recorder(|recorder| size_of_val(recorder)) == 0 {
        return;
    }
    shared.publish_meters();
    let weak = Arc::downgrade(shared);
    let publishes = move || {
        loop {
            std::thread::sleep(EVERY);
            // An engine that stops publishes its last by itself.
            match weak.upgrade() {
                Some(shared) if !shared.is_stopping() => shared.publish_meters(),
                _ => return,
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("reveille-meters".into()).spawn(publishes) {
        tracing::warn!(%error, "no thread for metrics can be started: they are brought up to date by `stats()` only");
    }
}

fn publish_queue(queue: &Queue, ready: usize, oldest_ready_us: u64) {
    let meters = &queue.meters;
    meters.fired.reach(queue.total(|share| &share.fired));
    meters.succeeded.reach(queue.total(|share| &share.succeeded));
    meters.failed.reach(queue.total(|share| &share.failed));
    meters.panicked.reach(queue.total(|share| &share.panicked));
    meters.timed_out.reach(queue.total(|share| &share.timed_out));
    meters.discarded.reach(queue.total(|share| &share.discarded));
    meters.retried.reach(queue.total(|share| &share.retried));
    meters.died.reach(queue.total(|share| &share.died));
    meters.passed.reach(queue.total(|share| &share.passed));
    meters.ready.set(ready as f64);
    meters.oldest_ready_s.set(seconds(oldest_ready_us));
    meters.running.set(queue.running() as f64);
    meters.is_paused.set(flag(queue.is_paused()));
    meters.is_rate_held.set(flag(queue.is_rate_held()));
}
