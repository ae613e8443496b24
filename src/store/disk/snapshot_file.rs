//! A snapshot's file: a block of fixed size that says what it is, then its chunks. The first block is written last, and the file
//! gets its name when it is whole.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::{self, Head, Kind};
use super::distrust::{Begun, Distrust};
use super::errors::{damaged, failed, misfit};
use super::files::{File, Files};
use super::names::Name;
use crate::store::StoreError;
use crate::store::assembly::Published;

/// How many bytes the first block has.
pub(super) const ABOUT_BYTES: u64 = 1_024;

/// What is read of a snapshot before it is loaded.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    pub(super) path: PathBuf,
    pub(super) published: Published,
    /// Blocks of the log that are older do not count.
    pub(super) from_lsn: u64,
    /// When it was published, all of the log before this LSN was on the disk.
    pub(super) synced: u64,
    pub(super) distrust: Distrust,
    pub(super) last: Begun,
    pub(super) bytes: u64,
    pub(super) file: Box<dyn File>,
}

/// What the first block says, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct About {
    #[serde(flatten)]
    pub(super) published: Published,
    pub(super) from_lsn: u64,
    pub(super) synced: u64,
    /// But for these parts.
    pub(super) distrust: Distrust,
    /// The last segment then.
    pub(super) last: Begun,
    /// Of the whole file.
    pub(super) file_bytes: u64,
}

impl About {
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The block, as it is to be written at the beginning of the file. `None` if it does not fit, which cannot be.
    pub(super) fn block(&self, partition: u16, epoch: u64) -> Option<Vec<u8>> {
        let mut body = serde_json::to_vec(self).ok()?;
        let bytes = usize::try_from(ABOUT_BYTES).ok()?;
        // JSON may end with spaces.
        body.resize(bytes - block::HEAD_BYTES, b' ');
        let mut out = Vec::with_capacity(bytes);
        let head = Head {
            partition,
            epoch,
            lsn: self.published.generation,
            first: self.published.covered,
            ..Head::new(Kind::Snapshot)
        };
        (head.write(&body, &mut out) && About::parse(&body).is_ok()).then_some(out)
    }
}

impl SnapshotFile {
    /// Reads what the first block says; `None` if the file is gone.
    pub(super) fn read(
        files: &dyn Files,
        dir: &Path,
        partition: u16,
        generation: u64,
    ) -> Result<Option<Self>, StoreError> {
        let path = dir.join(Name::Snapshot(partition, generation).text());
        let reading = |error: io::Error| failed("reading", &path, &error);
        let file = match files.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(reading)?,
        };
        let bytes = file.bytes().map_err(reading)?;
        let mut first = vec![0; block::HEAD_BYTES.max(ABOUT_BYTES as usize)];
        let read = file.read_at(&mut first, 0).map_err(reading)?;
        let (head, body) = block::read(&first[..read]).map_err(|flaw| damaged(&path, 0, flaw))?;
        let about = About::parse(body).map_err(|error| misfit(&path, Some(0), &error))?;
        let is_named = (head.kind, head.partition, head.lsn) == (Kind::Snapshot, partition, generation)
            && about.published.generation == generation;
        if !is_named {
            return Err(misfit(&path, Some(0), &"it is another file of the store"));
        }
        if about.file_bytes != bytes {
            let problem = format!("it has {bytes} bytes, and was written with {}", about.file_bytes);
            return Err(misfit(&path, None, &problem));
        }
        let About { published, from_lsn, synced, distrust, last, file_bytes: _ } = about;
        Ok(Some(SnapshotFile { path, published, from_lsn, synced, distrust, last, bytes, file }))
    }
}
