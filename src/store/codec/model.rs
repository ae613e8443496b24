//! The decoders against any bytes: as they are, and in a frame that fits them, since no fuzzer guesses a checksum.
//!
//! For tests and fuzzing only, so that what one finds the other can replay.

use super::frame::{self, FrameKind, HEADER_BYTES};
use super::names::option_bytes;
use super::{
    BatchHeader, ChunkEncoder, ChunkHeader, CodecError, Names, decode_batch, decode_chunk, encode_batch,
    fired_bytes, job_bytes, pause_bytes, record_bytes, wire,
};
use crate::partition::{Image, Record};

/// Reads `bytes` as a batch. Panics if what was read is not what is read again after it was written.
pub fn log_batch(bytes: &[u8]) {
    check_batch(bytes);
    check_batch(&framed(FrameKind::LogBatch, bytes));
}

/// Reads `bytes` as a chunk. Panics if what was read is not what is read again after it was written.
pub fn snapshot_chunk(bytes: &[u8]) {
    check_chunk(bytes);
    check_chunk(&framed(FrameKind::SnapshotChunk, bytes));
}

/// A frame with `body` in it.
pub(super) fn framed(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::begin(&mut out);
    out.extend_from_slice(body);
    frame::seal(kind, &mut out).expect("a fuzzer's input is not too large");
    out
}

fn check_batch(bytes: &[u8]) {
    let mut records = Vec::new();
    let result = decode_batch(bytes, &mut Names::new(), &mut records);
    assert!(records.capacity() * wire::RECORD_BYTES_MIN <= bytes.len().max(8), "room for more than there is");
    let Ok(header) = result else { return assert!(records.is_empty(), "half a batch was added") };
    let again = encoded_batch(&header, &records);
    assert_eq!(read_batch(&again), Ok((header, records)));
}

fn encoded_batch(header: &BatchHeader, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_batch(header, records, &mut out).expect("what was read can be written");
    let names: usize = records.iter().map(name_bytes).sum();
    let estimate: usize = records.iter().map(record_bytes).sum();
    assert!(out.len() <= HEADER_BYTES + 7 * wire::NUMBER_BYTES_MAX + names + estimate, "estimated too low");
    out
}

fn name_bytes(record: &Record) -> usize {
    match record {
        Record::Scheduled(job) => {
            wire::bytes_of(job.spec.queue.as_str().len()) + option_bytes(&job.spec.options).1
        }
        Record::Edited { edit, .. } => {
            edit.queue.as_ref().map_or(0, |queue| wire::bytes_of(queue.as_str().len()))
        }
        Record::PauseSet(pause) => wire::bytes_of(pause.queue.as_str().len()),
        _ => 0,
    }
}

pub(super) fn read_batch(bytes: &[u8]) -> Result<(BatchHeader, Vec<Record>), CodecError> {
    let mut records = Vec::new();
    let header = decode_batch(bytes, &mut Names::new(), &mut records)?;
    Ok((header, records))
}

fn check_chunk(bytes: &[u8]) {
    let mut image = Image::default();
    let result = decode_chunk(bytes, &mut Names::new(), &mut image);
    let room = image.jobs.capacity() * wire::JOB_IMAGE_BYTES_MIN;
    assert!(room <= bytes.len().max(4 * wire::JOB_IMAGE_BYTES_MIN), "room for more than there is");
    let room = image.pauses.capacity() * wire::QUEUE_IMAGE_BYTES_MIN;
    assert!(room <= bytes.len().max(4 * wire::QUEUE_IMAGE_BYTES_MIN) * 2, "room for more than there is");
    let room = image.fired.capacity() * wire::FIRED_IMAGE_BYTES_MIN;
    assert!(room <= bytes.len().max(4 * wire::FIRED_IMAGE_BYTES_MIN), "room for more than there is");
    let Ok(header) = result else { return assert_eq!(image, Image::default(), "half a chunk was added") };
    let again = encoded_chunk(&header, &image);
    assert_eq!(read_chunk(&again), Ok((header, image)));
}

pub(super) fn encoded_chunk(header: &ChunkHeader, image: &Image) -> Vec<u8> {
    let mut encoder = ChunkEncoder::new(header.snapshot);
    for pause in &image.pauses {
        let most = encoder.len() + pause_bytes(pause);
        encoder.push_pause(pause).expect("what was read can be written");
        assert!(encoder.len() <= most, "estimated too low");
    }
    for job in &image.jobs {
        let most = encoder.len() + job_bytes(job);
        encoder.push_job(job).expect("what was read can be written");
        assert!(encoder.len() <= most, "estimated too low");
    }
    for fired in &image.fired {
        let most = encoder.len() + fired_bytes(fired);
        encoder.push_fired(fired).expect("what was read can be written");
        assert!(encoder.len() <= most, "estimated too low");
    }
    let most = encoder.len();
    let out = encoder.finish(header.number).expect("what was read can be written");
    assert!(out.len() <= most, "estimated too low");
    out
}

pub(super) fn read_chunk(bytes: &[u8]) -> Result<(ChunkHeader, Image), CodecError> {
    let mut image = Image::default();
    let header = decode_chunk(bytes, &mut Names::new(), &mut image)?;
    Ok((header, image))
}
