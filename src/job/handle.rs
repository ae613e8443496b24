//! A job as this process names it.

use super::PartitionId;
use crate::slab::Index;

/// Names one job for as long as this process runs: a call by handle needs no look-up of the key.
///
/// A handle outlives its job safely. The slot that it names carries a generation, so once the job is forgotten and
/// the slot used again, the old handle finds nothing. Nor does a handle of another engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    pub(crate) index: Index,
    pub(crate) partition: PartitionId,
    pub(crate) engine: u16,
}

impl Handle {
    /// The partition that owns the job.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Where the job lies in its partition's table, for as long as the partition knows of it.
    pub(crate) fn slot(&self) -> u32 {
        self.index.slot
    }
}
