//! Times as JSON numbers: seconds, read digit by digit.

use std::time::Duration;

use reveille::Timestamp;

use super::{DelayFault, InstantFault, Rfc3339, TimeError, civil_of};
use crate::jsonl::text::Brief;

/// Digits of a second that count.
const SECOND_DIGITS: i64 = 6;

/// Reads an instant that is the text of a JSON number: seconds since the epoch, negative before it.
pub(crate) fn parse_epoch_seconds(number: &str) -> Result<Timestamp, TimeError> {
    let instant = decimal_micros(number, SECOND_DIGITS).and_then(instant);
    instant.ok_or_else(|| {
        let fault = other_unit(number).unwrap_or(InstantFault::OutOfRange);
        fault.of(Brief::number(number))
    })
}

/// The instant, if it can be written back as a date.
fn instant(us: i64) -> Option<Timestamp> {
    civil_of(us).is_some().then_some(Timestamp::from_micros(us))
}

/// What a number that is no second of the calendar is in another unit. There is one at most: seconds end with the year
/// 9999, and as many milliseconds ended in 1978.
fn other_unit(number: &str) -> Option<InstantFault> {
    // A number of seconds, and one of milliseconds before that.
    const SINCE_US: i64 = 253_402_300_800 * 1_000;
    let units = [("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)];
    units.into_iter().find_map(|(unit, digits)| {
        let us = decimal_micros(number, SECOND_DIGITS - digits).filter(|us| *us >= SINCE_US)?;
        let instant = Rfc3339(instant(us)?);
        let seconds = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        let seconds = seconds.trim_end_matches('0').trim_end_matches('.').to_owned();
        Some(InstantFault::NotSeconds { unit, seconds, instant })
    })
}

/// Reads a delay that is the text of a JSON number: seconds.
pub(crate) fn parse_delay_seconds(number: &str) -> Result<Duration, TimeError> {
    let fault = |fault: DelayFault| fault.of(Brief::number(number));
    // A negative delay that rounds up to none is negative all the same.
    if number.starts_with('-')
        && number.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(is_nonzero)
    {
        return Err(fault(DelayFault::Negative));
    }
    let us = decimal_micros(number, SECOND_DIGITS).and_then(|us| u64::try_from(us).ok());
    us.map(Duration::from_micros).ok_or_else(|| fault(DelayFault::OutOfRange))
}

/// The number times ten to the power of `digits`, rounded up; `None` when that does not fit. `number` has the form of a
/// JSON number.
fn decimal_micros(number: &str, digits: i64) -> Option<i64> {
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        // An exponent that does not fit is as good as an infinite one: what counts is its sign.
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(extreme_of(exponent))),
        None => (number, 0_i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many of the mantissa's digits stand before the point once it counts microseconds.
    let point = exponent.saturating_add(whole.len() as i64).saturating_add(digits);
    let mut us: i64 = 0;
    let mut has_rest = false;
    let mut digits_read: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if digits_read < point {
            us = us.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        } else {
            has_rest |= is_nonzero(digit);
        }
        digits_read += 1;
    }
    // Zeros that an exponent adds. Of a number that is not zero it takes 19 to overflow, so this is soon over.
    while us != 0 && digits_read < point {
        us = us.checked_mul(10)?;
        digits_read += 1;
    }
    // Up is towards zero for what is negative.
    if is_negative { us.checked_neg() } else { us.checked_add(i64::from(has_rest)) }
}

fn extreme_of(exponent: &str) -> i64 {
    if exponent.starts_with('-') { i64::MIN } else { i64::MAX }
}

fn is_nonzero(digit: u8) -> bool {
    (b'1'..=b'9').contains(&digit)
}
