//! Instants as text: RFC 3339, to the letter, with or without the name of a time zone in brackets after it.
//!
//! # Rules
//! - The offset decides. A zone beside it must have that offset at that time; a zone in place of it must leave no doubt.
//! - `Z` and `-00:00` say nothing about the place (RFC 9557), so a zone beside them has nothing to disagree with.
//! - A leap second is read as the second after it. As the one before it would be early.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use reveille::Timestamp;
use serde_json::value::RawValue;

use super::{InstantFault, Shift, TimeError, civil_of, micros_of, number};
use crate::jsonl::text::Brief;

const MINUTE_US: i64 = 60 * 1_000_000;

/// Reads an instant.
pub(crate) fn parse_instant(text: &str) -> Result<Timestamp, TimeError> {
    match read(text) {
        Ok(us) => Ok(Timestamp::from_micros(us)),
        Err(InstantFault::Form) => Err(quoted_number(text)),
        Err(fault) => Err(fault.of(Brief::new(text))),
    }
}

/// What to say of a text that has not the form of a time: it may be a number, and that one of another unit.
fn quoted_number(text: &str) -> TimeError {
    let has_ends = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit());
    let is_number = has_ends && serde_json::from_str::<&RawValue>(text).is_ok();
    match is_number.then(|| number::parse_epoch_seconds(text)) {
        Some(Ok(_)) => InstantFault::Quoted(Brief::number(text)).of(Brief::new(text)),
        Some(Err(error)) => error,
        None => InstantFault::Form.of(Brief::new(text)),
    }
}

/// What the text says, piece by piece, as it was written.
struct Written<'a> {
    /// With the second 59 for a leap second.
    civil: DateTime,
    is_leap_second: bool,
    fraction_us: i64,
    offset: Option<&'a str>,
    zone: Option<&'a str>,
}

/// The microseconds since the epoch.
fn read(text: &str) -> Result<i64, InstantFault> {
    let written = split(text)?;
    let zone = written.zone.map(|name| zone(name).ok_or_else(|| InstantFault::Zone(in_brackets(name))));
    let zone = zone.transpose()?;
    let offset = match written.offset {
        None => None,
        Some(text) => Some(offset(text).ok_or_else(|| InstantFault::Offset(Brief::new(text)))?),
    };
    let shift = match (offset, zone) {
        (None, None) => return Err(InstantFault::NoOffset),
        (Some(offset), None) => offset.unwrap_or(0),
        (Some(None), Some(_)) => 0,
        (Some(Some(shift)), Some(zone)) => agreed(shift, &zone, written.civil)?,
        (None, Some(zone)) => unambiguous(&zone, written.civil)?,
    };
    let second_us = micros_of(written.civil) - i64::from(shift) * 1_000_000;
    if written.is_leap_second && !may_precede_leap_second(second_us) {
        return Err(InstantFault::LeapSecond);
    }
    let us = second_us + i64::from(written.is_leap_second) * 1_000_000 + written.fraction_us;
    civil_of(us).is_some().then_some(us).ok_or(InstantFault::OutOfRange)
}

fn split(text: &str) -> Result<Written<'_>, InstantFault> {
    let (is_before_0, from_year) = match text.strip_prefix("-00") {
        // As a year before 0 is written back. It is not in RFC 3339: but what is written must be readable.
        Some(rest) if !rest.starts_with("0000") => (true, rest),
        Some(_) => return Err(InstantFault::Form),
        None => (false, text),
    };
    let ([year, month, day], rest) = fields(from_year, b"0000-00-00").ok_or(InstantFault::Form)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        let is_date = rest.is_empty() || rest == "Z" || offset(rest).is_some();
        return Err(if is_date { InstantFault::NoTimeOfDay } else { InstantFault::Form });
    };
    let Some(([hour, minute, second], rest)) = fields(rest, b"00:00:00") else {
        let is_short = fields::<2>(rest, b"00:00")
            .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_ascii_digit() || c == ':'));
        return Err(if is_short { InstantFault::NoSeconds } else { InstantFault::Form });
    };
    let is_leap_second = second == 60;
    let civil = civil(
        [if is_before_0 { -year } else { year }, month, day],
        [hour, minute, if is_leap_second { 59 } else { second }],
    )?;
    let (fraction_us, rest) = fraction(rest)?;
    let (offset, zone) = match rest.split_once('[') {
        None => (rest, None),
        Some((offset, zone)) => {
            let name = zone.strip_suffix(']').filter(|name| !name.contains(['[', ']']));
            (offset, Some(name.ok_or_else(|| InstantFault::Zone(Brief::new(&rest[offset.len()..])))?))
        }
    };
    Ok(Written { civil, is_leap_second, fraction_us, offset: (!offset.is_empty()).then_some(offset), zone })
}

