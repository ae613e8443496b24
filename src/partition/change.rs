//! The calls of a user: schedule, reschedule, cancel, look up.

use super::apply::Before;
use super::job::State;
use super::table::{Job, JobTable};
use super::{
    CancelOutcome, Due, Edit, EditOutcome, Handle, JobId, JobSpec, JobView, Key, LookupOutcome, MonoTime,
    Now, NowSource, OnConflict, Partition, Payload, Predecessor, QueueId, Record, RecordedDue, Refusal,
    RescheduleOutcome, ScheduleOutcome, ScheduledRecord, TimeBase, Timestamp, Version,
};
use crate::job::{Debounce, JobState};
use crate::time::micros_ceil;
use crate::wheel::Timers;

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
pub(super) enum Standing {
    Pending,
    Running,
    Fired(Timestamp),
    Dead(Timestamp),
    Changed(Version),
}

impl Standing {
    #[inline]
    pub(super) fn of(job: Job<'_>, expected: Option<Version>) -> Standing {
        match job.state() {
            State::Running(_) => Standing::Running,
            State::Fired(at, _) => Standing::Fired(at),
            State::Dead(at) => Standing::Dead(at),
            _ if expected.is_some_and(|version| version != job.version()) => Standing::Changed(job.version()),
            _ => Standing::Pending,
        }
    }

    /// What a call that moves it answers; `None` if it can.
    #[inline]
    pub(super) fn bars_move(self) -> Option<RescheduleOutcome> {
        match self {
            Standing::Pending => None,
            Standing::Running => Some(RescheduleOutcome::Running),
            Standing::Fired(at) => Some(RescheduleOutcome::AlreadyFired { at }),
            Standing::Dead(at) => Some(RescheduleOutcome::Dead { at }),
            Standing::Changed(version) => Some(RescheduleOutcome::Changed { version }),
        }
    }

