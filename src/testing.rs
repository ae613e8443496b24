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

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, ManualClock};
use crate::engine::{Builder, Engine, Failure, FailureKind, Probed, StartError};
use crate::partition::{Handle, JobId, Key, Payload, QueueName, Started, Timestamp, Version};

/// An engine whose time stands still until the test moves it. Derefs to [`Engine`].
pub struct TestEngine {
    engine: Engine,
    clock: Arc<ManualClock>,
    sink: Arc<Mutex<Sink>>,
    patience: Duration,
    goes_on: bool,
}

/// What the engine has told.
#[derive(Default)]
struct Sink {
    /// What fired since the test last asked.
    fired: Vec<(Handle, FiredJob)>,
    /// Handlers that run: queue and key.
    running: HashMap<Handle, (String, Key)>,
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
    /// 1 for a new job, and 1 more for every change.
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
    /// How its handler ended, if it has.
    pub end: FiredEnd,
}

/// How the handler of a fired job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FiredEnd {
    /// It still runs: see [`TestEngine::go_on_after`].
    Running,
    /// It succeeded.
    Succeeded,
    /// It returned an error with this message.
    Failed(String),
    /// It panicked with this message.
    Panicked(String),
    /// It asked to run again, and has not failed.
    Again,
    /// It said that there is nothing to do any more, for this reason.
    Discarded(String),
}

