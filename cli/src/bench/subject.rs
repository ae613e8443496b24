//! The store to measure, and its floors: what the same bytes take without it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use reveille::Durability;
use reveille::store::{DiskConfig, DiskStore, MemoryStore, Store};

use super::Error;
use super::server::Redis;
use crate::store::directory;

/// What `--store` says for the engine's own part: a store in the same memory, for which nobody waits.
const MEMORY: &str = "memory:";

/// A store to measure. What it keeps there is this run's alone.
pub(super) enum Subject {
    Redis(Redis),
    Disk(Folder),
    Memory(Arc<MemoryStore>),
}

impl Subject {
    /// The one of this address; without one, a Redis of our own.
    pub(super) async fn of(address: Option<&str>, appendfsync: &str) -> Result<Self, Error> {
        Ok(match address {
            Some(MEMORY) => Subject::Memory(Arc::default()),
            Some(address) => match directory(address)? {
                Some(path) => Subject::Disk(Folder::below(path)?),
                None => Subject::Redis(Redis::at(address).await?),
            },
            None => Subject::Redis(Redis::start(appendfsync).await?),
        })
    }

    pub(super) fn store(&self) -> Result<Arc<dyn Store>, Error> {
        Ok(match self {
            Subject::Redis(redis) => Arc::new(redis.store()?),
            Subject::Disk(folder) => Arc::new(DiskStore::new(DiskConfig::new(folder.store()))),
            Subject::Memory(store) => Arc::<MemoryStore>::clone(store),
        })
    }

    /// What a call is held against first, and what the disk itself takes if it is known which that is.
    pub(super) async fn floors(&self, durability: Durability) -> Result<Vec<Floor>, Error> {
        match self {
            Subject::Redis(redis) => {
                let mut floors = vec![Floor::RoundTrip(redis.connect().await?)];
                if let Some(folder) = redis.folder() {
                    floors.extend(Floor::of_disk(folder)?);
                }
                Ok(floors)
            }
            Subject::Disk(folder) => {
                let [write, sync] = Floor::of_disk(folder.path())?;
                // First the one that the level is about.
                Ok(if durability == Durability::Fsync { vec![sync, write] } else { vec![write, sync] })
            }
            Subject::Memory(_) => Ok(Vec::new()),
        }
    }

    /// What it takes by now, in bytes: memory of a Redis, files on a disk. `None` if nobody counts it.
    pub(super) async fn bytes(&self) -> Result<Option<u64>, Error> {
        match self {
            Subject::Redis(redis) => Ok(Some(redis.bytes(&mut redis.connect().await?).await?)),
            Subject::Disk(folder) => Ok(Some(folder.bytes()?)),
            Subject::Memory(_) => Ok(None),
        }
    }

    /// Removes all that the run has left.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        match self {
            Subject::Redis(redis) => redis.clear().await,
            // A folder is removed when it is dropped.
            Subject::Disk(_) | Subject::Memory(_) => Ok(()),
        }
    }
}

/// A directory for this run alone, removed when dropped.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    /// In this directory, which is made if it is not there.
    fn below(path: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(path)?;
        Ok(Folder(tempfile::Builder::new().prefix("reveille-bench-").tempdir_in(path)?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where the store is: apart from what else is measured there.
    fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Reads every file of the store, and throws it away. Returns how many bytes they have.
    pub(super) fn read_raw(&self) -> Result<usize, Error> {
        let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
        for entry in self.store().read_dir()? {
            let mut file = File::open(entry?.path())?;
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    read => bytes += read,
                }
            }
        }
        Ok(bytes)
    }

    /// What the store's files have.
    fn bytes(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for entry in self.store().read_dir()? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

/// Something that any store has to do, done bare.
pub(super) enum Floor {
    /// The same bytes, written to the same Redis and answered.
    RoundTrip(MultiplexedConnection),
    /// The same bytes, given to the system.
    Write(File),
    /// The same bytes, on the disk.
    Sync(File),
}

impl Floor {
    /// What a disk takes, in this folder.
    pub(super) fn of_disk(folder: &Path) -> Result<[Floor; 2], Error> {
        let open = |name| OpenOptions::new().create(true).append(true).open(folder.join(name));
        Ok([Floor::Write(open("bare-write")?), Floor::Sync(open("bare-sync")?)])
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Floor::RoundTrip(_) => "a bare round trip (SET)",
            Floor::Write(_) => "a bare write",
            Floor::Sync(_) => "a bare write and fdatasync",
        }
    }

    /// Does it once, and says how long that took.
    pub(super) async fn take(&mut self, bytes: &[u8]) -> Result<Duration, Error> {
        let began = Instant::now();
        match self {
            Floor::RoundTrip(connection) => {
                let () = redis::cmd("SET").arg(BARE_KEY).arg(bytes).query_async(connection).await?;
            }
            Floor::Write(file) => file.write_all(bytes)?,
            Floor::Sync(file) => {
                file.write_all(bytes)?;
                file.sync_data()?;
            }
        }
        Ok(began.elapsed())
    }

    /// Removes what it wrote among others' data.
    pub(super) async fn clear(self) -> Result<(), Error> {
        if let Floor::RoundTrip(mut connection) = self {
            let () = redis::cmd("UNLINK").arg(BARE_KEY).query_async(&mut connection).await?;
        }
        Ok(())
    }
}

const BARE_KEY: &str = "reveille-bench-bare";
