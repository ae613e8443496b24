//! Recurring jobs: one job under one key, that waits again when a run has ended.
//!
//! # Rules
//! - Which occurrence is next is worked out by the caller, and written down as a fact: nothing here knows a rule from another.
//! - A recurring job holds its key also while it runs. A new job that takes its place then *detaches* it: the run goes on to its
//!   end, its retries included, and nothing comes after it.
//! - Each occurrence has attempts of its own, counted from 1.

use super::apply::Before;
use super::job::{JobDue, State};
use super::table::JobTable;
use super::{
    Due, End, Fault, Handle, JobId, JobSpec, Key, Now, NowSource, Occurrence, Partition, Passed, Predecessor,
    QueueId, Record, RecordedDue, ScheduledRecord, TimeBase, Timestamp, Version,
};
use crate::job::{AttemptError, Progress};
use crate::slab::Index;

/// What follows a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(crate) occurrence: Occurrence,
    /// What was passed over before it.
    pub(crate) passed: Option<Passed>,
}

/// What the calls about recurring jobs do.
impl Partition {
    /// Whether another job cannot take the key of the one that `handle` names without taking its place.
    #[inline]
    pub(crate) fn holds_key(&self, handle: Handle) -> bool {
        self.is_pending(handle) || self.recurs(handle)
    }

    /// Whether a job runs that is to wait for another occurrence after it.
    pub(crate) fn recurs(&self, handle: Handle) -> bool {
        let running = self.job(handle).filter(|job| matches!(job.state(), State::Running(_)));
        let is_recurring = running.and_then(|job| job.rare()).is_some_and(|rare| rare.recurrence().is_some());
        is_recurring && !self.is_stopped(handle)
    }

    /// Has a job that runs, and recurs, wait for its next occurrence. `false` if it does not recur: the call changed nothing.
    pub(crate) fn recur(
        &mut self,
        handle: Handle,
        end: End,
        fault: Option<Fault>,
        next: Next,
        now: Now,
    ) -> bool {
        if !self.recurs(handle) {
            return false;
        }
        let Some(job) = self.job(handle) else { return false };
        let (id, version, Next { occurrence, passed }) = (job.id(), job.version().next(), next);
        let due = due_of(&occurrence);
        let record = Record::Recurred { id, at: now.wall, version, end, fault, due, occurrence, passed };
        self.commit(record, handle.index, now);
        true
    }

    /// Has a job that runs, or is pending, be about a later occurrence. `false` if it does not recur: the call changed nothing.
    pub(crate) fn pass_over(&mut self, handle: Handle, to: Occurrence, passed: Passed, now: Now) -> bool {
        let is_recurring = |handle| {
            let rare = self.job(handle).and_then(|job| job.rare());
            rare.is_some_and(|rare| rare.recurrence().is_some())
        };
        if !(self.is_pending(handle) && is_recurring(handle) || self.recurs(handle)) {
            return false;
        }
        let Some(job) = self.job(handle) else { return false };
        let (id, version, due) = (job.id(), job.version().next(), due_of(&to));
        self.commit(Record::PassedOver { id, version, due, occurrence: to, passed }, handle.index, now);
        true
    }

    /// Has a new job wait for the occurrences after the one that runs, which goes on without them. The caller sees to it that there
    /// is room. `None` if the job does not recur: the call changed nothing.
    pub(crate) fn split(&mut self, handle: Handle, next: Next, now: Now) -> Option<Handle> {
        if !self.recurs(handle) || self.jobs.len() >= JobTable::CAPACITY_MAX {
            return None;
        }
        let job = self.job(handle)?;
        let (detached, queue, due) = (job.id(), job.queue(), due_of(&next.occurrence));
        let progress = job.rare()?.occurrence()?.on(next.occurrence, next.passed);
        let spec = JobSpec {
            key: Key::known(job.key()),
            queue: self.ready_queue(queue)?.name.clone(),
            payload: job.payload().into(),
            due,
            options: job.options().with_occurrence(progress),
        };
        let id = JobId::new(self.id, self.next_sequence);
        let index = self.take(id, &spec, due, queue, Before::Detached(handle.index), now)?;
        let before = Predecessor::Detached(detached);
        self.note(|| Record::Scheduled(ScheduledRecord { id, spec, before }));
        Some(self.handle(index))
    }

