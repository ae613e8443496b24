//! Durability: the [`Store`] trait and its implementations.
//!
//! An engine takes the lease of each of its partitions, loads what the store holds, and from then on hands the
//! partition's records to the [`Store`] in batches, in order. A call is acknowledged once the batch with its record is as
//! durable as the call asked. Snapshots keep the log short.
//!
//! # Rules
//! - No store call is made while a partition is held.
//! - Every change to a partition bears a [`Grant`]: partition, owner and epoch. Before anything else a store checks that it is
//!   the last grant given out, and refuses any other ([`StoreErrorClass::Fenced`]).
//! - A batch carries the sequence of its first record. A store takes each batch once: a batch that it already has is
//!   acknowledged again and not applied again (a reply may have been lost); a batch that leaves a gap is refused
//!   ([`StoreErrorClass::Behind`]). An engine never cuts records that it has sent into other batches, so several batches
//!   can be under way, one behind the other, and be sent again in the same order.
//! - [`StoreErrorClass`] says what an engine does about an error.

#[cfg(any(feature = "redis", feature = "disk"))]
mod assembly;
#[cfg(any(feature = "redis", feature = "disk"))]
mod chunker;
#[cfg(feature = "codec")]
pub mod codec;
mod delegating;
#[cfg(feature = "disk")]
mod disk;
mod error;
mod host;
mod lease;
mod memory;
mod read;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "redis", feature = "disk"))]
mod report;
mod snapshot;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

#[cfg(feature = "_sim")]
pub(crate) use self::redis::script_name;
#[cfg(feature = "redis")]
pub use self::redis::{NAMESPACE_CHARS_MAX, RedisConfig, RedisConfigError, RedisStore, ReplicaReport};
#[doc(hidden)]
#[cfg(all(fuzzing, feature = "codec"))]
pub use codec::model as codec_model;
pub use delegating::DelegatingStore;
#[doc(hidden)]
#[cfg(all(fuzzing, feature = "disk"))]
pub use disk::model as disk_model;
#[cfg(feature = "disk")]
pub use disk::{DiskConfig, DiskConfigError, DiskStore};
#[cfg(feature = "_sim")]
#[doc(hidden)]
pub use disk::{File, Files};
pub use error::{StoreError, StoreErrorClass};
pub(crate) use host::owner_name;
pub use lease::{Claim, Grant, Lease, Owner};
pub use memory::MemoryStore;
pub use read::{LivingOwner, PartitionRead, ReadStore};
#[cfg(any(feature = "redis", feature = "disk"))]
pub use report::{PartitionReport, SnapshotReport};
pub use snapshot::{SnapshotBegin, SnapshotInfo, SnapshotWriter};

use crate::partition::{Image, PartitionId, Record};
use crate::rt;

/// What a store's calls return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps an engine's records, snapshots and leases.
///
/// An engine calls it on a tokio runtime of its own, with one thread, timers and I/O. Commits and leases wait for that thread, so
/// nothing may block it.
///
/// A method that comes later has a default, and what a store is asked and answers may get more fields, so a store that
/// compiles goes on compiling: build answers with their constructors, or from their default. To change a few calls of
/// another store, implement [`DelegatingStore`].
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Called first: reaches the store, and checks that it meets the engine's needs. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be reached, was written with another number of partitions (a key belongs to one partition for
    /// ever, so it cannot change), or cannot give the durability.
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened>;

    /// Takes the lease of a partition, under a new epoch, higher than all before it. An owner calls it again after the store
    /// went back in time.
    ///
    /// # Errors
    /// [`StoreErrorClass::Held`] while another owner's lease lasts. [`StoreErrorClass::Fenced`] for an owner that claims again
    /// (`epoch_after` is not 0) when another owner has got the partition meanwhile, even if that one's lease has ended: what
    /// the first has in memory must not replace what the other wrote.
    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease>;

    /// Resolves when it is worth asking again for a lease that [`Store::acquire`] called [`StoreErrorClass::Held`] for another
    /// `left`. A store that can, resolves as soon as the lease was given back or has run out.
    ///
    /// By default this waits for `left`, but at most a second.
    fn until_free<'a>(&'a self, _partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        const WAIT: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(1);
        Box::pin(async move {
            rt::sleep(left.clamp(*WAIT.start(), *WAIT.end())).await;
            Ok(())
        })
    }

    /// Proves leases for another term. Returns one answer for each grant, in order.
    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>>;

    /// Gives leases back, so that the next owner need not wait for their end. Leases that belong to another owner now stay.
    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()>;

    /// Loads a partition. Calls `told` now and then with the progress.
    ///
    /// # Errors
    /// When anything is inconsistent: a partition is loaded whole or not at all.
    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded>;

    /// Adds records to the log of a partition: all of the batch, or none if the process or the store dies meanwhile. A transaction rests
    /// on that.
    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()>;

    /// Resolves when everything appended to the partition so far is as durable as `level`, above
    /// [`Durability::Logged`].
    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()>;

    /// Begins a snapshot; `None` if this store keeps its state in another way and needs none.
    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>>;

    /// Checks that the store still has what it acknowledged of a partition. An engine asks now and then, about one partition
    /// at a time; a store with much data checks a part of it each time. By default it checks nothing.
    ///
    /// # Errors
    /// [`StoreErrorClass::Behind`] if something is gone: the engine writes the partition anew.
    fn check<'a>(&'a self, _grant: &'a Grant) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Reasons not to rely on the store although it takes what it is sent: settings under which it may lose data, and which
    /// were changed since it was opened. An engine asks now and then, and reports the answer. By default there are none.
    ///
    /// # Errors
    /// When the store does not answer.
    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// A number that goes up while a request comes on that may take long, such as a claim that opens a large store. Whoever
    /// starts has patience for as long as it does. By default it stays 0.
    fn steps(&self) -> u64 {
        0
    }
}

