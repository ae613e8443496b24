//! A store that misbehaves as it is told to, call by call, and is a good one otherwise.

use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use reveille::PartitionId;
use reveille::partition::Image;
use reveille::store::{
    Batch, Claim, DelegatingStore, Grant, Lease, MemoryStore, Renewed, SnapshotBegin, SnapshotInfo,
    SnapshotWriter, Store, StoreError, StoreErrorClass, StoreFuture,
};
use tokio::sync::watch;

/// What a call is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// What the store below does.
    Well,
    /// It answers nothing until it is told something else.
    Stands,
    /// It answers with an error of this class, and the store below hears nothing of it.
    Fails(StoreErrorClass),
    /// It panics.
    Panics,
}

/// One kind of call: what it does, and how often it was made.
#[derive(Debug)]
pub struct Script {
    /// In which partition, if not in all of them.
    does: watch::Sender<(Option<u16>, Does)>,
    calls: AtomicUsize,
}

impl Script {
    fn new() -> Self {
        Script { does: watch::Sender::new((None, Does::Well)), calls: AtomicUsize::new(0) }
    }

    /// Has it do this from here on, in every partition. Calls that stand find out at once.
    pub fn set(&self, does: Does) {
        self.does.send_replace((None, does));
    }

    /// Has it do this in one partition, and all well in the others.
    pub fn set_in(&self, partition: u16, does: Does) {
        self.does.send_replace((Some(partition), does));
    }

    /// How often it was called, whatever became of it.
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    async fn obey(&self, partition: PartitionId) -> Result<(), StoreError> {
        self.calls.fetch_add(1, SeqCst);
        let mut does = self.does.subscribe();
        loop {
            let (only, told) = *does.borrow_and_update();
            match told {
                _ if only.is_some_and(|only| only != partition.0) => return Ok(()),
                Does::Well => return Ok(()),
                Does::Stands => does.changed().await.expect("the store is here"),
                Does::Fails(class) => return Err(StoreError::new(class, format!("told to: {class:?}"))),
                Does::Panics => panic!("the store panics"),
            }
        }
    }
}

/// A store, and what its calls do.
#[derive(Debug)]
pub struct Scripted<S = MemoryStore> {
    /// The good one.
    pub inner: S,
    /// [`Store::acquire`].
    pub acquire: Script,
    /// [`Store::renew`], counted by grant.
    pub renew: Script,
    /// [`Store::append`].
    pub append: Script,
    /// [`Store::snapshot`].
    pub snapshot: Script,
    /// A slice of a snapshot, and what the writer does with it.
    pub write: Script,
    doubts: Mutex<Vec<String>>,
}

impl Scripted {
    /// A store in memory.
    pub fn in_memory() -> Arc<Self> {
        Scripted::over(MemoryStore::new())
    }

    /// A store in memory whose [`Store::append`] does this.
    pub fn with_append(does: Does) -> Arc<Self> {
        let store = Scripted::in_memory();
        store.append.set(does);
        store
    }
}

impl<S: Store> Scripted<S> {
    /// Does all as `inner` does, to begin with.
    pub fn over(inner: S) -> Arc<Self> {
        let new = Script::new;
        let (acquire, renew, append, snapshot, write) = (new(), new(), new(), new(), new());
        Arc::new(Scripted { inner, acquire, renew, append, snapshot, write, doubts: Mutex::default() })
    }

    /// What speaks against relying on it, from here on.
    pub fn doubt(&self, doubts: &[&str]) {
        *self.doubts.lock().unwrap() = doubts.iter().map(|doubt| (*doubt).to_owned()).collect();
    }
}

impl<S: Store> DelegatingStore for Scripted<S> {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            self.acquire.obey(partition).await?;
            self.inner.acquire(partition, claim).await
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for grant in grants {
                match self.renew.obey(grant.partition).await {
                    Ok(()) => all.append(&mut self.inner.renew(slice::from_ref(grant)).await?),
                    Err(error) => all.push(Err(error)),
                }
            }
            Ok(all)
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.append.obey(batch.grant.partition).await?;
            self.inner.append(batch).await
        })
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        Box::pin(async move {
            self.snapshot.obey(grant.partition).await?;
            let inner = self.inner.snapshot(grant, begin).await?;
            let writer = |inner| Writer { write: &self.write, partition: grant.partition, inner };
            Ok(inner.map(|inner| Box::new(writer(inner)) as Box<dyn SnapshotWriter + 'a>))
        })
    }

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(async move {
            let mut doubts = self.inner.doubts().await?;
            doubts.extend(self.doubts.lock().unwrap().iter().cloned());
            Ok(doubts)
        })
    }
}

struct Writer<'a> {
    write: &'a Script,
    partition: PartitionId,
    inner: Box<dyn SnapshotWriter + 'a>,
}

impl SnapshotWriter for Writer<'_> {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.write.obey(self.partition).await?;
            self.inner.write(slice).await
        })
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        self.inner.publish(complete)
    }
}
