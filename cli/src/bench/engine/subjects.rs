//! The subjects: the engine, and the simplest thing that keeps jobs by key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reveille::{Clock, Engine, Job, LookupOutcome, Timestamp};

use super::super::Error;

const PAYLOAD: [u8; 64] = [7; 64];

/// Jobs by key. A due is in milliseconds after a day. All calls are ones that succeed.
pub(super) trait Keyed: Sync {
    fn schedule(&self, key: &str, due_ms: u64);
    fn reschedule(&self, key: &str, due_ms: u64);
    fn cancel(&self, key: &str);
    /// When it is due.
    fn lookup(&self, key: &str) -> i64;
}

pub(super) struct Reveille {
    engine: Engine,
    first_due: Timestamp,
}

impl Reveille {
    pub(super) async fn start() -> Result<Self, Error> {
        let engine = Engine::builder().queue("q", |_: Job| async {}).start().await?;
        let first_due = Clock::System.now().wall + Duration::from_secs(24 * 3600);
        Ok(Reveille { engine, first_due })
    }

    pub(super) async fn stop(self) {
        self.engine.shutdown(Duration::from_secs(10)).await;
    }

    fn due(&self, due_ms: u64) -> Timestamp {
        self.first_due.saturating_add_micros(due_ms * 1_000)
    }
}

impl Keyed for Reveille {
    fn schedule(&self, key: &str, due_ms: u64) {
        let outcome = self.engine.schedule_raw("q", &PAYLOAD).key(key).at(self.due(due_ms)).into_outcome();
        assert!(outcome.is_ok_and(|outcome| outcome.is_taken()), "{key} is free");
    }

    fn reschedule(&self, key: &str, due_ms: u64) {
        let outcome = self.engine.reschedule(key, self.due(due_ms)).into_outcome();
        assert!(matches!(outcome, Ok(reveille::RescheduleOutcome::Rescheduled { .. })), "{key} is pending");
    }

    fn cancel(&self, key: &str) {
        let outcome = self.engine.cancel(key).into_outcome();
        assert!(matches!(outcome, Ok(reveille::CancelOutcome::Cancelled)), "{key} is pending");
    }

    fn lookup(&self, key: &str) -> i64 {
        match self.engine.lookup(key) {
            LookupOutcome::Scheduled(job) => job.due.as_micros(),
            _ => 0,
        }
    }
}

/// No timers at all: only finding a job by its key.
#[derive(Default)]
pub(super) struct Map(Mutex<HashMap<String, Entry>>);

struct Entry {
    due_ms: u64,
    _payload: Box<[u8]>,
}

impl Map {
    fn with<T>(&self, run: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keyed for Map {
    fn schedule(&self, key: &str, due_ms: u64) {
        let (key, entry) = (key.to_owned(), Entry { due_ms, _payload: PAYLOAD.into() });
        let before = self.with(|map| map.insert(key, entry));
        assert!(before.is_none(), "the key is free");
    }

    fn reschedule(&self, key: &str, due_ms: u64) {
        let is_there = self.with(|map| map.get_mut(key).map(|entry| entry.due_ms = due_ms));
        assert!(is_there.is_some(), "{key} is pending");
    }

    fn cancel(&self, key: &str) {
        let entry = self.with(|map| map.remove_entry(key));
        assert!(entry.is_some(), "{key} is pending");
    }

    fn lookup(&self, key: &str) -> i64 {
        self.with(|map| map.get(key).map_or(0, |entry| entry.due_ms as i64))
    }
}
