//! Calls that pause one job, and resume it.

use std::sync::Arc;

use super::commit::Commit;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::PauseJobError;
use crate::engine::state::{Engine, Owned, Shared};
use crate::job::{PauseJobOutcome, ResumeJobOutcome, Step};
use crate::partition::{PausedRule, QueueId, Version};

impl Shared {
    fn pause_job(
        self: &Arc<Self>,
        target: &Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<PauseJobOutcome, PauseJobError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let (outcome, log_end) = self.enter_lazily(place.partition, |owned, clock| {
            let outcome = match place.find(owned) {
                Some(handle) => owned.partition.pause_job(handle, expected, clock),
                None => PauseJobOutcome::NotFound,
            };
            (outcome, owned.log_end())
        });
        self.commit(place.partition, outcome, self.durability(), log_end)
    }

    fn resume_job(
        self: &Arc<Self>,
        target: &Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<ResumeJobOutcome, PauseJobError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        loop {
            // Its rule is worked out here, outside of the lock; the version says whether it still is that job.
            let planned = self.after_pause(&place);
            let resumed = self.enter_lazily(place.partition, |owned, clock| {
                let outcome = take_up(self, owned, &place, expected, planned.as_ref(), clock)?;
                Some((outcome, owned.log_end()))
            });
            if let Some((outcome, log_end)) = resumed {
                self.tell_paused_over(planned, outcome);
                return self.commit(place.partition, outcome, self.durability(), log_end);
            }
            tracing::trace!("a paused job changed while its next occurrence was worked out");
        }
    }

    /// What a paused job that recurs is to wait for. `None` if it does not recur, or is at an occurrence already.
    fn after_pause(&self, place: &Destination<'_>) -> Option<Planned> {
        let (rule, occurrence, planned) = {
            let owned = self.cells[place.partition].lock();
            let PausedRule { rule, occurrence, version, queue, key } =
                owned.partition.paused_rule(place.find(&owned)?)?;
            (rule.clone(), occurrence, Planned { step: None, version, queue, key: key.into() })
        };
        let step = rule.after_pause(&occurrence, self.clock.now().wall).ok();
        Some(Planned { step, ..planned })
    }

    /// Says which occurrences came due during the pause, and do not run.
    fn tell_paused_over(&self, planned: Option<Planned>, outcome: ResumeJobOutcome) {
        if let ResumeJobOutcome::Resumed { .. } | ResumeJobOutcome::Ended = outcome
            && let Some(Planned { step: Some(Step { passed: Some(passed), .. }), queue, key, .. }) = planned
            && let Some(queue) = self.queues.by_id(queue)
        {
            queue.tell_passed(&key, passed);
        }
    }
}

/// What a paused job is to wait for once it is resumed.
struct Planned {
    /// `None` if the rule cannot be worked out here: then it is due as it was.
    step: Option<Step>,
    /// The job's, when that was worked out.
    version: Version,
    queue: QueueId,
    key: Box<str>,
}

/// Resumes the job, and forgets its key if it has ended. `None` if it is not the one that `planned` is about.
fn take_up(
    shared: &Shared,
    owned: &mut Owned,
    place: &Destination<'_>,
    expected: Option<Version>,
    planned: Option<&Planned>,
    clock: &mut LazyNow<'_>,
) -> Option<ResumeJobOutcome> {
    let Some(handle) = place.find(owned) else { return Some(ResumeJobOutcome::NotFound) };
    let Owned { partition, keys, .. } = owned;
    let known = partition.paused_rule(handle).map(|known| known.version);
    // One that was paused, or went on to another occurrence, since it was looked at has to be worked out again.
    if known != planned.map(|planned| planned.version) {
        return None;
    }
    let hash = partition.key(handle).map(|key| shared.hasher.hash(key));
    let outcome = partition.resume_job(handle, expected, planned.and_then(|planned| planned.step), clock);
    if let (ResumeJobOutcome::Ended, Some(hash)) = (outcome, hash) {
        keys.remove(hash, handle.slot());
    }
    Some(outcome)
}

impl Engine {
    /// Pauses one job: it does not start, whatever its due, until [`resume_job`](Self::resume_job) is called, after a restart either. It
    /// stays pending: it can be looked up, moved, changed and cancelled. Of a job that recurs no occurrence runs; one that is with its
    /// handler goes on to its end. O(1).
    ///
    /// To pause all jobs of a queue, see [`pause`](Self::pause).
    ///
    /// ```
    /// # use reveille::{Engine, Job, PauseJobOutcome, Recurrence, ResumeJobOutcome};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("reports", |_: Job| async {}).start().await?;
    /// let hourly = Recurrence::every(Duration::from_secs(3600))?;
    /// engine.schedule_raw("reports", "sales").key("report:sales").recurring(hourly).await?.scheduled()?;
    /// let outcome = engine.pause_job("report:sales").await?;
    /// assert!(matches!(outcome, PauseJobOutcome::Paused { .. }));
    /// let outcome = engine.resume_job("report:sales").await?;
    /// assert!(matches!(outcome, ResumeJobOutcome::Resumed { .. }));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`PauseJobError`]; its [`change`](PauseJobError::change) says whether the job was paused nevertheless.
    pub fn pause_job<'a>(&self, target: impl Into<Target<'a>>) -> Commit<PauseJobOutcome, PauseJobError> {
        self.shared.pause_job(&target.into(), None, self.is_handler())
    }

    /// Like [`pause_job`](Self::pause_job), but only if the job still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`pause_job`](Self::pause_job).
    pub fn pause_job_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<PauseJobOutcome, PauseJobError> {
        self.shared.pause_job(&target.into(), Some(version), self.is_handler())
    }

    /// Resumes a job that [`pause_job`](Self::pause_job) paused. If its due has passed it starts at once. Of a job that recurs, those
    /// occurrences that came due meanwhile do not run: they are [passed over](crate::job::Reason::Paused), and it waits for the next.
    /// O(1), and for a cron expression some for each day of the pause.
    ///
    /// # Errors
    /// As [`pause_job`](Self::pause_job).
    pub fn resume_job<'a>(&self, target: impl Into<Target<'a>>) -> Commit<ResumeJobOutcome, PauseJobError> {
        self.shared.resume_job(&target.into(), None, self.is_handler())
    }

    /// Like [`resume_job`](Self::resume_job), but only if the job still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`pause_job`](Self::pause_job).
    pub fn resume_job_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<ResumeJobOutcome, PauseJobError> {
        self.shared.resume_job(&target.into(), Some(version), self.is_handler())
    }
}
