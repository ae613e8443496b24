//! A folder of its own for each test, which goes with it.

use std::path::{Path, PathBuf};

use reveille::store::{DiskConfig, DiskStore};
use tempfile::TempDir;

pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A store there. Dropping it is to its files what the end of its process is.
    pub fn store(&self) -> DiskStore {
        DiskStore::new(DiskConfig::new(self.path()))
    }

    /// One with the smallest segments.
    pub fn store_of_small_segments(&self) -> DiskStore {
        DiskStore::new(DiskConfig::new(self.path()).segment_bytes(0))
    }

    /// The files of which the name begins like this, in order.
    pub fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
        files.sort();
        files
    }

    /// The last segment of the log that has anything in it.
    pub fn last_segment(&self) -> PathBuf {
        self.files("log-").into_iter().rfind(|path| bytes(path) > 0).expect("something was written")
    }

    /// How many bytes all files have.
    pub fn bytes(&self) -> u64 {
        self.files("").iter().map(|path| bytes(path)).sum()
    }
}

pub fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Changes one byte.
pub fn flip(path: &Path, at: u64) {
    let mut content = std::fs::read(path).unwrap();
    content[usize::try_from(at).unwrap()] ^= 0x20;
    std::fs::write(path, content).unwrap();
}

pub fn cut(path: &Path, bytes: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}
