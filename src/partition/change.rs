//! The calls of a user: schedule, reschedule, cancel, look up.

use super::job::State;
use super::table::{Job, JobTable};
use super::{
    CancelOutcome, Due, Handle, JobId, JobSpec, JobView, Key, LookupOutcome, MonoTime, Now, NowSource,
    OnConflict, Partition, QueueId, Record, RecordedDue, Refusal, RescheduleOutcome, ScheduleOutcome,
    ScheduledRecord, TimeBase, Timestamp, Version,
};
use crate::job::JobState;
use crate::time::micros_ceil;
use crate::wheel::Wheel;

/// A job that a caller wants to be taken.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is.
    pub spec: JobSpec<Due>,
    /// The number of its queue in this process.
    pub queue: QueueId,
    /// What to do when its key is taken.
    pub on_conflict: OnConflict,
}

/// How the state of a job answers a call that wants to change it.
enum Standing {
    Pending,
    Running,
    Fired(Timestamp),
    Changed(Version),
    Unknown,
}

impl Partition {
    /// Takes a job. `current` is what an index says of the job's key; what that handle names decides whether the key
    /// is taken.
    ///
    /// # Errors
    /// When the payload or the due time is over a limit. Nothing is changed then.
    pub fn schedule(
        &mut self,
        current: Option<Handle>,
        draft: Draft,
        mut now: impl NowSource,
    ) -> Result<ScheduleOutcome, Refusal> {
        let now = now.now();
        let Draft { spec, queue, on_conflict } = draft;
        if spec.payload.len() > self.config.payload_bytes_max {
            let (bytes, max) = (spec.payload.len(), self.config.payload_bytes_max);
            return Err(Refusal::PayloadTooLarge { bytes, max });
        }
        let due = self.record_due(spec.due, now)?;
        let pending = current.filter(|&handle| self.is_pending(handle));
        let replaced = match (pending, on_conflict) {
            (Some(handle), OnConflict::Reject) => return Ok(ScheduleOutcome::AlreadyScheduled { handle }),
            (Some(handle), OnConflict::Keep) => return Ok(ScheduleOutcome::Kept { handle }),
            (Some(handle), OnConflict::Replace) => Some(handle),
            (None, _) => None,
        };
        if replaced.is_none() && self.jobs.len() >= JobTable::CAPACITY_MAX {
            return Err(Refusal::NoSlot);
        }
        let replaced_job = replaced.and_then(|handle| self.job(handle));
        debug_assert!(
            replaced_job.is_none_or(|job| *job.key() == spec.key),
            "an index maps a key to its own job"
        );
        let (replaces, was) =
            (replaced_job.map(|job| job.id()), replaced_job.map(|job| job.due().as_told(now)));
        let id = JobId::new(self.id, self.next_sequence);
        let record = ScheduledRecord { id, spec: spec.with_due(due), replaces };
        let replaced = replaced.map(|handle| handle.index);
        let handle = match self.commit_new(record, queue, replaced, now) {
            Some(index) => self.handle(index),
            None => return Err(Refusal::NoSlot),
        };
        Ok(match was {
            Some(was) => ScheduleOutcome::Replaced { handle, was },
            None => ScheduleOutcome::Scheduled { handle },
        })
    }

    /// Moves a pending job, if it still is of the version that `expected` names.
    ///
    /// # Errors
    /// When the due time is past the horizon. Nothing is changed then.
    pub fn reschedule(
        &mut self,
        handle: Handle,
        due: Due,
        expected: Option<Version>,
        mut now: impl NowSource,
    ) -> Result<RescheduleOutcome, Refusal> {
        let now = now.now();
        let due = self.record_due(due, now)?;
        Ok(match self.standing(handle, expected) {
            Standing::Running => RescheduleOutcome::Running,
            Standing::Fired(at) => RescheduleOutcome::AlreadyFired { at },
            Standing::Changed(version) => RescheduleOutcome::Changed { version },
            Standing::Unknown => RescheduleOutcome::NotFound,
            Standing::Pending => {
                let Some(job) = self.job(handle) else { return Ok(RescheduleOutcome::NotFound) };
                let (id, version, was) = (job.id(), job.version().next(), job.due().as_told(now));
                self.commit(Record::Rescheduled { id, version, due }, handle.index, now);
                RescheduleOutcome::Rescheduled { was, version }
            }
        })
    }

    /// Takes a pending job back, if it still is of the version that `expected` names.
    pub fn cancel(
        &mut self,
        handle: Handle,
        expected: Option<Version>,
        mut now: impl NowSource,
    ) -> CancelOutcome {
        let now = now.now();
        match self.standing(handle, expected) {
            Standing::Running => CancelOutcome::Running,
            Standing::Fired(at) => CancelOutcome::AlreadyFired { at },
            Standing::Changed(version) => CancelOutcome::Changed { version },
            Standing::Unknown => CancelOutcome::NotFound,
            Standing::Pending => {
                let Some(id) = self.job(handle).map(|job| job.id()) else { return CancelOutcome::NotFound };
                self.commit(Record::Cancelled { id }, handle.index, now);
                CancelOutcome::Cancelled
            }
        }
    }

