//! Times as people and programs write them, and as `run` writes them back.
//!
//! # Rules
//! - Nothing is guessed. What could mean two things is refused, and the message says what to write instead.
//! - Fractions of a microsecond are rounded up: an instant is never earlier, and a delay never shorter, than
//!   written.
//! - Numbers are read digit by digit, not as floating point: `1796094000.000001` is exactly that microsecond.
//! - An instant is written in one way only: RFC 3339, UTC, six digits.

mod delay;
mod instant;
mod number;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{DateTime, datetime};
use reveille::Timestamp;

use super::text::Brief;

pub(crate) use delay::parse_delay;
pub(crate) use instant::parse_instant;
pub(crate) use number::{parse_delay_seconds, parse_epoch_seconds};

/// The date and time, in UTC, from which instants are counted.
const EPOCH: DateTime = datetime(1970, 1, 1, 0, 0, 0, 0);

/// Why a text or a number is not a time. Shows only a short piece of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TimeError {
    #[error("{text} {fault}")]
    Instant { text: Brief, fault: InstantFault },
    #[error("{text} {fault}")]
    Delay { text: Brief, fault: DelayFault },
}

/// What is wrong with an instant, and what to write. Continues a sentence that begins with the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum InstantFault {
    #[error(
        "is not a time; write RFC 3339 with an offset, as \"2026-12-01T10:00:00+07:00\", or the number of seconds since \
         1970"
    )]
    Form,
    #[error("is a number in quotes; write it without them: {0}")]
    Quoted(Brief),
    #[error(
        "has no time of day; write hours, minutes and seconds after the date, and an offset, as \"T10:00:00+07:00\""
    )]
    NoTimeOfDay,
    #[error("has no seconds; write hours, minutes and seconds, as \"10:00:00\"")]
    NoSeconds,
    #[error("has a comma before the fraction of the second; write a point")]
    Comma,
    #[error("has no offset from UTC; add Z for UTC, or the offset of the place, as \"+07:00\"")]
    NoOffset,
    #[error(
        "ends in {0}, which is no offset from UTC; write Z, or hours and minutes from -23:59 to +23:59, as \"+07:00\""
    )]
    Offset(Brief),
    #[error("is not a time: there is no such date")]
    Date,
    #[error("is not a time: a day has no such hour, minute or second")]
    TimeOfDay,
    #[error("is not a time: the last second of a day is 23:59:59; write 00:00:00 of the next day")]
    Hour24,
    #[error(
        "is not a time: there is a second 60 in the last minute of a month only, which is 23:59 in UTC; write the second \
         that is meant"
    )]
    LeapSecond,
    #[error("ends in {0}, which is no time zone; write a name such as [Europe/Berlin], or the offset alone")]
    Zone(Brief),
    #[error(
        "does not agree with its time zone, which is at {at} then; correct the offset, or leave one of the two out"
    )]
    Disagrees { at: Shift },
    #[error(
        "does not exist in its time zone: clocks are put forward over it, from {before} to {after}; write a time that \
         clocks there show"
    )]
    Gap { before: Shift, after: Shift },
    #[error(
        "happens twice in its time zone: clocks are put back over it; say which one with {before} or {after} after the time"
    )]
    Twice { before: Shift, after: Shift },
    #[error("is out of range; a time lies in the years -9999 to 9999")]
    OutOfRange,
    #[error("looks like {unit} since 1970; write seconds: {seconds} ({instant})")]
    NotSeconds { unit: &'static str, seconds: String, instant: Rfc3339 },
}

/// What is wrong with a delay, and what to write. Continues a sentence that begins with the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DelayFault {
    #[error(
        "is not a delay; write a number of seconds, or numbers with units (w, d, h, m, s, ms, us, ns), as \"1.5s\", \
         \"200ms\" or \"1h30m\""
    )]
    Form,
    #[error(
        "has no unit after {number}; write \"{number}s\" for seconds, or another of w, d, h, m, s, ms, us, ns"
    )]
    NoUnit { number: Brief },
    #[error("has {unit} for a unit; the units of a delay are w, d, h, m, s, ms, us, ns, as in \"1h30m\"")]
    Unit { unit: Brief },
    #[error("has a unit without a fixed length; write days, as \"30d\"")]
    CalendarUnit,
    #[error(
        "has a comma in a number, which some read as a point and others not at all; write \"2000s\", or \"2.5s\""
    )]
    Comma,
    #[error(
        "has units twice, or a smaller one before a larger; write each once, the largest first, as \"1h30m\""
    )]
    Order,
    #[error("has a fraction before its last unit; write it out, as \"1h30m\" for 1.5 hours")]
    Fraction,
    #[error("reads like a time of day; write a delay with units, as \"1h30m\", or an instant as `at`")]
    TimeOfDay,
    #[error("is negative; write 0 for at once")]
    Negative,
    #[error("is out of range; a delay is shorter than 292,000 years")]
    OutOfRange,
}

impl InstantFault {
    fn of(self, text: Brief) -> TimeError {
        TimeError::Instant { text, fault: self }
    }
}

impl DelayFault {
    fn of(self, text: Brief) -> TimeError {
        TimeError::Delay { text, fault: self }
    }
}

/// An offset from UTC, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shift(i32);

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, seconds) = (if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs());
        write!(f, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)?;
        // Zones had such offsets when they still kept their local mean time.
        if seconds % 60 != 0 { write!(f, ":{:02}", seconds % 60) } else { Ok(()) }
    }
}

/// The microseconds since the epoch at which a clock that is set to UTC shows `civil`, whose fraction is left out.
fn micros_of(civil: DateTime) -> i64 {
    civil.duration_since(EPOCH).as_secs() * 1_000_000
}

/// What a clock that is set to UTC shows at an instant; `None` beyond the years that can be written.
fn civil_of(us: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_micros(us)).ok()
}

/// An instant as `run` writes it: `2026-12-01T03:00:00.000000Z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The readers and the horizon let no instant beyond the year 9999 in. If one comes from elsewhere, the last instant
        // that can be read back is better than a panic.
        let (first, last) = (micros_of(DateTime::MIN), micros_of(DateTime::MAX) + 999_999);
        fmt::Display::fmt(&Timestamp::from_micros(self.0.as_micros().clamp(first, last)), f)
    }
}

impl serde::Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
