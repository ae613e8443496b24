//! A store that notes which leases it gave out, and tells what it has taken.

use std::fmt;
use std::sync::Arc;

use reveille::PartitionId;
use reveille::store::{Batch, Claim, DelegatingStore, Lease, Store, StoreFuture};

use super::Named;
use super::any::AnyStore;
use super::leases::Leases;

#[derive(Debug)]
pub(super) struct Watched {
    inner: AnyStore,
    leases: Leases,
    taken: Option<Taken>,
}

/// Told of each batch that the store has.
#[derive(Clone)]
pub(super) struct Taken(Arc<dyn Fn(&Batch) + Send + Sync>);

impl Watched {
    pub(super) fn new(named: &Named) -> Self {
        Watched { inner: named.store.clone(), leases: named.leases.clone(), taken: named.taken.clone() }
    }
}

impl Named {
    /// Has `taken` told of each batch that the store has from an engine that is started on it.
    pub(crate) fn watched(self, taken: impl Fn(&Batch) + Send + Sync + 'static) -> Self {
        Named { taken: Some(Taken(Arc::new(taken))), ..self }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taken(..)")
    }
}

impl DelegatingStore for Watched {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let lease = self.inner().acquire(partition, claim).await?;
            self.leases.note(&lease.grant);
            Ok(lease)
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        let Some(Taken(taken)) = &self.taken else { return self.inner().append(batch) };
        Box::pin(async move {
            self.inner().append(batch).await?;
            taken(batch);
            Ok(())
        })
    }
}
