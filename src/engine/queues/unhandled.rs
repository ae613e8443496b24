//! Queues that only a store knows: their jobs wait for a handler that was not built, perhaps because a release renamed the
//! queue. The log says so once when the engine starts, and once when a job of such a queue comes due.

use super::queue::{Queue, Queues};
use crate::partition::Partition;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// What is known of a queue's jobs while it has no handler.
#[derive(Default)]
pub(crate) struct Unhandled {
    /// How many of them the restore has found.
    jobs: AtomicUsize,
    /// Whether it was told that one is due, or is not to be.
    has_told: AtomicBool,
}

impl Unhandled {
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.load(Relaxed)
    }

    /// A job of `queue` is due.
    #[cold]
    pub(crate) fn tell_due(&self, queue: &Queue) {
        if !queue.is_claimed() && !self.has_told.swap(true, Relaxed) {
            tracing::warn!(
                queue = queue.name.as_str(),
                "jobs are due whose queue has no handler: they wait until it has one (`Builder::queue`, `Engine::add_queue`), \
                 or are cancelled"
            );
        }
    }
}

impl Queues {
    /// Counts the jobs of a restored partition that have no handler. Looks at jobs only if there may be some.
    pub(crate) fn count_unhandled(&self, partition: &Partition) {
        if self.iter().all(|queue| queue.is_claimed()) {
            return;
        }
        for (id, jobs) in partition.live_by_queue() {
            if let Some(queue) = self.by_id(id).filter(|queue| !queue.is_claimed()) {
                queue.unhandled.jobs.fetch_add(jobs, Relaxed);
            }
        }
    }

    /// Says which queues have jobs and no handler, unless that `is_expected`: then it is not said later either.
    pub(crate) fn tell_unhandled(&self, is_expected: bool) {
        for queue in self.iter().filter(|queue| !queue.is_claimed()) {
            let jobs = queue.unhandled.jobs();
            if is_expected {
                queue.unhandled.has_told.store(true, Relaxed);
            } else if jobs > 0 {
                tracing::warn!(
                    queue = queue.name.as_str(),
                    jobs,
                    "the store has jobs of a queue that this engine was built without: they will not fire. Build it with the \
                     queue (`Builder::queue`), add it (`Engine::add_queue`), or cancel them"
                );
            }
        }
    }
}
