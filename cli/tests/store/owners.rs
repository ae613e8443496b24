//! One process at a time owns the jobs of a namespace. The others wait, or are told.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{LEASE, line_at, run, tell};
use testkit::program::{Run, of_kind, text};
use testkit::redis::RedisServer;

const FAR: &str = "{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n";
const LOOKUP: &str = "{\"op\":\"lookup\",\"key\":\"far\"}\n";

/// A run that has acknowledged a line, and one that waits for it to end.
fn owner_and_standby(server: &RedisServer, lease: &[&str]) -> (Run, Run) {
    let mut owner = run(server, "ns", lease);
    owner.write(FAR);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    let mut standby = run(server, "ns", lease);
    standby.write(LOOKUP);
    standby.says("waiting for another process to end");
    assert!(standby.event_within(Duration::from_millis(300)).is_none(), "it does not wait");
    (owner, standby)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "that it does not take as long as the lease is the point")]
fn a_standby_takes_over_at_once_when_the_owner_is_stopped() {
    let server = RedisServer::start(&[]);
    let (owner, mut standby) = owner_and_standby(&server, &["--lease", "5min"]);
    owner.signal(Signal::TERM);
    assert_eq!(owner.ended().status.code(), Some(0));
    let stopped = Instant::now();
    assert_eq!(text(&standby.event(), "outcome"), "scheduled");
    assert!(stopped.elapsed() < Duration::from_secs(30), "it took {:?}", stopped.elapsed());
    standby.signal(Signal::TERM);
    let ended = standby.ended();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stderr.matches("waiting for another").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("the jobs are this process's now"), "{}", ended.stderr);
}

#[test]
fn a_standby_takes_over_from_a_killed_owner_when_its_lease_has_ended() {
    let server = RedisServer::start(&[]);
    let (mut owner, mut standby) = owner_and_standby(&server, &LEASE);
    owner.kill();
    assert_eq!(text(&standby.event(), "outcome"), "scheduled");
}

/// A process of the same machine is proved to have ended: nobody waits for the end of its lease.
#[test]
#[allow(clippy::disallowed_methods, reason = "that it does not take as long as the lease is the point")]
fn a_standby_takes_over_at_once_from_a_killed_owner_of_this_machine() {
    let server = RedisServer::start(&[]);
    let (mut owner, mut standby) = owner_and_standby(&server, &["--lease", "5min"]);
    let killed = Instant::now();
    owner.kill();
    assert_eq!(text(&standby.event(), "outcome"), "scheduled");
    assert!(killed.elapsed() < Duration::from_secs(30), "it took {:?}", killed.elapsed());
}

/// Nobody can write over what somebody has put in the way, so nobody says that the jobs are kept.
#[test]
fn an_owner_whose_store_cannot_be_mended_does_not_end_well() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &LEASE);
    owner.write(FAR);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    let take = "for _, k in ipairs(redis.call('KEYS', '*:m')) do redis.call('DEL', k) redis.call('SET', k, 'mine') end";
    server.run(&["EVAL", take, "0"]);
    owner.says("holds something that Reveille has not written there");
    owner.signal(Signal::TERM);
    let ended = owner.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 job stays pending; the store has lost"), "{}", ended.stderr);
}

#[test]
fn a_standby_waits_through_an_outage() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (mut owner, mut standby) = owner_and_standby(&server, &LEASE);
    server.kill();
    standby.says("waiting for the store waited_s=");
    owner.kill();
    server.restart();
    assert_eq!(text(&standby.event(), "outcome"), "scheduled");
}

#[test]
fn a_standby_can_be_stopped() {
    let server = RedisServer::start(&[]);
    let (_owner, standby) = owner_and_standby(&server, &LEASE);
    standby.signal(Signal::INT);
    let ended = standby.ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 0));
    assert!(ended.stderr.ends_with("stopped by SIGINT before anything was begun\n"), "{}", ended.stderr);
}

#[test]
fn who_will_not_wait_is_told_who_is_there() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &[]);
    owner.write(FAR);
    owner.event();
    let ended = run(&server, "ns", &["--fail-if-owned"]).ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(2), 0));
    assert!(ended.stderr.contains("another process has the jobs"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("waiting"), "{}", ended.stderr);
    // It has changed nothing for the owner.
    owner.write(LOOKUP);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
}

#[test]
fn an_owner_whose_jobs_are_taken_fires_none_from_then_on() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &LEASE);
    for at in 0..300 {
        owner.write(&line_at(&format!("k{at}"), "q", Duration::from_millis(1_000 + 20 * at)).0);
    }
    for _ in 0..300 {
        assert_eq!(text(&owner.event(), "event"), "ack");
    }
    // By force, while it is firing. The import itself fires nothing, although jobs come due meanwhile.
    let fired = text(&owner.event(), "key").to_owned();
    let import = tell(&server, "ns", &["import", "--force"], "");
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    let ended = owner.ended();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("reveille: stopped since the jobs are another's"), "{}", ended.stderr);
    assert_eq!(of_kind(&ended.events, "error").count(), 0);

    let mut next = run(&server, "ns", &["--exit-when-idle"]);
    next.end_input();
    let rest = next.ended();
    assert_eq!(rest.status.code(), Some(0), "{}", rest.stderr);
    let mut all: Vec<&str> = vec![&fired];
    all.extend(ended.events.iter().chain(&rest.events).map(|event| text(event, "key")));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 300, "jobs are lost");
    assert!(rest.events.len() > 100, "the owner went on until it had fired {} jobs", ended.events.len());
}

#[test]
fn namespaces_are_apart() {
    let server = RedisServer::start(&[]);
    let mut one = run(&server, "one", &[]);
    let mut other = run(&server, "other", &[]);
    one.write(FAR);
    assert_eq!(text(&one.event(), "outcome"), "scheduled");
    other.write(LOOKUP);
    assert_eq!(text(&other.event(), "outcome"), "not_found");
    other.write(FAR);
    assert_eq!(text(&other.event(), "outcome"), "scheduled");
}
