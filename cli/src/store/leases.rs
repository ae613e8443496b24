//! The leases of an engine, for giving them back when the engine cannot.
//!
//! An engine keeps its leases while a handler runs, because another owner would run the same job beside it. Only the program
//! knows that its handlers do nothing more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reveille::PartitionId;
use reveille::store::{Grant, Store};

use super::Named;

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last grant of each partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<BTreeMap<PartitionId, Grant>>>);

impl Leases {
    pub(super) fn note(&self, grant: &Grant) {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        grants.insert(grant.partition, grant.clone());
    }

    fn grants(&self) -> Vec<Grant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Named {
    /// Gives back the remaining leases. For an engine that was shut down, whose handlers have not ended but do nothing
    /// more.
    pub(crate) async fn give_leases_back(&self) {
        let grants = self.leases.grants();
        // If this fails, they end by themselves.
        let _ = tokio::time::timeout(PATIENCE, self.store.release(&grants)).await;
    }
}
