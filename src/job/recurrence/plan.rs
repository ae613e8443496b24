//! A rule that can be worked out: which instants it names, without beginning or end.

use super::every::Grid;
use super::{RecurrenceError, Rule};
use crate::time::Timestamp;

/// A rule, read.
#[derive(Debug)]
pub(super) enum Plan {
    Every(Grid),
    #[cfg(feature = "cron")]
    Cron(super::cron::Timetable),
}

impl Plan {
    /// Reads a rule. An interval without an anchor is counted from `origin`.
    pub(super) fn new(rule: &Rule, origin: Timestamp) -> Result<Self, RecurrenceError> {
        match rule {
            Rule::Every { interval_us, anchor } => {
                Ok(Plan::Every(Grid { interval_us: *interval_us, origin: anchor.unwrap_or(origin) }))
            }
            #[cfg(feature = "cron")]
            Rule::Cron(text) => super::cron::timetable(text).map(Plan::Cron),
            #[cfg(not(feature = "cron"))]
            Rule::Cron(_) => Err(RecurrenceError::NoCron),
        }
    }

    /// The first instant after `after`; `None` if there is none.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Plan::Every(grid) => grid.next_after(after),
            #[cfg(feature = "cron")]
            Plan::Cron(timetable) => timetable.next_after(after),
        }
    }

    /// How many instants lie after `after`, up to and with `through`.
    pub(super) fn count(&self, after: Timestamp, through: Timestamp) -> u64 {
        match self {
            Plan::Every(grid) => grid.count(after, through),
            #[cfg(feature = "cron")]
            Plan::Cron(timetable) => timetable.count(after, through),
        }
    }

    /// The instant number `n` after `after`, the next being number 1. There are so many up to and with `through`.
    #[cfg_attr(not(feature = "cron"), allow(unused_variables, reason = "intervals need no bound"))]
    pub(super) fn nth_after(&self, after: Timestamp, n: u64, through: Timestamp) -> Option<Timestamp> {
        match self {
            Plan::Every(grid) => grid.nth_after(after, n),
            #[cfg(feature = "cron")]
            Plan::Cron(_) => self.nth_by_halves(after, n, through),
        }
    }

    /// By halving the time in question: there are `n` instants up to an instant, and fewer before it.
    #[cfg(feature = "cron")]
    fn nth_by_halves(&self, after: Timestamp, n: u64, through: Timestamp) -> Option<Timestamp> {
        if n <= 1 {
            return self.next_after(after);
        }
        let (mut fewer, mut enough) = (after.as_micros(), through.as_micros());
        while enough.abs_diff(fewer) > 1_000_000 {
            let middle = fewer + (enough.abs_diff(fewer) / 2) as i64;
            let count = self.count(after, Timestamp::from_micros(middle));
            *(if count < n { &mut fewer } else { &mut enough }) = middle;
        }
        // They lie on whole seconds, so there is one in what is left.
        self.next_after(Timestamp::from_micros(fewer))
    }
}
