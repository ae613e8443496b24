//! What is no rule, and what is said of it.

use super::at;
use crate::job::recurrence::{Recurrence, RecurrenceError, Rule};

#[test]
fn an_expression_that_is_none_is_refused_where_it_is_wrong() {
    for (expression, said) in [
        ("", "the cron expression must be 1 to 255 printable ASCII characters"),
        (" ", "must be 1 to 255 printable ASCII characters"),
        ("* * * *", "the cron expression has 4 fields; write five"),
        ("* * * * * * * *", "has 8 fields"),
        ("60 * * * *", "has \"60\" for the minute: "),
        ("* 24 * * *", "has \"24\" for the hour: "),
        ("* * 0 * *", "has \"0\" for the day of month: "),
        ("* * 32 * *", "has \"32\" for the day of month: "),
        ("* * * 13 *", "has \"13\" for the month: "),
        ("* * * * 8", "has \"8\" for the day of week: "),
        ("60 * * * * *", "has \"60\" for the second: "),
        ("0 0 0 1 1 * 99999", "has \"99999\" for the year: "),
        ("5-1 * * * *", "has \"5-1\" for the minute: "),
        ("0-4000000000 * * * *", "has \"0-4000000000\" for the minute: "),
        ("*/0 * * * *", "has \"*/0\" for the minute: "),
        ("-5 * * * *", "has \"-5\" for the minute: "),
        ("1,,2 * * * *", "has \"1,,2\" for the minute: an item of the list is empty"),
        (", * * * *", "an item of the list is empty"),
        ("* * * FOO *", "has \"FOO\" for the month: "),
        ("* L * * *", "has \"L\" for the hour: "),
        ("* * * * MON#6", "has \"MON#6\" for the day of week: "),
        ("@fortnightly", "has \"@fortnightly\" for the whole: "),
        ("30 2 * * * Europe/Berlin", "for the day of week: "),
        ("0 9 * * MON\u{2013}FRI", "printable ASCII"),
        ("0 9 * *\u{a0}*", "printable ASCII"),
        ("0 0 31 2 *", "names no day that there is, such as 31 February"),
    ] {
        let error = Recurrence::cron(expression, "UTC").unwrap_err().to_string();
        assert!(error.contains(said), "{expression:?}: {error}");
    }
    let long = format!("{} * * * *", "1,".repeat(1_000));
    assert!(Recurrence::cron(&long, "UTC").unwrap_err().to_string().len() < 100);
}

#[test]
fn a_zone_that_is_none_is_refused() {
    for zone in
        ["Europe/Bärlin", "Europe/Berlin ", "", "CET+1", "../../etc/passwd", "local", "+01:00", "Etc/Unknown"]
    {
        let error = Recurrence::cron("0 9 * * *", zone).unwrap_err().to_string();
        assert!(error.contains("time zone"), "{zone}: {error}");
    }
    let rule = |zone| Recurrence::cron(" 0 9  * * *\t", zone).unwrap();
    assert_eq!(rule("europe/berlin"), rule("Europe/Berlin"));
    let Rule::Cron(text) = rule("europe/berlin").rule else { panic!("a cron rule") };
    assert_eq!((&*text.expression, &*text.zone), ("0 9 * * *", "Europe/Berlin"));
}

/// As when it was made where the database is newer.
#[test]
fn a_zone_that_is_unknown_here_is_kept_and_not_worked_out() {
    let mut rule = Recurrence::cron("0 9 * * *", "Europe/Berlin").unwrap();
    let Rule::Cron(text) = &mut rule.rule else { panic!("a cron rule") };
    text.zone = "Mars/Olympus".into();
    assert_eq!(
        rule.first(at("2026-11-29T00:00:00Z")),
        Err(RecurrenceError::Zone { name: "Mars/Olympus".into() })
    );
    let mut bytes = Vec::new();
    super::super::write(&rule, &mut |piece| bytes.extend_from_slice(piece));
    assert_eq!(super::super::read(&bytes), Some(rule.clone()));
    let Rule::Cron(text) = &mut rule.rule else { panic!("a cron rule") };
    (text.zone, text.expression) = ("UTC".into(), "0 9 * * 1st".into());
    let unread = RecurrenceError::Expression { expression: "0 9 * * 1st".into() };
    assert_eq!(rule.first(at("2026-11-29T00:00:00Z")), Err(unread));
}
