//! Writing a segment anew with less in it, aside, and then in place of the old one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::block::{HEAD_BYTES, Head};
use super::errors::{damaged, failed};
use super::files::{File, Files};
use super::names::unfinished;
use super::segment::Segment;
use crate::store::StoreError;

/// How much is written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Writes the segment anew with the blocks that `is_kept`, up to its last good one. Returns the new file once it, and its name,
/// outlive the machine's power.
pub(super) fn rewrite(
    files: &dyn Files,
    dir: &Path,
    segment: &Segment,
    is_kept: impl Fn(&Head) -> bool,
) -> Result<Arc<dyn File>, StoreError> {
    let path = &segment.path;
    let writing = |error: io::Error| failed("writing anew", path, &error);
    let aside = unfinished(path);
    let from = files.open(path, false).map_err(writing)?;
    let to = files.create(&aside).map_err(writing)?;
    let mut piece = Piece { to: &*to, bytes: Vec::new(), written: 0 };
    let head_bytes = segment.head.map_or(HEAD_BYTES as u64, |head| head.block_bytes());
    piece.copy(&*from, path, 0, head_bytes)?;
    for entry in segment.entries.iter().filter(|entry| is_kept(&entry.head)) {
        piece.copy(&*from, path, entry.offset, entry.head.block_bytes())?;
    }
    piece.flush().map_err(writing)?;
    to.sync().map_err(writing)?;
    files.rename(&aside, path).map_err(writing)?;
    files.sync_dir(dir).map_err(writing)?;
    Ok(Arc::from(to))
}

struct Piece<'a> {
    to: &'a dyn File,
    bytes: Vec<u8>,
    written: u64,
}

impl Piece<'_> {
    fn copy(&mut self, from: &dyn File, path: &Path, offset: u64, bytes: u64) -> Result<(), StoreError> {
        let at = self.bytes.len();
        self.bytes.resize(at + usize::try_from(bytes).unwrap_or(0), 0);
        let read = from.read_at(&mut self.bytes[at..], offset);
        read.map_err(|error| failed("reading", path, &error))?;
        // It may have rotted since it was read.
        super::block::read(&self.bytes[at..]).map_err(|flaw| damaged(path, offset, flaw))?;
        if self.bytes.len() >= PIECE_BYTES {
            self.flush().map_err(|error| failed("writing anew", path, &error))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_at(&self.bytes, self.written)?;
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}
