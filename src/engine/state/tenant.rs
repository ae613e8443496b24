//! What becomes of the leases concerns the engine.

use super::life::Stage;
use super::shared::Shared;
use crate::engine::ownership::Tenant;

impl Tenant for Shared {
    fn leases_are_lost(&self) {
        self.stop();
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
