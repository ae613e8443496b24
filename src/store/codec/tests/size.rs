//! How many bytes things take. A user pays for each of them in Redis' memory, and the log's length is that of a restart.

use super::*;

/// A key of 20 bytes and a payload of 64, the `sequence`th of its partition.
fn usual(sequence: u64) -> JobImage {
    let mut job = pending(sequence);
    (job.spec.key, job.spec.payload) = (Key::new("product:000000000042").unwrap(), Payload::from(&[7; 64]));
    job
}

fn as_record(job: JobImage) -> Record {
    let JobImage { id, spec, .. } = job;
    Record::Scheduled(ScheduledRecord { id, spec, before: Predecessor::None })
}

/// What one more job takes in a chunk whose next sequence is far above 2^32.
fn in_a_chunk(age: u64) -> usize {
    let next_sequence = 1 << 40;
    let snapshot = SnapshotHeader { next_sequence, ..chunk_header().snapshot };
    let mut encoder = ChunkEncoder::new(snapshot);
    encoder.push_job(&usual(1)).unwrap();
    let before = encoder.len();
    encoder.push_job(&usual(next_sequence - age)).unwrap();
    encoder.len() - before
}

/// What one more record takes in a batch that begins with a young job.
fn in_a_batch(record: impl FnOnce(u64) -> Record, age: u64) -> usize {
    let young = 1 << 40;
    let first = as_record(usual(young));
    encoded(&[first.clone(), record(young - age)]).len() - encoded(&[first]).len()
}

#[test]
fn a_job_takes_little() {
    assert_eq!(in_a_chunk(1_000), 104);
    assert_eq!(in_a_chunk(2_000_000_000), 106);
    assert_eq!(in_a_batch(|sequence| as_record(usual(sequence)), 1_000), 102);
    assert_eq!(in_a_batch(|sequence| as_record(usual(sequence)), 2_000_000_000), 104);
}

#[test]
fn what_becomes_of_it_takes_less() {
    let cancelled = |sequence| Record::Cancelled { id: id(sequence) };
    assert_eq!(in_a_batch(cancelled, 100), 2);
    assert_eq!(in_a_batch(cancelled, 30_000), 4);
    assert_eq!(in_a_batch(cancelled, 2_000_000_000), 6);
    let rescheduled = |sequence| Record::Rescheduled { id: id(sequence), version: Version(2), due: wall(0) };
    assert_eq!(in_a_batch(rescheduled, 30_000), 15);
    assert_eq!(in_a_batch(|sequence| Record::Started { id: id(sequence), at: TEN, attempt: 1 }, 30_000), 13);
    assert_eq!(
        in_a_batch(|sequence| Record::Finished { id: id(sequence), at: TEN, end: End::Done }, 30_000),
        14
    );
}

#[test]
fn a_batch_of_one_cancel_takes_little_more_than_its_header() {
    let header = BatchHeader { partition: PARTITION, epoch: 1_795_428_000_000, first_record: 1 << 33 };
    let mut out = Vec::new();
    encode_batch(&header, &[Record::Cancelled { id: id(1 << 33) }], &mut out).unwrap();
    assert_eq!(out.len(), 16 + 1 + 9 + 9 + 9 + 1 + 1 + 1 + 2);
}

#[test]
fn estimates_are_close() {
    let JobImage { id, spec: JobSpec { key, .. }, .. } = usual(1 << 40);
    let record = as_record(usual(1 << 40));
    assert_eq!(record_bytes(&record), 110);
    assert_eq!(record_bytes(&Record::Cancelled { id }), 10);
    assert_eq!(job_bytes(&usual(1 << 40)), 110 + 17 + 10);
    assert_eq!(fired_bytes(&FiredImage { id, key, fired_at: TEN, ended_at: TEN, end: End::Done }), 49);
}

#[test]
fn a_chunk_filled_by_the_estimates_is_as_long_as_is_best() {
    let mut encoder = ChunkEncoder::new(chunk_header().snapshot);
    let mut sequence = 0;
    while encoder.len() + job_bytes(&usual(sequence)) <= FRAME_BYTES_IDEAL {
        encoder.push_job(&usual(sequence)).unwrap();
        sequence += 1;
    }
    let chunk = encoder.finish(0).unwrap();
    assert!((65_200..=FRAME_BYTES_IDEAL).contains(&chunk.len()), "{} bytes", chunk.len());
}
