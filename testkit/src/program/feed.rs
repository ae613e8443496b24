//! A program that is fed with operations, and read.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use reveille::Clock;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::ledger::{Ledger, Op};
use super::{Ended, PATIENCE, Run, micros, number, text};

/// Operations written and not answered, at most: what is under way at a kill is in doubt, and proves little.
const UNDER_WAY_MAX: usize = 64;

/// Jobs that have neither fired nor been cancelled, at most.
const OPEN_MAX: usize = 2_000;

pub struct Feed {
    run: Run,
    ledger: Ledger,
    /// Of each line written to this process: the key. Line numbers count from 1.
    lines: Vec<String>,
    answered: usize,
    /// Whether this process has the jobs: it has fired or acknowledged something.
    has_jobs: bool,
    /// Of all keys ever.
    keys: Vec<String>,
}

/// A source of chance that a failure tells the seed of.
pub fn random(what: &str) -> fastrand::Rng {
    let seed = std::env::var("REVEILLE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{what}: REVEILLE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

impl Feed {
    pub fn start(args: &[&str], random: &mut fastrand::Rng) -> Self {
        let ledger = Ledger::default();
        let mut feed = Feed {
            run: Run::start(args),
            ledger,
            lines: Vec::new(),
            answered: 0,
            has_jobs: false,
            keys: Vec::new(),
        };
        feed.work(Duration::from_millis(100), random);
        feed
    }

    /// Starts the program again.
    pub fn begin(&mut self, args: &[&str]) {
        self.go_on_with(Run::start(args));
    }

    /// Another process has the jobs from here on, or will. Returns the one that had them.
    pub fn go_on_with(&mut self, next: Run) -> Run {
        self.ledger.answers_are_lost(now_us());
        self.forget_lines();
        std::mem::replace(&mut self.run, next)
    }

    /// Ends the program as an operator does, reads it to its end, and goes on with another process.
    pub fn relieve(&mut self, next: Run) -> Ended {
        self.run.signal(Signal::TERM);
        let ended = std::mem::replace(&mut self.run, next).ended();
        for event in &ended.events {
            self.take(event);
        }
        self.ledger.answers_are_lost(now_us());
        self.forget_lines();
        ended
    }

    fn forget_lines(&mut self) {
        self.lines.clear();
        (self.answered, self.has_jobs) = (0, false);
    }

    /// Stops the program where it stands, in the middle of its work, and reads what it had written.
    pub fn work_and_stop(&mut self, wait: Duration, random: &mut fastrand::Rng) {
        let pid = self.run.pid();
        self.work_while(random, wait, || kill_process(pid, Signal::STOP).unwrap());
        while let Some(event) = self.run.event_within(Duration::from_millis(100)) {
            self.take(&event);
        }
    }

    /// What the program has said of itself.
    pub fn said(&self) -> String {
        self.run.said()
    }

    /// Whether the process that is asked now has the jobs.
    pub fn has_jobs(&self) -> bool {
        self.has_jobs
    }

    /// Kills the program, and reads what it had written by then.
    pub fn kill(&mut self) {
        self.run.kill();
        while let Some(event) = self.run.last_events() {
            self.take(&event);
        }
        self.ledger.answers_are_lost(now_us());
    }

    pub fn check(&self, when: &str) {
        assert!(self.ledger.broken.is_empty(), "{when}: {:#?}", self.ledger.broken);
    }

    /// Asks and reads for a while.
    pub fn work(&mut self, time: Duration, random: &mut fastrand::Rng) {
        self.work_while(random, time, || {});
    }

    /// Goes on asking and reading while `what` is done after a while, on a thread of its own: at a moment that has nothing
    /// to do with what is being asked and read.
    pub fn work_while(&mut self, random: &mut fastrand::Rng, wait: Duration, what: impl FnOnce() + Send) {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(wait);
                what();
                is_done.store(true, SeqCst);
            });
            while !is_done.load(SeqCst) {
                if self.lines.len() - self.answered < UNDER_WAY_MAX && self.ledger.open() < OPEN_MAX {
                    self.ask(random);
                }
                while let Some(event) = self.run.event_within(Duration::from_micros(200)) {
                    self.take(&event);
                }
            }
        });
    }

    /// Works, and has the program killed in the middle of it.
    pub fn work_and_kill(&mut self, wait: Duration, random: &mut fastrand::Rng) {
        let pid = self.run.pid();
        self.work_while(random, wait, || kill_process(pid, Signal::KILL).unwrap());
        self.kill();
    }

    fn ask(&mut self, random: &mut fastrand::Rng) {
        let due_us = now_us() + random.i64(20_000..2_000_000);
        let at = due_us as f64 / 1e6;
        let (key, op, line) = match (random.u32(0..10), self.some_key(random)) {
            (0..2, Some(key)) => {
                let line = json!({"op": "reschedule", "key": key, "at": at});
                (key, Op::Reschedule { due_us: micros_of(at) }, line)
            }
            (2..4, Some(key)) => {
                let line = json!({"op": "cancel", "key": key});
                (key, Op::Cancel, line)
            }
            _ => {
                let key = format!("job:{}", self.keys.len());
                self.keys.push(key.clone());
                let queue = format!("queue-{}", random.u32(0..3));
                let at_most_once = random.u32(0..8) == 0;
                let delivery = if at_most_once { "at_most_once" } else { "at_least_once" };
                let line = json!({
                    "op": "schedule", "key": key, "queue": queue, "at": at, "payload": key, "delivery": delivery,
                });
                (key, Op::Schedule { due_us: micros_of(at), at_most_once }, line)
            }
        };
        self.ledger.asks(&key, op);
        self.lines.push(key);
        // One that was just killed does not read it: it is in doubt, as what was under way.
        self.run.write(&format!("{line}\n"));
    }

    /// One of the last keys that can be changed.
    fn some_key(&self, random: &mut fastrand::Rng) -> Option<String> {
        let recent = self.keys.len().saturating_sub(500)..self.keys.len();
        if recent.is_empty() {
            return None;
        }
        let key = &self.keys[random.usize(recent)];
        self.ledger.is_changeable(key).then(|| key.clone())
    }

    fn take(&mut self, event: &Value) {
        self.has_jobs = true;
        match text(event, "event") {
            "ack" => {
                self.answered += 1;
                let line = number(event, "line") as usize;
                assert_eq!(text(event, "key"), self.lines[line - 1], "{event}");
                self.ledger.acknowledged(text(event, "key"), text(event, "outcome"));
            }
            "fired" => {
                let (due, fired_at) = (micros(event, "due"), micros(event, "fired_at"));
                self.ledger.fires(text(event, "key"), due, fired_at);
            }
            _ => self.ledger.broken.push(format!("an event that should not be: {event}")),
        }
    }

    /// Lets everything fire, and ends.
    pub fn finish(mut self) -> Ledger {
        let end = now_us() + PATIENCE.as_micros() as i64;
        while (self.ledger.open() > 0 || self.answered < self.lines.len()) && now_us() < end {
            if let Some(event) = self.run.event_within(Duration::from_millis(100)) {
                self.take(&event);
            }
        }
        // What was cancelled in doubt, and moved late, has the time to fire as well.
        let settle = now_us() + 2_200_000;
        while now_us() < settle {
            if let Some(event) = self.run.event_within(Duration::from_millis(100)) {
                self.take(&event);
            }
        }
        self.ledger.ends();
        self.check("at the end");
        self.ledger
    }
}

pub fn now_us() -> i64 {
    Clock::System.now().wall.as_micros()
}

/// The microsecond that the program reads from a number of seconds as it is written.
fn micros_of(seconds: f64) -> i64 {
    let text = seconds.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let micros: i64 = format!("{fraction:0<6}")[..6].parse().unwrap();
    // What is finer is rounded up.
    let is_finer = fraction.len() > 6 && fraction[6..].bytes().any(|digit| digit != b'0');
    whole.parse::<i64>().unwrap() * 1_000_000 + micros + i64::from(is_finer)
}
