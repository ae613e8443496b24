//! Durations as text: numbers with units, the largest first, or a duration of ISO 8601.
//!
//! # Rules
//! - A day has 24 hours, a week seven days. A month and a year have no length, and are no units.
//! - Only the last number may have a fraction, after a point. A comma stands between two units at most, where it cannot
//!   be taken for a part of a number.
//! - What is finer than a nanosecond is rounded up: a duration is never shorter than written.

use std::fmt;
use std::time::Duration;

const SECOND_NS: u128 = 1_000_000_000;

/// The symbols of each unit, its names in the singular, which may have an `s` behind them, and what it lasts.
const UNITS: [(&[&str], &[&str], u128); 8] = [
    (&["w"], &["wk", "week"], 7 * 24 * 3600 * SECOND_NS),
    (&["d"], &["day"], 24 * 3600 * SECOND_NS),
    (&["h"], &["hr", "hour"], 3600 * SECOND_NS),
    (&["m"], &["min", "minute"], 60 * SECOND_NS),
    (&["s"], &["sec", "second"], SECOND_NS),
    (&["ms"], &["msec", "milli", "millisecond"], 1_000_000),
    // With the micro sign, and with the letter of which it is an older form.
    (&["us", "\u{b5}s", "\u{3bc}s"], &["usec", "\u{b5}sec", "\u{3bc}sec", "micro", "microsecond"], 1_000),
    (&["ns"], &["nsec", "nano", "nanosecond"], 1),
];

/// Units that some months or years have more of than others.
const CALENDAR_UNITS: [&str; 5] = ["y", "yr", "year", "mo", "month"];

/// The designators of ISO 8601 before its `T`, and after it.
const ISO_DAYS: [(char, u128); 2] = [('W', 7 * 24 * 3600 * SECOND_NS), ('D', 24 * 3600 * SECOND_NS)];
const ISO_TIME: [(char, u128); 3] = [('H', 3600 * SECOND_NS), ('M', 60 * SECOND_NS), ('S', SECOND_NS)];

/// As many as an instant can have of them before and after 1970.
const MICROS_MAX: u128 = i64::MAX as u128;

/// Why a text is no duration.
///
/// Each says what is wrong, and what to write, in a sentence that begins with the text: `"90" has no unit after 90; ..`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDuration {
    /// It does not have the form.
    #[error(
        "is not a duration; write numbers with units (w, d, h, m, s, ms, us, ns), as \"1.5s\", \"200ms\" or \"1h30m\""
    )]
    Form,
    /// A number has no unit.
    #[error(
        "has no unit after {number}; write \"{number}s\" for seconds, or another of w, d, h, m, s, ms, us, ns"
    )]
    NoUnit {
        /// The number, as it was written.
        number: String,
    },
    /// A word is no unit.
    #[error(
        "has {unit:?} for a unit; the units of a duration are w, d, h, m, s, ms, us, ns, as in \"1h30m\""
    )]
    Unit {
        /// The word, as it was written.
        unit: String,
    },
    /// Months and years are not all of one length.
    #[error("has a unit without a fixed length; write days, as \"30d\"")]
    CalendarUnit,
    /// There is a comma in a number.
    #[error(
        "has a comma in a number, which some read as a point and others not at all; write \"2000s\", or \"2.5s\""
    )]
    Comma,
    /// The units do not go from the largest to the smallest.
    #[error(
        "has units twice, or a smaller one before a larger; write each once, the largest first, as \"1h30m\""
    )]
    Order,
    /// A number that is not the last has a fraction.
    #[error("has a fraction before its last unit; write it out, as \"1h30m\" for 1.5 hours")]
    Fraction,
    /// It has colons.
    #[error("reads like a time of day; write numbers with units, as \"1h30m\"")]
    TimeOfDay,
    /// It is less than nothing.
    #[error("is negative")]
    Negative,
    /// It is longer than microseconds can be counted.
    #[error("is out of range; a duration is shorter than 292,000 years")]
    OutOfRange,
}

/// Reads a duration: `1.5s`, `1h30m`, `2 days`, or ISO 8601 as `PT90S`.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(reveille::parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
/// assert!(reveille::parse_duration("90").is_err(), "seconds or minutes?");
/// ```
///
/// # Errors
/// [`InvalidDuration`] says what is wrong, and what to write.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let ns = read(text)?;
    let (seconds, ns) = (ns / SECOND_NS, ns % SECOND_NS);
    // Both fit: what does not was found to be out of range.
    Ok(Duration::new(seconds as u64, ns as u32))
}

