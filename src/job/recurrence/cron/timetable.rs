//! An expression on the clocks of a zone.
//!
//! # The rule for days on which clocks change
//! Between two changes a zone has one offset from UTC: a *stretch*. In each, an expression is worked out on the calendar and
//! the clock alone, and what the change at its beginning did to clocks is settled there:
//!
//! | | fixed times | others |
//! | --- | --- | --- |
//! | clocks skip them | run at the first instant after the gap, once, whatever its date | do not run |
//! | clocks show them again | do not run again | run again |
//!
//! Fixed times are those of an expression with only numbers, lists and ranges for second, minute and hour. Others have a `*`,
//! a step or a complete range there.

use std::sync::Arc;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use super::expression::Expression;
use crate::time::Timestamp;

/// The instants at which clocks in a zone show what an expression says.
#[derive(Debug)]
pub(in super::super) struct Timetable {
    expression: Arc<Expression>,
    zone: TimeZone,
}

/// A time in which the zone keeps one offset. All in seconds.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    offset: i64,
    /// The first second, and the offset before it; `None` if it has always been like this.
    start: Option<(i64, i64)>,
    /// The first second after it; `None` if it goes on for ever.
    end: Option<i64>,
}

impl Stretch {
    /// Where clocks stand at its beginning if they were put forward: the first time that they skip, and the first after the
    /// gap.
    fn gap(&self) -> Option<(i64, i64)> {
        let (start, before) = self.start?;
        (before < self.offset).then_some((start + before, start + self.offset))
    }

    /// The first time that clocks show from `at` on. Fixed times leave out what clocks have shown before.
    fn first_shown(&self, at: i64, is_fixed: bool) -> i64 {
        let shown = at + self.offset;
        match self.start {
            Some((start, before)) if is_fixed => shown.max(start + before),
            _ => shown,
        }
    }

    fn begins_from(&self, at: i64) -> bool {
        self.start.is_some_and(|(start, _)| start >= at)
    }
}

impl Timetable {
    pub(super) fn new(expression: Arc<Expression>, zone: TimeZone) -> Self {
        Timetable { expression, zone }
    }

    /// The first of them after `after`; `None` if there is none up to the year 5000.
    pub(in super::super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let at = second(after) + 1;
        let is_fixed = self.expression.is_fixed;
        let mut search = Search { expression: &self.expression, known: None };
        let mut stretch = self.stretch(at)?;
        let mut was_over = false;
        loop {
            let start = stretch.start.map_or(at, |(start, _)| start.max(at));
            if stretch.begins_from(at) && self.has_skipped(&stretch, &mut search) {
                return Some(timestamp(start));
            }
            let shown = search.next_from(stretch.first_shown(start, is_fixed));
            let found = shown.map(|shown| shown - stretch.offset);
            match (found, stretch.end) {
                (Some(found), None) => return Some(timestamp(found)),
                (Some(found), Some(end)) if found < end => return Some(timestamp(found)),
                // After the next change clocks may show again what they have shown, but not after that.
                (None, _) if was_over => return None,
                (found, end) => {
                    was_over = found.is_none();
                    stretch = self.stretch(end?)?;
                }
            }
        }
    }

    /// How many of them lie after `after`, up to and with `through`.
    pub(in super::super) fn count(&self, after: Timestamp, through: Timestamp) -> u64 {
        let (from, to) = (second(after) + 1, second(through.min(LAST)) + 1);
        let is_fixed = self.expression.is_fixed;
        let mut count = 0;
        let mut at = from;
        while at < to {
            let Some(stretch) = self.stretch(at) else { break };
            let end = stretch.end.map_or(to, |end| end.min(to));
            let mut search = Search { expression: &self.expression, known: None };
            let is_at_start = || self.expression.next_from(at + stretch.offset) == Some(at + stretch.offset);
            if stretch.begins_from(at) && self.has_skipped(&stretch, &mut search) && !is_at_start() {
                count += 1;
            }
            count += self.expression.count(stretch.first_shown(at, is_fixed), end + stretch.offset);
            at = end;
        }
        count
    }

    /// Whether clocks skip a fixed time where the stretch begins.
    fn has_skipped(&self, stretch: &Stretch, search: &mut Search<'_>) -> bool {
        let gap = stretch.gap().filter(|_| self.expression.is_fixed);
        gap.is_some_and(|(from, to)| search.next_from(from).is_some_and(|time| time < to))
    }

    /// The stretch in which a second lies; `None` beyond the years that there are.
    fn stretch(&self, at: i64) -> Option<Stretch> {
        let instant = |second| Instant::from_second(second).ok();
        let offset = |second| Some(i64::from(self.zone.to_offset(instant(second)?).seconds()));
        let start = self.zone.preceding(instant(at + 1)?).next().map(|change| change.timestamp().as_second());
        let end = self.zone.following(instant(at)?).next().map(|change| change.timestamp().as_second());
        let before = |start: i64| Some((start, offset(start - 1)?));
        Some(Stretch { offset: offset(at)?, start: start.and_then(before), end })
    }
}

/// Looks for times as clocks show them, one after the other, and not again for what it has found.
struct Search<'a> {
    expression: &'a Expression,
    /// From where it looked last, and what it found.
    known: Option<(i64, Option<i64>)>,
}

impl Search<'_> {
    fn next_from(&mut self, from: i64) -> Option<i64> {
        match self.known {
            Some((known, found)) if known <= from && found.is_none_or(|found| found >= from) => found,
            _ => {
                let found = self.expression.next_from(from);
                self.known = Some((from, found));
                found
            }
        }
    }
}

/// Beyond it there are no expressions.
const LAST: Timestamp = Timestamp::from_micros(100_000_000_000_000_000);

/// The second in which an instant lies.
fn second(instant: Timestamp) -> i64 {
    instant.as_micros().div_euclid(1_000_000)
}

/// All are within some thousand years.
fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_micros(second.saturating_mul(1_000_000))
}
