//! The index of a partition: from a key to the slot of its newest job.
//!
//! # Rules
//! - It lies with its partition under one lock, so that what it says is exact.
//! - It holds no keys: an entry is a part of the key's hash and the slot of the job, eight bytes. The key itself is compared
//!   in the job, which the call has to read anyway.
//! - An entry leaves before its slot is reused. So it names a job with its key, pending, running or remembered, and its slot
//!   identifies it.
//! - Work is bounded: it is cut into many small tables, of which one grows or shrinks at a time.
//!
//! # Why not a standard hash map
//! No cache holds the index of a million jobs, so a lookup costs as many cache lines as it waits for, one after the other. Here
//! that is one: linear probing (Knuth, The Art of Computer Programming 3, 6.4, algorithms L and R) among entries of which
//! eight share a line. A map of control bytes and buckets takes two. And the place of a key is known in advance, so calls about
//! many keys fetch all their lines together.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use crate::prefetch::prefetch;

/// Tables of all partitions together. At ten million keys a table has ten thousand, which move in some tens of
/// microseconds.
const TABLES: usize = 1024;

/// Hashes keys for the indices of one engine. Not the hash by which a key finds its partition: that one is the same in every
/// process, so an attacker who chooses keys could have them all meet in one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyHasher(foldhash::fast::RandomState);

impl KeyHasher {
    pub(crate) fn hash(&self, key: &str) -> KeyHash {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.0.build_hasher();
        hasher.write(key.as_bytes());
        KeyHash(hasher.finish())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// What an entry keeps, and where it begins to look for its place.
    fn low(self) -> u32 {
        self.0 as u32
    }

    /// What chooses the table.
    fn high(self) -> usize {
        (self.0 >> 32) as usize
    }
}

#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// A power of two of them.
    tables: Box<[Table]>,
    heads: Arc<Heads>,
}

/// Where the tables of an index lie, as far as can be told without its partition's lock: for fetching memory ahead. By
/// the time a call has the lock, the line that it looks at first has come. What is read here may be out of date, and
/// the two halves of a head may not belong together; a prefetch at a wrong place does nothing.
#[derive(Debug)]
pub(crate) struct Heads(Box<[Head]>);

#[derive(Debug)]
struct Head {
    entries: AtomicPtr<Entry>,
    /// Places less one.
    mask: AtomicU32,
}

impl Heads {
    /// Has the processor fetch the place of a key.
    #[inline]
    pub(crate) fn warm(&self, hash: KeyHash) {
        let head = &self.0[hash.high() & (self.0.len() - 1)];
        let home = hash.low() & head.mask.load(Relaxed);
        prefetch(head.entries.load(Relaxed).wrapping_add(home as usize));
    }
}

impl Head {
    fn set(&self, entries: &mut [Entry]) {
        self.mask.store(entries.len().saturating_sub(1) as u32, Relaxed);
        self.entries.store(entries.as_mut_ptr(), Relaxed);
    }
}

impl KeyIndex {
    /// The index of one of `partitions` partitions.
    pub(crate) fn new(partitions: usize) -> Self {
        let tables = (TABLES / partitions).max(1).next_power_of_two();
        let head = |_| Head { entries: AtomicPtr::default(), mask: AtomicU32::new(0) };
        KeyIndex {
            tables: (0..tables).map(|_| Table::default()).collect(),
            heads: Arc::new(Heads((0..tables).map(head).collect())),
        }
    }

    /// For those who do not hold the partition.
    pub(crate) fn heads(&self) -> &Arc<Heads> {
        &self.heads
    }

    /// The slot of the newest job of a key. `is_of_key` says whether the job in a slot has the key.
    pub(crate) fn find(&self, hash: KeyHash, is_of_key: impl Fn(u32) -> bool) -> Option<u32> {
        let table = &self.tables[self.table_of(hash)];
        let at = table.probe(hash.low(), is_of_key).ok()?;
        table.entries.get(at).map(|entry| entry.slot)
    }