/// A duration of whole microseconds as [`parse_duration`] reads it back: `1h30m`.
pub(crate) struct DurationText(pub(crate) u64);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Weeks and days are left to those who write them: some read a day as from one noon to the next.
        const WRITTEN: [(u64, &str); 5] =
            [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us")];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest_us = self.0;
        for (unit_us, unit) in WRITTEN {
            if rest_us >= unit_us {
                write!(f, "{}{unit}", rest_us / unit_us)?;
                rest_us %= unit_us;
            }
        }
        Ok(())
    }
}

/// The nanoseconds, rounded up.
fn read(text: &str) -> Result<u128, InvalidDuration> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (text.ends_with(" ago"), text.strip_prefix('+').unwrap_or(text)),
    };
    let unsigned = unsigned.strip_suffix(" ago").unwrap_or(unsigned);
    let ns = match unsigned.strip_prefix(['P', 'p']) {
        Some(rest) => iso_8601(rest)?,
        None => with_units(unsigned)?,
    };
    match ns {
        _ if is_negative => Err(InvalidDuration::Negative),
        ns if ns.div_ceil(1_000) > MICROS_MAX => Err(InvalidDuration::OutOfRange),
        ns => Ok(ns),
    }
}

/// `1h 30m`.
fn with_units(mut text: &str) -> Result<u128, InvalidDuration> {
    let mut sum = Sum::default();
    loop {
        let (number, rest) = Number::split(text)?;
        let rest = number.rest_after(rest)?;
        let (name, after) = word(rest);
        let unit_ns = unit(name).ok_or_else(|| wrong_unit(&number, name, after, sum.is_empty()))?;
        sum.add(&number, unit_ns)?;
        let next = after.strip_prefix(',').filter(|rest| rest.starts_with(is_space)).unwrap_or(after);
        text = next.trim_start_matches(is_space);
        if after.is_empty() {
            return Ok(sum.ns);
        }
        // Also what ends in a space or a comma: something is missing there.
        if text.is_empty() {
            return Err(InvalidDuration::Form);
        }
    }
}

/// What follows the `P` of a duration of ISO 8601.
fn iso_8601(text: &str) -> Result<u128, InvalidDuration> {
    let upper = text.to_ascii_uppercase();
    let (days, time) = match upper.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (&*upper, None),
    };
    let mut sum = Sum::default();
    let has_calendar_unit = sum.add_iso(days, &ISO_DAYS)?;
    if has_calendar_unit {
        return Err(InvalidDuration::CalendarUnit);
    }
    if time.is_some_and(str::is_empty) || sum.add_iso(time.unwrap_or_default(), &ISO_TIME)? || sum.is_empty()
    {
        return Err(InvalidDuration::Form);
    }
    Ok(sum.ns)
}

/// Nanoseconds of one unit after the other.
#[derive(Default)]
struct Sum {
    ns: u128,
    /// The last unit, and whether its number had a fraction.
    last: Option<(u128, bool)>,
}

impl Sum {
    fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    fn add(&mut self, number: &Number<'_>, unit_ns: u128) -> Result<(), InvalidDuration> {
        match self.last {
            Some((last_ns, _)) if unit_ns >= last_ns => return Err(InvalidDuration::Order),
            Some((_, true)) => return Err(InvalidDuration::Fraction),
            _ => {}
        }
        let sum = number.times(unit_ns).and_then(|ns| self.ns.checked_add(ns));
        self.ns = sum.ok_or(InvalidDuration::OutOfRange)?;
        self.last = Some((unit_ns, number.fraction.is_some()));
        Ok(())
    }

    /// Adds numbers that have one letter each for a unit. Returns whether it met one for a month or a year.
    fn add_iso(&mut self, mut text: &str, units: &[(char, u128)]) -> Result<bool, InvalidDuration> {
        while !text.is_empty() {
            let (number, rest) = Number::split(text)?;
            let mut letters = rest.chars();
            let letter = letters.next().ok_or(InvalidDuration::Form)?;
            match units.iter().find(|unit| unit.0 == letter) {
                Some((_, unit_ns)) => self.add(&number, *unit_ns)?,
                None if matches!(letter, 'Y' | 'M') => return Ok(true),
                None if letter == ',' => return Err(InvalidDuration::Comma),
                None => return Err(InvalidDuration::Form),
            }
            text = letters.as_str();
        }
        Ok(false)
    }
}

