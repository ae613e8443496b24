//! The calendar: the 31st, leap days, the last day of a month, and what lies far away.

use super::{at, instants};
use crate::job::recurrence::{InvalidRecurrence, Recurrence, RecurrenceError};

fn days(expression: &str, called_at: &str, count: usize) -> Vec<String> {
    let rule = Recurrence::cron(expression, "UTC").unwrap();
    instants(&rule, at(called_at), count).iter().map(|instant| instant.to_string()[..10].to_owned()).collect()
}

#[test]
fn the_31st_is_left_out_where_there_is_none() {
    let found = ["2026-12-31", "2027-01-31", "2027-03-31", "2027-05-31", "2027-07-31", "2027-08-31"];
    assert_eq!(days("0 0 31 * *", "2026-12-01T00:00:00Z", 6), found);
}

#[test]
fn a_leap_day_comes_every_four_years_but_for_2100() {
    let found = ["2092-02-29", "2096-02-29", "2104-02-29"];
    assert_eq!(days("0 0 29 2 *", "2090-01-01T00:00:00Z", 3), found);
    assert_eq!(days("0 0 29 2 +MON", "2026-01-01T00:00:00Z", 2), ["2044-02-29", "2072-02-29"]);
}

#[test]
fn days_that_no_number_names() {
    assert_eq!(days("0 0 L * *", "2028-01-31T12:00:00Z", 2), ["2028-02-29", "2028-03-31"]);
    assert_eq!(days("0 12 * * FRI#2", "2026-11-20T00:00:00Z", 2), ["2026-12-11", "2027-01-08"]);
    assert_eq!(days("0 12 * * 5L", "2026-11-20T00:00:00Z", 2), ["2026-11-27", "2026-12-25"]);
    // The 15th is a Sunday.
    assert_eq!(days("0 12 15W * *", "2026-11-01T00:00:00Z", 1), ["2026-11-16"]);
    // Either will do.
    assert_eq!(days("0 0 13 * FRI", "2026-11-01T00:00:00Z", 3), ["2026-11-06", "2026-11-13", "2026-11-20"]);
    assert_eq!(days("@monthly", "2026-11-20T00:00:00Z", 2), ["2026-12-01", "2027-01-01"]);
    assert_eq!(days("0 0 0 1 1 * 2030", "2026-11-20T00:00:00Z", 5), ["2030-01-01"]);
}

#[test]
fn a_year_that_has_passed_names_nothing() {
    let rule = Recurrence::cron("0 0 0 1 1 * 2020", "Europe/Berlin").unwrap();
    let now = at("2026-11-29T00:00:00Z");
    assert_eq!(rule.first(now), Err(RecurrenceError::NoOccurrence { from: now }));
    assert_eq!(rule.first(at("2019-12-31T22:59:59Z")).unwrap().scheduled_for, at("2019-12-31T23:00:00Z"));
}

#[test]
fn what_lies_beyond_the_calendar_is_none() {
    let rule = Recurrence::cron("* * * * * *", "Europe/Berlin").unwrap();
    let last = at("5000-12-31T22:59:58Z");
    assert_eq!(rule.first(last).unwrap().scheduled_for, at("5000-12-31T22:59:59Z"));
    for us in [i64::MAX, i64::MAX - 1, 253_402_300_800_000_000, last.as_micros() + 1_000_000] {
        let instant = crate::time::Timestamp::from_micros(us);
        assert!(matches!(rule.first(instant), Err(RecurrenceError::NoOccurrence { .. })), "{instant}");
    }
    assert!(rule.first(crate::time::Timestamp::from_micros(i64::MIN)).is_err());
}

#[test]
fn a_date_that_never_comes_is_refused() {
    for expression in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 0 29 2 * 2027"] {
        let never = InvalidRecurrence::CronNever { expression: expression.into() };
        assert_eq!(Recurrence::cron(expression, "UTC"), Err(never));
    }
}
