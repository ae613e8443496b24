//! The index of a partition: from a key to the slot of its newest job.
//!
//! # Rules
//! - It lies with its partition under one lock, so that what it says is exact.
//! - It holds no key: an entry is a part of the key's hash and the slot of the job, eight bytes. Whether it is the key that
//!   was meant is seen where the job is, to which a call has to go anyway.
//! - An entry leaves before the slot that it names is used again. So it names a job of its key, pending, with its
//!   handler or remembered, and is told by its slot alone.
//! - Work is bounded: it is cut into many small tables, of which one grows or shrinks at a time.

use hashbrown::HashTable;
use hashbrown::hash_table;

/// Tables of all partitions together. At ten million keys one has ten thousand: to move them takes some tens of
/// microseconds.
const TABLES: usize = 1024;

/// Hashes keys for the indices of one engine. Not the hash by which a key finds its partition: that one is the same in every
/// process, so whoever chooses keys could have them all meet in one place.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHasher(foldhash::fast::RandomState);

impl KeyHasher {
    pub(super) fn hash(&self, key: &str) -> KeyHash {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.0.build_hasher();
        hasher.write(key.as_bytes());
        KeyHash(hasher.finish())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    /// What an entry keeps.
    fn low(self) -> u32 {
        self.0 as u32
    }

    /// What chooses the table.
    fn high(self) -> usize {
        (self.0 >> 32) as usize
    }
}

#[derive(Debug)]
pub(super) struct KeyIndex {
    /// A power of two of them.
    tables: Box<[HashTable<Entry>]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    slot: u32,
}

impl Entry {
    /// A table takes the place of an entry from the low bits of a hash and its tag from the highest.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl KeyIndex {
    /// The index of one of so many partitions.
    pub(super) fn new(partitions: usize) -> Self {
        let tables = (TABLES / partitions).max(1).next_power_of_two();
        KeyIndex { tables: (0..tables).map(|_| HashTable::new()).collect() }
    }

    /// The slot of the newest job of a key. `is_of_key` says whether the job in a slot has the key.
    pub(super) fn find(&self, hash: KeyHash, is_of_key: impl Fn(u32) -> bool) -> Option<u32> {
        let low = hash.low();
        let found = self.tables[self.table_of(hash)]
            .find(Entry::spread(low), |entry| entry.hash == low && is_of_key(entry.slot));
        found.map(|entry| entry.slot)
    }

    /// The slot that [`find`](Self::find) would most probably give, told by the hash alone: nothing but the index is looked
    /// at. For whoever has memory fetched ahead.
    pub(super) fn guess(&self, hash: KeyHash) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The place of a key, whether or not there is a job in it.
    pub(super) fn place(&mut self, hash: KeyHash, is_of_key: impl Fn(u32) -> bool) -> KeyPlace<'_> {
        let (low, table) = (hash.low(), self.table_of(hash));
        let entry = self.tables[table].entry(
            Entry::spread(low),
            |entry| entry.hash == low && is_of_key(entry.slot),
            |entry| Entry::spread(entry.hash),
        );
        KeyPlace { hash: low, entry }
    }

    /// Removes the entry of a key whose job in `slot` is gone. There is none if the key has a newer job.
    pub(super) fn remove(&mut self, hash: KeyHash, slot: u32) {
        let (low, table) = (hash.low(), self.table_of(hash));
        let table = &mut self.tables[table];
        if let Ok(entry) = table.find_entry(Entry::spread(low), |entry| entry.slot == slot) {
            entry.remove();
            give_back(table);
        }
    }

    fn table_of(&self, hash: KeyHash) -> usize {
        hash.high() & (self.tables.len() - 1)
    }
}

/// Shrinks a table of which most is idle: after a burst, memory comes back.
fn give_back(table: &mut HashTable<Entry>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 4 {
        table.shrink_to(table.len() * 2, |entry| Entry::spread(entry.hash));
    }
}

/// Where a key is in an index, or would be.
pub(super) struct KeyPlace<'a> {
    hash: u32,
    entry: hash_table::Entry<'a, Entry>,
}

impl KeyPlace<'_> {
    /// The slot of the key's newest job.
    pub(super) fn slot(&self) -> Option<u32> {
        match &self.entry {
            hash_table::Entry::Occupied(entry) => Some(entry.get().slot),
            hash_table::Entry::Vacant(_) => None,
        }
    }

    /// Has the key name the job in `slot` from now on.
    pub(super) fn set(self, slot: u32) {
        let hash = self.hash;
        match self.entry {
            hash_table::Entry::Occupied(mut entry) => entry.get_mut().slot = slot,
            hash_table::Entry::Vacant(entry) => drop(entry.insert(Entry { hash, slot })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys by slot, as a partition has them.
    #[derive(Default)]
    struct Jobs {
        keys: Vec<String>,
        hasher: KeyHasher,
    }

    impl Jobs {
        fn add(&mut self, index: &mut KeyIndex, key: &str) -> u32 {
            let slot = self.keys.len() as u32;
            index.place(self.hasher.hash(key), |slot| self.keys[slot as usize] == key).set(slot);
            self.keys.push(key.to_owned());
            slot
        }

        fn find(&self, index: &KeyIndex, key: &str) -> Option<u32> {
            index.find(self.hasher.hash(key), |slot| self.keys[slot as usize] == key)
        }
    }

    #[test]
    fn an_entry_is_removed_only_by_the_job_that_it_names() {
        let (mut jobs, mut index) = (Jobs::default(), KeyIndex::new(8));
        let (older, newer) = (jobs.add(&mut index, "k"), jobs.add(&mut index, "k"));
        let hash = jobs.hasher.hash("k");
        index.remove(hash, older);
        assert_eq!(jobs.find(&index, "k"), Some(newer));
        index.remove(hash, newer);
        assert_eq!(jobs.find(&index, "k"), None);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let (keys, mut index) = (["a", "b"], KeyIndex::new(8));
        let hash = KeyHash(7);
        for (slot, key) in (0..).zip(keys) {
            let place = index.place(hash, |slot| keys[slot as usize] == key);
            assert_eq!(place.slot(), None);
            place.set(slot);
        }
        let find = |index: &KeyIndex, key| index.find(hash, |slot| keys[slot as usize] == key);
        assert_eq!(keys.map(|key| find(&index, key)), [Some(0), Some(1)]);
        index.remove(hash, 0);
        assert_eq!(keys.map(|key| find(&index, key)), [None, Some(1)]);
    }

    /// Bug 13 of the field notes.
    #[test]
    fn memory_comes_back_after_a_burst() {
        let (mut jobs, mut index) = (Jobs::default(), KeyIndex::new(1));
        let capacity = |index: &KeyIndex| index.tables.iter().map(HashTable::capacity).sum::<usize>();
        for number in 0..200_000 {
            jobs.add(&mut index, &number.to_string());
        }
        assert!(capacity(&index) >= 200_000);
        for (slot, key) in (0..).zip(&jobs.keys) {
            assert_eq!(jobs.find(&index, key), Some(slot));
            index.remove(jobs.hasher.hash(key), slot);
            assert_eq!(jobs.find(&index, key), None);
        }
        assert!(capacity(&index) <= 64 * TABLES, "{}", capacity(&index));
    }

    #[test]
    fn many_partitions_do_not_make_many_tables() {
        for partitions in [1, 3, 8, 1024] {
            let tables = KeyIndex::new(partitions).tables.len();
            assert!(tables.is_power_of_two() && tables * partitions <= 2 * TABLES, "{tables}");
        }
    }
}