/// Called by [`Store::load`] with its progress.
pub type LoadTold = dyn Fn(LoadProgress) + Send + Sync;

/// What an engine needs of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Needs {
    /// How many partitions it has.
    pub partitions: u16,
    /// The level at which it will acknowledge calls.
    pub durability: Durability,
}

impl Needs {
    /// What an engine of so many partitions asks for.
    pub const fn new(partitions: u16, durability: Durability) -> Self {
        Needs { partitions, durability }
    }
}

/// What a store can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The highest durability it can give.
    pub durability_max: Durability,
    /// Whether leases end by themselves, so that an owner has to renew them. Otherwise a lease lasts until it is given back or
    /// taken by force.
    pub has_lease: bool,
}

impl Opened {
    /// A store that can give this level at most, and whose leases do not end by themselves.
    pub fn new(durability_max: Durability) -> Self {
        Opened { durability_max, has_lease: false }
    }

    /// Leases end by themselves.
    #[must_use]
    pub fn with_lease(self) -> Self {
        Opened { has_lease: true, ..self }
    }
}

/// A lease that was proved again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Renewed {
    /// The sequence after the last record that the store has.
    pub log_end: u64,
}

impl Renewed {
    /// Of a partition whose log ends before the record `log_end`.
    pub fn new(log_end: u64) -> Self {
        Renewed { log_end }
    }
}

/// The progress of a load. A store begins with the default and sets what it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Jobs read from the snapshot since the last report.
    pub jobs: u64,
    /// Records read from the log since then.
    pub records: u64,
    /// Bytes read since then.
    pub bytes: u64,
}

/// What a store holds of a partition: an image, and the records after it.
///
/// The image is fuzzy: its jobs were read one after another while records from `covered` to `complete` were made, so it may
/// or may not show what those did. Replaying them over it tolerantly ends in the state at `complete`.
///
/// The default is a partition that nothing was ever written to. A store sets in it what it has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The snapshot.
    pub image: Image,
    /// The sequence of the first record that the image may lack, and of the first in `records`.
    pub covered: u64,
    /// The sequence of the first record of which the image shows nothing.
    pub complete: u64,
    /// The log.
    pub records: Vec<Record>,
}

impl Loaded {
    /// The sequence of the record that must come next.
    pub fn log_end(&self) -> u64 {
        self.covered + self.records.len() as u64
    }
}

/// Records of one partition, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The partition, and who writes.
    pub grant: Grant,
    /// The sequence of the first record, counted from the partition's beginning.
    pub first_record: u64,
    /// The records.
    pub records: Vec<Record>,
}

impl Batch {
    /// Records of the partition of `grant`, from the `first_record`th on.
    pub fn new(grant: Grant, first_record: u64, records: Vec<Record>) -> Self {
        Batch { grant, first_record, records }
    }

    /// The sequence after the last record.
    pub fn end(&self) -> u64 {
        self.first_record + self.records.len() as u64
    }
}

/// When a call is acknowledged, and what can be lost after that.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// Once it is applied in memory. The end of the process loses what was not flushed: the log is flushed behind the
    /// calls, so that is the last milliseconds, or everything since the store went away.
    #[default]
    Memory,
    /// Once the store has it. The end of the process loses nothing. The end of the store, or of its machine's power,
    /// loses what its own policy loses: with Redis nothing under `appendfsync always`, up to two seconds under
    /// `everysec`, all since the last dump without an append-only file.
    Logged,
    /// Once it is on the store's disk. Nothing is lost on one machine with an honest disk.
    Fsync,
    /// Once as many replicas have it as the store is configured to wait for. The end of one machine loses nothing. A
    /// failover to a replica that was not among them can still lose it.
    Replicated,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Durability::Memory => "memory",
            Durability::Logged => "logged",
            Durability::Fsync => "fsync",
            Durability::Replicated => "replicated",
        })
    }
}

/// How long a lease lasts by default.
pub(crate) const LEASE_DEFAULT: Duration = Duration::from_secs(10);
