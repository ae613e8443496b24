//! Cutting a snapshot into chunks, and counting what is in it.

use super::codec::{
    ChunkEncoder, CodecError, FRAME_BYTES_IDEAL, SnapshotHeader, fired_bytes, job_bytes, pause_bytes,
};
use super::{SnapshotInfo, StoreError};
use crate::partition::{Image, PartitionId};

/// The steps of a snapshot's writer. One that failed breaks it: something may not have been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Steps {
    Going,
    Broken,
    Published,
}

impl Steps {
    /// The writer counts as broken until the step that begins here has succeeded, and [`Steps::Going`] or
    /// [`Steps::Published`] is set.
    pub(super) fn begin(&mut self, partition: PartitionId) -> Result<(), StoreError> {
        match std::mem::replace(self, Steps::Broken) {
            Steps::Going => Ok(()),
            over => {
                *self = over;
                let partition = partition.0;
                Err(StoreError::retry(format!(
                    "the snapshot of partition {partition} came to its end before; begin another"
                )))
            }
        }
    }
}

/// Fills chunks with slices, one after the other. It contains payloads, which are never printed.
pub(super) struct Chunker {
    partition: u16,
    encoder: ChunkEncoder,
    full: Vec<Chunk>,
    info: SnapshotInfo,
}

/// A chunk that is to be written.
pub(super) struct Chunk {
    /// Its place among the chunks of the snapshot.
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

impl Chunker {
    pub(super) fn new(header: SnapshotHeader) -> Self {
        let (partition, encoder) = (header.partition.0, ChunkEncoder::new(header));
        Chunker { partition, encoder, full: Vec::new(), info: SnapshotInfo::default() }
    }

    /// Adds a slice, and returns the chunks that are full.
    pub(super) fn add(&mut self, slice: &Image) -> Result<Vec<Chunk>, StoreError> {
        for pause in &slice.pauses {
            self.make_room(pause_bytes(pause))?;
            self.encoder.push_pause(pause).map_err(|error| unwritable(self.partition, &error))?;
        }
        for job in &slice.jobs {
            self.make_room(job_bytes(job))?;
            self.encoder.push_job(job).map_err(|error| unwritable(self.partition, &error))?;
            self.info.jobs += 1;
        }
        for fired in &slice.fired {
            self.make_room(fired_bytes(fired))?;
            self.encoder.push_fired(fired).map_err(|error| unwritable(self.partition, &error))?;
            self.info.fired += 1;
        }
        Ok(std::mem::take(&mut self.full))
    }

    /// The last chunk, if there is one. Nothing is added after that.
    pub(super) fn finish(&mut self) -> Result<Vec<Chunk>, StoreError> {
        if !self.encoder.is_empty() {
            self.cut()?;
        }
        Ok(std::mem::take(&mut self.full))
    }

    /// What was added. The bytes are those of the chunks.
    pub(super) fn info(&self) -> SnapshotInfo {
        self.info
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        if self.encoder.is_empty() || self.encoder.len() + bytes <= FRAME_BYTES_IDEAL {
            return Ok(());
        }
        self.cut()
    }

    fn cut(&mut self) -> Result<(), StoreError> {
        let number = self.info.chunks;
        let frame_number = u32::try_from(number).map_err(|_| {
            let partition = self.partition;
            StoreError::fatal(format!("a snapshot of partition {partition} would have more than 2^32 chunks"))
        })?;
        let bytes = self.encoder.finish(frame_number).map_err(|error| unwritable(self.partition, &error))?;
        self.info.chunks += 1;
        self.info.bytes += bytes.len() as u64;
        self.full.push(Chunk { number, bytes });
        Ok(())
    }
}

fn unwritable(partition: u16, error: &CodecError) -> StoreError {
    StoreError::fatal(format!("a snapshot of partition {partition} cannot be written: {error}"))
}
