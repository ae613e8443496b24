//! The dead: jobs that failed as often as they may, or too late. They keep payload and history until they are revived or purged.
//!
//! # Rules
//! - A dead job holds neither its key nor room among the live ones.
//! - By queue, no more are kept than the configuration says, and none for longer: each death purges the oldest that are too many
//!   or too old, a few at a time. A purge is a record of its own, so replay has no rule for it.
//!
//! # Invariant
//! A job is in the order if, and only if, its state is [`State::Dead`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::State;
use super::{
    Death, DeathReason, Due, End, Fault, Handle, JobId, JobView, Key, Now, NowSource, Partition,
    PurgeOutcome, QueueId, Record, RecordedDue, Refusal, ReviveOutcome, Timestamp, Version,
};
use crate::job::AttemptError;
use crate::slab::Index;

/// How many are purged for one that dies.
const PURGE_MAX: usize = 4;

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub(super) struct DeadSet {
    /// Oldest first, by queue.
    order: BTreeMap<(QueueId, Timestamp, JobId), u32>,
    /// How many there are, by queue.
    counts: BTreeMap<QueueId, usize>,
}

/// What is to become of a job whose attempt asks for another.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) due: Due,
    /// What went wrong; `None` if nothing did.
    pub(crate) fault: Option<Fault>,
    /// Whether it counts as a failure.
    pub(crate) is_counted: bool,
}

/// What [`Partition::stop_after`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stopped {
    /// Nothing comes after the attempt.
    Yes,
    /// The job is of another version: nothing was done.
    Changed(Version),
    NotRunning,
}

impl DeadSet {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn of_queue(&self, queue: QueueId) -> usize {
        self.counts.get(&queue).copied().unwrap_or(0)
    }

    fn insert(&mut self, queue: QueueId, at: Timestamp, id: JobId, slot: u32) {
        self.order.insert((queue, at, id), slot);
        *self.counts.entry(queue).or_default() += 1;
    }

    pub(super) fn remove(&mut self, queue: QueueId, at: Timestamp, id: JobId) {
        if self.order.remove(&(queue, at, id)).is_some()
            && let Some(count) = self.counts.get_mut(&queue)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&queue);
            }
        }
    }

    fn oldest(&self, queue: QueueId) -> Option<(Timestamp, u32)> {
        let from = (queue, Timestamp::from_micros(i64::MIN), JobId::LEAST);
        let (&(of, at, _), &slot) = self.order.range(from..).next()?;
        (of == queue).then_some((at, slot))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn has(&self, queue: QueueId, at: Timestamp, id: JobId, slot: u32) -> bool {
        self.order.get(&(queue, at, id)) == Some(&slot)
    }
}

/// What the calls about attempts do.
impl Partition {
    /// How many jobs are dead.
    pub fn dead(&self) -> usize {
        self.dead.len()
    }

    /// How many of a queue are dead.
    pub fn dead_of(&self, queue: QueueId) -> usize {
        self.dead.of_queue(queue)
    }

    /// Has a running job wait for another attempt. If it was to be stopped it ends instead. `false` when it is not running: the
    /// call changed nothing.
    pub(crate) fn retry(&mut self, handle: Handle, again: Again, now: Now) -> bool {
        if self.is_stopped(handle) {
            return self.finish(handle, End::Cancelled, now);
        }
        let running = self.job(handle).filter(|job| matches!(job.state(), State::Running(_)));
        let Some(job) = running else { return false };
        let (id, attempt, version) = (job.id(), job.attempt(), job.version().next());
        let due = self.record_due(again.due, now).unwrap_or_else(|_| self.latest(now));
        let Again { fault, is_counted, .. } = again;
        let record = Record::Retried { id, at: now.wall, attempt, version, due, fault, is_counted };
        self.commit(record, handle.index, now);
        true
    }

    /// Has a job that runs, or is due, die. One that was to be stopped ends instead. `false` when it neither runs nor waits.
    pub(crate) fn die(
        &mut self,
        handle: Handle,
        reason: DeathReason,
        fault: Option<Fault>,
        now: Now,
    ) -> bool {
        if self.is_stopped(handle) {
            return self.finish(handle, End::Cancelled, now);
        }
        let Some(job) = self.job(handle).filter(|job| job.state().is_live()) else { return false };
        let (id, version, queue) = (job.id(), job.version().next(), job.queue());
        self.commit(Record::Died { id, at: now.wall, version, reason, fault }, handle.index, now);
        self.note_death(handle, now);
        self.trim_dead(queue, now);
        true
    }

    /// Keeps for [`take_died`](Self::take_died) how a job is that has just died: it may be purged or revived before anybody asks.
    pub(super) fn note_death(&mut self, handle: Handle, now: Now) {
        let view = self.job(handle).and_then(|job| self.view(handle, job, now));
        self.died.extend(view);
    }

    /// Takes a job that has died since the last call. Whoever has jobs die, or start, calls it until there are no more.
    #[inline]
    pub(crate) fn take_died(&mut self) -> Option<JobView> {
        self.died.pop()
    }

    /// Sees to it that nothing comes after the attempt that runs, if the job still is of the version that `expected` names.
    pub(crate) fn stop_after(&mut self, handle: Handle, expected: Option<Version>) -> Stopped {
        let running = self.job(handle).filter(|job| matches!(job.state(), State::Running(_)));
        let Some((id, version)) = running.map(|job| (job.id(), job.version())) else {
            return Stopped::NotRunning;
        };
        if expected.is_some_and(|expected| expected != version) {
            return Stopped::Changed(version);
        }
        if !self.is_stopped(handle) {
            self.stop(handle.index);
            self.note(|| Record::Stopped { id });
        }
        Stopped::Yes
    }

