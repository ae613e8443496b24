//! A [`Store`] over a [`Backend`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reveille::Durability;
use reveille::partition::{Image, PartitionId, Record};
use reveille::store::codec::{
    BatchHeader, ChunkEncoder, CodecError, SnapshotHeader, encode_batch, fired_bytes, job_bytes, pause_bytes,
};
use reveille::store::{
    Batch, Claim, Grant, Lease, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin, SnapshotInfo,
    SnapshotWriter, Store, StoreError, StoreFuture,
};

use super::backend::{Backend, Change, Error, Meta};
use super::owned::{Owned, Sent};
use super::queue::{Answer, Queue, answered};

/// Chunks that are written as one change.
const CHUNKS_AT_ONCE: usize = 16;

#[derive(Debug)]
pub(crate) struct Kept {
    backend: Arc<dyn Backend>,
    queue: Queue,
    owned: Owned,
    /// The last generation of each partition that a snapshot was begun with.
    generations: Mutex<BTreeMap<PartitionId, u64>>,
}

fn fatal(error: impl std::fmt::Display) -> StoreError {
    StoreError::fatal(error.to_string())
}

impl Kept {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let queue = Queue::start(Arc::clone(&backend));
        Kept { backend, queue, owned: Owned::default(), generations: Mutex::default() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&dyn Backend) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let backend = Arc::clone(&self.backend);
        let ended = tokio::task::spawn_blocking(move || run(&*backend).map_err(fatal)).await;
        ended.map_err(fatal)?
    }

    /// The records of a batch from `known` on, as frames.
    fn frames(&self, batch: &Batch, known: usize) -> Result<Vec<Change>, CodecError> {
        let mut changes = Vec::with_capacity(1);
        let first = batch.first_record + known as u64;
        self.encode(&batch.grant, first, &batch.records[known..], &mut changes)?;
        Ok(changes)
    }

    fn encode(
        &self,
        grant: &Grant,
        first_record: u64,
        records: &[Record],
        changes: &mut Vec<Change>,
    ) -> Result<(), CodecError> {
        let (partition, epoch) = (grant.partition, grant.epoch);
        let mut frame = Vec::with_capacity(66 * 1024);
        encode_batch(&BatchHeader { partition, epoch, first_record }, records, &mut frame)?;
        if frame.len() > self.backend.frame_bytes_max() && records.len() > 1 {
            let (left, right) = records.split_at(records.len() / 2);
            self.encode(grant, first_record, left, changes)?;
            return self.encode(grant, first_record + left.len() as u64, right, changes);
        }
        let end = first_record + records.len() as u64;
        changes.push(Change::Append { partition, end, frame });
        Ok(())
    }
}

impl Store for Kept {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        Box::pin(async move {
            if needs.durability > Durability::Fsync {
                return Err(StoreError::fatal("a disk has no replicas"));
            }
            let was = self.blocking(|backend| backend.meta(PartitionId(0))).await?;
            Owned::open(was.and_then(|meta| u16::try_from(meta.partitions).ok()), needs)?;
            Ok(Opened::new(Durability::Fsync))
        })
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let (was, log_end) = self
                .blocking(move |backend| {
                    let meta = backend.meta(partition)?.unwrap_or_default();
                    Ok((meta, backend.log_end(partition, &meta)?))
                })
                .await?;
            let lease = self.owned.acquire(partition, claim, was.epoch, log_end)?;
            let meta = Meta { partitions: claim.partitions.into(), epoch: lease.grant.epoch, ..was };
            answered(self.queue.send(vec![Change::Meta { partition, meta }], false)).await?;
            Ok(lease)
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(async move { Ok(grants.iter().map(|grant| self.owned.renew(grant)).collect()) })
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            grants.iter().for_each(|grant| self.owned.release(grant));
            Ok(())
        })
    }

    fn load<'a>(&'a self, grant: &'a Grant, _told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            self.owned.check(grant)?;
            let partition = grant.partition;
            self.blocking(move |backend| {
                let meta = backend.meta(partition)?.unwrap_or_default();
                backend.load(partition, &meta)
            })
            .await
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let changes = match self.owned.sends(batch)? {
                Sent::New(known) => self.frames(batch, known).map_err(fatal)?,
                Sent::Before => Vec::new(),
            };
            if self.backend.is_inline() {
                self.backend.commit(changes).map_err(fatal)?;
            } else {
                answered(self.queue.send(changes, false)).await?;
            }
            self.owned.has(&batch.grant, batch.end());
            Ok(())
        })
    }

    fn sync<'a>(&'a self, grant: &'a Grant, _level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.owned.check(grant)?;
            answered(self.queue.send(Vec::new(), true)).await
        })
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        Box::pin(async move {
            self.owned.check(grant)?;
            let partition = grant.partition;
            let was = self.blocking(move |backend| backend.meta(partition)).await?.unwrap_or_default();
            let generation = {
                let mut generations = self.generations.lock().unwrap();
                let last = generations.entry(partition).or_default();
                *last = (*last).max(was.generation) + 1;
                *last
            };
            let SnapshotBegin { covered, next_sequence, .. } = begin;
            let epoch = grant.epoch;
            let header = SnapshotHeader { partition, epoch, generation, covered, next_sequence };
            let encoder = ChunkEncoder::new(header);
            let info = SnapshotInfo::default();
            let (chunks, under_way) = (Vec::new(), None);
            let writer: Box<dyn SnapshotWriter> =
                Box::new(Writer { store: self, grant, begin, was, header, encoder, info, chunks, under_way });
            Ok(Some(writer))
        })
    }
}

