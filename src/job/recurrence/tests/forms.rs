//! Rules as bytes and as JSON.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{CronText, Rule, read, write};
use super::{at, every};
use crate::job::recurrence::{InvalidRecurrence, Missed, Overlap, Recurrence};
use crate::time::Timestamp;

fn bytes(rule: &Recurrence) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(rule, &mut |piece| bytes.extend_from_slice(piece));
    bytes
}

fn by_cron(expression: &str, zone: &str) -> Recurrence {
    Recurrence::of(Rule::Cron(CronText::new(expression, zone).unwrap()))
}

fn whole() -> Recurrence {
    by_cron("0 9 * * MON-FRI", "Europe/Berlin")
        .from(at("2026-12-01T00:00:00Z"))
        .and_then(|rule| rule.until(at("2027-12-01T00:00:00Z")))
        .and_then(|rule| rule.count(7))
        .unwrap()
        .missed(Missed::All { max: NonZeroU32::new(3).unwrap() })
        .overlap(Overlap::After)
}

/// The bytes mean the same for ever.
#[test]
fn the_bytes_of_a_rule_are_these() {
    assert_eq!(bytes(&every(5)), [1, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0, 0, 1, 1]);
    let anchored =
        every(5).anchor(Timestamp::from_micros(-2)).unwrap().missed(Missed::None).overlap(Overlap::Allow);
    let expected = [
        &[1, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0, 1][..],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[3, 2],
    ];
    assert_eq!(bytes(&anchored), expected.concat());
    let expected = [
        &[2, 15][..],
        b"0 9 * * MON-FRI",
        &[13],
        b"Europe/Berlin",
        &[14],
        &1_796_083_200_000_000_i64.to_le_bytes(),
        &1_827_619_200_000_000_i64.to_le_bytes(),
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[2, 3, 0, 0, 0],
        &[3],
    ];
    assert_eq!(bytes(&whole()), expected.concat());
}

#[test]
fn bytes_that_are_no_rule_are_refused() {
    for good in [bytes(&every(5)), bytes(&whole())] {
        assert!(read(&good).is_some());
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None, "{length} bytes");
        }
        assert_eq!(read(&[&good[..], &[0]].concat()), None);
    }
    let replaced = |at: usize, byte: u8| {
        let mut bytes = bytes(&every(5));
        bytes[at] = byte;
        bytes
    };
    for (at, byte) in [(0, 0), (0, 3), (8, 0x80), (9, 16), (10, 0), (10, 4), (11, 0), (11, 4)] {
        assert_eq!(read(&replaced(at, byte)), None, "byte {at} is {byte}");
    }
    // A zero interval, a zero count, an end before the beginning, an anchor of an expression, and what is no text.
    let zero = [&[1][..], &[0; 8], &[0, 1, 1]].concat();
    assert_eq!(read(&zero), None);
    let count = [&[1, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0, 8][..], &[0; 8], &[1, 1]].concat();
    assert_eq!(read(&count), None);
    let inverted = [&[1, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0, 6][..], &[1; 8], &[0; 8], &[1, 1]].concat();
    assert_eq!(read(&inverted), None);
    let anchored = [&[2, 1, b'@', 1, b'Z', 1][..], &[0; 8], &[1, 1]].concat();
    assert_eq!(read(&anchored), None);
    for expression in [&b"\xff"[..], b"\n", b"", b" *", b"*  *"] {
        let text = [&[2, expression.len() as u8][..], expression, &[1, b'Z', 0, 1, 1]].concat();
        assert_eq!(read(&text), None, "{expression:?}");
    }
}

fn json(rule: &Recurrence) -> String {
    serde_json::to_string(rule).unwrap()
}

