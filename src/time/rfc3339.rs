//! Instants as text: RFC 3339. They are written in UTC, with six digits of the second, and read with any offset.
//!
//! # Rules
//! - Years after 9999 or before 0 have no place in RFC 3339. They are written, and read, as ISO 8601 extends it: with a sign
//!   and six digits. So every instant that is written can be read.
//! - Finer than a microsecond is rounded up: an instant is never earlier than the one that was written. A leap second is
//!   read as the second after it.

use std::fmt;
use std::str::FromStr;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Timestamp;

const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// Days in 400 years.
const ERA_DAYS: i64 = 146_097;

/// As `2026-12-01T03:00:00.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, us) = (self.as_micros().div_euclid(DAY_US), self.as_micros().rem_euclid(DAY_US));
        let (year, month, day) = civil(days);
        let (second, fraction) = (us / 1_000_000, us % 1_000_000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+07}")?,
        }
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
    }
}

/// The date so many days after 1970-01-01, by the Gregorian calendar. After Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": years begin in March, so that the leap day is the last of its year.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The number of a date, counted from 1970-01-01; `None` if there is no such date.
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let (from_march, march_year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let days =
        era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Why a text cannot be read as an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTimestamp {
    /// It does not have the form.
    #[error("this is not an instant as RFC 3339 writes it; write one such as 2026-12-01T10:00:00Z")]
    Form,
    /// It says the time of day, but not where.
    #[error("the instant has no offset; write Z behind it for UTC, or an offset such as +01:00")]
    NoOffset,
    /// There is no such date, time of day or offset.
    #[error("there is no such date or time of day")]
    NoSuchTime,
    /// It is farther away than microseconds can be counted, some 292,000 years.
    #[error("the instant is out of range, which is from the year -290308 to 294247")]
    OutOfRange,
}

/// With any offset from UTC, as RFC 3339 has it: `2026-12-01T10:00:00.5+01:00`.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        use InvalidTimestamp::{Form, NoOffset, NoSuchTime, OutOfRange};
        let mut text = Text(text.as_bytes());
        let year = text.year().ok_or(Form)?;
        let [month, day] = [b"-", b"-"].map(|before| text.number_after(before));
        let [hour, minute, second] = [b"Tt ".as_slice(), b":", b":"].map(|before| text.number_after(before));
        let (Some(month), Some(day), Some(hour), Some(minute), Some(second)) =
            (month, day, hour, minute, second)
        else {
            return Err(Form);
        };
        let fraction_us = text.fraction_us().ok_or(Form)?;
        if text.0.is_empty() {
            return Err(NoOffset);
        }
        let (sign, [offset_hour, offset_minute]) = text.offset().ok_or(Form)?;
        let days = day_number(year, month, day).ok_or(NoSuchTime)?;
        let utc_minute = hour * 60 + minute - sign * (offset_hour * 60 + offset_minute);
        let is_leap_second = second == 60 && utc_minute.rem_euclid(24 * 60) == 24 * 60 - 1;
        let is_time = hour < 24 && minute < 60 && (second < 60 || is_leap_second);
        if !is_time || offset_hour > 23 || offset_minute > 59 {
            return Err(NoSuchTime);
        }
        let seconds = i128::from(days * 24 * 3600 + utc_minute * 60 + second);
        let us = seconds * 1_000_000 + i128::from(fraction_us);
        i64::try_from(us).map(Timestamp::from_micros).map_err(|_| OutOfRange)
    }
}

/// What is left of a text that is being read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// The next character, if it is one of these.
    fn one_of(&mut self, these: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        these.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |sum, _| Some(sum * 10 + i64::from(self.one_of(b"0123456789")? - b'0')))
    }

    fn number_after(&mut self, before: &[u8]) -> Option<i64> {
        self.one_of(before)?;
        self.digits(2)
    }

    fn year(&mut self) -> Option<i64> {
        match self.one_of(b"+-") {
            None => self.digits(4),
            Some(b'+') => self.digits(6),
            // There is no year -0.
            Some(_) => self.digits(6).filter(|&year| year > 0).map(|year| -year),
        }
    }

    /// The microseconds behind the point, rounded up; none if there is no point.
    fn fraction_us(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let mut us = self.digits(1)? * 100_000;
        let mut unit_us = 10_000;
        let mut has_rest = false;
        while let Some(digit) = self.digits(1) {
            us += digit * unit_us;
            has_rest |= unit_us == 0 && digit > 0;
            unit_us /= 10;
        }
        Some(us + i64::from(has_rest))
    }

    /// The offset at the end: its sign, hours and minutes.
    fn offset(&mut self) -> Option<(i64, [i64; 2])> {
        let (sign, offset) = match self.one_of(b"Zz+-")? {
            b'Z' | b'z' => (1, [0, 0]),
            sign => (if sign == b'-' { -1 } else { 1 }, [self.digits(2)?, self.number_after(b":")?]),
        };
        self.0.is_empty().then_some((sign, offset))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.as_micros())
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Rfc3339)
        } else {
            i64::deserialize(deserializer).map(Timestamp::from_micros)
        }
    }
}

struct Rfc3339;

