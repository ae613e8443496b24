//! Puts together what was read of a partition, and checks it piece by piece. Does no I/O, so that it can run on a thread for
//! blocking work.
//!
//! # Rules
//! - Every chunk of the snapshot is there, and its header says that it is the one that was asked for.
//! - Every batch begins where the one before it ended. The first may begin before the point that the snapshot covers: it
//!   is cut there.
//! - The last batch ends at the log's end, as the store knows it.

use super::codec::{CodecError, Names, decode_batch, decode_chunk};
use super::{LoadProgress, Loaded};
use crate::partition::{Image, PartitionId, Record};

/// The snapshot to restore from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Published {
    pub(super) generation: u64,
    pub(super) chunks: u64,
    pub(super) covered: u64,
    pub(super) complete: u64,
    pub(super) next_sequence: u64,
    pub(super) jobs: u64,
    pub(super) fired: u64,
    pub(super) bytes: u64,
    /// When it was published, by the store's clock; 0 if that has none.
    #[serde(skip)]
    pub(super) at_ms: u64,
}

/// What does not fit together, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Misfit {
    /// The piece that was added.
    Piece(String),
    /// The snapshot as a whole.
    Snapshot(String),
    /// The log as a whole.
    Log(String),
}

/// Grows piece by piece.
#[derive(Debug)]
pub(super) struct Assembly {
    partition: PartitionId,
    published: Option<Published>,
    log_end: u64,
    /// Whether batches past the end are allowed, because an owner is writing them.
    is_live: bool,
    names: Names,
    image: Image,
    records: Vec<Record>,
    chunks: u64,
    /// The record that has to come next.
    read_to: u64,
    has_records: bool,
    told: LoadProgress,
    bytes: u64,
}

impl Assembly {
    pub(super) fn new(
        partition: PartitionId,
        published: Option<Published>,
        log_end: u64,
        is_live: bool,
    ) -> Self {
        Assembly {
            partition,
            published,
            log_end,
            is_live,
            names: Names::new(),
            image: Image::default(),
            records: Vec::new(),
            chunks: 0,
            read_to: published.map_or(0, |published| published.covered),
            has_records: false,
            told: LoadProgress::default(),
            bytes: 0,
        }
    }

    /// What was added since this was last asked.
    pub(super) fn progress(&mut self) -> LoadProgress {
        let (jobs, records) = (self.image.jobs.len() as u64, self.records.len() as u64);
        let now = LoadProgress { jobs, records, bytes: self.bytes };
        let before = std::mem::replace(&mut self.told, now);
        LoadProgress {
            jobs: now.jobs - before.jobs,
            records: now.records.saturating_sub(before.records),
            bytes: now.bytes - before.bytes,
        }
    }

    /// Adds a chunk. Chunks come in order.
    pub(super) fn add_chunk(&mut self, number: u64, bytes: &[u8]) -> Result<(), Misfit> {
        let Some(published) = self.published else { return Ok(()) };
        let header = decode_chunk(bytes, &mut self.names, &mut self.image)?;
        let is_asked_for = header.snapshot.partition == self.partition
            && header.snapshot.generation == published.generation
            && header.snapshot.covered == published.covered
            && u64::from(header.number) == number;
        if !is_asked_for {
            return Err(Misfit::piece("it is a chunk of another snapshot"));
        }
        self.chunks += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Adds a batch, which is to be of this epoch and to end before this record. Batches come in order, after the chunks.
    pub(super) fn add_batch(&mut self, bytes: &[u8], epoch: u64, end: u64) -> Result<(), Misfit> {
        if self.is_live && self.read_to >= self.log_end {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let before = self.records.len();
        let header = decode_batch(bytes, &mut self.names, &mut self.records)?;
        let count = (self.records.len() - before) as u64;
        let ends = header.first_record.saturating_add(count);
        if (header.partition, header.epoch, ends) != (self.partition, epoch, end) {
            return Err(Misfit::piece("it is a batch that belongs elsewhere"));
        }
        let known = self.read_to.saturating_sub(header.first_record);
        if known > 0 && self.has_records {
            return Err(Misfit::piece(&format!("it has record {} once more", header.first_record)));
        }
        if header.first_record > self.read_to {
            let (from, to) = (self.read_to, header.first_record);
            return Err(Misfit::piece(&format!("the records {from} to {to} before it are missing")));
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
    pub(super) fn finish(mut self) -> Result<Loaded, Misfit> {
        let (read_to, log_end) = (self.read_to, self.log_end);
        if read_to != log_end {
            return Err(Misfit::Log(format!(
                "it ends before record {read_to}, and should end before {log_end}"
            )));
        }
        let mut complete = 0;
        if let Some(published) = self.published {
            let found = (self.chunks, self.image.jobs.len() as u64, self.image.fired.len() as u64);
            if found != (published.chunks, published.jobs, published.fired) {
                let jobs = published.jobs;
                return Err(Misfit::Snapshot(format!("it has {jobs} jobs, and {} were found", found.1)));
            }
            complete = published.complete;
            self.image.next_sequence = self.image.next_sequence.max(published.next_sequence);
        }
        let covered = self.log_end - self.records.len() as u64;
        Ok(Loaded { image: self.image, covered, complete: complete.max(covered), records: self.records })
    }
}

impl Misfit {
    pub(super) fn piece(problem: &str) -> Self {
        Misfit::Piece(problem.to_owned())
    }
}

impl From<CodecError> for Misfit {
    fn from(error: CodecError) -> Self {
        Misfit::Piece(error.to_string())
    }
}
