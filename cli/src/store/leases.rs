//! The leases that an engine was given, to be given back when it cannot.
//!
//! An engine keeps its leases while a handler runs, since another owner would run its job a second time beside it. Only
//! who knows its handlers can know that they do nothing any more.

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
    /// Gives back what leases there still are. For an engine that was shut down, and whose handlers do nothing more although
    /// they have not ended.
    pub(crate) async fn give_leases_back(&self) {
        let grants = self.leases.grants();
        // If it does not work they end by themselves.
        let _ = tokio::time::timeout(PATIENCE, self.store.release(&grants)).await;
    }
}
