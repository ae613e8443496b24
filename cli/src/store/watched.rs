//! A store that reports when another owner's lease is in the way, because an engine that waits for its turn says nothing
//! otherwise; and that notes which leases it gave out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::{
    Batch, Claim, Grant, Lease, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin, SnapshotWriter,
    Store, StoreError, StoreErrorClass, StoreFuture,
};
use reveille::{Durability, PartitionId};

use super::leases::Leases;

/// Passes everything on to `inner`.
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

impl Store for Watched {
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

    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        self.inner.open(needs)
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        self.inner.renew(grants)
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        self.inner.release(grants)
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        self.inner.load(grant, told)
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        self.inner.append(batch)
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        self.inner.sync(grant, level)
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        self.inner.snapshot(grant, begin)
    }

    fn until_free<'a>(&'a self, partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        self.inner.until_free(partition, left)
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        self.inner.check(grant)
    }

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        self.inner.doubts()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
