//! The answers to a call about many jobs.

use std::fmt;
use std::ops::Deref;

use crate::engine::error::{CancelError, RescheduleError, ScheduleError};
use crate::partition::{
    CancelOutcome, Handle, NotCancelled, NotRescheduled, NotScheduled, RescheduleOutcome, ScheduleOutcome,
    Version,
};

/// What a call did with each of many jobs, in the order in which they were given: a slice of results.
#[derive(Debug)]
#[must_use = "each job has an outcome of its own; look at them, or insist with `scheduled()?`, `rescheduled()?` or `cancelled()?`"]
pub struct Outcomes<T, E>(Vec<Result<T, E>>);

/// Some of many jobs were not scheduled. The others were.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} jobs were not scheduled: the keys of {taken} are those of pending jobs, and {refused} were refused; the first, number {at}: {first}",
    taken + refused, outcomes.len())]
#[non_exhaustive]
pub struct NotAllScheduled {
    /// What became of each job.
    pub outcomes: Outcomes<ScheduleOutcome, ScheduleError>,
    /// How many were not taken because another job with their key is pending.
    pub taken: usize,
    /// How many were refused.
    pub refused: usize,
    /// The place of the first that was not scheduled, counted from 0.
    pub at: usize,
    first: String,
}

/// Some of many jobs were not moved. The others were.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} jobs were not moved: {late} were not there to be moved, and {refused} were refused; the first, number {at}: {first}",
    late + refused, outcomes.len())]
#[non_exhaustive]
pub struct NotAllRescheduled {
    /// What became of each job.
    pub outcomes: Outcomes<RescheduleOutcome, RescheduleError>,
    /// How many had begun, had fired, had changed, or are unknown.
    pub late: usize,
    /// How many calls were refused.
    pub refused: usize,
    /// The place of the first that was not moved, counted from 0.
    pub at: usize,
    first: String,
}

/// Some of many jobs were not cancelled. The others were.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} jobs were not cancelled: {late} were not there to be cancelled, and {refused} were refused; the first, number {at}: {first}",
    late + refused, outcomes.len())]
#[non_exhaustive]
pub struct NotAllCancelled {
    /// What became of each job.
    pub outcomes: Outcomes<CancelOutcome, CancelError>,
    /// How many had begun, had fired, or are unknown.
    pub late: usize,
    /// How many calls were refused.
    pub refused: usize,
    /// The place of the first that was not cancelled, counted from 0.
    pub at: usize,
    first: String,
}

impl<T, E> Outcomes<T, E> {
    pub(crate) fn new(outcomes: Vec<Result<T, E>>) -> Self {
        Outcomes(outcomes)
    }

    /// The outcomes as a vector.
    pub fn into_vec(self) -> Vec<Result<T, E>> {
        self.0
    }
}

impl Outcomes<ScheduleOutcome, ScheduleError> {
    /// The handles of the jobs, if every job was scheduled: see [`ScheduleOutcome::scheduled`].
    ///
    /// # Errors
    /// When one of them was not scheduled. The error has all outcomes and counts the failures.
    pub fn scheduled(self) -> Result<Vec<Handle>, NotAllScheduled> {
        match self.amiss(|outcome| outcome.scheduled().err().map(|error: NotScheduled| error.to_string())) {
            Some(Amiss { answered: taken, refused, at, first }) => {
                Err(NotAllScheduled { outcomes: self, taken, refused, at, first })
            }
            None => Ok(self.0.iter().flatten().map(ScheduleOutcome::handle).collect()),
        }
    }
}

impl Outcomes<RescheduleOutcome, RescheduleError> {
    /// The versions of the jobs, if every job was moved.
    ///
    /// # Errors
    /// When one of them was not moved. The error has all outcomes and counts the failures.
    pub fn rescheduled(self) -> Result<Vec<Version>, NotAllRescheduled> {
        match self.amiss(|outcome| outcome.rescheduled().err().map(|error: NotRescheduled| error.to_string()))
        {
            Some(Amiss { answered: late, refused, at, first }) => {
                Err(NotAllRescheduled { outcomes: self, late, refused, at, first })
            }
            None => Ok(self.0.iter().flatten().filter_map(|outcome| outcome.rescheduled().ok()).collect()),
        }
    }
}

impl Outcomes<CancelOutcome, CancelError> {
    /// How many jobs were cancelled, if this call cancelled all of them.
    ///
    /// # Errors
    /// When one of them was not cancelled. The error has all outcomes and counts the failures.
    pub fn cancelled(self) -> Result<usize, NotAllCancelled> {
        match self.amiss(|outcome| outcome.cancelled().err().map(|error: NotCancelled| error.to_string())) {
            Some(Amiss { answered: late, refused, at, first }) => {
                Err(NotAllCancelled { outcomes: self, late, refused, at, first })
            }
            None => Ok(self.len()),
        }
    }
}

/// What did not go as the call asked.
struct Amiss {
    answered: usize,
    refused: usize,
    at: usize,
    first: String,
}

impl<T: Copy, E: fmt::Display> Outcomes<T, E> {
    /// Counts what `why` objects to and what was refused; `None` if both are 0.
    fn amiss(&self, why: impl Fn(T) -> Option<String>) -> Option<Amiss> {
        let mut amiss: Option<Amiss> = None;
        for (at, outcome) in self.0.iter().enumerate() {
            let (first, is_refused) = match outcome {
                Ok(outcome) => match why(*outcome) {
                    Some(why) => (why, false),
                    None => continue,
                },
                Err(error) => (error.to_string(), true),
            };
            let amiss = amiss.get_or_insert(Amiss { answered: 0, refused: 0, at, first });
            amiss.answered += usize::from(!is_refused);
            amiss.refused += usize::from(is_refused);
        }
        amiss
    }
}

impl<T, E> Deref for Outcomes<T, E> {
    type Target = [Result<T, E>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T, E> IntoIterator for Outcomes<T, E> {
    type Item = Result<T, E>;
    type IntoIter = std::vec::IntoIter<Result<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, E> IntoIterator for &'a Outcomes<T, E> {
    type Item = &'a Result<T, E>;
    type IntoIter = std::slice::Iter<'a, Result<T, E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
