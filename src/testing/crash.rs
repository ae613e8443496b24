//! Crashes and restarts within a test.

use std::sync::Arc;
use std::time::Duration;

use super::forced::Rule;
use super::{FiredJob, TestEngine};
use crate::clock::ManualClock;
use crate::engine::{Builder, StartError};

/// What is left of an engine that a test had crash: its clock, and whatever its store has. See [`TestEngine::crash`].
#[must_use = "an engine that crashed stays down until `restart`"]
pub struct Crashed {
    clock: Arc<ManualClock>,
    patience: Duration,
    goes_on: bool,
    starts_max: usize,
    rules: Vec<Rule>,
    fired: Vec<FiredJob>,
}

impl TestEngine {
    /// Has the engine end as a crash does, for other clones of it too: nothing is waited for, the store gets nothing any more, and
    /// handlers that run have not ended for whoever starts next. ([`Engine::shutdown`](crate::Engine::shutdown) is the graceful end.)
    ///
    /// A handler of this process cannot be killed. One that runs goes on by itself, and what it brings about in the engine no longer
    /// counts.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use reveille::{Builder, Engine, Job, Timestamp, store::MemoryStore, testing::TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Arc::new(MemoryStore::new());
    /// let builder = || Engine::builder().queue("q", |_: Job| async {}).store(store.clone());
    /// let engine = TestEngine::start(builder(), Timestamp::from_micros(0)).await?;
    /// engine.schedule_raw("q", "").key("k").after(Duration::from_secs(60)).await?.scheduled()?;
    ///
    /// let down = engine.crash().await;
    /// down.clock().advance(Duration::from_secs(3600));
    /// let engine = down.restart(builder()).await?;
    /// let fired = engine.settle().await;
    /// assert_eq!(fired[0].lateness, Duration::from_secs(3540));
    /// # Ok(()) }
    /// ```
    pub async fn crash(self) -> Crashed {
        self.engine.crash().await;
        let mut sink = self.sink.lock();
        Crashed {
            clock: Arc::clone(&self.clock),
            patience: self.patience,
            goes_on: self.goes_on,
            starts_max: self.starts_max,
            rules: std::mem::take(&mut sink.rules),
            fired: sink.take_fired(|_| true),
        }
    }
}

impl Crashed {
    /// The clock. Moved on, it shows how long nothing ran.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// What had fired since the test last asked.
    pub fn fired(&self) -> &[FiredJob] {
        &self.fired
    }

    /// Starts another engine on the same clock, with what else was said of this one: patience, failures that were asked for. Build it
    /// with the same store, or it knows of nothing.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn restart(self, builder: Builder) -> Result<TestEngine, StartError> {
        let engine = TestEngine::start_with(builder, self.clock, self.rules).await?;
        let (patience, goes_on, starts_max) = (self.patience, self.goes_on, self.starts_max);
        Ok(TestEngine { patience, goes_on, starts_max, ..engine })
    }
}

impl std::fmt::Debug for Crashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crashed")
            .field("clock", &self.clock)
            .field("fired", &self.fired)
            .finish_non_exhaustive()
    }
}
