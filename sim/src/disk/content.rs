//! What is in a file: as readers see it, as the disk surely has it, and all that the disk may have got in between.
//!
//! # Rules
//! - A write changes what is read, and makes its pages unsynced. The disk may have got any version of such a page since
//!   the last sync, whatever it got of other pages.
//! - The length is journalled: the disk has one of those that the file had since the last sync. A page that was cut off
//!   by a length that the disk has shows nothing from before.
//! - After a good sync the disk has what is read. After a failed one each unsynced page was written or not, and counts as
//!   written: readers see it until it is evicted, and no later sync writes it, unless it is changed again.

use std::collections::{BTreeMap, BTreeSet};

/// What is written as a whole.
pub(super) const PAGE: usize = 4_096;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// As it is read.
    seen: Vec<u8>,
    /// As the disk surely has it. It may have more than the length it knows.
    kept: Vec<u8>,
    kept_len: usize,
    /// The changes of the length since the last good sync, with the number of the operation.
    lengths: Vec<(u64, usize)>,
    /// The versions of pages that are not on the disk yet, oldest first.
    unsynced: BTreeMap<usize, Vec<Version>>,
    /// Pages that count as written, and are not.
    dropped: BTreeSet<usize>,
    operations: u64,
}

#[derive(Debug)]
struct Version {
    operation: u64,
    bytes: Vec<u8>,
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn read(&self, into: &mut [u8], offset: usize) -> usize {
        let from = self.seen.get(offset..).unwrap_or_default();
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        self.operations += 1;
        let end = offset + bytes.len();
        let was = self.seen.len();
        if end > was {
            self.seen.resize(end, 0);
            self.lengths.push((self.operations, end));
        }
        self.seen[offset..end].copy_from_slice(bytes);
        // What was between the end and `offset` is zeros, and no page that has to be written.
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.touch(page);
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len == self.seen.len() {
            return;
        }
        self.operations += 1;
        self.seen.resize(len, 0);
        self.lengths.push((self.operations, len));
        if !len.is_multiple_of(PAGE) {
            // What follows the end in its page is made zeros.
            self.touch(len / PAGE);
        }
        self.dropped.retain(|page| page * PAGE < len);
    }

    fn touch(&mut self, page: usize) {
        let version = Version { operation: self.operations, bytes: part(&self.seen, page) };
        self.unsynced.entry(page).or_default().push(version);
        self.dropped.remove(&page);
    }

    /// Whether there is anything to sync.
    pub(super) fn is_synced(&self) -> bool {
        self.unsynced.is_empty() && self.lengths.is_empty()
    }

    /// Everything that counts as unsynced is on the disk.
    pub(super) fn sync(&mut self) {
        let dropped: Vec<_> = self.dropped.iter().map(|&page| (page, part(&self.kept, page))).collect();
        self.kept.clone_from(&self.seen);
        for (page, bytes) in dropped {
            put(&mut self.kept, page, &bytes);
        }
        self.kept_len = self.seen.len();
        self.lengths.clear();
        self.unsynced.clear();
    }

    /// A sync fails: each unsynced page is written, or counts as if it were.
    pub(super) fn fail_sync(&mut self, rng: &mut fastrand::Rng) {
        let drops_all = rng.bool();
        for (page, versions) in std::mem::take(&mut self.unsynced) {
            if drops_all || rng.bool() {
                self.dropped.insert(page);
            } else if let Some(last) = versions.last() {
                if self.kept.len() < page * PAGE + last.bytes.len() {
                    self.kept.resize(page * PAGE + last.bytes.len(), 0);
                }
                put(&mut self.kept, page, &last.bytes);
            }
        }
        // Cut off since: there is nothing to write.
        let len = self.seen.len();
        self.dropped.retain(|page| page * PAGE < len);
    }

    /// The system takes pages that count as written out of its memory: what is read is what the disk has.
    pub(super) fn evict(&mut self, rng: &mut fastrand::Rng) {
        let evicted: Vec<usize> = self.dropped.iter().copied().filter(|_| rng.bool()).collect();
        for page in evicted {
            self.dropped.remove(&page);
            let bytes = part(&self.kept, page);
            put(&mut self.seen, page, &bytes);
        }
    }

    /// Power is lost: what is read from here on is what the disk has.
    pub(super) fn lose_power(&mut self, rng: &mut fastrand::Rng) {
        // Nothing of what was not synced is there, all of it, or any part.
        let extent = rng.u8(..4);
        let chosen = match extent {
            0 => 0,
            1 => self.lengths.len(),
            _ => rng.usize(..=self.lengths.len()),
        };
        let (at, len) = match chosen.checked_sub(1) {
            Some(last) => self.lengths[last],
            None => (0, self.kept_len),
        };
        let mut left = vec![0; len];
        for page in 0..len.div_ceil(PAGE) {
            let (after, before) = self.cut_off(page, at);
            let first = if after > 0 { Vec::new() } else { part(&self.kept, page) };
            let versions = self.unsynced.get(&page).into_iter().flatten();
            let versions = versions.filter(|version| version.operation > after && version.operation < before);
            let choices: Vec<&[u8]> = std::iter::once(first.as_slice())
                .chain(versions.map(|version| version.bytes.as_slice()))
                .collect();
            let choice = match extent {
                0 => 0,
                1 => choices.len() - 1,
                _ => rng.usize(..choices.len()),
            };
            put(&mut left, page, choices[choice]);
            if choice > 0 && rng.u8(..4) == 0 {
                // Torn: it ends as it was before.
                let mut end = vec![0; PAGE];
                end[..choices[choice - 1].len()].copy_from_slice(choices[choice - 1]);
                let torn =
                    if rng.u8(..8) == 0 { rng.usize(..PAGE) } else { rng.usize(..PAGE / SECTOR) * SECTOR };
                put_from(&mut left, page * PAGE + torn, &end[torn..]);
            }
        }
        *self = Content { seen: left.clone(), kept: left, kept_len: len, ..Content::default() };
    }

    /// The operations between which a page's versions have to lie, if the disk has the length of operation `at`: after the last cut
    /// that it has, and before the first one that it has not.
    fn cut_off(&self, page: usize, at: u64) -> (u64, u64) {
        let cuts =
            self.lengths.iter().filter(|(_, len)| *len <= page * PAGE).map(|(operation, _)| *operation);
        let (mut after, mut before) = (0, u64::MAX);
        for cut in cuts {
            if cut <= at {
                after = after.max(cut);
            } else {
                before = before.min(cut);
            }
        }
        (after, before)
    }
}

/// What is in a page.
fn part(bytes: &[u8], page: usize) -> Vec<u8> {
    let from = (page * PAGE).min(bytes.len());
    bytes[from..(from + PAGE).min(bytes.len())].to_vec()
}

/// Puts this into a page, and zeros after it, as far as there is room.
fn put(bytes: &mut [u8], page: usize, content: &[u8]) {
    let mut whole = vec![0; PAGE];
    whole[..content.len()].copy_from_slice(content);
    put_from(bytes, page * PAGE, &whole);
}

fn put_from(bytes: &mut [u8], offset: usize, content: &[u8]) {
    let from = offset.min(bytes.len());
    let count = content.len().min(bytes.len() - from);
    bytes[from..from + count].copy_from_slice(&content[..count]);
}
