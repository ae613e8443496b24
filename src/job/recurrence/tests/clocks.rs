//! Days on which clocks change, against a walk through them second by second.

use std::sync::LazyLock;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::walk::Walk;
use super::{at, instants};
use crate::job::recurrence::Recurrence;
use crate::time::Timestamp;

/// Zones that change clocks twice a year. In Lord Howe by half an hour, in Santiago and Beirut at midnight, in Casablanca for
/// Ramadan, backwards and forwards again.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Beirut",
    "Africa/Casablanca",
];

/// Changes that were out of the ordinary.
const ODD: [(&str, &str); 9] = [
    // The whole 30 December fell into the gap.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    // The last summers of some countries, and the first of Cairo after seven years.
    ("America/Sao_Paulo", "2019-02-17T02:00:00Z"),
    ("America/Mexico_City", "2022-10-30T07:00:00Z"),
    ("Europe/Istanbul", "2016-03-27T01:00:00Z"),
    ("Africa/Cairo", "2023-04-27T22:00:00Z"),
    // Not an hour, and not for the summer.
    ("Asia/Pyongyang", "2015-08-14T15:00:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00:00Z"),
    ("America/Caracas", "2016-05-01T07:00:00Z"),
    // Two hours.
    ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
];

const EXPRESSIONS: [&str; 24] = [
    "30 2 * * *",
    "0 2 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "59 1 * * *",
    "15 3 * * *",
    "0 3 * * *",
    "59 59 23 * * *",
    "30 23 * * *",
    "15 0 * * *",
    "0,30 2 * * *",
    "5,10 0,1,2,3,23 * * *",
    "0 0-5 * * *",
    "30 0-23 * * *",
    "0-59 2 * * *",
    "*/15 * * * * *",
    "* * * * *",
    "*/10 * * * *",
    "0 * * * *",
    "0 */2 * * *",
    "*/20 2 * * *",
    "30 1-3/1 * * SUN",
    "0 0 * * SUN",
    "0 9 30 * *",
];

/// A day, and so much more that the other midnight of the longest gap is in it.
const AROUND: i64 = 26 * 3600;

/// Both changes of 2026 and 2027 in each zone, found by asking for the offset hour by hour, and the odd ones; a day and more
/// before and after each.
static WALKS: LazyLock<Vec<Walk>> = LazyLock::new(|| {
    let hours = (at("2026-01-01T00:00:00Z").as_micros() / 1_000_000..).step_by(3600).take(2 * 365 * 24);
    let hours: Vec<i64> = hours.collect();
    let mut walks = Vec::new();
    for zone in ZONES {
        let time_zone = TimeZone::get(zone).unwrap();
        let offset = |second: i64| time_zone.to_offset(Instant::from_second(second).unwrap());
        let changes = hours.windows(2).filter(|hours| offset(hours[0]) != offset(hours[1]));
        let changes: Vec<i64> = changes.map(|hours| hours[1]).collect();
        assert_eq!(changes.len(), 4, "{zone}");
        walks.extend(changes.into_iter().map(|change| Walk::around(zone, change, AROUND)));
    }
    walks.extend(ODD.map(|(zone, change)| {
        let second = at(change).as_micros() / 1_000_000;
        let time_zone = TimeZone::get(zone).unwrap();
        let offset = |second: i64| time_zone.to_offset(Instant::from_second(second).unwrap());
        assert_ne!(offset(second), offset(second - 1), "{zone} {change}");
        Walk::around(zone, second, AROUND)
    }));
    walks
});

/// Everything that a rule says of the days of a walk.
fn agrees(walk: &Walk, expression: &str) {
    let rule = Recurrence::cron(expression, &walk.zone).unwrap();
    let plan = super::super::Plan::new(&rule.rule, walk.first()).unwrap();
    let expected = walk.instants(expression);
    let context = || format!("{expression} in {} from {} on", walk.zone, walk.first());
    let forward = std::iter::successors(plan.next_after(walk.first()), |instant| plan.next_after(*instant));
    let found: Vec<Timestamp> = forward.take_while(|instant| *instant <= walk.last()).collect();
    assert_eq!(found, expected, "{}", context());
    assert_eq!(plan.count(walk.first(), walk.last()), expected.len() as u64, "{}", context());
    // From within each hour, on the second and off it.
    let hours = (walk.first().as_micros()..walk.last().as_micros()).step_by(3_600_000_000);
    for base in hours.flat_map(|us| [us, us + 1, us + 1_799_999_999]).map(Timestamp::from_micros) {
        let before = expected.partition_point(|instant| *instant <= base);
        let left = &expected[before..];
        if let Some(next) = left.first() {
            assert_eq!(plan.next_after(base), Some(*next), "{} after {base}", context());
        }
        assert_eq!(plan.count(base, walk.last()), left.len() as u64, "{} after {base}", context());
        assert_eq!(plan.count(walk.first(), base), before as u64, "{} up to {base}", context());
        if let Some(middle) = left.get(left.len() / 2) {
            let n = left.len() as u64 / 2 + 1;
            assert_eq!(
                plan.nth_after(base, n, walk.last()),
                Some(*middle),
                "{} number {n} after {base}",
                context()
            );
        }
    }
}

