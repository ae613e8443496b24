//! Times, against the letter of RFC 3339, the digits of a number, and another parser's view of a delay.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::civil::{DateTime, datetime};
use jiff::{Span, SpanRelativeTo, ZonedDateTime};
use reveille::Timestamp;

use crate::jsonl::time::{
    DelayFault, Rfc3339, TimeError, parse_delay, parse_delay_seconds, parse_epoch_seconds, parse_instant,
};

/// The symbols of a delay's units, and their nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

const DELAY_NS_MAX: u128 = i64::MAX as u128 * 1_000;

/// A line as a time itself, so that it takes a fuzzer less to write one.
pub(super) fn check(text: &str) {
    let _ = (instant("", Some(text)), delay("", Some(text)));
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        let _ = (instant(text, None), delay(text, None));
    }
}

/// Reads an instant, from text or else from the number that `json` is, and checks what was read.
pub(super) fn instant(json: &str, text: Option<&str>) -> Result<Timestamp, TimeError> {
    let result = match text {
        Some(text) => {
            let result = parse_instant(text);
            check_instant(text, &result);
            result
        }
        None => {
            let result = parse_epoch_seconds(json);
            check_number(json, result.as_ref().ok().map(|instant| instant.as_micros()), instants());
            result
        }
    };
    match &result {
        Ok(instant) => assert_eq!(parse_instant(&Rfc3339(*instant).to_string()), Ok(*instant)),
        Err(error) => super::check_message(&error.to_string()),
    }
    result
}

/// Reads a delay, from text or else from the number that `json` is, and checks what was read.
pub(super) fn delay(json: &str, text: Option<&str>) -> Result<Duration, TimeError> {
    let result = match text {
        Some(text) => {
            let result = parse_delay(text);
            check_delay(text, &result);
            result
        }
        None => {
            let result = parse_delay_seconds(json);
            let us = result.as_ref().ok().map(|delay| i64::try_from(delay.as_micros()).expect("it fits"));
            match result {
                Err(TimeError::Delay { fault: DelayFault::Negative, .. }) => assert!(json.starts_with('-')),
                _ => check_number(json, us, i64::MIN.into()..=i64::MAX.into()),
            }
            result
        }
    };
    if let Err(error) = &result {
        super::check_message(&error.to_string());
    }
    result
}

/// What can be written as a date, in microseconds.
fn instants() -> RangeInclusive<i128> {
    let seconds = |date: DateTime| date.duration_since(datetime(1970, 1, 1, 0, 0, 0, 0)).as_secs();
    let micros = |date| i128::from(seconds(date)) * 1_000_000;
    micros(DateTime::MIN)..=micros(DateTime::MAX) + 999_999
}

/// `us` is what was read of a number of seconds that must lie in `range`.
fn check_number(number: &str, us: Option<i64>, range: RangeInclusive<i128>) {
    let exact = decimal_micros(number).map(|us| (us, range.contains(&us)));
    match (exact, us) {
        (Some((exact, is_in_range)), us) => {
            assert_eq!(us.map(i128::from), is_in_range.then_some(exact), "{number}");
        }
        (None, us) => {
            let about = number.parse::<f64>().expect("a number of JSON is one of Rust") * 1e6;
            let error = 2.0 + about.abs() * 1e-15;
            match us {
                Some(us) => assert!((about - us as f64).abs() <= error, "{number}: {us}"),
                None => {
                    let is_in_range =
                        about - error > *range.start() as f64 && about + error < *range.end() as f64;
                    assert!(!is_in_range, "{number}");
                }
            }
        }
    }
}

/// The microseconds of a number of seconds, rounded up, if it has few digits and no exponent.
fn decimal_micros(number: &str) -> Option<i128> {
    const DIGITS_MAX: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction:0<DIGITS_MAX$}").parse().ok()?;
    let is_short = whole.len() <= DIGITS_MAX && fraction.len() <= DIGITS_MAX;
    is_short.then_some(-(-digits).div_euclid(10_i128.pow(DIGITS_MAX as u32 - 6)))
}

