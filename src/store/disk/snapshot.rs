//! Writing a snapshot: a file aside, chunk by chunk, which gets its name when it is whole and on the disk.
//!
//! # Rules
//! - First the log up to there is on the disk, then the snapshot, then its name; only then is anything removed that it stands
//!   for. An end at any moment leaves the old snapshot with its log, or the new one with what comes after it.
//! - A generation is never used twice.
//! - Nobody claims the partition between the last look at the grant and the name.
//! - A snapshot that ends before it has its name leaves a file that means nothing. It is removed with the writer, or when the
//!   store is opened next.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Core;
use super::block::{Head, Kind};
use super::errors::failed;
use super::files::File;
use super::names::{Name, unfinished};
use super::snapshot_file::{ABOUT_BYTES, About};
use crate::partition::Image;
use crate::rt::Runtime;
use crate::store::assembly::Published;
use crate::store::chunker::{Chunk, Chunker, Steps};
use crate::store::codec::SnapshotHeader;
use crate::store::{Grant, SnapshotBegin, SnapshotInfo, SnapshotWriter, StoreError, StoreFuture};

/// How much is written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A snapshot under way. It contains payloads, which are never printed.
pub(super) struct Writer {
    core: Arc<Core>,
    grant: Grant,
    begin: SnapshotBegin,
    generation: u64,
    /// The file's name when it is whole, and before that.
    path: PathBuf,
    aside: PathBuf,
    file: Arc<dyn File>,
    chunker: Chunker,
    /// Chunks that wait to be written, and how many bytes come before them in the file.
    piece: Vec<u8>,
    written: u64,
    steps: Steps,
}

impl Core {
    pub(super) async fn begin_snapshot(
        self: &Arc<Self>,
        grant: &Grant,
        begin: SnapshotBegin,
    ) -> Result<Writer, StoreError> {
        let generation = {
            let mut state = self.state.lock();
            let held = self.held(&mut state, grant)?;
            if !begin.replaces_log {
                held.partition.relied_on(grant.partition)?;
            }
            *held.last_generation += 1;
            *held.last_generation
        };
        let path = self.config.path().join(Name::Snapshot(grant.partition.0, generation).text());
        let aside = unfinished(&path);
        let (core, making) = (Arc::clone(self), aside.clone());
        let made = blocking(move || {
            let made = core.config.files.create(&making);
            made.map_err(|error| failed("making", &making, &error))
        });
        let file = Arc::from(made.await?);
        let header = SnapshotHeader {
            partition: grant.partition,
            epoch: grant.epoch,
            generation,
            covered: begin.covered,
            next_sequence: begin.next_sequence,
        };
        Ok(Writer {
            core: Arc::clone(self),
            grant: grant.clone(),
            begin,
            generation,
            path,
            aside,
            file,
            chunker: Chunker::new(header),
            piece: Vec::new(),
            written: ABOUT_BYTES,
            steps: Steps::Going,
        })
    }
}

impl SnapshotWriter for Writer {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.steps.begin(self.grant.partition)?;
            for chunk in self.chunker.add(&slice)? {
                self.add(&chunk).await?;
            }
            self.steps = Steps::Going;
            Ok(())
        })
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        Box::pin(async move {
            self.steps.begin(self.grant.partition)?;
            for chunk in self.chunker.finish()? {
                self.add(&chunk).await?;
            }
            self.flush().await?;
            self.publish_whole(complete).await?;
            self.steps = Steps::Published;
            let core = Arc::clone(&self.core);
            if let Err(error) = blocking(move || core.tidy()).await {
                let partition = self.grant.partition.0;
                tracing::warn!(partition, %error, "what a snapshot has replaced is still there; the next one removes it");
            }
            Ok(self.chunker.info())
        })
    }
}

impl Writer {
    async fn add(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let head = Head {
            partition: self.grant.partition.0,
            epoch: self.grant.epoch,
            lsn: self.generation,
            first: chunk.number,
            ..Head::new(Kind::Chunk)
        };
        if !head.write(&chunk.bytes, &mut self.piece) {
            return Err(StoreError::fatal("a chunk of a snapshot is longer than a block can be"));
        }
        if self.piece.len() >= PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        let (file, at, path) = (Arc::clone(&self.file), self.written, self.aside.clone());
        self.written += piece.len() as u64;
        let writing = blocking(move || {
            file.write_at(&piece, at).map_err(|error| failed("writing", &path, &error))?;
            Ok(piece)
        });
        // Its room is used again.
        self.piece = writing.await?;
        self.piece.clear();
        Ok(())
    }

