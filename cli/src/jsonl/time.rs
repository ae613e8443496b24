//! Times as people and programs write them, and as `run` writes them back.
//!
//! # Rules
//! - What is finer than a microsecond is rounded up: an instant is never earlier, and a delay never shorter, than the
//!   one that was written.
//! - Numbers are read digit by digit, not as floating point: `1796094000.000001` is exactly that microsecond.
//! - An instant is written in one way only: RFC 3339, UTC, six digits.

use std::fmt;
use std::time::Duration;

use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::{Span, SpanRelativeTo, ZonedDateTime};
use reveille::Timestamp;

use super::text::Brief;

/// Why a text or a number is no time. Shows no more of it than a line can bear.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TimeError {
    #[error(
        "{0} is not a time; write RFC 3339 with an offset, as \"2026-12-01T10:00:00+07:00\", or the number of seconds \
         since 1970"
    )]
    NotAnInstant(Brief),
    #[error(
        "{0} is not a delay; write a number of seconds, or a number with a unit (ns, us, ms, s, m, h, d), as \"1.5s\", \
         \"200ms\" or \"1h30m\""
    )]
    NotADelay(Brief),
    #[error("the delay {0} is negative; use 0 to fire at once")]
    Negative(Brief),
    #[error(
        "{0} is out of range; a time lies in the years -9999 to 9999, a delay is shorter than 19,998 years"
    )]
    OutOfRange(Brief),
}

/// Reads an instant: RFC 3339, with or without a time zone in brackets after it.
pub(crate) fn parse_instant(text: &str) -> Result<Timestamp, TimeError> {
    let invalid = || TimeError::NotAnInstant(Brief::new(text));
    let clock = from_year(text).filter(|text| has_clock_of_rfc3339(text)).ok_or_else(invalid)?;
    // With a zone the offset must be one that the zone has at that time. Read as a timestamp the zone would be ignored.
    let instant = if text.contains('[') {
        text.parse::<ZonedDateTime>().map_err(|_| invalid())?.timestamp()
    } else {
        text.parse::<jiff::Timestamp>().map_err(|_| invalid())?
    };
    // A leap second is read as the second before it, which would be early. The second after it is not.
    let leap_us = if &clock[17..19] == "60" { 1_000_000 } else { 0 };
    let us = ceil_micros(instant.as_nanosecond()) + leap_us;
    i64::try_from(us).ok().and_then(writable).ok_or_else(|| TimeError::OutOfRange(Brief::new(text)))
}

/// The instant, if it can be written back as a date.
fn writable(us: i64) -> Option<Timestamp> {
    jiff::Timestamp::from_microsecond(us).is_ok().then_some(Timestamp::from_micros(us))
}

/// The text from the four digits of its year on. A year before 0 is written as `-001199`, which is not in RFC 3339: but
/// what is written must be readable.
fn from_year(text: &str) -> Option<&str> {
    if text.starts_with('-') { text.strip_prefix("-00") } else { Some(text) }
}

/// Whether the text begins as `2026-12-01T10:00:00`. The parser takes more than RFC 3339 does (no seconds, no colons),
/// and what it reads as a leap second could then not be told.
fn has_clock_of_rfc3339(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    bytes.len() > FORM.len()
        && FORM.iter().zip(bytes).all(|(form, byte)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            _ => form == byte,
        })
}

/// Reads an instant that is the text of a JSON number: seconds since the epoch, negative before it.
pub(crate) fn parse_epoch_seconds(number: &str) -> Result<Timestamp, TimeError> {
    decimal_micros(number).and_then(writable).ok_or_else(|| TimeError::OutOfRange(Brief::new(number)))
}

/// Reads a delay: `1.5s`, `1h30m`, `2 days`, or ISO 8601 as `PT90S`. A day has 24 hours, a week seven of them.
pub(crate) fn parse_delay(text: &str) -> Result<Duration, TimeError> {
    let invalid = || TimeError::NotADelay(Brief::new(text));
    let span: Span = text.parse().map_err(|_| {
        // The parser does not tell a number that is too large from one that is none.
        let is_too_large = with_small_numbers(text).parse::<Span>().is_ok();
        if is_too_large { TimeError::OutOfRange(Brief::new(text)) } else { invalid() }
    })?;
    let delay = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| invalid())?;
    if delay.is_negative() {
        return Err(TimeError::Negative(Brief::new(text)));
    }
    Ok(delay.unsigned_abs())
}

