//! A store that takes no records until it is told to, so that an engine's committers, which have a thread of their own, take
//! nothing out of the log while calls are counted.

use reveille::PartitionId;
use reveille::store::{
    Batch, Claim, Durability, Grant, Lease, LoadTold, Loaded, MemoryStore, Needs, Opened, Renewed,
    SnapshotBegin, SnapshotWriter, Store, StoreFuture,
};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(super) struct StillStore {
    inner: MemoryStore,
    may_take: Semaphore,
}

impl StillStore {
    pub(super) fn new() -> Self {
        StillStore { inner: MemoryStore::new(), may_take: Semaphore::new(0) }
    }

    /// Takes what it is sent from here on.
    pub(super) fn go_on(&self) {
        self.may_take.add_permits(1);
    }
}

impl Store for StillStore {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        self.inner.open(needs)
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        self.inner.acquire(partition, claim)
    }

    fn renew<'a>(
        &'a self,
        grants: &'a [Grant],
    ) -> StoreFuture<'a, Vec<Result<Renewed, reveille::store::StoreError>>> {
        self.inner.renew(grants)
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        self.inner.release(grants)
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        self.inner.load(grant, told)
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // It cannot be closed: the store is right here.
            let _permit = self.may_take.acquire().await;
            self.inner.append(batch).await
        })
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
}
