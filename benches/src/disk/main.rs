//! Ways to keep a log and snapshots on local disk, behind [`Store`](reveille::store::Store), on an engine's workload:
//! `cargo bench --bench disk`.
//!
//! ```text
//! cargo bench -p reveille-benches --bench disk                      # 1 M jobs, three rounds, 10 M pairs of churn
//! cargo bench -p reveille-benches --bench disk -- --quick           # 100 k jobs, one round, 200 k pairs
//! cargo bench -p reveille-benches --bench disk -- --test            # no figure counts: only whether all is there again
//! cargo bench -p reveille-benches --bench disk -- redb files        # these ways only
//! cargo bench -p reveille-benches --bench disk -- --jobs 10M        # snapshots and reloads of 10 M
//! cargo bench -p reveille-benches --features fjall --bench disk     # one way more
//! cargo bench -p reveille-benches --bench disk -- --part log,alone --rounds 5 --folder /mnt/disk
//! ```
//!
//! # The workload
//! - `log`: batches of 64 KiB, about 450 schedules each, from 8 partitions with four under way each, until 1 M schedules are
//!   there. At `fsync` a batch counts as under way until it is synced, and each partition has one sync under way at a time: so
//!   do an engine's committers. Beside a bare `write` of as many bytes, and `write` and `fdatasync`: after each batch, and
//!   after 32 of them, which no sharing of syncs can beat.
//! - `alone`: one schedule, about 200 bytes, after the other is acknowledged. In turns with a bare `write` of as many bytes,
//!   and with `write` and `fdatasync`.
//! - `jobs`: 1 M jobs in the log; the log reloaded; a snapshot of them all, which removes that log; reloaded after the store
//!   was closed, and from a copy made while it was open, which is what `kill -9` leaves behind; a second snapshot in place
//!   of the first. Bytes are those that the files take on the disk.
//! - `churn`: jobs scheduled and cancelled at once, with 10,000 that stay, and a snapshot of a partition after every 100,000 of its records, as
//!   an engine's default has it. Shows whether the space stays bounded.
//!
//! Records and images are made by real partitions from a fixed seed. Ways take turns in each round, with a fresh folder
//! each; the median of the rounds is told. Encoding is part of what is timed, and the same for all.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod args;
mod drive;
mod floor;
mod parts;
mod report;
mod ways;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use args::Args;
use report::Report;
use ways::Way;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Error> {
    let args = Args::read(std::env::args().skip(1))?;
    let ways: Vec<&Way> = ways::ALL.iter().filter(|way| args.wants(way.name)).collect();
    if ways.is_empty() {
        let known: Vec<_> = ways::ALL.iter().map(|way| way.name).collect();
        return Err(format!("no such way; there are {}", known.join(", ")).into());
    }
    for way in &ways {
        eprintln!("{:<14} {}", way.name, way.what);
    }
    // As an engine's runtime for its store is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    runtime.block_on(parts::measure(&args, &ways, &mut report))?;
    print!("{report}");
    Ok(())
}

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(under: &Path) -> Result<Self, Error> {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("reveille-disk-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = under.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Another one with the same files in it, as they were at one moment: what works behind the calls has come to rest.
    fn copy(&self, under: &Path) -> Result<Self, Error> {
        for _ in 0..100 {
            let before = state(&self.0)?;
            let copy = Folder::new(under)?;
            if copy_into(&self.0, &copy.0).is_ok() && state(&self.0)? == before {
                return Ok(copy);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("the store's files do not come to rest".into())
    }
}

/// All files in a folder, how long they are and when they were changed.
fn state(folder: &Path) -> Result<Vec<(PathBuf, u64, SystemTime)>, Error> {
    let mut state = Vec::new();
    for entry in folder.read_dir()? {
        let (entry, found) = entry.and_then(|entry| entry.metadata().map(|found| (entry, found)))?;
        if found.is_dir() {
            state.append(&mut self::state(&entry.path())?);
        } else {
            state.push((entry.path(), found.len(), found.modified()?));
        }
    }
    state.sort();
    Ok(state)
}

fn copy_into(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_into(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
            // Or its writing would go on while the copy is read.
            std::fs::File::open(to)?.sync_all()?;
        }
    }
    Ok(())
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
