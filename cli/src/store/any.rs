//! A store of either kind, as one: the commands know no other.

use reveille::PartitionId;
use reveille::store::{
    DelegatingStore, DiskStore, PartitionRead, PartitionReport, ReadStore, RedisStore, ReplicaReport, Store,
    StoreError, StoreFuture,
};

/// A store. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) enum AnyStore {
    Disk(DiskStore),
    Redis(RedisStore),
}

impl AnyStore {
    /// What it holds of each partition that was ever owned.
    pub(super) async fn inspect(&self) -> Result<Vec<PartitionReport>, StoreError> {
        match self {
            AnyStore::Disk(store) => store.inspect().await,
            AnyStore::Redis(store) => store.inspect().await,
        }
    }

    /// The server's link to its master, if the store is a replica.
    pub(super) async fn replica(&self) -> Result<Option<ReplicaReport>, StoreError> {
        match self {
            AnyStore::Disk(_) => Ok(None),
            AnyStore::Redis(store) => store.replica().await,
        }
    }

    fn reader(&self) -> &dyn ReadStore {
        match self {
            AnyStore::Disk(store) => store,
            AnyStore::Redis(store) => store,
        }
    }
}

impl DelegatingStore for AnyStore {
    fn inner(&self) -> &dyn Store {
        match self {
            AnyStore::Disk(store) => store,
            AnyStore::Redis(store) => store,
        }
    }
}

impl ReadStore for AnyStore {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        self.reader().partitions()
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        self.reader().read(partition)
    }
}
