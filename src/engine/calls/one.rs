//! The calls of a user, by key and by handle. Each finds the partition, enters it once, and wraps up the answer.

use std::sync::Arc;

use super::commit::{Commit, Wait};
use super::schedule::Schedule;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{CallError, CancelError, Change, RescheduleError, ScheduleError};
use crate::engine::run::Task;
use crate::engine::state::{CancelReason, Engine, KeyHash, Owned, Shared};
use crate::job::ProgressNote;
use crate::partition::{
    CancelOutcome, Draft, Due, InvalidKey, LookupOutcome, PartitionId, Payload, RescheduleOutcome,
    ScheduleOutcome, Stopped, Version,
};
use crate::store::Durability;

impl Shared {
    /// Whether calls are accepted. A handler's calls are, until the grace period is over: otherwise a job that repeats itself
    /// would end its chain at every shutdown.
    #[inline]
    pub(crate) fn check_open(&self, partition: usize, is_handler: bool) -> Result<(), CallError> {
        if self.is_stopping() || self.is_shut(partition) {
            return self.why_closed(partition, is_handler);
        }
        Ok(())
    }

    #[cold]
    fn why_closed(&self, partition: usize, is_handler: bool) -> Result<(), CallError> {
        if self.is_stopping() {
            if let Some(error) = self.ownership.as_ref().and_then(|ownership| ownership.lost(partition)) {
                return Err(CallError::NotOwner { error, change: Change::None });
            }
            if !is_handler || self.life.is_abandoned() {
                let has_ended = self.handlers.has_ended();
                return Err(if has_ended { CallError::RuntimeEnded } else { CallError::ShuttingDown });
            }
        }
        if self.is_shut(partition) { Err(self.why_shut(partition)) } else { Ok(()) }
    }

    #[cold]
    fn why_shut(&self, partition: usize) -> CallError {
        match self.ownership.as_ref().and_then(|ownership| ownership.lost(partition)) {
            Some(error) => CallError::NotOwner { error, change: Change::None },
            None => CallError::LogFull { max: self.settings.log_records_max },
        }
    }