/// The text with the first digit alone of every whole number in it.
fn with_small_numbers(text: &str) -> String {
    let mut small = String::new();
    let mut before = None;
    for c in text.chars() {
        let is_in_number = c.is_ascii_digit() && matches!(before, Some('0'..='9' | '.' | ','));
        // Once a point has been met, it stands for all digits after it, and these are kept.
        let is_in_fraction = is_in_number && matches!(before, Some('.' | ','));
        if !is_in_number || is_in_fraction {
            small.push(c);
        }
        if !is_in_fraction {
            before = Some(c);
        }
    }
    small
}

/// Reads a delay that is the text of a JSON number: seconds.
pub(crate) fn parse_delay_seconds(number: &str) -> Result<Duration, TimeError> {
    let us = decimal_micros(number).ok_or_else(|| TimeError::OutOfRange(Brief::new(number)))?;
    // A negative delay that rounds up to none is negative all the same.
    if number.starts_with('-')
        && number.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(is_nonzero)
    {
        return Err(TimeError::Negative(Brief::new(number)));
    }
    u64::try_from(us).map(Duration::from_micros).map_err(|_| TimeError::Negative(Brief::new(number)))
}

/// The microseconds of a decimal number of seconds, rounded up; `None` when they do not fit. `number` has the form of a
/// JSON number.
fn decimal_micros(number: &str) -> Option<i64> {
    const SECOND_DIGITS: i64 = 6;
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
    let point = exponent.saturating_add(whole.len() as i64).saturating_add(SECOND_DIGITS);
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

fn ceil_micros(ns: i128) -> i128 {
    -(-ns).div_euclid(1_000)
}

/// An instant as `run` writes it: `2026-12-01T03:00:00.000000Z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        // No instant beyond the year 9999 gets in: `writable` and the horizon see to that. Should one come
        // from elsewhere, the last one that has a name is nearer to the truth than a panic.
        let us = self.0.as_micros();
        let extreme = if us < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let instant = jiff::Timestamp::from_microsecond(us).unwrap_or(extreme);
        PRINTER.print_timestamp(&instant, StdFmtWrite(f)).map_err(|_| fmt::Error)
    }
}