    /// The job as it stands.
    pub fn lookup(&self, handle: Handle, now: Now) -> LookupOutcome {
        let Some(job) = self.job(handle) else { return LookupOutcome::NotFound };
        if let State::Fired(at, end) = job.state() {
            return LookupOutcome::AlreadyFired { at, end };
        }
        // Made in one place: a view is large.
        match self.view(handle, job, now) {
            None => LookupOutcome::NotFound,
            Some(view) if view.state == JobState::Running => LookupOutcome::Running(view),
            Some(view) => LookupOutcome::Scheduled(view),
        }
    }

    /// Whether `handle` names a job that is pending.
    pub fn is_pending(&self, handle: Handle) -> bool {
        matches!(self.standing(handle, None), Standing::Pending)
    }

    /// The key of the job that `handle` names.
    pub fn key(&self, handle: Handle) -> Option<&Key> {
        self.job(handle).map(Job::key)
    }

    /// Whether there is a job in `slot`, and its key is `key`. For an index from keys to slots.
    pub(crate) fn is_of_key(&self, slot: u32, key: &str) -> bool {
        self.jobs.at(slot).is_some_and(|job| job.key().as_str() == key)
    }

    /// The handle of the job in `slot`.
    pub(crate) fn handle_at(&self, slot: u32) -> Option<Handle> {
        self.jobs.index_of(slot).map(|index| self.handle(index))
    }

    /// Has the processor fetch the job in `slot`. Changes nothing, as the next two.
    pub(crate) fn warm_job(&self, slot: u32) {
        self.jobs.prefetch(slot);
    }

    /// Has it fetch what the job in `slot`, which is there by now, points to: its timer and its payload.
    pub(crate) fn warm_timer(&self, slot: u32) {
        let Some(job) = self.jobs.at(slot) else { return };
        job.payload().warm();
        if let State::Waiting(timer) = job.state() {
            self.wheel_of(job.due().base).warm(timer);
        }
    }

    /// Has it fetch the timers next to that of the job in `slot`.
    pub(crate) fn warm_neighbours(&self, slot: u32) {
        let Some(job) = self.jobs.at(slot) else { return };
        if let State::Waiting(timer) = job.state() {
            self.wheel_of(job.due().base).warm_neighbours(timer);
        }
    }

    pub(super) fn wheel_of(&self, base: TimeBase) -> &Wheel<u32> {
        match base {
            TimeBase::Wall => &self.wall,
            TimeBase::Mono => &self.mono,
        }
    }

    fn standing(&self, handle: Handle, expected: Option<Version>) -> Standing {
        let Some(job) = self.job(handle) else { return Standing::Unknown };
        match job.state() {
            State::Running(_) => Standing::Running,
            State::Fired(at, _) => Standing::Fired(at),
            _ if expected.is_some_and(|version| version != job.version()) => Standing::Changed(job.version()),
            _ => Standing::Pending,
        }
    }

    fn record_due(&self, due: Due, now: Now) -> Result<RecordedDue, Refusal> {
        let (base, wall, ahead_us) = match due {
            Due::At(wall) => (TimeBase::Wall, wall, wall.micros_since(now.wall)),
            Due::In(delay) => {
                let delay_us = micros_ceil(delay);
                (TimeBase::Mono, now.wall.saturating_add_micros(delay_us), delay_us)
            }
        };
        // What lies in the last tick of a clock would be cut short, or would wait for a tick that never comes.
        let tick_us = self.config.tick_us;
        let is_past_wall = wall > Timestamp::MAX.saturating_sub_micros(tick_us);
        let is_past_mono = base == TimeBase::Mono
            && MonoTime::MAX.micros_since(now.mono) <= ahead_us.saturating_add(tick_us);
        if ahead_us > self.config.horizon_us || is_past_wall || is_past_mono {
            return Err(Refusal::PastHorizon { horizon_s: self.config.horizon_us / 1_000_000 });
        }
        Ok(RecordedDue { base, wall })
    }

    #[inline]
    pub(super) fn view(&self, handle: Handle, job: &Job, now: Now) -> Option<JobView> {
        let (state, since) = match job.state() {
            State::Running(since) => (JobState::Running, since),
            State::Ready(_) | State::Collected => (JobState::Ready, Timestamp::from_micros(0)),
            _ => (JobState::Pending, Timestamp::from_micros(0)),
        };
        Some(JobView {
            handle,
            id: job.id(),
            key: job.key().clone(),
            queue: self.ready_queue(job.queue())?.name.clone(),
            payload: job.payload().clone(),
            due: job.due().as_told(now),
            options: self.jobs.options(handle.index.slot, job),
            version: job.version(),
            attempt: job.attempt(),
            state,
            since,
        })
    }
}