impl Visitor<'_> for Rfc3339 {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant as RFC 3339 writes it")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|error| match error {
            InvalidTimestamp::Form => E::invalid_value(Unexpected::Str(text), &self),
            error => E::custom(format_args!("{text:?}: {error}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_instant_is_written_in_one_way() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_796_094_000_000_001, "2026-12-01T03:00:00.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "+010000-01-01T00:00:00.000000Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00.000000Z"),
            (-62_167_219_200_000_001, "-000001-12-31T23:59:59.999999Z"),
            (i64::MAX, "+294247-01-10T04:00:54.775807Z"),
            (i64::MIN, "-290308-12-21T19:59:05.224192Z"),
        ] {
            assert_eq!(Timestamp::from_micros(us).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_micros(us)));
        }
    }

    /// Day by day through two rounds of the calendar, by counting.
    #[test]
    fn dates_follow_one_another() {
        let (mut year, mut month, mut day) = (1569, 1, 1);
        for days in -146_462..=146_097 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            assert_eq!(day_number(year, month, day), Some(days));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    fn read(text: &str) -> Result<i64, InvalidTimestamp> {
        text.parse().map(Timestamp::as_micros)
    }

    #[test]
    fn an_instant_is_read_as_rfc_3339_has_it() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00z", 0),
            ("1970-01-01 00:00:00-00:00", 0),
            ("1970-01-01T01:00:00.5+01:00", 500_000),
            ("1969-12-31T14:15:00-09:45", 0),
            ("1970-01-01T23:59:00+23:59", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1970-01-01T00:00:00.1234560000000000000000000000Z", 123_456),
            ("1970-01-01T00:00:00.9999999Z", 1_000_000),
            ("1972-06-30T23:59:60Z", 78_796_800_000_000),
            ("1972-07-01T00:59:60.25+01:00", 78_796_800_250_000),
        ] {
            assert_eq!(read(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        use InvalidTimestamp::{Form, NoOffset, NoSuchTime, OutOfRange};
        for (text, error) in [
            ("", Form),
            ("tomorrow", Form),
            ("2026-12-01", Form),
            ("26-12-01T00:00:00Z", Form),
            ("2026-12-01T00:00Z", Form),
            ("2026-12-01T00:00:00.Z", Form),
            ("2026-12-01T00:00:00Z ", Form),
            ("2026-12-01T00:00:00+0100", Form),
            ("-000000-12-01T00:00:00Z", Form),
            ("\u{ff12}026-12-01T00:00:00Z", Form),
            ("2026-12-01T00:00:00", NoOffset),
            ("2026-12-01T00:00:00.5", NoOffset),
            ("2026-13-01T00:00:00Z", NoSuchTime),
            ("2026-00-01T00:00:00Z", NoSuchTime),
            ("2026-02-29T00:00:00Z", NoSuchTime),
            ("2026-12-01T24:00:00Z", NoSuchTime),
            ("2026-12-01T00:60:00Z", NoSuchTime),
            ("2026-12-01T00:00:60Z", NoSuchTime),
            ("2026-12-01T00:00:00+24:00", NoSuchTime),
            ("2026-12-01T00:00:00+00:60", NoSuchTime),
            ("+294247-01-10T04:00:54.775808Z", OutOfRange),
            ("-290308-12-21T19:59:05.224191Z", OutOfRange),
            ("+999999-12-31T23:59:59Z", OutOfRange),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_can_be_read_as_it_was_written(us: i64) {
            prop_assert_eq!(read(&Timestamp::from_micros(us).to_string()), Ok(us));
        }

        #[test]
        fn no_text_is_too_strange(text in "[-+]?[0-9]{0,7}-?[0-9]{0,3}-?[0-9]{0,3}[Tt ]?[0-9:.]{0,20}[Zz+-]?[0-9:]{0,6}|.*") {
            // What can be read is written as the same instant.
            if let Ok(us) = read(&text) {
                prop_assert_eq!(read(&Timestamp::from_micros(us).to_string()), Ok(us));
            }
        }

        #[test]
        fn an_offset_moves_by_itself(us in -9_000_000_000_000_000..9_000_000_000_000_000_i64, minutes in -1_439..1_440_i64) {
            let local = Timestamp::from_micros(us).to_string();
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
            let text = local.replace('Z', &format!("{sign}{hours:02}:{rest:02}"));
            prop_assert_eq!(read(&text), Ok(us - minutes * 60_000_000));
        }
    }

    #[test]
    fn people_get_text_and_others_microseconds() {
        use serde_test::{Configure, Token, assert_de_tokens_error, assert_tokens};
        let instant = Timestamp::from_micros(1_796_094_000_000_001);
        assert_tokens(&instant.readable(), &[Token::Str("2026-12-01T03:00:00.000001Z")]);
        assert_tokens(&instant.compact(), &[Token::I64(1_796_094_000_000_001)]);
        let refused = [("noon", "invalid value: string \"noon\", expected an instant as RFC 3339 writes it")];
        for (text, error) in refused {
            assert_de_tokens_error::<serde_test::Readable<Timestamp>>(&[Token::Str(text)], error);
        }
        assert!(serde_json::from_str::<Timestamp>("1796094000").is_err(), "seconds or milliseconds?");
    }
}
