//! Each way to write a time: what it is taken as, or with which words it is refused.

use std::time::Duration;

use reveille::Timestamp;

use super::*;

const TEN: i64 = 1_796_094_000_000_000;

fn instant(text: &str) -> Result<i64, String> {
    parse_instant(text).map(Timestamp::as_micros).map_err(|error| error.to_string())
}

fn epoch(number: &str) -> Result<i64, String> {
    parse_epoch_seconds(number).map(Timestamp::as_micros).map_err(|error| error.to_string())
}

fn delay(text: &str) -> Result<u128, String> {
    parse_delay(text).map(|delay| delay.as_nanos()).map_err(|error| error.to_string())
}

fn delay_seconds(number: &str) -> Result<Duration, String> {
    parse_delay_seconds(number).map_err(|error| error.to_string())
}

fn refused<T: std::fmt::Debug>(read: fn(&str) -> Result<T, String>, table: &[(&str, &str)]) {
    for (text, said) in table {
        let error = read(text).expect_err(text);
        assert!(error.contains(said), "{text:?}: {error:?} does not say {said:?}");
    }
}

#[test]
fn an_instant_is_rfc_3339() {
    for (text, us) in [
        ("2026-12-01T03:00:00Z", TEN),
        ("2026-12-01t03:00:00z", TEN),
        ("2026-12-01 03:00:00.000000000Z", TEN),
        ("2026-12-01T10:00:00+07:00", TEN),
        ("2026-12-01T03:00:00-00:00", TEN),
        ("2026-12-01T03:00:00+00:00", TEN),
        ("2026-12-02T02:59:00+23:59", TEN),
        ("1969-12-31T23:59:59.5Z", -500_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ("-000001-12-31T00:00:00Z", -62_167_305_600_000_000),
        // Finer than a microsecond is rounded up, however fine.
        ("1970-01-01T00:00:00.000001001Z", 2),
        ("1969-12-31T23:59:59.999998999Z", -1),
        ("1970-01-01T00:00:00.0000010000000000000000000001Z", 2),
        ("1970-01-01T00:00:00.000001000000000000000000000Z", 1),
        ("1970-01-01T00:00:00.999999999999Z", 1_000_000),
        // Seconds that jiff has no instant for.
        ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        // Zones: beside an offset that they have, or in place of one where they leave no doubt.
        ("2026-12-01T10:00:00+07:00[Asia/Ho_Chi_Minh]", TEN),
        ("2026-12-01T10:00:00[Asia/Ho_Chi_Minh]", TEN),
        ("2026-12-01T10:00:00+07:00[!Asia/Ho_Chi_Minh]", TEN),
        ("2026-12-01T10:00:00+07:00[+07:00]", TEN),
        ("2026-12-01T03:00:00Z[Europe/Berlin]", TEN),
        ("2026-12-01T03:00:00-00:00[Europe/Berlin]", TEN),
        ("2026-10-25T02:30:00+02:00[Europe/Berlin]", 1_792_888_200_000_000),
        ("2026-10-25T02:30:00+01:00[Europe/Berlin]", 1_792_891_800_000_000),
        ("2026-10-25T01:59:59[Europe/Berlin]", 1_792_886_399_000_000),
        // A leap second is read as the second after it.
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("2017-01-01T00:59:60+01:00", 1_483_228_800_000_000),
        ("2016-12-31T23:59:60.25Z", 1_483_228_800_250_000),
    ] {
        assert_eq!(instant(text), Ok(us), "{text}");
    }
}

#[test]
fn what_is_no_instant_is_told_what_would_be_right() {
    let not_a_time = "is not a time; write RFC 3339 with an offset";
    refused(
        instant,
        &[
            ("", not_a_time),
            ("tomorrow", not_a_time),
            ("now", not_a_time),
            ("20261201T100000Z", not_a_time),
            ("2026-W49-2T10:00:00Z", not_a_time),
            ("2026-335T10:00:00Z", not_a_time),
            ("26-12-01T10:00:00Z", not_a_time),
            ("2026-12-1T10:00:00Z", not_a_time),
            ("2026/12/01T10:00:00Z", not_a_time),
            ("12/01/2026", not_a_time),
            ("Tue, 1 Dec 2026 10:00:00 +0700", not_a_time),
            ("10:00:00", not_a_time),
            ("-2026-12-01T10:00:00Z", not_a_time),
            ("-000000-12-01T10:00:00Z", not_a_time),
            ("+002026-12-01T10:00:00Z", not_a_time),
            ("12026-12-01T10:00:00Z", not_a_time),
            (" 2026-12-01T03:00:00Z", not_a_time),
            ("２026-12-01T03:00:00Z", not_a_time),
            ("2026-12-01T٠3:00:00Z", not_a_time),
            ("2026-12-01T10:00:00.Z", not_a_time),
            ("2026-12-01T10:00:0Z", not_a_time),
            ("2026-12-01", "has no time of day; write hours, minutes and seconds"),
            ("2026-12-01Z", "has no time of day"),
            ("2026-12-01+07:00", "has no time of day"),
            ("2026-12-01T10:00+07:00", "has no seconds"),
            ("2026-12-01T10:00", "has no seconds"),
            ("2026-12-01T10:00:00", "has no offset from UTC; add Z"),
            ("2026-12-01T10:00:00.5", "has no offset from UTC; add Z"),
            ("2026-12-01T10:00:00,5Z", "has a comma before the fraction of the second; write a point"),
            (
                "2026-12-01T10:00:00+24:00",
                "ends in \"+24:00\", which is no offset from UTC; write Z, or hours",
            ),
            ("2026-12-01T10:00:00+25:59", "from -23:59 to +23:59"),
            ("2026-12-01T10:00:00+07:60", "which is no offset"),
            ("2026-12-01T10:00:00+01:00:00.5", "ends in \"+01:00:00.5\", which is no offset"),
            ("2026-12-01T10:00:00+01:00:00", "which is no offset"),
            ("2026-12-01T10:00:00+0700", "ends in \"+0700\", which is no offset"),
            ("2026-12-01T10:00:00+07", "which is no offset"),
            ("2026-12-01T10:00:00\u{2212}07:00", "which is no offset"),
            ("2026-12-01T10:00:00 +07:00", "which is no offset"),
            ("2026-12-01T10:00:00 EST", "ends in \" EST\", which is no offset"),
            ("2026-12-01T10:00:00Z ", "ends in \"Z \", which is no offset"),
            ("2026-13-01T10:00:00Z", "there is no such date"),
            ("2026-00-01T10:00:00Z", "there is no such date"),
            ("2026-02-29T10:00:00Z", "there is no such date"),
            ("2026-12-01T25:00:00Z", "a day has no such hour, minute or second"),
            ("2026-12-01T24:00:01Z", "a day has no such hour"),
            ("2026-12-01T10:60:00Z", "a day has no such hour, minute"),
            ("2026-12-01T10:00:61Z", "minute or second"),
            ("2026-12-01T24:00:00Z", "write 00:00:00 of the next day"),
            ("2026-12-01T10:00:60Z", "a second 60 in the last minute of a month only"),
            ("2016-12-31T23:59:60+07:00", "a second 60 in the last minute of a month only"),
            ("2016-12-30T23:59:60Z", "a second 60 in the last minute of a month only"),
            // What one might put in quotes.
            ("1796094000", "is a number in quotes; write it without them: 1796094000"),
            ("-1.5", "is a number in quotes; write it without them: -1.5"),
            ("1796119200000", "looks like milliseconds since 1970"),
            ("1e400", "1e400 is out of range"),
            // Zones.
            ("2026-12-01T10:00:00+07:00[Mars/Olympus]", "ends in \"[Mars/Olympus]\", which is no time zone"),
            ("2026-12-01T10:00:00+07:00[]", "which is no time zone"),
            (
                "2026-12-01T10:00:00+07:00[Asia/Ho_Chi_Minh",
                "ends in \"[Asia/Ho_Chi_Minh\", which is no time zone",
            ),
            ("2026-12-01T10:00:00+07:00[Asia/Ho_Chi_Minh][u-ca=iso8601]", "which is no time zone"),
            ("2026-12-01T10:00:00[Etc/Unknown]", "which is no time zone"),
            ("2026-12-01T10:00:00+03:00[Asia/Ho_Chi_Minh]", "its time zone, which is at +07:00 then"),
            ("2026-12-01T10:00:00+00:00[Europe/Berlin]", "its time zone, which is at +01:00 then"),
            ("1880-12-01T10:00:00+01:00[Europe/Berlin]", "its time zone, which is at +00:53:28 then"),
            (
                "2026-10-25T02:30:00[Europe/Berlin]",
                "happens twice in its time zone: clocks are put back over it; say which one with +02:00 or +01:00",
            ),
            ("2026-10-25T02:30:00+03:00[Europe/Berlin]", "its time zone, which is at +02:00 then"),
            ("2026-03-29T02:30:00[Europe/Berlin]", "clocks are put forward over it, from +01:00 to +02:00"),
            ("2026-03-29T02:30:00+01:00[Europe/Berlin]", "does not exist in its time zone"),
            ("2026-03-29T02:30:00+02:00[Europe/Berlin]", "does not exist in its time zone"),
            ("9999-12-31T23:59:59-01:00", "is out of range; a time lies in the years -9999 to 9999"),
            ("-009999-01-01T00:00:00+01:00", "is out of range"),
            ("9999-12-31T23:59:59.9999991Z", "is out of range"),
        ],
    );
}

#[test]
fn numbers_are_exact() {
    for (number, us) in [
        ("0", 0),
        ("-0", 0),
        ("0e999999999999999999999", 0),
        ("1796094000.000001", 1_796_094_000_000_001),
        ("4.000003", 4_000_003),
        ("17960940e2", 1_796_094_000_000_000),
        ("1.5E+3", 1_500_000_000),
        ("15e-1", 1_500_000),
        ("-1.5", -1_500_000),
        ("-62135596800", -62_135_596_800_000_000),
        ("253402300799.999999", 253_402_300_799_999_999),
        // More digits than a floating-point number has.
        ("1796094000.0000009999999999999999", 1_796_094_000_000_001),
        ("0.0000010000000000000000000000000000001", 2),
        ("-0.0000019", -1),
        ("1e-400", 1),
        ("-1e-400", 0),
    ] {
        assert_eq!(epoch(number), Ok(us), "{number}");
    }
}

#[test]
fn another_unit_than_seconds_is_recognised() {
    refused(
        epoch,
        &[
            (
                "1796119200000",
                "1796119200000 looks like milliseconds since 1970; write seconds: 1796119200 (2026-12-01T10:00:00.000000Z)",
            ),
            ("1796119200001", "looks like milliseconds since 1970; write seconds: 1796119200.001 ("),
            ("1796119200000.5", "looks like milliseconds since 1970; write seconds: 1796119200.0005 ("),
            ("1.7961192e12", "looks like milliseconds since 1970; write seconds: 1796119200 ("),
            ("1796119200000001", "looks like microseconds since 1970; write seconds: 1796119200.000001 ("),
            ("1796119200000000001", "looks like nanoseconds since 1970; write seconds: 1796119200.000001 ("),
            // The first second that no calendar has, and the last one of each unit.
            (
                "253402300800",
                "looks like milliseconds since 1970; write seconds: 253402300.8 (1978-01-11T21:31:40.800000Z)",
            ),
            ("253402300799999", "looks like milliseconds"),
            ("253402300800000", "looks like microseconds"),
            ("253402300800000000", "looks like nanoseconds"),
            ("253402300800000000000", "is out of range"),
            ("-1796119200000", "is out of range"),
            ("1e400", "is out of range; a time lies in the years -9999 to 9999"),
            ("-1e400", "is out of range"),
            ("99999999999999999999999", "is out of range"),
            ("1e99999999999999999999", "is out of range"),
            ("-377705116801", "is out of range"),
        ],
    );
}

#[test]
fn a_delay_has_a_unit() {
    const MS: u128 = 1_000_000;
    for (text, ns) in [
        ("1.5s", 1_500 * MS),
        ("200ms", 200 * MS),
        ("2m", 120_000 * MS),
        ("1h30m", 5_400_000 * MS),
        ("1h 30m", 5_400_000 * MS),
        ("1 hour, 30 minutes", 5_400_000 * MS),
        ("1h30.5m", 5_430_000 * MS),
        ("+1s", 1_000 * MS),
        ("2 days", 172_800_000 * MS),
        ("1.5d", 129_600_000 * MS),
        ("1w", 604_800_000 * MS),
        ("1w2d3h4m5s6ms7us8ns", 788_645_006_007_008),
        ("7 µs", 7_000),
        ("7μs", 7_000),
        ("0s", 0),
        ("007s", 7_000 * MS),
        ("1001ns", 1_001),
        ("PT1.5S", 1_500 * MS),
        ("PT90S", 90_000 * MS),
        ("pt1h2m3s", 3_723_000 * MS),
        ("P1DT1H", 90_000_000 * MS),
        ("P1W", 604_800_000 * MS),
        // However fine, and never shorter.
        ("1.0000000001s", 1_000_000_001),
        ("0.1ns", 1),
        ("0.00000000000000000000000000000000001w", 1),
        // Of the digits that no nanosecond depends on it counts only that they are there.
        ("0.3333333333333333333333333333333333w", 201_600_000_000_001),
        ("106751991d", 9_223_372_022_400_000_000_000),
    ] {
        assert_eq!(delay(text), Ok(ns), "{text}");
    }
    assert_eq!(delay_seconds("0.0000010001"), Ok(Duration::from_micros(2)));
    assert_eq!(delay_seconds("1e3"), Ok(Duration::from_secs(1000)));
    assert_eq!(delay_seconds("-0.0"), Ok(Duration::ZERO));
    assert_eq!(delay_seconds("9007199254740.993001"), Ok(Duration::from_micros(9_007_199_254_740_993_001)));
}

#[test]
fn what_is_no_delay_is_told_what_would_be_right() {
    let not_a_delay = "is not a delay; write a number of seconds, or numbers with units";
    refused(
        delay,
        &[
            ("", not_a_delay),
            ("soon", not_a_delay),
            ("s", not_a_delay),
            ("NaN", not_a_delay),
            ("infs", not_a_delay),
            (".5s", not_a_delay),
            ("1.s", not_a_delay),
            ("1.5.2s", not_a_delay),
            (" 1s", not_a_delay),
            ("1s ", not_a_delay),
            ("1h,", not_a_delay),
            ("1h,30m", not_a_delay),
            ("1h and 30m", not_a_delay),
            ("１s", not_a_delay),
            ("٣s", not_a_delay),
            ("1\u{a0}s", not_a_delay),
            ("--1s", not_a_delay),
            ("0x10s", "has \"x\" for a unit"),
            ("1_000s", not_a_delay),
            ("P", not_a_delay),
            ("PT", not_a_delay),
            ("P1DT", not_a_delay),
            ("PT5", not_a_delay),
            ("PT1D", not_a_delay),
            ("2,000 seconds", "has a comma in a number"),
            ("2,5s", "write \"2000s\", or \"2.5s\""),
            ("1h 2,5m", "has a comma in a number"),
            ("PT1,5S", "has a comma in a number"),
            ("1.5", "has no unit after 1.5; write \"1.5s\" for seconds"),
            ("90", "has no unit after 90; write \"90s\""),
            ("1 h 30", "has no unit after 30"),
            ("1h30", "has no unit after 30"),
            ("1 000 s", "has no unit after 1;"),
            ("1e3", "has \"e\" for a unit"),
            ("1e3s", "has \"e\" for a unit; the units of a delay are w, d, h, m, s, ms, us, ns"),
            ("1M", "has \"M\" for a unit"),
            ("1S", "has \"S\" for a unit"),
            ("5 Sekunden", "has \"Sekunden\" for a unit"),
            ("5 секунд", "has \"секунд\" for a unit"),
            ("5秒", "has \"秒\" for a unit"),
            ("5ss", "has \"ss\" for a unit"),
            ("5mss", "has \"mss\" for a unit"),
            ("1y", "has a unit without a fixed length; write days"),
            ("1 month", "has a unit without a fixed length"),
            ("2 years 1s", "has a unit without a fixed length"),
            ("P1M", "has a unit without a fixed length"),
            ("P1Y2DT3H", "has a unit without a fixed length"),
            ("30m1h", "write each once, the largest first"),
            ("1s 1s", "has units twice"),
            ("PT1S1H", "has units twice, or a smaller one before a larger"),
            ("1.5h30m", "has a fraction before its last unit"),
            ("P1.5DT1H", "has a fraction before its last unit"),
            (
                "01:30:00",
                "reads like a time of day; write a delay with units, as \"1h30m\", or an instant as `at`",
            ),
            ("10:00", "reads like a time of day"),
            ("-1s", "is negative; write 0 for at once"),
            ("-0.0000000000000000000001s", "is negative"),
            ("1s ago", "is negative"),
            ("-PT1S", "is negative"),
            ("99999999999999999999s", "is out of range; a delay is shorter than 292,000 years"),
            ("9223372036854775807s", "is out of range"),
            ("99999999999999999999999999999999999999999999999999s", "is out of range"),
            ("1h 9223372036854775808s", "is out of range"),
            ("9223372036855s", "is out of range"),
        ],
    );
    refused(
        delay_seconds,
        &[
            ("-1", "-1 is negative; write 0 for at once"),
            ("-0.0000001", "is negative"),
            ("-1e-9", "is negative"),
            ("-1e400", "is negative"),
            ("1e13", "1e13 is out of range"),
            ("1e400", "is out of range"),
        ],
    );
}

#[test]
fn an_instant_is_written_in_one_way() {
    let written = |us| Rfc3339(Timestamp::from_micros(us)).to_string();
    assert_eq!(written(TEN), "2026-12-01T03:00:00.000000Z");
    assert_eq!(written(1), "1970-01-01T00:00:00.000001Z");
    assert_eq!(written(-1), "1969-12-31T23:59:59.999999Z");
    let (earliest, last) = (written(i64::MIN), written(i64::MAX));
    assert_eq!((&*earliest, &*last), ("-009999-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"));
    // What is written can be read.
    for extreme in [earliest, last] {
        assert_eq!(parse_instant(&extreme).map(|instant| Rfc3339(instant).to_string()), Ok(extreme));
    }
}
