//! A store that takes everything and keeps nothing but how far each log has come.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::partition::Image;
use reveille::store::{
    Batch, Claim, Grant, Lease, LoadProgress, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotInfo, SnapshotWriter, Store, StoreError, StoreErrorClass, StoreFuture,
};
use reveille::{Durability, PartitionId};

use crate::time::ms;

/// A store whose owner nothing can be lost of, since it has nothing. What it does can be bent by its fields; to have it fail,
/// put a [`Scripted`](crate::scripted::Scripted) over it.
#[derive(Debug, Default)]
pub struct Hollow {
    /// Whether its leases end by themselves.
    pub has_lease: bool,
    /// How far the log of each partition has come.
    pub tails: Mutex<HashMap<u16, u64>>,
    /// How long a load takes; it tells of its progress all the while.
    pub load_takes: Mutex<Duration>,
    /// How long a sync takes.
    pub sync_takes: Duration,
    /// Whether there is no replica.
    pub fails_replicated: bool,
    /// How often it was asked to sync.
    pub syncs: AtomicUsize,
    /// How many snapshots of each partition were published.
    pub snapshots: Mutex<HashMap<u16, usize>>,
    /// The epoch last given.
    pub epoch: AtomicU64,
}

impl Hollow {
    /// One whose leases last until they are given back.
    pub fn new() -> Self {
        Hollow::default()
    }

    /// One whose leases end by themselves.
    pub fn with_leases() -> Self {
        Hollow { has_lease: true, ..Hollow::default() }
    }

    fn log_end(&self, partition: PartitionId) -> u64 {
        self.tails.lock().unwrap().get(&partition.0).copied().unwrap_or(0)
    }
}

impl Store for Hollow {
    fn open<'a>(&'a self, _: &'a Needs) -> StoreFuture<'a, Opened> {
        let mut opened = Opened::new(Durability::Replicated);
        opened.has_lease = self.has_lease;
        Box::pin(async move { Ok(opened) })
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let epoch = self.epoch.fetch_add(1, SeqCst) + 1;
            Ok(Lease::new(Grant::new(partition, claim, epoch), self.log_end(partition)))
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        let renewed = |grant: &Grant| Ok(Renewed::new(self.log_end(grant.partition)));
        Box::pin(async move { Ok(grants.iter().map(renewed).collect()) })
    }

    fn release<'a>(&'a self, _: &'a [Grant]) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let mut left = *self.load_takes.lock().unwrap();
            while !left.is_zero() {
                tokio::time::sleep(ms(20)).await;
                let mut progress = LoadProgress::default();
                progress.bytes = 1_000_000;
                told(progress);
                left = left.saturating_sub(ms(20));
            }
            let mut loaded = Loaded::default();
            loaded.covered = self.log_end(grant.partition);
            loaded.complete = loaded.covered;
            Ok(loaded)
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.tails.lock().unwrap().insert(batch.grant.partition.0, batch.end());
            Ok(())
        })
    }

    fn sync<'a>(&'a self, _: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.syncs.fetch_add(1, SeqCst);
            tokio::time::sleep(self.sync_takes).await;
            if self.fails_replicated && level == Durability::Replicated {
                return Err(StoreError::new(StoreErrorClass::Refused, "0 of 1 replicas"));
            }
            Ok(())
        })
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        let writer = Writer { store: self, partition: grant.partition, begin };
        Box::pin(async move { Ok(Some(Box::new(writer) as Box<dyn SnapshotWriter>)) })
    }
}

struct Writer<'a> {
    store: &'a Hollow,
    partition: PartitionId,
    begin: SnapshotBegin,
}

impl SnapshotWriter for Writer<'_> {
    fn write(&mut self, _: Image) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn publish(&mut self, _: u64) -> StoreFuture<'_, SnapshotInfo> {
        *self.store.snapshots.lock().unwrap().entry(self.partition.0).or_default() += 1;
        if self.begin.replaces_log {
            self.store.tails.lock().unwrap().insert(self.partition.0, self.begin.covered);
        }
        Box::pin(async { Ok(SnapshotInfo::default()) })
    }
}
