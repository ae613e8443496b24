//! The names of a partition's keys. All have one hash tag, so that a partition lives in one slot of a cluster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use super::answer::FORMAT;
use crate::partition::PartitionId;

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    name: Arc<str>,
    /// How many partitions there are; 0 while that is unknown.
    partitions: Arc<AtomicU16>,
}

/// The keys of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    tag: String,
    partition: PartitionId,
    partitions: u16,
}

impl Namespace {
    pub(super) fn new(name: Arc<str>) -> Self {
        Namespace { name, partitions: Arc::default() }
    }

    pub(super) fn keys(&self, partition: PartitionId) -> Keys {
        let partitions = self.partitions.load(Relaxed);
        Keys { tag: format!("{{rv:{}:{}}}", self.name, partition.0), partition, partitions }
    }

    /// Notes how many partitions there are, for advice that needs the number.
    pub(super) fn has(&self, partitions: u16) {
        self.partitions.store(partitions, Relaxed);
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

impl Keys {
    /// How many partitions there are.
    pub(super) fn partitions(&self) -> u16 {
        self.partitions
    }

    /// What an operator can do about a partition of which too little is left: commands to paste.
    pub(super) fn ways_out(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let (partition, meta) = (self.partition.0, quoted(&self.meta()));
        let mut pattern = String::new();
        for c in self.tag.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        let pattern = quoted(&format!("{pattern}:*"));
        let partitions = match self.partitions {
            0 => "HOW_MANY_THERE_ARE".to_owned(),
            partitions => partitions.to_string(),
        };
        format!(
            "Restore `{self}`, all of one moment, from a backup. Or give up this partition alone, with its jobs: \
             `redis-cli --scan --pattern {pattern} | xargs -rd '\\n' redis-cli UNLINK` removes what is left of it, and \
             `redis-cli HSET {meta} format {FORMAT} partitions {partitions} owner nobody epoch 0 tail 0 lease_until 0` \
             has partition {partition} begin with nothing, while all others stay as they are (redis-cli with the options \
             that reach this Redis and its database)"
        )
    }
}

/// As an operator would write a pattern for all of them.
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

    #[test]
    fn commands_in_advice_reach_no_other_key() {
        let namespace = Namespace::new("it's*".into());
        namespace.has(4);
        let advice = namespace.keys(PartitionId(7)).ways_out();
        assert!(advice.contains(r"--pattern '{rv:it'\''s\*:7}:*' |"), "{advice}");
        assert!(advice.contains(r"HSET '{rv:it'\''s*:7}:m' format reveille/2 partitions 4 "), "{advice}");
    }
}
