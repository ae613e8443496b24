//! Named pipes as inputs: an inbox whose writers come and go.
//!
//! # Rules
//! - Opening a pipe never waits for a writer, so errors show at once.
//! - A pipe that stays open is read for ever. The program is a writer too, so the pipe does not end with the last other
//!   writer, and nothing is lost between two of them.
//! - A pipe that ends does so like standard input, when its last writer has closed it. It waits for its first writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

/// Whether a path names a pipe. A shell's `<(command)` does not: that pipe has no name, and ends.
pub(super) fn is_at(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) && fs::canonicalize(path).is_ok()
}

/// Opens a pipe that stays open.
pub(super) fn open_to_stay(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            error.kind(),
            format!("{error}; a pipe must be readable and writable, to stay open between its writers"),
        ),
        _ => error,
    })
}

/// A pipe that ends with its last writer.
#[derive(Debug)]
pub(super) struct UntilLastWriter(File);

impl UntilLastWriter {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A wait of its own, since one to open it would know neither a signal nor a mistaken path.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(path).map(UntilLastWriter)
    }
}

impl Read for UntilLastWriter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Without a writer a read would report the end. This waits for the first writer.
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => ready?,
            };
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}