fn check_instant(text: &str, result: &Result<Timestamp, TimeError>) {
    if let Some(us) = rfc3339_micros(text) {
        let expected = us.filter(|us| instants().contains(us));
        assert_eq!(result.as_ref().ok().map(|instant| instant.as_micros().into()), expected, "{text}");
        return;
    }
    let nanos = if text.contains('[') {
        text.parse::<ZonedDateTime>().map(|date| date.timestamp())
    } else {
        text.parse::<jiff::Timestamp>()
    };
    if let (Ok(instant), Ok(nanos)) = (result, nanos) {
        let later_ns = i128::from(instant.as_micros()) * 1_000 - nanos.as_nanosecond();
        let is_leap_second = text.strip_prefix("-00").unwrap_or(text)[17..].starts_with("60");
        assert_eq!(later_ns.div_euclid(1_000), if is_leap_second { 1_000_000 } else { 0 }, "{text}");
    }
}

/// The microseconds of an instant, rounded up, `Some(None)` if there is no such date, and `None` if it does not have the
/// form of RFC 3339, but for years before 0.
fn rfc3339_micros(text: &str) -> Option<Option<i128>> {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let (era, text) = text.strip_prefix("-00").map_or((1, text), |text| (-1, text));
    let (clock, rest) = text.split_at_checked(FORM.len())?;
    let has_form = clock.bytes().zip(FORM).all(|(byte, &form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte.eq_ignore_ascii_case(&form),
    });
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    if !has_form || fraction.is_empty() {
        return None;
    }
    let offset_seconds = i128::from(offset_seconds(offset)?);
    let has_more = fraction.bytes().skip(6).any(|digit| digit != b'0');
    let fraction_us = format!("{fraction:0<6}")[..6].parse::<i128>().ok()? + i128::from(has_more);
    let number = |range: Range<usize>| clock[range].parse::<i8>().unwrap_or(0);
    let (year, second) = (clock[..4].parse::<i16>().ok()?, number(17..19));
    if (era, year) == (-1, 0) {
        return None;
    }
    let date = DateTime::new(
        era * year,
        number(5..7),
        number(8..10),
        number(11..13),
        number(14..16),
        if second == 60 { 59 } else { second },
        0,
    );
    Some(date.ok().and_then(|date| {
        let seconds = date.duration_since(datetime(1970, 1, 1, 0, 0, 0, 0)).as_secs();
        let seconds = i128::from(seconds) + i128::from(second == 60) - offset_seconds;
        let is_there = second != 60 || starts_month(i64::try_from(seconds).ok()?);
        is_there.then_some(seconds * 1_000_000 + fraction_us)
    }))
}

/// Whether a month begins at that second in UTC, as it does after a leap second.
fn starts_month(seconds: i64) -> bool {
    let date = datetime(1970, 1, 1, 0, 0, 0, 0).checked_add(Span::new().seconds(seconds));
    date.is_ok_and(|date| date.day() == 1 && date.time() == jiff::civil::Time::midnight())
}

/// `Z`, `+07:00`, `-03:30`.
fn offset_seconds(offset: &str) -> Option<i64> {
    if offset.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = offset[1..].split_once(':').filter(|(h, m)| two_digits(h) && two_digits(m))?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn check_delay(text: &str, result: &Result<Duration, TimeError>) {
    if let Some(ns) = one_unit_ns(text) {
        let expected = (ns <= DELAY_NS_MAX).then_some(ns);
        assert_eq!(result.as_ref().ok().map(Duration::as_nanos), expected, "{text}");
    }
    // It takes more than we do, but where both take a text they read the same.
    let Ok(expected) = text.parse::<Span>() else { return };
    let Ok(expected) = expected.to_duration(SpanRelativeTo::days_are_24_hours()) else { return };
    match result {
        Ok(delay) => assert_eq!(i128::try_from(delay.as_nanos()), Ok(expected.as_nanos()), "{text}"),
        Err(TimeError::Delay { fault: DelayFault::Negative, .. }) => {
            assert!(text.contains('-') || text.ends_with("ago"), "{text}");
        }
        Err(_) => {}
    }
}

/// The nanoseconds of a whole number of one unit, such as `90s`.
fn one_unit_ns(text: &str) -> Option<u128> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u128>().ok()?.checked_mul(*unit_ns)
}
