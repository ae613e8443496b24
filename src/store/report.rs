//! What a store tells of a partition to whoever looks at it.

use std::time::Duration;

use serde::Serialize;

use super::LivingOwner;
use super::assembly::Published;
use crate::json;
use crate::partition::PartitionId;

/// What a store holds of a partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct PartitionReport {
    /// The partition.
    pub partition: PartitionId,
    /// Who owns it, or owned it last.
    #[serde(flatten)]
    pub owner: LivingOwner,
    /// The sequence after the last record.
    pub log_end: u64,
    /// Entries in the log. Some may be older than the snapshot, and wait to be removed.
    pub log_entries: u64,
    /// Records in the log since the snapshot: what a restore has to replay.
    pub log_records: u64,
    /// The snapshot that a restore starts from, if there is one.
    pub snapshot: Option<SnapshotReport>,
    /// Chunks of other snapshots: one that is being written, or one that waits to be removed. 0 on disk, where they are files
    /// of their own.
    pub chunks_beside: u64,
    /// The memory that the partition's keys take in Redis, estimated from a sample, `None` if Redis does not tell; on disk the
    /// bytes of its files, and its share of the log's.
    pub memory_bytes: Option<u64>,
}

/// A snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Its number, higher than all before it.
    pub generation: u64,
    /// How old it is, by the store's clock.
    #[serde(rename = "age_ms", serialize_with = "json::millis")]
    pub age: Duration,
    /// The sequence of the first record that it may lack.
    pub covered: u64,
    /// The number of its chunks.
    pub chunks: u64,
    /// Jobs pending or running.
    pub jobs: u64,
    /// Fired jobs that are remembered.
    pub fired: u64,
    /// Bytes in all its chunks.
    pub bytes: u64,
}

impl SnapshotReport {
    pub(super) fn new(snapshot: &Published, age: Duration) -> Self {
        SnapshotReport {
            generation: snapshot.generation,
            age,
            covered: snapshot.covered,
            chunks: snapshot.chunks,
            jobs: snapshot.jobs,
            fired: snapshot.fired,
            bytes: snapshot.bytes,
        }
    }
}
