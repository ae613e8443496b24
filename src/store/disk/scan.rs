//! What lies in the directory: segments and snapshots, and what a bad spot in the log means.
//!
//! # Rules
//! - Every block of the log says up to which LSN all was on the disk when it was written. A bad spot below the highest such word
//!   is damage, and refused. One above it is what the end of the process or of the power leaves: the log ends there, and what
//!   lies behind it was never promised.
//! - Parts of the log may not be trusted, because a sync had failed ([`Distrust`](super::distrust::Distrust)). A bad spot there
//!   ends its segment, and the log goes on with the next. So it does where a segment holds nothing that the next one lacks.
//! - The snapshot of a partition is the one with the highest generation. It has its name only once it is whole, and is on the
//!   disk before anything that it stands for is removed.
//! - Nothing here changes a file. Whoever owns the store does what [`Scan::torn`] and [`Scan::useless`] say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::block::Flaw;
use super::distrust::{Begun, Distrust};
use super::errors::{damaged, failed};
use super::files::Files;
use super::meta::Meta;
use super::names::{Name, UNFINISHED};
use super::segment::{Entry, Segment};
use super::snapshot_file::SnapshotFile;
use crate::store::StoreError;

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The segments of the log, in order.
    pub(super) segments: Vec<Segment>,
    /// The newest snapshot of each partition.
    pub(super) snapshots: BTreeMap<u16, SnapshotFile>,
    /// All of the log before this LSN was on the disk, as far as any file tells.
    pub(super) synced: u64,
    /// The last segment that was begun, as far as any file tells.
    pub(super) begun: Begun,
    /// The highest numbers that were given to a segment, and to a snapshot.
    pub(super) last_segment: u64,
    pub(super) last_generation: u64,
    /// Segments whose end means nothing: the last one, if it is torn, and those before what is not trusted.
    pub(super) torn: Vec<Torn>,
    /// Files that mean nothing: unfinished ones, older snapshots, segments behind the end of the log.
    pub(super) useless: Vec<PathBuf>,
}

/// A segment that is to be cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Torn {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) good_bytes: u64,
    pub(super) bytes: u64,
    pub(super) flaw: Flaw,
}

impl Scan {
    /// Of the directory of which `meta` tells. Calls `read` after each file of the log.
    pub(super) fn of(
        files: &dyn Files,
        dir: &Path,
        meta: Option<&Meta>,
        read: impl Fn(),
    ) -> Result<Self, StoreError> {
        let names = files.list(dir).map_err(|error| failed("listing", dir, &error))?;
        let mut scan = Scan::default();
        let mut segments = Vec::new();
        for name in names {
            match Name::parse(&name) {
                Some(Name::Segment(number)) => segments.push(number),
                Some(Name::Snapshot(partition, generation)) => {
                    scan.last_generation = scan.last_generation.max(generation);
                    scan.add_snapshot(files, dir, partition, generation)?;
                }
                None if name.ends_with(UNFINISHED) => scan.useless.push(dir.join(name)),
                None => {}
            }
        }
        segments.sort_unstable();
        scan.last_segment = segments.last().copied().unwrap_or(0);
        for number in segments {
            scan.segments.extend(Segment::read(files, dir, number)?);
            read();
        }
        scan.leave_out_unused();
        scan.judge(meta)?;
        scan.drop_headless();
        Ok(scan)
    }

    fn add_snapshot(
        &mut self,
        files: &dyn Files,
        dir: &Path,
        partition: u16,
        generation: u64,
    ) -> Result<(), StoreError> {
        let path = |generation| dir.join(Name::Snapshot(partition, generation).text());
        let newest = self.snapshots.get(&partition).map(|snapshot| snapshot.published.generation);
        if newest.is_some_and(|newest| newest > generation) {
            self.useless.push(path(generation));
            return Ok(());
        }
        let Some(read) = SnapshotFile::read(files, dir, partition, generation)? else { return Ok(()) };
        if let Some(older) = self.snapshots.insert(partition, read) {
            self.useless.push(path(older.published.generation));
        }
        Ok(())
    }

