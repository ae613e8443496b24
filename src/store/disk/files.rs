//! The file system as the store uses it, and the only way in which it does.
//!
//! [`System`](super::os::System) is the real one. A simulation puts its own in place, which fails, loses what was not synced and
//! stops in the middle.
//!
//! # What the store relies on
//! - A write that returned is seen by whoever reads the file, also after the process has ended.
//! - What was written and then synced outlives the machine's power. What was not may be there, or not, page by page and in
//!   any order; so may the length of a file.
//! - The name of a file outlives it once its directory was synced. A rename is whole: the old file or the new one.
//! - After a failed sync nothing is known of what was written since the last good one, whatever a later sync says.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A file system.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// Makes a directory, and those above it; nothing happens if it is there.
    ///
    /// # Errors
    /// As the system says, [`io::ErrorKind::NotADirectory`] or [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the path is a
    /// file.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names of the files in a directory, in no order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, to be read and written, in place of one that is there.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens a file that is there: for reading, and with `to_write` for writing too.
    ///
    /// # Errors
    /// As the system says.
    fn open(&self, path: &Path, to_write: bool) -> io::Result<Box<dyn File>>;

    /// Gives a file another name, in place of a file that has that one.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Resolves once the names in a directory outlive the machine's power.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock that is this file, which is made if it is not there. It is given back when the file is dropped, or the
    /// process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while somebody else has it, [`io::ErrorKind::Unsupported`] if the file system has no locks,
    /// and as the system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>>;
}

/// An open file.
pub trait File: fmt::Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the system says. Any part of it may have been written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads into `into` from `offset` on, and returns how much: less than there is room for only at the end of the file.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes it has.
    ///
    /// # Errors
    /// As the system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts it off.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Returns once its content, and its length, outlive the machine's power.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self) -> io::Result<()>;

    /// How long ago it was last written.
    ///
    /// # Errors
    /// As the system says.
    fn age(&self) -> io::Result<Duration>;

    /// Whether it still is the file of this name: `false` if there is another one, or none.
    ///
    /// # Errors
    /// As the system says.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}
