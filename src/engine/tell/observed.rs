//! What a simulator sees of an engine from outside, between two steps.

use std::time::Duration;

use crate::engine::queues::Queue;
use crate::engine::state::Engine;
use crate::partition::{Image, PartitionId};
use crate::sync::atomic::Ordering::SeqCst;

/// A partition as it stands.
#[derive(Debug)]
pub struct PartitionState {
    /// Its jobs.
    pub image: Image,
    /// The sequence after its last record.
    pub log_end: u64,
    /// The store has acknowledged every record before this one.
    pub durable: u64,
    /// Whether something is due that the driver has not moved.
    pub is_due: bool,
}

impl Engine {
    pub(crate) fn partition_state(&self, partition: PartitionId) -> PartitionState {
        let cell = &self.shared.cells[usize::from(partition.0)];
        let owned = cell.lock();
        PartitionState {
            image: owned.partition.image(),
            log_end: owned.log.end(),
            durable: cell.progress.durable(),
            is_due: owned.partition.next_wake().is_due(self.shared.clock.now()),
        }
    }

    pub(crate) fn lease_left(&self) -> Option<Duration> {
        let ownership = self.shared.ownership.as_ref().filter(|_| !self.shared.is_stopping())?;
        let now = self.shared.clock.now().mono;
        ownership.all_proved_until().map(|until| Duration::from_micros(until.micros_since(now)))
    }

    /// Whether a queue could start a job, if it were its turn and there were a handler for it.
    pub(crate) fn could_start(&self, queue: &str) -> bool {
        let queue = self.shared.queues.by_name(queue);
        queue.is_some_and(|queue| queue.has_room() && self.shared.could_start(queue))
    }

    /// What should have been done by now if nothing of the engine can run: a wake-up was lost.
    pub(crate) fn left_undone(&self, can_handlers_run: bool) -> Option<String> {
        let shared = &self.shared;
        if shared.is_stopping() {
            return None;
        }
        for (at, cell) in shared.cells.iter().enumerate() {
            let owned = cell.lock();
            let now = shared.clock.now();
            if owned.partition.next_wake().is_due(now) {
                return Some(format!("partition {at} has something due, and the driver sleeps"));
            }
            // What is being written anew is not written record by record.
            let is_mended = shared.ownership.as_ref().is_none_or(|ownership| ownership.is_behind(at));
            let is_under_way = owned.log.outstanding_bytes() > owned.log.pending_bytes();
            if owned.log.has_pending() && !is_under_way && !is_mended && !cell.progress.is_ended() {
                return Some(format!("partition {at} has records to write, none is under way"));
            }
        }
        if shared.overdue_wake.load(SeqCst) <= shared.clock.now().mono.as_micros() {
            return Some("overdue jobs may go, and the driver sleeps".to_owned());
        }
        if shared.rate_wake.load(SeqCst) <= shared.clock.now().mono.as_micros() {
            return Some("a rate lets jobs start, and the driver sleeps".to_owned());
        }
        let could_run = |queue: &Queue| can_handlers_run || !queue.is_by_workers();
        let idle = shared.queues.iter().find(|queue| {
            could_run(queue) && queue.has_room() && shared.could_start(queue) && shared.has_permit(queue)
        });
        idle.map(|queue| format!("queue {} has jobs ready and workers to spare", queue.name.as_str()))
    }
}
