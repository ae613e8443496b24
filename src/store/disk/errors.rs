//! What the errors of a file system mean for an engine, and what to do about them.
//!
//! Nothing that is asked again writes at two places: an append that failed is written at the same place once more.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::block::Flaw;
use crate::store::{StoreError, StoreErrorClass};

/// When to ask again for what the system refused.
const AGAIN: Duration = Duration::from_secs(1);

/// The system did not do something to a file.
pub(super) fn failed(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{
        FileTooLarge, Interrupted, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull, TimedOut, WouldBlock,
    };
    let said = format!("{doing} {} failed: {error}", path.display());
    match error.kind() {
        StorageFull | QuotaExceeded => refused(format!(
            "{said}. Make room on that file system; firing goes on meanwhile, and so does writing as soon as there is room"
        )),
        ReadOnlyFilesystem => refused(format!("{said}. Mount that file system so that it can be written to")),
        PermissionDenied => refused(format!(
            "{said}. Let the user that this process runs as read and write that directory and its files"
        )),
        FileTooLarge => refused(format!("{said}. Raise the limit on the size of files (`ulimit -f`)")),
        NotADirectory => fatal_of_path(path, &said),
        IsADirectory => {
            StoreError::fatal(format!("{said}. A directory lies where the store has a file: move it away"))
        }
        Interrupted | TimedOut | WouldBlock => StoreError::retry(said),
        _ => refused(format!("{said}. See what the system's log says of that disk")),
    }
}

/// The store's directory could not be made.
pub(super) fn no_directory(path: &Path, error: &io::Error) -> StoreError {
    let is_file = matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory);
    let said = format!("making the directory {} failed: {error}", path.display());
    if is_file { fatal_of_path(path, &said) } else { failed("making the directory", path, error) }
}

fn fatal_of_path(path: &Path, said: &str) -> StoreError {
    StoreError::fatal(format!(
        "{said}. A store on disk is a directory, and a file lies at {} or above it: name another path, or move the file away",
        path.display()
    ))
}

/// The lock cannot be had, and nobody has it.
pub(super) fn no_lock(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | NotADirectory) {
        return failed("opening", path, error);
    }
    StoreError::fatal(format!(
        "locking {} failed: {error}. Without a lock two processes could own the jobs: a network file system without locks \
         cannot hold a store; put it on a local disk",
        path.display()
    ))
}

fn refused(message: String) -> StoreError {
    let mut error = StoreError::new(StoreErrorClass::Refused, message);
    error.again_after = Some(AGAIN);
    error
}

/// The store has less than it acknowledged.
pub(super) fn behind(message: String) -> StoreError {
    StoreError::new(StoreErrorClass::Behind, message)
}

/// A file is not as it was written.
pub(super) fn damaged(path: &Path, offset: u64, flaw: Flaw) -> StoreError {
    if flaw.may_be_torn() { misfit(path, Some(offset), &flaw) } else { newer(path, offset, flaw) }
}

fn newer(path: &Path, offset: u64, flaw: Flaw) -> StoreError {
    StoreError::fatal(format!("{} at byte {offset}: {flaw}. Nothing was changed", path.display()))
}

/// What lies there does not fit together.
pub(super) fn misfit(path: &Path, offset: Option<u64>, problem: &dyn Display) -> StoreError {
    let at = offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
    StoreError::fatal(format!(
        "{}{at} is not as the store wrote it: {problem}. Nothing was loaded or changed. Put the directory back from a backup, or \
         move it away and begin with an empty one",
        path.display()
    ))
}
