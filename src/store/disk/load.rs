//! Reading a partition: the chunks of its snapshot, and its batches in the log after that. A piece at a time, on a thread for
//! blocking work; everything that is read is checked.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Core;
use super::block::{self, Flaw, HEAD_BYTES, Head, Kind};
use super::errors::{damaged, failed, misfit};
use super::files::File;
use super::scan::Scan;
use super::segment::Entry;
use super::snapshot::blocking;
use super::snapshot_file::ABOUT_BYTES;
use crate::partition::PartitionId;
use crate::store::assembly::{Assembly, Misfit, Published};
use crate::store::{Grant, LoadTold, Loaded, StoreError};

/// How much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

impl Core {
    pub(super) async fn load(self: &Arc<Self>, grant: &Grant, told: &LoadTold) -> Result<Loaded, StoreError> {
        let (core, its) = (Arc::clone(self), grant.clone());
        let mut reading = blocking(move || core.begin_load(&its)).await?;
        loop {
            let (read, is_more) = blocking(move || {
                let is_more = reading.piece()?;
                Ok((reading, is_more))
            })
            .await?;
            reading = read;
            told(reading.assembly.progress());
            if !is_more {
                break;
            }
        }
        let mut state = self.state.lock();
        self.held(&mut state, grant)?;
        reading.finish()
    }

    fn begin_load(&self, grant: &Grant) -> Result<Reading, StoreError> {
        let found = {
            let mut state = self.state.lock();
            let held = self.held(&mut state, grant)?;
            held.partition.relied_on(grant.partition)?;
            held.partition.found.take()
        };
        let entries = match found {
            Some(entries) => entries,
            None => {
                let scan = Scan::of(&*self.config.files, self.config.path(), None, || {})?;
                scan.entries(grant.partition.0).copied().collect()
            }
        };
        let mut state = self.state.lock();
        let held = self.held(&mut state, grant)?;
        let open = |number: &u64| {
            let segment = held.log.segments.get(number)?;
            Some((*number, (segment.path.clone(), Arc::clone(&segment.file))))
        };
        let numbers: std::collections::BTreeSet<u64> = entries.iter().map(|entry| entry.segment).collect();
        let segments = numbers.iter().filter_map(open).collect();
        let (snapshot, log_end) = (held.partition.snapshot.clone(), held.partition.log_end);
        drop(state);
        let snapshot = snapshot.map(|(path, published)| {
            let file =
                self.config.files.open(&path, false).map_err(|error| failed("opening", &path, &error))?;
            Ok((path, published, file))
        });
        Reading::new(grant.partition, snapshot.transpose()?, segments, entries, log_end, false)
    }
}

/// A snapshot's file.
type OpenSnapshot = (PathBuf, Published, Box<dyn File>);

/// The segments that batches lie in.
pub(super) type OpenSegments = BTreeMap<u64, (PathBuf, Arc<dyn File>)>;

/// A partition that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) assembly: Assembly,
    chunks: Option<Chunks>,
    segments: OpenSegments,
    entries: std::vec::IntoIter<Entry>,
    buffer: Vec<u8>,
    /// For messages about the whole.
    snapshot_path: Option<PathBuf>,
}

/// The chunks of a snapshot that were not read yet.
#[derive(Debug)]
struct Chunks {
    path: PathBuf,
    file: Box<dyn File>,
    offset: u64,
    bytes: u64,
    next: u64,
    held: Vec<u8>,
}

impl Reading {
    pub(super) fn new(
        partition: PartitionId,
        snapshot: Option<OpenSnapshot>,
        segments: OpenSegments,
        entries: Vec<Entry>,
        log_end: u64,
        is_live: bool,
    ) -> Result<Self, StoreError> {
        let published = snapshot.as_ref().map(|(_, published, _)| *published);
        let snapshot_path = snapshot.as_ref().map(|(path, ..)| path.clone());
        let chunks = snapshot.map(|(path, _, file)| {
            let bytes = file.bytes().map_err(|error| failed("reading", &path, &error))?;
            Ok(Chunks { path, file, offset: ABOUT_BYTES, bytes, next: 0, held: Vec::new() })
        });
        Ok(Reading {
            assembly: Assembly::new(partition, published, log_end, is_live),
            chunks: chunks.transpose()?,
            segments,
            entries: entries.into_iter(),
            buffer: Vec::new(),
            snapshot_path,
        })
    }

