//! The data of a Redis, and how to undo changes: a change is a group of undo steps, so that a restart or a failover can lose
//! the last ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A key of the database.
pub(super) type Key = Vec<u8>;

/// What a key holds.
#[derive(Clone, Debug)]
pub enum Held {
    /// Fields and their values.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Bytes.
    Text(Arc<[u8]>),
    /// Entries by their ids, and the highest id ever.
    Stream(BTreeMap<Id, Arc<[u8]>>, Id),
}

/// The id of an entry of a stream.
pub(super) type Id = (u64, u64);

/// How to undo one step.
#[derive(Debug)]
enum Undo {
    /// The key held this.
    Whole(Key, Option<Held>),
    Field(Key, Vec<u8>, Option<Vec<u8>>),
    /// An entry was added, and this was the highest id.
    Added(Key, Id, Id),
    /// Entries were removed.
    Trimmed(Key, Vec<(Id, Arc<[u8]>)>),
}

#[derive(Debug)]
struct Group {
    number: u64,
    at_us: u64,
    undo: Vec<Undo>,
}

/// Groups that can still be undone.
const GROUPS_MAX: usize = 400;

/// The data of a server.
#[derive(Default, Debug)]
pub(crate) struct Db {
    keys: BTreeMap<Key, Held>,
    groups: VecDeque<Group>,
    current: Vec<Undo>,
    /// How many groups there have been.
    pub count: u64,
}

impl Db {
    /// What `key` holds.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Held> {
        self.keys.get(key)
    }

    /// All keys.
    pub(crate) fn all(&self) -> &BTreeMap<Key, Held> {
        &self.keys
    }

    /// Makes all changes since the last call one group, which is kept or lost as a whole. Returns its number, if anything was
    /// changed.
    pub(crate) fn commit(&mut self, at_us: u64) -> Option<u64> {
        if self.current.is_empty() {
            return None;
        }
        let undo = std::mem::take(&mut self.current);
        self.count += 1;
        self.groups.push_back(Group { number: self.count, at_us, undo });
        if self.groups.len() > GROUPS_MAX {
            self.groups.pop_front();
        }
        Some(self.count)
    }

    /// The number of the last group that is older than `at_us`.
    pub(crate) fn before(&self, at_us: u64) -> u64 {
        let younger = self.groups.iter().filter(|group| group.at_us >= at_us).count() as u64;
        self.count - younger
    }

    /// The number of the last group that can no longer be undone.
    pub(crate) fn cannot_lose(&self) -> u64 {
        self.groups.front().map_or(self.count, |group| group.number - 1)
    }

    /// Loses every group after `number`. Returns when the first of them was made, if there were any.
    pub(crate) fn lose_after(&mut self, number: u64) -> Option<u64> {
        let mut first_us = None;
        while self.groups.back().is_some_and(|group| group.number > number) {
            let Some(group) = self.groups.pop_back() else { break };
            first_us = Some(group.at_us);
            for undo in group.undo.into_iter().rev() {
                self.take_back(undo);
            }
        }
        first_us
    }

    /// Loses everything, for good.
    pub(crate) fn flush(&mut self) {
        self.keys.clear();
        self.groups.clear();
        self.current.clear();
    }

    fn take_back(&mut self, undo: Undo) {
        match undo {
            Undo::Whole(key, Some(held)) => drop(self.keys.insert(key, held)),
            Undo::Whole(key, None) => drop(self.keys.remove(&key)),
            Undo::Field(key, field, was) => {
                if let Some(Held::Hash(fields)) = self.keys.get_mut(&key) {
                    match was {
                        Some(was) => drop(fields.insert(field, was)),
                        None => drop(fields.remove(&field)),
                    }
                }
            }
            Undo::Added(key, id, last) => {
                if let Some(Held::Stream(entries, last_id)) = self.keys.get_mut(&key) {
                    entries.remove(&id);
                    *last_id = last;
                }
            }
            Undo::Trimmed(key, gone) => {
                if let Some(Held::Stream(entries, _)) = self.keys.get_mut(&key) {
                    entries.extend(gone);
                }
            }
        }
    }

    /// HSET of one field. `false`: the key is no hash.
    pub(crate) fn set_field(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> bool {
        if !self.keys.contains_key(key) {
            self.current.push(Undo::Whole(key.to_vec(), None));
            self.keys.insert(key.to_vec(), Held::Hash(BTreeMap::new()));
        }
        let Some(Held::Hash(fields)) = self.keys.get_mut(key) else { return false };
        let was = fields.insert(field.to_vec(), value.to_vec());
        self.current.push(Undo::Field(key.to_vec(), field.to_vec(), was));
        true
    }

    /// HDEL of one field. Whether there was one.
    pub(crate) fn remove_field(&mut self, key: &[u8], field: &[u8]) -> bool {
        let Some(Held::Hash(fields)) = self.keys.get_mut(key) else { return false };
        let Some(was) = fields.remove(field) else { return false };
        self.current.push(Undo::Field(key.to_vec(), field.to_vec(), Some(was)));
        // A hash without fields does not exist.
        if fields.is_empty() {
            let gone = self.keys.remove(key);
            self.current.push(Undo::Whole(key.to_vec(), gone));
        }
        true
    }

    /// SET.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        let was = self.keys.insert(key.to_vec(), Held::Text(value.into()));
        self.current.push(Undo::Whole(key.to_vec(), was));
    }

    /// UNLINK of one key. Whether there was one.
    pub(crate) fn unlink(&mut self, key: &[u8]) -> bool {
        let Some(was) = self.keys.remove(key) else { return false };
        self.current.push(Undo::Whole(key.to_vec(), Some(was)));
        true
    }

    /// XADD. `None`: the id is not after the last one.
    pub(crate) fn add_entry(&mut self, key: &[u8], id: Id, value: &[u8]) -> Option<()> {
        if !self.keys.contains_key(key) {
            self.current.push(Undo::Whole(key.to_vec(), None));
            self.keys.insert(key.to_vec(), Held::Stream(BTreeMap::new(), (0, 0)));
        }
        let Some(Held::Stream(entries, last)) = self.keys.get_mut(key) else { return None };
        if id <= *last {
            return None;
        }
        self.current.push(Undo::Added(key.to_vec(), id, *last));
        *last = id;
        entries.insert(id, value.into());
        Some(())
    }

    /// XTRIM MINID, of at most `limit` entries. Returns how many it removed.
    pub(crate) fn trim(&mut self, key: &[u8], from: Id, most: usize) -> usize {
        let Some(Held::Stream(entries, _)) = self.keys.get_mut(key) else { return 0 };
        let gone: Vec<Id> = entries.range(..from).take(most).map(|(&id, _)| id).collect();
        let gone: Vec<(Id, Arc<[u8]>)> =
            gone.into_iter().filter_map(|id| entries.remove(&id).map(|entry| (id, entry))).collect();
        let count = gone.len();
        if count > 0 {
            self.current.push(Undo::Trimmed(key.to_vec(), gone));
        }
        count
    }
}
