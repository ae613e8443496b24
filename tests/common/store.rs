//! A store that misbehaves as it is told to.

use std::sync::Arc;

use reveille::store::{
    Batch, Claim, Grant, Lease, LoadTold, Loaded, MemoryStore, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotWriter, Store, StoreError, StoreFuture,
};
use reveille::{Durability, PartitionId};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Takes nothing and answers nothing.
    Stand,
    /// Refuses for good.
    Refuse,
    /// Asks to be tried again.
    Retry,
    /// Asks to be tried again by partition 0 only.
    RetryFirst,
    /// Answers nothing for partition 1 only.
    StandSecond,
    Panic,
    /// Takes everything, and may lose it.
    Doubt,
}

#[derive(Debug)]
pub struct FaultyStore {
    pub inner: MemoryStore,
    fault: watch::Sender<Fault>,
    pub appends: std::sync::atomic::AtomicUsize,
}

impl FaultyStore {
    pub fn new(fault: Fault) -> Arc<Self> {
        let (inner, appends) = (MemoryStore::new(), Default::default());
        Arc::new(FaultyStore { inner, fault: watch::Sender::new(fault), appends })
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Store for FaultyStore {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        self.inner.open(needs)
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        self.inner.acquire(partition, claim)
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

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        let is_in_doubt = *self.fault.borrow() == Fault::Doubt;
        Box::pin(
            async move { Ok(if is_in_doubt { vec!["it throws keys away".to_owned()] } else { Vec::new() }) },
        )
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        self.appends.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            let mut faults = self.fault.subscribe();
            loop {
                let fault = *faults.borrow_and_update();
                match (fault, batch.grant.partition.0) {
                    (Fault::Stand, _) | (Fault::StandSecond, 1) => {
                        faults.changed().await.expect("the store is here")
                    }
                    (Fault::Refuse, _) => return Err(StoreError::fatal("fenced by another owner")),
                    (Fault::Retry, _) | (Fault::RetryFirst, 0) => return Err(StoreError::retry("busy")),
                    (Fault::Panic, _) => panic!("the store panics"),
                    _ => return self.inner.append(batch).await,
                }
            }
        })
    }
}