/// A decimal number without a sign.
struct Number<'a> {
    text: &'a str,
    whole: &'a str,
    fraction: Option<&'a str>,
}

impl<'a> Number<'a> {
    /// The number with which a text begins, and the text after it.
    fn split(text: &'a str) -> Result<(Self, &'a str), InvalidDuration> {
        let digits =
            |text: &'a str| text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest.strip_prefix('.').map(digits) {
            Some((fraction, rest)) => (Some(fraction), rest),
            None => (None, rest),
        };
        if whole.is_empty() || fraction.is_some_and(str::is_empty) {
            return Err(InvalidDuration::Form);
        }
        Ok((Number { text: &text[..text.len() - rest.len()], whole, fraction }, rest))
    }

    /// What follows the space between a number and its unit. What would make another number of it is refused.
    fn rest_after(&self, rest: &'a str) -> Result<&'a str, InvalidDuration> {
        let mut chars = rest.chars();
        match (chars.next(), chars.next()) {
            (Some(','), _) => Err(InvalidDuration::Comma),
            (Some(':'), Some('0'..='9')) => Err(InvalidDuration::TimeOfDay),
            (Some('.'), _) => Err(InvalidDuration::Form),
            _ => Ok(rest.trim_start_matches(is_space)),
        }
    }

    /// So many nanoseconds of a unit, rounded up; `None` if they are too many.
    fn times(&self, unit_ns: u128) -> Option<u128> {
        // So many digits times the longest unit fit. Of those behind them it counts whether there are any.
        const DIGITS: usize = 22;
        let whole: u128 = self.whole.parse().ok()?;
        let fraction = self.fraction.unwrap_or_default();
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
        let first = digits.fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let has_rest = fraction.bytes().skip(DIGITS).any(|digit| digit != b'0');
        let part_ns = ((first + u128::from(has_rest)) * unit_ns).div_ceil(10_u128.pow(DIGITS as u32));
        whole.checked_mul(unit_ns)?.checked_add(part_ns)
    }
}

/// The letters with which a text begins, and the text after them.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len()))
}

fn unit(name: &str) -> Option<u128> {
    let singular = name.strip_suffix('s').unwrap_or(name);
    let mut units = UNITS.iter();
    units.find(|(symbols, names, _)| symbols.contains(&name) || names.contains(&singular)).map(|unit| unit.2)
}

fn wrong_unit(number: &Number<'_>, name: &str, after: &str, is_first: bool) -> InvalidDuration {
    let singular = name.strip_suffix('s').unwrap_or(name);
    match name {
        "" if after.is_empty() || !is_first || after.starts_with(|c: char| c.is_ascii_digit()) => {
            InvalidDuration::NoUnit { number: number.text.to_owned() }
        }
        "" => InvalidDuration::Form,
        _ if CALENDAR_UNITS.contains(&singular) => InvalidDuration::CalendarUnit,
        _ => InvalidDuration::Unit { unit: name.to_owned() },
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // What is read, and what is refused with which words, is tested in the program, which reads its delays with this.

    #[test]
    fn a_duration_is_written_in_one_way() {
        for (us, text) in [
            (0, "0s"),
            (1, "1us"),
            (1_500, "1ms500us"),
            (5_000_000, "5s"),
            (90_000_000, "1m30s"),
            (86_400_000_000, "24h"),
            (5_400_000_000, "1h30m"),
        ] {
            assert_eq!(DurationText(us).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        for (text, said) in [
            ("", "is not a duration"),
            ("5", "has no unit after 5; write \"5s\" for seconds"),
            ("5x\n", "has \"x\" for a unit"),
            ("1M", "has \"M\" for a unit"),
            ("1 month", "has a unit without a fixed length"),
            ("1,5s", "has a comma in a number"),
            ("1m1h", "a smaller one before a larger"),
            ("1.5h1m", "has a fraction before its last unit"),
            ("1:30", "reads like a time of day"),
            ("-1s", "is negative"),
            ("999999999999999w", "is out of range"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_read_as_it_was_written(us in 0..=i64::MAX as u64) {
            prop_assert_eq!(parse_duration(&DurationText(us).to_string()), Ok(Duration::from_micros(us)));
        }
    }
}