    /// Where a call about `target` has to go, if it is accepted at all.
    #[inline(always)]
    pub(super) fn open_place<'a, E: From<InvalidKey> + From<CallError>>(
        &self,
        target: &'a Target<'_>,
        is_handler: bool,
    ) -> Result<Destination<'a>, E> {
        let place = self.place(target)?;
        place.warm(self);
        self.check_open(place.partition, is_handler)?;
        Ok(place)
    }

    pub(crate) fn schedule(
        self: &Arc<Self>,
        mut draft: Draft,
        durability: Durability,
        is_handler: bool,
    ) -> Commit<ScheduleOutcome, ScheduleError> {
        // Where it lies: a draft is large to be moved once more.
        if !self.gates.is_empty()
            && let Err(error) = self.gates.pass(&mut draft)
        {
            return Commit::now(Err(error));
        }
        self.schedule_passed(draft, durability, is_handler)
    }

    /// As the application has let it pass.
    #[inline(always)]
    pub(super) fn schedule_passed(
        self: &Arc<Self>,
        draft: Draft,
        durability: Durability,
        is_handler: bool,
    ) -> Commit<ScheduleOutcome, ScheduleError> {
        let partition = self.partition_of(draft.spec.key.as_str());
        let is_possible =
            self.check_durability(durability).and_then(|()| self.check_open(partition, is_handler));
        if let Err(error) = is_possible {
            return Commit::now(Err(error.into()));
        }
        let hash = self.hasher.hash(draft.spec.key.as_str());
        self.cells[partition].heads.warm(hash);
        let (mut draft, mut turn) = (Some(draft), self.room.exact_turn());
        loop {
            let result = self.enter_lazily(partition, |owned, clock| {
                let outcome = self.take_job(owned, &mut draft, hash, clock)?;
                Ok((outcome, owned.log_end()))
            });
            match result {
                Ok((outcome, log_end)) => return self.commit(partition, outcome, durability, log_end),
                Err(ScheduleError::Full { .. }) if self.may_find_room(&mut turn) => {}
                Err(error) => return Commit::now(Err(error)),
            }
        }
    }

    fn reschedule(
        self: &Arc<Self>,
        target: &Target<'_>,
        due: Due,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let result = self.enter_lazily(place.partition, |owned, clock| {
            let outcome = match place.find(owned) {
                Some(handle) => owned.partition.reschedule(handle, due, expected, clock)?,
                None => RescheduleOutcome::NotFound,
            };
            Ok((outcome, owned.log_end()))
        });
        match result {
            Ok((outcome, log_end)) => self.commit(place.partition, outcome, self.durability(), log_end),
            Err(refusal) => Commit::now(Err(RescheduleError::Refused(refusal))),
        }
    }

    fn cancel(
        self: &Arc<Self>,
        target: &Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<CancelOutcome, CancelError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let (outcome, log_end) = self.enter_lazily(place.partition, |owned, _| {
            let outcome = self.take_back(owned, &place, expected);
            (outcome, owned.log_end())
        });
        self.commit(place.partition, outcome, self.durability(), log_end)
    }

    /// As [`cancel`](Self::cancel), and has nothing come after the attempt of one that runs.
    fn cancel_running(
        self: &Arc<Self>,
        target: &Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<CancelOutcome, CancelError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let (outcome, stopped, log_end) = self.enter_lazily(place.partition, |owned, _| {
            let outcome = self.take_back(owned, &place, expected);
            let running = place.find(owned).filter(|_| outcome == CancelOutcome::Running);
            let (outcome, stopped) = match running.map(|handle| owned.partition.stop_after(handle, expected))
            {
                Some(Stopped::Changed(version)) => (CancelOutcome::Changed { version }, None),
                Some(Stopped::Yes) => (outcome, running),
                Some(Stopped::NotRunning) | None => (outcome, None),
            };
            (outcome, stopped, owned.log_end())
        });
        if let Some(handle) = stopped {
            self.signals.give(handle, CancelReason::Cancelled);
        }
        self.commit(place.partition, outcome, self.durability(), log_end)
    }

    pub(super) fn lookup(self: &Arc<Self>, target: &Target<'_>) -> LookupOutcome {
        let Ok(place) = self.place(target) else { return LookupOutcome::NotFound };
        place.warm(self);
        let now = self.clock.now();
        // Changes nothing, so there is nothing to publish.
        let owned = self.cells[place.partition].lock();
        match place.find(&owned) {
            Some(handle) => owned.partition.lookup(handle, now),
            None => LookupOutcome::NotFound,
        }
    }

    /// Whether a job that was refused for want of room, since `turn` was looked up, is to be tried again: not if all room
    /// that is left idle had been fetched back before, and the refusal is exact.
    #[cold]
    pub(crate) fn may_find_room(&self, turn: &mut Option<u64>) -> bool {
        if turn.is_some() && *turn == self.room.exact_turn() {
            return false;
        }
        *turn = self.gather_room();
        true
    }

    /// Has the partition take a job, and the index its key. The draft stays if there is no room for it.
    pub(crate) fn take_job(
        &self,
        owned: &mut Owned,
        draft: &mut Option<Draft>,
        hash: KeyHash,
        clock: &mut LazyNow<'_>,
    ) -> Result<ScheduleOutcome, ScheduleError> {
        let Owned { partition, keys, room, .. } = owned;
        let full = ScheduleError::Full { max: self.settings.jobs_max };
        let Some(wanted) = draft else { return Err(full) };
        let place = keys.place(hash, |slot| partition.is_of_key(slot, wanted.spec.key.as_str()));
        let current = place.slot().and_then(|slot| partition.handle_at(slot));
        // A pending job with the same key gives up its place, or the new job is not taken. Neither needs more room.
        let is_new = !current.is_some_and(|handle| partition.holds_key(handle));
        if is_new && !self.room.make(room, partition.live()) {
            return Err(full);
        }
        let Some(draft) = draft.take() else { return Err(full) };
        let outcome = partition.schedule(current, draft, clock)?;
        if outcome.is_taken() {
            place.set(outcome.handle().slot());
        }
        Ok(outcome)
    }

    /// Has the partition cancel a job, and the index forget it.
    pub(crate) fn take_back(
        &self,
        owned: &mut Owned,
        place: &Destination<'_>,
        expected: Option<Version>,
    ) -> CancelOutcome {
        let Owned { partition, keys, .. } = owned;
        if let Some((key, hash)) = place.key() {
            let entry = keys.place(hash, |slot| partition.is_of_key(slot, key));
            let Some(handle) = entry.slot().and_then(|slot| partition.handle_at(slot)) else {
                return CancelOutcome::NotFound;
            };
            let outcome = partition.cancel(handle, expected);
            if outcome == CancelOutcome::Cancelled {
                entry.remove();
            }
            return outcome;
        }
        let Some(handle) = place.find(owned) else { return CancelOutcome::NotFound };
        // The key goes with the job.
        let hash = owned.partition.key(handle).map(|key| self.hasher.hash(key));
        let outcome = owned.partition.cancel(handle, expected);
        if outcome == CancelOutcome::Cancelled
            && let Some(hash) = hash
        {
            owned.keys.remove(hash, handle.slot());
        }
        outcome
    }

    /// Whether a call can be acknowledged at this level. Always, without a store.
    pub(crate) fn check_durability(&self, asked: Durability) -> Result<(), CallError> {
        let max = self.durability_max();
        if asked > max && self.ownership.is_some() {
            return Err(CallError::NoSuchDurability { asked, max, change: Change::None });
        }
        Ok(())
    }

    /// The highest durability available.
    pub(crate) fn durability_max(&self) -> Durability {
        self.ownership.as_ref().map_or(Durability::Memory, |ownership| ownership.durability_max)
    }

    pub(super) fn commit<T, E>(
        self: &Arc<Self>,
        partition: usize,
        outcome: T,
        level: Durability,
        end: u64,
    ) -> Commit<T, E> {
        if self.ownership.is_none() {
            return Commit::now(Ok(outcome));
        }
        Commit::after(outcome, Wait::new(Arc::clone(self), PartitionId(partition as u16), end, level))
    }
}

