//! Named pipes as inputs: an inbox whose writers come and go.
//!
//! # Rules
//! - To open one never waits for a writer. What can be wrong with it is known at once.
//! - One that stays open is read for ever: it has a writer of its own, so that it does not end with the last of the
//!   others, and nothing is lost between two of them.
//! - One that is to end does so as standard input does, when its last writer has closed it. It waits for the first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

/// Whether a path names a pipe. What a shell writes for `<(command)` does not: that pipe has no name, and ends.
pub(super) fn is_at(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) && fs::canonicalize(path).is_ok()
}

/// Opens one that stays open.
pub(super) fn open_to_stay(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            error.kind(),
            format!("{error}; a pipe must be readable and writable, to stay open between its writers"),
        ),
        _ => error,
    })
}

/// One that is to end.
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
            // Without a writer a read would say that it has ended. This waits until there has been one.
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