    async fn publish_whole(&mut self, complete: u64) -> Result<(), StoreError> {
        let core = Arc::clone(&self.core);
        let _turn = core.syncing.lock().await;
        if !self.begin.replaces_log {
            self.check_log(complete)?;
            core.sync_written().await?;
        }
        let publishing = Publishing {
            core: Arc::clone(&core),
            grant: self.grant.clone(),
            begin: self.begin,
            complete,
            path: self.path.clone(),
            aside: self.aside.clone(),
            file: Arc::clone(&self.file),
            published: self.published(complete),
            file_bytes: self.written,
        };
        blocking(move || publishing.run()).await
    }

    /// The log has to be there up to the last record that the image may show.
    fn check_log(&self, complete: u64) -> Result<(), StoreError> {
        let mut state = self.core.state.lock();
        let held = self.core.held(&mut state, &self.grant)?;
        held.partition.relied_on(self.grant.partition)?;
        let (end, partition) = (held.partition.log_end, self.grant.partition.0);
        if end < complete {
            return Err(StoreError::retry(format!(
                "the snapshot was published before the log was there: records {end} to {complete} of partition {partition} are \
                 missing"
            )));
        }
        Ok(())
    }

    fn published(&self, complete: u64) -> Published {
        let SnapshotInfo { jobs, fired, chunks, bytes } = self.chunker.info();
        Published {
            generation: self.generation,
            chunks,
            covered: self.begin.covered,
            complete,
            next_sequence: self.begin.next_sequence,
            jobs,
            fired,
            bytes,
            at_ms: 0,
        }
    }
}

/// A snapshot that is written, and is to be made the one to restore from.
struct Publishing {
    core: Arc<Core>,
    grant: Grant,
    begin: SnapshotBegin,
    complete: u64,
    path: PathBuf,
    aside: PathBuf,
    file: Arc<dyn File>,
    published: Published,
    file_bytes: u64,
}

impl Publishing {
    fn run(self) -> Result<(), StoreError> {
        let (core, dir) = (Arc::clone(&self.core), self.core.config.path());
        let _nobody_claims = core.claims.lock();
        let about = self.about()?;
        let block = about.block(self.grant.partition.0, self.grant.epoch);
        let block = block
            .ok_or_else(|| StoreError::fatal("the first block of a snapshot does not hold what it has to"))?;
        let write = || -> io::Result<()> {
            self.file.write_at(&block, 0)?;
            self.file.sync()?;
            core.config.files.rename(&self.aside, &self.path)?;
            core.config.files.sync_dir(dir)
        };
        write().map_err(|error| failed("writing", &self.path, &error))?;
        self.takes_effect(&about)
    }

    fn about(&self) -> Result<About, StoreError> {
        let mut state = self.core.state.lock();
        let held = self.core.held(&mut state, &self.grant)?;
        if !self.begin.replaces_log {
            held.partition.relied_on(self.grant.partition)?;
        }
        let from_lsn = if self.begin.replaces_log { held.log.next_lsn } else { held.partition.from_lsn };
        let (synced, distrust, last) = (held.log.synced_lsn, held.log.distrust.clone(), held.log.last);
        Ok(About { published: self.published, from_lsn, synced, distrust, last, file_bytes: self.file_bytes })
    }

    fn takes_effect(self, about: &About) -> Result<(), StoreError> {
        let mut state = self.core.state.lock();
        let held = self.core.held(&mut state, &self.grant)?;
        let partition = held.partition;
        let replaced = partition.snapshot.replace((self.path, self.published));
        held.useless.extend(replaced.map(|(path, _)| path));
        partition.from_lsn = about.from_lsn;
        partition.found = None;
        if self.begin.replaces_log {
            partition.log_end = self.begin.covered;
            partition.doubt = None;
        }
        tracing::trace!(
            partition = self.grant.partition.0,
            complete = self.complete,
            "a snapshot is published"
        );
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.steps == Steps::Published {
            return;
        }
        let Some(runtime) = Runtime::current() else { return };
        let (files, aside) = (Arc::clone(&self.core.config.files), self.aside.clone());
        let removing = runtime.clone();
        runtime.spawn(async move {
            let removed = removing.run_blocking(move || files.remove(&aside)).await;
            if let Some(Err(error)) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(%error, "an unfinished snapshot is still there");
            }
        });
    }
}

/// Runs what waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = || StoreError::retry("the runtime ended in the middle of a request to the disk");
    let runtime = Runtime::current().ok_or_else(ended)?;
    runtime.run_blocking(work).await.ok_or_else(ended)?
}