impl Owned {
    /// The sequence after every record formed so far, those not yet moved to the buffer included.
    pub(crate) fn log_end(&self) -> u64 {
        self.log.end() + self.partition.records_pending() as u64
    }
}

impl Engine {
    /// Schedules a task. End the call with `.at(instant)` or `.after(delay)`.
    ///
    /// ```
    /// # use reveille::{BoxError, Engine, Job, Task};
    /// # use std::time::{Duration, SystemTime};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct OpenSale { product: u64 }
    /// # impl Task for OpenSale {
    /// #     const NAME: &'static str = "open_sale";
    /// #     type Output = Result<(), BoxError>;
    /// #     async fn run(self, _: Job) -> Result<(), BoxError> { Ok(()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder().task::<OpenSale>().start().await?;
    /// let opening = SystemTime::now() + Duration::from_secs(3600);
    /// engine.schedule(OpenSale { product: 42 }).key("product:42").at(opening).await?;
    /// # Ok(()) }
    /// ```
    pub fn schedule<T: Task>(&self, task: T) -> Schedule<'_> {
        let payload = serde_json::to_vec(&task).map(Payload::from).map_err(ScheduleError::Encode);
        Schedule::new(self, T::NAME, payload)
    }

    /// Schedules a job of any queue, with bytes as its payload. End the call with `.at(instant)` or `.after(delay)`.
    #[inline]
    pub fn schedule_raw(&self, queue: impl AsRef<str>, payload: impl Into<Payload>) -> Schedule<'_> {
        Schedule::new(self, queue.as_ref(), Ok(payload.into()))
    }

    /// Moves a pending job to another due time: an instant or a delay. O(1).
    ///
    /// # Errors
    /// See [`RescheduleError`]; its [`change`](RescheduleError::change) says whether the job was moved nevertheless.
    pub fn reschedule<'a>(
        &self,
        target: impl Into<Target<'a>>,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(&target.into(), due.into(), None, self.is_handler())
    }

    /// Like [`reschedule`](Self::reschedule), but only if the job still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`reschedule`](Self::reschedule).
    pub fn reschedule_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(&target.into(), due.into(), Some(version), self.is_handler())
    }

    /// Cancels a pending job: after this it never fires. O(1).
    ///
    /// # Errors
    /// See [`CancelError`]; its [`change`](CancelError::change) says whether the job was cancelled nevertheless.
    pub fn cancel<'a>(&self, target: impl Into<Target<'a>>) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(&target.into(), None, self.is_handler())
    }

    /// Like [`cancel`](Self::cancel), but only if the job still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub fn cancel_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(&target.into(), Some(version), self.is_handler())
    }

    /// Like [`cancel`](Self::cancel), and of a job whose handler has begun it sees to it that nothing comes after: no other attempt,
    /// no other occurrence, after a crash either. Its handler is told by [`Job::cancellation`](crate::Job::cancellation), and
    /// runs to its end. The outcome is [`CancelOutcome::Running`] then.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub fn cancel_running<'a>(&self, target: impl Into<Target<'a>>) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel_running(&target.into(), None, self.is_handler())
    }

    /// Like [`cancel_running`](Self::cancel_running), but only if the job still has the version that the caller knows, also of a
    /// job whose handler has begun: a start leaves the version as it is, and another attempt or occurrence has a new one.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub fn cancel_running_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel_running(&target.into(), Some(version), self.is_handler())
    }

    /// The job as it stands. O(1).
    pub fn lookup<'a>(&self, target: impl Into<Target<'a>>) -> LookupOutcome {
        self.shared.lookup(&target.into())
    }

    /// What the handler of a running job last said of how far it is: see [`Job::progress`](crate::Job::progress). `None` if it has
    /// said nothing, or the job does not run here. O(1). Not a part of [`lookup`](Self::lookup), which would cost more for all jobs.
    pub fn progress<'a>(&self, target: impl Into<Target<'a>>) -> Option<ProgressNote> {
        match self.shared.lookup(&target.into()) {
            LookupOutcome::Running(view) => self.shared.notes.of(&view),
            _ => None,
        }
    }
}
