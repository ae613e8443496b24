//! The jobs of a tag: which they are, in slices, and each moved from where it is. The table has the index (`table/tags`).

use std::time::Duration;

use super::job::JobDue;
use super::table::Walk;
use super::{Due, Handle, JobId, NowSource, Partition, Refusal, RescheduleOutcome, Timestamp};
use crate::time::Shift;

impl Partition {
    /// Tells of the jobs that have `tag`, and are pending or with a handler, from slot `from` on: no more than `jobs_max` are looked
    /// at. Returns the slot to go on from; `None` when all have been seen.
    pub(crate) fn tagged(
        &self,
        tag: &str,
        from: u32,
        jobs_max: usize,
        mut each: impl FnMut(Handle, JobId, &str),
    ) -> Option<u32> {
        let mut walk = self.jobs.tagged(tag, from, jobs_max.max(1));
        for (index, job) in walk.by_ref().filter(|(_, job)| job.state().is_live()) {
            each(self.handle(index), job.id(), job.key());
        }
        walk.cursor()
    }

    /// [Moves](Self::reschedule) a pending job by a length of time. It keeps the clock that it follows.
    ///
    /// # Errors
    /// When the due time is past the horizon. Nothing is changed then.
    pub(crate) fn shift(
        &mut self,
        handle: Handle,
        by: Shift,
        mut now: impl NowSource,
    ) -> Result<RescheduleOutcome, Refusal> {
        let Some(job) = self.job(handle) else { return Ok(RescheduleOutcome::NotFound) };
        let due = match job.due() {
            JobDue::Wall(wall) => {
                let us = i128::from(wall.as_micros()) + by.as_micros();
                let us = us.clamp(i64::MIN.into(), i64::MAX.into());
                Due::At(Timestamp::from_micros(us as i64))
            }
            JobDue::Mono(mono) => {
                let left = i128::from(mono.as_micros()) - i128::from(now.now().mono.as_micros());
                let left = (left + by.as_micros()).clamp(0, u64::MAX.into());
                Due::In(Duration::from_micros(left as u64))
            }
        };
        // Of one that has begun or ended, the due says nothing, and it is not moved.
        self.reschedule(handle, due, None, now)
    }
}
