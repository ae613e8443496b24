//! Whatever the bytes are: no panic, no half-read frame, no allocation by a number that they claim.

use proptest::prelude::*;

use super::bytes::unhex;
use super::model::framed;
use super::*;

const GOLDEN: [(FrameKind, &str); 2] =
    [(FrameKind::LogBatch, golden::BATCH), (FrameKind::SnapshotChunk, golden::CHUNK)];

fn error_of(kind: FrameKind, bytes: &[u8]) -> Option<CodecError> {
    match kind {
        FrameKind::LogBatch => read_batch(bytes).err(),
        FrameKind::SnapshotChunk => read_chunk(bytes).err(),
    }
}

fn invalid(kind: FrameKind, body: &str) -> &'static str {
    match error_of(kind, &framed(kind, &unhex(body))) {
        Some(CodecError::Invalid { what }) => what,
        other => panic!("{other:?} for {body}"),
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    for (kind, golden) in GOLDEN {
        let mut bytes = unhex(golden);
        for at in 0..bytes.len() {
            for change in 1..=u8::MAX {
                bytes[at] ^= change;
                assert!(error_of(kind, &bytes).is_some(), "byte {at} changed by {change:#x}");
                bytes[at] ^= change;
            }
        }
        assert_eq!(error_of(kind, &bytes), None);
    }
}

#[test]
fn a_frame_that_is_cut_short_is_noticed_wherever_it_ends() {
    for (kind, golden) in GOLDEN {
        let bytes = unhex(golden);
        for end in 0..bytes.len() {
            let expected = if end < 16 { 16 } else { bytes.len() };
            let error = CodecError::Truncated { found: end, expected };
            assert_eq!(error_of(kind, &bytes[..end]), Some(error));
        }
    }
}

#[test]
fn a_body_that_is_cut_short_is_noticed_whatever_its_checksum() {
    for (kind, golden) in GOLDEN {
        let bytes = unhex(golden);
        for end in 16..bytes.len() {
            let error = error_of(kind, &framed(kind, &bytes[16..end]));
            assert!(matches!(error, Some(CodecError::Invalid { .. })), "{error:?} at {end}");
        }
    }
}

#[test]
fn nothing_may_follow() {
    for (kind, golden) in GOLDEN {
        let mut bytes = unhex(golden);
        bytes.push(0);
        assert_eq!(error_of(kind, &bytes), Some(CodecError::invalid("it goes on after its end")));
        let error = error_of(kind, &framed(kind, &bytes[16..]));
        assert_eq!(error, Some(CodecError::invalid("its body holds more than it counts")));
    }
}

#[test]
fn what_others_wrote_is_told_from_damage() {
    let (batch, chunk) = (unhex(golden::BATCH), unhex(golden::CHUNK));
    assert_eq!(read_batch(&chunk), Err(CodecError::NotOurs { expected: FrameKind::LogBatch }));
    assert_eq!(read_chunk(&batch), Err(CodecError::NotOurs { expected: FrameKind::SnapshotChunk }));
    assert_eq!(read_batch(b"{}"), Err(CodecError::NotOurs { expected: FrameKind::LogBatch }));
    assert!(read_batch(b"hello").unwrap_err().to_string().contains("give Reveille a namespace of its own"));
}

#[test]
fn absurd_counts_allocate_nothing() {
    let max = "fc ffffffff";
    let mut records = Vec::new();
    for body in [
        format!("03 07 00 00 {max} 00 00"),
        format!("03 07 00 00 00 {max}"),
        format!("03 07 00 00 00 00 {max}"),
    ] {
        let batch = framed(FrameKind::LogBatch, &unhex(&body));
        let error = decode_batch(&batch, &mut Names::new(), &mut records);
        assert_eq!(error, Err(CodecError::invalid("it counts more than it has bytes for")));
    }
    assert_eq!(records.capacity(), 0);
    let mut image = Image::default();
    for counts in [
        format!("{max} 00 00 00"),
        format!("00 {max} 00 00"),
        format!("00 00 {max}"),
        format!("00 00 00 {max}"),
    ] {
        let chunk = framed(FrameKind::SnapshotChunk, &unhex(&format!("03 07 01 00 00 00 {counts}")));
        let error = decode_chunk(&chunk, &mut Names::new(), &mut image);
        assert_eq!(error, Err(CodecError::invalid("it counts more than it has bytes for")));
    }
    assert_eq!((image.jobs.capacity(), image.fired.capacity()), (0, 0));
}

#[test]
fn absurd_lengths_are_refused() {
    let job = |payload: &str| format!("03 07 00 00 01  01 01 71  00  01 00 0161 00 {payload}");
    let batch = FrameKind::LogBatch;
    assert_eq!(invalid(batch, &job("fc ffffff00 00")), "its body ends within a value");
    assert_eq!(invalid(batch, &job("fd ffffffffffffffff")), "a length is beyond all bounds");
    assert_eq!(invalid(batch, &job("fd ff")), "its body ends within a value");
    assert_eq!(invalid(batch, &job(&format!("fe {}", "00".repeat(16)))), "a number is out of its range");
}

