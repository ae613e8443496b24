//! What the disk itself takes for the same bytes.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Error;

/// Writes of a whole log, in pieces.
pub(crate) struct Bare {
    file: File,
}

impl Bare {
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(folder.join(name))?;
        Ok(Bare { file })
    }

    /// One write, and how long it took; with a sync if `is_synced`.
    pub(crate) fn write(&mut self, bytes: &[u8], is_synced: bool) -> Result<Duration, Error> {
        let began = Instant::now();
        self.file.write_all(bytes)?;
        if is_synced {
            self.file.sync_data()?;
        }
        Ok(began.elapsed())
    }

    /// All of `bytes` bytes in batches of 64 KiB, with a sync after every `synced_every`th batch if that is not 0.
    pub(crate) fn write_all(&mut self, bytes: u64, synced_every: u64) -> Result<Duration, Error> {
        // Not zeros, which a virtual disk may not write.
        let batch: Vec<u8> = (0..65_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let began = Instant::now();
        for n in 1..=bytes / batch.len() as u64 {
            let is_synced = synced_every > 0 && n.is_multiple_of(synced_every);
            self.write(&batch, is_synced)?;
        }
        Ok(began.elapsed())
    }
}

/// Writes of 200 bytes, and how long each took, for a second.
pub(crate) fn small_writes(folder: &Path, kind: Small) -> Result<Vec<Duration>, Error> {
    const ROOM_BYTES: usize = 4 << 20;
    let path = folder.join("small");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    if kind == Small::SyncedInRoom {
        file.write_all(&vec![1; ROOM_BYTES])?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let beside = (kind == Small::BesideSyncs).then(|| {
        let (file, is_over) = (file.try_clone(), Arc::clone(&is_over));
        std::thread::spawn(move || -> std::io::Result<()> {
            let file = file?;
            while !is_over.load(Relaxed) {
                file.sync_data()?;
            }
            Ok(())
        })
    });
    let (began, mut times, mut bytes) = (Instant::now(), Vec::new(), 0);
    while began.elapsed() < Duration::from_secs(1) && bytes < ROOM_BYTES - 200 {
        let since = Instant::now();
        file.write_all(&[7; 200])?;
        if kind != Small::BesideSyncs {
            file.sync_data()?;
        }
        times.push(since.elapsed());
        bytes += 200;
        if kind == Small::BesideSyncs {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    is_over.store(true, Relaxed);
    if let Some(beside) = beside {
        beside.join().map_err(|_| "the thread that syncs panicked")??;
    }
    Ok(times)
}

/// In what circumstances.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Small {
    /// Each is synced, and makes the file longer.
    Synced,
    /// Each is synced, within a file that was as long before.
    SyncedInRoom,
    /// Not synced, while another thread syncs the same file again and again.
    BesideSyncs,
}

/// What all files in a folder take on the disk, in bytes.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = folder.read_dir() else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // Removed meanwhile.
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