#[test]
fn every_change_of_clocks_is_as_a_walk_through_it() {
    for walk in WALKS.iter() {
        for expression in EXPRESSIONS {
            agrees(walk, expression);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_expression_is_as_a_walk(
        walk in 0..33_usize,
        fields in (field(59), field(59), field(23)),
        day in prop::sample::select(vec!["* * *", "30 * *", "* * SUN", "29-31 * MON", "1,8 1-12 SAT"]),
    ) {
        agrees(&WALKS[walk], &format!("{} {} {} {day}", fields.0, fields.1, fields.2));
    }
}

fn field(max: u8) -> impl Strategy<Value = String> {
    let number = || 0..=max;
    prop_oneof![
        2 => Just("*".to_owned()),
        2 => (1..=max).prop_map(|step| format!("*/{step}")),
        4 => number().prop_map(|number| number.to_string()),
        2 => prop::collection::vec(number(), 1..5).prop_map(|list| {
            list.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
        }),
        2 => (number(), number()).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        1 => (number(), number(), 1..=max).prop_map(|(one, other, step)| {
            format!("{}-{}/{step}", one.min(other), one.max(other))
        }),
    ]
}

fn texts(rule: &Recurrence, called_at: &str, count: usize) -> Vec<String> {
    instants(rule, at(called_at), count)
        .iter()
        .map(|instant| instant.to_string().replace(".000000Z", "Z"))
        .collect()
}

/// Said in words, for those who read tests.
#[test]
fn a_fixed_time_that_clocks_skip_runs_right_after_the_gap_once() {
    let rule = Recurrence::cron("30 2 * * *", "Europe/Berlin").unwrap();
    let days = ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"];
    assert_eq!(texts(&rule, "2027-03-26T12:00:00Z", 3), days);
    let midnight = Recurrence::cron("0 0 * * *", "Asia/Beirut").unwrap();
    let days = ["2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"];
    assert_eq!(texts(&midnight, "2026-03-27T12:00:00Z", 3), days);
}

#[test]
fn a_day_that_clocks_skip_is_run_right_after_it() {
    let daily = Recurrence::cron("0 9 * * *", "Pacific/Apia").unwrap();
    // 09:00 on the 29th; the 30th at the end of the gap; 09:00 on the 31st.
    let days = ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"];
    assert_eq!(texts(&daily, "2011-12-29T12:00:00Z", 3), days);
    // What is due on that date alone is not lost, nor is the iteration.
    let yearly = Recurrence::cron("0 9 30 12 *", "Pacific/Apia").unwrap();
    assert_eq!(texts(&yearly, "2011-01-01T00:00:00Z", 2), ["2011-12-30T10:00:00Z", "2012-12-29T19:00:00Z"]);
    let often = Recurrence::cron("0 */6 * * *", "Pacific/Apia").unwrap();
    assert_eq!(texts(&often, "2011-12-30T04:30:00Z", 2), ["2011-12-30T10:00:00Z", "2011-12-30T16:00:00Z"]);
}

#[test]
fn what_clocks_show_twice_is_fixed_once_and_otherwise_goes_on() {
    let fixed = Recurrence::cron("30 2 * * *", "Europe/Berlin").unwrap();
    assert_eq!(texts(&fixed, "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let often = Recurrence::cron("*/15 * * * * *", "Europe/Berlin").unwrap();
    let hours = often.preview(at("2026-10-24T23:59:59Z")).unwrap().take(4 * 60 * 3);
    let hours: Vec<i64> = hours.map(|occurrence| occurrence.scheduled_for.as_micros()).collect();
    assert!(hours.windows(2).all(|pair| pair[1] - pair[0] == 15_000_000));
    let spring = often.preview(at("2027-03-27T23:59:59Z")).unwrap().take(4 * 60 * 3);
    let spring: Vec<i64> = spring.map(|occurrence| occurrence.scheduled_for.as_micros()).collect();
    assert!(spring.windows(2).all(|pair| pair[1] - pair[0] == 15_000_000));
}
