//! From one occurrence to the next: which there are, which are passed over, and why.

use serde::{Deserialize, Serialize};

use super::{Missed, Overlap, Plan, Recurrence, RecurrenceError};
use crate::time::Timestamp;

/// One of the instants that a rule names, and how it stands with those before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Occurrence {
    /// The instant that the rule names. A job that is late keeps it.
    pub scheduled_for: Timestamp,
    /// Which occurrence of the rule it is. The first is number 1.
    pub number: u64,
    /// How many occurrences were passed over since the last one that ran.
    pub missed: u64,
}

/// Why an occurrence does not run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A later one runs for it.
    Coalesced,
    /// It could not run when it was due, and [`Missed`] says that it need not.
    Missed,
    /// The one before it was running, and [`Overlap`] says that it need not.
    Overlap,
    /// Its job was paused.
    Paused,
}

/// Occurrences that were passed over, one after the other and for one reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Passed {
    /// How many. Not zero.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// The first one's instant.
    pub first: Timestamp,
    /// The last one's instant.
    pub last: Timestamp,
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Step {
    /// What is passed over before it.
    pub passed: Option<Passed>,
    /// The occurrence that is to run next, at once if its instant has come; `None` if the rule has come to its end.
    pub next: Option<Occurrence>,
}

/// Why an occurrence is late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LateCause {
    /// No engine ran when it was due.
    Down,
    /// No worker was free, its queue was paused, or the store did not answer.
    Busy,
}

/// The occurrences of a rule, one after the other. See [`Recurrence::preview`].
#[derive(Debug)]
pub struct Preview<'a> {
    rule: &'a Recurrence,
    plan: Plan,
    next: Option<Occurrence>,
}

impl Iterator for Preview<'_> {
    type Item = Occurrence;

    fn next(&mut self) -> Option<Occurrence> {
        let next = self.next?;
        self.next = self.rule.one_after(&self.plan, next);
        Some(next)
    }
}

