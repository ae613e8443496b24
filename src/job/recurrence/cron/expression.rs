//! An expression on the calendar and the clock, without a zone: which dates, and which times of the day.

use croner::parser::CronParser;
use croner::{Cron, CronComponent, Weekday, YEAR_UPPER_LIMIT};

use crate::job::recurrence::InvalidRecurrence;
use crate::time::{civil, day_number};

pub(super) const DAY_SECONDS: i64 = 24 * 3600;

/// The names of seven fields.
const FIELDS: [&str; 7] = ["second", "minute", "hour", "day of month", "month", "day of week", "year"];

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Expression {
    cron: Cron,
    seconds: Set,
    minutes: Set,
    hours: Set,
    /// Whether it names fixed times of the day, which run once on a day on which clocks change.
    pub(super) is_fixed: bool,
}

impl Expression {
    /// Reads an expression that somebody wrote just now, and says where it is wrong.
    pub(super) fn checked(text: &str) -> Result<Self, InvalidRecurrence> {
        let is_named = text.starts_with('@');
        if !is_named {
            check_form(text)?;
        }
        let expression = Expression::read(text).map_err(|reason| {
            let whole = || InvalidRecurrence::CronField { field: "whole", text: text.to_owned(), reason };
            if is_named { whole() } else { wrong_field(text).unwrap_or_else(whole) }
        })?;
        // From the epoch on, a whole round of the calendar and more.
        let never = || InvalidRecurrence::CronNever { expression: text.to_owned() };
        expression.next_from(0).map(|_| expression).ok_or_else(never)
    }

    /// Reads an expression.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let cron = CronParser::new().parse(text).map_err(|error| error.to_string())?;
        let clock = [&cron.pattern.seconds, &cron.pattern.minutes, &cron.pattern.hours];
        let is_fixed = !has_wildcard(cron.pattern.as_str()) && !clock.into_iter().any(is_complete);
        let [seconds, minutes, hours] = clock.map(Set::of);
        Ok(Expression { cron, seconds, minutes, hours, is_fixed })
    }

    /// The first second at or after `from` that it means. Both are counted as if clocks showed UTC.
    pub(super) fn next_from(&self, from: i64) -> Option<i64> {
        let (day, second) = (from.div_euclid(DAY_SECONDS), from.rem_euclid(DAY_SECONDS));
        if let Some(found) = self.next_day(day) {
            if found == day {
                if let Some(second) = self.next_second(second) {
                    return Some(day * DAY_SECONDS + second);
                }
            } else {
                return Some(found * DAY_SECONDS + self.next_second(0)?);
            }
        }
        Some(self.next_day(day + 1)? * DAY_SECONDS + self.next_second(0)?)
    }

    /// How many seconds it means from `from` on and before `to`.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        let (mut at, mut count) = (from, 0);
        while at < to {
            let Some(day) = self.next_day(at.div_euclid(DAY_SECONDS)) else { break };
            let start = day * DAY_SECONDS;
            let seconds = |until: i64| self.seconds_before((until - start).clamp(0, DAY_SECONDS));
            count += seconds(to) - seconds(at).min(seconds(to));
            at = start + DAY_SECONDS;
        }
        count
    }

    /// The first day at or after `day` that it means.
    fn next_day(&self, mut day: i64) -> Option<i64> {
        let pattern = &self.cron.pattern;
        loop {
            let (year, month, of_month) = civil(day);
            let year_number = i32::try_from(year).ok().filter(|&year| year <= YEAR_UPPER_LIMIT)?;
            let [month_number, of_month] = [month, of_month].map(|number| number as u32);
            if !pattern.year_match(year_number).ok()? {
                day = day_number(year + 1, 1, 1)?;
            } else if !pattern.month_match(month_number).ok()? {
                day = if month == 12 { day_number(year + 1, 1, 1)? } else { day_number(year, month + 1, 1)? };
            } else if !pattern.day_match(year_number, month_number, of_month, weekday(day)).ok()? {
                day += 1;
            } else {
                return Some(day);
            }
        }
    }

    /// The first second of a day at or after `second` that it means.
    fn next_second(&self, second: i64) -> Option<i64> {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let later_minute = |hour: i64, minute: i64| {
            Some((hour * 60 + self.minutes.next_from(minute)?) * 60 + self.seconds.next_from(0)?)
        };
        if self.hours.has(hour) {
            if let Some(second) = self.seconds.next_from(second).filter(|_| self.minutes.has(minute)) {
                return Some((hour * 60 + minute) * 60 + second);
            }
            if let Some(found) = later_minute(hour, minute + 1) {
                return Some(found);
            }
        }
        later_minute(self.hours.next_from(hour + 1)?, 0)
    }

    /// How many seconds of a day it means before `second`.
    fn seconds_before(&self, second: i64) -> u64 {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (in_minute, in_hour) = (self.seconds.len(), self.minutes.len() * self.seconds.len());
        let mut count = self.hours.len_before(hour) * in_hour;
        if self.hours.has(hour) {
            count += self.minutes.len_before(minute) * in_minute;
            if self.minutes.has(minute) {
                count += self.seconds.len_before(second);
            }
        }
        count
    }
}

