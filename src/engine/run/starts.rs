//! Whether a job starts, decided under its partition's lock, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::order::Lead;
use crate::engine::meters::seconds;
use crate::engine::queues::Queue;
use crate::engine::state::{HISTOGRAM_MAX_US, Owned, Probed, Shared};
use crate::partition::{End, Handle, JobView, MonoTime, Now, Started};
use crate::sync::atomic::Ordering::SeqCst;
use crate::sync::thread;

impl Shared {
    /// Starts the first ready job of `queue` in partition `at`, if it still `comes_first` there.
    pub(crate) fn start_in(
        self: &Arc<Self>,
        at: usize,
        queue: &Arc<Queue>,
        comes_first: impl FnOnce(&Owned) -> bool,
    ) -> Option<Started> {
        let mut started = None;
        self.enter(at, None, |owned, now| {
            if !comes_first(owned) {
                return;
            }
            // Counted first, then looked whether it may: see `Life`.
            if self.life.begin_one() {
                self.decide_start(at, queue, owned, now, &mut started);
            }
            if started.is_some() {
                queue.share(at).running.fetch_add(1, SeqCst);
            } else {
                self.ran_one();
            }
        });
        if let Some(started) = &started {
            self.tell_start(queue, started);
        }
        started
    }

    /// Decides under the lock of partition `at` whether a job of `queue` starts, and which: that is put in `next`, as a job is large
    /// to be returned from call to call. The caller is counted as running.
    fn decide_start(
        self: &Arc<Self>,
        at: usize,
        queue: &Queue,
        owned: &mut Owned,
        now: Now,
        next: &mut Option<Started>,
    ) {
        if !self.may_start(queue) || !self.may_fire(at, now) {
            return;
        }
        let has_rate = queue.limiter.is_set();
        if has_rate && let Err(until) = queue.limiter.take(now.mono) {
            return self.hold_for_rate(queue, until);
        }
        *next = owned.partition.start(queue.id, now);
        if has_rate && next.is_none() {
            queue.limiter.give_back();
        }
        while let Some(job) = owned.partition.take_died() {
            self.expired(queue, job);
        }
        if let Some(started) = next {
            let lateness_us = started.lateness_us.clamp(1, HISTOGRAM_MAX_US);
            owned.lateness_us.saturating_record(lateness_us);
            queue.share(at).fired.fetch_add(1, Relaxed);
        }
    }

    /// A job was to be started too late, and is dead. The caller holds its partition, so it is told elsewhere.
    #[cold]
    fn expired(self: &Arc<Self>, queue: &Queue, job: JobView) {
        queue.count_death();
        #[cfg(feature = "_sim")]
        if let Some(probe) = &self.probe {
            probe(Probed::Expired(&job));
        }
        let (shared, id) = (Arc::clone(self), queue.id);
        self.handlers.runtime().spawn(async move {
            if let Some(queue) = shared.queues.by_id(id) {
                queue.tell_died(job);
            }
        });
    }

    fn tell_start(&self, queue: &Queue, started: &Started) {
        queue.meters.lateness_s.record(seconds(started.lateness_us));
        if let Some(probe) = &self.probe {
            probe(Probed::Started(&queue.name, started));
        }
    }

    /// Ends a job that [`start_next`](Self::start_next) gave out. Returns when that was.
    pub(crate) fn finish(self: &Arc<Self>, queue: &Queue, handle: Handle, end: End) -> MonoTime {
        self.finish_and_start(queue, handle, end, &mut Lead::from(0), &mut None, |_| false)
    }

    /// Ends a job and starts the next one of the queue, if that is in the same partition and the caller `goes_on` then, to run
    /// it now: under one lock, and by one reading of the clocks. Returns when that was, and has the started one in `next`.
    pub(crate) fn finish_and_start(
        self: &Arc<Self>,
        queue: &Queue,
        handle: Handle,
        end: End,
        lead: &mut Lead,
        next: &mut Option<Started>,
        goes_on: impl FnOnce(MonoTime) -> bool,
    ) -> MonoTime {
        let at = usize::from(handle.partition().0);
        let ended = self.enter(at, None, |owned, now| {
            let is_finished = owned.partition.finish(handle, end, now);
            debug_assert!(is_finished, "a job that was started is running until it is finished");
            let could_start =
                goes_on(now.mono) && self.could_start_in(at, queue) && self.stays_first(at, queue, lead);
            *next = None;
            if could_start {
                self.decide_start(at, queue, owned, now, next);
            }
            // The next takes over the counts of the one that has ended. They stood while it was decided.
            if next.is_none() {
                if could_start {
                    self.refund_start(queue);
                }
                queue.share(at).running.fetch_sub(1, SeqCst);
            }
            now.mono
        });
        // Last: a shutdown that sees none running tells how many are left, and this one is not.
        match next {
            Some(started) => self.tell_start(queue, started),
            None => {
                self.give_permit_back(queue);
                self.ran_one();
            }
        }
        ended
    }

    /// A job that was started will not end: the runtime that its handler was on has. It counts as running no more, and
    /// stays what it is for the store.
    pub(crate) fn interrupt(&self, queue: &Queue, handle: Handle) {
        if !thread::panicking() {
            self.runtime_ends();
        }
        queue.share(usize::from(handle.partition().0)).running.fetch_sub(1, SeqCst);
        self.give_permit_back(queue);
        self.ran_one();
    }

    pub(super) fn ran_one(&self) {
        if self.life.end_one() {
            // The committers end with the last running job.
            self.flush_all();
        }
    }
}
