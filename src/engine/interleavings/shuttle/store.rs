//! A store that takes its time, and that breaks when it is told to.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::partition::{Key, Record};
use crate::store::{Batch, DelegatingStore, MemoryStore, Store, StoreError, StoreErrorClass, StoreFuture};

/// What happens to the batches from one on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breaks {
    Never,
    /// It is refused once, to be sent again.
    Once,
    /// It is taken, and the answer is lost.
    Answers,
    /// The store says that it takes no more.
    For(StoreErrorClass),
    /// There is never an answer.
    Silent,
}

/// A store in memory, whose answers let others go first.
#[derive(Debug)]
pub(super) struct ModelStore {
    memory: MemoryStore,
    breaks: Breaks,
    at: usize,
    batches: AtomicUsize,
    /// The keys of all jobs that it has been given.
    pub(super) keys: Mutex<BTreeSet<Key>>,
}

impl ModelStore {
    pub(super) fn new(breaks: Breaks, at: usize) -> Self {
        ModelStore {
            memory: MemoryStore::new(),
            breaks,
            at,
            batches: AtomicUsize::new(0),
            keys: Mutex::default(),
        }
    }

    async fn take(&self, batch: &Batch) -> Result<(), StoreError> {
        self.memory.append(batch).await?;
        let scheduled = batch.records.iter().filter_map(|record| match record {
            Record::Scheduled(scheduled) => Some(scheduled.spec.key.clone()),
            _ => None,
        });
        self.keys.lock().unwrap().extend(scheduled);
        Ok(())
    }
}

impl DelegatingStore for ModelStore {
    fn inner(&self) -> &dyn Store {
        &self.memory
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let number = self.batches.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            let is_broken = number >= self.at;
            let answer = match self.breaks {
                Breaks::Once if number == self.at => Err(StoreError::retry("not now")),
                Breaks::Answers if number == self.at => {
                    self.take(batch).await?;
                    Err(StoreError::retry("the answer was lost"))
                }
                Breaks::For(class) if is_broken => Err(StoreError::new(class, "no more")),
                Breaks::Silent if is_broken => std::future::pending().await,
                _ => self.take(batch).await,
            };
            tokio::task::yield_now().await;
            answer
        })
    }
}
