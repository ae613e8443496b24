//! A store that takes no records until it is told to, so that an engine's committers, which have a thread of their own, take
//! nothing out of the log while calls are counted.

use reveille::store::{Batch, DelegatingStore, MemoryStore, Store, StoreFuture};
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

impl DelegatingStore for StillStore {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // It cannot be closed: the store is right here.
            let _permit = self.may_take.acquire().await;
            self.inner.append(batch).await
        })
    }
}
