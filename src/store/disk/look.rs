//! Looking at what a store holds, without its lock and without changing anything, also while a process owns it.
//!
//! Files come and go meanwhile: a read that does not fit together starts over.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::files::File;
use super::load::{OpenSegments, Reading};
use super::meta::Meta;
use super::scan::Scan;
use super::segment::Entry;
use super::snapshot::blocking;
use super::{Core, DiskStore};
use crate::partition::PartitionId;
use crate::store::{
    LivingOwner, Owner, PartitionRead, PartitionReport, ReadStore, SnapshotReport, StoreError, StoreFuture,
};

use super::errors::failed;
use std::time::Duration;

/// How often a read starts over.
const READS_MAX: u32 = 5;

impl DiskStore {
    /// What the store holds of each partition, in order, for those that were ever written to. Takes no lease and changes nothing.
    /// Reads the whole log.
    ///
    /// # Errors
    /// When the files cannot be read, or are not as they were written.
    pub async fn inspect(&self) -> Result<Vec<PartitionReport>, StoreError> {
        let core = Arc::clone(&self.core);
        blocking(move || patiently(|| core.reports())).await
    }

    /// The number of partitions; `None` if nothing was written.
    ///
    /// # Errors
    /// When the files cannot be read, or are not as they were written.
    pub async fn partitions(&self) -> Result<Option<u16>, StoreError> {
        let core = Arc::clone(&self.core);
        blocking(move || Ok(core.read_meta()?.map(|meta| meta.partitions))).await
    }

    /// Reads a partition without owning it, also while its owner goes on writing: everything up to the last record at the time
    /// of reading. `None` if it was never owned.
    ///
    /// # Errors
    /// When the files cannot be read, or are not as they were written.
    pub async fn read(&self, partition: PartitionId) -> Result<Option<PartitionRead>, StoreError> {
        let core = Arc::clone(&self.core);
        blocking(move || patiently(|| core.read(partition))).await
    }
}

impl ReadStore for DiskStore {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        Box::pin(self.partitions())
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        Box::pin(self.read(partition))
    }
}

impl Core {
    fn read_meta(&self) -> Result<Option<Meta>, StoreError> {
        Meta::read(&*self.config.files, self.config.path())
    }

    fn read(&self, partition: PartitionId) -> Result<Option<PartitionRead>, StoreError> {
        let Some(meta) = self.read_meta()? else { return Ok(None) };
        if partition.0 >= meta.partitions {
            return Ok(None);
        }
        let scan = Scan::of(&*self.config.files, self.config.path(), Some(&meta), || {})?;
        let entries: Vec<Entry> = scan.entries(partition.0).copied().collect();
        let (segments, log_end) = (self.open_segments(&scan, &entries)?, scan.log_end(partition.0));
        let mut snapshots = scan.snapshots;
        let snapshot = snapshots.remove(&partition.0).map(|found| (found.path, found.published, found.file));
        let mut reading = Reading::new(partition, snapshot, segments, entries, log_end, true)?;
        while reading.piece()? {}
        Ok(Some(PartitionRead::new(reading.finish()?, self.living_owner(&meta))))
    }

    fn open_segments(&self, scan: &Scan, entries: &[Entry]) -> Result<OpenSegments, StoreError> {
        let mut segments = BTreeMap::new();
        for segment in &scan.segments {
            if entries.iter().any(|entry| entry.segment == segment.number) {
                let opened: io::Result<Box<dyn File>> = self.config.files.open(&segment.path, false);
                let file = opened.map_err(|error| failed("opening", &segment.path, &error))?;
                segments.insert(segment.number, (segment.path.clone(), Arc::from(file)));
            }
        }
        Ok(segments)
    }

    fn reports(&self) -> Result<Vec<PartitionReport>, StoreError> {
        let Some(meta) = self.read_meta()? else { return Ok(Vec::new()) };
        let scan = Scan::of(&*self.config.files, self.config.path(), Some(&meta), || {})?;
        (0..meta.partitions).map(|partition| self.report(&meta, &scan, partition)).collect()
    }

    fn report(&self, meta: &Meta, scan: &Scan, partition: u16) -> Result<PartitionReport, StoreError> {
        let snapshot = scan.snapshots.get(&partition);
        let of_log = scan.segments.iter().flat_map(|segment| &segment.entries);
        let log_bytes: u64 = of_log
            .filter(|entry| entry.head.partition == partition)
            .map(|entry| entry.head.block_bytes())
            .sum();
        let log_end = scan.log_end(partition);
        let covered = snapshot.map_or(0, |snapshot| snapshot.published.covered);
        let about = snapshot.map(|snapshot| {
            let age = snapshot.file.age().map_err(|error| failed("looking at", &snapshot.path, &error))?;
            Ok(SnapshotReport::new(&snapshot.published, age))
        });
        Ok(PartitionReport {
            partition: PartitionId(partition),
            owner: self.living_owner(meta),
            log_end,
            log_entries: scan.entries(partition).count() as u64,
            log_records: log_end.saturating_sub(covered),
            snapshot: about.transpose()?,
            chunks_beside: 0,
            memory_bytes: Some(log_bytes + snapshot.map_or(0, |snapshot| snapshot.bytes)),
        })
    }

    fn living_owner(&self, meta: &Meta) -> LivingOwner {
        // The lock does not run out.
        let lease_left = self.living_holder().map(|_| Duration::MAX);
        LivingOwner::new(Owner::new(&meta.owner), meta.era, lease_left)
    }
}

fn patiently<T>(mut read: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..READS_MAX {
        if let Ok(read) = read() {
            return Ok(read);
        }
    }
    read()
}
