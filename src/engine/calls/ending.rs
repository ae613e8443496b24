//! The end of an engine: waited for, brought about, or come from elsewhere.

use std::time::Duration;

use crate::engine::state::{Engine, Shared, Stage};
use crate::engine::tell::ShutdownReport;
use crate::partition::PartitionId;
use crate::rt::Io;
use crate::store::{Durability, StoreError};

/// How long the leases may take to be given back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits until no job is pending or running, or the engine stops, as it does when the runtime that handlers run on
    /// ends. Jobs of a paused queue are pending, and so are jobs of a queue without a handler
    /// ([`QueueStats::has_handler`](crate::QueueStats::has_handler)): this waits for ever while there are any. Any executor may poll it.
    pub async fn idle(&self) {
        self.shared.life.idle(|| self.shared.jobs()).await;
    }

    /// Stops gracefully. From here on no job is started, and calls that change something are refused, except those of
    /// handlers that are still running. Handlers have `grace` to end, and within the same time the store gets everything
    /// that was logged. The report says what is left; [`ShutdownReport::is_clean`] says whether anything is.
    ///
    /// A handler that calls this waits for itself until the grace period is over. Any executor may poll it.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shared.stop();
        let life = &self.shared.life;
        match timer(&self.shared) {
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
        // Only if the driver has ended and has almost nothing left to do: an inline handler that never ends must not hold up
        // the shutdown.
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

    /// Ends as a crash does: nothing is waited for, and the store gets nothing any more. Handlers that run are left behind.
    pub(crate) async fn crash(&self) {
        let life = &self.shared.life;
        self.shared.stop();
        life.reach(Stage::Abandoned);
        if let Some(ownership) = &self.shared.ownership {
            ownership.claim.owner.leaves();
            // What is with the store right now has its answer: nothing is written behind the next engine's back.
            let _ = ownership.io.timeout(RELEASE_PATIENCE, life.reached(Stage::Released)).await;
        }
    }

    /// Resolves when no handler is running, the driver has ended, and the store has everything or will take no more.
    async fn ended(&self) {
        let life = &self.shared.life;
        if self.shared.durability() > Durability::Logged {
            // A handler that outlasts the grace period must not keep earlier records from the disk.
            self.flushed().await;
        }
        life.until(|| life.is_over() && life.has_driver_ended()).await;
        self.flushed().await;
    }

    /// Resolves when the store has everything that was logged, or will take no more.
    async fn flushed(&self) {
        for at in 0..self.shared.cells.len() {
            let partition = PartitionId(at as u16);
            self.shared.life.until(|| self.shared.is_in_step(at)).await;
            // What is missing is counted at the end.
            let _ = self.shared.log_flushed(partition).await;
        }
    }

    /// Resolves when another engine has taken over the jobs. From then on this engine fires and writes nothing, and refuses
    /// calls with [`CallError::NotOwner`](crate::CallError::NotOwner). The error says who the owner is. A service whose engine is lost should end, or
    /// build another engine. While nobody takes over this never resolves. Any executor may poll it.
    pub async fn lost(&self) -> StoreError {
        match &self.shared.ownership {
            Some(ownership) => ownership.until_all_lost().await,
            None => std::future::pending().await,
        }
    }
}

/// Waits for a time on any executor. An engine without a store has a thread for that only while it needs one.
pub(super) fn timer(shared: &Shared) -> std::io::Result<Io> {
    match &shared.ownership {
        Some(ownership) => Ok(ownership.io.clone()),
        None => Io::start(),
    }
}
