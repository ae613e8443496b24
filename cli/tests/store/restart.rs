//! What a store is for: the next run goes on where the last one ended, however it ended.

use std::time::Duration;

use rustix::process::Signal;

use crate::{LEASE, inspected, line_at, run};
use testkit::program::{micros, of_kind, text};
use testkit::redis::RedisServer;

#[test]
fn a_job_of_a_killed_run_fires_when_it_is_due_and_not_before() {
    let server = RedisServer::start(&[]);
    let mut first = run(&server, "ns", &LEASE);
    let (line, due) = line_at("tea", "kitchen", Duration::from_millis(1_500));
    first.write(&line);
    assert_eq!(text(&first.event(), "outcome"), "scheduled");
    first.kill();

    // No line names its queue, and there is no line at all.
    let mut second = run(&server, "ns", &[&["--exit-when-idle"], &LEASE[..]].concat());
    second.end_input();
    let fired = second.event();
    assert_eq!(
        (text(&fired, "key"), text(&fired, "queue"), &fired["payload"]),
        ("tea", "kitchen", &"tea".into())
    );
    assert_eq!(micros(&fired, "due"), due);
    assert!(micros(&fired, "fired_at") >= due, "early: {fired}");
    let ended = second.ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 0), "{}", ended.stderr);
}

#[test]
fn a_job_that_came_due_while_nobody_was_there_fires_late() {
    let server = RedisServer::start(&[]);
    let mut first = run(&server, "ns", &LEASE);
    let (line, due) = line_at("tea", "kitchen", Duration::from_millis(300));
    first.write(&line);
    first.event();
    first.signal(Signal::TERM);
    let ended = first.ended();
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        ended.stderr.ends_with("stopped by SIGTERM; 1 job stays pending in the store\n"),
        "{}",
        ended.stderr
    );
    std::thread::sleep(Duration::from_millis(400));

    let mut second = run(&server, "ns", &LEASE);
    let fired = second.event();
    assert_eq!((text(&fired, "key"), micros(&fired, "due")), ("tea", due));
}

#[test]
fn a_cancel_that_was_acknowledged_holds() {
    let server = RedisServer::start(&[]);
    let mut first = run(&server, "ns", &LEASE);
    for key in ["gone", "stays", "moved"] {
        first.write(&line_at(key, "q", Duration::from_millis(900)).0);
    }
    first.write("{\"op\":\"cancel\",\"key\":\"gone\"}\n{\"op\":\"reschedule\",\"key\":\"moved\",\"in\":0}\n");
    let events: Vec<_> = (0..6).map(|_| first.event()).collect();
    assert_eq!(of_kind(&events, "fired").count(), 1);
    first.kill();

    let mut second = run(&server, "ns", &[&["--exit-when-idle"], &LEASE[..]].concat());
    second.end_input();
    let ended = second.ended();
    let fired: Vec<&str> = of_kind(&ended.events, "fired").map(|event| text(event, "key")).collect();
    // `moved` may fire again: its line was written, and its end may not have been.
    assert!(fired.contains(&"stays") && !fired.contains(&"gone"), "{fired:?}");
}

#[test]
fn what_has_fired_is_remembered_and_does_not_fire_again() {
    let server = RedisServer::start(&[]);
    let mut first = run(&server, "ns", &["--exit-when-idle"]);
    first.write("{\"op\":\"schedule\",\"key\":\"k\",\"in\":0}\n");
    first.end_input();
    assert_eq!(first.ended().status.code(), Some(0));
    // The leases were given back.
    let found = inspected(&server, "ns");
    assert!(
        found["partitions"].as_array().unwrap().iter().all(|one| one["lease_left_ms"].is_null()),
        "{found}"
    );

    let mut second = run(&server, "ns", &["--exit-when-idle", "--fail-if-owned"]);
    second.write("{\"op\":\"lookup\",\"key\":\"k\"}\n");
    second.end_input();
    let ended = second.ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 1), "{}", ended.stderr);
    assert_eq!(text(&ended.events[0], "outcome"), "already_fired");
}

#[test]
fn payloads_of_any_bytes_and_delivery_come_back() {
    let server = RedisServer::start(&[]);
    let mut first = run(&server, "ns", &LEASE);
    first.write(concat!(
        "{\"op\":\"schedule\",\"key\":\"bytes\",\"in\":1,\"payload_base64\":\"AP8=\",\"delivery\":\"at_most_once\"}\n",
        "{\"op\":\"schedule\",\"key\":\"lines\",\"in\":1,\"payload_base64\":\"WzEsCjJd\",\"delivery\":\"at_least_once\"}\n",
    ));
    assert_eq!([first.event(), first.event()].map(|ack| text(&ack, "outcome").to_owned()), ["scheduled"; 2]);
    first.kill();

    let mut second = run(&server, "ns", &[&["--exit-when-idle"], &LEASE[..]].concat());
    second.end_input();
    let ended = second.ended();
    let of = |key: &str| ended.events.iter().find(|event| event["key"] == key).unwrap();
    assert_eq!((text(of("bytes"), "payload_base64"), of("bytes").get("payload")), ("AP8=", None));
    // JSON of several lines is written on one.
    assert_eq!(
        (&of("lines")["payload"], of("lines").get("payload_base64")),
        (&serde_json::json!([1, 2]), None)
    );
}

#[test]
fn a_durability_that_cannot_be_had_is_said_before_anything_begins() {
    let server = RedisServer::start(&[]);
    let ended = run(&server, "ns", &["--durability", "fsync"]).ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(2), 0));
    assert!(ended.stderr.contains("fsync"), "{}", ended.stderr);

    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    for level in ["memory", "logged", "fsync"] {
        let mut run = run(&server, "ns", &["--durability", level, "--exit-when-idle"]);
        run.write("{\"op\":\"schedule\",\"key\":\"k\",\"in\":0}\n");
        run.end_input();
        let ended = run.ended();
        assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 2), "{level}: {}", ended.stderr);
    }
}

#[test]
fn a_redis_that_goes_away_leaves_lines_unacknowledged_and_the_end_says_so() {
    let mut server = RedisServer::start(&[]);
    let mut child = run(&server, "ns", &["--single-owner"]);
    child.write("{\"op\":\"schedule\",\"key\":\"kept\",\"in\":\"1h\"}\n");
    assert_eq!(text(&child.event(), "outcome"), "scheduled");
    server.kill();
    child.write("{\"op\":\"schedule\",\"key\":\"doubtful\",\"in\":\"1h\"}\n");
    child.write("{\"op\":\"schedule\",\"key\":\"fires\",\"in\":0}\n");
    // It goes on firing, since nobody else does.
    assert_eq!(text(&child.event(), "key"), "fires");
    child.signal(Signal::TERM);
    let ended = child.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("jobs stay pending; the store has not confirmed"), "{}", ended.stderr);
    // Each line that was read has an answer, and those two say that it is not known.
    assert_eq!(of_kind(&ended.events, "error").count(), 2, "{:?}", ended.events);
}
