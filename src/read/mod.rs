//! Reading a namespace that this process does not own: what its jobs are, how many, and when they are due.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use reveille::read::Namespace;
//! use reveille::store::MemoryStore;
//! use reveille::{Engine, Job, JobFilter};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new());
//! let engine = Engine::builder()
//!     .queue("mails", |_: Job| async {})
//!     .store(Arc::clone(&store))
//!     .start()
//!     .await?;
//! engine.schedule_raw("mails", "hello").key("greeting").after(Duration::from_secs(3600)).await?.scheduled()?;
//!
//! // Elsewhere: another process, which owns nothing.
//! let namespace = Namespace::open(store).await?;
//! let mut keys = Vec::new();
//! for partition in namespace.partitions() {
//!     let Some(contents) = namespace.read(partition).await? else { continue };
//!     keys.extend(contents.jobs(&JobFilter::default()).map(|job| job.key.to_string()));
//! }
//! assert_eq!(keys, ["greeting"]);
//! # Ok(()) }
//! ```
//!
//! # Rules
//! - It takes no lease and writes nothing. A replica will do, and a user who may only read.
//! - What is read goes through the same replay as a restore ([`Replay`]). There is no second
//!   meaning of a record.
//! - One partition is in memory at a time: that of the [`Contents`] which the caller holds.
//! - A partition is as its store had it when it was read. Partitions are read one after another, so what is told of all of
//!   them is no picture of one moment if their owner goes on.

mod contents;
mod figures;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use contents::{Contents, LogFigures};
pub use figures::{Figures, Load, LoadBuckets, NamespaceFigures, QueueFigures};

use crate::clock::Clock;
use crate::partition::{PartitionId, Replay, ReplayError};
use crate::rt::Runtime;
use crate::store::{PartitionRead, ReadStore, StoreError};

/// The jobs that a store keeps under one name, for whoever only reads them. See the [module's documentation](self).
#[derive(Clone)]
pub struct Namespace {
    store: Arc<dyn ReadStore>,
    clock: Clock,
    partitions: u16,
}

impl Namespace {
    /// Looks how many partitions there are.
    ///
    /// # Errors
    /// [`ReadError::Empty`] if nobody has ever written there. [`ReadError::Store`] if the store cannot be had.
    pub async fn open(store: impl ReadStore) -> Result<Self, ReadError> {
        let store: Arc<dyn ReadStore> = Arc::new(store);
        let partitions = store.partitions().await?.ok_or(ReadError::Empty)?;
        Ok(Namespace { store, clock: Clock::System, partitions })
    }

    /// Takes the time from another clock than the system's: one that a test moves.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// The partitions that it was made with. Some may never have been owned by anybody.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }

    /// What there is of a partition now; `None` if nobody has owned it yet. O(jobs), in time and in memory: the replay runs
    /// where it holds up nobody if this is polled on a tokio runtime, as stores on a network ask for anyway.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, partition: PartitionId) -> Result<Option<Contents>, ReadError> {
        let Some(read) = self.store.read(partition).await? else { return Ok(None) };
        let now = self.clock.now();
        let replay = move || contents::replayed(partition, read, now);
        let contents = match Runtime::current() {
            Some(runtime) => runtime.run_blocking(replay).await.ok_or(ReadError::Interrupted)?,
            None => replay(),
        };
        contents.map(Some)
    }

    /// Counts all jobs, by queue and by when they are due. Reads one partition after another. O(jobs) in time; in memory that
    /// of the largest partition.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn figures(&self, buckets: LoadBuckets) -> Result<NamespaceFigures, ReadError> {
        let mut all = NamespaceFigures::new(self.partitions, Load::new(self.clock.now().wall, buckets));
        for partition in self.partitions() {
            if let Some(contents) = self.read(partition).await? {
                all.add(&contents);
            }
        }
        Ok(all)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Namespace { store, partitions, .. } = self;
        f.debug_struct("Namespace")
            .field("store", store)
            .field("partitions", partitions)
            .finish_non_exhaustive()
    }
}

/// Why a namespace cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store cannot be had, or says that what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody has ever written there.
    #[error(
        "the store holds nothing under this name: no engine has used it; see that address and name are right"
    )]
    Empty,
    /// What the store holds of a partition does not fit together.
    #[error(
        "what the store holds of partition {} does not fit together; an engine would refuse it too: see that every process \
         that uses it runs a version that knows the others' records, or restore the store from a copy",
        partition.0
    )]
    Misfit {
        /// The partition.
        partition: PartitionId,
        /// What does not fit.
        #[source]
        error: ReplayError,
    },
    /// The runtime ended in the middle.
    #[error("the runtime ended while a partition was read; read it on one that lives")]
    Interrupted,
}
