//! The handle map: from a key to the handle of its newest job.
//!
//! It is an index, never the truth: the partition checks what a handle names. All changes to a key's entry are made by
//! whoever holds the key's partition, so that under a partition's lock the entries of its keys are exact; read without
//! the lock they are a good guess.
//!
//! No guard of the map leaves this module: two of them, or one across an await, can deadlock.

use std::hash::BuildHasher;

use dashmap::DashMap;

use crate::partition::{Handle, Key};
use crate::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct KeyMap {
    map: DashMap<Key, Handle, foldhash::fast::RandomState>,
    removals: AtomicUsize,
}

impl KeyMap {
    /// A shard that grows moves its entries while its keys wait: many shards make that short, at 10 million keys under
    /// a millisecond.
    const SHARDS: usize = 1024;

    /// One removal in so many looks whether its shard should shrink.
    const REMOVALS_PER_LOOK: usize = 8;

    pub(super) fn new() -> Self {
        let hasher = foldhash::fast::RandomState::default();
        let map = DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, Self::SHARDS);
        KeyMap { map, removals: AtomicUsize::new(0) }
    }

    pub(super) fn find(&self, key: &str) -> Option<Handle> {
        self.map.get(key).map(|entry| *entry)
    }

    pub(super) fn insert(&self, key: Key, handle: Handle) {
        self.map.insert(key, handle);
    }

    /// Removes the entry of `key` unless it names another job than `handle`.
    pub(super) fn remove(&self, key: &str, handle: Handle) {
        self.map.remove_if(key, |_, current| *current == handle);
        if self.removals.fetch_add(1, Ordering::Relaxed).is_multiple_of(Self::REMOVALS_PER_LOOK) {
            self.give_back(key);
        }
    }

    /// Shrinks the shard of `key` if most of it is idle: after a burst, memory comes back.
    fn give_back(&self, key: &str) {
        let hash = |key: &Key| self.map.hasher().hash_one(key);
        let mut shard = self.map.shards()[self.map.determine_map(key)].write();
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
            let room = shard.len() * 2;
            shard.shrink_to(room, |(key, _)| hash(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{
        Config, Delivery, Draft, Due, Now, OnConflict, Partition, PartitionId, Payload, Priority, Queue,
        QueueId, QueueName, ScheduleOutcome,
    };

    fn handles() -> [Handle; 2] {
        let config = Config {
            tick_us: 1_000,
            horizon_us: 1_000_000,
            payload_bytes_max: 0,
            fired_max: 0,
            fired_for_us: 0,
            engine: 0,
            is_logged: false,
        };
        let mut partition = Partition::new(PartitionId(0), config, Now::default());
        ["a", "b"].map(|key| {
            let draft = Draft {
                key: Key::new(key).unwrap(),
                queue: Queue { id: QueueId(0), name: QueueName::new("q").unwrap() },
                payload: Payload::default(),
                due: Due::In(std::time::Duration::ZERO),
                priority: Priority::NORMAL,
                delivery: Delivery::AtLeastOnce,
                on_conflict: OnConflict::Reject,
            };
            let outcome = partition.schedule(None, draft, Now::default());
            outcome.as_ref().map(ScheduleOutcome::handle).unwrap()
        })
    }

    #[test]
    fn an_entry_is_removed_only_by_the_job_that_it_names() {
        let (keys, [older, newer]) = (KeyMap::new(), handles());
        let key = Key::new("k").unwrap();
        keys.insert(key.clone(), older);
        keys.insert(key, newer);
        keys.remove("k", older);
        assert_eq!(keys.find("k"), Some(newer));
        keys.remove("k", newer);
        assert_eq!(keys.find("k"), None);
    }

    /// Bug 13 of the field notes.
    #[test]
    fn memory_comes_back_after_a_burst() {
        const JOBS: usize = 300_000;
        let (keys, [handle, _]) = (KeyMap::new(), handles());
        let key = |n: usize| Key::new(n.to_string()).unwrap();
        for n in 0..JOBS {
            keys.insert(key(n), handle);
        }
        for n in 0..JOBS {
            keys.remove(key(n).as_str(), handle);
        }
        assert!(keys.map.is_empty());
        assert!(keys.map.capacity() < JOBS / 4, "room for {} keys is kept", keys.map.capacity());
    }
}
