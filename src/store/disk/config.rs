//! Where a store on disk lies, and how.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::files::Files;
use super::os::System;

/// The number of bytes after which a segment of the log is followed by the next.
const SEGMENT_BYTES: u64 = 64 << 20;

/// The least of it. A simulation writes little.
const SEGMENT_BYTES_MIN: u64 = if cfg!(feature = "_sim") { 1 << 10 } else { 64 << 10 };

/// How long the name of a namespace may be: what a file's name may have in most file systems.
const NAMESPACE_BYTES_MAX: usize = 200;

/// Where a [`DiskStore`](super::DiskStore) keeps its files.
#[derive(Clone)]
pub struct DiskConfig {
    pub(super) path: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) files: Arc<dyn Files>,
    /// How far the opening of the store has come.
    pub(super) steps: Arc<AtomicU64>,
}

/// Why a [`DiskConfig`] cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskConfigError {
    /// The name of a namespace is no name of a directory.
    #[error(
        "the namespace {name:?} cannot be the name of a directory: use letters, digits, `-`, `_`, `.` and `:`, not beginning with \
         a `.`, and 200 bytes at most"
    )]
    Namespace {
        /// As it was given.
        name: String,
    },
}

impl DiskConfig {
    /// In this directory, which is made if it is not there. It should hold nothing else.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        DiskConfig {
            path: path.into(),
            segment_bytes: SEGMENT_BYTES,
            files: Arc::new(System),
            steps: Arc::default(),
        }
    }

    /// In a directory of this name in the directory, so that several services can have stores beside each other.
    ///
    /// # Errors
    /// [`DiskConfigError::Namespace`].
    pub fn namespace(mut self, name: &str) -> Result<Self, DiskConfigError> {
        let is_taken = |char: char| char.is_alphanumeric() || "-_.:".contains(char);
        let is_name = !name.is_empty() && name.len() <= NAMESPACE_BYTES_MAX && !name.starts_with('.');
        if !is_name || !name.chars().all(is_taken) {
            return Err(DiskConfigError::Namespace { name: name.to_owned() });
        }
        self.path.push(name);
        Ok(self)
    }

    /// The number of bytes after which a segment of the log is followed by the next: 64 MiB by default, 64 KiB at least. What a
    /// snapshot covers is removed by the segment.
    #[must_use]
    pub fn segment_bytes(self, bytes: u64) -> Self {
        DiskConfig { segment_bytes: bytes.max(SEGMENT_BYTES_MIN), ..self }
    }

    /// Another file system, of a simulation.
    #[cfg(feature = "_sim")]
    #[doc(hidden)]
    #[must_use]
    pub fn files(self, files: Arc<dyn Files>) -> Self {
        DiskConfig { files, ..self }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for DiskConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiskConfig { path, segment_bytes, .. } = self;
        f.debug_struct("DiskConfig").field("path", path).field("segment_bytes", segment_bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_directory_of_its_own() {
        let config = || DiskConfig::new("/srv/jobs");
        assert_eq!(config().namespace("shop:eu-1").unwrap().path(), Path::new("/srv/jobs/shop:eu-1"));
        for name in ["", ".", "..", "../x", "a/b", "a\\b", ".tmp", "a b", "a\n", &"x".repeat(201)] {
            assert!(matches!(config().namespace(name), Err(DiskConfigError::Namespace { .. })), "{name}");
        }
    }
}
