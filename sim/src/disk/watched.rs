//! A store whose calls are watched: what it acknowledges is a promise, which the [`Journal`] keeps.

use std::sync::Arc;

use reveille::PartitionId;
use reveille::sim::Image;
use reveille::store::{
    Batch, Claim, DelegatingStore, Durability, Grant, Lease, LoadTold, Loaded, Renewed, SnapshotBegin,
    SnapshotInfo, SnapshotWriter, Store, StoreError, StoreErrorClass, StoreFuture,
};

use super::{Disk, Journal};

/// How long after a trouble of the disk its store may say that it lacks something.
const LACKS_US: u64 = 60_000_000;

/// A store of a process.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    disk: Arc<Disk>,
}

impl Watched {
    pub(crate) fn new(store: Arc<dyn Store>, journal: &Arc<Journal>, disk: &Arc<Disk>) -> Self {
        Watched { store, journal: Arc::clone(journal), disk: Arc::clone(disk) }
    }

    /// A store lacks something only if its disk has failed.
    fn judge<T>(&self, grant: &Grant, said: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &said {
            let lacks = error.class == StoreErrorClass::Behind;
            if lacks && !self.journal.is_doubted(grant.partition.0) && !self.disk.is_troubled(LACKS_US) {
                self.journal
                    .broken("10 it says so", format!("nothing is missing, and the store says: {error}"));
            }
        }
        said
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "watched {:?}", self.store)
    }
}

impl DelegatingStore for Watched {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let lease = self.store.acquire(partition, claim).await?;
            self.journal.acquired(&lease.grant, claim.epoch_after, lease.log_end);
            Ok(lease)
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(async move {
            let renewed = self.store.renew(grants).await?;
            let judged = grants.iter().zip(renewed).map(|(grant, renewed)| self.judge(grant, renewed));
            Ok(judged.collect())
        })
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let loaded = self.store.load(grant, told).await?;
            self.journal.loaded(grant, &loaded);
            Ok(loaded)
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.journal.sends(batch);
            let is_owner = self.journal.is_owner(&batch.grant);
            self.judge(&batch.grant, self.store.append(batch).await)?;
            self.journal.logged(batch, is_owner);
            Ok(())
        })
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let end = self.journal.end(grant);
            self.judge(grant, self.store.sync(grant, level).await)?;
            self.journal.synced(grant, end);
            Ok(())
        })
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        Box::pin(async move {
            let Some(inner) = self.store.snapshot(grant, begin).await? else { return Ok(None) };
            let base = Image { next_sequence: begin.next_sequence, ..Image::default() };
            let writer = Writer { inner, journal: &self.journal, grant, begin, base };
            Ok(Some(Box::new(writer) as Box<dyn SnapshotWriter>))
        })
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.judge(grant, self.store.check(grant).await) })
    }
}

struct Writer<'a> {
    inner: Box<dyn SnapshotWriter + 'a>,
    journal: &'a Journal,
    grant: &'a Grant,
    begin: SnapshotBegin,
    base: Image,
}

impl SnapshotWriter for Writer<'_> {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        if self.begin.replaces_log {
            self.base.add(slice.clone());
        }
        self.inner.write(slice)
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        Box::pin(async move {
            let SnapshotBegin { covered, replaces_log, .. } = self.begin;
            let is_owner = self.journal.is_owner(self.grant);
            if replaces_log {
                let base = std::mem::take(&mut self.base);
                self.journal.begins_anew(self.grant, (covered, complete), base);
            }
            let info = self.inner.publish(complete).await?;
            self.journal.published(self.grant, covered, replaces_log, is_owner);
            Ok(info)
        })
    }
}
