//! Adding to the log, and looking whether it is still there.
//!
//! A batch is written where it is asked for: a write to a file goes to the system's memory and does not wait for the disk.

use std::path::PathBuf;
use std::sync::Arc;

use super::Core;
use super::block::{Head, Kind};
use super::errors::failed;
use super::files::File;
use super::names::LOCK;
use super::recover::make_spare;
use super::state::{Held, Open};
use crate::rt::Runtime;
use crate::store::codec::{BatchHeader, FRAME_BYTES_IDEAL, encode_batch};
use crate::store::{Batch, Grant, StoreError};

impl Core {
    pub(super) fn append(self: &Arc<Self>, batch: &Batch) -> Result<(), StoreError> {
        let (grant, partition) = (&batch.grant, batch.grant.partition);
        let have = {
            let mut state = self.state.lock();
            let Held { partition: of, .. } = self.held(&mut state, grant)?;
            of.relied_on(partition)?;
            of.log_end
        };
        let (first, end) = (batch.first_record, batch.end());
        if first > have {
            // One before it was refused, and will be sent again.
            return Err(StoreError::retry(format!(
                "records {have} to {first} of partition {} are missing: a batch has overtaken one before it",
                partition.0
            )));
        }
        // What is there already is sent again.
        let known = usize::try_from(have - first).unwrap_or(usize::MAX);
        let Some(records) = batch.records.get(known..).filter(|records| !records.is_empty()) else {
            return Ok(());
        };
        let header = BatchHeader { partition, epoch: grant.epoch, first_record: have };
        let mut frame = Vec::with_capacity(FRAME_BYTES_IDEAL);
        encode_batch(&header, records, &mut frame).map_err(|error| {
            StoreError::fatal(format!("a batch of partition {} cannot be written: {error}", partition.0))
        })?;
        let head =
            Head { partition: partition.0, epoch: grant.epoch, first: have, end, ..Head::new(Kind::Batch) };
        if let Some((number, path)) = self.write(grant, head, &frame)? {
            self.make_spare_ahead(number, path);
        }
        Ok(())
    }

    /// Returns the number and the path of the segment that is to be made ahead, if it is time for that.
    fn write(&self, grant: &Grant, head: Head, frame: &[u8]) -> Result<Option<(u64, PathBuf)>, StoreError> {
        let mut state = self.state.lock();
        let Held { log, partition, .. } = self.held(&mut state, grant)?;
        partition.relied_on(grant.partition)?;
        if partition.log_end != head.first {
            return Err(StoreError::retry("two batches of a partition were written at once"));
        }
        let lsn = log
            .append(head, frame)
            .map_err(|error| failed("writing to the log in", self.config.path(), &error))?;
        (partition.last_lsn, partition.log_end, partition.found) = (lsn, head.end, None);
        Ok(log.wants_spare())
    }

    /// The next segment is there before it is needed.
    fn make_spare_ahead(self: &Arc<Self>, number: u64, path: PathBuf) {
        let Some(runtime) = Runtime::current() else { return };
        // The store is not held for it: whoever drops it gives it up.
        let (core, config, making) = (Arc::downgrade(self), self.config.clone(), runtime.clone());
        runtime.spawn(async move {
            let made = making.run_blocking(move || make_spare(&config, number, path)).await.flatten();
            if let Some(core) = core.upgrade()
                && let Some(open) = core.state.lock().as_mut()
            {
                open.log.has_spare(made);
            }
        });
    }

    /// Looks whether the files are still there that the store has acknowledged something in.
    pub(super) fn check(&self, grant: &Grant) -> Result<(), StoreError> {
        let gone = self.gone()?;
        let mut state = self.state.lock();
        if let Some(open) = state.as_mut() {
            open.lose(&gone);
        }
        let lock = self.config.path().join(LOCK);
        let is_locked = state.as_ref().is_some_and(|open| open.lock.is_at(&lock).unwrap_or(true));
        let held = self.held(&mut state, grant)?;
        if !is_locked {
            // Another could lock the new one: claiming again looks who is there.
            held.partition.doubt.get_or_insert_with(|| format!("{} was removed or replaced", lock.display()));
        }
        held.partition.relied_on(grant.partition)
    }

    /// The files that are not there any more, of those that are needed.
    pub(super) fn gone(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.config.path();
        let (segments, snapshots) = match self.state.lock().as_ref() {
            Some(open) => open.needed_files(),
            None => return Ok(Vec::new()),
        };
        let mut gone = Vec::new();
        for (path, file) in segments {
            if !file.is_at(&path).map_err(|error| failed("looking at", &path, &error))? {
                gone.push(path);
            }
        }
        if !snapshots.is_empty() {
            let names = match self.config.files.list(dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                names => names.map_err(|error| failed("listing", dir, &error))?,
            };
            let is_there = |path: &PathBuf| {
                names.iter().any(|name| path.file_name().is_some_and(|own| own == name.as_str()))
            };
            gone.extend(snapshots.into_iter().filter(|path| !is_there(path)));
        }
        Ok(gone)
    }
}

/// A file, and where it should be.
type OpenFile = (PathBuf, Arc<dyn File>);

impl Open {
    /// Segments, and snapshots.
    fn needed_files(&self) -> (Vec<OpenFile>, Vec<PathBuf>) {
        let segments =
            self.log.segments.values().map(|segment| (segment.path.clone(), Arc::clone(&segment.file)));
        let snapshots = self.partitions.values().filter_map(|partition| partition.snapshot.as_ref());
        (segments.collect(), snapshots.map(|(path, _)| path.clone()).collect())
    }
}
