//! One change of a transaction, on its way: where it goes, whether it can be made, and how it is.

use super::outcome::ChangeOutcome;
use crate::clock::LazyNow;
use crate::engine::calls::schedule::Planned;
use crate::engine::calls::target::{Destination, Target};
use crate::engine::error::{ScheduleError, TransactionError};
use crate::engine::state::{KeyHash, Owned, Shared};
use crate::partition::{CancelOutcome, Draft, Due, Handle, RescheduleOutcome, Version, schedule_weight};

/// A change as the caller says it.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    Schedule(Box<Planned<'a>>),
    Reschedule(Target<'a>, Option<Version>, Due),
    Cancel(Target<'a>, Option<Version>),
}

/// A change that is bound for a partition.
pub(super) struct Step<'a> {
    /// Its place in the transaction.
    pub(super) at: usize,
    pub(super) partition: usize,
    what: What<'a>,
}

enum What<'a> {
    /// The draft is gone once it was taken.
    Schedule(Option<Draft>, KeyHash),
    Reschedule(Destination<'a>, Option<Version>, Due),
    Cancel(Destination<'a>, Option<Version>),
}

/// Of a record about a job that is there: see `Record::weight`.
const CHANGE_WEIGHT: usize = 40;

impl<'a> Step<'a> {
    /// A job to be scheduled.
    pub(super) fn schedule(
        shared: &Shared,
        at: usize,
        planned: Planned<'_>,
    ) -> Result<Self, TransactionError> {
        let bind = || {
            let mut draft = planned.into_draft(shared)?;
            shared.gates.pass(&mut draft)?;
            Ok(draft)
        };
        let draft = bind().map_err(|source| TransactionError::Schedule { at, source })?;
        let key = draft.spec.key.as_str();
        let (partition, hash) = (shared.partition_of(key), shared.hasher.hash(key));
        Ok(Step { at, partition, what: What::Schedule(Some(draft), hash) })
    }

    /// A job to be moved.
    pub(super) fn reschedule(
        shared: &Shared,
        at: usize,
        target: &'a Target<'_>,
        expected: Option<Version>,
        due: Due,
    ) -> Result<Self, TransactionError> {
        let place = shared.place(target);
        let place = place.map_err(|error| TransactionError::Reschedule { at, source: error.into() })?;
        Ok(Step { at, partition: place.partition, what: What::Reschedule(place, expected, due) })
    }

    /// A job to be cancelled.
    pub(super) fn cancel(
        shared: &Shared,
        at: usize,
        target: &'a Target<'_>,
        expected: Option<Version>,
    ) -> Result<Self, TransactionError> {
        let place = shared.place(target);
        let place = place.map_err(|error| TransactionError::Cancel { at, source: error.into() })?;
        Ok(Step { at, partition: place.partition, what: What::Cancel(place, expected) })
    }

    /// The key that it is about, if it is about one.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.what {
            What::Schedule(draft, _) => draft.as_ref().map(|draft| draft.spec.key.as_str()),
            What::Reschedule(place, ..) | What::Cancel(place, _) => place.key().map(|(key, _)| key),
        }
    }

    /// The job that it would change.
    pub(super) fn job(&self, owned: &Owned) -> Option<Handle> {
        match &self.what {
            What::Schedule(draft, hash) => {
                let key = draft.as_ref()?.spec.key.as_str();
                // Not `Owned::find`: it has one caller, and is inlined there.
                let known = Destination::of_key(self.partition, key, *hash).find(owned);
                known.filter(|&handle| owned.partition.holds_key(handle))
            }
            What::Reschedule(place, ..) | What::Cancel(place, _) => place.find(owned),
        }
    }

    /// Whether it takes room, if `job` is what it would change.
    pub(super) fn is_new(&self, job: Option<Handle>) -> bool {
        matches!(self.what, What::Schedule(..)) && job.is_none()
    }

    /// About how many bytes its record takes in a log, at most.
    pub(super) fn weight(&self) -> usize {
        match &self.what {
            What::Schedule(draft, _) => draft.as_ref().map_or(0, |draft| schedule_weight(&draft.spec)),
            What::Reschedule(..) | What::Cancel(..) => CHANGE_WEIGHT,
        }
    }

    /// What stands in its way, if something does. `job` is what it would change.
    pub(super) fn foresee(
        &self,
        owned: &Owned,
        job: Option<Handle>,
        clock: &mut LazyNow<'_>,
    ) -> Result<Option<ChangeOutcome>, TransactionError> {
        let (partition, at) = (&owned.partition, self.at);
        match &self.what {
            What::Schedule(draft, _) => {
                let Some(draft) = draft else { return Ok(None) };
                let foreseen = partition.foresee_schedule(job, draft, clock);
                let foreseen =
                    foreseen.map_err(|error| TransactionError::Schedule { at, source: error.into() })?;
                Ok(foreseen.map(ChangeOutcome::Schedule))
            }
            What::Reschedule(_, expected, due) => {
                let Some(job) = job else { return Ok(Some(RescheduleOutcome::NotFound.into())) };
                let foreseen = partition.foresee_reschedule(job, *due, *expected, clock);
                let foreseen =
                    foreseen.map_err(|error| TransactionError::Reschedule { at, source: error.into() })?;
                Ok(foreseen.map(ChangeOutcome::Reschedule))
            }
            What::Cancel(_, expected) => {
                let Some(job) = job else { return Ok(Some(CancelOutcome::NotFound.into())) };
                Ok(partition.foresee_cancel(job, *expected).map(ChangeOutcome::Cancel))
            }
        }
    }

    /// That there is no room for it.
    pub(super) fn no_room(&self, source: impl Into<ScheduleError>) -> TransactionError {
        TransactionError::Schedule { at: self.at, source: source.into() }
    }

    /// Makes it. What was foreseen is what happens.
    pub(super) fn make(
        &mut self,
        shared: &Shared,
        owned: &mut Owned,
        clock: &mut LazyNow<'_>,
    ) -> Result<ChangeOutcome, TransactionError> {
        let at = self.at;
        match &mut self.what {
            What::Schedule(draft, hash) => {
                let taken = shared.take_job(owned, draft, *hash, clock);
                let taken = taken.map_err(|source| TransactionError::Schedule { at, source })?;
                Ok(ChangeOutcome::Schedule(taken))
            }
            What::Reschedule(place, expected, due) => {
                let Some(handle) = place.find(owned) else { return Ok(RescheduleOutcome::NotFound.into()) };
                let moved = owned.partition.reschedule(handle, *due, *expected, clock);
                let moved =
                    moved.map_err(|error| TransactionError::Reschedule { at, source: error.into() })?;
                Ok(ChangeOutcome::Reschedule(moved))
            }
            What::Cancel(place, expected) => {
                Ok(ChangeOutcome::Cancel(shared.take_back(owned, place, *expected)))
            }
        }
    }
}

impl From<RescheduleOutcome> for ChangeOutcome {
    fn from(outcome: RescheduleOutcome) -> Self {
        ChangeOutcome::Reschedule(outcome)
    }
}

impl From<CancelOutcome> for ChangeOutcome {
    fn from(outcome: CancelOutcome) -> Self {
        ChangeOutcome::Cancel(outcome)
    }
}
