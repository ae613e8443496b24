//! The names of a partition's keys. All have one hash tag, so that a partition lives in one slot of a cluster.

use std::fmt;
use std::sync::Arc;

use crate::partition::PartitionId;

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Namespace(Arc<str>);

/// The keys of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    tag: String,
    partition: PartitionId,
}

impl Namespace {
    pub(super) fn new(name: Arc<str>) -> Self {
        Namespace(name)
    }

    pub(super) fn keys(&self, partition: PartitionId) -> Keys {
        Keys { tag: format!("{{rv:{}:{}}}", self.0, partition.0), partition }
    }
}

impl Keys {
    pub(super) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The hash that says who owns the partition, and what there is of it.
    pub(super) fn meta(&self) -> String {
        format!("{}:m", self.tag)
    }

    /// The stream of batches.
    pub(super) fn log(&self) -> String {
        format!("{}:l", self.tag)
    }

    /// The string that is a snapshot's chunk.
    pub(super) fn chunk(&self, generation: u64, number: u64) -> String {
        format!("{}:s:{generation}:{number}", self.tag)
    }
}

/// As an operator would ask for all of them.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:*", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_partition_have_one_tag() {
        let keys = Namespace::new("ns".into()).keys(PartitionId(7));
        assert_eq!(keys.meta(), "{rv:ns:7}:m");
        assert_eq!(keys.log(), "{rv:ns:7}:l");
        assert_eq!(keys.chunk(12, 3), "{rv:ns:7}:s:12:3");
        assert_eq!(keys.to_string(), "{rv:ns:7}:*");
    }
}