impl TestEngine {
    /// Starts an engine whose wall clock shows `wall`. The builder's clock is replaced.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(builder: Builder, wall: impl Into<Timestamp>) -> Result<Self, StartError> {
        Self::start_on(builder, Arc::new(ManualClock::new(wall))).await
    }

    /// Starts an engine on a clock that it shares with the rest of the application, which uses it as a
    /// [`Clock::Manual`]. The builder's clock is replaced.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use reveille::{Clock, Engine, Job, Timestamp, clock::ManualClock, testing::TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    /// let of_the_application = Clock::Manual(clock.clone());
    /// let engine = TestEngine::start_on(Engine::builder().queue("q", |_: Job| async {}), clock).await?;
    /// engine.advance(Duration::from_secs(60)).await;
    /// assert_eq!(of_the_application.now().wall, engine.now());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start_on(builder: Builder, clock: Arc<ManualClock>) -> Result<Self, StartError> {
        let sink: Arc<Mutex<Sink>> = Arc::default();
        let told = Arc::clone(&sink);
        let builder = builder
            .clock(Clock::Manual(Arc::clone(&clock)))
            .probe(Box::new(move |probed| told.lock().take(probed)));
        let engine = builder.start().await?;
        Ok(TestEngine { engine, clock, sink, patience: Duration::from_secs(10), goes_on: false })
    }

    /// How long, in real time, a step waits for handlers to end before it panics: ten seconds by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For handlers that wait for a later time, or for the test. A step goes on without handlers that have not ended after
    /// `patience` of real time. They are reported as [`FiredEnd::Running`].
    #[must_use]
    pub fn go_on_after(mut self, patience: Duration) -> Self {
        self.goes_on = true;
        self.patience(patience)
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's clock. An application under test can use it too: `Clock::Manual(engine.clock().clone())`.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// Lets `time` pass. The clock stops at every instant at which something is due, and goes on when the handlers of the
    /// fired jobs have ended. Returns the jobs that fired since the test last asked,
    /// in order.
    ///
    /// Handlers may wait by tokio's clock, also while it is paused (`tokio::time::pause`): it then runs ahead to what they
    /// wait for.
    ///
    /// # Panics
    /// When a step takes longer than [`patience`](Self::patience). The message names the jobs whose handlers run, and the
    /// queues in which due jobs wait.
    pub async fn advance(&self, time: Duration) -> Vec<FiredJob> {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let end = self.clock.now().mono.saturating_add_micros(us);
        let mut fired = Vec::new();
        loop {
            fired.extend(self.settle().await);
            let now = self.clock.now();
            let next = self.engine.next_wake(now).unwrap_or(end).min(end);
            // A due job that cannot settle (its queue is busy) must not stop time.
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

    /// Waits until everything due has fired and its handlers have ended. Returns the jobs that fired since the test last
    /// asked. Jobs of a paused queue keep waiting.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn settle(&self) -> Vec<FiredJob> {
        let begun = Clock::System.now().mono;
        let patience_us = u64::try_from(self.patience.as_micros()).unwrap_or(u64::MAX);
        let mut looks = 0;
        while !self.engine.is_settled() {
            if Clock::System.now().mono.micros_since(begun) >= patience_us {
                assert!(self.goes_on, "{}", self.unsettled());
                break;
            }
            looks += 1;
            if looks > LOOKS_AWAKE && self.engine.waits_for_handlers() {
                idle_briefly().await;
            } else {
                // The workers may share this thread, the driver may share its core.
                tokio::task::yield_now().await;
                thread::sleep(Duration::from_micros(20));
            }
        }
        let fired = std::mem::take(&mut self.sink.lock().fired);
        fired.into_iter().map(|(_, job)| job).collect()
    }

    /// What a step still waits for, in words.
    fn unsettled(&self) -> String {
        let mut running: Vec<String> =
            self.sink.lock().running.values().map(|(queue, key)| format!("{key} (queue {queue})")).collect();
        running.sort_unstable();
        let waiting = self.engine.stats().queues.into_iter().filter(|queue| queue.ready > 0);
        let waiting: Vec<String> =
            waiting.map(|queue| format!("{} in {}", queue.ready, queue.name)).collect();
        format!(
            "after {:?} the handlers of these jobs have not ended: [{}]; due jobs that wait: [{}]. Raise \
             `TestEngine::patience`, or let steps go on without them: `TestEngine::go_on_after`",
            self.patience,
            running.join(", "),
            waiting.join(", ")
        )
    }
}

/// How often a step looks again without a pause. Handlers that wait for nothing have ended by then.
const LOOKS_AWAKE: usize = 64;

/// Waits for a millisecond of real time without a tokio timer: the runtime is idle meanwhile, so a paused clock of tokio
/// runs ahead to what handlers wait for.
async fn idle_briefly() {
    let (done, waited) = tokio::sync::oneshot::channel::<()>();
    let sleeper = thread::Builder::new().name("reveille-test".into()).spawn(move || {
        thread::sleep(Duration::from_millis(1));
        drop(done);
    });
    if sleeper.is_ok() {
        let _ = waited.await;
    } else {
        tokio::task::yield_now().await;
    }
}

impl Sink {
    fn take(&mut self, probed: Probed<'_>) {
        match probed {
            Probed::Started(queue, job) => {
                self.running.insert(job.handle, (queue.as_str().to_owned(), job.key.clone()));
                self.fired.push((job.handle, FiredJob::new(queue, job)));
            }
            Probed::Ended(handle, end) => {
                self.running.remove(&handle);
                // Searched from the end: if a job fires twice, the last time is meant.
                let fired = self.fired.iter_mut().rev().find(|(of, _)| *of == handle);
                let Some((_, fired)) = fired else { return };
                fired.end = match end {
                    Ok(()) => FiredEnd::Succeeded,
                    Err(failure) => FiredEnd::of(failure),
                };
            }
            #[cfg(feature = "_sim")]
            Probed::Expired(_) => {}
        }
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

impl FiredEnd {
    fn of(failure: &Failure) -> Self {
        let message = failure.message.clone();
        match failure.kind {
            FailureKind::Panicked => FiredEnd::Panicked(message),
            FailureKind::Again(_) => FiredEnd::Again,
            FailureKind::Discarded => FiredEnd::Discarded(message),
            FailureKind::Failed | FailureKind::RetryIn(_) | FailureKind::TimedOut | FailureKind::Killed => {
                FiredEnd::Failed(message)
            }
        }
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
            end: FiredEnd::Running,
        }
    }
}
