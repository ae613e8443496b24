//! Jobs that rest: a paused job does not start, whatever its due, until it is resumed.
//!
//! # Rules
//! - A paused job is pending: it can be moved, changed and cancelled, and stays paused. It has no place among those that wait.
//! - A recurring job can be paused while it runs. The run goes on, and what comes after it rests.
//! - It stays paused across restarts, and where a changed job takes its place by an update. That it is paused is an option of it, so
//!   images and exports carry it.

use super::change::Standing;
use super::job::State;
use super::{Handle, NowSource, Partition, QueueId, Record, Timestamp, Version};
use crate::job::{Occurrence, PauseJobOutcome, Progress, Recurrence, ResumeJobOutcome, Step};
use crate::slab::Index;

/// A paused job that recurs, and waits for an occurrence.
pub(crate) struct PausedRule<'a> {
    pub(crate) rule: &'a Recurrence,
    /// What it waited for when it was paused.
    pub(crate) occurrence: Occurrence,
    pub(crate) version: Version,
    pub(crate) queue: QueueId,
    pub(crate) key: &'a str,
}

impl Partition {
    /// Pauses a job, if it still is of the version that `expected` names.
    pub fn pause_job(
        &mut self,
        handle: Handle,
        expected: Option<Version>,
        mut now: impl NowSource,
    ) -> PauseJobOutcome {
        let Some(job) = self.job(handle) else { return PauseJobOutcome::NotFound };
        match Standing::of(job, None) {
            Standing::Running if !self.recurs(handle) => return PauseJobOutcome::Running,
            Standing::Fired(at) => return PauseJobOutcome::AlreadyFired { at },
            Standing::Dead(at) => return PauseJobOutcome::Dead { at },
            _ if expected.is_some_and(|version| version != job.version()) => {
                return PauseJobOutcome::Changed { version: job.version() };
            }
            _ if job.is_paused() => return PauseJobOutcome::AlreadyPaused,
            _ => {}
        }
        let (id, version, at) = (job.id(), job.version().next(), now.now().wall);
        self.commit(Record::Paused { id, at, version }, handle.index, now);
        PauseJobOutcome::Paused { version }
    }

    /// What there is to know of a paused job, for whoever works out what it is to wait for. `None` if it does not recur, is at an
    /// occurrence already, or is not paused.
    pub(crate) fn paused_rule(&self, handle: Handle) -> Option<PausedRule<'_>> {
        let job = self.job(handle).filter(|job| job.state() == State::Paused && job.attempt() == 0)?;
        let rare = job.rare()?;
        let Progress { occurrence, .. } = rare.occurrence()?;
        let (version, queue, key) = (job.version(), job.queue(), job.key());
        Some(PausedRule { rule: rare.recurrence()?, occurrence, version, queue, key })
    }

    /// Resumes a job, if it still is of the version that `expected` names. `step` is what it is to wait for, if it recurs.
    pub(crate) fn resume_job(
        &mut self,
        handle: Handle,
        expected: Option<Version>,
        step: Option<Step>,
        mut now: impl NowSource,
    ) -> ResumeJobOutcome {
        let Some(job) = self.job(handle) else { return ResumeJobOutcome::NotFound };
        match Standing::of(job, None) {
            Standing::Running if !self.recurs(handle) => return ResumeJobOutcome::Running,
            Standing::Fired(at) => return ResumeJobOutcome::AlreadyFired { at },
            Standing::Dead(at) => return ResumeJobOutcome::Dead { at },
            _ if expected.is_some_and(|version| version != job.version()) => {
                return ResumeJobOutcome::Changed { version: job.version() };
            }
            _ if !job.is_paused() => return ResumeJobOutcome::NotPaused,
            _ => {}
        }
        let id = job.id();
        if let Some(Step { passed: Some(passed), next }) = step {
            let now = now.now();
            let Some(next) = next else {
                self.commit(Record::Skipped { id, at: now.wall }, handle.index, now);
                return ResumeJobOutcome::Ended;
            };
            self.pass_over(handle, next, passed, now);
        }
        let Some(job) = self.job(handle) else { return ResumeJobOutcome::NotFound };
        let (version, due) = (job.version().next(), job.due().as_told(&mut now));
        self.commit(Record::Resumed { id, version }, handle.index, now);
        ResumeJobOutcome::Resumed { version, due }
    }

    /// Whether the job that `handle` names, and a changed one is to replace, is paused: that stays so.
    pub(super) fn paused_since(&self, handle: Handle) -> Option<Timestamp> {
        self.job(handle)?.rare()?.paused().map(|paused| paused.0)
    }
}

/// What the records do.
impl Partition {
    /// The change of [`Record::Paused`].
    pub(super) fn lay_aside(&mut self, index: Index, at: Timestamp, version: Version) {
        let is_pending = self.jobs.get(index).is_some_and(|job| job.state().is_pending());
        if is_pending {
            self.unplace(index);
        }
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        job.set_paused(Some(at));
        if is_pending {
            job.set_state(State::Paused);
        }
    }

    /// The change of [`Record::Resumed`].
    pub(super) fn take_up(&mut self, index: Index, version: Version, now: impl NowSource) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        job.set_paused(None);
        if job.state() == State::Paused {
            self.place(index, now);
        }
    }
}
