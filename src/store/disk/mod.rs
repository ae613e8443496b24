//! The store on local disk: a directory of files, which one process at a time owns.
//!
//! `docs/format.md` describes the files.
//!
//! # Files
//! - `lock`: whoever holds its lock owns the store. It names the holder, for people.
//! - `meta`: how many partitions there are, and the last epoch that was granted.
//! - `log-*.rvl`: the segments of the log, which all partitions share, so that one sync does for all of them.
//! - `snapshot-p*-*.rvs`: the newest snapshot of a partition.
//!
//! # Levels
//! - [`Durability::Logged`]: written to the file, and so with the system. The end of the process loses nothing.
//! - [`Durability::Fsync`]: on the disk, by a sync that all who wait share. The end of the machine's power loses nothing, if the
//!   disk is honest.
//!
//! # Rules
//! - The file system is reached through [`Files`] only: a simulation puts its own in place.
//! - An append is written where it is asked for, under the lock of the state. Whatever waits for the disk is done on a thread for
//!   blocking work, without that lock.
//! - What was acknowledged is damaged, if it cannot be read, and refused. What was not is cut off, and said (`scan`).
//! - A sync that failed is never repeated (`sync`).
//! - Locks are taken in this order: `syncing`, `claims`, `tidying`, `state`.

mod append;
mod block;
mod claim;
mod config;
mod distrust;
mod errors;
#[cfg_attr(not(feature = "_sim"), allow(unreachable_pub, reason = "for the simulator"))]
mod files;
mod load;
mod log;
mod look;
mod meta;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
#[doc(hidden)]
pub mod model;
mod names;
mod os;
mod recover;
mod rewrite;
mod scan;
mod segment;
mod snapshot;
mod snapshot_file;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod tidy;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use config::{DiskConfig, DiskConfigError};
#[cfg(feature = "_sim")]
pub use files::{File, Files};

use parking_lot::Mutex;

use snapshot::blocking;
use state::{Held, Open, taken_over};

use super::{
    Batch, Claim, Durability, Grant, Lease, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotWriter, Store, StoreError, StoreFuture,
};
use crate::partition::PartitionId;

/// Keeps an engine's jobs in a directory: a log of their changes, and snapshots that keep the log short. One process at a time
/// owns it; another is refused, or waits as a standby and goes on when the first ends, however that ends.
///
/// ```no_run
/// use reveille::store::{DiskConfig, DiskStore};
///
/// let store = DiskStore::new(DiskConfig::new("/var/lib/shop/jobs"));
/// ```
///
/// Nothing is opened before an engine starts on it. Clones share the store, and the last of them gives it up; so does a
/// shutdown that leaves no handler running.
#[derive(Clone)]
pub struct DiskStore {
    core: Arc<Core>,
}

struct Core {
    config: DiskConfig,
    /// What this process owns; `None` while it owns nothing.
    state: Mutex<Option<Open>>,
    /// Held by whoever claims, gives back, or publishes.
    claims: Mutex<()>,
    /// Held by whoever syncs the log for all.
    syncing: tokio::sync::Mutex<()>,
    tidying: Mutex<()>,
}

impl DiskStore {
    /// A store in this directory. Does not open it yet.
    pub fn new(config: DiskConfig) -> Self {
        let core = Core {
            config,
            state: Mutex::default(),
            claims: Mutex::default(),
            syncing: tokio::sync::Mutex::default(),
            tidying: Mutex::default(),
        };
        DiskStore { core: Arc::new(core) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.core.config.path()
    }
}

impl Core {
    /// The partition of a grant, if that still counts.
    fn held<'a>(&self, state: &'a mut Option<Open>, grant: &Grant) -> Result<Held<'a>, StoreError> {
        match state {
            Some(open) => open.held(grant),
            None => Err(taken_over(grant, 0)),
        }
    }
}

impl Store for DiskStore {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        let (core, needs) = (Arc::clone(&self.core), needs.clone());
        Box::pin(blocking(move || core.open(&needs)))
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        let (core, claim) = (Arc::clone(&self.core), claim.clone());
        Box::pin(blocking(move || core.claim(partition, &claim)))
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(async move {
            let mut state = self.core.state.lock();
            let mut renew = |grant| Ok(Renewed::new(self.core.held(&mut state, grant)?.partition.log_end));
            Ok(grants.iter().map(&mut renew).collect())
        })
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        let (core, grants) = (Arc::clone(&self.core), grants.to_vec());
        Box::pin(blocking(move || core.give_back(&grants)))
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(self.core.load(grant, told))
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.core.append(batch) })
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(self.core.sync(grant, level))
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        Box::pin(async move {
            let writer = self.core.begin_snapshot(grant, begin).await?;
            Ok(Some(Box::new(writer) as Box<dyn SnapshotWriter + 'a>))
        })
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        let (core, grant) = (Arc::clone(&self.core), grant.clone());
        Box::pin(blocking(move || core.check(&grant)))
    }

    fn steps(&self) -> u64 {
        self.core.config.steps.load(Relaxed)
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("config", &self.core.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}