    /// Whether a recurring job is just as a call has it. Where it stands, and when it is due, does not count.
    pub(super) fn is_as_said(&self, handle: Handle, spec: &JobSpec<Due>, queue: QueueId) -> bool {
        let Some(job) = self.job(handle) else { return false };
        let Some(progress) = job.rare().and_then(|rare| rare.occurrence()) else { return false };
        job.queue() == queue
            && job.payload() == spec.payload.as_bytes()
            && job.options()
                == spec.options.clone().with_occurrence(progress).paused_as(self.paused_since(handle))
    }

    /// Says of a job about to be taken which occurrence it waits for. If it takes the place of one with the same rule, which is
    /// pending, it waits for the same, and as long. If that was paused, so is it. Returns its due.
    pub(super) fn begin_recurring(
        &self,
        spec: &mut JobSpec<Due>,
        due: RecordedDue,
        goes_on: Option<Handle>,
    ) -> RecordedDue {
        let old = goes_on.and_then(|handle| self.job(handle)).filter(|job| job.state().is_pending());
        let old = old.and_then(|job| Some((job.rare()?, job.recorded_due())));
        let same = old.filter(|(rare, _)| rare.recurrence() == spec.options.recurrence());
        let (progress, due) = match same.and_then(|(rare, due)| Some((rare.occurrence()?, due))) {
            Some(same) => same,
            None => (spec.options.occurrence().copied().unwrap_or(Progress::first(due.wall)), due),
        };
        let paused = goes_on.and_then(|handle| self.paused_since(handle));
        spec.options = std::mem::take(&mut spec.options).with_occurrence(progress).paused_as(paused);
        due
    }
}

/// What the records do.
impl Partition {
    /// The first change of [`Record::Recurred`]: a run has ended, and the job is nowhere.
    pub(super) fn ran(&mut self, index: Index, at: Timestamp, end: End, fault: Option<&Fault>) {
        self.unplace(index);
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        let attempt = job.attempt();
        if let Some(fault) = fault {
            job.history_mut().push(AttemptError::new(attempt, at, fault));
        }
        if let Some(history) = job.known_history_mut() {
            history.failures = 0;
        }
        job.set_attempt(0);
        job.set_state(State::Collected);
        self.counts.recurred += 1;
        if end == End::Done {
            self.counts.succeeded += 1;
        } else {
            self.counts.failed += 1;
        }
    }

    /// The change of [`Record::PassedOver`], and the second of [`Record::Recurred`].
    pub(super) fn go_on(
        &mut self,
        index: Index,
        version: Version,
        due: RecordedDue,
        occurrence: Occurrence,
        passed: Option<Passed>,
        now: impl NowSource,
    ) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        let rare = job.rare_mut();
        let before = rare.occurrence().unwrap_or(Progress::of(occurrence));
        rare.set_occurrence(before.on(occurrence, passed));
        self.counts.passed += passed.map_or(0, |passed| passed.count);
        if let State::Running(_) = job.state() {
            return job.set_due(JobDue::Wall(due.wall), due.wall);
        }
        self.unplace(index);
        self.set_due_and_place(index, due, now);
    }

    /// What becomes of the job that [`Record::Scheduled`] detaches.
    pub(super) fn detach(&mut self, index: Index) {
        if let Some(mut job) = self.jobs.get_mut(index) {
            job.rare_mut().end_recurrence();
            // If it is paused, that is about what comes after its run.
            job.set_paused(None);
        }
    }
}

/// An occurrence lies at an instant of the wall clock.
fn due_of(occurrence: &Occurrence) -> RecordedDue {
    RecordedDue { base: TimeBase::Wall, wall: occurrence.scheduled_for }
}