#[test]
fn values_that_cannot_be_are_refused() {
    let job = |id: &str, key: &str, queue: &str| {
        format!("03 07 00 00 01  01 01 71  00  01 {id} {key} {queue} 00 0100 00")
    };
    let batch = FrameKind::LogBatch;
    assert_eq!(error_of(batch, &framed(batch, &unhex(&job("00", "0161", "00")))), None);
    assert_eq!(invalid(batch, &job("00", "00", "00")), "a key is empty or too long");
    let long = format!("fb 0102 {}", "61".repeat(513));
    assert_eq!(invalid(batch, &job("00", &long, "00")), "a key is empty or too long");
    assert_eq!(invalid(batch, &job("00", "01ff", "00")), "a text is not UTF-8");
    assert_eq!(invalid(batch, &job("00", "0161", "01")), "a job has a queue that is not in the table");
    let beyond = "a job has a number that no partition gets to";
    assert_eq!(invalid(batch, &job("01", "0161", "00")), beyond);
    assert_eq!(invalid(batch, &job("fd 0000000000000200", "0161", "00")), beyond);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let job = |block: &str| {
        // The options: "priority" and "delivery".
        let names = "02 08 7072696f72697479 08 64656c6976657279";
        format!("03 07 00 00 01  01 01 71  {names}  01 00 0161 00 00 0100 {block}")
    };
    let batch = FrameKind::LogBatch;
    for right in ["00", "03 00 01 07", "06 00 01 07 01 01 02", "06 01 01 02 00 01 07"] {
        assert_eq!(error_of(batch, &framed(batch, &unhex(&job(right)))), None, "{right}");
    }
    assert_eq!(invalid(batch, &job("03 02 01 07")), "a job has an option that is not in the table");
    assert_eq!(invalid(batch, &job("06 00 01 07 00 01 07")), "a job has an option twice");
    assert_eq!(invalid(batch, &job("02 00 01")), "its body ends within a value");
    assert_eq!(invalid(batch, &job("04 00 01 07 00")), "its body ends within a value");
    for (wrong, name) in
        [("02 00 00", "priority"), ("04 00 02 07 07", "priority"), ("03 01 01 03", "delivery")]
    {
        let error = error_of(batch, &framed(batch, &unhex(&job(wrong)))).unwrap();
        assert_eq!(error, CodecError::InvalidOption { name });
        assert!(error.to_string().contains(name) && error.to_string().contains("backup"), "{error}");
    }
}

#[test]
fn heads_that_cannot_be_are_refused() {
    let name = "the name of a queue is empty or too long";
    assert_eq!(invalid(FrameKind::LogBatch, "03 07 00 00 00  01 00 00"), name);
    let long = format!("03 07 00 00 00  01 81 {}", "61".repeat(129));
    assert_eq!(invalid(FrameKind::LogBatch, &long), name);
    let last = "03 07 fd ffffffffffffffff 00 01  00  04 00";
    assert_eq!(invalid(FrameKind::LogBatch, last), "its records go on after the last that can be counted");
    let next = "03 07 01 00 00 fd 0000000000000100 00 00 00";
    assert_eq!(
        invalid(FrameKind::SnapshotChunk, next),
        "its next job has a number that no partition gets to"
    );
}

#[test]
fn an_error_leaves_what_was_read_before() {
    let mut records = vec![Record::Cancelled { id: id(1) }];
    let (mut names, before) = (Names::new(), records.clone());
    let two = framed(FrameKind::LogBatch, &unhex("03 07 00 00 02 00 00  04 00  0f 00"));
    assert!(decode_batch(&two, &mut names, &mut records).is_err());
    assert_eq!(records, before);
    let mut image = Image { jobs: vec![pending(1)], next_sequence: 2, ..Image::default() };
    let before = image.clone();
    let body = "03 07 01 00 00 64 01 02  01 0171 00  01 00 0161 00 00 0100 00 01 00  01 00 0161 00 00  08 00 0161 00 00";
    let chunk = framed(FrameKind::SnapshotChunk, &unhex(body));
    let newer = CodecError::NewerPart { part: "End", tag: 8 };
    assert_eq!(decode_chunk(&chunk, &mut names, &mut image), Err(newer));
    assert_eq!(image, before);
}

#[test]
fn a_job_of_another_partition_is_not_written() {
    let foreign = JobId::new(PartitionId(4), 1);
    let records = [Record::Cancelled { id: foreign }];
    assert!(encode_batch(&batch_header(), &records, &mut Vec::new()).is_err());
    let mut encoder = ChunkEncoder::new(chunk_header().snapshot);
    assert!(encoder.push_job(&JobImage { id: foreign, ..pending(1) }).is_err());
    assert!(encoder.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        model::log_batch(&bytes);
        model::snapshot_chunk(&bytes);
    }

    #[test]
    fn changed_bodies_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (kind, golden) in GOLDEN {
            let mut body = unhex(golden).split_off(16);
            for (at, value) in &changes {
                let at = at.index(body.len());
                body[at] = *value;
            }
            match kind {
                FrameKind::LogBatch => model::log_batch(&body),
                FrameKind::SnapshotChunk => model::snapshot_chunk(&body),
            }
        }
    }
}