/// The numbers at the beginning of a text that has the form `form`, and the text after them.
fn fields<'a, const N: usize>(text: &'a str, form: &[u8]) -> Option<([i16; N], &'a str)> {
    let (head, rest) = text.split_at_checked(form.len())?;
    let has_form = form.iter().zip(head.bytes()).all(|(form, byte)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => *form == byte,
    });
    let numbers: Option<Vec<i16>> = head.split(['-', ':']).map(|number| number.parse().ok()).collect();
    Some((numbers.filter(|_| has_form)?.try_into().ok()?, rest))
}

fn civil([year, month, day]: [i16; 3], [hour, minute, second]: [i16; 3]) -> Result<DateTime, InstantFault> {
    if (hour, minute, second) == (24, 0, 0) {
        return Err(InstantFault::Hour24);
    }
    // All have two digits.
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|number| number as i8);
    let midnight = DateTime::new(year, month, day, 0, 0, 0, 0).map_err(|_| InstantFault::Date)?;
    let time = midnight.with().hour(hour).minute(minute).second(second).build();
    time.map_err(|_| InstantFault::TimeOfDay)
}

/// The microseconds of a fraction of a second, rounded up, if there is one, and the text after it.
fn fraction(text: &str) -> Result<(i64, &str), InstantFault> {
    const DIGITS: usize = 6;
    let Some(text) = text.strip_prefix('.') else {
        return if text.starts_with(',') { Err(InstantFault::Comma) } else { Ok((0, text)) };
    };
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    if digits.is_empty() {
        return Err(InstantFault::Form);
    }
    let us = digits.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
    let us = us.fold(0, |us, digit| us * 10 + i64::from(digit - b'0'));
    let has_rest = digits.bytes().skip(DIGITS).any(|digit| digit != b'0');
    Ok((us + i64::from(has_rest), rest))
}

/// The seconds of `Z` or `+07:00`, as `Some(None)` if the text leaves the place open; `None` if it is neither.
#[expect(
    clippy::option_option,
    reason = "an offset that is there and says nothing is another thing than none"
)]
fn offset(text: &str) -> Option<Option<i32>> {
    if text.eq_ignore_ascii_case("Z") || text == "-00:00" {
        return Some(None);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let ([hours, minutes], rest) = fields(rest, b"00:00")?;
    let is_in_range = hours < 24 && minutes < 60 && rest.is_empty();
    is_in_range.then_some(Some(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)))
}

/// A zone by its name, or by an offset that it always has.
fn zone(name: &str) -> Option<TimeZone> {
    // The mark of a zone that must be heeded, as every one is.
    let name = name.strip_prefix('!').unwrap_or(name);
    if let Some(shift) = offset(name).flatten() {
        return Offset::from_seconds(shift).ok().map(Offset::to_time_zone);
    }
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
}

fn in_brackets(name: &str) -> Brief {
    Brief::new(&format!("[{name}]"))
}

/// The offset, if it is one that the zone has when clocks there show `civil`.
fn agreed(shift: i32, zone: &TimeZone, civil: DateTime) -> Result<i32, InstantFault> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } if offset.seconds() == shift => Ok(shift),
        AmbiguousOffset::Fold { before, after } if [before, after].iter().any(|at| at.seconds() == shift) => {
            Ok(shift)
        }
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            Err(InstantFault::Disagrees { at: Shift(offset.seconds()) })
        }
        AmbiguousOffset::Gap { before, after } => Err(gap(before, after)),
    }
}

/// The offset that the zone has when clocks there show `civil`, if it has one only.
fn unambiguous(zone: &TimeZone, civil: DateTime) -> Result<i32, InstantFault> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(offset.seconds()),
        AmbiguousOffset::Gap { before, after } => Err(gap(before, after)),
        AmbiguousOffset::Fold { before, after } => {
            Err(InstantFault::Twice { before: Shift(before.seconds()), after: Shift(after.seconds()) })
        }
    }
}

fn gap(before: Offset, after: Offset) -> InstantFault {
    InstantFault::Gap { before: Shift(before.seconds()), after: Shift(after.seconds()) }
}

/// Whether the second that begins then is the last regular one of a month in UTC.
fn may_precede_leap_second(us: i64) -> bool {
    let month = |us| civil_of(us).map(DateTime::month);
    let next = us + 1_000_000;
    next % (24 * 60 * MINUTE_US) == 0 && month(us) != month(next)
}