    /// What a call that cancels it answers; `None` if it can.
    #[inline]
    pub(super) fn bars_cancel(self) -> Option<CancelOutcome> {
        match self {
            Standing::Pending => None,
            Standing::Running => Some(CancelOutcome::Running),
            Standing::Fired(at) => Some(CancelOutcome::AlreadyFired { at }),
            Standing::Dead(at) => Some(CancelOutcome::Dead { at }),
            Standing::Changed(version) => Some(CancelOutcome::Changed { version }),
        }
    }
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
        let Draft { mut spec, queue, on_conflict } = draft;
        if spec.payload.len() > self.config.payload_bytes_max {
            let (bytes, max) = (spec.payload.len(), self.config.payload_bytes_max);
            return Err(Refusal::PayloadTooLarge { bytes, max });
        }
        let mut due = self.record_due(spec.due, &mut now)?;
        let holder = current.filter(|&handle| self.holds_key(handle));
        let replaced = match (holder, on_conflict) {
            (Some(handle), OnConflict::Reject) => return Ok(ScheduleOutcome::AlreadyScheduled { handle }),
            (Some(handle), OnConflict::Keep) => return Ok(ScheduleOutcome::Kept { handle }),
            (Some(handle), OnConflict::Update) if self.is_as_said(handle, &spec, queue) => {
                return Ok(ScheduleOutcome::Kept { handle });
            }
            (Some(handle), OnConflict::KeepEarlier) if !self.is_due_after(handle, due, &mut now) => {
                return Ok(ScheduleOutcome::Kept { handle });
            }
            (Some(handle), OnConflict::KeepLater) if !self.is_due_before(handle, due, &mut now) => {
                return Ok(ScheduleOutcome::Kept { handle });
            }
            (Some(handle), OnConflict::Payload) if self.is_pending(handle) => {
                return self.update_payload(handle, spec.payload, now);
            }
            (Some(handle), _) => Some(handle),
            (None, _) => None,
        };
        if spec.options.recurrence().is_some() {
            let goes_on = replaced.filter(|_| on_conflict == OnConflict::Update);
            due = self.begin_recurring(&mut spec, due, goes_on);
        }
        if let Some(debounce) = spec.options.debounce().copied() {
            due = self.hold_to(&mut spec, debounce, due, replaced, now.now());
        }
        if replaced.is_none() && self.jobs.len() >= JobTable::CAPACITY_MAX {
            return Err(Refusal::NoSlot);
        }
        let replaced_job = replaced.and_then(|handle| self.job(handle));
        debug_assert!(
            replaced_job.is_none_or(|job| job.key() == spec.key.as_str()),
            "an index maps a key to its own job"
        );
        let was = replaced_job.map(|job| job.due().as_told(&mut now));
        let (told, before) = match replaced_job.zip(replaced) {
            Some((job, handle)) if matches!(job.state(), State::Running(_)) => {
                (Predecessor::Detached(job.id()), Before::Detached(handle.index))
            }
            Some((job, handle)) => (Predecessor::Replaced(job.id()), Before::Replaced(handle.index)),
            None => (Predecessor::None, Before::None),
        };
        let id = JobId::new(self.id, self.next_sequence);
        let index = self.take(id, &spec, due, queue, before, now).ok_or(Refusal::NoSlot)?;
        let handle = self.handle(index);
        self.note(|| Record::Scheduled(ScheduledRecord { id, spec: spec.with_due(due), before: told }));
        Ok(match was {
            Some(was) => ScheduleOutcome::Replaced { handle, was },
            None => ScheduleOutcome::Scheduled { handle },
        })
    }

    fn is_due_after(&self, handle: Handle, due: RecordedDue, now: &mut impl NowSource) -> bool {
        self.job(handle).is_some_and(|job| job.due().as_told(now) > due.wall)
    }

    fn is_due_before(&self, handle: Handle, due: RecordedDue, now: &mut impl NowSource) -> bool {
        self.job(handle).is_some_and(|job| job.due().as_told(now) < due.wall)
    }

    fn update_payload(
        &mut self,
        handle: Handle,
        payload: Payload,
        now: impl NowSource,
    ) -> Result<ScheduleOutcome, Refusal> {
        match self.edit(handle, Edit::payload(payload), None, None, now)? {
            EditOutcome::Edited { version } => Ok(ScheduleOutcome::Updated { handle, version }),
            _ => Ok(ScheduleOutcome::AlreadyScheduled { handle }),
        }
    }

    /// Holds a job to the latest due that the first of a row of calls has set: `replaced` is what the call before it scheduled.
    fn hold_to(
        &self,
        spec: &mut JobSpec<Due>,
        debounce: Debounce,
        due: RecordedDue,
        replaced: Option<Handle>,
        now: Now,
    ) -> RecordedDue {
        let before = replaced.and_then(|handle| self.job(handle)?.rare()?.debounce());
        let debounce = debounce.begun(now.wall, before);
        spec.options = std::mem::take(&mut spec.options).with_debounce(debounce);
        match debounce.until() {
            Some(until) if due.wall > until => RecordedDue { wall: until, ..due },
            _ => due,
        }
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
        let due = self.record_due(due, &mut now)?;
        let Some(job) = self.job(handle) else { return Ok(RescheduleOutcome::NotFound) };
        if let Some(outcome) = Standing::of(job, expected).bars_move() {
            return Ok(outcome);
        }
        let (id, version, was) = (job.id(), job.version().next(), job.due().as_told(&mut now));
        self.change_due(handle.index, version, due, now);
        self.note(|| Record::Rescheduled { id, version, due });
        Ok(RescheduleOutcome::Rescheduled { was, version })
    }

    /// Takes a pending job back, if it still is of the version that `expected` names.
    pub fn cancel(&mut self, handle: Handle, expected: Option<Version>) -> CancelOutcome {
        let Some(job) = self.job(handle) else { return CancelOutcome::NotFound };
        if let Some(outcome) = Standing::of(job, expected).bars_cancel() {
            return outcome;
        }
        let id = job.id();
        self.take_back(handle.index);
        self.note(|| Record::Cancelled { id });
        CancelOutcome::Cancelled
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
            Some(view) if view.state == JobState::Dead => LookupOutcome::Dead(view),
            Some(view) => LookupOutcome::Scheduled(view),
        }
    }

    /// Whether `handle` names a job that is pending.
    pub fn is_pending(&self, handle: Handle) -> bool {
        self.job(handle).is_some_and(|job| job.state().is_pending())
    }

    /// Whether `handle` names a job that is with its handler.
    pub fn is_running(&self, handle: Handle) -> bool {
        self.job(handle).is_some_and(|job| matches!(job.state(), State::Running(_)))
    }

    /// The key of the job that `handle` names.
    pub fn key(&self, handle: Handle) -> Option<&str> {
        self.job(handle).map(|job| job.key())
    }

    /// Whether there is a job in `slot`, and its key is `key`. For an index from keys to slots.
    pub(crate) fn is_of_key(&self, slot: u32, key: &str) -> bool {
        self.jobs.is_of_key(slot, key)
    }

    /// The handle of the job in `slot`.
    pub(crate) fn handle_at(&self, slot: u32) -> Option<Handle> {
        self.jobs.index_of(slot).map(|index| self.handle(index))
    }

    /// Has the processor fetch the job in `slot`. Changes nothing, as the next.
    pub(crate) fn warm_job(&self, slot: u32) {
        self.jobs.prefetch(slot);
    }

    /// Has it fetch the jobs beside which the job in `slot`, which is there by now, waits.
    pub(crate) fn warm_neighbours(&self, slot: u32) {
        if self.jobs.at(slot).is_some_and(|job| job.state() == State::Waiting) {
            Timers::warm_neighbours(&self.jobs, slot);
        }
    }

    /// Judges a due time, and says it by the wall clock.
    #[inline]
    pub(super) fn record_due(&self, due: Due, mut now: impl NowSource) -> Result<RecordedDue, Refusal> {
        match due {
            // The wheel is behind the clock, or where the clock was before it was set back. What it has near is near enough.
            Due::At(wall) => {
                let by_wheel_us = wall.micros_since(self.wheel_wall());
                let is_near = by_wheel_us <= self.config.horizon_us / 2;
                let ahead_us = if is_near { by_wheel_us } else { wall.micros_since(now.now().wall) };
                self.check_horizon(ahead_us, wall, false)?;
                Ok(RecordedDue { base: TimeBase::Wall, wall })
            }
            Due::In(delay) => {
                let (now, delay_us) = (now.now(), micros_ceil(delay));
                let wall = now.wall.saturating_add_micros(delay_us);
                // What lies in the last tick of a clock would be cut short, or would wait for a tick that never comes.
                let left_us = MonoTime::MAX.micros_since(now.mono);
                let is_past = left_us <= delay_us.saturating_add(self.config.tick_us);
                self.check_horizon(delay_us, wall, is_past)?;
                Ok(RecordedDue { base: TimeBase::Mono, wall })
            }
        }
    }

    fn check_horizon(&self, ahead_us: u64, wall: Timestamp, is_past: bool) -> Result<(), Refusal> {
        let is_past_wall = wall > Timestamp::MAX.saturating_sub_micros(self.config.tick_us);
        if ahead_us > self.config.horizon_us || is_past_wall || is_past {
            return Err(Refusal::PastHorizon { horizon_s: self.config.horizon_us / 1_000_000 });
        }
        Ok(())
    }

    /// The instant at which the wheel of the wall clock stands.
    #[inline]
    pub(super) fn wheel_wall(&self) -> Timestamp {
        Timestamp::from_ticks(self.wall.now(), self.config.tick_us)
    }

    #[inline]
    pub(super) fn view(&self, handle: Handle, job: Job<'_>, now: Now) -> Option<JobView> {
        let (state, since) = match job.state() {
            State::Running(since) => (JobState::Running, since),
            State::Ready(_) | State::Collected => (JobState::Ready, Timestamp::from_micros(0)),
            _ if job.has_more() => (job.as_read(), Timestamp::from_micros(0)),
            _ => (JobState::Pending, Timestamp::from_micros(0)),
        };
        Some(JobView {
            handle,
            id: job.id(),
            key: Key::known(job.key()),
            queue: self.ready_queue(job.queue())?.name.clone(),
            payload: job.payload().into(),
            due: job.due().as_told(now),
            options: job.options(),
            version: job.version(),
            attempt: job.attempt(),
            state,
            history: if job.has_more() { job.history().cloned().map(Box::new) } else { None },
            since,
        })
    }
}
