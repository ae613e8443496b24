//! Puts together what Redis gave, and names the key of what does not fit: see [`store::assembly`](crate::store::assembly).
//!
//! Inconsistent data is refused, and nothing is changed.

use redis::Value;

use super::answer::foreign;
use super::keys::Keys;
use super::meta::Meta;
use crate::store::assembly::{self, Misfit};
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
    /// Of the snapshot.
    generation: u64,
    parts: assembly::Assembly,
}

impl Assembly {
    pub(super) fn new(keys: Keys, meta: &Meta, is_live: bool) -> Self {
        let generation = meta.snapshot.map_or(0, |published| published.generation);
        let parts = assembly::Assembly::new(keys.partition(), meta.snapshot, meta.log_end, is_live);
        Assembly { keys, generation, parts }
    }

    /// Adds a piece. Pieces come in order.
    pub(super) fn add(&mut self, piece: Piece) -> Result<LoadProgress, StoreError> {
        match piece {
            Piece::Chunks(first, chunks) => {
                for (number, chunk) in (first..).zip(chunks) {
                    self.add_chunk(number, chunk)?;
                }
            }
            Piece::Entries(entries) => entries.iter().try_for_each(|entry| self.add_entry(entry))?,
        }
        Ok(self.parts.progress())
    }

    fn add_chunk(&mut self, number: u64, chunk: Value) -> Result<(), StoreError> {
        let key = self.keys.chunk(self.generation, number);
        let added = match chunk {
            Value::BulkString(bytes) => self.parts.add_chunk(number, &bytes),
            Value::Nil => Err(Misfit::piece("it is missing")),
            _ => return Err(foreign(&key)),
        };
        added.map_err(|misfit| self.misfit(&key, misfit))
    }

    fn add_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let added = match (&entry.batch, ids(&entry.id)) {
            (None, _) => Err(Misfit::piece("it is not a batch of Reveille")),
            (_, None) => Err(Misfit::piece("it is a batch that belongs elsewhere")),
            (Some(bytes), Some((epoch, end))) => self.parts.add_batch(bytes, epoch, end),
        };
        added.map_err(|misfit| {
            let key = format!("{}` (entry {})", self.keys.log(), entry.id);
            self.misfit(&key, misfit)
        })
    }

    /// All pieces are there.
    pub(super) fn finish(self) -> Result<Loaded, StoreError> {
        let Assembly { keys, parts, .. } = self;
        parts.finish().map_err(|misfit| refusal(&keys, "", misfit))
    }

    fn misfit(&self, key: &str, misfit: Misfit) -> StoreError {
        refusal(&self.keys, key, misfit)
    }
}

/// Epoch and end, as the id of an entry has them.
fn ids(id: &str) -> Option<(u64, u64)> {
    let (epoch, end) = id.split_once('-')?;
    Some((epoch.parse().ok()?, end.parse().ok()?))
}

fn refusal(keys: &Keys, piece: &str, misfit: Misfit) -> StoreError {
    let (key, problem) = match misfit {
        Misfit::Piece(problem) => (piece.to_owned(), problem),
        Misfit::Snapshot(problem) => (keys.meta(), format!("of the snapshot that it names, {problem}")),
        Misfit::Log(problem) => (keys.log(), problem),
    };
    let end = if key.contains('`') { "" } else { "`" };
    StoreError::fatal(format!(
        "what Redis holds of partition {} does not fit together: `{key}{end}: {problem}. Nothing was loaded or changed. {}",
        keys.partition().0,
        keys.ways_out()
    ))
}
