//! What the owner of a store knows of it, under one lock. No file is synced while that is held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::errors::behind;
use super::files::File;
use super::log::Log;
use super::meta::Meta;
use super::segment::Entry;
use crate::partition::PartitionId;
use crate::store::assembly::Published;
use crate::store::{Grant, Owner, StoreError};

/// A store that this process owns.
#[derive(Debug)]
pub(super) struct Open {
    /// Held for as long as the process owns the store.
    pub(super) lock: Box<dyn File>,
    pub(super) meta: Meta,
    pub(super) log: Log,
    pub(super) partitions: BTreeMap<u16, Partition>,
    pub(super) last_generation: u64,
    /// Files that a newer one has replaced, and which are to be removed.
    pub(super) useless: Vec<PathBuf>,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    /// The last that was granted since the store was opened; 0 before the first.
    pub(super) epoch: u64,
    /// Who got it.
    pub(super) owner: Option<Owner>,
    /// Whether it still has the lease.
    pub(super) is_held: bool,
    pub(super) log_end: u64,
    /// Of its last batch.
    pub(super) last_lsn: u64,
    /// Batches before this one do not count.
    pub(super) from_lsn: u64,
    pub(super) snapshot: Option<(PathBuf, Published)>,
    /// Why what it wrote cannot be relied on; until all of it is written anew.
    pub(super) doubt: Option<String>,
    /// Its batches, as they were found when the store was opened; for the first load.
    pub(super) found: Option<Vec<Entry>>,
}

/// What is held of a store, with the partition that a grant is for.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub(super) log: &'a mut Log,
    pub(super) last_generation: &'a mut u64,
    pub(super) useless: &'a mut Vec<PathBuf>,
    pub(super) partition: &'a mut Partition,
}

impl Open {
    /// The partition of a grant, if that is the last one given out for it.
    pub(super) fn held(&mut self, grant: &Grant) -> Result<Held<'_>, StoreError> {
        let Open { log, partitions, last_generation, useless, .. } = self;
        let now = partitions.get(&grant.partition.0).map_or(0, |partition| partition.epoch);
        match partitions.get_mut(&grant.partition.0) {
            Some(partition) if now == grant.epoch => Ok(Held { log, last_generation, useless, partition }),
            _ => Err(taken_over(grant, now)),
        }
    }

    /// A sync has failed. Whoever has written since the last good one has to write anew.
    pub(super) fn give_up(&mut self, why: &str) {
        let synced_lsn = self.log.synced_lsn;
        for partition in self.partitions.values_mut().filter(|partition| partition.last_lsn >= synced_lsn) {
            partition.doubt.get_or_insert_with(|| why.to_owned());
        }
        self.log.give_up();
    }

    /// Files are gone from the directory.
    pub(super) fn lose(&mut self, gone: &[PathBuf]) {
        let is_gone = |path: &Path| gone.iter().any(|gone| gone == path);
        let why =
            |path: &Path| format!("{} was removed or replaced while the store was in use", path.display());
        let numbers: Vec<u64> = self
            .log
            .segments
            .iter()
            .filter(|(_, segment)| is_gone(&segment.path))
            .map(|(&number, _)| number)
            .collect();
        for number in numbers {
            let path = self.log.segments[&number].path.clone();
            for partition in self.log.lose(number) {
                if let Some(partition) = self.partitions.get_mut(&partition) {
                    partition.doubt.get_or_insert_with(|| why(&path));
                }
            }
        }
        for partition in self.partitions.values_mut() {
            let Some((path, _)) = &partition.snapshot else { continue };
            if is_gone(path) {
                let why = why(path);
                partition.doubt.get_or_insert(why);
                partition.snapshot = None;
            }
        }
    }

    /// Whether anybody has to write anew what it has written.
    pub(super) fn has_doubts(&self) -> bool {
        self.partitions.values().any(|partition| partition.doubt.is_some())
    }
}

impl Partition {
    /// An error if what it wrote cannot be relied on.
    pub(super) fn relied_on(&self, partition: PartitionId) -> Result<(), StoreError> {
        match &self.doubt {
            None => Ok(()),
            Some(why) => Err(behind(format!("records of partition {} may be lost: {why}", partition.0))),
        }
    }

    /// The sequence of the first record that is not in its snapshot.
    pub(super) fn covered(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |(_, published)| published.covered)
    }
}

pub(super) fn taken_over(grant: &Grant, now: u64) -> StoreError {
    let epoch = grant.epoch;
    StoreError::fenced(format!("another engine has taken the store over (epoch {epoch}, now {now})"))
}