    /// Segments that were made ahead and not begun are none. One that another says it follows was begun, and is empty because it
    /// was lost.
    fn leave_out_unused(&mut self) {
        let followed: Vec<u64> =
            self.segments.iter().filter_map(|segment| segment.head).map(|head| head.epoch).collect();
        let (kept, unused) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition(|segment| segment.bytes > 0 || followed.contains(&segment.number));
        self.segments = kept;
        self.useless.extend(unused.into_iter().map(|segment: Segment| segment.path));
    }

    /// Decides what each bad spot is.
    fn judge(&mut self, meta: Option<&Meta>) -> Result<(), StoreError> {
        let of_meta = meta.map_or(0, |meta| meta.synced);
        let of_snapshots = self.snapshots.values().map(|snapshot| snapshot.synced).fold(of_meta, u64::max);
        let synced = self.segments.iter().map(|segment| segment.synced).fold(of_snapshots, u64::max);
        self.synced = synced;
        let begun = self.all_begun(meta);
        self.begun = begun.iter().copied().max_by_key(|begun| begun.segment).unwrap_or_default();
        self.last_segment = self.last_segment.max(self.begun.segment);
        let mut next_lsn = 0;
        for at in 0..self.segments.len() {
            let segment = &self.segments[at];
            let begins = segment.head.map_or_else(|| begins(&begun, segment.number, synced), |_| 0);
            let lsn = segment.ends().max(next_lsn).max(begins);
            next_lsn = lsn;
            // A segment without a head was begun, and lost. One that ends early has lost its length.
            let is_whole = segment.head.is_some()
                && !self.segments[at + 1..].iter().any(|later| has_seen_more(later, segment));
            let flaw = segment.flaw.or_else(|| (!is_whole).then_some(Flaw::Short));
            let Some(flaw) = flaw else { continue };
            if !flaw.may_be_torn() {
                return Err(damaged(&segment.path, segment.good_bytes, flaw));
            }
            let number = segment.number;
            // LSNs follow each other: nothing lies between two of which one is the next.
            let next = self.segments[at + 1..].iter().find_map(|later| later.head).map(|head| head.lsn);
            let hides_nothing = next == Some(lsn);
            let is_given_up = segment.head.is_none() && self.has_given_up(number);
            let is_no_loss = hides_nothing || is_given_up;
            if !is_no_loss && (segment.is_promised || !self.may_be_lost(lsn)) {
                return Err(damaged(&segment.path, segment.good_bytes, flaw));
            }
            if !is_no_loss && lsn >= synced {
                self.cut(at, flaw);
                break;
            }
            self.torn.push(Torn::of(&self.segments[at], flaw));
            if !hides_nothing {
                // One that may have begun anywhere ended where the next one began.
                let lost =
                    if is_given_up { next.map_or(lsn, |next| lsn.max(next.saturating_sub(1))) } else { lsn };
                self.leave_out_behind(at, lost, flaw);
            }
        }
        Ok(())
    }

    /// The segments of which any file tells that they were begun.
    fn all_begun(&self, meta: Option<&Meta>) -> Vec<Begun> {
        let own = |segment: &Segment| {
            let head = segment.head?;
            let before = Begun { segment: head.epoch, lsn: head.first };
            Some([Begun { segment: segment.number, lsn: head.lsn }, before])
        };
        let of_segments = self.segments.iter().filter_map(own).flatten();
        let of_snapshots = self.snapshots.values().map(|snapshot| snapshot.last);
        of_segments.chain(of_snapshots).chain(meta.map(|meta| meta.last)).collect()
    }

    /// Segments that were made and not begun, or not for good, hold nothing.
    fn drop_headless(&mut self) {
        let headless = self.segments.extract_if(.., |segment| segment.head.is_none());
        self.useless.extend(headless.map(|segment| segment.path));
        let Scan { segments, torn, .. } = self;
        torn.retain(|torn| segments.iter().any(|segment| segment.number == torn.number));
    }

