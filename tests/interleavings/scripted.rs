//! A store that does what a test tells it, call by call.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::partition::Image;
use reveille::store::{
    Batch, Claim, Grant, Lease, LoadProgress, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotInfo, SnapshotWriter, Store, StoreError, StoreErrorClass, StoreFuture,
};
use reveille::{Durability, PartitionId};
use tokio::sync::watch;

use crate::common::ms;

/// What a call of the store is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Does {
    Well,
    /// Answers nothing until it is told something else.
    Stands,
    Fails(StoreErrorClass),
}

/// Takes everything and keeps only how far each log has come; misbehaves call by call, in partition 0.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) has_lease: bool,
    pub(crate) tails: Mutex<HashMap<u16, u64>>,
    pub(crate) epoch: AtomicU64,
    pub(crate) append: watch::Sender<Does>,
    pub(crate) renew: watch::Sender<Does>,
    pub(crate) acquire: watch::Sender<Does>,
    /// Whether another owns partition 1.
    pub(crate) is_second_fenced: AtomicBool,
    /// How long a load takes; it tells of its progress all the while.
    pub(crate) load_takes: Mutex<Duration>,
    pub(crate) sync_takes: Duration,
    pub(crate) fails_replicated: bool,
    pub(crate) snapshot: watch::Sender<Does>,
    pub(crate) syncs: AtomicUsize,
    pub(crate) slices: AtomicUsize,
    pub(crate) snapshots: Mutex<HashMap<u16, usize>>,
}

impl Scripted {
    pub(crate) fn new(has_lease: bool) -> Self {
        let well = || watch::Sender::new(Does::Well);
        Scripted {
            has_lease,
            tails: Mutex::default(),
            epoch: AtomicU64::new(1),
            append: well(),
            renew: well(),
            acquire: well(),
            is_second_fenced: AtomicBool::new(false),
            load_takes: Mutex::default(),
            sync_takes: Duration::ZERO,
            fails_replicated: false,
            snapshot: well(),
            syncs: AtomicUsize::new(0),
            slices: AtomicUsize::new(0),
            snapshots: Mutex::default(),
        }
    }

    async fn obey(&self, what: &watch::Sender<Does>, partition: PartitionId) -> Result<(), StoreError> {
        let mut what = what.subscribe();
        loop {
            let does = *what.borrow_and_update();
            match does {
                _ if partition.0 != 0 => return Ok(()),
                Does::Well => return Ok(()),
                Does::Stands => what.changed().await.unwrap(),
                Does::Fails(class) => return Err(StoreError::new(class, format!("told to: {class:?}"))),
            }
        }
    }

    fn tail(&self, partition: PartitionId) -> u64 {
        self.tails.lock().unwrap().get(&partition.0).copied().unwrap_or(0)
    }
}

impl Store for Scripted {
    fn open<'a>(&'a self, _: &'a Needs) -> StoreFuture<'a, Opened> {
        let opened = Opened { durability_max: Durability::Replicated, has_lease: self.has_lease };
        Box::pin(async move { Ok(opened) })
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            self.obey(&self.acquire, partition).await?;
            let epoch = self.epoch.fetch_add(1, SeqCst);
            let grant = Grant { partition, owner: claim.owner.clone(), epoch, term: claim.term };
            Ok(Lease { grant, tail: self.tail(partition) })
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for grant in grants {
                let mut obeyed = self.obey(&self.renew, grant.partition).await;
                if grant.partition.0 == 1 && self.is_second_fenced.load(SeqCst) {
                    obeyed = Err(StoreError::fenced("told to"));
                }
                all.push(obeyed.map(|()| Renewed { tail: self.tail(grant.partition) }));
            }
            Ok(all)
        })
    }

    fn release<'a>(&'a self, _: &'a [Grant]) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let mut left = *self.load_takes.lock().unwrap();
            while !left.is_zero() {
                tokio::time::sleep(ms(20)).await;
                told(LoadProgress { bytes: 1_000_000, ..LoadProgress::default() });
                left = left.saturating_sub(ms(20));
            }
            let covered = self.tail(grant.partition);
            Ok(Loaded { covered, complete: covered, ..Loaded::default() })
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.obey(&self.append, batch.grant.partition).await?;
            self.tails.lock().unwrap().insert(batch.grant.partition.0, batch.end_record());
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
        Box::pin(async move {
            self.obey(&self.snapshot, grant.partition).await?;
            Ok(Some(Box::new(Writer { store: self, partition: grant.partition, begin })
                as Box<dyn SnapshotWriter>))
        })
    }
}

struct Writer<'a> {
    store: &'a Scripted,
    partition: PartitionId,
    begin: SnapshotBegin,
}

impl SnapshotWriter for Writer<'_> {
    fn write(&mut self, _: Image) -> StoreFuture<'_, ()> {
        self.store.slices.fetch_add(1, SeqCst);
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