struct Writer<'a> {
    store: &'a Kept,
    grant: &'a Grant,
    begin: SnapshotBegin,
    was: Meta,
    header: SnapshotHeader,
    encoder: ChunkEncoder,
    info: SnapshotInfo,
    /// Those that wait to be written.
    chunks: Vec<Vec<u8>>,
    /// Those before them.
    under_way: Option<Answer>,
}

impl SnapshotWriter for Writer<'_> {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for pause in &slice.pauses {
                self.make_room(pause_bytes(pause)).await?;
                self.encoder.push_pause(pause).map_err(fatal)?;
            }
            for job in &slice.jobs {
                self.make_room(job_bytes(job)).await?;
                self.encoder.push_job(job).map_err(fatal)?;
                self.info.jobs += 1;
            }
            for fired in &slice.fired {
                self.make_room(fired_bytes(fired)).await?;
                self.encoder.push_fired(fired).map_err(fatal)?;
                self.info.fired += 1;
            }
            Ok(())
        })
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        Box::pin(async move {
            if !self.encoder.is_empty() {
                self.finish()?;
            }
            self.flush().await?;
            if let Some(before) = self.under_way.take() {
                answered(before).await?;
            }
            let SnapshotHeader { partition, epoch, generation, covered, next_sequence } = self.header;
            let (partitions, chunks) = (self.was.partitions, self.info.chunks);
            let meta = Meta { partitions, epoch, generation, chunks, covered, complete, next_sequence };
            let replaces_log = self.begin.replaces_log;
            if replaces_log {
                self.store.owned.begins_anew(self.grant, covered)?;
            }
            self.store.owned.check(self.grant)?;
            let change = Change::Publish { partition, meta, replaces_log };
            answered(self.store.queue.send(vec![change], true)).await?;
            Ok(self.info)
        })
    }
}

impl Writer<'_> {
    async fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        if self.encoder.is_empty() || self.encoder.len() + bytes <= self.store.backend.frame_bytes_max() {
            return Ok(());
        }
        self.finish()?;
        if self.chunks.len() >= CHUNKS_AT_ONCE { self.flush().await } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        let number = u32::try_from(self.info.chunks).map_err(fatal)?;
        let chunk = self.encoder.finish(number).map_err(fatal)?;
        self.info.chunks += 1;
        self.info.bytes += chunk.len() as u64;
        self.chunks.push(chunk);
        Ok(())
    }

    /// Has the chunks written while the next ones are encoded.
    async fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(before) = self.under_way.take() {
            answered(before).await?;
        }
        let chunks = std::mem::take(&mut self.chunks);
        let first = u32::try_from(self.info.chunks - chunks.len() as u64).map_err(fatal)?;
        let SnapshotHeader { partition, generation, .. } = self.header;
        let change = Change::Chunks { partition, generation, first, chunks };
        self.under_way = Some(self.store.queue.send(vec![change], false));
        Ok(())
    }
}
