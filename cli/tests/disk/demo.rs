//! The demonstration, whose process is killed in the middle.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Disk, exported};
use testkit::program::{Run, executable};
use testkit::wait::wait_until;

/// A demonstration whose temporary folder would be in `temporary`.
fn demo(temporary: &Path, args: &[&str]) -> Run {
    Run::spawn(Command::new(executable()).arg("demo").args(args).env("TMPDIR", temporary))
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().count() == 0
}

/// The process that has the jobs.
fn child(of: &Run) -> Option<Pid> {
    let pid = of.pid().as_raw_nonzero();
    // Any of its threads may have started it.
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let children = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let children: String = threads.flatten().filter_map(children).collect();
    Pid::from_raw(children.split_ascii_whitespace().next()?.parse().ok()?)
}

/// Also one whose end nobody has asked for yet.
fn has_ended(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" Z")))
}

#[test]
fn a_morning_with_a_kill_loses_nothing() {
    let temporary = Disk::new();
    let ended = demo(temporary.path(), &["--jobs", "3000", "--json"]).finish("");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    for (field, jobs) in [
        ("scheduled", 3_000),
        ("early", 0),
        ("lost", 0),
        ("fired_after_cancel", 0),
        ("fired_twice_wrongly", 0),
    ] {
        assert_eq!(report[field], jobs, "{field}: {report}");
    }
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(number(&report["fired"]) + number(&report["cancelled"]), 3_000, "{report}");
    assert_eq!(report["store"]["acknowledged"], 3_000, "{report}");
    let crash = &report["crash"];
    // It came in the middle.
    assert!(number(&crash["fired_before"]) > 100 && number(&crash["restored"]) > 100, "{report}");
    assert!((3_500..60_000).contains(&number(&crash["at_ms"])), "{report}");
    let restored_ms = crash["restored_ms"].as_f64().unwrap();
    assert!(restored_ms > 0.0 && crash["down_ms"].as_f64().unwrap() >= restored_ms, "{report}");
    assert!(report["fired_twice"].is_u64() && crash["due_meanwhile"].is_u64(), "{report}");
    for said in ["kill -9", "started again"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert!(is_empty(temporary.path()), "something is left behind");
}

#[test]
fn a_morning_on_a_store_that_is_named_leaves_no_job_there() {
    let disk = Disk::new();
    let ended = disk.tell("ns", &["demo", "--jobs", "1000", "--durability", "fsync"], "");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    for said in ["killed in the middle", "restored", "fired twice", "due while it was down"] {
        assert!(ended.stdout.contains(said), "{}", ended.stdout);
    }
    assert_eq!(exported(&disk.store(), "ns"), "");
}

#[test]
fn a_morning_in_one_process_kills_nothing() {
    let temporary = Disk::new();
    let ended = demo(temporary.path(), &["--jobs", "1000", "--json", "--no-crash"]).finish("");
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(report.get("crash").is_none() && report.get("store").is_none(), "{report}");
    let disk = Disk::new();
    let ended = disk.tell("ns", &["demo", "--jobs", "1000", "--json", "--no-crash"], "");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(report.get("crash").is_none() && report["store"]["acknowledged"] == 1_000, "{report}");
    assert_eq!(exported(&disk.store(), "ns"), "");
}

#[test]
fn a_signal_ends_it_in_either_life_and_leaves_nothing() {
    for life in ["first", "second"] {
        let temporary = Disk::new();
        let demo = demo(temporary.path(), &["--jobs", "3000"]);
        wait_until("there is a child", || child(&demo).is_some() && !is_empty(temporary.path()));
        if life == "second" {
            demo.says("started again");
        }
        let child = child(&demo).unwrap();
        demo.signal(Signal::INT);
        let ended = demo.finish("");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{life}");
        assert!(ended.stderr.contains("stopped by SIGINT; all jobs were called off"), "{}", ended.stderr);
        assert!(is_empty(temporary.path()) && has_ended(child), "{life}: something is left behind");
    }
}

/// As Ctrl-C in a terminal does: the signal reaches both.
#[test]
fn a_signal_to_both_processes_calls_the_jobs_off() {
    let disk = Disk::new();
    let store = disk.store();
    let demo = Run::program(&["demo", "--jobs", "3000", "--store", &store, "--namespace", "ns"]);
    demo.says("started again");
    let child = child(&demo).unwrap();
    kill_process(child, Signal::INT).unwrap();
    demo.signal(Signal::INT);
    let ended = demo.finish("");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped by SIGINT; all jobs were called off"), "{}", ended.stderr);
    assert!(has_ended(child));
    assert_eq!(exported(&store, "ns"), "");
}

#[test]
fn the_child_and_its_folder_go_with_a_parent_that_is_killed() {
    let temporary = Disk::new();
    let mut demo = demo(temporary.path(), &["--jobs", "3000"]);
    wait_until("there is a child", || child(&demo).is_some() && !is_empty(temporary.path()));
    let child = child(&demo).unwrap();
    demo.kill();
    wait_until("the child has ended", || has_ended(child));
    assert!(is_empty(temporary.path()), "its folder is left behind");
}

/// With a store of the user's own, jobs must not be left there to be fired by the next one.
#[test]
fn a_child_whose_parent_is_killed_calls_its_jobs_off() {
    let disk = Disk::new();
    let store = disk.store();
    let mut demo = Run::program(&["demo", "--jobs", "3000", "--store", &store, "--namespace", "ns"]);
    wait_until("there is a child, and a store", || {
        child(&demo).is_some() && disk.path().join("ns/meta").exists()
    });
    let child = child(&demo).unwrap();
    demo.kill();
    wait_until("the child has ended", || has_ended(child));
    assert_eq!(exported(&store, "ns"), "");
}
