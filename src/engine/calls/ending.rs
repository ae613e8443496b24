//! The end of an engine: waited for, brought about, or come from elsewhere.

use std::time::Duration;

use crate::engine::state::{Engine, Stage};
use crate::engine::tell::ShutdownReport;
use crate::partition::PartitionId;
use crate::rt::Io;
use crate::store::{Durability, StoreError};

/// How long the leases may take to be given back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
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
            let partition = PartitionId(at as u16);
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
