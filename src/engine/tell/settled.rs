//! Whether an engine has caught up with its clock: what a test waits for before it moves the clock on.

use std::sync::Arc;

use crate::engine::queues::Queue;
use crate::engine::state::{Cell, Engine, Shared};
use crate::partition::{Counts, MonoTime, Now};
use crate::sync::atomic::Ordering::SeqCst;

impl Engine {
    /// When the engine next has something to do.
    pub(crate) fn next_wake(&self, now: Now) -> Option<MonoTime> {
        self.shared.next_wake(now)
    }

    /// Whether there is nothing left to do but for handlers to end.
    pub(crate) fn waits_for_handlers(&self) -> bool {
        self.shared.is_still() && self.shared.life.running() > 0
    }

    /// Whether nothing is due, nothing that could be started waits, and no handler runs.
    pub(crate) fn is_settled(&self) -> bool {
        if self.shared.handlers.has_ended() {
            // Nothing will, whatever was with a handler.
            return true;
        }
        // The partitions are looked at one after another, and a job in one may have scheduled in another meanwhile:
        // what counts is two looks between which nothing happened.
        let first = self.shared.look();
        first.is_some() && first == self.shared.look()
    }
}

impl Shared {
    /// Whether nothing is due, and nothing that could be started waits.
    fn is_still(&self) -> bool {
        let is_due = |cell: &Cell| {
            let now = self.clock.now();
            cell.lock().partition.next_wake().is_due(now) || cell.wake().is_due(now)
        };
        let could_start = |queue: &Arc<Queue>| queue.has_runner() && self.could_start(queue);
        !self.cells.iter().any(is_due) && !self.queues.iter().any(could_start)
    }

    /// What has been done so far, if there is nothing left to do.
    fn look(&self) -> Option<Vec<Counts>> {
        let mut counts = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let owned = cell.lock();
            let now = self.clock.now();
            // What is published counts too: until the driver has seen a new partition, its hint says that it is due.
            let is_due = owned.partition.next_wake().is_due(now) || cell.wake().is_due(now);
            if is_due || owned.partition.running() > 0 {
                return None;
            }
            counts.push(owned.partition.counts());
        }
        let now = self.clock.now().mono;
        let is_overdue_due = self.overdue_wake.load(SeqCst) <= now.as_micros();
        let is_rate_due = self.queues.iter().any(|queue| queue.is_held_until(now));
        let could_start = is_overdue_due
            || is_rate_due
            || self.queues.iter().any(|queue| queue.has_runner() && self.could_start(queue));
        (!could_start && self.life.running() == 0).then_some(counts)
    }
}
