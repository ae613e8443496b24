//! Lengths of time as text: `500ms`, `1h 30m`, `2d`. For options of jobs, as JSON has them.
//!
//! A length is whole microseconds here, so what is written is read as the same.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Units, from the longest, each with its microseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Reads numbers with units, each at most once and the longer first. `None` if it is no such text, or more than can be counted.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut us, mut units) = (text.trim(), 0u64, UNITS.iter());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let after = rest[digits..].trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let &(_, unit_us) = units.by_ref().find(|(name, _)| *name == &after[..letters])?;
        us = us.checked_add(number.checked_mul(unit_us)?)?;
        rest = after[letters..].trim_start();
    }
    Some(Duration::from_micros(us))
}

/// As [`parse`] reads it.
pub(crate) fn to_text(length: Duration) -> String {
    let mut us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    if us == 0 {
        return "0s".into();
    }
    let mut parts = Vec::new();
    for (name, unit_us) in UNITS {
        let count = us / unit_us;
        us %= unit_us;
        if count > 0 {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(*length))
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("a length of time such as \"500ms\" or \"1h 30m\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for us in [0, 1, 999, 1_000, 61_000_001, 86_400_000_000, 90_061_001_001, u64::MAX] {
            let length = Duration::from_micros(us);
            assert_eq!(parse(&to_text(length)), Some(length), "{}", to_text(length));
        }
        assert_eq!(to_text(Duration::from_millis(90_500)), "1m 30s 500ms");
    }

    #[test]
    fn lengths_are_numbers_with_units() {
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse(" 5 s "), Some(Duration::from_secs(5)));
        for text in
            ["", "5", "s", "-5s", "1.5s", "1s 1s", "1s 1h", "5 parsecs", "99999999999999999999d", "1ms2"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
