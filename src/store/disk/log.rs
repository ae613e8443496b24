//! The log as its owner keeps it: which segment takes the next batch, what of it is on the disk, and what each segment is still
//! needed for.
//!
//! # Rules
//! - A batch is one write at the end of the current segment. If that fails, what may have been written is cut off before the
//!   next, so that nothing but whole blocks lies before the end.
//! - A segment takes batches only once its name is on the disk.
//! - A sync that failed ends a segment for good: it is never synced again, because what the system then calls synced may be
//!   lost. What had not been synced is given up ([`Log::give_up`]), and whoever wrote it writes it anew.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::block::{Head, Kind};
use super::distrust::{Begun, Distrust};
use super::files::{File, Files};
use super::names::Name;
use super::scan::Scan;
use super::segment::{self, Says};

/// A segment that its owner knows.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) bytes: u64,
    /// How many of them are known to be on the disk.
    pub(super) synced_bytes: u64,
    /// A sync of it has failed.
    pub(super) is_given_up: bool,
    /// What each partition has in it.
    pub(super) shares: BTreeMap<u16, Share>,
}

/// What a partition has in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Share {
    pub(super) bytes: u64,
    pub(super) batches: u64,
    /// After its last record, and the LSN of its last batch.
    pub(super) end: u64,
    pub(super) lsn: u64,
}

/// A file that waits to become a segment; its name is on the disk.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
}

#[derive(Debug)]
pub(super) struct Log {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The segment that takes the next batch.
    current: Option<u64>,
    pub(super) spare: Option<Spare>,
    /// Whether a spare is being made.
    is_sparing: bool,
    next_number: u64,
    /// The segment that was begun last.
    pub(super) last: Begun,
    /// Before which LSN it ends.
    ended: u64,
    pub(super) next_lsn: u64,
    /// All before this LSN is on the disk, or given up.
    pub(super) synced_lsn: u64,
    /// What is not trusted of that.
    pub(super) distrust: Distrust,
    /// What a failed write left behind the end of the current segment could not be cut off.
    is_ragged: bool,
    block: Vec<u8>,
}

/// What a sync is to do: the files, with how many bytes of each it is to speak for, and the LSN up to which all is on the disk
/// then.
#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) files: Vec<(u64, Arc<dyn File>, u64)>,
    pub(super) up_to: u64,
}

impl Log {
    /// Goes on after what was found, all of which is on the disk.
    pub(super) fn after(
        scan: &Scan,
        opened: BTreeMap<u64, Arc<dyn File>>,
        files: &Arc<dyn Files>,
        dir: PathBuf,
        segment_bytes: u64,
    ) -> Self {
        let known = |segment: &segment::Segment| {
            let file = Arc::clone(opened.get(&segment.number)?);
            Some((segment.number, Segment::found(segment, file)))
        };
        let next_lsn = scan.next_lsn();
        Log {
            files: Arc::clone(files),
            dir,
            segment_bytes,
            segments: scan.segments.iter().filter_map(known).collect(),
            current: None,
            spare: None,
            is_sparing: false,
            next_number: scan.last_segment + 1,
            last: scan.begun,
            ended: scan.segments.last().map_or(0, segment::Segment::ends),
            next_lsn,
            synced_lsn: next_lsn,
            distrust: Distrust::default(),
            is_ragged: false,
            block: Vec::new(),
        }
    }

    /// Writes a batch of a partition, and returns its LSN.
    pub(super) fn append(&mut self, mut head: Head, frame: &[u8]) -> io::Result<u64> {
        let number = self.ready()?;
        head.lsn = self.next_lsn;
        head.synced = self.synced_lsn;
        self.block.clear();
        if !head.write(frame, &mut self.block) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = segment.file.write_at(&self.block, segment.bytes) {
            self.is_ragged = segment.file.truncate(segment.bytes).is_err();
            return Err(error);
        }
        segment.bytes += self.block.len() as u64;
        let share = segment.shares.entry(head.partition).or_default();
        share.bytes += self.block.len() as u64;
        share.batches += 1;
        (share.end, share.lsn) = (head.end, head.lsn);
        self.next_lsn += 1;
        self.ended = self.next_lsn;
        Ok(head.lsn)
    }

    /// The number of a segment that takes a batch.
    fn ready(&mut self) -> io::Result<u64> {
        if let Some((number, segment)) = self.current.and_then(|at| Some((at, self.segments.get(&at)?))) {
            if self.is_ragged {
                segment.file.truncate(segment.bytes)?;
                self.is_ragged = false;
            }
            if segment.bytes < self.segment_bytes {
                return Ok(number);
            }
        }
        self.begin()
    }

