//! Reading what a store holds without owning it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Loaded, Owner, StoreFuture};
use crate::json;
use crate::partition::{Now, PartitionId, Replay, ReplayError};

/// A store that can be read by whoever owns nothing in it, also while another process does.
///
/// Nothing here takes a lease, and nothing is written. [`Namespace`](crate::read::Namespace) makes jobs of what is read.
pub trait ReadStore: fmt::Debug + Send + Sync + 'static {
    /// How many partitions were written; `None` if nothing was.
    ///
    /// # Errors
    /// When the store cannot be had.
    fn partitions(&self) -> StoreFuture<'_, Option<u16>>;

    /// Everything that there is of a partition, up to the last record at the time of reading. `None` if nobody has owned it.
    ///
    /// # Errors
    /// When the store cannot be had, or what it holds does not fit together.
    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>>;
}

impl<S: ReadStore + ?Sized> ReadStore for Arc<S> {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        (**self).partitions()
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        (**self).read(partition)
    }
}

/// A partition that was read without a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PartitionRead {
    /// What there is of it, up to the last record at the time of reading.
    pub loaded: Loaded,
    /// Who owned it then.
    pub owner: LivingOwner,
}

impl PartitionRead {
    /// What a store has read.
    pub fn new(loaded: Loaded, owner: LivingOwner) -> Self {
        PartitionRead { loaded, owner }
    }
}

/// Who owns a partition, or owned it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct LivingOwner {
    /// Its name.
    #[serde(rename = "owner", serialize_with = "owner_as_text")]
    pub owner: Owner,
    /// Under which epoch it writes.
    pub epoch: u64,
    /// For how long its lease lasts, by the store's clock; `None` if it has run out or was given back.
    /// [`Duration::MAX`] if it does not run out by itself.
    #[serde(rename = "lease_left_ms", serialize_with = "json::millis_if_any")]
    pub lease_left: Option<Duration>,
}

impl LivingOwner {
    /// The owner of this name, under this epoch, with so much of its lease left.
    pub fn new(owner: Owner, epoch: u64, lease_left: Option<Duration>) -> Self {
        LivingOwner { owner, epoch, lease_left }
    }
}

fn owner_as_text<S: serde::Serializer>(owner: &Owner, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(owner.as_str())
}

impl Loaded {
    /// Replays what was loaded: the image, the records that it may show already, and those after it.
    ///
    /// A restore and a reader both come here, so that they cannot tell different stories.
    pub(crate) fn replay(self, replay: &mut Replay<'_>, now: Now) -> Result<(), ReplayError> {
        let Loaded { image, covered, complete, records } = self;
        replay.load(image, now)?;
        for (sequence, record) in (covered..).zip(records) {
            if sequence < complete {
                replay.apply_fuzzy(record, now)?;
            } else {
                replay.apply(record, now)?;
            }
        }
        Ok(())
    }
}