#[test]
fn json_has_what_is_not_as_it_would_be_anyway() {
    assert_eq!(json(&every(5)), r#"{"every":"5s"}"#);
    assert_eq!(
        json(&whole()),
        r#"{"cron":"0 9 * * MON-FRI","zone":"Europe/Berlin","from":"2026-12-01T00:00:00.000000Z","until":"2027-12-01T00:00:00.000000Z","count":7,"missed":"all","missed_max":3,"overlap":"after"}"#
    );
    for (text, rule) in [
        (r#"{"every":5}"#, every(5)),
        (r#"{"every":"1h30m","overlap":"skip","missed":"one","until":null}"#, every(5400)),
        (
            r#"{"every":"PT1M","anchor":"1970-01-01T01:00:00+01:00"}"#,
            every(60).anchor(at("1970-01-01T00:00:00Z")).unwrap(),
        ),
        (r#"{"every":"5s","missed":"all"}"#, every(5).missed(Missed::All { max: Missed::ALL_MAX_DEFAULT })),
        (r#"{"cron":"0  9 * * MON"}"#, by_cron("0 9 * * MON", "UTC")),
    ] {
        assert_eq!(serde_json::from_str::<Recurrence>(text).unwrap(), rule, "{text}");
    }
}

#[test]
fn json_that_is_no_rule_is_refused() {
    for (text, said) in [
        ("{}", "`every` or `cron` is missing"),
        (r#"{"every":"5s","cron":"* * * * *"}"#, "there are two rules"),
        (r#"{"every":"5s","zone":"UTC"}"#, "`zone` has no meaning here"),
        (r#"{"every":"0s"}"#, "the interval is 0s, and the shortest is 1 ms"),
        (r#"{"every":0}"#, "the interval is 0s"),
        (r#"{"every":"1us"}"#, "the interval is 1us"),
        (r#"{"every":-5}"#, "an interval is not negative"),
        (r#"{"every":"-5s"}"#, "\"-5s\" is negative"),
        (r#"{"every":1.5}"#, "expected a duration such as"),
        (r#"{"every":"5"}"#, "has no unit after 5"),
        (r#"{"every":18446744073709551615}"#, "the interval is out of range"),
        (r#"{"every":"99999999999999w"}"#, "is out of range"),
        (r#"{"every":"5s","count":0}"#, "`count` is 0"),
        (r#"{"every":"5s","count":-1}"#, "invalid value"),
        (r#"{"every":"5s","missed":"some"}"#, "unknown variant `some`"),
        (r#"{"every":"5s","missed_max":3}"#, "`missed_max` has no meaning here"),
        (r#"{"every":"5s","missed":"all","missed_max":0}"#, "invalid value"),
        (r#"{"every":"5s","overlap":"never"}"#, "unknown variant `never`"),
        (r#"{"every":"5s","often":1}"#, "unknown field `often`"),
        (r#"{"every":"5s","until":"noon"}"#, "expected an instant as RFC 3339 writes it"),
        (
            r#"{"every":"5s","from":"2027-01-01T00:00:00Z","until":"2026-01-01T00:00:00Z"}"#,
            "`until` (2026-01-01T00:00:00.000000Z) lies before `from` (2027-01-01T00:00:00.000000Z)",
        ),
        (r#"{"cron":"* * * * *","anchor":"2027-01-01T00:00:00Z"}"#, "a cron expression has no anchor"),
        (r#"{"cron":""}"#, "must be 1 to 255 printable"),
    ] {
        let error = serde_json::from_str::<Recurrence>(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn an_interval_has_bounds() {
    let refused = |interval| Recurrence::every(interval).unwrap_err();
    for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(999_999)] {
        assert_eq!(refused(interval), InvalidRecurrence::IntervalTooShort { interval });
    }
    assert_eq!(refused(Duration::MAX), InvalidRecurrence::IntervalTooLong);
    assert_eq!(refused(Duration::from_micros(1 << 63)), InvalidRecurrence::IntervalTooLong);
    assert!(Recurrence::every(Duration::from_micros((1 << 63) - 1)).is_ok());
    // Rounded up, to be never too early.
    assert_eq!(
        Recurrence::every(Duration::from_nanos(1_000_001)),
        Recurrence::every(Duration::from_micros(1_001))
    );
}

fn any_rule() -> impl Strategy<Value = Recurrence> {
    let rule = prop_oneof![
        (1_000..=i64::MAX as u64, any::<Option<i64>>()).prop_map(|(us, anchor)| {
            let rule = Recurrence::every(Duration::from_micros(us)).unwrap();
            anchor.map_or(rule.clone(), |us| rule.anchor(Timestamp::from_micros(us)).unwrap())
        }),
        prop::sample::select(vec!["0 9 * * *", "*/15 * * * * *", "@daily"])
            .prop_map(|text| by_cron(text, "America/New_York")),
    ];
    let missed = prop_oneof![
        Just(Missed::One),
        Just(Missed::None),
        (1..=u32::MAX).prop_map(|max| Missed::All { max: NonZeroU32::new(max).unwrap() }),
    ];
    let overlap = prop::sample::select(vec![Overlap::Skip, Overlap::Allow, Overlap::After]);
    let ends = (any::<Option<i64>>(), any::<Option<i64>>(), prop::option::of(1..=u64::MAX));
    (rule, ends, missed, overlap).prop_map(|(rule, (from, until, count), missed, overlap)| {
        let (from, until) = match (from, until) {
            (Some(from), Some(until)) => (Some(from.min(until)), Some(from.max(until))),
            others => others,
        };
        let [from, until] = [from, until].map(|us| us.map(Timestamp::from_micros));
        Recurrence { from, until, count, missed, overlap, ..rule }
    })
}

proptest! {
    #[test]
    fn a_rule_comes_back_from_its_bytes_and_from_its_json(rule in any_rule()) {
        prop_assert_eq!(read(&bytes(&rule)), Some(rule.clone()));
        prop_assert_eq!(serde_json::from_str::<Recurrence>(&json(&rule)).unwrap(), rule);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>) {
        if let Some(rule) = read(&bytes) {
            prop_assert_eq!(self::bytes(&rule), bytes);
        }
    }
}

#[cfg(not(feature = "cron"))]
#[test]
fn without_cron_an_expression_is_kept_and_not_worked_out() {
    use crate::job::recurrence::RecurrenceError;
    // Not even whether it is one.
    let rule = by_cron("0 9 * * whenever", "Mars/Olympus");
    assert_eq!(read(&bytes(&rule)), Some(rule.clone()));
    let now = at("2026-11-29T00:00:00Z");
    assert_eq!(rule.first(now), Err(RecurrenceError::NoCron));
    assert_eq!(rule.preview(now).unwrap_err(), RecurrenceError::NoCron);
    let occurrence = super::occurrence(now, 1, 0);
    assert_eq!(rule.ended(&occurrence, now, now), Err(RecurrenceError::NoCron));
}
