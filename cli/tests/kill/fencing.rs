//! Promise 5: an owner that was stopped for longer than its lease fires and writes nothing once it goes on.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use testkit::program::feed::now_us;
use testkit::program::{Run, micros, text};
use testkit::redis::RedisServer;

const NAMESPACE: [&str; 4] = ["--namespace", "fencing", "--durability", "logged"];

fn start(server: &RedisServer, more: &[&str]) -> Run {
    let store = server.url();
    Run::start(&[&["--store", &store], &NAMESPACE[..], more].concat())
}

/// Schedules `jobs` jobs, `every_ms` apart from a second from now on, and waits for their acknowledgements.
fn schedule(run: &mut Run, jobs: u64, every_ms: u64) {
    for n in 0..jobs {
        let line =
            json!({"op": "schedule", "key": format!("k{n}"), "in": format!("{}ms", 1_000 + n * every_ms)});
        run.write(&format!("{line}\n"));
    }
    for _ in 0..jobs {
        assert_eq!(text(&run.event(), "event"), "ack");
    }
}

#[test]
fn promise_5_an_owner_that_was_stopped_is_fenced() {
    let server = RedisServer::start(&[]);
    let mut a = start(&server, &["--lease", "500ms"]);
    schedule(&mut a, 200, 20);
    // In the middle of its work.
    let mut fired_by_a = Vec::new();
    while fired_by_a.len() < 20 {
        let event = a.event();
        fired_by_a.push(text(&event, "key").to_owned());
    }
    a.signal(Signal::STOP);
    let stopped_at = now_us();
    let mut b = start(&server, &["--lease", "500ms"]);
    let mut fired_by_b = Vec::new();
    while fired_by_b.len() < 50 {
        let event = b.event();
        fired_by_b.push(text(&event, "key").to_owned());
    }
    a.signal(Signal::CONT);
    // It says why, and ends by itself, although its input is still open.
    let ended = a.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("owner"), "{}", ended.stderr);
    for event in &ended.events {
        // What it was about to say when it was stopped, it may say.
        assert_eq!(text(event, "event"), "fired", "{event}");
        assert!(micros(event, "fired_at") <= stopped_at, "{event} was fired by an owner that is none");
        fired_by_a.push(text(event, "key").to_owned());
    }
    let line = json!({"op": "schedule", "key": "after", "in": 0});
    b.write(&format!("{line}\n"));
    let mut all = fired_by_a;
    all.append(&mut fired_by_b);
    while !all.iter().any(|key| key == "k199") || !all.iter().any(|key| key == "after") {
        let event = b.event();
        if event["event"] == "fired" {
            all.push(text(&event, "key").to_owned());
        }
    }
    for n in 0..200 {
        assert!(all.contains(&format!("k{n}")), "k{n} is lost");
    }
}

#[test]
fn promise_5_of_two_that_start_at_once_one_is_the_owner() {
    let server = RedisServer::start(&[]);
    for _ in 0..5 {
        let both = ["1", "2"].map(|_| start(&server, &["--lease", "2s", "--fail-if-owned"]));
        let mut owners = Vec::new();
        for mut run in both {
            run.write("{\"op\":\"lookup\",\"key\":\"k\"}\n");
            match run.event_within(Duration::from_secs(20)) {
                Some(event) => {
                    assert_eq!(text(&event, "outcome"), "not_found");
                    // It lives until the other has decided.
                    owners.push(run);
                }
                None => {
                    let ended = run.ended();
                    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
                    assert!(ended.stderr.contains("another"), "{}", ended.stderr);
                }
            }
        }
        assert_eq!(owners.len(), 1);
        for run in owners {
            run.signal(Signal::TERM);
            assert_eq!(run.ended().status.code(), Some(0));
        }
    }
}

/// A standby waits, and takes over when the owner is gone: at once when it was stopped properly.
#[test]
fn a_standby_takes_over() {
    let server = RedisServer::start(&[]);
    let mut a = start(&server, &["--lease", "1s"]);
    schedule(&mut a, 1, 0);
    let mut b = start(&server, &["--lease", "1s"]);
    b.write("{\"op\":\"schedule\",\"key\":\"mine\",\"in\":0}\n");
    let fired = a.event();
    assert_eq!((text(&fired, "event"), text(&fired, "key")), ("fired", "k0"));
    assert!(b.event_within(Duration::from_millis(1_500)).is_none(), "a standby does nothing");
    a.signal(Signal::TERM);
    assert_eq!(a.ended().status.code(), Some(0));
    let events = [b.event(), b.event()].map(|event| text(&event, "event").to_owned());
    assert!(events.contains(&"fired".to_owned()) && events.contains(&"ack".to_owned()));
}
