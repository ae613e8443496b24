//! What was asked for, what was acknowledged, and what fired: held against the contract.
//!
//! A key has one operation under way at most, so that after a kill at most its last one is in doubt. Rules, by promise:
//! 1. nothing fires before the earliest due time that it may have;
//! 2. what was acknowledged as scheduled fires in the end, unless it was, or may have been, cancelled;
//! 3. what was acknowledged as cancelled does not fire from then on; what was acknowledged as moved does not fire before
//!    the time that it was moved to;
//! 6. a job that is delivered at most once fires once at most.
//!
//! Any other job may fire twice if the process was killed in between: that is what at least once means. One that is
//! delivered at most once may not fire at all if it was: its start may be all that became of it.

use std::collections::BTreeMap;

/// An operation, as it is written to the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Schedule { due_us: i64, at_most_once: bool },
    Reschedule { due_us: i64 },
    Cancel,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// The operation that has no answer yet, or never got one.
    under_way: Option<Op>,
    is_scheduled: bool,
    is_cancelled: bool,
    /// The last due time that was acknowledged.
    due_us: i64,
    /// Earlier and later ones that it may have instead, from operations whose answer was lost.
    doubtful_due_us: Vec<i64>,
    may_be_cancelled: bool,
    may_be_scheduled: bool,
    at_most_once: bool,
    /// Delivered at most once, and due when the process was killed.
    may_be_started: bool,
    fired: u32,
    /// Fired since the last acknowledged change.
    fired_since: u32,
}

#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
    pub broken: Vec<String>,
    pub acknowledged: u64,
    pub fired: u64,
    pub fired_again: u64,
}

impl Ledger {
    /// Keys that could be moved or cancelled now: acknowledged, with nothing under way.
    pub fn is_changeable(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            entry.is_scheduled && entry.under_way.is_none() && !entry.is_cancelled && entry.fired == 0
        })
    }

    /// An operation is about to be written.
    pub fn asks(&mut self, key: &str, op: Op) {
        let entry = self.entries.entry(key.to_owned()).or_default();
        assert!(entry.under_way.is_none(), "the test asks one thing at a time of {key}");
        entry.under_way = Some(op);
        if let Op::Schedule { at_most_once, .. } = op {
            entry.at_most_once = at_most_once;
        }
    }

    /// The program was killed: what is under way will not be answered any more.
    pub fn answers_are_lost(&mut self, now_us: i64) {
        for entry in self.entries.values_mut() {
            entry.may_be_started |= entry.at_most_once && entry.earliest_us() <= now_us;
            match entry.under_way.take() {
                Some(Op::Schedule { due_us, .. }) => {
                    entry.may_be_scheduled = true;
                    entry.doubtful_due_us.push(due_us);
                }
                Some(Op::Reschedule { due_us }) => entry.doubtful_due_us.push(due_us),
                Some(Op::Cancel) => entry.may_be_cancelled = true,
                None => {}
            }
        }
    }

    pub fn acknowledged(&mut self, key: &str, outcome: &str) {
        let Some(entry) = self.entries.get_mut(key) else {
            self.broken.push(format!("{key} was never asked for, and is acknowledged as {outcome}"));
            return;
        };
        let op = entry.under_way.take();
        self.acknowledged += 1;
        match (op, outcome) {
            (Some(Op::Schedule { due_us, .. }), "scheduled") => {
                entry.is_scheduled = true;
                entry.due_us = due_us;
                entry.fired_since = entry.fired;
            }
            (Some(Op::Reschedule { due_us }), "rescheduled") => {
                entry.due_us = due_us;
                entry.doubtful_due_us.clear();
                entry.fired_since = 0;
            }
            (Some(Op::Cancel), "cancelled") => {
                entry.is_cancelled = true;
                entry.fired_since = 0;
            }
            (Some(Op::Reschedule { .. } | Op::Cancel), "already_fired" | "running") => {}
            // A key whose cancellation was in doubt may be gone.
            (Some(Op::Reschedule { .. } | Op::Cancel), "not_found") if entry.may_be_cancelled => {}
            // So may one that was started, and does not run a second time.
            (Some(Op::Reschedule { .. } | Op::Cancel), "not_found") if entry.may_be_started => {}
            (op, outcome) => {
                self.broken.push(format!("{key}: {op:?} was answered with {outcome}: {entry:?}"))
            }
        }
    }

    pub fn fires(&mut self, key: &str, due_us: i64, fired_at_us: i64) {
        self.fired += 1;
        let Some(entry) = self.entries.get_mut(key) else {
            self.broken.push(format!("{key} fires and was never asked for"));
            return;
        };
        entry.fired += 1;
        entry.fired_since += 1;
        self.fired_again += u64::from(entry.fired > 1);
        let earliest_us = entry.earliest_us();
        if fired_at_us < due_us || fired_at_us < earliest_us {
            self.broken.push(format!("{key} fires early, at {fired_at_us}, told due {due_us}: {entry:?}"));
        }
        if entry.at_most_once && entry.fired > 1 {
            self.broken.push(format!("{key} fires again, and may fire once: {entry:?}"));
        }
        if entry.is_cancelled {
            self.broken.push(format!("{key} fires after it was cancelled: {entry:?}"));
        }
    }

    /// All is over, and everything had the time to fire.
    pub fn ends(&mut self) {
        for (key, entry) in &self.entries {
            if entry.must_fire() {
                self.broken.push(format!("{key} is lost: {entry:?}"));
            }
        }
    }

    /// How many keys have neither fired nor been cancelled for sure.
    pub fn open(&self) -> usize {
        self.entries.values().filter(|entry| entry.must_fire()).count()
    }
}

impl Entry {
    /// The earliest due time that it may have. A change under way may have taken effect, and not been answered yet.
    fn earliest_us(&self) -> i64 {
        let under_way = match self.under_way {
            Some(Op::Schedule { due_us, .. } | Op::Reschedule { due_us }) => Some(due_us),
            _ => None,
        };
        let known = self.is_scheduled.then_some(self.due_us);
        let possible = known.into_iter().chain(self.doubtful_due_us.iter().copied()).chain(under_way);
        possible.min().unwrap_or(i64::MAX)
    }

    /// Whether it is acknowledged, and neither fired nor may have ended otherwise.
    fn must_fire(&self) -> bool {
        let may_have_ended = self.is_cancelled || self.may_be_cancelled || self.may_be_started;
        self.is_scheduled && !may_have_ended && self.fired == 0
    }
}
