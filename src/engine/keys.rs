//! The handle map: from a key to the handle of its newest job.
//!
//! It is an index, never the truth: the partition checks what a handle names. All changes to a key's entry are made by
//! whoever holds the key's partition, so that under a partition's lock the entries of its keys are exact; read without
//! the lock they are a good guess.
//!
//! No guard of the map leaves this module: two of them, or one across an await, can deadlock.

use dashmap::DashMap;

use crate::partition::{Handle, Key};

#[derive(Debug)]
pub(super) struct KeyMap {
    map: DashMap<Key, Handle, foldhash::fast::RandomState>,
}

impl KeyMap {
    /// A shard that grows moves its entries while its keys wait: many shards make that short, at 10 million keys under
    /// a millisecond.
    const SHARDS: usize = 1024;

    pub(super) fn new() -> Self {
        let hasher = foldhash::fast::RandomState::default();
        KeyMap { map: DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, Self::SHARDS) }
    }

    pub(super) fn find(&self, key: &str) -> Option<Handle> {
        self.map.get(key).map(|entry| *entry)
    }

    pub(super) fn insert(&self, key: Key, handle: Handle) {
        self.map.insert(key, handle);
    }

    /// Removes the entry of `key` unless it names a newer job than `handle`.
    pub(super) fn remove(&self, key: &str, handle: Handle) {
        self.map.remove_if(key, |_, current| *current == handle);
    }
}
