//! The readers of the store's files against any bytes: as they are, and as blocks that fit their checksums, since no fuzzer guesses
//! one.
//!
//! For tests and fuzzing only, so that what one finds the other can replay.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::block::{HEAD_BYTES, Head, MAGIC};
use super::files::{File, Files};
use super::load::Reading;
use super::meta::Meta;
use super::names::FORMAT;
use super::segment::Segment;
use super::snapshot_file::SnapshotFile;
use crate::partition::PartitionId;

/// Reads a file of the kind that the first byte says, with the content that follows. Panics if a reader believes what it must not.
pub fn disk_file(input: &[u8]) {
    let Some((&kind, content)) = input.split_first() else { return };
    let mut sealed = content.to_vec();
    seal(&mut sealed);
    for content in [content.to_vec(), sealed] {
        match kind % 3 {
            0 => segment(content),
            1 => snapshot(content),
            _ => drop(Meta::read(&Only::of(content), Path::new(""))),
        }
    }
}

fn segment(content: Vec<u8>) {
    let read = |content: &[u8]| Segment::read(&Only::of(content.to_vec()), Path::new(""), 1);
    let Ok(Some(segment)) = read(&content) else { panic!("a file that can be read is read") };
    assert!(segment.good_bytes <= segment.bytes && segment.bytes == content.len() as u64);
    let end = |entry: &super::segment::Entry| entry.offset + entry.head.block_bytes();
    assert!(segment.entries.iter().all(|entry| end(entry) <= segment.good_bytes));
    assert!(
        segment.entries.is_sorted_by(|one, next| end(one) <= next.offset && one.head.lsn < next.head.lsn)
    );
    assert_eq!(segment.flaw.is_none(), segment.good_bytes == segment.bytes);
    // What comes before the bad spot does not depend on what comes after it.
    let good = usize::try_from(segment.good_bytes).expect("it is in memory");
    let Ok(Some(again)) = read(&content[..good]) else { panic!("a file that can be read is read") };
    assert_eq!((&again.entries, again.flaw, again.head), (&segment.entries, None, segment.head));
}

fn snapshot(content: Vec<u8>) {
    let bytes = content.len() as u64;
    let Ok(Some(found)) = SnapshotFile::read(&Only::of(content), Path::new(""), 3, 7) else { return };
    assert_eq!(found.bytes, bytes);
    let open = Some((found.path, found.published, found.file));
    let Ok(mut reading) = Reading::new(PartitionId(3), open, Default::default(), Vec::new(), 0, false) else {
        return;
    };
    while let Ok(true) = reading.piece() {}
}

/// Makes blocks of it: magic, format and checksums are put where they belong, and lengths cut to what is there.
fn seal(content: &mut [u8]) {
    let mut rest = content;
    while rest.len() > HEAD_BYTES {
        let (head, body) = rest.split_at_mut(HEAD_BYTES);
        let claimed = usize::from(head[8]) | usize::from(head[9]) << 8;
        let length = claimed.min(body.len());
        head[..4].copy_from_slice(&MAGIC);
        head[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        head[8..12].copy_from_slice(&u32::try_from(length).expect("two bytes").to_le_bytes());
        head[12..16].copy_from_slice(&crc32fast::hash(&body[..length]).to_le_bytes());
        let crc = crc32fast::hash(&head[..HEAD_BYTES - 4]);
        head[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        let _ = Head::read(head);
        rest = &mut rest[HEAD_BYTES + length..];
    }
}

/// A file system in which every name is this file, and which can only be read.
#[derive(Clone, Debug)]
struct Only(Arc<[u8]>);

impl Only {
    fn of(content: Vec<u8>) -> Self {
        Only(content.into())
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Files for Only {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        unsupported()
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        unsupported()
    }

    fn create(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        unsupported()
    }

    fn open(&self, _path: &Path, _to_write: bool) -> io::Result<Box<dyn File>> {
        Ok(Box::new(self.clone()))
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        unsupported()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        unsupported()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        unsupported()
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        unsupported()
    }
}

impl File for Only {
    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        unsupported()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn truncate(&self, _bytes: u64) -> io::Result<()> {
        unsupported()
    }

    fn sync(&self) -> io::Result<()> {
        unsupported()
    }

    fn age(&self) -> io::Result<Duration> {
        unsupported()
    }

    fn is_at(&self, _path: &Path) -> io::Result<bool> {
        unsupported()
    }
}
