//! Tests of what an application does with its jobs: the real engine, its driver, its workers and its handlers, on a clock that
//! the test moves. The guide is `docs/testing-your-jobs.md`.
//!
//! - [`TestEngine`]: let time pass, run all that is due until an instant, or one queue; see what is scheduled, and assert it.
//! - [`ForcedFailure`]: attempts that fail without their handlers.
//! - [`FailingStore`]: a store that fails, stands still or loses its answers when it is told to.
//! - [`TestEngine::crash`] and [`Crashed::restart`].
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

mod crash;
mod failing_store;
mod fired;
mod forced;
mod scheduled;
mod walk;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use crash::Crashed;
pub use failing_store::{FailingStore, StoreCall};
pub use fired::{FiredEnd, FiredJob};
pub use forced::{Forced, ForcedFailure};
pub use scheduled::Upcoming;
pub use walk::RunError;

use self::fired::Sink;
use self::forced::Rule;
use crate::clock::{Clock, ManualClock};
use crate::engine::{Builder, Engine, StartError};
use crate::partition::Timestamp;

/// An engine whose time stands still until the test moves it. Derefs to [`Engine`].
pub struct TestEngine {
    engine: Engine,
    clock: Arc<ManualClock>,
    sink: Arc<Mutex<Sink>>,
    patience: Duration,
    goes_on: bool,
    starts_max: usize,
}

/// How many jobs may start in one run, unless a test says otherwise.
const STARTS_MAX: usize = 10_000;

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
        Self::start_with(builder, clock, Vec::new()).await
    }

    async fn start_with(
        builder: Builder,
        clock: Arc<ManualClock>,
        rules: Vec<Rule>,
    ) -> Result<Self, StartError> {
        let sink = Arc::new(Mutex::new(Sink::new(rules)));
        let told = Arc::clone(&sink);
        let builder = builder
            .clock(Clock::Manual(Arc::clone(&clock)))
            .probe(Box::new(move |probed| told.lock().take(probed)));
        let engine = builder.start().await?;
        let patience = Duration::from_secs(10);
        Ok(TestEngine { engine, clock, sink, patience, goes_on: false, starts_max: STARTS_MAX })
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

    /// How many jobs may start in one [`run_until`](Self::run_until) or [`run_all`](Self::run_all) before it ends with an error:
    /// 10,000 by default.
    #[must_use]
    pub fn starts_max(mut self, starts: usize) -> Self {
        self.starts_max = starts;
        self
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's clock. An application under test can use it too: `Clock::Manual(engine.clock().clone())`.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
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
