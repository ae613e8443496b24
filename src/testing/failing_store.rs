//! A store that fails when a test says so, and is a good one otherwise.
//!
//! # Rules
//! - What fails is not carried out, but for a lost answer: that is what a lost answer is.
//! - Calls are counted when they are made, whatever becomes of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::partition::PartitionId;
use crate::store::{
    Batch, Claim, DelegatingStore, Durability, Grant, Lease, LoadTold, Loaded, MemoryStore, Needs, Opened,
    Renewed, SnapshotBegin, SnapshotWriter, Store, StoreError, StoreFuture,
};

/// A kind of call that an engine makes to its store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum StoreCall {
    /// [`Store::open`]: the first at a start.
    Open,
    /// [`Store::acquire`]: takes the lease of a partition.
    Acquire,
    /// [`Store::renew`]: proves leases again. Of a [`MemoryStore`] they need none.
    Renew,
    /// [`Store::load`]: a partition, at a start.
    Load,
    /// [`Store::append`]: records, that is, every change.
    Append,
    /// [`Store::sync`]: more durability than the store's word. A [`MemoryStore`] has none to give.
    Sync,
    /// [`Store::snapshot`].
    Snapshot,
}

/// A store over another, whose calls fail when a test says so. Clones are the same store.
///
/// ```
/// use std::time::Duration;
/// use reveille::store::StoreError;
/// use reveille::testing::{FailingStore, StoreCall, TestEngine};
/// use reveille::{CallError, Engine, Job, ScheduleError, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FailingStore::in_memory();
/// let builder = Engine::builder()
///     .queue("mails", |_: Job| async {})
///     .store(store.clone())
///     .commit_deadline(Duration::from_millis(50));
/// let engine = TestEngine::start(builder, Timestamp::from_micros(0)).await?;
///
/// store.fail(StoreCall::Append, StoreError::retry("Redis is away"));
/// let late = engine.schedule_raw("mails", "").key("hello").after(Duration::from_secs(60)).await;
/// assert!(matches!(late, Err(ScheduleError::Call(CallError::Unconfirmed))));
///
/// store.heal();
/// engine.schedule_raw("mails", "").key("again").after(Duration::from_secs(60)).await?.scheduled()?;
/// # Ok(()) }
/// ```
pub struct FailingStore<S = MemoryStore>(Arc<Inner<S>>);

struct Inner<S> {
    below: S,
    plans: Mutex<HashMap<StoreCall, Plan>>,
    calls: Mutex<HashMap<StoreCall, u64>>,
    /// Told of every change of a plan.
    changed: watch::Sender<()>,
}

/// What becomes of the next calls of a kind.
#[derive(Clone)]
struct Plan {
    fault: Fault,
    /// How many; `None`: all.
    left: Option<u64>,
}

#[derive(Clone)]
enum Fault {
    Fails(StoreError),
    LosesAnswer(StoreError),
    Stands,
}

impl FailingStore {
    /// Over a new [`MemoryStore`].
    pub fn in_memory() -> Self {
        FailingStore::over(MemoryStore::new())
    }
}

impl<S: Store> FailingStore<S> {
    /// Over this store. All is well to begin with.
    pub fn over(below: S) -> Self {
        let (plans, calls) = (Mutex::default(), Mutex::default());
        FailingStore(Arc::new(Inner { below, plans, calls, changed: watch::channel(()).0 }))
    }

    /// Has every call of a kind fail from here on, until the store [heals](Self::heal).
    ///
    /// What an engine makes of it is a matter of the error's [class](crate::store::StoreErrorClass). To a [`StoreError::retry`] it sends
    /// the same again, until it has been taken.
    pub fn fail(&self, call: StoreCall, error: StoreError) {
        self.plan(call, Fault::Fails(error), None);
    }

    /// Has the next `times` calls of a kind fail.
    pub fn fail_next(&self, call: StoreCall, times: u64, error: StoreError) {
        self.plan(call, Fault::Fails(error), Some(times));
    }

    /// Carries the next `times` calls of a kind out, and answers with this error all the same: a connection that broke before the answer.
    pub fn lose_next_answer(&self, call: StoreCall, times: u64, error: StoreError) {
        self.plan(call, Fault::LosesAnswer(error), Some(times));
    }

    /// Leaves every call of a kind without an answer, until something else is said of it. It then has its answer.
    pub fn stall(&self, call: StoreCall) {
        self.plan(call, Fault::Stands, None);
    }

    /// All is well from here on.
    pub fn heal(&self) {
        self.0.plans.lock().clear();
        self.0.changed.send_replace(());
    }

    /// How many calls of a kind were made.
    pub fn calls(&self, call: StoreCall) -> u64 {
        self.0.calls.lock().get(&call).copied().unwrap_or(0)
    }

    /// The store below.
    pub fn below(&self) -> &S {
        &self.0.below
    }

    fn plan(&self, call: StoreCall, fault: Fault, left: Option<u64>) {
        self.0.plans.lock().insert(call, Plan { fault, left });
        self.0.changed.send_replace(());
    }

    /// What becomes of a call that is made now: waited for, if the store stands still.
    async fn fault(&self, call: StoreCall) -> Option<Fault> {
        *self.0.calls.lock().entry(call).or_default() += 1;
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.borrow_and_update();
            match self.take_plan(call) {
                // It ends with the last clone, and this is one.
                Some(Fault::Stands) => changed.changed().await.ok()?,
                fault => return fault,
            }
        }
    }

    fn take_plan(&self, call: StoreCall) -> Option<Fault> {
        let mut plans = self.0.plans.lock();
        let plan = plans.get_mut(&call)?;
        match &mut plan.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        Some(plan.fault.clone())
    }

    /// Makes a call to the store below, unless it is to fail.
    fn make<'a, T: Send + 'a>(
        &'a self,
        call: StoreCall,
        to_below: impl FnOnce(&'a S) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            match self.fault(call).await {
                Some(Fault::Fails(error)) => Err(error),
                Some(Fault::LosesAnswer(error)) => to_below(&self.0.below).await.and(Err(error)),
                Some(Fault::Stands) | None => to_below(&self.0.below).await,
            }
        })
    }
}

impl<S: Store> DelegatingStore for FailingStore<S> {
    fn inner(&self) -> &dyn Store {
        &self.0.below
    }

    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        self.make(StoreCall::Open, |below| below.open(needs))
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        self.make(StoreCall::Acquire, move |below| below.acquire(partition, claim))
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        self.make(StoreCall::Renew, |below| below.renew(grants))
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        self.make(StoreCall::Load, |below| below.load(grant, told))
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        self.make(StoreCall::Append, |below| below.append(batch))
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        self.make(StoreCall::Sync, move |below| below.sync(grant, level))
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        self.make(StoreCall::Snapshot, move |below| below.snapshot(grant, begin))
    }
}

impl<S> Clone for FailingStore<S> {
    fn clone(&self) -> Self {
        FailingStore(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for FailingStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingStore").field("below", &self.0.below).finish_non_exhaustive()
    }
}
