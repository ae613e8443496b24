//! Whether a change can be made, without making it: for changes that are made together or not at all.
//!
//! # Rule
//! What is foreseen here is what the call would answer, as long as nothing else changes the job in between.

use super::change::Standing;
use super::table::JobTable;
use super::{
    CancelOutcome, Draft, Due, Handle, NowSource, OnConflict, Partition, Refusal, RescheduleOutcome,
    ScheduleOutcome, Version,
};

impl Partition {
    /// What [`schedule`](Self::schedule) would answer if it would not do what was asked; `None` if it would. There must be
    /// [room](Self::has_slots).
    ///
    /// # Errors
    /// As the call.
    pub(crate) fn foresee_schedule(
        &self,
        current: Option<Handle>,
        draft: &Draft,
        now: impl NowSource,
    ) -> Result<Option<ScheduleOutcome>, Refusal> {
        let Draft { spec, on_conflict, .. } = draft;
        if spec.payload.len() > self.config.payload_bytes_max {
            let (bytes, max) = (spec.payload.len(), self.config.payload_bytes_max);
            return Err(Refusal::PayloadTooLarge { bytes, max });
        }
        self.record_due(spec.due, now)?;
        let holder = current.filter(|&handle| self.holds_key(handle));
        let is_rejected = *on_conflict == OnConflict::Reject;
        Ok(holder.filter(|_| is_rejected).map(|handle| ScheduleOutcome::AlreadyScheduled { handle }))
    }

    /// What [`reschedule`](Self::reschedule) would answer if it would not move the job; `None` if it would.
    ///
    /// # Errors
    /// As the call.
    pub(crate) fn foresee_reschedule(
        &self,
        handle: Handle,
        due: Due,
        expected: Option<Version>,
        now: impl NowSource,
    ) -> Result<Option<RescheduleOutcome>, Refusal> {
        self.record_due(due, now)?;
        let Some(job) = self.job(handle) else { return Ok(Some(RescheduleOutcome::NotFound)) };
        Ok(Standing::of(job, expected).bars_move())
    }

    /// What [`cancel`](Self::cancel) would answer if it would not cancel the job; `None` if it would.
    pub(crate) fn foresee_cancel(&self, handle: Handle, expected: Option<Version>) -> Option<CancelOutcome> {
        let Some(job) = self.job(handle) else { return Some(CancelOutcome::NotFound) };
        Standing::of(job, expected).bars_cancel()
    }

    /// Whether so many jobs more find a slot.
    pub(crate) fn has_slots(&self, jobs: usize) -> bool {
        self.jobs.len() + jobs <= JobTable::CAPACITY_MAX
    }
}
