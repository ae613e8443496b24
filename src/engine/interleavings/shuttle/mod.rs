//! The whole engine in random orders: driver, workers, committers and callers, on a clock that stands until it is moved.
//!
//! Half of the runs choose among all that can go on, half keep to an order of precedence that changes at a few places only
//! (PCT), which finds what takes a long time out for one of them. A lost wake-up is a deadlock or a run without an end,
//! and shuttle fails either. There is no time: a sleep is a turn for others, and time-outs come when a test says so.

mod calls;
mod commits;
mod ending;
mod store;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use crate::clock::{Clock, ManualClock};
use crate::engine::{Builder, Engine, Job, QueueConfig};
use crate::partition::{Handle, Timestamp};

/// How often each test runs by default, with either scheduler. `REVEILLE_SCHEDULES` says otherwise.
const SCHEDULES: usize = 1000;

/// Steps after which a run counts as one that does not end.
const STEPS_MAX: usize = 400_000;

/// Places at which the order of precedence changes.
const PCT_DEPTH: usize = 3;

/// A tick, which is also how far ahead the tests schedule.
const TICK: Duration = Duration::from_millis(1);

/// Longer than shuttle takes for ever.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Runs `scenario` in many orders. The same ones every time, unless `REVEILLE_SEED` says otherwise.
fn check<F: Future<Output = ()> + 'static>(scenario: impl Fn() -> F + Copy + Send + Sync + 'static) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let schedules = number("REVEILLE_SCHEDULES").map_or(SCHEDULES, |schedules| schedules as usize);
    let seed = number("REVEILLE_SEED").unwrap_or(0x5eed);
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
        config.silence_warnings = true;
        config
    };
    let run = move || shuttle::future::block_on(scenario());
    Runner::new(RandomScheduler::new_from_seed(seed, schedules), config()).run(run);
    Runner::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules), config()).run(run);
}

/// An engine with one queue `q`, and what its handler was given.
struct Rig {
    engine: Engine,
    clock: Arc<ManualClock>,
    fired: Fired,
}

/// The jobs that the handler began, in order. Not one of the checker's locks: it is no part of what is checked.
#[derive(Clone, Default)]
struct Fired(Arc<std::sync::Mutex<Vec<Handle>>>);

impl Fired {
    fn add(&self, job: Handle) {
        self.0.lock().unwrap().push(job);
    }

    fn of(&self, job: Handle) -> usize {
        self.0.lock().unwrap().iter().filter(|fired| **fired == job).count()
    }

    fn total(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn is_each_once(&self) -> bool {
        let fired = self.0.lock().unwrap();
        fired.iter().enumerate().all(|(at, job)| !fired[..at].contains(job))
    }
}

impl Rig {
    /// One partition, so that all meet at one lock; nothing of a fired job is remembered, so that the handle map is to be
    /// empty when all is over.
    async fn start(concurrency: usize, with: impl FnOnce(Builder) -> Builder) -> Rig {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let fired = Fired::default();
        let seen = fired.clone();
        let handler = move |job: Job| {
            seen.add(job.handle());
            tokio::task::yield_now()
        };
        let builder = Engine::builder()
            .clock(Clock::Manual(Arc::clone(&clock)))
            .partitions(1)
            .remember_fired(0, Duration::ZERO)
            .queue(QueueConfig::new("q").concurrency(concurrency), handler);
        let engine = with(builder).start().await.unwrap();
        Rig { engine, clock, fired }
    }

    /// What the handle map says.
    fn find(&self, key: &str) -> Option<Handle> {
        let shared = &self.engine.shared;
        shared.cells[0].lock().find(key, shared.hasher.hash(key))
    }

    fn schedule(&self, key: &str, after: Duration) -> Handle {
        let outcome = self.engine.schedule_raw("q", "").key(key).after(after).into_outcome();
        outcome.unwrap().handle()
    }

    /// Jobs that began. Takes no lock, so that nobody is waited for.
    fn begun(&self) -> u64 {
        let queue = self.engine.shared.queues.by_name("q").unwrap();
        let partitions = 0..self.engine.shared.cells.len();
        partitions.map(|at| queue.share(at).fired.load(std::sync::atomic::Ordering::SeqCst)).sum()
    }

    /// Stops the engine, with everything flushed.
    async fn end(self) {
        let report = self.engine.shutdown(FOR_EVER).await;
        assert!(report.is_flushed || !report.has_store);
        assert_eq!(report.still_running, 0);
        self.ended().await;
    }

    /// Of an engine that was shut down: driver, workers and committers go by themselves, nothing begins any more, and nothing
    /// has begun twice.
    async fn ended(self) {
        let begun = self.begun();
        // The engine itself, and its owner.
        while Arc::strong_count(&self.engine.shared) > 2 {
            shuttle::future::yield_now().await;
        }
        assert_eq!(self.begun(), begun, "something began after the shutdown");
        assert!(self.fired.is_each_once());
    }
}

/// Runs on a thread of its own.
fn thread<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> shuttle::thread::JoinHandle<R> {
    shuttle::thread::spawn(run)
}