    /// The slot that [`find`](Self::find) would most probably give, told by the hash alone: nothing but the index is looked
    /// at. For fetching memory ahead.
    pub(crate) fn guess(&self, hash: KeyHash) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The place of a key, whether or not there is a job in it.
    pub(crate) fn place(&mut self, hash: KeyHash, is_of_key: impl Fn(u32) -> bool) -> KeyPlace<'_> {
        let (low, number) = (hash.low(), self.table_of(hash));
        let table = &mut self.tables[number];
        let at = table.probe(low, is_of_key);
        KeyPlace { table, head: &self.heads.0[number], hash: low, at }
    }

    /// Removes the entry of a key whose job in `slot` is gone. There is none if the key has a newer job.
    pub(crate) fn remove(&mut self, hash: KeyHash, slot: u32) {
        let number = self.table_of(hash);
        let table = &mut self.tables[number];
        if let Ok(at) = table.probe(hash.low(), |found| found == slot)
            && table.remove(at)
        {
            self.heads.0[number].set(&mut table.entries);
        }
    }

    fn table_of(&self, hash: KeyHash) -> usize {
        hash.high() & (self.tables.len() - 1)
    }
}

/// Where a key is in an index, or would be.
pub(crate) struct KeyPlace<'a> {
    table: &'a mut Table,
    head: &'a Head,
    hash: u32,
    /// The entry of the key; or else the free one where it belongs, if the table has any.
    at: Result<usize, usize>,
}

