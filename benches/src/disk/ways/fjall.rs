//! fjall: a log-structured merge tree. What waits becomes one batch; a batch is with the system once it is committed, and a
//! sync is shared by all who wait.
//!
//! Values are kept apart from keys, as its documentation has it for large ones, and not compressed: frames are dense already.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use reveille::partition::PartitionId;
use reveille::store::Loaded;

use super::backend::{Assembly, Backend, Change, Error, Meta};

struct Fjall {
    db: Database,
    /// By partition and the sequence after the last record.
    log: Keyspace,
    /// By partition, generation and number.
    chunks: Keyspace,
    meta: Keyspace,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall").finish_non_exhaustive()
    }
}

pub(crate) fn open(folder: &Path) -> Result<impl Backend, Error> {
    let large = || {
        KeyspaceCreateOptions::default()
            .with_kv_separation(Some(KvSeparationOptions::default().compression(CompressionType::None)))
            .data_block_compression_policy(CompressionPolicy::disabled())
    };
    // Little is read twice.
    let db = Database::builder(folder.join("fjall"))
        .cache_size(64 << 20)
        .journal_compression(CompressionType::None)
        // The least that it takes: with its default of 512 MiB churn takes 750 MB on disk.
        .max_journaling_size(64 << 20)
        .open()?;
    Ok(Fjall {
        log: db.keyspace("log", large)?,
        chunks: db.keyspace("chunks", large)?,
        meta: db.keyspace("meta", KeyspaceCreateOptions::default)?,
        db,
    })
}

fn log_key(partition: u16, end: u64) -> Vec<u8> {
    [&partition.to_be_bytes()[..], &end.to_be_bytes()].concat()
}

fn chunk_key(partition: u16, generation: u64, number: u32) -> Vec<u8> {
    [&partition.to_be_bytes()[..], &generation.to_be_bytes(), &number.to_be_bytes()].concat()
}

impl Backend for Fjall {
    fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        let mut batch = self.db.batch();
        for change in changes {
            match change {
                Change::Append { partition, end, frame } => {
                    batch.insert(&self.log, log_key(partition.0, end), frame);
                }
                Change::Chunks { partition, generation, first, chunks } => {
                    for (number, chunk) in (first..).zip(chunks) {
                        batch.insert(&self.chunks, chunk_key(partition.0, generation, number), chunk);
                    }
                }
                Change::Meta { partition, meta } => {
                    batch.insert(&self.meta, partition.0.to_be_bytes(), meta.to_bytes());
                }
                Change::Publish { partition: PartitionId(p), meta, replaces_log } => {
                    batch.insert(&self.meta, p.to_be_bytes(), meta.to_bytes());
                    let last = if replaces_log { u64::MAX } else { meta.covered };
                    for found in self.log.range(log_key(p, 0)..=log_key(p, last)) {
                        batch.remove(&self.log, found.key()?);
                    }
                    for found in self.chunks.range(chunk_key(p, 0, 0)..chunk_key(p, meta.generation, 0)) {
                        batch.remove(&self.chunks, found.key()?);
                    }
                }
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    fn frame_bytes_max(&self) -> usize {
        reveille::store::codec::FRAME_BYTES_IDEAL
    }

    fn meta(&self, partition: PartitionId) -> Result<Option<Meta>, Error> {
        let found = self.meta.get(partition.0.to_be_bytes())?;
        found.map(|bytes| Meta::from_bytes(&bytes)).transpose()
    }

    fn log_end(&self, PartitionId(p): PartitionId, meta: &Meta) -> Result<u64, Error> {
        let Some(last) = self.log.range(log_key(p, 0)..=log_key(p, u64::MAX)).next_back() else {
            return Ok(meta.covered);
        };
        let key = last.key()?;
        let end = key.get(2..).ok_or("a key is too short")?;
        Ok(u64::from_be_bytes(end.try_into()?).max(meta.covered))
    }

    fn load(&self, partition: PartitionId, meta: &Meta) -> Result<Loaded, Error> {
        let mut assembly = Assembly::new(partition, *meta);
        let PartitionId(p) = partition;
        let (from, to) =
            (chunk_key(p, meta.generation, 0), chunk_key(p, meta.generation, u32::try_from(meta.chunks)?));
        for chunk in self.chunks.range(from..to) {
            assembly.chunk(&chunk.value()?)?;
        }
        for batch in self.log.range(log_key(p, 0)..=log_key(p, u64::MAX)) {
            assembly.frame(&batch.value()?)?;
        }
        assembly.finish()
    }
}
