//! One process at a time has the store. The others wait, or are told who has it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{Disk, FAR, LOOKUP, exported, inspected};
use testkit::program::{Run, text};

/// A run that has acknowledged a line, and one that waits for it to end.
fn owner_and_standby(disk: &Disk) -> (Run, Run) {
    let mut owner = disk.run("ns", &[]);
    owner.write(FAR);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    let mut standby = disk.run("ns", &[]);
    standby.write(LOOKUP);
    standby.says("waiting for another process to end");
    assert!(standby.event_within(Duration::from_millis(300)).is_none(), "it does not wait");
    (owner, standby)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "that nobody waits for a lease to end is the point")]
fn a_standby_takes_over_at_once_however_the_owner_ends() {
    for signal in [Signal::TERM, Signal::KILL] {
        let disk = Disk::new();
        let (owner, mut standby) = owner_and_standby(&disk);
        let ended = Instant::now();
        owner.signal(signal);
        assert_eq!(text(&standby.event(), "outcome"), "scheduled");
        assert!(ended.elapsed() < Duration::from_secs(30), "{signal:?}: it took {:?}", ended.elapsed());
        standby.says("the jobs are this process's now");
        standby.signal(Signal::TERM);
        assert_eq!(standby.ended().status.code(), Some(0));
    }
}

#[test]
fn who_will_not_wait_is_told_who_is_there() {
    let disk = Disk::new();
    let mut owner = disk.run("ns", &[]);
    owner.write(FAR);
    owner.event();
    let holder = std::fs::read_to_string(disk.path().join("ns/lock")).unwrap();
    assert!(holder.contains(&format!(":{}:", owner.pid().as_raw_nonzero())), "{holder}");
    let ended = disk.run("ns", &["--fail-if-owned"]).ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(2), 0));
    for said in ["has the store at", "/ns", holder.trim(), "stop it first"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("lease"), "there is none: {}", ended.stderr);
    // It has changed nothing for the owner.
    owner.write(LOOKUP);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
}

#[test]
fn a_living_owner_can_be_looked_at_and_not_be_robbed() {
    let disk = Disk::new();
    let mut owner = disk.run("ns", &[]);
    owner.write(FAR);
    owner.event();
    let refused = disk.tell("ns", &["export"], "");
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("owns the jobs; stop it first"), "{}", refused.stderr);
    let export = disk.tell("ns", &["export", "--force"], "");
    assert_eq!((export.status.code(), export.stdout.lines().count()), (Some(0), 1), "{}", export.stderr);

    let found = inspected(&disk.store(), "ns", &[]);
    assert_eq!((&found["total"]["log_records"], &found["partitions_made"]), (&1.into(), &8.into()));
    assert!(found["total"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{found}");
    let table = disk.tell("ns", &["inspect"], "");
    assert!(
        table.stdout.contains("a lock") && table.stdout.lines().count() == 2 + 1 + 8 + 1,
        "{}",
        table.stdout
    );

    for force in [&["import"][..], &["import", "--force"]] {
        let import = disk.tell("ns", force, "{\"op\":\"schedule\",\"key\":\"other\",\"in\":\"1h\"}\n");
        assert_eq!((import.status.code(), import.stdout.as_str()), (Some(2), ""), "{}", import.stderr);
        assert!(import.stderr.contains("stop it first"), "{}", import.stderr);
    }
    owner.write(LOOKUP);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    owner.signal(Signal::TERM);
    assert_eq!(owner.ended().status.code(), Some(0));
    assert_eq!(exported(&disk.store(), "ns").lines().count(), 1);
    let after = disk.tell("ns", &["inspect"], "");
    assert!(!after.stdout.contains("a lock"), "{}", after.stdout);
}

#[test]
fn namespaces_are_directories_beside_each_other() {
    let disk = Disk::new();
    let (mut one, mut other) = (disk.run("one", &[]), disk.run("other", &[]));
    one.write(FAR);
    assert_eq!(text(&one.event(), "outcome"), "scheduled");
    other.write(LOOKUP);
    assert_eq!(text(&other.event(), "outcome"), "not_found");
    assert!(disk.path().join("one/meta").is_file() && disk.path().join("other/meta").is_file());
}

/// A killed process has told nobody that it ends; the next one goes on with its jobs.
#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let disk = Disk::new();
    let mut owner = disk.run("ns", &[]);
    for n in 0..200 {
        owner.write(&format!("{{\"op\":\"schedule\",\"key\":\"k{n}\",\"in\":\"1h\"}}\n"));
    }
    for _ in 0..200 {
        assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    }
    owner.kill();
    assert_eq!(exported(&disk.store(), "ns").lines().count(), 200);
    let mut next = disk.run("ns", &["--fail-if-owned"]);
    next.write("{\"op\":\"lookup\",\"key\":\"k199\"}\n");
    assert_eq!(text(&next.event(), "outcome"), "scheduled");
}
