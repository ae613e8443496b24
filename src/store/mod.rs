//! Where durability comes from.
//!
//! An engine hands each partition's records to a [`Store`] in batches, in order, and acknowledges a call once the batch
//! that holds its record has been taken. At start it loads what the store holds and goes on from there.
//!
//! # Rules
//! - No store call is made while a partition is held.
//! - A batch is accepted from the engine that opened the store last, and from no other.
//! - A batch carries the sequence of its first record. A store takes each record once: a batch that it has already is
//!   acknowledged again and not applied again (a reply may have been lost), one that leaves a gap is refused.
//! - What a store answers with an error of class [`StoreErrorClass::Retry`] is sent again, the same batch, until it is
//!   taken. [`StoreErrorClass::Fatal`] ends the log: nothing is acknowledged any more.

mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use memory::MemoryStore;

use crate::partition::{Image, PartitionId, Record};

/// What a store's calls return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps what an engine must not forget.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Called first: how many partitions the engine has. Answers with an epoch, higher than all before it. From here on
    /// batches of an earlier epoch are refused: an engine that was thought to have ended writes behind nobody's back.
    ///
    /// # Errors
    /// When the store was written with another number. A key belongs to one partition for ever, so it cannot change.
    fn open(&self, partitions: u16) -> StoreFuture<'_, u64>;

    /// What is held of `partition`, and the sequence of the record that must come next.
    fn load(&self, partition: PartitionId) -> StoreFuture<'_, Loaded>;

    /// Adds records to the log of a partition.
    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()>;
}

/// What a store holds of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// The state.
    pub image: Image,
    /// How many records went into it: the sequence of the next one.
    pub next_record: u64,
}

/// Records of one partition, in the order in which they came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The partition.
    pub partition: PartitionId,
    /// Who writes: what [`Store::open`] answered.
    pub epoch: u64,
    /// The sequence of the first record, counted from the partition's beginning.
    pub first_record: u64,
    /// The records.
    pub records: Vec<Record>,
}

/// What an engine does about an error of its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreErrorClass {
    /// It may pass: the same batch is sent again.
    Retry,
    /// It will not pass: the store no longer takes this engine's records.
    Fatal,
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the engine should do about it.
    pub class: StoreErrorClass,
    message: String,
}

impl StoreError {
    /// An error that may pass.
    pub fn retry(message: impl Into<String>) -> Self {
        StoreError { class: StoreErrorClass::Retry, message: message.into() }
    }

    /// An error that will not pass.
    pub fn fatal(message: impl Into<String>) -> Self {
        StoreError { class: StoreErrorClass::Fatal, message: message.into() }
    }
}

/// When a call is acknowledged, and what can be lost after that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once it is applied in memory. The end of the process loses it unless the log was flushed by then.
    #[default]
    Memory,
    /// Once the store has it. Lost only if the store loses it.
    Logged,
}
