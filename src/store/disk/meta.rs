//! The file `meta`: what the store knows of itself. Written whole, aside, and then given its name.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::block::{self, HEAD_BYTES, Head, Kind};
use super::distrust::Begun;
use super::errors::{damaged, failed, misfit};
use super::files::Files;
use super::names::{META, unfinished};
use crate::store::StoreError;

/// The file is much smaller.
const BYTES_MAX: u64 = 1 << 20;

/// What the store knows of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) partitions: u16,
    /// The last epoch that was granted, of any partition.
    pub(super) era: u64,
    /// Who got it.
    pub(super) owner: String,
    /// All of the log before this LSN is on the disk: after an orderly end, all of it.
    #[serde(default)]
    pub(super) synced: u64,
    /// The last segment then.
    #[serde(default)]
    pub(super) last: Begun,
}

impl Meta {
    /// Reads it; `None` if it was never written.
    pub(super) fn read(files: &dyn Files, dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(META);
        let file = match files.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| failed("opening", &path, &error))?,
        };
        let length = file.bytes().map_err(|error| failed("reading", &path, &error))?;
        let mut bytes = vec![0; usize::try_from(length.min(BYTES_MAX)).unwrap_or(HEAD_BYTES)];
        let read = file.read_at(&mut bytes, 0).map_err(|error| failed("reading", &path, &error))?;
        bytes.truncate(read);
        let (head, body) = block::read(&bytes).map_err(|flaw| damaged(&path, 0, flaw))?;
        if head.kind != Kind::Meta {
            return Err(misfit(&path, None, &"it is another file of the store"));
        }
        Meta::parse(body).map(Some).map_err(|error| misfit(&path, None, &error))
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Returns once it outlives the machine's power.
    pub(super) fn write(&self, files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(META);
        let aside = unfinished(&path);
        let body = serde_json::to_vec(self).map_err(|error| misfit(&path, None, &error))?;
        let mut bytes = Vec::new();
        if !Head::new(Kind::Meta).write(&body, &mut bytes) {
            return Err(misfit(&path, None, &"it would be too long"));
        }
        let write = || {
            let file = files.create(&aside)?;
            file.write_at(&bytes, 0)?;
            file.sync()?;
            files.rename(&aside, &path)?;
            files.sync_dir(dir)
        };
        write().map_err(|error| failed("writing", &path, &error))
    }
}
