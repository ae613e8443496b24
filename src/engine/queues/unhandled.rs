//! Queues that only a store knows: their jobs wait for a handler that was not built, perhaps because a release renamed the
//! queue. The log says so once when the engine starts, and once when a job of such a queue comes due.

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

    /// A restore has found so many more.
    pub(super) fn found(&self, jobs: usize) {
        self.jobs.fetch_add(jobs, Relaxed);
    }

    /// It is not to be told that one is due.
    pub(super) fn expect(&self) {
        self.has_told.store(true, Relaxed);
    }

    /// A job of the queue named so is due.
    pub(super) fn tell_due(&self, queue: &str) {
        if !self.has_told.swap(true, Relaxed) {
            tracing::warn!(
                queue,
                "jobs are due whose queue has no handler: they wait until it has one (`Builder::queue`, `Engine::add_queue`), \
                 or are cancelled"
            );
        }
    }
}
