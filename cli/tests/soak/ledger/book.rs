//! The pages of the ledger: what is known of each job, and what was broken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use reveille::partition::Now;
use reveille::{Clock, Due, JobView, RescheduleOutcome, Timestamp};

/// Settled jobs that are remembered.
const SETTLED_MAX: usize = 5_000;

/// Broken promises that are told.
const BROKEN_MAX: usize = 20;

/// By how much the two clocks may come apart while a delay is written down and read back by another engine.
pub(super) const APART_US: i64 = 2_000;

pub(crate) fn now() -> Now {
    Clock::System.now()
}

/// When a job must start, by the clock that it follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Wall(Timestamp),
    /// A delay, counted from before the call.
    Mono(u64),
}

impl Start {
    pub(crate) fn of(due: Due, now: Now) -> Self {
        match due {
            Due::At(instant) => Start::Wall(instant),
            Due::In(delay) => Start::Mono(now.mono.as_micros() + delay.as_micros() as u64),
            due => unreachable!("no call of this test asks for {due:?}"),
        }
    }

    /// How long it has been due; negative while it is ahead.
    pub(super) fn late_us(self, now: Now) -> i64 {
        match self {
            Start::Wall(at) => now.wall.as_micros() - at.as_micros(),
            Start::Mono(us) => now.mono.as_micros() as i64 - us as i64,
        }
    }

    /// Whether `told` is this instant: exactly, or for a delay about.
    pub(crate) fn is_told_as(self, told: Timestamp, now: Now) -> bool {
        match self {
            Start::Wall(at) => told == at,
            Start::Mono(_) => {
                let told_late_us = now.wall.as_micros() - told.as_micros();
                told_late_us.abs_diff(self.late_us(now)) < 1_000_000
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stand {
    /// The call is under way.
    Asked,
    Pending,
    Started,
    /// Cancelled or replaced.
    Cancelled,
    /// The engine did not take it.
    Refused,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Arc<str>,
    pub(crate) queue: &'static str,
    pub(crate) stand: Stand,
    pub(crate) version: u32,
    pub(crate) start: Start,
    /// When the engine was told so: it cannot start earlier what was due before.
    pub(super) told: Now,
    /// A move under way: to when, by the next version.
    pub(super) moving: Option<(Start, Now)>,
    /// The version that started.
    pub(super) started: Option<u32>,
}

pub(super) struct Book {
    pub(super) entries: HashMap<u64, Entry>,
    pub(super) settled: VecDeque<u64>,
    /// Paused queues, and since when they start nothing.
    pub(super) paused: HashMap<&'static str, Timestamp>,
    /// Since when nothing disturbs the engine.
    pub(super) calm_since: Option<Now>,
    pub(super) broken: Vec<String>,
    pub(super) broken_more: u64,
    pub(super) late_us_max: u64,
    /// Whether this is an engine that was restored from what the first one left.
    pub(super) is_restored: bool,
}

/// What an answer other than the change that was asked for says of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    No,
    Running,
    Gone,
}

pub(super) fn late(answer: &RescheduleOutcome) -> Late {
    match answer {
        RescheduleOutcome::Running => Late::Running,
        RescheduleOutcome::AlreadyFired { .. } | RescheduleOutcome::NotFound => Late::Gone,
        _ => Late::No,
    }
}

impl Entry {
    pub(crate) fn is_seen_as(&self, number: u64, view: &JobView) -> bool {
        view.version.0 == self.version
            && view.payload.as_bytes() == number.to_string().as_bytes()
            && view.queue.as_str() == self.queue
            && self.start.is_told_as(view.due, now())
    }
}

impl Default for Book {
    fn default() -> Self {
        Book {
            // Made large at once: what the ledger itself takes must not look like a leak of the engine.
            entries: HashMap::with_capacity(4 * SETTLED_MAX),
            settled: VecDeque::with_capacity(SETTLED_MAX + 1),
            paused: HashMap::new(),
            calm_since: None,
            broken: Vec::new(),
            broken_more: 0,
            late_us_max: 0,
            is_restored: false,
        }
    }
}

impl Book {
    pub(super) fn stand(&self, number: u64) -> Stand {
        // What is forgotten was settled.
        self.entries.get(&number).map_or(Stand::Started, |entry| entry.stand)
    }

    pub(super) fn settle(&mut self, number: u64, stand: Stand) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.stand = stand;
        self.settled.push_back(number);
        if self.settled.len() > SETTLED_MAX
            && let Some(oldest) = self.settled.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(super) fn cancels(&mut self, number: u64, how: &str) {
        match self.stand(number) {
            Stand::Pending | Stand::Asked => self.settle(number, Stand::Cancelled),
            _ => self.breaks_of(number, how),
        }
    }

    /// A change came too late, says the answer.
    pub(super) fn too_late(&mut self, number: u64, answer: &str, late: Late) {
        let stand = self.stand(number);
        let is_due = self.entries.get(&number).is_none_or(|entry| entry.start.late_us(now()) >= 0);
        let fits = match late {
            Late::No => false,
            Late::Gone => stand == Stand::Started,
            // Its handler has begun, or is about to.
            Late::Running => stand == Stand::Started || (stand == Stand::Pending && is_due),
        };
        if !fits {
            self.breaks_of(number, &format!("was answered {answer}"));
        }
    }

    pub(super) fn breaks_of(&mut self, number: u64, what: &str) {
        let entry = self.entries.get(&number).cloned();
        self.breaks(format!("job {number} {what}: {entry:?}, now {:?}", now()));
    }

    pub(super) fn breaks(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            eprintln!("broken: {what}");
            self.broken.push(what);
        } else {
            self.broken_more += 1;
        }
    }
}
