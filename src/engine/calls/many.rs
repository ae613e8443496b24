//! Calls about many jobs at once. [`batch`](super::batch) says how they are made, and in what order.

use std::marker::PhantomData;

use super::batch::{Batch, Kind};
use super::commit::Commit;
use super::outcomes::Outcomes;
use super::schedule::Planned;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{CallError, CancelError, RescheduleError, ScheduleError};
use crate::engine::state::{Aim, Engine, KeyHash, Owned, Shared};
use crate::partition::{CancelOutcome, Draft, Due, RescheduleOutcome, ScheduleOutcome, Version};
use crate::store::Durability;

pub(super) struct Scheduling;

impl Kind for Scheduling {
    /// The draft is gone once it was taken.
    type Call = (Option<Draft>, KeyHash);
    type Outcome = ScheduleOutcome;
    type Error = ScheduleError;

    fn aim((_, hash): &Self::Call) -> Aim {
        Aim::Key(*hash)
    }

    fn make(
        &self,
        shared: &Shared,
        owned: &mut Owned,
        (draft, hash): &mut Self::Call,
        clock: &mut LazyNow<'_>,
    ) -> Result<ScheduleOutcome, ScheduleError> {
        shared.take_job(owned, draft, *hash, clock)
    }

    fn is_full(error: &ScheduleError) -> bool {
        matches!(error, ScheduleError::Full { .. })
    }
}

/// Of jobs that are named by targets elsewhere.
pub(super) struct Rescheduling<'a>(pub(super) PhantomData<&'a ()>);

impl<'a> Kind for Rescheduling<'a> {
    type Call = (Destination<'a>, Option<Version>, Due);
    type Outcome = RescheduleOutcome;
    type Error = RescheduleError;

    fn aim((place, ..): &Self::Call) -> Aim {
        place.aim()
    }

    fn make(
        &self,
        _: &Shared,
        owned: &mut Owned,
        (place, expected, due): &mut Self::Call,
        clock: &mut LazyNow<'_>,
    ) -> Result<RescheduleOutcome, RescheduleError> {
        let Some(handle) = place.find(owned) else { return Ok(RescheduleOutcome::NotFound) };
        Ok(owned.partition.reschedule(handle, *due, *expected, clock)?)
    }
}

/// Of jobs that are named by targets elsewhere.
pub(super) struct Cancelling<'a>(pub(super) PhantomData<&'a ()>);

impl<'a> Kind for Cancelling<'a> {
    type Call = Destination<'a>;
    type Outcome = CancelOutcome;
    type Error = CancelError;

    fn aim(place: &Destination<'a>) -> Aim {
        place.aim()
    }

    fn make(
        &self,
        shared: &Shared,
        owned: &mut Owned,
        place: &mut Destination<'a>,
        _: &mut LazyNow<'_>,
    ) -> Result<CancelOutcome, CancelError> {
        Ok(shared.take_back(owned, place, None))
    }
}

impl Shared {
    pub(super) fn bind(
        &self,
        planned: Planned<'_>,
    ) -> Result<(usize, (Option<Draft>, KeyHash)), ScheduleError> {
        self.check_durability(planned.durability())?;
        let mut draft = planned.into_draft(self)?;
        self.gates.pass(&mut draft)?;
        let key = draft.spec.key.as_str();
        let (partition, hash) = (self.partition_of(key), self.hasher.hash(key));
        Ok((partition, (Some(draft), hash)))
    }
}

