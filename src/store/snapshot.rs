//! Snapshots: the jobs of a partition as they stand, so that the log before them can go.

use super::StoreFuture;
use crate::partition::Image;

/// Where a snapshot begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SnapshotBegin {
    /// The sequence of the first record that the image may lack: the end of the log when the first job was read.
    pub covered: u64,
    /// The sequence of the partition's next job at that moment.
    pub next_sequence: u64,
    /// Whether the store's log is useless because it lacks records before `covered`. It then begins anew at `covered`.
    pub replaces_log: bool,
}

impl SnapshotBegin {
    /// A snapshot that begins at this record, of a partition whose next job has this number.
    pub fn new(covered: u64, next_sequence: u64) -> Self {
        SnapshotBegin { covered, next_sequence, replaces_log: false }
    }

    /// What the store has of the log is of no use.
    #[must_use]
    pub fn replacing_log(self) -> Self {
        SnapshotBegin { replaces_log: true, ..self }
    }
}

/// What became of a snapshot. A store begins with the default and sets what it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Jobs pending or running.
    pub jobs: u64,
    /// Fired jobs that are remembered.
    pub fired: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes, in all chunks.
    pub bytes: u64,
}

/// Takes a snapshot slice by slice. If it is dropped before it is published, it leaves nothing that a restore would see.
pub trait SnapshotWriter: Send {
    /// Adds what is in `slice`, its jobs, its fired jobs and its pauses, ignoring its `next_sequence`. Each may come in one slice
    /// only.
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()>;

    /// Makes this the snapshot to restore from, gives up the log before it, and removes the previous snapshot. `complete` is
    /// the sequence after the last record that existed when the last job was read. The store has to have all records before
    /// it, unless the snapshot replaces the log.
    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo>;
}
