//! Opening a store that is locked: what was left is put in order, and is on the disk before anything is built on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::block;
use super::config::DiskConfig;
use super::errors::{failed, misfit};
use super::files::File;
use super::log::{Log, Spare};
use super::meta::Meta;
use super::names::META;
use super::rewrite::rewrite;
use super::scan::{Scan, Torn};
use super::segment::Segment;
use super::state::{Open, Partition};
use crate::store::{Claim, StoreError};

/// Reads what there is, cuts off what is torn, and removes what means nothing.
pub(super) fn open(config: &DiskConfig, lock: Box<dyn File>, claim: &Claim) -> Result<Open, StoreError> {
    let (files, dir) = (&config.files, config.path());
    let meta = Meta::read(&**files, dir)?;
    let scan = Scan::of(&**files, dir, meta.as_ref(), || comes_on(config))?;
    let meta = match meta {
        Some(meta) => meta,
        None if scan.segments.is_empty() && scan.snapshots.is_empty() => {
            Meta { partitions: claim.partitions, ..Meta::default() }
        }
        None => return Err(misfit(&dir.join(META), None, &"it is gone, and the jobs are still there")),
    };
    let opened = put_in_order(config, &scan)?;
    let (last_generation, log_after) = (scan.last_generation, scan.next_lsn());
    let log = Log::after(&scan, opened, files, dir.to_owned(), config.segment_bytes);
    let partitions = (0..meta.partitions).map(|partition| (partition, found(&scan, partition))).collect();
    tracing::debug!(path = %dir.display(), segments = scan.segments.len(), log_after, "the store is open");
    Ok(Open { lock, meta, log, partitions, last_generation, useless: Vec::new() })
}

fn found(scan: &Scan, partition: u16) -> Partition {
    let snapshot = scan.snapshots.get(&partition);
    let entries: Vec<_> = scan.entries(partition).copied().collect();
    Partition {
        log_end: scan.log_end(partition),
        last_lsn: entries.last().map_or(0, |entry| entry.head.lsn),
        from_lsn: snapshot.map_or(0, |snapshot| snapshot.from_lsn),
        snapshot: snapshot.map(|snapshot| (snapshot.path.clone(), snapshot.published)),
        found: Some(entries),
        ..Partition::default()
    }
}

/// Returns the segments, opened.
///
/// What means nothing goes first, and for good: behind an end that was cut off it would look like the log's next part.
fn put_in_order(config: &DiskConfig, scan: &Scan) -> Result<BTreeMap<u64, Arc<dyn File>>, StoreError> {
    let (files, dir) = (&*config.files, config.path());
    // Before anything is removed that a name stands for which may not be on the disk yet.
    files.sync_dir(dir).map_err(|error| failed("syncing", dir, &error))?;
    for path in &scan.useless {
        files.remove(path).map_err(|error| failed("removing", path, &error))?;
    }
    files.sync_dir(dir).map_err(|error| failed("syncing", dir, &error))?;
    let mut opened = BTreeMap::new();
    for segment in &scan.segments {
        let file =
            files.open(&segment.path, true).map_err(|error| failed("opening", &segment.path, &error))?;
        if let Some(torn) = scan.torn.iter().find(|torn| torn.number == segment.number) {
            cut(&*file, torn)?;
        }
        write_again(&*file, segment, scan)?;
        let file: Arc<dyn File> = match file.sync() {
            Ok(()) => Arc::from(file),
            // Asked again, the system may call it synced although it is lost: only another file can be trusted.
            Err(error) => {
                tracing::error!(path = %segment.path.display(), %error, "a segment could not be synced, and is written anew");
                rewrite(files, dir, segment, None)?
            }
        };
        opened.insert(segment.number, file);
        comes_on(config);
    }
    Ok(opened)
}

/// Whoever waits has patience again.
fn comes_on(config: &DiskConfig) {
    config.steps.fetch_add(1, Relaxed);
}

/// Writes what may not be on the disk once more, as it is. The process before may have been told that it could not be synced;
/// since then the system calls it clean, and would sync nothing.
fn write_again(file: &dyn File, segment: &Segment, scan: &Scan) -> Result<(), StoreError> {
    let path = &segment.path;
    let is_first_new = segment.head.is_some_and(|head| scan.may_be_lost(head.lsn));
    let entries = segment.entries.iter().map(|entry| (entry.offset, entry.head));
    let head = segment.head.filter(|_| is_first_new).map(|head| (0, head));
    let mut block = Vec::new();
    for (offset, head) in head.into_iter().chain(entries).filter(|(_, head)| scan.may_be_lost(head.lsn)) {
        block.resize(usize::try_from(head.block_bytes()).unwrap_or(0), 0);
        let read = file.read_at(&mut block, offset).map_err(|error| failed("reading", path, &error))?;
        if block::read(&block[..read]).is_err() {
            // The system has just forgotten it.
            return Err(StoreError::retry(format!("{} has changed while it was read", path.display())));
        }
        file.write_at(&block, offset).map_err(|error| failed("writing", path, &error))?;
    }
    Ok(())
}

fn cut(file: &dyn File, torn: &Torn) -> Result<(), StoreError> {
    let (path, cut_bytes) = (torn.path.display(), torn.bytes - torn.good_bytes);
    let (at, flaw) = (torn.good_bytes, torn.flaw);
    tracing::warn!(
        %path, at, cut_bytes, %flaw,
        "the end of the log was torn, and is cut off: nothing that was promised lies there"
    );
    file.truncate(torn.good_bytes).map_err(|error| failed("cutting", &torn.path, &error))
}

/// Makes a file that becomes a segment later. Returns once its name is on the disk.
pub(super) fn make_spare(config: &DiskConfig, number: u64, path: std::path::PathBuf) -> Option<Spare> {
    let made = config.files.create(&path).and_then(|file| {
        config.files.sync_dir(config.path())?;
        Ok(file)
    });
    match made {
        Ok(file) => Some(Spare { number, path, file: Arc::from(file) }),
        Err(error) => {
            // Whoever needs it asks again, and is told.
            tracing::debug!(%error, "the next segment could not be made ahead");
            None
        }
    }
}
