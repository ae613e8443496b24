//! Whose turn it is among the queues of a pool, and whom to call. Without a pool each queue sees to itself.
//!
//! # Rule
//! Workers are called by [`Shared::call_up_to`], and look before they sleep or leave by [`Shared::is_called`]. Whatever else
//! starts a job on a permit, or gives one back, is here: so the [pool](crate::engine::queues::Pool) loses no call.

use std::sync::Arc;

use super::order::{LOOKS_MAX, Lead};
use crate::engine::queues::{Pool, Queue};
use crate::engine::state::Shared;
use crate::partition::Started;

impl Shared {
    /// The pool in which a queue takes its turns.
    #[inline]
    pub(crate) fn pool_of(&self, queue: &Queue) -> Option<&Pool> {
        self.pool.as_deref().filter(|_| queue.is_by_workers())
    }

    /// Has workers look for jobs of `queue`, up to `count`; or of the queue that comes first, if they share a pool.
    pub(crate) fn call_up_to(&self, queue: &Arc<Queue>, count: usize) {
        match self.pool_of(queue) {
            None => queue.call_workers(count),
            Some(pool) => self.call_first(pool, count),
        }
    }

    /// A worker has started a job: calls one more if there is more to do. Each does, so that whoever brings work need not call all.
    /// In a pool whoever takes a permit has called.
    #[inline]
    pub(super) fn call_one_more(&self, queue: &Arc<Queue>) {
        if queue.has_workers_to_call() && self.could_start(queue) && self.pool_of(queue).is_none() {
            queue.call_workers(1);
        }
    }

    /// Whether a worker of `queue` that looked now would find a job that may start. If another queue comes first, a worker of that
    /// is called.
    pub(super) fn is_called(&self, queue: &Queue) -> bool {
        let Some(pool) = self.pool_of(queue) else { return self.could_start(queue) };
        match pool.first(|other| self.could_take(other)) {
            Some(first) if first.id != queue.id => {
                first.call_workers(1);
                false
            }
            first => first.is_some(),
        }
    }

    /// Whether there is a permit for it, if it needs one.
    #[cfg(feature = "_sim")]
    pub(crate) fn has_permit(&self, queue: &Queue) -> bool {
        self.pool_of(queue).is_none_or(|pool| pool.free() > 0)
    }

    /// Takes the next due job of `queue` that may start now; `None` if there is none, or a worker is to leave. See [`start_first`](Self::start_first).
    // Not inlined: a job is large, and would be moved once more.
    #[inline(never)]
    pub(crate) fn start_next(self: &Arc<Self>, queue: &Arc<Queue>, lead: &mut Lead) -> Option<Started> {
        if queue.has_too_many_workers() {
            return None;
        }
        match self.pool_of(queue) {
            None => self.start_first(queue, lead),
            Some(pool) => self.start_in_turn(pool, queue, lead),
        }
    }

    #[inline(never)]
    fn start_in_turn(self: &Arc<Self>, pool: &Pool, queue: &Arc<Queue>, lead: &mut Lead) -> Option<Started> {
        if !self.takes_permit(pool, queue) {
            return None;
        }
        let started = self.start_first(queue, lead);
        lead.is_in_pool();
        if started.is_some() {
            self.call_first(pool, 1);
        } else {
            // Another worker took it, or the queue's rate holds it.
            pool.refund(queue);
            self.give_permit_back(queue);
        }
        started
    }

    /// Decided while no tick is on its way: half of one may be without the queue that comes first.
    fn takes_permit(&self, pool: &Pool, queue: &Queue) -> bool {
        for _ in 0..LOOKS_MAX {
            let releases = self.releases.settled();
            if !pool.take(queue, |other| self.could_be_next(queue, other)) {
                return false;
            }
            if self.releases.are_still(releases) {
                return true;
            }
            pool.refund(queue);
            pool.give_back();
        }
        pool.take(queue, |other| self.could_be_next(queue, other))
    }

    /// Whether the next job of `queue` may take over the permit of one that has ended, and has not been counted off yet.
    pub(super) fn keeps_permit(&self, pool: &Pool, queue: &Queue) -> bool {
        pool.keep(queue, |other| self.could_be_next(queue, other))
    }

    /// The next job of `queue` was to take over the permit, and there is none.
    #[cold]
    pub(super) fn refund_start(&self, queue: &Queue) {
        if let Some(pool) = self.pool_of(queue) {
            pool.refund(queue);
        }
    }

    /// A job of `queue` does not run any more, and that is published.
    #[inline]
    pub(super) fn give_permit_back(&self, queue: &Queue) {
        if self.pool.is_some() {
            self.give_back_and_call(queue);
        }
    }

    #[inline(never)]
    fn give_back_and_call(&self, queue: &Queue) {
        if let Some(pool) = self.pool_of(queue) {
            pool.give_back();
            self.call_first(pool, 1);
        }
    }

    /// The layers of a queue let no job start for now: others need not wait for it.
    #[cfg(feature = "tower")]
    pub(super) fn wait_for_layers(&self, queue: &Queue) {
        if let Some(pool) = self.pool_of(queue).filter(|_| queue.set_layers_wait(true)) {
            self.call_first(pool, 1);
        }
    }

    #[inline(never)]
    fn call_first(&self, pool: &Pool, count: usize) {
        if let Some(first) = pool.first(|queue| self.could_take(queue)) {
            first.call_workers(count.min(pool.free().max(1)));
        }
    }

    /// Whether a worker of `queue`, if it were called, could start a job on a permit.
    fn could_take(&self, queue: &Queue) -> bool {
        self.could_be_asked(queue) && queue.running() < queue.concurrency() && !queue.do_layers_wait()
    }

    /// The same as a worker of `asking` sees it, which is there to start one.
    fn could_be_next(&self, asking: &Queue, queue: &Queue) -> bool {
        if queue.id == asking.id { self.could_be_asked(queue) } else { self.could_take(queue) }
    }

    /// Whether `queue` could start a job if it had a worker and a permit. Of a queue without jobs it takes one look.
    fn could_be_asked(&self, queue: &Queue) -> bool {
        if !queue.is_noted() {
            return false;
        }
        let could_start = self.could_start(queue);
        if !could_start {
            queue.note_if_none();
        }
        could_start
    }
}
