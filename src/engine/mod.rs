//! The engine: the shell around the partitions. Threads, locks, the runtime, waiting, and dispatch to handlers.
//!
//! ```text
//!  callers ──────────┐ schedule, reschedule, cancel        ┌── workers (tasks)  start, handler, finish
//!                    ▼                                     ▼
//!            partitions, each behind its lock  (shared: the one way in)
//!                    ▲                                     │ records
//!  driver (thread) ──┘ sleep to the next due, advance      └─> committers, keeper (on a thread, with a runtime of
//!                                                              its own) ──> store
//! ```
//!
//! # Rules
//! - Callers run the state machine themselves, on their own thread, for some hundred nanoseconds under a partition's lock.
//! - The driver alone moves jobs from pending to due. A caller who schedules something earlier than the driver sleeps for
//!   wakes it; `clock::Waiter` tells how no wake-up is lost.
//! - Whether a job is cancelled or fired is decided when a worker starts it, under the partition's lock.
//! - Only handlers run on the user's runtime: nothing of the engine waits for it. See `rt` and `runtime`.
//! - Overload makes jobs late. It drops none, and it makes no buffer grow without a bound.

mod calls;
mod durability;
mod error;
#[cfg(all(test, any(reveille_loom, reveille_shuttle)))]
mod interleavings;
mod log;
mod ownership;
mod queues;
mod run;
mod start;
mod state;
mod tell;

pub use calls::{Commit, NotAllCancelled, NotAllScheduled, Outcomes, Planned, Schedule, Target};
pub use error::{CallError, CancelError, Change, QueueError, RescheduleError, ScheduleError, StartError};
pub use ownership::StoreState;
pub use queues::{Misfire, QUEUES_MAX, QueueConfig};
pub use run::{BoxError, ContextTask, IntoJobResult, Job, JobResult, Task};
pub use start::{Builder, RestoreProgress, Standby, StartPhase, Startup};
pub(crate) use state::Probed;
pub use tell::{Lateness, QueueStats, ShutdownReport, Stats, StoreStats};

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::partition::Timestamp;
use crate::rt::Io;
use crate::store::{Durability, StoreError};
use crate::sync::thread::JoinHandle;
use run::{Ends, worker};
use state::{Shared, Stage};

/// Fires jobs on time. Cheap to clone; all clones are the same engine.
///
/// When the last clone is dropped the engine stops without waiting for anything, and logs how many jobs it leaves behind;
/// [`shutdown`](Self::shutdown) is the graceful way.
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
        // Looked at first: once it stops, its tasks may come to their end at any moment.
        let has_ended = self.shared.life.is_abandoned();
        self.shared.stop();
        if !has_ended {
            self.shared.tell_drop();
        }
        self.shared.life.reach(Stage::Dropped);
        if let Some(ownership) = &self.shared.ownership {
            ownership.claim.owner.leaves();
        }
    }
}

/// How long the leases may take to be given back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

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

    #[doc(alias = "queue")]
    /// Adds a queue with an async handler while the engine runs. See [`Builder::queue`].
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn add_queue<F, Fut>(&self, config: impl Into<QueueConfig>, handler: F) -> Result<(), QueueError>
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ends,
    {
        if self.shared.handlers.has_ended() {
            return Err(QueueError::RuntimeEnded);
        }
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

    fn call_workers(&self, queue: &Arc<queues::Queue>) {
        if self.shared.could_start(queue) {
            queue.call_workers(self.shared.handlers.threads());
        }
    }

    fn queue(&self, name: &str) -> Result<&Arc<queues::Queue>, QueueError> {
        self.shared.queues.by_name(name).ok_or_else(|| QueueError::Unknown { name: name.to_owned() })
    }

    /// The wall clock, as this engine reads it: what an instant to schedule at is best counted from, in a test too.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now().wall
    }

    /// How many jobs are pending or with a handler. One atomic load.
    pub fn jobs(&self) -> usize {
        self.shared.life.jobs()
    }

    /// Waits until no job is pending and none is with a handler, or the engine stops, as it does when the runtime that
    /// handlers run on ends. A job of a paused queue is pending, and so is one of a queue that has no handler
    /// ([`QueueStats::has_handler`]): while there are such it waits for ever. Any executor may poll it.
    pub async fn idle(&self) {
        let life = &self.shared.life;
        life.until(|| life.jobs() == 0 || life.is_stopping()).await;
    }

    /// Stops gracefully: no job is started from here on, calls that want to change something are refused (but for those of
    /// handlers that are still running), handlers have `grace` to end, and the store gets everything that was logged,
    /// within the same time. The report says what is left; [`ShutdownReport::is_clean`] whether anything is.
    ///
    /// A handler that calls it waits for itself, until the grace period is over. Any executor may poll it.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shared.stop();
        let life = &self.shared.life;
        match self.timer() {
            Ok(timer) => {
                let _ = timer.timeout(grace, self.ended()).await;
                life.reach(Stage::Abandoned);
                if self.shared.ownership.is_some() {
                    // The committers have nothing left to wait for. A store that does not answer is not waited for.
                    let released = life.reached(Stage::Released);
                    let _ = timer.timeout(RELEASE_PATIENCE.min(grace), released).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "there is no thread to wait on: the grace period is cut short");
                life.reach(Stage::Abandoned);
            }
        }
        // Only if it has come to its end, and so has next to nothing left to do: an inline handler that goes on and on must
        // not hold up more than it has to.
        let has_ended = life.has_driver_ended();
        let driver = self.owner.as_ref().and_then(|owner| owner.driver.lock().take_if(|_| has_ended));
        if let Some(driver) = driver {
            let _ = driver.join();
        }
        let report = self.shared.report();
        self.shared.publish_meters();
        self.shared.tell_end(&report, grace);
        report
    }

    /// What waits for a time, whoever polls. An engine without a store has a thread for it only while it needs one.
    fn timer(&self) -> std::io::Result<Io> {
        match &self.shared.ownership {
            Some(ownership) => Ok(ownership.io.clone()),
            None => Io::start(),
        }
    }

    /// Resolves when no handler is running, the driver has ended, and the store has all of it, or will have no more.
    async fn ended(&self) {
        let life = &self.shared.life;
        if self.shared.durability() > Durability::Logged {
            // A handler that outlasts the grace period must not keep from the disk what was logged before.
            self.flushed().await;
        }
        life.until(|| life.is_over() && life.has_driver_ended()).await;
        self.flushed().await;
    }

    /// Resolves when the store has everything that was logged, or will have no more.
    async fn flushed(&self) {
        for at in 0..self.shared.cells.len() {
            let partition = crate::partition::PartitionId(at as u16);
            self.shared.life.until(|| self.shared.is_in_step(at)).await;
            // What is missing is counted at the end.
            let _ = self.shared.log_flushed(partition).await;
        }
    }

    /// Resolves when another engine owns the jobs: this one fires and writes nothing from then on, and calls are refused with
    /// [`CallError::NotOwner`]. The error says who. It never resolves otherwise; a service whose engine is lost should
    /// end or build another. Any executor may poll it.
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
