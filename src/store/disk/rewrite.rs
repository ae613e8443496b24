//! Writing a segment anew with less in it, aside, and then in place of the old one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::errors::failed;
use super::files::{File, Files};
use super::names::unfinished;
use super::segment::{Says, Segment};
use crate::store::StoreError;

/// How much is written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Writes the segment anew with the batches that it has, up to its last good one; with another head if there are `says`, and byte
/// for byte otherwise. Returns the new file once it, and its name, outlive the machine's power.
pub(super) fn rewrite(
    files: &dyn Files,
    dir: &Path,
    segment: &Segment,
    says: Option<&Says>,
) -> Result<Arc<dyn File>, StoreError> {
    let path = &segment.path;
    let writing = |error: io::Error| failed("writing anew", path, &error);
    let aside = unfinished(path);
    let from = files.open(path, false).map_err(writing)?;
    let to = files.create(&aside).map_err(writing)?;
    let mut piece = Piece { to: &*to, bytes: Vec::new(), written: 0 };
    let is_told = match (says, segment.head) {
        (Some(says), Some(head)) => says.write(head, &mut piece.bytes),
        (None, Some(head)) => piece.copy(&*from, path, 0, head.block_bytes()).map(|()| true)?,
        (_, None) => true,
    };
    if !is_told {
        return Err(StoreError::fatal("the head of a segment does not hold what it has to"));
    }
    for entry in &segment.entries {
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
        // What a failed sync has dropped is read until the system forgets it. Whoever reads it anew judges what that means.
        super::block::read(&self.bytes[at..]).map_err(|flaw| {
            StoreError::retry(format!(
                "{} has changed at byte {offset} since it was read: {flaw}",
                path.display()
            ))
        })?;
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
