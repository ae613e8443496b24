//! A store that misbehaves as it is told to.

use std::sync::Arc;

use reveille::PartitionId;
use reveille::store::{Batch, Loaded, MemoryStore, Store, StoreError, StoreFuture};
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
    fn open(&self, partitions: u16) -> StoreFuture<'_, u64> {
        self.inner.open(partitions)
    }

    fn load(&self, partition: PartitionId) -> StoreFuture<'_, Loaded> {
        self.inner.load(partition)
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        self.appends.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            let mut faults = self.fault.subscribe();
            loop {
                let fault = *faults.borrow_and_update();
                match (fault, batch.partition.0) {
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
