//! Jobs that live more than once, with the program killed again and again: each is tried until it is done or dead, and none after it
//! was cancelled.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::program::feed::random;
use testkit::program::{Run, text};
use testkit::redis::RedisServer;

use super::times;

/// Jobs that come before each kill.
const JOBS: usize = 15;

/// What becomes of a job, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It fails twice, and succeeds.
    Succeeds,
    /// It fails three times, and is dead.
    Dies,
    /// It is cancelled, running or not, while it goes on failing.
    IsCancelled,
}

fn fate(job: usize) -> Fate {
    [Fate::Succeeds, Fate::Dies, Fate::IsCancelled][job % 3]
}

/// Writes a line for each attempt as it begins, and fails as long as it has to.
const COMMAND: &str = "echo \"$REVEILLE_KEY $REVEILLE_ATTEMPT\" >> \"$LOG\"; sleep 0.02
    case $REVEILLE_KEY in
        s*) test $(grep -c \"^$REVEILLE_KEY \" \"$LOG\") -ge 3;;
        *) exit 1;;
    esac";

fn key(job: usize) -> String {
    let letter = match fate(job) {
        Fate::Succeeds => 's',
        Fate::Dies => 'd',
        Fate::IsCancelled => 'c',
    };
    format!("{letter}{job}")
}

/// Promises 2, 3 and 6 over several attempts.
#[test]
fn promise_2_jobs_are_tried_until_they_are_done_or_dead_when_the_program_is_killed() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("attempts");
    let mut random = random("retries");
    let mut run = start(&server, &log, &[]);
    let mut cancelled: Vec<usize> = Vec::new();
    // The kills of the other tests; a few of them by default, since each takes longer here.
    let kills = times("REVEILLE_KILLS", 6) as usize;
    for kill in 0..kills {
        let jobs = kill * JOBS..(kill + 1) * JOBS;
        for job in jobs.clone() {
            let attempts = if fate(job) == Fate::Dies { 3 } else { 999 };
            let in_ms = random.u32(0..800);
            ask(
                &mut run,
                &format!(
                    "{{\"op\":\"schedule\",\"key\":\"{}\",\"in\":\"{in_ms}ms\",\"retry\":{{\"attempts\":{attempts},\"backoff\":\"fixed\",\"base\":\"60ms\"}}}}",
                    key(job)
                ),
            );
        }
        std::thread::sleep(Duration::from_millis(random.u64(50..400)));
        for job in jobs.filter(|&job| fate(job) == Fate::IsCancelled) {
            let outcome =
                ask(&mut run, &format!("{{\"op\":\"cancel\",\"key\":\"{}\",\"and_after\":true}}", key(job)));
            assert!(["cancelled", "running"].contains(&text(&outcome, "outcome")), "{job}: {outcome}");
            cancelled.push(job);
        }
        run.kill();
        // What runs at a kill goes on by itself for a moment.
        std::thread::sleep(Duration::from_millis(150));
        let before = attempts(&log);
        run = start(&server, &log, &[]);
        std::thread::sleep(Duration::from_millis(random.u64(100..300)));
        for &job in &cancelled {
            let key = key(job);
            assert_eq!(attempts(&log).get(&key), before.get(&key), "{key} was tried after it was cancelled");
        }
    }
    run.kill();
    let mut last = start(&server, &log, &["--exit-when-idle"]);
    let mut found = BTreeMap::new();
    for job in (0..kills * JOBS).filter(|&job| fate(job) != Fate::IsCancelled) {
        let key = key(job);
        loop {
            let outcome = ask(&mut last, &format!("{{\"op\":\"lookup\",\"key\":\"{key}\"}}"));
            let said = text(&outcome, "outcome");
            if said != "scheduled" && said != "running" {
                found.insert(key, (fate(job), outcome));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let tried = attempts(&log);
    for (key, (fate, outcome)) in &found {
        let expected = if *fate == Fate::Dies { "dead" } else { "already_fired" };
        assert_eq!(text(outcome, "outcome"), expected, "{key}");
        // At least once: an attempt that a kill cut short does not count.
        assert!(tried[key] >= 3, "{key} was tried {} times: {outcome}", tried[key]);
    }
    last.end_input();
    assert_eq!(last.ended().status.code(), Some(0));
    println!("{} attempts at {} jobs", tried.values().sum::<usize>(), kills * JOBS);
}

fn start(server: &RedisServer, log: &Path, more: &[&str]) -> Run {
    let store = server.url();
    let command = COMMAND.replace("$LOG", log.to_str().unwrap());
    let args = ["--store", &store, "--namespace", "retries", "--lease", "150ms", "--exec", &command];
    Run::start(&[&args[..], more].concat())
}

/// The answer to a line.
fn ask(run: &mut Run, line: &str) -> Value {
    run.write(&format!("{line}\n"));
    loop {
        let event = run.event();
        match text(&event, "event") {
            "ack" => return event,
            "error" => panic!("{line}: {event}"),
            _ => {}
        }
    }
}

/// How often each job was tried.
fn attempts(log: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut attempts = BTreeMap::new();
    for key in text.lines().filter_map(|line| line.split(' ').next()) {
        *attempts.entry(key.to_owned()).or_default() += 1;
    }
    attempts
}
