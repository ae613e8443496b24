//! Tests of the codec: the bytes themselves, what comes back from them, and all that is refused.

mod bytes;
mod corpus;
mod golden;
mod newer;
mod refuse;
mod round_trip;
mod size;

use super::model::{read_batch, read_chunk};
use super::*;
use crate::job::{ERRORS_MAX, Occurrence, Passed, Reason, Tags, Trial};
use crate::partition::{
    AttemptError, Cause, Death, DeathReason, Delivery, Edit, End, Fault, FiredImage, History, Image, JobId,
    JobImage, JobOptions, JobSpec, Key, PartitionId, Payload, Predecessor, Priority, QueueName, QueuePause,
    Record, RecordedDue, ScheduledRecord, TimeBase, Timestamp, Version,
};

const PARTITION: PartitionId = PartitionId(3);

/// 2026-11-23 10:00:00 UTC.
const TEN: Timestamp = Timestamp::from_micros(1_795_428_000_000_000);

fn id(sequence: u64) -> JobId {
    JobId::new(PARTITION, sequence)
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn wall(us: i64) -> RecordedDue {
    RecordedDue { base: TimeBase::Wall, wall: Timestamp::from_micros(TEN.as_micros() + us) }
}

fn scheduled(sequence: u64) -> ScheduledRecord {
    let (key, payload) = (Key::new("product:42").unwrap(), Payload::from("500 seats"));
    let spec = JobSpec::new(key, queue("open_sale"), payload, wall(0));
    ScheduledRecord { id: id(sequence), spec, before: Predecessor::None }
}

fn pending(sequence: u64) -> JobImage {
    let ScheduledRecord { id, spec, .. } = scheduled(sequence);
    JobImage { id, spec, version: Version::FIRST, attempt: 0, running_since: None, history: None }
}

fn batch_header() -> BatchHeader {
    BatchHeader { partition: PARTITION, epoch: 7, first_record: 1_000 }
}

fn chunk_header() -> ChunkHeader {
    let snapshot = SnapshotHeader {
        partition: PARTITION,
        epoch: 7,
        generation: 5,
        covered: 1_000,
        next_sequence: 5_000,
    };
    ChunkHeader { snapshot, number: 2 }
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_batch(&batch_header(), records, &mut out).unwrap();
    out
}

fn encoded_image(image: &Image) -> Vec<u8> {
    model::encoded_chunk(&chunk_header(), image)
}