impl Recurrence {
    /// The occurrences that a job with this rule has if it is scheduled at `called_at`, as if none were passed over.
    ///
    /// # Errors
    /// When there is none, or the rule cannot be worked out here.
    pub fn preview(&self, called_at: impl Into<Timestamp>) -> Result<Preview<'_>, RecurrenceError> {
        let called_at = called_at.into();
        let plan = Plan::new(&self.rule, self.from.unwrap_or(called_at))?;
        let first = self.first_of(&plan, called_at)?;
        Ok(Preview { rule: self, plan, next: Some(first) })
    }

    /// The first occurrence of a job that is scheduled at `called_at`: after it, and not before [`from`](Recurrence::from).
    ///
    /// # Errors
    /// When there is none, or the rule cannot be worked out here.
    pub fn first(&self, called_at: Timestamp) -> Result<Occurrence, RecurrenceError> {
        let plan = Plan::new(&self.rule, self.from.unwrap_or(called_at))?;
        self.first_of(&plan, called_at)
    }

    fn first_of(&self, plan: &Plan, called_at: Timestamp) -> Result<Occurrence, RecurrenceError> {
        if let Some(until) = self.until.filter(|&until| until <= called_at) {
            return Err(RecurrenceError::UntilPassed { until });
        }
        let before = match self.from {
            Some(from) if from > called_at => from.saturating_sub_micros(1),
            _ => called_at,
        };
        let first = plan.next_after(before).filter(|&instant| self.is_before_end(instant));
        first
            .map(|scheduled_for| Occurrence { scheduled_for, number: 1, missed: 0 })
            .ok_or(RecurrenceError::NoOccurrence { from: before })
    }

    /// The occurrence after one that ran; `None` if that was the last.
    ///
    /// # Errors
    /// When the rule cannot be worked out here.
    pub fn next_after(&self, ran: &Occurrence) -> Result<Option<Occurrence>, RecurrenceError> {
        let plan = Plan::new(&self.rule, ran.scheduled_for)?;
        Ok(self.one_after(&plan, *ran))
    }

    /// What is to become of an occurrence that has not started by `now`, and of those behind it. Nothing, if it is not due.
    ///
    /// # Errors
    /// When the rule cannot be worked out here.
    ///
    /// # Complexity
    /// The same for a year of hours as for a year of seconds. An interval takes a few operations, a cron expression some for
    /// each day.
    pub fn late(
        &self,
        waiting: &Occurrence,
        now: Timestamp,
        cause: LateCause,
    ) -> Result<Step, RecurrenceError> {
        if waiting.scheduled_for > now {
            return Ok(Step { passed: None, next: Some(*waiting) });
        }
        let plan = Plan::new(&self.rule, waiting.scheduled_for)?;
        let behind = self.count_after(&plan, waiting, now);
        let due = behind.saturating_add(1);
        let (count, reason) = match (self.missed, cause) {
            (Missed::One, _) => (behind, Reason::Coalesced),
            (Missed::All { max }, _) => (due.saturating_sub(u64::from(max.get())), Reason::Missed),
            (Missed::None, LateCause::Down) => (due, Reason::Missed),
            (Missed::None, LateCause::Busy) => (behind, Reason::Missed),
        };
        Ok(self.pass(&plan, *waiting, count, reason, now))
    }

    /// What follows an occurrence whose handler began at `began` and ended at `at`. If those that came due meanwhile need not run,
    /// they are passed over.
    ///
    /// # Errors
    /// When the rule cannot be worked out here.
    ///
    /// # Complexity
    /// As [`Recurrence::late`].
    pub fn ended(&self, ran: &Occurrence, began: Timestamp, at: Timestamp) -> Result<Step, RecurrenceError> {
        let plan = Plan::new(&self.rule, ran.scheduled_for)?;
        self.after_run(&plan, self.one_after(&plan, *ran), began, at)
    }

    /// What follows a run that ended at `at` and was one more than the rule names: the occurrence that it waited for when it was
    /// brought forward. If that came due meanwhile, it is as in [`Recurrence::ended`].
    ///
    /// # Errors
    /// When the rule cannot be worked out here.
    pub fn resumed(&self, waited_for: &Occurrence, at: Timestamp) -> Result<Step, RecurrenceError> {
        let plan = Plan::new(&self.rule, waited_for.scheduled_for)?;
        self.after_run(&plan, Some(*waited_for), waited_for.scheduled_for.saturating_sub_micros(1), at)
    }

    /// What a job waits for when it is resumed: those that came due while it was paused do not run.
    ///
    /// # Errors
    /// When the rule cannot be worked out here.
    ///
    /// # Complexity
    /// As [`Recurrence::late`].
    pub fn after_pause(&self, waiting: &Occurrence, now: Timestamp) -> Result<Step, RecurrenceError> {
        if waiting.scheduled_for > now {
            return Ok(Step { passed: None, next: Some(*waiting) });
        }
        let plan = Plan::new(&self.rule, waiting.scheduled_for)?;
        let due = self.count_after(&plan, waiting, now).saturating_add(1);
        Ok(self.pass(&plan, *waiting, due, Reason::Paused, now))
    }

    fn after_run(
        &self,
        plan: &Plan,
        next: Option<Occurrence>,
        began: Timestamp,
        at: Timestamp,
    ) -> Result<Step, RecurrenceError> {
        let Some(due) = next.filter(|next| next.scheduled_for <= at) else {
            return Ok(Step { passed: None, next });
        };
        // Of a backlog that is to run, what was due before this run is not overlapped by it.
        let is_backlog = matches!(self.missed, Missed::All { .. }) && due.scheduled_for <= began;
        match self.overlap {
            Overlap::Skip if is_backlog => Ok(Step { passed: None, next }),
            Overlap::Skip => {
                let count = self.count_after(plan, &due, at).saturating_add(1);
                Ok(self.pass(plan, due, count, Reason::Overlap, at))
            }
            Overlap::Allow | Overlap::After => self.late(&due, at, LateCause::Busy),
        }
    }

    /// Passes over `count` occurrences that have come due by `now`, beginning with `waiting`.
    fn pass(&self, plan: &Plan, waiting: Occurrence, count: u64, reason: Reason, now: Timestamp) -> Step {
        if count == 0 {
            return Step { passed: None, next: Some(waiting) };
        }
        let first = waiting.scheduled_for;
        let last = match count {
            1 => Some(first),
            _ => plan.nth_after(first, count - 1, now),
        };
        // There is one: it was counted.
        let last = last.unwrap_or(first);
        let passed = Occurrence {
            scheduled_for: last,
            number: waiting.number.saturating_add(count - 1),
            missed: waiting.missed.saturating_add(count),
        };
        let next = self.one_after(plan, passed).map(|next| Occurrence { missed: passed.missed, ..next });
        Step { passed: Some(Passed { count, reason, first, last }), next }
    }

    /// How many occurrences there are after one, up to and with `through`.
    fn count_after(&self, plan: &Plan, occurrence: &Occurrence, through: Timestamp) -> u64 {
        let through = self.until.map_or(through, |until| until.min(through));
        let left = self.count.map_or(u64::MAX, |count| count.saturating_sub(occurrence.number));
        plan.count(occurrence.scheduled_for, through).min(left)
    }

    fn one_after(&self, plan: &Plan, occurrence: Occurrence) -> Option<Occurrence> {
        if self.count.is_some_and(|count| occurrence.number >= count) {
            return None;
        }
        let scheduled_for =
            plan.next_after(occurrence.scheduled_for).filter(|&instant| self.is_before_end(instant))?;
        Some(Occurrence { scheduled_for, number: occurrence.number.saturating_add(1), missed: 0 })
    }

    fn is_before_end(&self, instant: Timestamp) -> bool {
        self.until.is_none_or(|until| instant <= until)
    }
}
