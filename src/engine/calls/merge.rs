//! A new job that is to be merged with the pending one of its key, by the caller's function.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::commit::Commit;
use super::schedule::Schedule;
use crate::engine::error::{EditError, ScheduleError};
use crate::engine::state::Shared;
use crate::job::{Edit, JobView};
use crate::partition::{Draft, Due, EditOutcome, LookupOutcome, OnConflict, ScheduleOutcome, Timestamp};
use crate::store::Durability;

/// A job about to be scheduled, or merged with the pending one of its key. See [`Schedule::merge`].
#[must_use = "nothing is scheduled until `.at(instant)` or `.after(delay)` is called"]
pub struct Merge<'a, F> {
    job: Schedule<'a>,
    with: F,
}

impl<'a> Schedule<'a> {
    /// If a job of the key is pending, changes that as `with` says, and leaves it due as it was; if none is, schedules this one. The
    /// change is atomic: `with` sees the pending job, and if that changes meanwhile, it is asked again. So it may run several times.
    /// The outcome is [`ScheduleOutcome::Updated`] then. A recurring job that runs is not changed: the outcome is
    /// [`ScheduleOutcome::AlreadyScheduled`].
    ///
    /// ```
    /// # use reveille::{Edit, Engine, Job, LookupOutcome, ScheduleOutcome};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("digests", |_: Job| async {}).start().await?;
    /// for event in ["liked ", "shared "] {
    ///     let digest = engine.schedule_raw("digests", event).key("digest:user:7");
    ///     let both = |pending: &reveille::JobView| Edit::payload([pending.payload.as_bytes(), event.as_bytes()].concat());
    ///     digest.merge(both).after(Duration::from_secs(600)).await?;
    /// }
    /// # let LookupOutcome::Scheduled(job) = engine.lookup("digest:user:7") else { panic!() };
    /// # assert_eq!(job.payload.as_bytes(), b"liked shared ");
    /// # Ok(()) }
    /// ```
    pub fn merge<F: FnMut(&JobView) -> Edit>(self, with: F) -> Merge<'a, F> {
        Merge { job: self, with }
    }
}

impl<F: FnMut(&JobView) -> Edit> Merge<'_, F> {
    /// As [`Schedule::at`].
    ///
    /// # Errors
    /// See [`ScheduleError`]; its [`change`](ScheduleError::change) says whether the job is pending, or changed, all the same.
    pub fn at(self, instant: impl Into<Timestamp>) -> Commit<ScheduleOutcome, ScheduleError> {
        self.due(Due::At(instant.into()))
    }

    /// As [`Schedule::after`].
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn after(self, delay: Duration) -> Commit<ScheduleOutcome, ScheduleError> {
        self.due(Due::In(delay))
    }

    /// As [`Schedule::due`].
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn due(self, due: impl Into<Due>) -> Commit<ScheduleOutcome, ScheduleError> {
        let Merge { job, with } = self;
        let (engine, durability) = (job.engine(), job.asked_durability());
        let passed = job.on_conflict(OnConflict::Reject).into_draft(due.into()).and_then(|mut draft| {
            engine.shared.gates.pass(&mut draft)?;
            Ok(draft)
        });
        match passed {
            Ok(draft) => engine.shared.schedule_or_merge(&draft, with, durability, engine.is_handler()),
            Err(error) => Commit::now(Err(error)),
        }
    }
}

impl Shared {
    fn schedule_or_merge(
        self: &Arc<Self>,
        draft: &Draft,
        mut with: impl FnMut(&JobView) -> Edit,
        durability: Durability,
        is_handler: bool,
    ) -> Commit<ScheduleOutcome, ScheduleError> {
        loop {
            let scheduled = self.schedule_passed(draft.clone(), durability, is_handler);
            let Ok(&ScheduleOutcome::AlreadyScheduled { handle }) = scheduled.outcome() else {
                return scheduled;
            };
            let pending = match self.lookup(&handle.into()) {
                LookupOutcome::Scheduled(view) => view,
                LookupOutcome::Running(view) if view.options.recurrence().is_some() => return scheduled,
                _ => continue,
            };
            let edited = self.edit(&handle.into(), with(&pending), Some(pending.version), is_handler);
            // It was moved, changed, cancelled, or has begun: there is another answer now.
            if let Ok(outcome) = edited.outcome()
                && !matches!(outcome, EditOutcome::Edited { .. })
            {
                continue;
            }
            return edited.durability(durability).map(|outcome| match outcome? {
                EditOutcome::Edited { version } => Ok(ScheduleOutcome::Updated { handle, version }),
                _ => Ok(ScheduleOutcome::AlreadyScheduled { handle }),
            });
        }
    }
}

impl From<EditError> for ScheduleError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::InvalidKey(error) => ScheduleError::InvalidKey(error),
            EditError::Refused(error) => ScheduleError::Refused(error),
            EditError::UnknownQueue { name } => ScheduleError::UnknownQueue { name },
            EditError::Call(error) => ScheduleError::Call(error),
        }
    }
}

impl<F> fmt::Debug for Merge<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("job", &self.job).finish_non_exhaustive()
    }
}
