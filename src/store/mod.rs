//! Where durability comes from.
//!
//! An engine takes the lease of each of its partitions, loads what the store holds, and from then on hands the
//! partition's records to the [`Store`] in batches, in order. A call is acknowledged once the batch that holds its record
//! is as durable as was asked for. Snapshots keep the log short.
//!
//! # Rules
//! - No store call is made while a partition is held.
//! - What changes a partition bears a [`Grant`]: partition, owner and epoch. A store takes it from the holder of the last
//!   grant given out, and from no other ([`StoreErrorClass::Fenced`]), before it looks at anything else.
//! - A batch carries the sequence of its first record. A store takes each batch once: one that it has already is
//!   acknowledged again and not applied again (a reply may have been lost), one that leaves a gap is refused
//!   ([`StoreErrorClass::Behind`]). An engine never cuts the records that it has sent once into other batches, so
//!   several batches can be under way, one behind the other, and be sent again in the same order.
//! - [`StoreErrorClass`] says what an engine does about an error.

#[cfg(feature = "codec")]
pub mod codec;
mod error;
mod host;
mod lease;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod snapshot;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

#[cfg(feature = "sim")]
pub(crate) use self::redis::script_name;
#[cfg(feature = "redis")]
pub use self::redis::{
    LivingOwner, NAMESPACE_CHARS_MAX, PartitionRead, PartitionReport, RedisConfig, RedisConfigError,
    RedisStore, ReplicaReport, SnapshotReport,
};
#[doc(hidden)]
#[cfg(all(fuzzing, feature = "codec"))]
pub use codec::model as codec_model;
pub use error::{StoreError, StoreErrorClass};
pub(crate) use host::owner_name;
pub use lease::{Claim, Grant, Lease, Owner};
pub use memory::MemoryStore;
pub use snapshot::{SnapshotBegin, SnapshotInfo, SnapshotWriter};

use crate::partition::{Image, PartitionId, Record};
use crate::rt;

/// What a store's calls return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps what an engine must not forget.
///
/// An engine calls it on a tokio runtime of its own, with one thread, timers and I/O. Commits and leases wait for that thread, so
/// nothing may block it.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Called first: reaches the store, and checks that it can do what is asked of it. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be had, was written with another number of partitions (a key belongs to one partition for
    /// ever, so it cannot change), or cannot give the durability.
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened>;

    /// Takes the lease of a partition, under a new epoch, higher than all before it. Also called by an owner itself,
    /// after a store that went back in time.
    ///
    /// # Errors
    /// [`StoreErrorClass::Held`] while another owner's lease lasts. [`StoreErrorClass::Fenced`] to an owner that claims again
    /// (`epoch_after` is not 0) when another has got a higher epoch than that meanwhile, whether or not its lease lasts:
    /// what the one has in memory must not replace what the other wrote.
    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease>;

    /// Resolves when a lease that [`Store::acquire`] has called [`StoreErrorClass::Held`], for another `left`, is worth asking
    /// for again. A store that can tell resolves as soon as it was given back, or has run out.
    ///
    /// Unless a store says otherwise, this waits for `left`, and for a second at most.
    fn until_free<'a>(&'a self, _partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        const WAIT: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(1);
        Box::pin(async move {
            rt::sleep(left.clamp(*WAIT.start(), *WAIT.end())).await;
            Ok(())
        })
    }

    /// Proves leases for another term: one answer for each grant, in their order.
    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>>;

    /// Gives leases back, so that the next owner need not wait for their end. Those that are another's by now stay.
    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()>;

    /// What is held of a partition. `told` is called now and then with how far it has come.
    ///
    /// # Errors
    /// When anything does not fit: nothing is half loaded.
    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded>;

    /// Adds records to the log of a partition.
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

    /// Looks whether the store still has what it has acknowledged of a partition. An engine asks now and then, of one
    /// partition at a time; a store that has much looks at a part of it each time. No look, unless a store says otherwise.
    ///
    /// # Errors
    /// [`StoreErrorClass::Behind`] if something is gone: the engine writes the partition anew.
    fn check<'a>(&'a self, _grant: &'a Grant) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What speaks against relying on the store, though it takes what it is sent: settings under which it may lose it, that
    /// were changed since it was opened. An engine asks now and then, and tells. Nothing, unless a store says otherwise.
    ///
    /// # Errors
    /// When the store does not answer.
    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What [`Store::load`] tells while it is at it.
pub type LoadTold = dyn Fn(LoadProgress) + Send + Sync;

/// What an engine asks of a store that it opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needs {
    /// How many partitions it has.
    pub partitions: u16,
    /// The level at which it will acknowledge calls.
    pub durability: Durability,
}

/// What a store can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The highest level that it can give.
    pub durability_max: Durability,
    /// Whether leases end by themselves: an owner then has to renew them. Otherwise one lasts until it is given back or taken by
    /// force.
    pub has_lease: bool,
}

/// A lease that was proved again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// The sequence after the last record that the store has.
    pub tail: u64,
}

/// How far a load has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadProgress {
    /// Jobs read from the snapshot since the last time this was told.
    pub jobs: u64,
    /// Records read from the log since then.
    pub records: u64,
    /// Bytes read since then.
    pub bytes: u64,
}

/// What a store holds of a partition: an image, and the records after it.
///
/// The image is fuzzy: its jobs were read one after another while records from `covered` to `complete` came to be, so it
/// may or may not show what those did. Replaying them over it tolerantly ends in the state at `complete`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// The snapshot.
    pub image: Image,
    /// The sequence of the first record that the image may lack, and of the first in `records`.
    pub covered: u64,
    /// The sequence of the first record that the image does not show anything of.
    pub complete: u64,
    /// The log.
    pub records: Vec<Record>,
}

impl Loaded {
    /// The sequence of the record that must come next.
    pub fn next_record(&self) -> u64 {
        self.covered + self.records.len() as u64
    }
}

/// Records of one partition, in the order in which they came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Whose it is: the partition, and who writes.
    pub grant: Grant,
    /// The sequence of the first record, counted from the partition's beginning.
    pub first_record: u64,
    /// The records.
    pub records: Vec<Record>,
}

impl Batch {
    /// The sequence after the last record.
    pub fn end_record(&self) -> u64 {
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
    /// Once it is applied in memory. The end of the process loses what was not flushed by then: the log is flushed
    /// behind the calls, so that is the last milliseconds, or all since the store went away.
    #[default]
    Memory,
    /// Once the store has it. The end of the process loses nothing. The end of the store, or of its machine's power,
    /// loses what its own policy loses: with Redis nothing under `appendfsync always`, up to two seconds under
    /// `everysec`, all since the last dump without an append-only file.
    Logged,
    /// Once it is on the store's disk. Nothing is lost on one machine whose disk keeps what it says it has.
    Fsync,
    /// Once as many replicas have it as the store was told to wait for. The end of one machine loses nothing. A failover
    /// to a replica that was not among those may lose it still.
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

/// For how long a lease lasts when nothing else is said.
pub(crate) const LEASE_DEFAULT: Duration = Duration::from_secs(10);
