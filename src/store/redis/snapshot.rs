//! Writing a snapshot: chunk by chunk, a few under way at a time, then one flip that makes it the one to restore from.
//!
//! # Rules
//! - A generation is never used twice, and no chunk is written over another.
//! - The flip is one write: a restore sees the old snapshot with its log, or the new one with what comes after it. Only
//!   then is the old one removed, and the log before the new one, a little at a time.
//! - A snapshot that ends before its flip leaves chunks that no restore sees. They are removed at once if the writer still
//!   lives, and otherwise before the next snapshot.
//! - A request whose answer was lost is sent again, for a while. If that does not help, the writer is broken: a job that was
//!   lost on the way would be missing in the snapshot.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, behind};
use super::errors::Doing;
use super::keys::Keys;
use super::known::Kept;
use super::scripts::{CHUNK, Call, PUBLISH, run};
use super::sweep::Sweep;
use super::{Core, RedisStore};
use crate::partition::Image;
use crate::rt::{self, Runtime, Tasks};
use crate::store::assembly::Published;
use crate::store::chunker::{Chunk, Chunker, Steps};
use crate::store::codec::SnapshotHeader;
use crate::store::{
    Grant, SnapshotBegin, SnapshotInfo, SnapshotWriter, StoreError, StoreErrorClass, StoreFuture,
};

/// Chunks under way at a time: enough to hide a round trip, and few enough that Redis' other clients do not wait long.
const UNDER_WAY_MAX: usize = 4;

const ATTEMPTS_MAX: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// A snapshot under way. It contains payloads, which are never printed.
pub(super) struct Writer {
    core: Arc<Core>,
    grant: Grant,
    keys: Keys,
    begin: SnapshotBegin,
    generation: u64,
    chunker: Chunker,
    under_way: Tasks<Result<(), StoreError>>,
    steps: Steps,
}

impl RedisStore {
    pub(super) async fn begin_snapshot(
        &self,
        grant: &Grant,
        begin: SnapshotBegin,
    ) -> Result<Writer, StoreError> {
        let core = Arc::clone(&self.core);
        let keys = core.keys(grant.partition);
        let generation = patiently(|| core.sweep(grant, &keys, Sweep::ToBegin)).await?;
        let header = SnapshotHeader {
            partition: grant.partition,
            epoch: grant.epoch,
            generation,
            covered: begin.covered,
            next_sequence: begin.next_sequence,
        };
        Ok(Writer {
            core,
            grant: grant.clone(),
            keys,
            begin,
            generation,
            chunker: Chunker::new(header),
            under_way: Tasks::new(),
            steps: Steps::Going,
        })
    }
}

impl SnapshotWriter for Writer {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.steps.begin(self.grant.partition)?;
            for chunk in self.chunker.add(&slice)? {
                self.send(chunk).await?;
            }
            self.steps = Steps::Going;
            Ok(())
        })
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        Box::pin(async move {
            self.steps.begin(self.grant.partition)?;
            for chunk in self.chunker.finish()? {
                self.send(chunk).await?;
            }
            while let Some(written) = self.under_way.join_next().await {
                self.written(written)?;
            }
            self.flip(complete).await?;
            self.steps = Steps::Published;
            self.tidy().await;
            Ok(self.chunker.info())
        })
    }
}

impl Writer {
    /// Sends a chunk, once not too many are under way.
    async fn send(&mut self, Chunk { number, bytes }: Chunk) -> Result<(), StoreError> {
        while self.under_way.len() >= UNDER_WAY_MAX
            && let Some(written) = self.under_way.join_next().await
        {
            self.written(written)?;
        }
        let (core, grant, generation) = (Arc::clone(&self.core), self.grant.clone(), self.generation);
        let Some(runtime) = Runtime::current() else {
            return Err(StoreError::retry("the runtime ended in the middle of a snapshot"));
        };
        self.under_way
            .spawn_on(&runtime, async move { core.write_chunk(&grant, generation, number, &bytes).await });
        Ok(())
    }

    fn written(&mut self, written: Option<Result<(), StoreError>>) -> Result<(), StoreError> {
        written.ok_or_else(|| StoreError::retry("the runtime ended in the middle of a snapshot"))?
    }

