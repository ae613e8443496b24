//! Segments: the files of the log. All partitions write to one, batch behind batch, so that one sync does for all of them.
//!
//! A segment is read from its head to the first bad spot. What a bad spot means, `scan` decides.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::{self, Flaw, HEAD_BYTES, Head, Kind};
use super::distrust::Distrust;
use super::errors::failed;
use super::files::{File, Files};
use super::names::Name;
use crate::store::StoreError;

/// How much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Where a batch lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The number of the segment.
    pub(super) segment: u64,
    /// Where its block begins.
    pub(super) offset: u64,
    pub(super) head: Head,
}

/// What the head of a segment says, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Says {
    /// Of the log before it.
    pub(super) distrust: Distrust,
    /// Before which LSN it ended, when it was written anew with less in it; or 0.
    #[serde(default)]
    pub(super) ended: u64,
}

impl Says {
    /// Adds the block. `false` if it cannot be told, which cannot be.
    pub(super) fn write(&self, head: Head, block: &mut Vec<u8>) -> bool {
        serde_json::to_vec(self).is_ok_and(|body| head.write(&body, block))
    }
}

/// A segment, read to its end or to the first bad spot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Its head; `None` if there is none that can be read.
    pub(super) head: Option<Head>,
    pub(super) says: Says,
    pub(super) entries: Vec<Entry>,
    /// Where its last good block ends.
    pub(super) good_bytes: u64,
    /// How many bytes the file has.
    pub(super) bytes: u64,
    /// What is wrong behind that.
    pub(super) flaw: Option<Flaw>,
    /// Its head cannot be read, and was on the disk once: a batch behind it says so of one before.
    pub(super) is_promised: bool,
    /// The highest `synced` that any block of it tells, also behind the bad spot.
    pub(super) synced: u64,
}

impl Segment {
    /// Reads a segment; `None` if it is gone.
    pub(super) fn read(files: &dyn Files, dir: &Path, number: u64) -> Result<Option<Self>, StoreError> {
        let path = dir.join(Name::Segment(number).text());
        let reading = |error: io::Error| failed("reading", &path, &error);
        let file = match files.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(reading)?,
        };
        let bytes = file.bytes().map_err(reading)?;
        let mut segment = Segment {
            number,
            path: path.clone(),
            head: None,
            says: Says::default(),
            entries: Vec::new(),
            good_bytes: 0,
            bytes,
            flaw: None,
            is_promised: false,
            synced: 0,
        };
        let mut window = Window::new(&*file, bytes);
        segment.flaw = loop {
            if segment.good_bytes == bytes {
                break None;
            }
            match segment.next(&mut window).map_err(reading)? {
                Ok(head) => segment.good_bytes += head.block_bytes(),
                Err(flaw) => break Some(flaw),
            }
        };
        if segment.flaw.is_some() {
            let behind = window.behind(&segment).map_err(reading)?;
            segment.synced = segment.synced.max(behind.synced);
            segment.is_promised = segment.head.is_none() && behind.first_lsn < behind.synced;
        }
        Ok(Some(segment))
    }

    /// Takes the block at the end of what was read.
    fn next(&mut self, window: &mut Window<'_>) -> io::Result<Result<Head, Flaw>> {
        let offset = self.good_bytes;
        let head = match Head::read(window.at(offset, HEAD_BYTES)?) {
            Ok(head) => head,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let block = window.at(offset, HEAD_BYTES + head.body_bytes as usize)?;
        if let Err(flaw) = head.fits(&block[HEAD_BYTES..]) {
            return Ok(Err(flaw));
        }
        let is_first = self.head.is_none();
        if (head.kind == Kind::Segment) != is_first || (!is_first && head.kind != Kind::Batch) {
            return Ok(Err(Flaw::NotOurs));
        }
        if head.lsn < self.next_lsn() {
            return Ok(Err(Flaw::Corrupt));
        }
        self.synced = self.synced.max(head.synced);
        if is_first {
            let Ok(says) = serde_json::from_slice(&block[HEAD_BYTES..]) else {
                return Ok(Err(Flaw::NotOurs));
            };
            (self.head, self.says) = (Some(head), says);
        } else {
            self.entries.push(Entry { segment: self.number, offset, head });
        }
        Ok(Ok(head))
    }

    /// The LSN before which it ends.
    pub(super) fn ends(&self) -> u64 {
        self.next_lsn().max(self.says.ended)
    }

    /// The least LSN that its next block can have.
    pub(super) fn next_lsn(&self) -> u64 {
        match (self.entries.last(), self.head) {
            (Some(last), _) => last.head.lsn + 1,
            (None, Some(head)) => head.lsn,
            (None, None) => 0,
        }
    }
}

/// A piece of a file that moves forward.
struct Window<'a> {
    file: &'a dyn File,
    bytes: u64,
    from: u64,
    held: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File, bytes: u64) -> Self {
        Window { file, bytes, from: 0, held: Vec::new() }
    }

    /// So many bytes from `offset` on, or as many as there are.
    fn at(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let bytes = usize::try_from((self.bytes - offset).min(bytes as u64)).unwrap_or(usize::MAX);
        let end = self.from + self.held.len() as u64;
        if offset < self.from || offset + bytes as u64 > end {
            let room = (self.bytes - offset).min(bytes.max(PIECE_BYTES) as u64);
            self.held.resize(usize::try_from(room).unwrap_or(usize::MAX), 0);
            let read = self.file.read_at(&mut self.held, offset)?;
            self.held.truncate(read);
            self.from = offset;
        }
        let at = usize::try_from(offset - self.from).unwrap_or(usize::MAX);
        Ok(&self.held[at..self.held.len().min(at + bytes)])
    }

    /// What the blocks behind the bad spot tell. Payloads may hold what looks like one, so only those count that can lie there.
    fn behind(&mut self, segment: &Segment) -> io::Result<Behind> {
        let mut behind = Behind { synced: 0, first_lsn: u64::MAX };
        let (mut offset, first_lsn) = (segment.good_bytes, segment.next_lsn());
        while offset < self.bytes {
            let piece = self.at(offset, PIECE_BYTES)?;
            let room = (offset - segment.good_bytes + piece.len() as u64) / HEAD_BYTES as u64;
            // Where a segment begins whose head is gone, nobody knows here.
            let lsn_max = if segment.head.is_some() { first_lsn + room } else { u64::MAX };
            let is_likely = |head: &Head| {
                head.kind == Kind::Batch
                    && (first_lsn..=lsn_max).contains(&head.lsn)
                    && head.synced <= head.lsn
            };
            for head in block::find(piece).filter(is_likely) {
                behind.synced = behind.synced.max(head.synced);
                behind.first_lsn = behind.first_lsn.min(head.lsn);
            }
            if piece.len() < PIECE_BYTES {
                break;
            }
            // A head may lie across the end of the piece.
            offset += (PIECE_BYTES - HEAD_BYTES) as u64;
        }
        Ok(behind)
    }
}

/// What lies behind a bad spot: the highest `synced`, and the lowest LSN.
struct Behind {
    synced: u64,
    first_lsn: u64,
}
