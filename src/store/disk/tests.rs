//! The bytes of the store's files. They are on users' disks: a test here that fails means that they can no longer be read, or that
//! what is written can no longer be read by the programs that are out there. Do not change the bytes: a change of them is a new
//! format, with a reader for both.

use std::path::Path;

use super::block::{self, Head, Kind};
use super::distrust::{Begun, Distrust};
use super::files::Files;
use super::meta::Meta;
use super::model::disk_file;
use super::os::System;
use super::segment::{Says, Segment};
use super::snapshot_file::{ABOUT_BYTES, About, SnapshotFile};
use crate::store::assembly::Published;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/disk/golden");

const LAST: Begun = Begun { segment: 8, lsn: 20 };

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(GOLDEN).join(name)).unwrap()
}

fn batch() -> Head {
    let [lsn, synced, epoch, first, end] = [41, 40, 7, 1_000, 1_002];
    Head { lsn, synced, partition: 3, epoch, first, end, ..Head::new(Kind::Batch) }
}

/// The head, two batches that are not really some, and the beginning of a third.
fn segment() -> Vec<u8> {
    let mut distrust = Distrust::default();
    distrust.add(12..20);
    let mut bytes = Vec::new();
    let head = Head { lsn: 41, synced: 40, epoch: 8, first: 20, end: 41, ..Head::new(Kind::Segment) };
    assert!(Says { distrust, ended: 0 }.write(head, &mut bytes));
    assert!(batch().write(b"one", &mut bytes));
    assert!(Head { lsn: 42, synced: 42, first: 1_002, end: 1_003, ..batch() }.write(b"two", &mut bytes));
    bytes.extend_from_slice(b"RVDB");
    bytes
}

fn about() -> About {
    let published = Published {
        generation: 7,
        chunks: 1,
        covered: 900,
        complete: 950,
        next_sequence: 500,
        jobs: 2,
        fired: 1,
        bytes: 5,
        at_ms: 0,
    };
    let mut distrust = Distrust::default();
    distrust.add(12..20);
    About { published, from_lsn: 30, synced: 40, distrust, last: LAST, file_bytes: ABOUT_BYTES + 77 }
}

/// What a snapshot's file says of itself, and a chunk that is not really one.
fn snapshot() -> Vec<u8> {
    let mut bytes = about().block(3, 7).unwrap();
    let head = Head { lsn: 7, partition: 3, epoch: 7, ..Head::new(Kind::Chunk) };
    assert!(head.write(b"chunk", &mut bytes));
    bytes
}

fn meta() -> Vec<u8> {
    let meta = Meta { partitions: 8, era: 7, owner: "host:1:2".to_owned(), synced: 40, last: LAST };
    let mut bytes = Vec::new();
    assert!(Head::new(Kind::Meta).write(&serde_json::to_vec(&meta).unwrap(), &mut bytes));
    bytes
}

#[test]
fn files_have_these_bytes() {
    for (name, bytes) in [("segment", segment()), ("snapshot", snapshot()), ("meta", meta())] {
        assert_eq!(bytes, golden(name), "{name}");
    }
}

#[test]
fn the_golden_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("log-0000000009.rvl"), golden("segment")).unwrap();
    std::fs::write(dir.join("snapshot-p0003-0000000007.rvs"), golden("snapshot")).unwrap();
    std::fs::write(dir.join("meta"), golden("meta")).unwrap();
    let found = Segment::read(&System, dir, 9).unwrap().unwrap();
    let lsns: Vec<u64> = found.entries.iter().map(|entry| entry.head.lsn).collect();
    assert_eq!((lsns, found.synced, found.bytes - found.good_bytes), (vec![41, 42], 42, 4));
    assert!(found.flaw.is_some() && found.says.distrust.contains(19) && !found.says.distrust.contains(20));
    let found = SnapshotFile::read(&System, dir, 3, 7).unwrap().unwrap();
    assert_eq!((found.published, found.from_lsn, found.synced), (about().published, 30, 40));
    let meta = Meta::read(&System, dir).unwrap().unwrap();
    assert_eq!((meta.partitions, meta.era, meta.owner.as_str(), meta.synced), (8, 7, "host:1:2", 40));
    assert!(System.list(dir).unwrap().len() == 3);
}

/// Every byte of them changed, and every length: nothing panics, and nothing is believed that does not fit.
#[test]
fn readers_survive_any_change() {
    for (kind, bytes) in [(0, segment()), (1, snapshot()), (2, meta())] {
        let file = |content: &[u8]| [&[kind], content].concat();
        disk_file(&file(&bytes));
        for at in 0..bytes.len() {
            disk_file(&file(&bytes[..at]));
            for flipped in [0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flipped;
                disk_file(&file(&changed));
            }
        }
    }
}

#[test]
fn what_fuzzing_has_found_is_survived() {
    crate::corpus::replay("disk_file", disk_file);
}

#[test]
fn a_block_that_is_too_long_is_not_written() {
    let mut out = Vec::new();
    let body = vec![0; block::BODY_BYTES_MAX + 1];
    assert!(!Head::new(Kind::Batch).write(&body, &mut out) && out.is_empty());
}
