//! Jobs that come again: a rule in a line, occurrences that are skipped, the end, and a program that is killed between two.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use testkit::program::{Run, number, of_kind, run_through, text};
use testkit::redis::RedisServer;

fn outcome(run: &mut Run, line: &str) -> Value {
    run.write(&format!("{line}\n"));
    loop {
        let event = run.event();
        if ["ack", "error"].contains(&text(&event, "event")) {
            return event;
        }
    }
}

#[test]
fn a_job_comes_again_until_its_rule_ends() {
    let input = "{\"op\":\"schedule\",\"key\":\"k\",\"every\":\"40ms\",\"count\":4,\"payload\":{\"a\":1}}\n\
                 {\"op\":\"schedule\",\"key\":\"c\",\"cron\":\"* * * * * *\",\"zone\":\"Europe/Berlin\",\"count\":1}\n";
    let ended = run_through(&[], input);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let fired: Vec<&Value> = of_kind(&ended.events, "fired").filter(|event| event["key"] == "k").collect();
    let skipped: u64 = of_kind(&ended.events, "skipped")
        .filter(|event| event["key"] == "k")
        .map(|event| number(event, "count"))
        .sum();
    // However busy the machine: each of the four ran, or is accounted for.
    assert_eq!(fired.len() as u64 + skipped, 4, "{:?}", ended.events);
    let instants: BTreeSet<&str> = fired.iter().map(|event| text(event, "scheduled_for")).collect();
    assert_eq!(instants.len(), fired.len(), "each for another instant");
    assert!(fired.iter().all(|event| number(event, "attempt") == 1 && event["payload"]["a"] == 1));
    let clock: Vec<&Value> = of_kind(&ended.events, "fired").filter(|event| event["key"] == "c").collect();
    assert!(clock.len() == 1 && text(clock[0], "scheduled_for").ends_with(".000000Z"), "{clock:?}");
}

#[test]
fn what_comes_due_while_a_command_runs_is_skipped_with_a_count_and_a_reason() {
    let input = "{\"op\":\"schedule\",\"key\":\"k\",\"every\":\"50ms\",\"count\":12}\n";
    let ended = run_through(&["--exec", "sleep 0.2"], input);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let fired = of_kind(&ended.events, "fired").count() as u64;
    let skipped: Vec<&Value> = of_kind(&ended.events, "skipped").collect();
    let count: u64 = skipped.iter().map(|event| number(event, "count")).sum();
    assert_eq!(fired + count, 12);
    let overlaps = skipped.iter().filter(|event| text(event, "reason") == "overlap");
    assert!(overlaps.map(|event| number(event, "count")).sum::<u64>() >= 3, "{skipped:?}");
}

#[test]
fn the_same_line_again_changes_nothing_and_a_cancel_ends_it() {
    let mut run = Run::start(&[]);
    let line = r#"{"op":"schedule","key":"k","every":"1h"}"#;
    assert_eq!(text(&outcome(&mut run, line), "outcome"), "scheduled");
    let due = |run: &mut Run| {
        let found = outcome(run, r#"{"op":"lookup","key":"k"}"#);
        (text(&found, "due").to_owned(), number(&found, "version"))
    };
    let before = due(&mut run);
    assert_eq!(text(&outcome(&mut run, line), "outcome"), "kept");
    assert_eq!(due(&mut run), before);
    let changed = outcome(&mut run, r#"{"op":"schedule","key":"k","every":"2h"}"#);
    assert_eq!(text(&changed, "outcome"), "replaced");
    let rejected = outcome(&mut run, r#"{"op":"schedule","key":"k","every":"3h","on_conflict":"reject"}"#);
    assert_eq!(text(&rejected, "outcome"), "already_scheduled");
    let past =
        outcome(&mut run, r#"{"op":"schedule","key":"l","every":"1s","until":"2020-01-01T00:00:00Z"}"#);
    assert_eq!(text(&past, "error"), "`until` (2020-01-01T00:00:00.000000Z) has passed; take a later one");
    assert_eq!(text(&outcome(&mut run, r#"{"op":"cancel","key":"k"}"#), "outcome"), "cancelled");
    assert_eq!(text(&outcome(&mut run, r#"{"op":"lookup","key":"k"}"#), "outcome"), "not_found");
    run.signal(Signal::TERM);
    // One line was wrong.
    assert_eq!(run.ended().status.code(), Some(1));
}

/// The program says the same line at each start, as a service does.
#[test]
fn promise_2_no_occurrence_is_lost_or_doubled_when_the_program_is_killed() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let store = server.url();
    let args = ["--store", &store, "--namespace", "recurring", "--durability", "logged", "--lease", "150ms"];
    let line = r#"{"op":"schedule","key":"k","every":"100ms","anchor":0}"#;
    // Each instant that was reported, the last one, and how many were said to be passed over.
    let mut told = Told::default();
    for kill in 0..5 {
        let mut run = Run::start(&args);
        run.write(&format!("{line}\n"));
        let ack = loop {
            let event = run.event();
            if text(&event, "event") == "ack" {
                break event;
            }
            told.take(&event);
        };
        let expected = if kill == 0 { "scheduled" } else { "kept" };
        assert_eq!(text(&ack, "outcome"), expected, "{ack}");
        for _ in 0..3 {
            told.take(&run.event());
        }
        run.signal(Signal::KILL);
        run.ended().events.iter().for_each(|event| told.take(event));
        told.killed();
        // Two or three come due meanwhile.
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut run = Run::start(&args);
    told.take(&run.event());
    run.write("{\"op\":\"cancel\",\"key\":\"k\",\"and_after\":true}\n");
    loop {
        let event = run.event();
        if text(&event, "event") == "ack" {
            assert!(["cancelled", "running"].contains(&text(&event, "outcome")), "{event}");
            break;
        }
        told.take(&event);
    }
    run.signal(Signal::TERM);
    run.ended().events.iter().for_each(|event| told.take(event));
    let Told { fired, passed, .. } = told;
    assert!(fired.len() >= 6 && passed >= 5, "{} ran, {passed} were passed over", fired.len());
}

#[derive(Default)]
struct Told {
    fired: BTreeSet<String>,
    last: Option<String>,
    /// What the process before had begun last: it may have been cut short.
    may_come_again: Option<String>,
    passed: u64,
}

impl Told {
    fn take(&mut self, event: &Value) {
        match text(event, "event") {
            "fired" => {
                let instant = text(event, "scheduled_for").to_owned();
                let is_new = self.fired.insert(instant.clone());
                let is_again = self.may_come_again.as_ref() == Some(&instant);
                assert!(is_new || is_again, "{event} came before");
                self.last = Some(instant);
            }
            "skipped" => self.passed += number(event, "count"),
            other => panic!("{other} was not asked for"),
        }
    }

    fn killed(&mut self) {
        self.may_come_again = self.last.take();
    }
}
