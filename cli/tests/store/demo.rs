//! `reveille demo` on a store: the same promises, and nothing left behind.

use rustix::process::Signal;
use serde_json::Value;

use crate::{exported, run, tell};
use testkit::program::{Run, text};
use testkit::redis::RedisServer;
use testkit::wait::wait_until;

#[test]
fn a_morning_is_kept_and_leaves_nothing_behind() {
    let server = RedisServer::start(&[]);
    let store = server.url();
    let ended = Run::program(&["demo", "--jobs", "3000", "--json", "--store", &store]).finish("");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    for (field, jobs) in [("scheduled", 3_000), ("early", 0), ("lost", 0), ("fired_after_cancel", 0)] {
        assert_eq!(report[field], jobs, "{field}: {report}");
    }
    let kept = &report["store"];
    assert_eq!((&kept["acknowledged"], &kept["pending_at_end"]), (&3_000.into(), &0.into()), "{report}");
    assert!(kept["acknowledging_us"].as_u64().is_some_and(|us| us > 0), "{report}");
    assert!(kept["commit_delay_us"]["p99"].as_u64().is_some_and(|us| us > 0), "{report}");
    assert_eq!(exported(&server, "reveille-demo"), "");

    // It can be done again, and shown as a table.
    let ended = Run::program(&["demo", "--jobs", "1000", "--store", &store]).finish("");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("acknowledged") && ended.stdout.contains("until the store has a change"));
}

#[test]
fn jobs_that_are_there_are_left_alone() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &[]);
    owner.write("{\"op\":\"schedule\",\"key\":\"sale:1\",\"queue\":\"open_sale\",\"at\":2000000000}\n");
    owner.event();
    owner.signal(Signal::TERM);
    assert_eq!(owner.ended().status.code(), Some(0));
    let before = exported(&server, "ns");
    let ended = tell(&server, "ns", &["demo", "--jobs", "10"], "");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("holds 1 job"), "{}", ended.stderr);
    assert_eq!(exported(&server, "ns"), before);
}

#[test]
fn a_morning_that_is_stopped_calls_its_jobs_off() {
    let server = RedisServer::start(&[]);
    let store = server.url();
    let demo = Run::program(&["demo", "--jobs", "2000", "--store", &store, "--namespace", "ns"]);
    wait_until("its jobs are there", || {
        tell(&server, "ns", &["export", "--force"], "").stdout.lines().count() > 1_000
    });
    demo.signal(Signal::INT);
    let ended = demo.finish("");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("stopped by SIGINT; all jobs were called off"), "{}", ended.stderr);
    assert_eq!(exported(&server, "ns"), "");
    let mut run = run(&server, "ns", &["--exit-when-idle", "--fail-if-owned"]);
    run.write("{\"op\":\"lookup\",\"key\":\"sale:0\"}\n");
    run.end_input();
    let outcome = text(&run.event(), "outcome").to_owned();
    assert!(outcome == "not_found" || outcome == "already_fired", "{outcome}");
}
