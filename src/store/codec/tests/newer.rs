//! What a newer version wrote is refused, and the message says what to do.

use super::bytes::unhex;
use super::model::framed;
use super::*;

/// The body of a batch up to its first record: partition 3, epoch 7, from record 0, ids from 0, no queue, no option.
const BATCH: &str = "03 07 00 00 01 00 00";

/// The body of a chunk up to its first job: one job, none fired, one queue, "q", and no option.
const CHUNK: &str = "03 07 01 00 00 00 01 00  01 01 71  00";

fn batch_error(body: &str) -> CodecError {
    read_batch(&framed(FrameKind::LogBatch, &unhex(body))).unwrap_err()
}

fn chunk_error(body: &str) -> CodecError {
    read_chunk(&framed(FrameKind::SnapshotChunk, &unhex(body))).unwrap_err()
}

/// Writes the two bytes at `at` and puts the checksum right.
fn with(mut frame: Vec<u8>, at: usize, value: u16) -> Vec<u8> {
    frame[at..at + 2].copy_from_slice(&value.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[..12]);
    crc.update(&frame[16..]);
    let crc = crc.finalize();
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
    frame
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let newer = with(encoded(&[Record::Cancelled { id: id(1) }]), 4, 3);
    let error = read_batch(&newer).unwrap_err();
    assert_eq!(error, CodecError::Newer { found: 3, known: FORMAT });
    assert_eq!(
        error.to_string(),
        "it was written by a newer version (format 3, this one reads up to 2): update this program"
    );
    let mut damaged = encoded(&[]);
    damaged[4] = 3;
    assert_eq!(read_batch(&damaged), Err(CodecError::Corrupt));
}

#[test]
fn a_newer_chunk_is_refused_too() {
    let newer = with(encoded_image(&Image::default()), 4, u16::MAX);
    assert_eq!(read_chunk(&newer), Err(CodecError::Newer { found: u16::MAX, known: FORMAT }));
}

#[test]
fn flags_are_for_newer_versions() {
    let error = read_batch(&with(encoded(&[]), 6, 1)).unwrap_err();
    assert_eq!(error, CodecError::NewerPart { part: "flags", tag: 1 });
}

#[test]
fn there_is_no_format_0() {
    assert!(matches!(read_batch(&with(encoded(&[]), 4, 0)), Err(CodecError::Invalid { .. })));
}

#[test]
fn a_record_with_a_tag_of_later_is_refused() {
    let error = batch_error(&format!("{BATCH} c8 00"));
    assert_eq!(error, CodecError::NewerPart { part: "Record", tag: 200 });
    assert_eq!(
        error.to_string(),
        "it was written by a newer version (Record 200 is not known to this one): update this program"
    );
    assert_eq!(batch_error(&format!("{BATCH} 00 00")), CodecError::NewerPart { part: "Record", tag: 0 });
}

#[test]
fn so_is_a_tag_inside_a_record_or_a_job() {
    let newer = |part, tag| CodecError::NewerPart { part, tag };
    assert_eq!(batch_error(&format!("{BATCH} 03 00 02 03 00")), newer("Due", 3));
    assert_eq!(chunk_error(&format!("{CHUNK} 07 {}", "00".repeat(12))), newer("JobImage", 7));
    assert_eq!(batch_error(&format!("{BATCH} 08 00 00 08")), newer("End", 8));
    let no_job = "03 07 01 00 00 00 00 01  00 00";
    assert_eq!(chunk_error(&format!("{no_job} 08 00 0161 00 00")), newer("End", 8));
}

#[test]
fn an_option_of_later_is_refused_by_its_name() {
    // Named in the table, whatever the jobs are.
    let color = "01 05 636f6c6f72";
    let batch = batch_error(&format!("03 07 00 00 01 00 {color} 04 00"));
    let chunk = chunk_error(&format!("03 07 01 00 00 00 01 00  00 {color} 01 00"));
    assert_eq!(batch, chunk);
    assert_eq!(
        batch.to_string(),
        "it was written by a newer version (its jobs have the option `color`, which is not known to this one): update this \
         program"
    );
    let odd = format!("03 07 00 00 01 00 01 fb2c01 {}", "0a".repeat(300));
    assert!(batch_error(&odd).to_string().len() < 300);
}

#[test]
fn an_earlier_format_is_refused_and_said_to_be_one() {
    let error = read_batch(&with(encoded(&[]), 4, 1)).unwrap_err();
    assert_eq!(error, CodecError::Older { found: 1, known: FORMAT });
    assert!(error.to_string().contains("format 1") && error.to_string().contains("export"), "{error}");
}