    /// Begins the next segment.
    fn begin(&mut self) -> io::Result<u64> {
        let Spare { number, path, file } = match self.spare.take() {
            Some(spare) => spare,
            None => self.make_spare()?,
        };
        let mut head = Head::new(Kind::Segment);
        (head.lsn, head.synced) = (self.next_lsn, self.synced_lsn);
        (head.epoch, head.first, head.end) = (self.last.segment, self.last.lsn, self.ended);
        let mut block = Vec::new();
        if !(Says { distrust: self.distrust.clone(), ended: 0 }.write(head, &mut block)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Err(error) = file.write_at(&block, 0) {
            // It is as it was, or is cut when it is used.
            let _ = file.truncate(0);
            self.spare = Some(Spare { number, path, file });
            return Err(error);
        }
        let segment = Segment {
            path,
            file,
            bytes: block.len() as u64,
            synced_bytes: 0,
            is_given_up: false,
            shares: BTreeMap::new(),
        };
        self.is_ragged = false;
        self.segments.insert(number, segment);
        self.current = Some(number);
        self.last = Begun { segment: number, lsn: self.next_lsn };
        self.ended = self.next_lsn;
        Ok(number)
    }

    fn make_spare(&mut self) -> io::Result<Spare> {
        let number = self.next_number;
        self.next_number += 1;
        let path = self.dir.join(Name::Segment(number).text());
        let file = Arc::from(self.files.create(&path)?);
        self.files.sync_dir(&self.dir)?;
        Ok(Spare { number, path, file })
    }

    /// The name that the next spare has, if it is time to make one. Whoever asks makes it.
    pub(super) fn wants_spare(&mut self) -> Option<(u64, PathBuf)> {
        let is_time = match self.current.and_then(|at| self.segments.get(&at)) {
            Some(segment) => segment.bytes >= self.segment_bytes / 2,
            None => true,
        };
        if self.spare.is_some() || self.is_sparing || !is_time {
            return None;
        }
        self.is_sparing = true;
        let number = self.next_number;
        self.next_number += 1;
        Some((number, self.dir.join(Name::Segment(number).text())))
    }

    /// It was made, or could not be.
    pub(super) fn has_spare(&mut self, spare: Option<Spare>) {
        self.is_sparing = false;
        // One that comes too late has a lower number than the segment that could not wait for it: it is not used.
        if let Some(spare) = spare {
            if spare.number > self.last.segment && self.spare.is_none() {
                self.spare = Some(spare);
            } else {
                let _ = self.files.remove(&spare.path);
            }
        }
    }

    /// What a sync has to do for all that was written; `None` if nothing.
    pub(super) fn to_sync(&self) -> Option<Syncing> {
        let is_dirty = |segment: &Segment| !segment.is_given_up && segment.synced_bytes < segment.bytes;
        let files: Vec<_> = self
            .segments
            .iter()
            .filter(|(_, segment)| is_dirty(segment))
            .map(|(&number, segment)| (number, Arc::clone(&segment.file), segment.bytes))
            .collect();
        (!files.is_empty()).then_some(Syncing { files, up_to: self.next_lsn })
    }

    /// It was done.
    pub(super) fn is_synced(&mut self, syncing: &Syncing) {
        for (number, file, bytes) in &syncing.files {
            // A segment that was given up or written anew meanwhile is another file.
            if let Some(segment) = self.segments.get_mut(number)
                && Arc::ptr_eq(&segment.file, file)
                && !segment.is_given_up
            {
                segment.synced_bytes = segment.synced_bytes.max(*bytes);
            }
        }
        self.synced_lsn = self.synced_lsn.max(syncing.up_to);
    }

    /// A sync has failed: what was not on the disk before is not trusted, and the segments are not used any more.
    pub(super) fn give_up(&mut self) {
        for (number, segment) in
            self.segments.iter_mut().filter(|(_, segment)| segment.synced_bytes < segment.bytes)
        {
            segment.is_given_up = true;
            if segment.synced_bytes == 0 {
                self.distrust.add_segment(*number);
            }
        }
        self.distrust.add(self.synced_lsn..self.next_lsn);
        self.current = None;
        self.synced_lsn = self.next_lsn;
    }

    /// Whether the end of a segment is not trusted.
    pub(super) fn has_given_up(&self) -> bool {
        self.segments.values().any(|segment| segment.is_given_up)
    }

    /// A segment is gone from the disk: returns the partitions that have something in it.
    pub(super) fn lose(&mut self, number: u64) -> Vec<u16> {
        let Some(segment) = self.segments.remove(&number) else { return Vec::new() };
        if self.current == Some(number) {
            self.current = None;
        }
        segment.shares.into_keys().collect()
    }

    pub(super) fn is_current(&self, number: u64) -> bool {
        self.current == Some(number)
    }
}

impl Segment {
    pub(super) fn found(segment: &segment::Segment, file: Arc<dyn File>) -> Self {
        let mut shares: BTreeMap<u16, Share> = BTreeMap::new();
        for entry in &segment.entries {
            let share = shares.entry(entry.head.partition).or_default();
            share.bytes += entry.head.block_bytes();
            share.batches += 1;
            (share.end, share.lsn) = (entry.head.end, entry.head.lsn);
        }
        Segment {
            path: segment.path.clone(),
            file,
            bytes: segment.good_bytes,
            synced_bytes: segment.good_bytes,
            is_given_up: false,
            shares,
        }
    }
}
