//! The calls of a user, by key and by handle: each finds the partition, enters it once, and wraps up the answer.

use std::sync::Arc;

use super::Engine;
use super::cell::Owned;
use super::commit::{Commit, Wait};
use super::error::{CallError, CancelError, RescheduleError, ScheduleError};
use super::schedule::Schedule;
use super::shared::Shared;
use super::target::{Place, Target};
use crate::partition::{
    CancelOutcome, Draft, Due, Handle, InvalidKey, LookupOutcome, Payload, RescheduleOutcome,
    ScheduleOutcome, Version,
};
use crate::store::Durability;

impl Shared {
    /// Whether calls are taken. A handler's are until the grace period is over: one that repeats itself would end its
    /// chain at every shutdown otherwise.
    fn check_open(&self, partition: usize, is_handler: bool) -> Result<(), CallError> {
        if self.is_stopping() {
            if let Some(error) = self.ownership.as_ref().and_then(|ownership| ownership.lost()) {
                return Err(CallError::NotOwner(error));
            }
            if !is_handler || self.life.is_abandoned() {
                return Err(CallError::ShuttingDown);
            }
        }
        if self.is_log_full(partition) {
            return Err(CallError::LogFull { max: self.settings.log_records_max });
        }
        Ok(())
    }

    /// Where a call about `target` has to go, if it is taken at all.
    fn open_place<E: From<InvalidKey> + From<CallError>>(
        &self,
        target: &Target<'_>,
        is_handler: bool,
    ) -> Result<Place, E> {
        let place = self.place(target)?;
        self.check_open(place.partition, is_handler)?;
        Ok(place)
    }

    pub(super) fn schedule(
        self: &Arc<Self>,
        draft: Draft,
        durability: Durability,
        is_handler: bool,
    ) -> Commit<ScheduleOutcome, ScheduleError> {
        let partition = self.partition_of(draft.key.as_str());
        let max = self.durability_max();
        // Without a store the level makes no difference.
        if durability > max && self.ownership.is_some() {
            return Commit::now(Err(CallError::NoSuchDurability { asked: durability, max }.into()));
        }
        if let Err(error) = self.check_open(partition, is_handler) {
            return Commit::now(Err(error.into()));
        }
        let read_at = self.clock.now();
        let result = self.enter(partition, Some(read_at), |owned, now| {
            let current = self.keys.find(draft.key.as_str());
            // A pending job of the same key gives its place, or the new one is not taken: either needs no more room.
            let is_new = !current.is_some_and(|handle| owned.partition.is_pending(handle));
            if is_new && !self.reserve_job() {
                return Err(ScheduleError::Full { max: self.settings.jobs_max });
            }
            let key = draft.key.clone();
            let scheduled = owned.partition.schedule(current, draft, now);
            if is_new && scheduled.is_err() {
                self.release_jobs(1);
            }
            let outcome = scheduled?;
            if outcome.is_taken() {
                self.keys.insert(key, outcome.handle());
            }
            Ok((outcome, owned.log_end()))
        });
        match result {
            Ok((outcome, log_end)) => self.commit(partition, outcome, durability, log_end),
            Err(error) => Commit::now(Err(error)),
        }
    }

