//! What becomes of the leases concerns the engine.

use super::life::Stage;
use super::shared::Shared;
use crate::engine::error::CallError;
use crate::engine::ownership::Tenant;
use crate::store::StoreError;
use crate::sync::atomic::Ordering::SeqCst;

impl Tenant for Shared {
    fn leases_are_lost(&self) {
        self.stop();
    }

    fn partition_is_lost(&self, at: usize, error: &StoreError) {
        let cell = &self.cells[at];
        {
            // Before anybody is told: whoever then calls again is refused.
            let mut owned = cell.lock();
            cell.is_shut.store(true, SeqCst);
            owned.is_lost = true;
        }
        cell.progress.end(CallError::disowned(error.clone()));
        // What is pending counts here no more. Last, so that whoever sees that sees the loss.
        let is_emptied = self.publish_jobs(cell, &mut cell.lock());
        self.look_for_idle(is_emptied);
    }

    fn lease_is_proved_again(&self) {
        self.call_all();
    }

    fn is_found_behind(&self, at: usize) {
        self.cells[at].flush.notify_one();
    }

    fn durable(&self) -> Vec<u64> {
        self.cells.iter().map(|cell| cell.progress.durable()).collect()
    }

    fn has_running(&self) -> bool {
        self.life.running() > 0
    }

    fn leases_are_released(&self) {
        self.life.reach(Stage::Released);
    }
}

impl Shared {
    /// Resolves when nobody has anything left to write.
    pub(crate) async fn logs_ended(&self) {
        for cell in &self.cells {
            cell.progress.ended().await;
        }
    }
}