    async fn flip(&self, complete: u64) -> Result<(), StoreError> {
        let (begin, info, keys, grant) = (&self.begin, self.chunker.info(), &self.keys, &self.grant);
        let known = self.core.known.acknowledged(grant);
        // Until the answer says how this ended.
        let before = self.core.known.kept(grant);
        self.core.known.keeps(grant, Kept::Unknown);
        if begin.replaces_log {
            self.core.known.sends(grant, begin.covered);
        }
        let before =
            before.published().map(|before| [before.generation, before.chunks].map(|n| n.to_string()));
        let [old, old_chunks] = before.unwrap_or_default();
        let call = Call::by(&PUBLISH, vec![keys.meta()], grant)
            .number(self.generation)
            .number(info.chunks)
            .number(begin.covered)
            .number(complete)
            .number(begin.next_sequence)
            .number(info.jobs)
            .number(info.fired)
            .number(info.bytes)
            .flag(begin.replaces_log)
            .text(&old)
            .text(&old_chunks);
        let meta = keys.meta();
        let doing = Doing::with("publishing a snapshot of", &meta);
        let (answer, _) = patiently(|| run(&self.core.control, &call, doing)).await?;
        match answer.word() {
            "OK" => {
                self.core.known.keeps(grant, self.kept(complete, answer.number(2)));
                if begin.replaces_log {
                    self.core.known.acknowledge(grant, begin.covered, false);
                }
                Ok(())
            }
            "GAP" => Err(self.too_early(&answer, complete, known)),
            _ => Err(answer.refusal(keys)),
        }
    }

    /// What `:m` says now.
    fn kept(&self, complete: u64, at_ms: u64) -> Kept {
        let (begin, info) = (&self.begin, self.chunker.info());
        let published = Published {
            generation: self.generation,
            chunks: info.chunks,
            covered: begin.covered,
            complete,
            next_sequence: begin.next_sequence,
            jobs: info.jobs,
            fired: info.fired,
            bytes: info.bytes,
            at_ms,
        };
        Kept::Snapshot(published, format!("{}-{}", self.grant.epoch, begin.covered + 1))
    }

    fn too_early(&self, answer: &Answer, complete: u64, known: u64) -> StoreError {
        let (partition, tail) = (self.grant.partition.0, answer.number(1));
        let missing = format!("records {tail} to {complete} of partition {partition} are missing");
        if tail < known {
            behind(format!("Redis went back in time: {missing}"))
        } else {
            StoreError::retry(format!("the snapshot was published before the log was there: {missing}"))
        }
    }

    /// The snapshot is in force: what is not done here is done before the next one.
    async fn tidy(&self) {
        let (core, grant, keys) = (&self.core, &self.grant, &self.keys);
        let swept = core.sweep(grant, keys, Sweep::ToGiveUp(self.generation)).await;
        let trimmed = core.trim(grant, keys).await;
        if let Err(error) = swept.map(|_| ()).and(trimmed) {
            let partition = grant.partition.0;
            tracing::warn!(partition, %error, "what a snapshot has replaced is still there; the next one removes it");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(runtime) = Runtime::current() else { return };
        if self.steps == Steps::Published {
            return;
        }
        self.under_way = Tasks::new();
        let (core, grant, keys) = (Arc::clone(&self.core), self.grant.clone(), self.keys.clone());
        let generation = self.generation;
        runtime.spawn(async move {
            if let Err(error) = core.sweep(&grant, &keys, Sweep::ToGiveUp(generation)).await {
                tracing::debug!(partition = grant.partition.0, %error, "an unfinished snapshot is still there");
            }
        });
    }
}

impl Core {
    async fn write_chunk(
        &self,
        grant: &Grant,
        generation: u64,
        number: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let keys = self.keys(grant.partition);
        let call = Call::by(&CHUNK, vec![keys.meta(), keys.chunk(generation, number)], grant)
            .number(generation)
            .number(number)
            .bytes(bytes);
        let meta = keys.meta();
        let doing = Doing::with("writing a snapshot of", &meta);
        let (answer, _) = patiently(|| run(&self.control, &call, doing)).await?;
        match answer.word() {
            "OK" => Ok(()),
            _ => Err(answer.refusal(&keys)),
        }
    }
}

/// Sends a request again while it may help: all of them can be repeated.
async fn patiently<T, F>(mut request: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = PAUSE_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match request().await {
            Err(error) if error.class == StoreErrorClass::Retry => {
                tracing::debug!(%error, "a part of a snapshot is sent again");
                rt::sleep(error.again_after.unwrap_or(pause)).await;
                pause = (pause * 2).min(PAUSE_LAST);
            }
            end => return end,
        }
    }
    request().await
}