impl KeyPlace<'_> {
    /// Removes the entry of the key, whose job is gone.
    pub(crate) fn remove(self) {
        if let Ok(at) = self.at
            && self.table.remove(at)
        {
            self.head.set(&mut self.table.entries);
        }
    }

    /// The slot of the key's newest job.
    pub(crate) fn slot(&self) -> Option<u32> {
        self.at.ok().and_then(|at| self.table.entries.get(at)).map(|entry| entry.slot)
    }

    /// Has the key name the job in `slot` from now on.
    pub(crate) fn set(self, slot: u32) {
        let entry = Entry { hash: self.hash, slot };
        match self.at {
            Ok(at) => self.table.entries[at] = entry,
            Err(at) => {
                if self.table.add(at, entry) {
                    self.head.set(&mut self.table.entries);
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    /// [`FREE`] if there is no entry here.
    slot: u32,
}

/// No job's slot.
const FREE: u32 = u32::MAX;

const NO_ENTRY: Entry = Entry { hash: 0, slot: FREE };

/// Entries by their hashes, each in the first free place from its home on, round the end. Between an entry and its home no
/// place is free.
#[derive(Debug, Default)]
struct Table {
    /// None, or a power of two of them, of which some are free.
    entries: Box<[Entry]>,
    len: usize,
}

impl Table {
    /// The fewest places that a table has, once it has any: a cache line.
    const PLACES_MIN: usize = 8;

    /// How many of eight places may be taken. More would save little memory, and the search for a missing key would run
    /// through more than a line.
    const LOAD_OF_EIGHT: usize = 6;

    /// Where an entry with this hash is, if it is nowhere else.
    fn home(&self, hash: u32) -> usize {
        hash as usize & self.entries.len().wrapping_sub(1)
    }

    /// The entry with this hash whose slot `is_meant`; or else the free place that ends the search.
    fn probe(&self, hash: u32, is_meant: impl Fn(u32) -> bool) -> Result<usize, usize> {
        let mut at = self.home(hash);
        while let Some(&entry) = self.entries.get(at) {
            if entry.slot == FREE {
                return Err(at);
            }
            if entry.hash == hash && is_meant(entry.slot) {
                return Ok(at);
            }
            at = self.after(at);
        }
        Err(0)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// Adds an entry in the free place where a search for it ended. Returns whether the table has moved.
    fn add(&mut self, at: usize, entry: Entry) -> bool {
        let is_full = (self.len + 1) * 8 > self.entries.len() * Self::LOAD_OF_EIGHT;
        if is_full {
            self.resize((self.entries.len() * 2).max(Self::PLACES_MIN));
            self.put(entry);
        } else {
            self.entries[at] = entry;
        }
        self.len += 1;
        is_full
    }

    /// Removes an entry, and closes the gap: an entry that is further from home than the gap moves into it, and leaves the next.
    /// Returns whether the table has moved.
    fn remove(&mut self, at: usize) -> bool {
        let (mut gap, mut at) = (at, self.after(at));
        let mask = self.entries.len() - 1;
        while self.entries[at].slot != FREE {
            let from_home = at.wrapping_sub(self.home(self.entries[at].hash)) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.entries[gap] = self.entries[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.entries[gap] = NO_ENTRY;
        self.len -= 1;
        self.give_back()
    }

    /// Shrinks if most of it is idle: after a burst, memory comes back. A line is kept, or a key that comes and goes alone
    /// would allocate each time.
    fn give_back(&mut self) -> bool {
        if self.len == 0 && self.entries.len() > Self::PLACES_MIN {
            self.entries = Box::default();
        } else if self.entries.len() > 8 * Self::PLACES_MIN && self.len < self.entries.len() / 8 {
            self.resize(self.entries.len() / 4);
        } else {
            return false;
        }
        true
    }

    fn resize(&mut self, places: usize) {
        let before = std::mem::replace(&mut self.entries, vec![NO_ENTRY; places].into());
        before.into_iter().filter(|entry| entry.slot != FREE).for_each(|entry| self.put(entry));
    }

    /// Puts an entry that is not there into its place.
    fn put(&mut self, entry: Entry) {
        let (Ok(at) | Err(at)) = self.probe(entry.hash, |_| false);
        self.entries[at] = entry;
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
        let capacity = |index: &KeyIndex| index.tables.iter().map(|table| table.entries.len()).sum::<usize>();
        for number in 0..200_000 {
            jobs.add(&mut index, &number.to_string());
        }
        assert!(capacity(&index) >= 200_000);
        for (slot, key) in (0..).zip(&jobs.keys) {
            assert_eq!(jobs.find(&index, key), Some(slot));
            index.remove(jobs.hasher.hash(key), slot);
            assert_eq!(jobs.find(&index, key), None);
        }
        assert!(capacity(&index) <= Table::PLACES_MIN * TABLES, "{}", capacity(&index));
    }

    #[test]
    fn the_heads_say_where_the_tables_are() {
        let (mut jobs, mut index) = (Jobs::default(), KeyIndex::new(64));
        let check = |index: &KeyIndex| {
            for (table, head) in index.tables.iter().zip(&index.heads.0) {
                let (entries, mask) = (head.entries.load(Relaxed), head.mask.load(Relaxed) as usize);
                assert!(table.entries.is_empty() || entries.cast_const() == table.entries.as_ptr());
                assert_eq!(mask, table.entries.len().saturating_sub(1));
            }
        };
        for number in 0..5_000 {
            index.heads().warm(jobs.hasher.hash(&number.to_string()));
            jobs.add(&mut index, &number.to_string());
            check(&index);
        }
        for (slot, key) in (0..).zip(&jobs.keys) {
            index.remove(jobs.hasher.hash(key), slot);
            check(&index);
        }
    }

    #[test]
    fn many_partitions_do_not_make_many_tables() {
        for partitions in [1, 3, 8, 1024] {
            let tables = KeyIndex::new(partitions).tables.len();
            assert!(tables.is_power_of_two() && tables * partitions <= 2 * TABLES, "{tables}");
        }
    }

    /// Few hashes, so that entries meet, run round the end of a table and are moved when others go.
    #[test]
    fn it_is_as_a_list_of_keys_would_be() {
        let mut state = 7u64;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % u64::from(below)) as u32
        };
        for keys in [3u32, 40, 400, 4_000] {
            // Slot by key; the key in a slot. Key and slot are the same number in this test, until a newer job comes.
            let (mut index, mut slots) = (KeyIndex::new(TABLES), vec![None::<u32>; keys as usize]);
            let mut owner = std::collections::HashMap::new();
            for slot in 0..40_000 {
                let key = random(keys);
                let hash = KeyHash(u64::from(key % (keys / 3)) * 0x1_0000_0007);
                let is_of_key = |slot: u32| owner.get(&slot) == Some(&key);
                assert_eq!(index.find(hash, is_of_key), slots[key as usize]);
                if random(256) < 150 {
                    let place = index.place(hash, is_of_key);
                    assert_eq!(place.slot(), slots[key as usize]);
                    place.set(slot);
                    if let Some(older) = slots[key as usize].replace(slot) {
                        index.remove(hash, older);
                        owner.remove(&older);
                    }
                    owner.insert(slot, key);
                } else if let Some(gone) = slots[key as usize].take() {
                    index.remove(hash, gone);
                    owner.remove(&gone);
                }
                let len: usize = index.tables.iter().map(|table| table.len).sum();
                assert_eq!(len, owner.len());
            }
        }
    }
}
