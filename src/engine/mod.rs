//! The engine: the shell around the partitions. Threads, locks, the runtime, waiting, and dispatch to handlers.
//!
//! ```text
//!  callers ──────────┐ schedule, reschedule, cancel        ┌── workers (tasks)  start, handler, finish
//!                    ▼                                     ▼
//!            partitions, each behind its lock  (shared: the one way in)
//!                    ▲                                     │ records
//!  driver (thread) ──┘ sleep to the next due, advance      └─> committer (task) ──> store
//! ```
//!
//! # Rules
//! - Callers run the state machine themselves, on their own thread, for some hundred nanoseconds under a partition's lock.
//! - The driver alone moves jobs from pending to due. A caller who schedules something earlier than the driver sleeps for
//!   wakes it; `clock::Waiter` tells how no wake-up is lost.
//! - Whether a job is cancelled or fired is decided when a worker starts it, under the partition's lock.
//! - Overload makes jobs late. It drops none, and it makes no buffer grow without a bound.

mod attempt;
mod builder;
mod calls;
mod cell;
mod commit;
mod committer;
mod deadline;
mod driver;
mod durable;
mod error;
mod handler;
mod health;
mod hint;
mod keeper;
mod keys;
mod life;
mod log;
mod many;
#[cfg(all(test, any(reveille_loom, reveille_shuttle)))]
mod models;
#[cfg(feature = "sim")]
mod observed;
mod ownership;
mod queue;
mod rehearsal;
mod repair;
mod restore;
mod schedule;
mod settings;
mod settled;
mod shared;
mod snapshots;
mod stats;
mod target;
mod waiters;
mod worker;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use builder::Builder;
pub use commit::Commit;
pub use error::{CallError, CancelError, QueueError, RescheduleError, ScheduleError, StartError};
pub use handler::{BoxError, Job, Outcome, Task};
pub use health::StoreState;
pub use queue::{Misfire, QUEUES_MAX, QueueConfig};
pub use restore::RestoreProgress;
pub use schedule::{Planned, Schedule};
pub use stats::{Lateness, QueueStats, Stats, StoreStats};
pub use target::Target;

use crate::rt;
use crate::store::StoreError;
use crate::sync::thread::JoinHandle;
use shared::{Shared, Stage};

/// Fires jobs on time. Cheap to clone; all clones are the same engine.
///
/// When the last clone is dropped the engine stops without waiting for anything; [`shutdown`](Self::shutdown) is the
/// graceful way.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    /// `None` in the engine that a handler gets: a handler must not keep its engine from stopping.
    owner: Option<Arc<Owner>>,
}

/// Stops the engine when its last owner goes.
struct Owner {
    shared: Arc<Shared>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.life.reach(Stage::Dropped);
    }
}

/// How long the leases may take to be given back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// How a shutdown went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Handlers that had not ended when the grace period was over. They go on until the runtime stops.
    pub still_running: usize,
    /// Jobs that stay pending: lost without a store, restored with one.
    pub pending: usize,
    /// Whether the store has everything.
    pub is_flushed: bool,
}