    /// Whether nothing is to come after the attempt that runs.
    pub(crate) fn is_stopped(&self, handle: Handle) -> bool {
        self.job(handle).and_then(|job| job.history()).is_some_and(|history| history.is_stopped)
    }

    /// Brings a dead job back, with all its attempts before it, if it still is of the version that `expected` names. `current` is
    /// what an index says of its key.
    ///
    /// # Errors
    /// When the due time is past the horizon. Nothing is changed then.
    pub(crate) fn revive(
        &mut self,
        handle: Handle,
        due: Due,
        current: Option<Handle>,
        expected: Option<Version>,
        mut now: impl NowSource,
    ) -> Result<ReviveOutcome, Refusal> {
        let due = self.record_due(due, &mut now)?;
        let Some(job) = self.job(handle) else { return Ok(ReviveOutcome::NotFound) };
        if !matches!(job.state(), State::Dead(_)) {
            return Ok(ReviveOutcome::NotDead);
        }
        if expected.is_some_and(|version| version != job.version()) {
            return Ok(ReviveOutcome::Changed { version: job.version() });
        }
        if let Some(handle) = current.filter(|&current| self.holds_key(current)) {
            return Ok(ReviveOutcome::KeyTaken { handle });
        }
        let (id, version) = (job.id(), job.version().next());
        self.commit(Record::Revived { id, version, due }, handle.index, now);
        Ok(ReviveOutcome::Revived { version })
    }

    /// Takes a dead job away, if it still is of the version that `expected` names.
    pub(crate) fn purge(&mut self, handle: Handle, expected: Option<Version>) -> PurgeOutcome {
        let Some(job) = self.job(handle) else { return PurgeOutcome::NotFound };
        let State::Dead(_) = job.state() else { return PurgeOutcome::NotDead };
        if expected.is_some_and(|version| version != job.version()) {
            return PurgeOutcome::Changed { version: job.version() };
        }
        let id = job.id();
        self.unbury(handle.index);
        self.note(|| Record::Purged { id });
        PurgeOutcome::Purged
    }

    /// Purges the oldest dead of a queue, as long as there are too many or they are too old, and no more than a few.
    pub(super) fn trim_dead(&mut self, queue: QueueId, now: Now) {
        let oldest = now.wall.saturating_sub_micros(self.config.dead_for_us);
        for _ in 0..PURGE_MAX {
            let Some((at, slot)) = self.dead.oldest(queue) else { return };
            if self.dead.of_queue(queue) <= self.config.dead_max && at >= oldest {
                return;
            }
            let Some(index) = self.jobs.index_of(slot) else { return };
            let _purged = self.purge(self.handle(index), None);
        }
    }

    /// The latest due that a job may have.
    fn latest(&self, now: Now) -> RecordedDue {
        let wall = now.wall.saturating_add_micros(self.config.horizon_us / 2);
        RecordedDue { base: super::TimeBase::Wall, wall }
    }
}

/// What the records do.
impl Partition {
    /// The change of [`Record::Retried`], but for its due.
    pub(super) fn remember(&mut self, index: Index, at: Timestamp, fault: Option<&Fault>, is_counted: bool) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        let attempt = job.attempt();
        let history = job.history_mut();
        history.failures = history.failures.saturating_add(u16::from(is_counted));
        if let Some(fault) = fault {
            history.push(AttemptError::new(attempt, at, fault));
        }
    }

    /// The change of [`Record::Died`].
    pub(super) fn bury(
        &mut self,
        index: Index,
        at: Timestamp,
        version: Version,
        reason: DeathReason,
        fault: Option<&Fault>,
    ) {
        self.remember(index, at, fault, fault.is_some());
        self.unplace(index);
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        job.history_mut().death = Some(Death::new(at, reason));
        let priority = job.priority();
        self.priorities.remove(priority);
        self.lay(index, at);
        self.counts.died += 1;
    }

    /// Puts a job, which is nowhere, among the dead.
    pub(super) fn lay(&mut self, index: Index, at: Timestamp) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_state(State::Dead(at));
        let (queue, id) = (job.queue(), job.id());
        self.dead.insert(queue, at, id, index.slot);
    }

    /// Takes a job from among the dead.
    #[cold]
    pub(super) fn leave_dead(&mut self, index: Index, at: Timestamp) {
        let Some(job) = self.jobs.get(index) else { return };
        let (queue, id) = (job.queue(), job.id());
        self.dead.remove(queue, at, id);
    }

    /// The change of [`Record::Revived`].
    pub(super) fn raise(&mut self, index: Index, version: Version, due: RecordedDue, now: impl NowSource) {
        self.unplace(index);
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        let history = job.history_mut();
        (history.death, history.failures) = (None, 0);
        history.revivals = history.revivals.saturating_add(1);
        let priority = job.priority();
        self.priorities.add(priority);
        self.set_due_and_place(index, due, now);
        self.counts.revived += 1;
    }

    /// The change of [`Record::Purged`].
    pub(super) fn unbury(&mut self, index: Index) {
        let handle = self.handle(index);
        self.unplace(index);
        if let Some(job) = self.jobs.get(index) {
            self.forgotten.push((Key::known(job.key()), handle));
        }
        self.jobs.remove(index);
        self.counts.purged += 1;
    }

    /// The change of [`Record::Stopped`].
    pub(super) fn stop(&mut self, index: Index) {
        if let Some(mut job) = self.jobs.get_mut(index) {
            job.history_mut().is_stopped = true;
        }
    }
}

/// For how long the dead are kept unless told otherwise, and how many of a queue.
pub(crate) const DEAD_FOR: Duration = Duration::from_secs(180 * 86_400);
pub(crate) const DEAD_MAX: usize = 10_000;