    fn reschedule(
        self: &Arc<Self>,
        target: Target<'_>,
        due: Due,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        let place = match self.open_place(&target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let now = self.clock.now();
        let result = self.enter(place.partition, Some(now), |owned, now| {
            let call = |owned: &mut Owned, handle| owned.partition.reschedule(handle, due, expected, now);
            let mut outcome = match place.handle {
                Some(handle) => call(owned, handle)?,
                None => RescheduleOutcome::NotFound,
            };
            let is_moved = matches!(outcome, RescheduleOutcome::Rescheduled { .. });
            if !is_moved && let Some(handle) = self.newer(&target, place.handle) {
                outcome = call(owned, handle)?;
            }
            Ok((outcome, owned.log_end()))
        });
        match result {
            Ok((outcome, log_end)) => self.commit(place.partition, outcome, self.durability(), log_end),
            Err(refusal) => Commit::now(Err(RescheduleError::Refused(refusal))),
        }
    }

    fn cancel(
        self: &Arc<Self>,
        target: Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<CancelOutcome, CancelError> {
        let place = match self.open_place(&target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let now = self.clock.now();
        let (outcome, log_end) = self.enter(place.partition, Some(now), |owned, now| {
            let call = |owned: &mut Owned, handle| {
                // The index drops a cancelled job by its key, which goes with the job.
                let key = owned.partition.key(handle).cloned();
                let outcome = owned.partition.cancel(handle, expected, now);
                if outcome == CancelOutcome::Cancelled
                    && let Some(key) = key
                {
                    self.keys.remove(key.as_str(), handle);
                }
                outcome
            };
            let mut outcome = place.handle.map_or(CancelOutcome::NotFound, |handle| call(owned, handle));
            if outcome != CancelOutcome::Cancelled
                && let Some(handle) = self.newer(&target, place.handle)
            {
                outcome = call(owned, handle);
            }
            (outcome, owned.log_end())
        });
        if outcome == CancelOutcome::Cancelled {
            self.release_jobs(1);
        }
        self.commit(place.partition, outcome, self.durability(), log_end)
    }

    fn lookup(self: &Arc<Self>, target: Target<'_>) -> LookupOutcome {
        let Ok(place) = self.place(&target) else { return LookupOutcome::NotFound };
        let now = self.clock.now();
        // Changes nothing, so there is nothing to publish.
        let owned = self.cells[place.partition].lock();
        let look = |handle: Option<Handle>| match handle {
            Some(handle) => owned.partition.lookup(handle, now),
            None => LookupOutcome::NotFound,
        };
        match look(place.handle) {
            found @ (LookupOutcome::Scheduled(_) | LookupOutcome::Running(_)) => found,
            gone => self.newer(&target, place.handle).map_or(gone, |handle| look(Some(handle))),
        }
    }

    /// The highest durability that there is.
    pub(super) fn durability_max(&self) -> Durability {
        self.ownership.as_ref().map_or(Durability::Memory, |ownership| ownership.durability_max)
    }

    fn commit<T, E>(
        self: &Arc<Self>,
        partition: usize,
        outcome: T,
        level: Durability,
        end: u64,
    ) -> Commit<T, E> {
        if self.ownership.is_none() {
            return Commit::now(Ok(outcome));
        }
        Commit::after(outcome, Wait { shared: Arc::clone(self), partition, end, level })
    }
}

impl Owned {
    /// The sequence after every record formed so far, those not yet moved to the buffer included.
    fn log_end(&self) -> u64 {
        self.log.end() + self.partition.records_pending() as u64
    }
}

impl Engine {
    /// Begins to schedule a task. Ends with `.at(instant)` or `.after(delay)`.
    ///
    /// ```
    /// # use reveille::{BoxError, Engine, Job, Task};
    /// # use std::time::{Duration, SystemTime};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct OpenSale { product: u64 }
    /// # impl Task for OpenSale {
    /// #     const NAME: &'static str = "open_sale";
    /// #     async fn run(self, _: Job) -> Result<(), BoxError> { Ok(()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder().task::<OpenSale>().start().await?;
    /// let opening = SystemTime::now() + Duration::from_secs(3600);
    /// engine.schedule(OpenSale { product: 42 }).key("product:42").at(opening).await?;
    /// # Ok(()) }
    /// ```
    pub fn schedule<T: super::Task>(&self, task: T) -> Schedule<'_> {
        let payload = serde_json::to_vec(&task).map(Payload::from).map_err(ScheduleError::Encode);
        Schedule::new(self, T::NAME, payload)
    }

    /// Begins to schedule a job of any queue with a payload of bytes. Ends with `.at(instant)` or `.after(delay)`.
    pub fn schedule_raw(&self, queue: impl AsRef<str>, payload: impl Into<Payload>) -> Schedule<'_> {
        Schedule::new(self, queue.as_ref(), Ok(payload.into()))
    }

    /// Moves a pending job to another due time: an instant or a delay. O(1).
    ///
    /// # Errors
    /// See [`RescheduleError`]. Nothing was changed unless it is one of [`CallError::NotDurable`] and
    /// [`CallError::Interrupted`].
    pub fn reschedule<'a>(
        &self,
        target: impl Into<Target<'a>>,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(target.into(), due.into(), None, self.is_handler())
    }

    /// As [`reschedule`](Self::reschedule), if the job still is of the version that the caller knows.
    ///
    /// # Errors
    /// As [`reschedule`](Self::reschedule).
    pub fn reschedule_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(target.into(), due.into(), Some(version), self.is_handler())
    }

    /// Takes a pending job back: after this it never fires. O(1).
    ///
    /// # Errors
    /// See [`CancelError`]. Nothing was changed unless it is one of [`CallError::NotDurable`] and
    /// [`CallError::Interrupted`].
    pub fn cancel<'a>(&self, target: impl Into<Target<'a>>) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(target.into(), None, self.is_handler())
    }

    /// As [`cancel`](Self::cancel), if the job still is of the version that the caller knows.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub fn cancel_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(target.into(), Some(version), self.is_handler())
    }

    /// The job as it stands. O(1).
    pub fn lookup<'a>(&self, target: impl Into<Target<'a>>) -> LookupOutcome {
        self.shared.lookup(target.into())
    }
}
