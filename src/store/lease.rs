//! Who may write to a partition: its owner, under an epoch, for a time.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::partition::PartitionId;

/// An engine that owns partitions, by a unique name: host, process id and a random number, and on Linux what lets others on the
/// same machine prove that its process has ended. Clones are the same owner.
#[derive(Clone)]
pub struct Owner(Arc<Named>);

struct Named {
    name: Box<str>,
    has_left: AtomicBool,
}

impl Owner {
    /// An owner with this name. The name must be unique among engines, or fencing does not work.
    pub fn new(name: impl AsRef<str>) -> Self {
        Owner(Arc::new(Named { name: name.as_ref().into(), has_left: AtomicBool::new(false) }))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// Whether the engine was dropped or never started: then it starts no job. For stores in the same process, which know the
    /// owner itself and not only its name.
    pub fn has_left(&self) -> bool {
        self.0.has_left.load(SeqCst)
    }

    pub(crate) fn leaves(&self) {
        self.0.has_left.store(true, SeqCst);
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Owner {}

impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The right to write to a partition. A later grant for the same partition ends it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Grant {
    /// The partition.
    pub partition: PartitionId,
    /// Who writes.
    pub owner: Owner,
    /// Tells this grant from all before it.
    pub epoch: u64,
    /// How long a proof of the lease lasts.
    pub term: Duration,
}

impl Grant {
    /// What a store gives for `claim`, under an epoch higher than all that the partition has had.
    pub fn new(partition: PartitionId, claim: &Claim, epoch: u64) -> Self {
        Grant { partition, owner: claim.owner.clone(), epoch, term: claim.term }
    }
}

/// A request for a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// Who asks.
    pub owner: Owner,
    /// How many partitions the owner has.
    pub partitions: u16,
    /// How long the lease should last.
    pub term: Duration,
    /// The new epoch must be higher than this one too: the owner's last epoch from before the store went back in time.
    pub epoch_after: u64,
    /// Take it from an owner whose lease lasts. That owner is fenced from then on.
    pub by_force: bool,
}

impl Claim {
    /// A first wish, which respects a lease that lasts.
    pub fn new(owner: Owner, partitions: u16, term: Duration) -> Self {
        Claim { owner, partitions, term, epoch_after: 0, by_force: false }
    }

    /// Again, by an owner who had this epoch.
    #[must_use]
    pub fn epoch_after(self, epoch: u64) -> Self {
        Claim { epoch_after: epoch, ..self }
    }

    /// Also from an owner whose lease lasts.
    #[must_use]
    pub fn by_force(self) -> Self {
        Claim { by_force: true, ..self }
    }
}

/// A lease that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lease {
    /// The right that comes with it.
    pub grant: Grant,
    /// The sequence after the last record that the store has.
    pub log_end: u64,
}

impl Lease {
    /// A lease of a partition whose log ends before the record `log_end`.
    pub fn new(grant: Grant, log_end: u64) -> Self {
        Lease { grant, log_end }
    }
}
