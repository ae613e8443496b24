//! Bad input at the call, as a list: each is an error there, says what is wrong where, and changes nothing.

use std::time::Duration;

use reveille::job::{Headers, JobOptions, Tags};
use reveille::testing::TestEngine;
use reveille::{
    Change, Edit, Engine, Key, Recurrence, Retry, Schedule, ScheduleError, StartError, Timestamp,
};
use testkit::{HOUR, MINUTE, SECOND, TEN_O_CLOCK, at_ms, nothing};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Longer than anything may wait.
const AGES: Duration = Duration::from_secs(11 * 365 * 24 * 3_600);

async fn engine() -> TestEngine {
    TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn assert_says(error: &dyn std::fmt::Display, said: &str) {
    let error = error.to_string();
    assert!(error.contains(said), "{error:?} does not say {said:?}");
    assert!(error.len() < 600, "{} bytes of message", error.len());
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn what_is_no_rule_is_refused_where_it_is_made() {
    let every = Recurrence::every;
    let (new_year, eve) = (at("2027-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
    for (made, said) in [
        (every(Duration::ZERO), "the interval is 0s, and the shortest is 1 ms"),
        (every(Duration::from_micros(999)), "the interval is 999us, and the shortest is 1 ms"),
        (every(Duration::MAX), "the interval is out of range"),
        (every(HOUR).unwrap().count(0), "`count` is 0; take 1 or more"),
        (
            every(HOUR).unwrap().from(new_year).unwrap().until(eve),
            "`until` (2026-12-31T00:00:00.000000Z) lies before `from`",
        ),
        (
            every(HOUR).unwrap().until(eve).unwrap().from(new_year),
            "lies before `from` (2027-01-01T00:00:00.000000Z)",
        ),
    ] {
        assert_says(&made.expect_err(said), said);
    }
    for (json, said) in [
        (r#"{"every":"-5s"}"#, "\"-5s\" is negative"),
        (r#"{"every":-5}"#, "an interval is not negative"),
        (r#"{"every":"0s"}"#, "the interval is 0s"),
        (r#"{"every":"99999999999999w"}"#, "is out of range"),
    ] {
        assert_says(&serde_json::from_str::<Recurrence>(json).expect_err(json), said);
    }
}

#[cfg(feature = "cron")]
#[test]
fn what_is_no_cron_is_refused_where_it_is_made() {
    for (expression, zone, said) in [
        ("0 0 31 2 *", "UTC", "\"0 0 31 2 *\" names no day that there is, such as 31 February"),
        ("0 0 30 2 *", "Europe/Berlin", "names no day that there is"),
        ("61 * * * *", "UTC", "has \"61\" for the minute"),
        ("0 24 * * *", "UTC", "has \"24\" for the hour"),
        ("0 0 * 13 *", "UTC", "has \"13\" for the month"),
        ("0 0 * *", "UTC", "has 4 fields; write five"),
        ("*/0 * * * *", "UTC", "has \"*/0\" for the minute"),
        ("", "UTC", "must be 1 to 255 printable ASCII characters"),
        ("0 0\u{7} * * *", "UTC", "printable ASCII characters"),
        (
            "0 0 * * *",
            "Mars/Phobos",
            "there is no time zone \"Mars/Phobos\"; write a name of the IANA database",
        ),
        ("0 0 * * *", "", "must be 1 to"),
    ] {
        assert_says(&Recurrence::cron(expression, zone).expect_err(expression), said);
    }
    let anchored = Recurrence::cron("0 0 * * *", "UTC").unwrap().anchor(TEN_O_CLOCK);
    assert_says(&anchored.unwrap_err(), "a cron expression has no anchor");
}

#[tokio::test]
async fn a_mistake_in_a_job_is_told_by_the_call_and_changes_nothing() {
    let engine = engine().await;
    type Job<'a> = fn(Schedule<'a>) -> Schedule<'a>;
    const NINE: [&str; 9] = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let mistakes: [(Job<'_>, &str); 14] = [
        (|job| job.key(""), "the key is empty"),
        (|job| job.key("k".repeat(513)), "the key has 513 bytes"),
        (|job| job.tags(NINE), "the tag \"9\" is one too many: a job may have 8"),
        (|job| job.tag("a\u{7}b"), "the tag \"a\\u{7}b\" has a control character at byte 1"),
        (|job| job.tag("é\r"), "the tag \"é\\r\" has a control character at byte 2"),
        (|job| job.tag(""), "a tag is empty"),
        (
            |job| job.header("trace\n", "v"),
            "the name of the header \"trace\\n\" has something else than visible ASCII",
        ),
        (
            |job| job.header("trace", "a\0b"),
            "the value of the header \"trace\" has a control character at byte 1",
        ),
        (
            |job| job.retry(Retry::attempts(3).fixed(Duration::MAX)),
            "the retry policy has the job wait for longer than the horizon",
        ),
        (
            |job| job.retry(Retry::attempts(40).exponential(HOUR).max(Duration::MAX)),
            "bound its waits with `Retry::max`",
        ),
        (|job| job.retry(Retry::attempts(u16::MAX).exponential(AGES)), "which is 3650 days"),
        (
            |job| job.options(JobOptions::default().with_retry(Retry::attempts(2).fixed(AGES))),
            "the retry policy has the job wait for longer than the horizon",
        ),
        // The first is told, and nothing that comes after it mends it.
        (|job| job.tag("").retry(Retry::attempts(3).fixed(Duration::MAX)).tag("fine"), "a tag is empty"),
        (|job| job.retry(Retry::attempts(3).fixed(AGES)).retry(Retry::attempts(3)), "the retry policy"),
    ];
    for (mistake, said) in mistakes {
        let error = mistake(engine.schedule_raw("q", "").key("k")).after(MINUTE).await.expect_err(said);
        assert_says(&error, said);
        assert_eq!(error.change(), Change::None, "{error}");
    }
    let job = || engine.schedule_raw("q", "").key("k");
    let every = |interval| Recurrence::every(interval).unwrap();
    for (call, said) in [
        (job().after(AGES), "the due time lies beyond the horizon, which is 3650 days ahead"),
        (job().at(at("2999-01-01T00:00:00Z")), "beyond the horizon"),
        (job().recurring(every(AGES)), "beyond the horizon"),
        (
            job().recurring(every(HOUR).until(TEN_O_CLOCK).unwrap()),
            "`until` (2026-12-01T10:00:00.000000Z) has passed; take a later one",
        ),
        (job().recurring(every(HOUR).until(at_ms(1)).unwrap()), "the rule names no instant from"),
        (job().recurring(every(HOUR).until(at("1970-01-01T00:00:00Z")).unwrap()), "has passed"),
        (engine.schedule_raw("other", "").after(MINUTE), "there is no queue named \"other\""),
        (engine.schedule_raw("q", vec![0; 1 << 20]).after(MINUTE), "the payload has 1048576 bytes"),
    ] {
        let error: ScheduleError = call.await.expect_err(said);
        assert_says(&error, said);
        assert_eq!(error.change(), Change::None, "{error}");
    }
    engine.assert_nothing_scheduled();
    assert_eq!(engine.jobs(), 0);
}

#[test]
fn what_cannot_be_is_refused_as_a_value_too() {
    assert_says(&Key::new("").unwrap_err(), "empty");
    assert_says(&Tags::new((0..9).map(|n| n.to_string())).unwrap_err(), "one too many");
    assert_says(&Headers::new((0..17).map(|n| (n.to_string(), ""))).unwrap_err(), "one too many");
    assert_says(&Headers::new([("a b", "")]).unwrap_err(), "at byte 1");
}

#[tokio::test]
async fn an_edit_that_cannot_be_leaves_the_job_as_it_was() {
    let engine = engine().await;
    engine.schedule_raw("q", "before").key("k").after(HOUR).await.unwrap().scheduled().unwrap();
    let error = engine.edit("k", Edit::payload(vec![0; 1 << 20])).await.unwrap_err();
    assert_says(&error, "the payload has 1048576 bytes");
    let error = engine.edit("k", Edit::queue("other".try_into().unwrap())).await.unwrap_err();
    assert_says(&error, "there is no queue named \"other\"");
    let error = engine.reschedule("k", TEN_O_CLOCK + AGES).await.unwrap_err();
    assert_says(&error, "beyond the horizon");
    let job = engine.assert_due("k", TEN_O_CLOCK + HOUR);
    assert_eq!((job.payload.as_bytes(), job.version.0), (&b"before"[..], 1));
}

/// The policy of a queue is looked at when the engine is built, or the queue added.
#[tokio::test]
async fn a_policy_that_waits_for_ages_is_refused_with_its_queue() {
    let ages = || reveille::QueueConfig::new("q").retry(Retry::attempts(3).fixed(AGES));
    let said = "the retry policy of the queue \"q\" has jobs wait for longer than the horizon";
    let error = Engine::builder().queue(ages(), nothing).start().await.unwrap_err();
    assert!(matches!(error, StartError::Queue(_)));
    assert_says(&error, said);
    assert_says(&engine_of_another().await.add_queue(ages(), nothing).unwrap_err(), said);
    // As far as the horizon is fine, and so it is with a wider one.
    let wider = Engine::builder().queue(ages(), nothing).horizon(2 * AGES).start().await;
    wider.unwrap();
    let near = Engine::builder().queue("q", nothing).horizon(DAY).start().await.unwrap();
    let week = Retry::attempts(3).fixed(7 * DAY);
    let error = near.schedule_raw("q", "").retry(week).after(SECOND).await.unwrap_err();
    assert_says(&error, "the horizon, which is 86400 seconds");
    let day = Retry::attempts(3).fixed(DAY);
    near.schedule_raw("q", "").retry(day).after(HOUR).await.unwrap().scheduled().unwrap();
}

async fn engine_of_another() -> Engine {
    Engine::builder().queue("other", nothing).start().await.unwrap()
}
