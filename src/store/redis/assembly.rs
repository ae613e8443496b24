//! Puts together what was read, and checks it piece by piece. Does no I/O, so that it can run on a thread for blocking work.
//!
//! # Rules
//! - Every chunk of the snapshot is there, and its header says that it is the requested one.
//! - Every batch begins where the one before it ended. The first may begin before the point that the snapshot covers: it
//!   is cut there.
//! - The last batch ends at the tail that `:m` names.
//! - Inconsistent data is refused, by the name of its key, and nothing is changed.

use redis::Value;

use super::keys::Keys;
use super::meta::{Meta, Published};
use crate::partition::{Image, Record};
use crate::store::codec::{CodecError, Names, decode_batch, decode_chunk};
use crate::store::{LoadProgress, Loaded, StoreError};

/// A part of a partition, as Redis gave it.
#[derive(Debug)]
pub(super) enum Piece {
    /// Chunks, from this number on.
    Chunks(u64, Vec<Value>),
    /// Entries of the log.
    Entries(Vec<Entry>),
}

/// An entry of the log. Its id is `<epoch>-<record after its last>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    /// `None` if its fields are not ours.
    pub(super) batch: Option<Vec<u8>>,
}

/// Grows piece by piece.
#[derive(Debug)]
pub(super) struct Assembly {
    keys: Keys,
    published: Option<Published>,
    log_end: u64,
    /// Whether entries past the end are allowed, because an owner is writing them.
    is_live: bool,
    names: Names,
    image: Image,
    records: Vec<Record>,
    chunks: u64,
    /// The record that has to come next.
    read_to: u64,
    has_records: bool,
}

impl Assembly {
    pub(super) fn new(keys: Keys, meta: &Meta, is_live: bool) -> Self {
        Assembly {
            keys,
            published: meta.snapshot,
            log_end: meta.log_end,
            is_live,
            names: Names::new(),
            image: Image::default(),
            records: Vec::new(),
            chunks: 0,
            read_to: meta.covered(),
            has_records: false,
        }
    }

    /// Adds a piece. Pieces come in order.
    pub(super) fn add(&mut self, piece: Piece) -> Result<LoadProgress, StoreError> {
        let (jobs, records) = (self.image.jobs.len(), self.records.len());
        let mut bytes = 0;
        match piece {
            Piece::Chunks(first, chunks) => {
                for (number, chunk) in (first..).zip(chunks) {
                    bytes += self.add_chunk(number, chunk)?;
                }
            }
            Piece::Entries(entries) => {
                for entry in entries {
                    bytes += entry.batch.as_ref().map_or(0, Vec::len);
                    self.add_entry(&entry)?;
                }
            }
        }
        Ok(LoadProgress {
            jobs: (self.image.jobs.len() - jobs) as u64,
            records: (self.records.len() - records) as u64,
            bytes: bytes as u64,
        })
    }

    fn add_chunk(&mut self, number: u64, chunk: Value) -> Result<usize, StoreError> {
        let Some(published) = self.published else { return Ok(0) };
        let key = self.keys.chunk(published.generation, number);
        let bytes = match chunk {
            Value::BulkString(bytes) => bytes,
            Value::Nil => return Err(self.misfit(&key, "it is missing")),
            _ => return Err(super::answer::foreign(&key)),
        };
        let header = decode_chunk(&bytes, &mut self.names, &mut self.image)
            .map_err(|error| self.undecodable(&key, &error))?;
        let is_asked_for = header.snapshot.partition == self.keys.partition()
            && header.snapshot.generation == published.generation
            && header.snapshot.covered == published.covered
            && u64::from(header.number) == number;
        if !is_asked_for {
            return Err(self.misfit(&key, "it is a chunk of another snapshot"));
        }
        self.chunks += 1;
        Ok(bytes.len())
    }

    fn add_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if self.is_live && self.read_to >= self.log_end {
            return Ok(());
        }
        let key = format!("{}` (entry {})", self.keys.log(), entry.id);
        let Some(bytes) = &entry.batch else {
            return Err(self.misfit(&key, "it is not a batch of Reveille"));
        };
        let before = self.records.len();
        let header = decode_batch(bytes, &mut self.names, &mut self.records)
            .map_err(|error| self.undecodable(&key, &error))?;
        let count = (self.records.len() - before) as u64;
        let end = header.first_record.saturating_add(count);
        if header.partition != self.keys.partition() || entry.id != format!("{}-{end}", header.epoch) {
            return Err(self.misfit(&key, "it is a batch that belongs elsewhere"));
        }
        let known = self.read_to.saturating_sub(header.first_record);
        if known > 0 && self.has_records {
            return Err(self.misfit(&key, &format!("it has record {} once more", header.first_record)));
        }
        if header.first_record > self.read_to {
            let (from, to) = (self.read_to, header.first_record);
            return Err(self.misfit(&key, &format!("the records {from} to {to} before it are missing")));
        }
        // Cut off the part of the first one that the snapshot covers.
        let known = usize::try_from(known.min(count)).unwrap_or(usize::MAX);
        self.records.drain(before..before.saturating_add(known).min(self.records.len()));
        if end > self.read_to {
            self.read_to = end;
            self.has_records = true;
        }
        Ok(())
    }

    /// All pieces are there.
    pub(super) fn finish(mut self) -> Result<Loaded, StoreError> {
        let (meta, log) = (self.keys.meta(), self.keys.log());
        if self.read_to != self.log_end {
            let says = format!("it ends before record {}, and `{meta}` says {}", self.read_to, self.log_end);
            return Err(self.misfit(&format!("{log}`"), &says));
        }
        let mut complete = 0;
        if let Some(published) = self.published {
            let found = (self.chunks, self.image.jobs.len() as u64, self.image.fired.len() as u64);
            if found != (published.chunks, published.jobs, published.fired) {
                let says = format!("the snapshot has {} jobs, and {} were found", published.jobs, found.1);
                return Err(self.misfit(&format!("{meta}`"), &says));
            }
            complete = published.complete;
            self.image.next_sequence = self.image.next_sequence.max(published.next_sequence);
        }
        let covered = self.log_end - self.records.len() as u64;
        Ok(Loaded { image: self.image, covered, complete: complete.max(covered), records: self.records })
    }

    fn misfit(&self, key: &str, problem: &str) -> StoreError {
        let end = if key.contains('`') { "" } else { "`" };
        StoreError::fatal(format!(
            "what Redis holds of partition {} does not fit together: `{key}{end}: {problem}. Nothing was loaded or \
             changed. {}",
            self.keys.partition().0,
            self.keys.ways_out()
        ))
    }

    fn undecodable(&self, key: &str, error: &CodecError) -> StoreError {
        self.misfit(key, &error.to_string())
    }
}