impl serde::Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Option<i64> {
        parse_instant(text).ok().map(Timestamp::as_micros)
    }

    fn epoch(number: &str) -> Option<i64> {
        parse_epoch_seconds(number).ok().map(Timestamp::as_micros)
    }

    #[test]
    fn an_instant_is_rfc_3339() {
        let ten = Some(1_796_094_000_000_000);
        assert_eq!(instant("2026-12-01T03:00:00Z"), ten);
        assert_eq!(instant("2026-12-01t03:00:00z"), ten);
        assert_eq!(instant("2026-12-01 03:00:00.000000000Z"), ten);
        assert_eq!(instant("2026-12-01T10:00:00+07:00"), ten);
        assert_eq!(instant("2026-12-01T10:00:00+07:00[Asia/Ho_Chi_Minh]"), ten);
        assert_eq!(instant("1969-12-31T23:59:59.5Z"), Some(-500_000));
        assert_eq!(instant("-000001-12-31T00:00:00Z"), epoch("-62167305600"));
        for wrong in [
            "",
            "tomorrow",
            "2026-12-01",
            "2026-12-01T10:00:00",
            "2026-12-01T10:00+07:00",
            "20261201T100000Z",
            "-2026-12-01T10:00:00Z",
            "-000000-12-01T10:00:00Z",
            "+002026-12-01T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-12-01T25:00:00Z",
            "2026-12-01T10:00:00+07:00[Mars/Olympus]",
            // The zone does not have that offset.
            "2026-12-01T10:00:00+03:00[Asia/Ho_Chi_Minh]",
            " 2026-12-01T03:00:00Z",
            "2026-12-01T03:00:00Z ",
            "２026-12-01T03:00:00Z",
        ] {
            assert_eq!(instant(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn finer_than_a_microsecond_is_rounded_up() {
        assert_eq!(instant("1970-01-01T00:00:00.000001001Z"), Some(2));
        assert_eq!(instant("1969-12-31T23:59:59.999998999Z"), Some(-1));
        assert_eq!(epoch("0.0000010000000000000000000000000000001"), Some(2));
        assert_eq!(epoch("-0.0000019"), Some(-1));
        assert_eq!(epoch("1e-400"), Some(1));
        assert_eq!(epoch("-1e-400"), Some(0));
        assert_eq!(parse_delay("1001ns").map(|delay| delay.as_nanos()), Ok(1_001));
        assert_eq!(parse_delay_seconds("0.0000010001"), Ok(Duration::from_micros(2)));
    }

    #[test]
    fn a_leap_second_is_not_early() {
        assert_eq!(instant("2016-12-31T23:59:60Z"), instant("2017-01-01T00:00:00Z"));
        assert!(instant("2016-12-31T23:59:60.5Z") >= instant("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(epoch("0"), Some(0));
        assert_eq!(epoch("-0"), Some(0));
        assert_eq!(epoch("0e999999999999999999999"), Some(0));
        assert_eq!(epoch("1796094000.000001"), Some(1_796_094_000_000_001));
        assert_eq!(epoch("4.000003"), Some(4_000_003));
        assert_eq!(epoch("17960940e2"), Some(1_796_094_000_000_000));
        assert_eq!(epoch("1.5E+3"), Some(1_500_000_000));
        assert_eq!(epoch("15e-1"), Some(1_500_000));
        assert_eq!(epoch("-1.5"), Some(-1_500_000));
        assert_eq!(epoch("-62135596800"), Some(-62_135_596_800_000_000));
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let far = [
            "1e400",
            "-1e400",
            "9223372036854775807",
            "99999999999999999999999",
            "1e99999999999999999999",
            "1e13",
        ];
        for number in far {
            assert!(matches!(parse_epoch_seconds(number), Err(TimeError::OutOfRange(_))), "{number}");
        }
        assert!(matches!(parse_delay_seconds("1e13"), Err(TimeError::OutOfRange(_))));
        assert_eq!(parse_delay_seconds("-0.0"), Ok(Duration::ZERO));
        for negative in ["-1", "-0.0000001", "-1e-9"] {
            assert!(matches!(parse_delay_seconds(negative), Err(TimeError::Negative(_))), "{negative}");
        }
    }

    #[test]
    fn an_instant_that_could_not_be_written_is_refused() {
        for extreme in ["-009999-01-02T01:59:59.000000Z", "9999-12-30T22:00:00.000000Z"] {
            let written = parse_instant(extreme).map(|instant| Rfc3339(instant).to_string());
            assert_eq!(written, Ok(extreme.to_owned()));
        }
        let earliest = Rfc3339(Timestamp::from_micros(i64::MIN)).to_string();
        assert_eq!(instant(&earliest), epoch("-377705023201"));
        // Rounded up it is the first instant that the printer does not take.
        let too_far = parse_instant("9999-12-30T22:00:00.0000001Z");
        assert!(matches!(too_far, Err(TimeError::OutOfRange(_))), "{too_far:?}");
    }

    #[test]
    fn a_delay_has_a_unit() {
        let ms = |text: &str| parse_delay(text).ok().map(|delay| delay.as_millis());
        assert_eq!(ms("1.5s"), Some(1_500));
        assert_eq!(ms("200ms"), Some(200));
        assert_eq!(ms("2m"), Some(120_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1h 30m"), Some(5_400_000));
        assert_eq!(ms("2d"), Some(172_800_000));
        assert_eq!(ms("1w"), Some(604_800_000));
        assert_eq!(ms("PT1.5S"), Some(1_500));
        assert_eq!(ms("0s"), Some(0));
        for wrong in ["", "1.5", "soon", "1 month", "1y", "s", "1.0000000001s", "NaN", "infs"] {
            assert!(matches!(parse_delay(wrong), Err(TimeError::NotADelay(_))), "{wrong:?}");
        }
        for far in ["9999999d", "99999999999999999999s", "999999999999999s", "1h 9223372036854775808s"] {
            assert!(
                matches!(parse_delay(far), Err(TimeError::OutOfRange(_))),
                "{far:?}: {:?}",
                parse_delay(far)
            );
        }
        assert!(matches!(parse_delay("-1s"), Err(TimeError::Negative(_))));
    }

    #[test]
    fn an_instant_is_written_in_one_way() {
        assert_eq!(
            Rfc3339(Timestamp::from_micros(1_796_094_000_000_000)).to_string(),
            "2026-12-01T03:00:00.000000Z"
        );
        assert_eq!(Rfc3339(Timestamp::from_micros(1)).to_string(), "1970-01-01T00:00:00.000001Z");
        assert_eq!(Rfc3339(Timestamp::from_micros(-1)).to_string(), "1969-12-31T23:59:59.999999Z");
        let _ = Rfc3339(Timestamp::MAX).to_string();
    }
}