impl Engine {
    /// Schedules many jobs. Faster than one call for each, because a partition is entered once for some tens of them.
    ///
    /// The outcomes are in the order of `jobs`, and jobs with one key are taken in that order. Each job is taken or refused by
    /// itself: this is not a [transaction](Self::transaction). Other calls may come in between, and jobs that are due start. The commit covers all
    /// jobs, at the highest durability that any of them asks for.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("expire", |_: Job| async {}).start().await?;
    /// let orders = ["order:1", "order:2"];
    /// let jobs = orders.map(|order| engine.schedule_raw("expire", "").key(order).planned(Duration::from_secs(900)));
    /// let handles = engine.schedule_many(jobs).await?.scheduled()?; // all of them, or an error that counts
    /// assert_eq!(handles.len(), 2);
    /// # assert_eq!(engine.jobs(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For each job a [`ScheduleError`]: that job was not taken. For the whole, when awaited, a [`CallError`]: the jobs were
    /// taken in memory by then, and [`CallError::change`] says what became of them.
    pub fn schedule_many<'a>(
        &self,
        jobs: impl IntoIterator<Item = Planned<'a>>,
    ) -> Commit<Outcomes<ScheduleOutcome, ScheduleError>, CallError> {
        let (shared, jobs) = (&self.shared, jobs.into_iter());
        let (mut batch, mut level) = (Batch::with_capacity(jobs.size_hint().0), Durability::Memory);
        for planned in jobs {
            let durability = planned.durability();
            let bound = shared.bind(planned);
            if bound.is_ok() {
                level = level.max(durability);
            }
            batch.push(bound);
        }
        batch.make(&Scheduling, shared, self.is_handler());
        batch.commit(shared, level)
    }

    /// Moves many pending jobs, named by key or by handle, each to an instant or by a delay of its own. Faster than one call
    /// for each: a partition is entered once for some tens of them, and what they will touch is fetched from memory together.
    ///
    /// The outcomes are in the order of `moves`, and calls about one job are made in that order. Each job is moved or not by
    /// itself: this is not a [transaction](Self::transaction). Delays of one stay in a partition begin at one instant.
    ///
    /// ```
    /// # use reveille::{Engine, Job, RescheduleOutcome};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("expire", |_: Job| async {}).start().await?;
    /// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    /// engine.schedule_raw("expire", "").key("order:1").after(minutes(15)).await?.scheduled()?;
    /// let outcomes = engine.reschedule_many([("order:1", minutes(30)), ("order:2", minutes(45))]).await?;
    /// assert!(matches!(outcomes[..], [Ok(RescheduleOutcome::Rescheduled { .. }), Ok(RescheduleOutcome::NotFound)]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For each job a [`RescheduleError`]: that job was not changed. For the whole, when awaited, a [`CallError`]: the jobs were
    /// moved in memory by then, and [`CallError::change`] says what became of that.
    pub fn reschedule_many<'a, T: Into<Target<'a>>, D: Into<Due>>(
        &self,
        moves: impl IntoIterator<Item = (T, D)>,
    ) -> Commit<Outcomes<RescheduleOutcome, RescheduleError>, CallError> {
        self.move_many(moves.into_iter().map(|(target, due)| (target.into(), None, due.into())))
    }

    /// Like [`reschedule_many`](Self::reschedule_many), but each job only if it still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`reschedule_many`](Self::reschedule_many).
    pub fn reschedule_many_if<'a, T: Into<Target<'a>>, D: Into<Due>>(
        &self,
        moves: impl IntoIterator<Item = (T, Version, D)>,
    ) -> Commit<Outcomes<RescheduleOutcome, RescheduleError>, CallError> {
        self.move_many(
            moves.into_iter().map(|(target, version, due)| (target.into(), Some(version), due.into())),
        )
    }

    fn move_many<'a>(
        &self,
        moves: impl Iterator<Item = (Target<'a>, Option<Version>, Due)>,
    ) -> Commit<Outcomes<RescheduleOutcome, RescheduleError>, CallError> {
        let (shared, moves) = (&self.shared, moves.collect::<Vec<_>>());
        let mut batch = Batch::with_capacity(moves.len());
        for (target, version, due) in &moves {
            let place = shared.place(target);
            batch.push(place.map(|place| (place.partition, (place, *version, *due))).map_err(Into::into));
        }
        batch.make(&Rescheduling(PhantomData), shared, self.is_handler());
        batch.commit(shared, shared.durability())
    }

    /// Cancels many jobs, by key or by handle. Faster than one call for each, because a partition is entered once for some
    /// tens of them.
    ///
    /// The outcomes are in the order of `targets`. Each job is cancelled or not by itself: this is not a [transaction](Self::transaction).
    ///
    /// ```
    /// # use reveille::{CancelOutcome, Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("expire", |_: Job| async {}).start().await?;
    /// engine.schedule_raw("expire", "").key("order:1").after(Duration::from_secs(900)).await?;
    /// let outcomes = engine.cancel_many(["order:1", "order:2"]).await?;
    /// assert!(matches!(outcomes[..], [Ok(CancelOutcome::Cancelled), Ok(CancelOutcome::NotFound)]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For each job a [`CancelError`]: that job was not changed. For the whole, when awaited, a [`CallError`]: the jobs were
    /// cancelled in memory by then, and [`CallError::change`] says what became of that.
    pub fn cancel_many<'a, T: Into<Target<'a>>>(
        &self,
        targets: impl IntoIterator<Item = T>,
    ) -> Commit<Outcomes<CancelOutcome, CancelError>, CallError> {
        let shared = &self.shared;
        let targets: Vec<Target<'a>> = targets.into_iter().map(Into::into).collect();
        let mut batch = Batch::with_capacity(targets.len());
        for target in &targets {
            let place = shared.place(target);
            batch.push(place.map(|place| (place.partition, place)).map_err(Into::into));
        }
        batch.make(&Cancelling(PhantomData), shared, self.is_handler());
        batch.commit(shared, shared.durability())
    }
}
