//! Much of it: a hundred thousand lines, a consumer that does not read, a key that is used again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use reveille::Clock;
use serde_json::{Value, json};

use testkit::program::{Run, micros, number, of_kind, run_through, text};

const LINES: usize = 100_000;

/// Six schedules, then a move, a cancellation, a look and one more schedule, all of keys of before.
fn line(at: usize) -> Value {
    let earlier = |by: usize| format!("key-{}", at.saturating_sub(by));
    match at % 10 {
        6 => json!({"op": "reschedule", "key": earlier(3), "in": format!("{}ms", at * 7 % 300)}),
        7 => json!({"op": "cancel", "key": earlier(5)}),
        8 => json!({"op": "lookup", "key": earlier(4)}),
        _ => json!({
            "op": "schedule",
            "key": format!("key-{at}"),
            "queue": format!("queue-{}", at % 3),
            "in": (at * 7919 % 300) as f64 / 1000.0,
            "payload": {"at": at},
        }),
    }
}

#[test]
fn a_hundred_thousand_lines() {
    let mut run = Run::start(&["--exit-when-idle"]);
    let begun = Clock::System.now().wall.as_micros();
    let writer = run.write_behind((0..LINES).map(|at| line(at).to_string()));
    let ended = run.ended();
    writer.join().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));

    let acks: Vec<&Value> = of_kind(&ended.events, "ack").collect();
    assert_eq!(acks.len(), LINES);
    assert_eq!(of_kind(&ended.events, "error").count(), 0);
    // What each key is due at the earliest, by the clock of before the first line; `None` once cancelled.
    let mut pending: HashMap<String, Option<i64>> = HashMap::new();
    for (at, ack) in acks.into_iter().enumerate() {
        let asked = line(at);
        assert_eq!(number(ack, "line"), at as u64 + 1, "{ack}");
        assert_eq!((&ack["op"], &ack["key"]), (&asked["op"], &asked["key"]));
        let key = text(ack, "key").to_owned();
        match (text(ack, "op"), text(ack, "outcome")) {
            ("schedule", "scheduled") => {
                let delay_us = (asked["in"].as_f64().unwrap() * 1e6).round() as i64;
                pending.insert(key, Some(begun + delay_us));
            }
            ("reschedule", "rescheduled") => {
                let delay_us = (at * 7 % 300) as i64 * 1_000;
                pending.insert(key, Some(begun + delay_us));
            }
            ("cancel", "cancelled") => {
                pending.insert(key, None);
            }
            ("reschedule" | "cancel" | "lookup", "running" | "already_fired") => {}
            ("lookup", "scheduled") => assert_eq!(number(ack, "version"), 1, "{ack}"),
            other => panic!("{other:?}: {ack}"),
        }
    }
    for fired in of_kind(&ended.events, "fired") {
        let key = text(fired, "key");
        // Removed, so that a key that fires twice is not found the second time.
        let due = pending.remove(key).unwrap_or_else(|| panic!("fired twice or out of nowhere: {fired}"));
        let earliest = due.unwrap_or_else(|| panic!("fired after it was cancelled: {fired}"));
        let (due, fired_at) = (micros(fired, "due"), micros(fired, "fired_at"));
        assert!(fired_at >= due && fired_at >= earliest, "early: {fired}, not before {earliest}");
        assert_eq!(number(fired, "attempt"), 1);
        let at: usize = key["key-".len()..].parse().unwrap();
        assert_eq!(fired["payload"], json!({"at": at}));
        assert_eq!(text(fired, "queue"), format!("queue-{}", at % 3));
    }
    let lost: Vec<_> = pending.iter().filter(|(_, due)| due.is_some()).collect();
    assert!(lost.is_empty(), "never fired: {lost:?}");
}

#[test]
fn a_consumer_that_reads_slowly_loses_nothing_and_memory_stays_bounded() {
    const JOBS: usize = 20_000;
    const LOOKUPS: usize = 400_000;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let mut run = Run::start(&["--exit-when-idle"]);
    let schedules =
        (0..JOBS).map(|at| json!({"op": "schedule", "key": format!("k{at}"), "in": 0, "payload": at}));
    let lookups = (0..LOOKUPS).map(|_| json!({"op": "lookup", "key": "none"}));
    let lines = schedules.chain(lookups).map(move |line| {
        count.fetch_add(1, Ordering::Relaxed);
        line.to_string()
    });
    let writer = run.write_behind(lines);
    // Nobody reads: before long the input is not taken any more either.
    let mut before = usize::MAX;
    for _ in 0..240 {
        thread::sleep(Duration::from_millis(500));
        let now = written.load(Ordering::Relaxed);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < JOBS, "{before} lines were taken though nothing was read");
    #[cfg(target_os = "linux")]
    assert!(run.memory_kib() < 256 * 1024, "{} KiB", run.memory_kib());

    let ended = run.ended();
    writer.join().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let lines: Vec<u64> = of_kind(&ended.events, "ack").map(|ack| number(ack, "line")).collect();
    assert!(lines.iter().copied().eq(1..=(JOBS + LOOKUPS) as u64), "acks are missing or out of order");
    let mut fired: Vec<u64> = of_kind(&ended.events, "fired").map(|event| number(event, "payload")).collect();
    fired.sort_unstable();
    assert!(fired.into_iter().eq(0..JOBS as u64), "jobs were lost, or fired twice");
}

#[test]
fn the_jobs_of_one_key_come_out_in_their_order() {
    const LINES: u64 = 30_000;
    let line = |at: u64| json!({"op": "schedule", "key": "same", "queue": format!("q{}", at % 4), "in": 0, "payload": at});
    let input: Vec<String> = (1..=LINES).map(|at| line(at).to_string()).collect();
    let ended = run_through(&["--tick", "1us"], &input.join("\n"));
    assert_eq!(ended.status.code(), Some(0));
    let is_taken = |ack: &&Value| ack["outcome"] == "scheduled";
    let taken: Vec<u64> =
        of_kind(&ended.events, "ack").filter(is_taken).map(|ack| number(ack, "line")).collect();
    let fired: Vec<u64> = of_kind(&ended.events, "fired").map(|event| number(event, "payload")).collect();
    assert!(taken.len() > 1, "the key was taken once only");
    assert_eq!(fired, taken);
}