/// The fields of an expression, with their names.
fn fields(text: &str) -> Result<(Vec<&str>, &'static [&'static str]), InvalidRecurrence> {
    let fields: Vec<&str> = text.split(' ').collect();
    let names = match fields.len() {
        5 => &FIELDS[1..6],
        6 => &FIELDS[..6],
        7 => &FIELDS[..],
        count => return Err(InvalidRecurrence::CronFields { count }),
    };
    Ok((fields, names))
}

/// Checks what `croner` does not.
fn check_form(text: &str) -> Result<(), InvalidRecurrence> {
    let (fields, names) = fields(text)?;
    let empty = fields.iter().zip(names).find(|(field, _)| field.split(',').any(str::is_empty));
    empty.map_or(Ok(()), |(field, name)| Err(wrong(name, field, "an item of the list is empty".to_owned())))
}

/// Reads each field alone, to name the one that is wrong.
fn wrong_field(text: &str) -> Option<InvalidRecurrence> {
    let (fields, names) = fields(text).ok()?;
    fields.iter().zip(names).enumerate().find_map(|(at, (field, name))| {
        let mut alone = vec!["*"; fields.len()];
        alone[at] = field;
        Expression::read(&alone.join(" ")).err().map(|reason| wrong(name, field, reason))
    })
}

fn wrong(field: &'static str, text: &str, reason: String) -> InvalidRecurrence {
    InvalidRecurrence::CronField { field, text: text.to_owned(), reason }
}

/// Whether there is a `*` or a step in a field for the clock. `text` is as it was read: `@daily` and its like are written out.
fn has_wildcard(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let clock = if fields.len() == 5 { &fields[..2] } else { &fields[..fields.len().min(3)] };
    clock.iter().any(|field| field.contains(['*', '/']))
}

fn is_complete(field: &CronComponent) -> bool {
    field.values().len() > usize::from(field.max - field.min)
}

fn weekday(day: i64) -> Weekday {
    // The first of 1970 was a Thursday.
    Weekday::from_days_from_sunday((day + 4).rem_euclid(7) as u32)
}

/// Hours, minutes or seconds.
#[derive(Clone, Copy, Debug)]
struct Set(u64);

impl Set {
    /// None has more than 60.
    fn of(field: &CronComponent) -> Self {
        Set(field.values().into_iter().fold(0, |bits, value| bits | 1 << value))
    }

    fn has(self, value: i64) -> bool {
        value < 64 && self.0 >> value & 1 != 0
    }

    fn len(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    fn len_before(self, value: i64) -> u64 {
        Set(self.0 & ((1 << value) - 1)).len()
    }

    /// The least of them that is not below `value`.
    fn next_from(self, value: i64) -> Option<i64> {
        let bits = self.0 >> value << value;
        (bits != 0).then(|| i64::from(bits.trailing_zeros()))
    }
}