impl Engine {
    /// Begins to build an engine.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn owning(shared: Arc<Shared>, driver: Option<JoinHandle<()>>) -> Self {
        let owner = Owner { shared: Arc::clone(&shared), driver: Mutex::new(driver) };
        Engine { shared, owner: Some(Arc::new(owner)) }
    }

    fn borrowed(shared: Arc<Shared>) -> Self {
        Engine { shared, owner: None }
    }

    /// Whether this is the engine as a handler sees it.
    fn is_handler(&self) -> bool {
        self.owner.is_none()
    }

    /// Adds a queue with an async handler while the engine runs. See [`Builder::queue`].
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn add_queue<F, Fut>(&self, config: impl Into<QueueConfig>, handler: F) -> Result<(), QueueError>
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        let queue = self.shared.queues.claim(config.into())?;
        queue.run_by(worker::runner(Arc::downgrade(&self.shared), Arc::new(handler)));
        self.call_workers(&queue);
        Ok(())
    }

    /// Stops starting jobs of a queue: none is started once this has returned. Those that become due wait; those that run
    /// go on.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn pause(&self, queue: &str) -> Result<(), QueueError> {
        self.queue(queue)?.set_paused(true);
        // Whoever is starting a job of it right now holds a partition; whoever comes next sees the pause.
        for cell in &self.shared.cells {
            drop(cell.lock());
        }
        Ok(())
    }

    /// Starts a paused queue again. The jobs that waited go first, in order.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn resume(&self, queue: &str) -> Result<(), QueueError> {
        let queue = self.queue(queue)?;
        queue.set_paused(false);
        self.call_workers(queue);
        self.shared.waker.wake();
        Ok(())
    }

    fn call_workers(&self, queue: &Arc<queue::Queue>) {
        if self.shared.could_start(queue) {
            queue.call_workers(self.shared.runtime_threads);
        }
    }

    fn queue(&self, name: &str) -> Result<&Arc<queue::Queue>, QueueError> {
        self.shared.queues.by_name(name).ok_or_else(|| QueueError::Unknown { name: name.to_owned() })
    }

    /// How many jobs are pending or with a handler. One atomic load.
    pub fn jobs(&self) -> usize {
        self.shared.life.jobs()
    }

    /// Waits until no job is pending and none is with a handler, or the engine stops. A job of a paused queue is pending.
    pub async fn idle(&self) {
        let life = &self.shared.life;
        life.until(|| life.jobs() == 0 || life.is_stopping()).await;
    }

    /// Stops gracefully: no job is started from here on, calls that want to change something are refused (but for those of
    /// handlers that are still running), handlers have `grace` to end, and the store gets everything that was logged,
    /// within the same time.
    ///
    /// A handler that calls it waits for itself, until the grace period is over. The runtime must have its timer enabled.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shared.stop();
        let life = &self.shared.life;
        let is_flushed = rt::timeout(grace, self.ended()).await.unwrap_or(false);
        life.reach(Stage::Abandoned);
        if self.shared.ownership.is_some() {
            // The committers have nothing left to wait for. A store that does not answer is not waited for.
            let _ = rt::timeout(RELEASE_PATIENCE.min(grace), life.reached(Stage::Released)).await;
        }
        // Only if it has come to its end, and so has next to nothing left to do: an inline handler that goes on and on must
        // not hold up more than it has to.
        let has_ended = life.has_driver_ended();
        let driver = self.owner.as_ref().and_then(|owner| owner.driver.lock().take_if(|_| has_ended));
        if let Some(driver) = driver {
            let _ = driver.join();
        }
        let (jobs, still_running) = (self.jobs(), life.running());
        let report =
            ShutdownReport { still_running, pending: jobs.saturating_sub(still_running), is_flushed };
        tracing::info!(?report, "the engine has stopped");
        report
    }

    /// Resolves when no handler is running, the driver has ended, and the committers have: says whether they got all of it
    /// to the store.
    async fn ended(&self) -> bool {
        let life = &self.shared.life;
        life.until(|| life.is_over() && life.has_driver_ended()).await;
        let mut is_flushed = true;
        for at in 0..self.shared.cells.len() {
            let partition = crate::partition::PartitionId(at as u16);
            life.until(|| self.shared.is_in_step(at)).await;
            is_flushed &= self.shared.log_flushed(partition).await.is_ok() && !self.shared.is_behind(at);
        }
        is_flushed
    }

    /// Resolves when another engine owns the jobs: this one fires and writes nothing from then on, and calls are refused with
    /// [`CallError::NotOwner`]. The error says who. It never resolves otherwise; a service whose engine is lost should
    /// end or build another.
    pub async fn lost(&self) -> StoreError {
        match &self.shared.ownership {
            Some(ownership) => ownership.until_lost().await,
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("jobs", &self.jobs()).finish_non_exhaustive()
    }
}