    /// The log ends in this segment.
    fn cut(&mut self, at: usize, flaw: Flaw) {
        let behind = self.segments.split_off(at + 1);
        self.useless.extend(behind.into_iter().map(|segment| segment.path));
        let Some(segment) = self.segments.last() else { return };
        self.torn.push(Torn::of(segment, flaw));
    }

    /// The batches of a partition that count, in order.
    pub(super) fn entries(&self, partition: u16) -> impl Iterator<Item = &Entry> {
        let (covered, from_lsn) = self.begins(partition);
        let counts = move |entry: &&Entry| {
            let head = &entry.head;
            head.partition == partition && head.lsn >= from_lsn && head.end > covered
        };
        self.segments.iter().flat_map(|segment| &segment.entries).filter(counts)
    }

    /// The sequence after the last record of a partition.
    pub(super) fn log_end(&self, partition: u16) -> u64 {
        let (covered, _) = self.begins(partition);
        self.entries(partition).last().map_or(covered, |entry| entry.head.end)
    }

    fn begins(&self, partition: u16) -> (u64, u64) {
        self.snapshots
            .get(&partition)
            .map_or((0, 0), |snapshot| (snapshot.published.covered, snapshot.from_lsn))
    }

    /// What lies behind a bad spot in the same part that is not trusted does not count: what it builds on is lost. Whoever wrote there
    /// has written anew, or has not yet.
    fn leave_out_behind(&mut self, at: usize, lsn: u64, flaw: Flaw) {
        let number = self.segments[at].number;
        let Some(end) = self.distrusts().filter_map(|distrust| distrust.end_of(lsn)).max() else { return };
        let is_behind = |segment: &&mut Segment| {
            segment.number > number && segment.head.is_some_and(|head| head.lsn < end)
        };
        for segment in self.segments.iter_mut().filter(is_behind) {
            segment.entries.clear();
            segment.good_bytes = segment.head.map_or(0, |head| head.block_bytes());
            segment.flaw = None;
            self.torn.push(Torn::of(segment, flaw));
        }
    }

    fn distrusts(&self) -> impl Iterator<Item = &Distrust> {
        let of_segments = self.segments.iter().map(|segment| &segment.says.distrust);
        of_segments.chain(self.snapshots.values().map(|snapshot| &snapshot.distrust))
    }

    fn has_given_up(&self, segment: u64) -> bool {
        self.distrusts().any(|distrust| distrust.has_segment(segment))
    }

    /// Whether what has this LSN may not be on the disk, even if it can be read.
    pub(super) fn may_be_lost(&self, lsn: u64) -> bool {
        lsn >= self.synced || self.distrusts().any(|distrust| distrust.contains(lsn))
    }

    /// The first LSN that no block has had, as far as any file tells.
    pub(super) fn next_lsn(&self) -> u64 {
        let of_snapshots = self.snapshots.values().map(|snapshot| snapshot.from_lsn);
        let of_segments = self.segments.iter().map(Segment::next_lsn);
        of_snapshots.chain(of_segments).fold(self.synced.max(1), u64::max)
    }
}

/// Whether the head of a later segment says that this one ended later.
fn has_seen_more(later: &Segment, segment: &Segment) -> bool {
    later.head.is_some_and(|head| head.epoch == segment.number && head.end > segment.ends())
}

/// Where a segment begins whose head is lost; 0 if nobody knows. What was begun after all that is known to be on the disk is not.
fn begins(begun: &[Begun], segment: u64, synced: u64) -> u64 {
    let is_after_all = begun.iter().all(|begun| begun.segment < segment);
    let told = begun.iter().find(|begun| begun.segment == segment);
    told.map_or(if is_after_all { synced } else { 0 }, |begun| begun.lsn)
}

impl Torn {
    fn of(segment: &Segment, flaw: Flaw) -> Self {
        let Segment { number, path, good_bytes, bytes, .. } = segment;
        Torn { number: *number, path: path.clone(), good_bytes: *good_bytes, bytes: *bytes, flaw }
    }
}
