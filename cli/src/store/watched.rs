//! A store that reports when another owner's lease is in the way, because an engine that waits for its turn says nothing
//! otherwise; and that notes which leases it gave out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use reveille::PartitionId;
use reveille::store::{Claim, DelegatingStore, Lease, Store, StoreError, StoreErrorClass, StoreFuture};

use super::leases::Leases;

pub(super) struct Watched {
    inner: Arc<dyn Store>,
    told: Arc<AtomicBool>,
    tell: fn(&StoreError),
    leases: Leases,
}

impl Watched {
    /// `tell` is called once at most; `told` says whether it was.
    pub(super) fn new(
        inner: Arc<dyn Store>,
        told: Arc<AtomicBool>,
        tell: fn(&StoreError),
        leases: Leases,
    ) -> Self {
        Watched { inner, told, tell, leases }
    }
}

impl DelegatingStore for Watched {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let lease = self.inner.acquire(partition, claim).await;
            if let Ok(lease) = &lease {
                self.leases.note(&lease.grant);
            }
            if let Err(error) = &lease
                && error.class == StoreErrorClass::Held
                && !self.told.swap(true, SeqCst)
            {
                (self.tell)(error);
            }
            lease
        })
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
