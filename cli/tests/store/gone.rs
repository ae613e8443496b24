//! Who is gone: the reader of the output, the terminal, the writers of a pipe. The jobs stay, and others may have them at
//! once.

use std::process::Command;
use std::time::Duration;

use reveille::Clock;
use rustix::process::Signal;

use crate::{exported, line_at, run, tell};
use testkit::program::{Fifo, Run, text};
use testkit::redis::RedisServer;
use testkit::wait::wait_until;

/// Jobs of both deliveries that are due together.
const JOBS: usize = 20;

fn jobs(after: Duration) -> String {
    let line = |at: usize| {
        let (line, _) = line_at(&format!("k{at}"), "q", after);
        let delivery = if at.is_multiple_of(2) { "at_most_once" } else { "at_least_once" };
        line.replace("\"op\"", &format!("\"delivery\":\"{delivery}\",\"op\""))
    };
    (0..JOBS).map(line).collect()
}

/// Nobody owns the jobs, and all are there.
fn all_are_left(server: &RedisServer, jobs: usize) {
    assert_eq!(exported(server, "ns").lines().count(), jobs);
}

#[test]
fn a_reader_that_goes_away_uses_up_no_job() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &[]);
    owner.write(&jobs(Duration::from_secs(5)));
    owner.close_output_after(JOBS);
    let ended = owner.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let said = format!("reveille: the output was closed; {JOBS} jobs stay pending in the store\n");
    assert!(ended.stderr.ends_with(&said), "{}", ended.stderr);
    all_are_left(&server, JOBS);

    // Each fires for the next one, once.
    let mut next = run(&server, "ns", &["--exit-when-idle", "--fail-if-owned"]);
    next.end_input();
    let ended = next.ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), JOBS), "{}", ended.stderr);
    assert!(ended.events.iter().all(|event| event["attempt"] == 1));
}

#[test]
fn what_could_not_be_written_was_not_done() {
    let server = RedisServer::start(&[]);
    let line = |at: usize| format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"at\":0}}\n");
    let lines: String = (0..JOBS).map(line).collect();
    assert_eq!(tell(&server, "ns", &["import"], &lines).status.code(), Some(0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    command.args(["run", "--store", &server.url(), "--namespace", "ns"]);
    let ended = Run::spawn_to(&mut command, full.into()).ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("No space left") && ended.stderr.contains("in the store"),
        "{}",
        ended.stderr
    );
    all_are_left(&server, JOBS);
}

#[test]
fn a_reader_that_stands_still_does_not_keep_the_jobs_from_the_next() {
    const MANY: usize = 3_000;
    let server = RedisServer::start(&[]);
    // A few are written at once; the pipe is full before the others are, which may be written in one go.
    let begin_us = Clock::System.now().wall.as_micros();
    let line = |at: usize| {
        let due_s = if at < 10 { 0 } else { begin_us / 1_000_000 + 6 };
        format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"at\":{due_s}}}\n")
    };
    let lines: String = (0..MANY).map(line).collect();
    assert_eq!(tell(&server, "ns", &["import"], &lines).status.code(), Some(0));
    let mut owner = run(&server, "ns", &["--lease", "60s"]);
    wait_until("the few are written", || {
        tell(&server, "ns", &["export", "--force"], "").stdout.lines().count() < MANY
    });
    let others_due_us = begin_us + 6_000_000;
    wait_until("the others are due", || Clock::System.now().wall.as_micros() > others_due_us + 1_000_000);
    owner.signal(Signal::TERM);
    let ended = owner.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the output was not read in time"), "{}", ended.stderr);
    let left = exported(&server, "ns").lines().count();
    assert!(left > 0 && left < MANY, "{left} jobs are left");
}

#[test]
fn a_standby_whose_reader_goes_away_ends() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &[]);
    owner.write(&jobs(Duration::from_secs(3600)));
    owner.event();
    let mut standby = run(&server, "ns", &[]);
    standby.says("waiting for another process");
    standby.close_output();
    let ended = standby.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("the output was closed before anything was begun"), "{}", ended.stderr);
}

#[test]
fn every_signal_gives_the_jobs_to_the_next() {
    let server = RedisServer::start(&[]);
    for (at, signal) in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].into_iter().enumerate() {
        // That the last one is out of the way shows in that this one may begin.
        let mut owner = run(&server, "ns", &["--lease", "60s", "--fail-if-owned"]);
        owner.write(&format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"in\":\"1h\"}}\n"));
        assert_eq!(text(&owner.event(), "outcome"), "scheduled");
        owner.signal(signal);
        let ended = owner.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {}", ended.stderr);
        all_are_left(&server, at + 1);
    }
}

#[test]
fn jobs_fire_before_anybody_opens_the_pipe() {
    let server = RedisServer::start(&[]);
    let overdue = "{\"op\":\"schedule\",\"key\":\"overdue\",\"at\":0}\n";
    assert_eq!(tell(&server, "ns", &["import"], overdue).status.code(), Some(0));
    for more in [&[][..], &["--exit-when-idle"]] {
        let inbox = Fifo::new(&format!("store-{}", more.len()));
        let mut owner = run(&server, "ns", &[&[inbox.path()], more].concat());
        if more.is_empty() {
            assert_eq!(text(&owner.event(), "key"), "overdue");
        }
        inbox.write("{\"op\":\"lookup\",\"key\":\"overdue\"}\n");
        // It was written, but its handler may not have ended yet.
        let found = owner.event();
        assert!(["running", "already_fired"].contains(&text(&found, "outcome")), "{found}");
        owner.signal(Signal::TERM);
        assert_eq!(owner.ended().status.code(), Some(0));
    }
}
