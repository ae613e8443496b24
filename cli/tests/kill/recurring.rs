//! Recurring jobs, with the program killed again and again: each occurrence runs or is accounted for, none comes early, and none twice
//! but for a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use testkit::program::feed::{now_us, random};
use testkit::program::{Run, micros, number, of_kind, text};
use testkit::redis::RedisServer;

use super::times;

const EVERY_US: i64 = 40_000;

/// How often `few` comes.
const FEW: usize = 30;

/// The rules that every process schedules when it starts.
const RULES: [(&str, &str); 3] = [
    ("all", r#""missed":"all","missed_max":4294967295,"overlap":"after""#),
    ("one", r#""missed":"one""#),
    ("none", r#""missed":"none""#),
];

/// A run of an occurrence.
struct Ran {
    /// In which process.
    life: u32,
    /// The instant that the rule names.
    for_us: i64,
    missed: u64,
}

#[derive(Default)]
struct Seen {
    ran: BTreeMap<String, Vec<Ran>>,
    /// Keys that were cancelled and may be running then, or not.
    ended: BTreeMap<String, bool>,
    life: u32,
}

impl Seen {
    /// Returns the answer to a line, if it is one.
    fn take(&mut self, event: &Value) -> Option<Value> {
        match text(event, "event") {
            "fired" => self.fired(event),
            // Told where it is found out, and as durable as a line of a log: the handler is told as well.
            "skipped" => {}
            "ack" => return Some(event.clone()),
            _ => panic!("an event that should not be: {event}"),
        }
        None
    }

    fn fired(&mut self, event: &Value) {
        let (key, for_us) = (text(event, "key"), micros(event, "scheduled_for"));
        assert!(micros(event, "fired_at") >= for_us, "{event} is early");
        if let Some(may_run) = self.ended.get_mut(key) {
            // One that was running when it was cancelled may say so after that.
            assert!(std::mem::take(may_run), "{event} comes after its end was acknowledged");
        }
        let ran = Ran { life: self.life, for_us, missed: number(event, "missed") };
        self.ran.entry(key.to_owned()).or_default().push(ran);
    }

    fn ask(&mut self, run: &mut Run, line: &str) -> Value {
        run.write(&format!("{line}\n"));
        loop {
            if let Some(answer) = self.take(&run.event()) {
                return answer;
            }
        }
    }

    fn read_for(&mut self, run: &mut Run, time: Duration) {
        let end = now_us() + time.as_micros() as i64;
        while now_us() < end {
            let left = Duration::from_micros((end - now_us()).max(0) as u64);
            if let Some(event) = run.event_within(left) {
                assert!(self.take(&event).is_none(), "{event} answers nothing");
            }
        }
    }

    /// What has run in a process ran once there, and in order.
    fn check_lives(&self) {
        for (key, ran) in &self.ran {
            for pair in ran.windows(2) {
                let [before, after] = pair else { continue };
                let apart = after.for_us - before.for_us;
                assert_eq!(apart % EVERY_US, 0, "{key} keeps its anchor");
                if before.life == after.life {
                    assert!(apart > 0, "{key} has run twice in a life, or out of order: {}", after.for_us);
                    let between = (apart / EVERY_US - 1) as u64;
                    assert_eq!(
                        after.missed, between,
                        "{key}, between {} and {}",
                        before.for_us, after.for_us
                    );
                }
            }
        }
    }

    /// None is lost without a word, over all processes: between two that ran, at least as many are told as there were. (More are if the one
    /// before had run and the store did not know it yet.)
    fn check_account(&self, key: &str) {
        let mut last_us = None;
        for Ran { for_us, missed, .. } in &self.ran[key] {
            if let Some(last_us) = last_us.filter(|last_us| for_us > last_us) {
                let between = ((for_us - last_us) / EVERY_US - 1) as u64;
                assert!(*missed >= between, "{key}: {between} before {for_us}, and it was told {missed}");
            }
            last_us = last_us.max(Some(*for_us));
        }
    }

    /// The instants for which it has run, each once.
    fn instants(&self, key: &str) -> BTreeSet<i64> {
        self.ran[key].iter().map(|ran| ran.for_us).collect()
    }

    /// Every occurrence has run.
    fn check_all(&self, key: &str) {
        let instants: Vec<i64> = self.instants(key).into_iter().collect();
        let gap = instants.windows(2).find(|pair| pair[1] - pair[0] != EVERY_US);
        assert_eq!(gap, None, "{key} was to run each time");
    }
}

/// Promises 1, 2, 3 and 6 of jobs that come again.
#[test]
fn promise_2_each_occurrence_runs_or_is_accounted_for_when_the_program_is_killed() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut random = random("recurring");
    let (mut seen, mut run) = (Seen::default(), start(&server, &[]));
    let few = format!(r#""count":{FEW},"missed":"all","missed_max":1000,"overlap":"after""#);
    assert_eq!(text(&seen.ask(&mut run, &schedule("few", &few)), "outcome"), "scheduled");
    for kill in 0..times("REVEILLE_KILLS", 12) {
        for (key, rule) in RULES {
            let outcome = seen.ask(&mut run, &schedule(key, rule));
            let expected = if kill == 0 { "scheduled" } else { "kept" };
            assert_eq!(text(&outcome, "outcome"), expected, "kill {kill}: {outcome}");
        }
        let gone = format!("gone{kill}");
        seen.ask(&mut run, &schedule(&gone, RULES[0].1));
        seen.read_for(&mut run, Duration::from_micros(random.u64(20_000..300_000)));
        end(&mut seen, &mut run, &gone);
        seen.read_for(&mut run, Duration::from_micros(random.u64(0..200_000)));
        run.kill();
        while let Some(event) = run.last_events() {
            seen.take(&event);
        }
        seen.check_lives();
        seen.life += 1;
        run = start(&server, &[]);
    }
    // The counted one comes to its end, however late.
    while seen.instants("few").len() < FEW {
        let event = run.event();
        seen.take(&event);
    }
    for (key, _) in RULES {
        end(&mut seen, &mut run, key);
    }
    seen.read_for(&mut run, Duration::from_millis(100));
    run.kill();
    let mut last = start(&server, &["--exit-when-idle"]);
    last.end_input();
    let ended = last.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    // What was done just before a kill may be done again; but for that nothing is left.
    seen.life += 1;
    ended.events.iter().for_each(|event| drop(seen.take(event)));
    assert!(of_kind(&ended.events, "fired").all(|event| event["key"] == "few"), "{:?}", ended.events);
    seen.check_lives();
    ["all", "few"].iter().for_each(|key| seen.check_all(key));
    ["all", "one", "none", "few"].iter().for_each(|key| seen.check_account(key));
    assert_eq!(seen.instants("few").len(), FEW);
    let runs: usize = seen.ran.values().map(Vec::len).sum();
    let twice: usize = seen.ran.iter().map(|(key, ran)| ran.len() - seen.instants(key).len()).sum();
    println!("{runs} runs in {} processes, {twice} of them again after a kill", seen.life + 1);
    assert!(runs > 100, "{runs}");
}

fn schedule(key: &str, rule: &str) -> String {
    format!(r#"{{"op":"schedule","key":"{key}","every":"40ms",{rule}}}"#)
}

/// Ends a job and what comes after it.
fn end(seen: &mut Seen, run: &mut Run, key: &str) {
    let outcome = seen.ask(run, &format!(r#"{{"op":"cancel","key":"{key}","and_after":true}}"#));
    let may_run = match text(&outcome, "outcome") {
        "cancelled" => false,
        "running" => true,
        other => panic!("{key}: {other}"),
    };
    seen.ended.insert(key.to_owned(), may_run);
}

fn start(server: &RedisServer, more: &[&str]) -> Run {
    let store = server.url();
    let args = ["--store", &store, "--namespace", "recurring", "--lease", "150ms"];
    Run::start(&[&args[..], more].concat())
}