    /// Reads a piece; `false` if that was the last.
    pub(super) fn piece(&mut self) -> Result<bool, StoreError> {
        if let Some(chunks) = &mut self.chunks {
            if chunks.piece(&mut self.assembly)? {
                return Ok(true);
            }
            self.chunks = None;
        }
        let mut bytes = 0;
        while bytes < PIECE_BYTES {
            let Some(entry) = self.entries.next() else { return Ok(false) };
            bytes += self.add(&entry)?;
        }
        Ok(true)
    }

    fn add(&mut self, entry: &Entry) -> Result<usize, StoreError> {
        let Some((path, file)) = self.segments.get(&entry.segment) else {
            let segment = entry.segment;
            return Err(StoreError::retry(format!(
                "segment {segment} of the log was removed while it was read"
            )));
        };
        let bytes = usize::try_from(entry.head.block_bytes()).unwrap_or(usize::MAX);
        self.buffer.resize(bytes, 0);
        let read =
            file.read_at(&mut self.buffer, entry.offset).map_err(|error| failed("reading", path, &error))?;
        let block = block::read(&self.buffer[..read]);
        let (head, frame) = block.map_err(|flaw| damaged(path, entry.offset, flaw))?;
        let added = self.assembly.add_batch(frame, head.epoch, head.end);
        added.map_err(|misfit| refusal(path, Some(entry.offset), misfit))?;
        Ok(bytes)
    }

    /// All pieces are there.
    pub(super) fn finish(self) -> Result<Loaded, StoreError> {
        let log = self.segments.values().next_back().map(|(path, _)| path.clone());
        let path = self.snapshot_path.or(log).unwrap_or_default();
        self.assembly.finish().map_err(|misfit| refusal(&path, None, misfit))
    }
}

impl Chunks {
    /// Reads a piece; `false` if there is none.
    fn piece(&mut self, assembly: &mut Assembly) -> Result<bool, StoreError> {
        if self.offset >= self.bytes {
            return Ok(false);
        }
        self.fill(PIECE_BYTES)?;
        let mut at = 0;
        loop {
            let (offset, rest) = (self.offset + at as u64, &self.held[at..]);
            match block::read(rest) {
                Ok((head, frame)) => {
                    check_chunk(&self.path, offset, &head, self.next)?;
                    let added = assembly.add_chunk(self.next, frame);
                    added.map_err(|misfit| refusal(&self.path, Some(offset), misfit))?;
                    at += HEAD_BYTES + frame.len();
                    self.next += 1;
                }
                // The rest of it comes with the next piece.
                Err(Flaw::Short) if at > 0 => break,
                Err(Flaw::Short) if self.held.len() as u64 >= self.bytes - self.offset => {
                    return Err(damaged(&self.path, offset, Flaw::Short));
                }
                // It is longer than a piece.
                Err(Flaw::Short) => {
                    let room = self.held.len() * 2;
                    self.fill(room)?;
                }
                Err(flaw) => return Err(damaged(&self.path, offset, flaw)),
            }
            if at == self.held.len() {
                break;
            }
        }
        self.offset += at as u64;
        Ok(true)
    }

    fn fill(&mut self, bytes: usize) -> Result<(), StoreError> {
        let left = usize::try_from(self.bytes - self.offset).unwrap_or(usize::MAX);
        self.held.resize(bytes.min(left), 0);
        let read = self.file.read_at(&mut self.held, self.offset);
        let read = read.map_err(|error: io::Error| failed("reading", &self.path, &error))?;
        self.held.truncate(read);
        if read == 0 {
            return Err(damaged(&self.path, self.offset, Flaw::Short));
        }
        Ok(())
    }
}

fn check_chunk(path: &std::path::Path, offset: u64, head: &Head, number: u64) -> Result<(), StoreError> {
    if (head.kind, head.first) == (Kind::Chunk, number) {
        return Ok(());
    }
    Err(misfit(path, Some(offset), &format!("chunk {number} is expected there")))
}

fn refusal(path: &std::path::Path, offset: Option<u64>, misfit_: Misfit) -> StoreError {
    let (Misfit::Piece(problem) | Misfit::Snapshot(problem) | Misfit::Log(problem)) = misfit_;
    misfit(path, offset, &problem)
}
