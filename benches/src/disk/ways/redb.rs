//! redb: a copy-on-write B-tree in one file. What waits becomes one transaction.
//!
//! - It has no level between memory and the disk: a commit that the end of the process does not lose has been synced. So
//!   `logged` costs what `fsync` costs.
//! - Its pages are powers of two, so a value of 64 KiB and some takes 128: frames stay below.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use reveille::partition::PartitionId;
use reveille::store::Loaded;

use super::backend::{Assembly, Backend, Change, Error, Meta};

/// By partition and the sequence after the last record.
const LOG: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("log");
/// By partition, generation and number.
const CHUNKS: TableDefinition<'_, (u16, u64, u32), &[u8]> = TableDefinition::new("chunks");
const META: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("meta");

/// What fits into a page of 64 KiB beside the key and the page's own header.
const FRAME_BYTES_MAX: usize = 65_400;

/// Little is read twice, so its default of a gigabyte would be spent for nothing.
const CACHE_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Redb {
    db: Database,
    is_quick_to_repair: bool,
}

pub(crate) fn open(folder: &Path, is_quick_to_repair: bool) -> Result<impl Backend, Error> {
    let db = Database::builder().set_cache_size(CACHE_BYTES).create(folder.join("store.redb"))?;
    let txn = db.begin_write()?;
    // So that a reader finds them.
    txn.open_table(LOG)?;
    txn.open_table(CHUNKS)?;
    txn.open_table(META)?;
    txn.commit()?;
    Ok(Redb { db, is_quick_to_repair })
}

impl Backend for Redb {
    fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.set_quick_repair(self.is_quick_to_repair);
        {
            let (mut log, mut stored, mut metas) =
                (txn.open_table(LOG)?, txn.open_table(CHUNKS)?, txn.open_table(META)?);
            for change in changes {
                match change {
                    Change::Append { partition, end, frame } => {
                        log.insert((partition.0, end), frame.as_slice())?;
                    }
                    Change::Chunks { partition, generation, first, chunks } => {
                        for (number, chunk) in (first..).zip(chunks) {
                            stored.insert((partition.0, generation, number), chunk.as_slice())?;
                        }
                    }
                    Change::Meta { partition, meta } => {
                        metas.insert(partition.0, meta.to_bytes().as_slice())?;
                    }
                    Change::Publish { partition: PartitionId(p), meta, replaces_log } => {
                        metas.insert(p, meta.to_bytes().as_slice())?;
                        let last = if replaces_log { u64::MAX } else { meta.covered };
                        log.retain_in((p, 0)..=(p, last), |_, _| false)?;
                        stored.retain_in((p, 0, 0)..=(p, u64::MAX, u32::MAX), |(_, generation, _), _| {
                            generation == meta.generation
                        })?;
                    }
                }
            }
        }
        Ok(txn.commit()?)
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    fn frame_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX
    }

    fn meta(&self, partition: PartitionId) -> Result<Option<Meta>, Error> {
        let metas = self.db.begin_read()?.open_table(META)?;
        let found = metas.get(partition.0)?;
        found.map(|bytes| Meta::from_bytes(bytes.value())).transpose()
    }

    fn log_end(&self, PartitionId(p): PartitionId, meta: &Meta) -> Result<u64, Error> {
        let log = self.db.begin_read()?.open_table(LOG)?;
        let last = log.range((p, 0)..=(p, u64::MAX))?.next_back().transpose()?;
        Ok(last.map_or(meta.covered, |(key, _)| key.value().1.max(meta.covered)))
    }

    fn load(&self, partition: PartitionId, meta: &Meta) -> Result<Loaded, Error> {
        let txn = self.db.begin_read()?;
        let (log, chunks) = (txn.open_table(LOG)?, txn.open_table(CHUNKS)?);
        let mut assembly = Assembly::new(partition, *meta);
        let PartitionId(p) = partition;
        for chunk in
            chunks.range((p, meta.generation, 0)..(p, meta.generation, u32::try_from(meta.chunks)?))?
        {
            assembly.chunk(chunk?.1.value())?;
        }
        for batch in log.range((p, 0)..=(p, u64::MAX))? {
            assembly.frame(batch?.1.value())?;
        }
        assembly.finish()
    }
}
