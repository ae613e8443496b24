//! Times, against the letter of RFC 3339, the digits of a number, and another parser's view of a delay.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{DateTime, datetime};
use reveille::Timestamp;

use crate::jsonl::time::{
    Rfc3339, TimeError, parse_delay, parse_delay_seconds, parse_epoch_seconds, parse_instant,
};

/// The most that each unit of a delay can be.
const DELAY_MAX: SignedDuration = SignedDuration::from_secs(631_107_417_600);

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
                Err(TimeError::Negative(_)) => assert!(json.starts_with('-')),
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

/// What can be written as a date, in microseconds. Of the last second the printer takes the beginning only.
fn instants() -> RangeInclusive<i128> {
    let micros = |seconds: i64| i128::from(seconds) * 1_000_000;
    micros(jiff::Timestamp::MIN.as_second())..=micros(jiff::Timestamp::MAX.as_second())
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
    } else if let (Ok(instant), Ok(nanos)) = (result, text.parse::<jiff::Timestamp>()) {
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
    // The parser knows no finer ones.
    if !has_form || !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let offset_seconds = i128::from(offset_seconds(offset)?);
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
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
    Some(date.ok().map(|date| {
        let seconds = date.duration_since(datetime(1970, 1, 1, 0, 0, 0, 0)).as_secs();
        let seconds = i128::from(seconds) + i128::from(second == 60) - offset_seconds;
        seconds * 1_000_000 - (-nanos).div_euclid(1_000)
    }))
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
    // It knows neither days nor weeks.
    let Ok(expected) = text.parse::<SignedDuration>() else { return };
    match result {
        Ok(delay) => assert_eq!(i128::try_from(delay.as_nanos()), Ok(expected.as_nanos()), "{text}"),
        Err(TimeError::Negative(_)) => assert!(expected.is_negative(), "{text}"),
        Err(TimeError::OutOfRange(_)) => assert!(expected.abs() > DELAY_MAX, "{text}"),
        Err(error) => panic!("{error}"),
    }
}
