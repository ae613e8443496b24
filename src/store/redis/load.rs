//! Reading a partition: `:m`, the chunks of its snapshot, and the log after it.
//!
//! One piece of about a megabyte is fetched while the one before it is decoded, on a thread for blocking work.
//! Everything that is read is checked: see `assembly`.

use redis::{Cmd, Pipeline, Value};

use super::Core;
use super::answer::{behind, foreign};
use super::assembly::{Assembly, Entry, Piece};
use super::errors::Doing;
use super::keys::Keys;
use super::known::Kept;
use super::link::Link;
use super::meta::Meta;
use crate::rt::Runtime;
use crate::store::codec::FRAME_BYTES_IDEAL;
use crate::store::{Grant, LoadTold, Loaded, StoreError, StoreErrorClass};

/// How much is asked for at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Chunks in a piece.
const CHUNKS_MAX: u64 = (PIECE_BYTES / FRAME_BYTES_IDEAL) as u64;

/// Entries in a piece, where they are small. Those behind them may be large.
const ENTRIES_MAX: usize = 256;

impl Core {
    pub(super) async fn load(&self, grant: &Grant, told: &LoadTold) -> Result<Loaded, StoreError> {
        let keys = self.keys(grant.partition);
        let before = self.owned(&keys, grant).await?;
        let loaded = read(&self.control, &keys, &before, false, told).await;
        // Another owner removes what is no longer needed while it is being read: that is not damage.
        let after = self.owned(&keys, grant).await?;
        if loaded.is_ok() && (after.log_end, after.snapshot) != (before.log_end, before.snapshot) {
            let partition = grant.partition.0;
            return Err(StoreError::retry(format!("partition {partition} was written to while it was read")));
        }
        if loaded.is_ok() {
            self.known.keeps(grant, Kept::of(&before));
        }
        loaded
    }

    async fn owned(&self, keys: &Keys, grant: &Grant) -> Result<Meta, StoreError> {
        let Some(meta) = Meta::read(&self.control, keys).await? else {
            let (partition, key) = (grant.partition.0, keys.meta());
            return Err(behind(format!("Redis has lost partition {partition}: `{key}` is gone")));
        };
        meta.check(grant)?;
        Ok(meta)
    }
}

/// Reads what `meta` names. With `is_live` an owner may be writing to it: entries past the tail are left out.
pub(super) async fn read(
    link: &Link,
    keys: &Keys,
    meta: &Meta,
    is_live: bool,
    told: &LoadTold,
) -> Result<Loaded, StoreError> {
    let ended = || StoreError::retry("the runtime ended in the middle of a load");
    let runtime = Runtime::current().ok_or_else(ended)?;
    let mut assembly = Assembly::new(keys.clone(), meta, is_live);
    let mut source = Source::new(link, keys, meta);
    let mut fetched = source.next().await?;
    while let Some(piece) = fetched {
        let decoding = runtime.run_blocking(move || {
            let added = assembly.add(piece);
            (assembly, added)
        });
        let (next, decoded) = tokio::join!(biased; source.next(), decoding);
        let (grown, added) = decoded.ok_or_else(ended)?;
        told(added?);
        assembly = grown;
        fetched = next?;
    }
    assembly.finish()
}

/// Gives the pieces, in order.
struct Source<'a> {
    link: &'a Link,
    keys: &'a Keys,
    generation: u64,
    chunks: std::ops::Range<u64>,
    /// After which entry the next piece begins; `None` once all are there.
    after: Option<String>,
    entries_next: usize,
}

impl<'a> Source<'a> {
    fn new(link: &'a Link, keys: &'a Keys, meta: &Meta) -> Self {
        let (generation, chunks) =
            meta.snapshot.map_or((0, 0), |snapshot| (snapshot.generation, snapshot.chunks));
        let after = Some(meta.log_from.clone().unwrap_or_else(|| "-".to_owned()));
        let entries_next = PIECE_BYTES / FRAME_BYTES_IDEAL;
        Source { link, keys, generation, chunks: 0..chunks, after, entries_next }
    }

    async fn next(&mut self) -> Result<Option<Piece>, StoreError> {
        if self.chunks.is_empty() {
            return Ok(self.entries().await?.map(Piece::Entries));
        }
        let first = self.chunks.start;
        let end = self.chunks.end.min(first + CHUNKS_MAX);
        self.chunks.start = end;
        self.chunks(first..end).await.map(Some)
    }

    async fn chunks(&self, numbers: std::ops::Range<u64>) -> Result<Piece, StoreError> {
        let first = numbers.start;
        let keys: Vec<String> = numbers.map(|number| self.keys.chunk(self.generation, number)).collect();
        let mut commands = Pipeline::with_capacity(keys.len());
        for key in &keys {
            commands.cmd("GET").arg(key);
        }
        let meta = self.keys.meta();
        let doing = Doing::with("reading the snapshot of", &meta);
        let connection = self.link.connection().await?;
        let answers = self.link.send_all(&connection, &commands, doing).await?;
        let mut chunks = Vec::with_capacity(answers.len());
        for (answer, key) in answers.into_iter().zip(&keys) {
            let chunk = self.link.checked(&connection, answer, doing);
            chunks.push(chunk.map_err(|error| named(error, key))?);
        }
        Ok(Piece::Chunks(first, chunks))
    }

    async fn entries(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let key = self.keys.log();
        let doing = Doing::with("reading", &key);
        let mut command = Cmd::new();
        command.arg("XRANGE").arg(&key).arg(after).arg("+").arg("COUNT").arg(self.entries_next);
        let connection = self.link.connection().await?;
        let answer = self.link.send(&connection, &command, doing).await?;
        let answer = self.link.checked(&connection, answer, doing).map_err(|error| named(error, &key))?;
        let Value::Array(entries) = answer else { return Err(foreign(&key)) };
        let entries: Option<Vec<Entry>> = entries.into_iter().map(entry).collect();
        let entries = entries.ok_or_else(|| foreign(&key))?;
        let Some(last) = entries.last() else { return Ok(None) };
        self.after = Some(format!("({}", last.id));
        let bytes: usize = entries.iter().map(|entry| entry.batch.as_ref().map_or(0, Vec::len)).sum();
        self.entries_next = (PIECE_BYTES * entries.len() / bytes.max(1)).clamp(1, ENTRIES_MAX);
        Ok(Some(entries))
    }
}

/// Names the key that holds something else than it should.
fn named(error: StoreError, key: &str) -> StoreError {
    if error.class == StoreErrorClass::Fatal { foreign(key) } else { error }
}

/// An entry as XRANGE gives it: its id, and its fields one after the other.
fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let [Value::BulkString(id), Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let batch = match <[Value; 2]>::try_from(fields) {
        Ok([Value::BulkString(name), Value::BulkString(batch)]) if name == b"b" => Some(batch),
        _ => None,
    };
    Some(Entry { id: String::from_utf8_lossy(&id).into_owned(), batch })
}
