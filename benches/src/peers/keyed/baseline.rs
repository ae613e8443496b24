//! A `DelayQueue` and a map from key to where the job is in it, behind one lock.
//!
//! A job carries its key, for when it expires its key has to leave the map; so there are two copies of each key.

#![allow(clippy::disallowed_methods, reason = "due times are instants of tokio's clock")]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::{Keyed, Payload};

pub(crate) struct Baseline {
    jobs: Mutex<Jobs>,
    /// A day from the start.
    first_due: Instant,
    runtime: Runtime,
}

#[derive(Default)]
struct Jobs {
    by_key: HashMap<String, Key>,
    queue: DelayQueue<Job>,
}

struct Job {
    key: String,
    payload: Box<[u8]>,
}

/// What is allocated before the lock is taken.
struct Made {
    key: String,
    job: Job,
    due: Instant,
}

impl Jobs {
    fn reschedule(&mut self, key: &str, due: Instant) {
        let at = *self.by_key.get(key).expect("the job is pending");
        self.queue.reset_at(&at, due);
    }

    fn schedule(&mut self, made: Made) -> Key {
        let at = self.queue.insert_at(made.job, made.due);
        let before = self.by_key.insert(made.key, at);
        assert!(before.is_none(), "the key is free");
        at
    }

    fn cancel(&mut self, key: &str) -> Job {
        let at = self.by_key.remove(key).expect("the job is pending");
        self.queue.remove(&at).into_inner()
    }
}

impl Baseline {
    fn make(&self, key: &str, payload: &Payload, due: u64) -> Made {
        let job = Job { key: key.to_owned(), payload: payload.as_slice().into() };
        Made { key: key.to_owned(), job, due: self.due(due) }
    }

    fn due(&self, due: u64) -> Instant {
        self.first_due + Duration::from_millis(due)
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().expect("no other thread has panicked")
    }

    /// The queue does not show what is in it: without taking a job out, its due time is all there is to see.
    fn digest(&self, jobs: &Jobs, at: Key) -> u64 {
        jobs.queue.deadline(&at).duration_since(self.first_due).as_millis() as u64
    }
}

impl Keyed for Baseline {
    const NAME: &'static str = "Mutex<HashMap + DelayQueue>";

    type Handle = Key;

    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let first_due = Instant::now() + Duration::from_secs(24 * 3600);
        let jobs = Mutex::default();
        Baseline { jobs, first_due, runtime }
    }

    fn schedule(&self, key: &str, payload: &Payload, due: u64) -> Key {
        let made = self.make(key, payload, due);
        self.lock().schedule(made)
    }

    fn reschedule(&self, key: &str, due: u64) {
        let due = self.due(due);
        self.lock().reschedule(key, due);
    }

    fn cancel(&self, key: &str) {
        let job = self.lock().cancel(key);
        assert!(job.key == key && !job.payload.is_empty());
    }

    /// All under one lock.
    fn schedule_many<'a>(&self, jobs: impl Iterator<Item = (&'a str, &'a Payload, u64)>) {
        let made: Vec<_> = jobs.map(|(key, payload, due)| self.make(key, payload, due)).collect();
        let mut jobs = self.lock();
        made.into_iter().for_each(|made| {
            jobs.schedule(made);
        });
    }

    fn reschedule_many<'a>(&self, moves: impl Iterator<Item = (&'a str, u64)>) {
        let mut jobs = self.lock();
        moves.for_each(|(key, due)| jobs.reschedule(key, self.due(due)));
    }

    fn cancel_many<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        let mut jobs = self.lock();
        let cancelled: Vec<_> = keys.map(|key| jobs.cancel(key)).collect();
        drop(jobs);
        assert!(cancelled.iter().all(|job| !job.payload.is_empty()));
    }

    fn lookup(&self, key: &str) -> u64 {
        let jobs = self.lock();
        let at = *jobs.by_key.get(key).expect("the job is pending");
        self.digest(&jobs, at)
    }

    fn lookup_by_handle(&self, handle: Key) -> u64 {
        let jobs = self.lock();
        self.digest(&jobs, handle)
    }

    /// The queue makes itself a `Sleep`.
    fn with_thread<T>(&self, run: impl FnOnce() -> T) -> T {
        let _guard = self.runtime.enter();
        run()
    }
}
