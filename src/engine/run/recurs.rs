//! The runs of a recurring job: which occurrence one is of, and what comes after it.
//!
//! Its rule is worked out here, outside of the partition's lock. What it comes to becomes a fact in a record.
//!
//! # Rules
//! - The first attempt at an occurrence that is late may stand for those that came due since: see [`Missed`](crate::Missed). Later
//!   attempts are at the same occurrence, whatever comes due meanwhile.
//! - A run that was brought forward by hand is one more: the occurrence that it was brought forward from still comes.
//! - However a run ends, the next occurrence comes, unless the rule has ended or a cancel came while it ran.

use std::sync::Arc;

use super::handler::Seat;
use super::sequel::Sequel;
use crate::engine::state::Shared;
use crate::job::{LateCause, Occurrence, Overlap, Passed, Recurrence, RecurrenceError, Step};
use crate::partition::{Cause, DeathReason, End, Fault, Handle, Next, Started, Timestamp};

/// What is kept of a recurring job while it runs.
pub(crate) struct Recurs {
    rule: Recurrence,
    /// The occurrence that it is about.
    occurrence: Occurrence,
    /// Whether the occurrence still is to come.
    is_extra: bool,
    began: Timestamp,
}

impl Recurs {
    /// Settles which occurrence a job that was started is about, and tells its handler so. `None` for one that does not recur.
    #[inline]
    pub(crate) fn begin(started: &mut Started, seat: &Seat) -> Option<Box<Recurs>> {
        if started.options.recurrence().is_none() { None } else { Recurs::settle(started, seat) }
    }

    #[cold]
    fn settle(started: &mut Started, seat: &Seat) -> Option<Box<Recurs>> {
        let (rule, progress) = (started.options.recurrence()?.clone(), *started.options.occurrence()?);
        let waiting = progress.occurrence;
        let (fired_at, handle) = (started.fired_at, started.handle);
        if started.due < waiting.scheduled_for && fired_at < waiting.scheduled_for {
            let extra = Occurrence { scheduled_for: started.due, ..waiting };
            started.options = std::mem::take(&mut started.options).with_occurrence(progress.on(extra, None));
            return Some(Box::new(Recurs { rule, occurrence: waiting, is_extra: true, began: fired_at }));
        }
        let late = match started.attempt {
            // Where it cannot be worked out, its end says so.
            1 => rule.late(&waiting, fired_at, LateCause::Busy).ok(),
            _ => None,
        };
        let Step { passed, next } = late.unwrap_or(Step { passed: None, next: None });
        let occurrence = next.unwrap_or(waiting);
        if let Some(passed) = passed {
            seat.shared.enter(usize::from(handle.partition().0), None, |owned, now| {
                owned.partition.pass_over(handle, occurrence, passed, now)
            });
            seat.queue.tell_passed(started.key.as_str(), passed);
        }
        started.options =
            std::mem::take(&mut started.options).with_occurrence(progress.on(occurrence, passed));
        let recurs = Recurs { rule, occurrence, is_extra: false, began: fired_at };
        let is_split = recurs.rule.overlap == Overlap::Allow && recurs.split(handle, &seat.shared);
        (!is_split).then(|| Box::new(recurs))
    }

    /// Has another job wait for the next occurrence, so that it can run beside this one. If there is no room for one the next
    /// occurrence comes after this.
    fn split(&self, handle: Handle, shared: &Arc<Shared>) -> bool {
        let Ok(Some(occurrence)) = self.rule.next_after(&self.occurrence) else { return false };
        let next = Next { occurrence, passed: None };
        shared.enter(usize::from(handle.partition().0), None, |owned, now| {
            if !shared.room.make(&mut owned.room, owned.partition.live()) {
                return false;
            }
            let Some(split) = owned.partition.split(handle, next, now) else { return false };
            let Some(hash) = owned.partition.key(split).map(|key| shared.hasher.hash(key)) else {
                return true;
            };
            let (partition, keys) = (&owned.partition, &mut owned.keys);
            let key = partition.key(split).unwrap_or_default();
            keys.place(hash, |slot| partition.is_of_key(slot, key)).set(split.slot());
            true
        })
    }

    /// What comes after the run in place of `sequel`, if that is not another attempt; and what is passed over before it.
    pub(crate) fn follow(&self, sequel: Sequel, now: Timestamp) -> (Sequel, Option<Passed>) {
        let (end, fault) = match &sequel {
            Sequel::Again(_) | Sequel::Recurs(_) => return (sequel, None),
            Sequel::Ends(end) => (*end, None),
            Sequel::Dies(_, fault) => (End::Failed, Some(fault.clone())),
        };
        match self.next(now) {
            Ok(Step { passed, next: Some(occurrence) }) => {
                let next = Next { occurrence, passed };
                (Sequel::Recurs(Box::new(Recurring { end, fault, next, otherwise: sequel })), passed)
            }
            Ok(Step { passed, next: None }) => (sequel, passed),
            // Kept among the dead: what comes next is not to be lost because of a machine that lacks something.
            Err(error) => {
                let fault = Fault::new(Cause::Failed, &error.to_string());
                (Sequel::Dies(DeathReason::Killed, fault), None)
            }
        }
    }

    fn next(&self, now: Timestamp) -> Result<Step, RecurrenceError> {
        if self.is_extra {
            self.rule.resumed(&self.occurrence, now)
        } else {
            self.rule.ended(&self.occurrence, self.began, now)
        }
    }
}

/// A run has ended, and another occurrence comes.
pub(crate) struct Recurring {
    pub(crate) end: End,
    pub(crate) fault: Option<Fault>,
    pub(crate) next: Next,
    /// If the job does not recur any more.
    pub(crate) otherwise: Sequel,
}
