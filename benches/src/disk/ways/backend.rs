//! What the ways have in common: bytes under a partition's log, its snapshots, and what is known of both.

use std::fmt::Debug;

use reveille::partition::{PartitionId, Record};
use reveille::store::Loaded;
use reveille::store::codec::{BatchHeader, Names, decode_batch, decode_chunk};

/// What went wrong, in the words of the library or of the system.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A way to keep bytes. Its calls block.
pub(crate) trait Backend: Debug + Send + Sync + 'static {
    /// Makes all these changes, in order, so that the end of the process does not lose them.
    fn commit(&self, changes: Vec<Change>) -> Result<(), Error>;

    /// Returns once all that was committed before is on the disk.
    fn sync(&self) -> Result<(), Error>;

    /// Whether an append is so short that it may be made by whoever asks for it, on the engine's thread for I/O.
    fn is_inline(&self) -> bool {
        false
    }

    /// How many bytes a frame should have at most.
    fn frame_bytes_max(&self) -> usize;

    fn meta(&self, partition: PartitionId) -> Result<Option<Meta>, Error>;

    /// The sequence after the last record that is there, given what is known of the partition.
    fn log_end(&self, partition: PartitionId, meta: &Meta) -> Result<u64, Error>;

    fn load(&self, partition: PartitionId, meta: &Meta) -> Result<Loaded, Error>;
}

#[derive(Debug)]
pub(crate) enum Change {
    Append {
        partition: PartitionId,
        end: u64,
        frame: Vec<u8>,
    },
    /// Chunks of a snapshot, from the number `first` on.
    Chunks {
        partition: PartitionId,
        generation: u64,
        first: u32,
        chunks: Vec<Vec<u8>>,
    },
    /// A new owner.
    Meta {
        partition: PartitionId,
        meta: Meta,
    },
    /// `meta` names another snapshot: all others go, and the log before it, or all of the log.
    Publish {
        partition: PartitionId,
        meta: Meta,
        replaces_log: bool,
    },
}

/// What is known of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) partitions: u64,
    pub(crate) epoch: u64,
    /// 0: there is no snapshot.
    pub(crate) generation: u64,
    pub(crate) chunks: u64,
    pub(crate) covered: u64,
    pub(crate) complete: u64,
    pub(crate) next_sequence: u64,
}

impl Meta {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let Meta { partitions, epoch, generation, chunks, covered, complete, next_sequence } = self;
        let numbers = [partitions, epoch, generation, chunks, covered, complete, next_sequence];
        numbers.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut numbers = bytes.chunks_exact(8).map(|it| u64::from_le_bytes(it.try_into().unwrap()));
        let mut next = || numbers.next().ok_or("what is known of a partition is cut short");
        Ok(Meta {
            partitions: next()?,
            epoch: next()?,
            generation: next()?,
            chunks: next()?,
            covered: next()?,
            complete: next()?,
            next_sequence: next()?,
        })
    }
}

/// Puts a partition together from its chunks and batches, and checks that nothing is missing.
#[derive(Debug)]
pub(crate) struct Assembly {
    partition: PartitionId,
    meta: Meta,
    names: Names,
    loaded: Loaded,
    chunks: u32,
    read_to: u64,
}

impl Assembly {
    pub(crate) fn new(partition: PartitionId, meta: Meta) -> Self {
        let mut loaded = Loaded::default();
        (loaded.covered, loaded.complete) = (meta.covered, meta.complete);
        loaded.image.next_sequence = meta.next_sequence;
        Assembly { partition, meta, names: Names::new(), loaded, chunks: 0, read_to: meta.covered }
    }

    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let header = decode_chunk(bytes, &mut self.names, &mut self.loaded.image)?;
        let snapshot = header.snapshot;
        let is_next = snapshot.partition == self.partition
            && snapshot.generation == self.meta.generation
            && header.number == self.chunks;
        if !is_next {
            return Err("a chunk belongs elsewhere".into());
        }
        self.chunks += 1;
        Ok(())
    }

    pub(crate) fn frame(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let before = self.loaded.records.len();
        let header = decode_batch(bytes, &mut self.names, &mut self.loaded.records)?;
        let records = self.loaded.records.split_off(before);
        self.batch(&header, records)
    }

    /// A batch that was decoded.
    pub(crate) fn batch(&mut self, header: &BatchHeader, mut records: Vec<Record>) -> Result<(), Error> {
        let end = header.first_record + records.len() as u64;
        if header.partition != self.partition || header.first_record > self.read_to {
            return Err(format!("records are missing before {}", header.first_record).into());
        }
        if end > self.read_to {
            // Cut off what the snapshot covers.
            records.drain(..usize::try_from(self.read_to - header.first_record)?);
            self.loaded.records.append(&mut records);
            self.read_to = end;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Loaded, Error> {
        if u64::from(self.chunks) != self.meta.chunks {
            return Err(format!("{} of {} chunks were found", self.chunks, self.meta.chunks).into());
        }
        self.loaded.complete = self.loaded.complete.max(self.loaded.covered);
        Ok(self.loaded)
    }
}
