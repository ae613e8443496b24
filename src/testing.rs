//! Time travel for tests: the real engine, its driver, its workers and its handlers, on a clock that the test moves.
//!
//! ```
//! use std::time::Duration;
//! use reveille::testing::TestEngine;
//! use reveille::{Engine, Job, Timestamp};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Engine::builder().queue("reminders", |_: Job| async {});
//! let engine = TestEngine::start(builder, Timestamp::from_micros(0)).await?;
//!
//! engine.schedule_raw("reminders", "call mum").key("mum").after(Duration::from_secs(3600)).await?;
//! assert!(engine.advance(Duration::from_secs(3599)).await.is_empty());
//!
//! let fired = engine.advance(Duration::from_secs(1)).await;
//! assert_eq!(fired[0].key.as_str(), "mum");
//! assert_eq!(fired[0].lateness, Duration::ZERO);
//! # Ok(()) }
//! ```

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, ManualClock};
use crate::engine::{Builder, Engine, StartError};
use crate::partition::{JobId, Key, Payload, QueueName, Started, Timestamp, Version};

/// An engine whose time stands still until the test moves it. Has everything that an [`Engine`] has.
pub struct TestEngine {
    engine: Engine,
    clock: Arc<ManualClock>,
    fired: Arc<Mutex<Vec<FiredJob>>>,
    patience: Duration,
}

/// A job that has fired.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FiredJob {
    /// The caller's name for it.
    pub key: Key,
    /// The name of its queue.
    pub queue: String,
    /// Its number.
    pub id: JobId,
    /// How often it was changed, and once.
    pub version: Version,
    /// How often its handler has begun.
    pub attempt: u16,
    /// When it was due.
    pub due: Timestamp,
    /// When it fired.
    pub fired_at: Timestamp,
    /// How long after its due time.
    pub lateness: Duration,
    /// What its handler got.
    pub payload: Payload,
}

impl TestEngine {
    /// Starts an engine whose wall clock shows `wall`. The builder's clock is replaced.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(builder: Builder, wall: impl Into<Timestamp>) -> Result<Self, StartError> {
        let clock = Arc::new(ManualClock::new(wall));
        let fired: Arc<Mutex<Vec<FiredJob>>> = Arc::default();
        let sink = Arc::clone(&fired);
        let builder = builder
            .clock(Clock::Manual(Arc::clone(&clock)))
            .probe(Box::new(move |queue, job| sink.lock().push(FiredJob::new(queue, job))));
        let engine = builder.start().await?;
        Ok(TestEngine { engine, clock, fired, patience: Duration::from_secs(10) })
    }

    /// For how long of real time a step waits for handlers to end; ten seconds, if this is not called. A test whose
    /// handlers wait for a later time makes it short.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Lets `time` pass. The clock stops at every instant at which something is due, and goes on when the handlers of
    /// what fired have ended. Returns what has fired since it was last told,
    /// in order.
    pub async fn advance(&self, time: Duration) -> Vec<FiredJob> {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let end = self.clock.now().mono.saturating_add_micros(us);
        let mut fired = Vec::new();
        loop {
            fired.extend(self.settle().await);
            let now = self.clock.now();
            let next = self.engine.next_wake(now).unwrap_or(end).min(end);
            // Something that is due yet does not settle (its queue is busy) must not hold time up.
            let step = if next > now.mono { next.micros_since(now.mono) } else { end.micros_since(now.mono) };
            self.clock.advance(Duration::from_micros(step));
            if self.clock.now().mono >= end {
                break;
            }
        }
        fired.extend(self.settle().await);
        fired
    }

    /// Sets the wall clock, forward or back, while no time passes. Returns what fired.
    pub async fn set_wall(&self, wall: impl Into<Timestamp>) -> Vec<FiredJob> {
        let mut fired = self.settle().await;
        self.clock.set_wall(wall);
        fired.extend(self.settle().await);
        fired
    }

    /// Waits until everything due has fired and its handlers have ended, and returns what has fired since it was last
    /// asked for. What waits for a paused queue stays.
    pub async fn settle(&self) -> Vec<FiredJob> {
        let begun = Clock::System.now().mono;
        let patience_us = u64::try_from(self.patience.as_micros()).unwrap_or(u64::MAX);
        while !self.engine.is_settled() && Clock::System.now().mono.micros_since(begun) < patience_us {
            // The workers may share this thread, the driver may share its core.
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_micros(20));
        }
        std::mem::take(&mut *self.fired.lock())
    }
}

impl Deref for TestEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl fmt::Debug for TestEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestEngine")
            .field("engine", &self.engine)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl FiredJob {
    fn new(queue: &QueueName, job: &Started) -> Self {
        FiredJob {
            key: job.key.clone(),
            queue: queue.as_str().to_owned(),
            id: job.id,
            version: job.version,
            attempt: job.attempt,
            due: job.due,
            fired_at: job.fired_at,
            lateness: Duration::from_micros(job.lateness_us),
            payload: job.payload.clone(),
        }
    }
}
