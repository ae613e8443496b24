//! Looking at what Redis holds, without a lease and without changing anything. A replica is enough, and so is a user who may
//! only read. The connection is closed after each look, because the next one may never come.

use std::time::Duration;

use redis::{Pipeline, Value};
use serde::Serialize;

use super::answer::{Answer, behind};
use super::errors::Doing;
use super::keys::Keys;
use super::link::Link;
use super::load::read;
use super::meta::Meta;
use super::{Core, RedisStore};
use crate::json;
use crate::partition::PartitionId;
use crate::store::{
    LivingOwner, Owner, PartitionRead, PartitionReport, ReadStore, SnapshotReport, StoreError,
    StoreErrorClass, StoreFuture,
};

/// Chunks whose memory is asked for. The others are assumed to be alike.
const CHUNKS_SAMPLED: u64 = 16;

/// Partitions that are asked for the number of partitions.
const PARTITIONS_TRIED: u16 = 4;

/// How often a read starts over because the owner has published a snapshot meanwhile.
const READS_MAX: u32 = 5;

/// A replica. What it holds may be older than what its master holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct ReplicaReport {
    /// Where its master is, as `host:port`.
    pub master: String,
    /// Whether it is connected to its master.
    pub is_link_up: bool,
    /// How long ago it last heard from its master, in whole seconds; `None` if it never did, or the link is down.
    #[serde(rename = "heard_before_ms", serialize_with = "json::millis_if_any")]
    pub heard_before: Option<Duration>,
    /// How long the link has been down, in whole seconds; `None` if it is up, or never was.
    #[serde(rename = "down_for_ms", serialize_with = "json::millis_if_any")]
    pub down_for: Option<Duration>,
}

impl RedisStore {
    /// The replica's link to its master, if the server is a replica, which can be read but not written to. `None` if it is a
    /// master.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn replica(&self) -> Result<Option<ReplicaReport>, StoreError> {
        let _closed = Closing(&self.core.look);
        let connection = self.core.look.connection().await?;
        let facts = &connection.facts;
        Ok(facts.is_replica.then(|| ReplicaReport {
            master: format!("{}:{}", facts.link.host, facts.link.port),
            is_link_up: facts.link.is_up,
            heard_before: facts.link.heard_before.filter(|_| facts.link.is_up),
            down_for: facts.link.down_for.filter(|_| !facts.link.is_up),
        }))
    }

    /// What Redis holds of each partition, in order, for those that were ever owned. Takes no lease and changes nothing. Works
    /// on a replica too.
    ///
    /// # Errors
    /// When Redis cannot be reached, or has something else under one of the keys.
    pub async fn inspect(&self) -> Result<Vec<PartitionReport>, StoreError> {
        let _closed = Closing(&self.core.look);
        let mut reports = Vec::new();
        let Some(partitions) = self.core.partitions().await? else { return Ok(reports) };
        for partition in (0..partitions).map(PartitionId) {
            if let Some(report) = self.core.report(partition).await? {
                reports.push(report);
            }
        }
        Ok(reports)
    }

    /// The number of partitions; `None` if nothing was written.
    ///
    /// # Errors
    /// When Redis cannot be reached, or has something else under the key.
    pub async fn partitions(&self) -> Result<Option<u16>, StoreError> {
        let _closed = Closing(&self.core.look);
        self.core.partitions().await
    }

    /// Reads a partition without taking its lease, also while its owner goes on writing: everything up to the last record
    /// at the time of reading. `None` if it was never owned. Works on a replica too.
    ///
    /// # Errors
    /// When Redis cannot be reached, its data is inconsistent, or the partition was lost.
    pub async fn read(&self, partition: PartitionId) -> Result<Option<PartitionRead>, StoreError> {
        let core = &*self.core;
        let _closed = Closing(&core.look);
        let keys = core.keys(partition);
        let mut reads = 0;
        loop {
            let Some(before) = core.meta(partition).await? else {
                core.check_unread(&keys).await?;
                return Ok(None);
            };
            let loaded = read(&core.look, &keys, &before, true, &|_| {}).await;
            reads += 1;
            let error = match loaded {
                Ok(loaded) => return Ok(Some(PartitionRead::new(loaded, before.living_owner()))),
                Err(error) => error,
            };
            // A snapshot that was replaced while it was read is not damage.
            let Some(after) = core.meta(partition).await? else {
                return Err(behind(format!("`{}` is gone", keys.meta())));
            };
            if error.class != StoreErrorClass::Fatal
                || after.snapshot == before.snapshot
                || reads == READS_MAX
            {
                return Err(error);
            }
        }
    }
}

impl ReadStore for RedisStore {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        Box::pin(self.partitions())
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        Box::pin(self.read(partition))
    }
}

impl Core {
    async fn meta(&self, partition: PartitionId) -> Result<Option<Meta>, StoreError> {
        Meta::read(&self.look, &self.keys(partition)).await
    }

    async fn partitions(&self) -> Result<Option<u16>, StoreError> {
        let mut first = self.meta(PartitionId(0)).await?;
        // One partition's number may have been lost.
        for partition in (1..PARTITIONS_TRIED).map(PartitionId) {
            if first.is_some() {
                break;
            }
            first = self.meta(partition).await?;
        }
        let partitions = first.map(|meta| meta.partitions);
        if let Some(partitions) = partitions {
            self.namespace.has(partitions);
        }
        Ok(partitions)
    }

    /// There is no `:m`: was the partition never owned, or was it lost?
    async fn check_unread(&self, keys: &Keys) -> Result<(), StoreError> {
        let log = keys.log();
        if self.exists(&log).await? {
            return Err(Answer::words(&["ORPHAN", &log]).refusal(keys));
        }
        self.check_unowned(keys, PARTITIONS_TRIED.max(keys.partitions())).await
    }

    async fn report(&self, partition: PartitionId) -> Result<Option<PartitionReport>, StoreError> {
        let keys = self.keys(partition);
        let Some(meta) = self.meta(partition).await? else { return Ok(None) };
        let (log_entries, memory_bytes) = self.sizes(&keys, &meta).await?;
        Ok(Some(PartitionReport {
            partition,
            owner: meta.living_owner(),
            log_end: meta.log_end,
            log_entries,
            log_records: meta.log_end.saturating_sub(meta.covered()),
            snapshot: meta.snapshot.as_ref().map(|snapshot| {
                let age_ms = meta.now_ms.saturating_sub(snapshot.at_ms);
                SnapshotReport::new(snapshot, Duration::from_millis(age_ms))
            }),
            chunks_beside: meta.chunks_beside,
            memory_bytes,
        }))
    }

    /// How many entries the log has, and how much memory all keys take.
    async fn sizes(&self, keys: &Keys, meta: &Meta) -> Result<(u64, Option<u64>), StoreError> {
        let mut commands = Pipeline::new();
        commands.cmd("XLEN").arg(keys.log());
        for key in [keys.meta(), keys.log()] {
            commands.cmd("MEMORY").arg("USAGE").arg(key);
        }
        let (generation, chunks) =
            meta.snapshot.map_or((0, 0), |snapshot| (snapshot.generation, snapshot.chunks));
        let sampled = chunks.min(CHUNKS_SAMPLED);
        for sample in 0..sampled {
            commands.cmd("MEMORY").arg("USAGE").arg(keys.chunk(generation, sample * chunks / sampled));
        }
        let all = keys.to_string();
        let doing = Doing::with("looking at", &all);
        let connection = self.look.connection().await?;
        let mut answers = self.look.send_all(&connection, &commands, doing).await?.into_iter();
        let entries = self.look.checked(&connection, answers.next().unwrap_or(Value::Nil), doing)?;
        let log_entries = number(&entries).unwrap_or(0);
        let memory: Vec<Option<u64>> = answers.map(|answer| number(&answer)).collect();
        let (fixed, samples) = memory.split_at(memory.len().min(2));
        let sum = |parts: &[Option<u64>]| parts.iter().copied().sum::<Option<u64>>();
        let of_chunks = sum(samples).map(|bytes| (bytes * chunks).checked_div(sampled).unwrap_or(0));
        Ok((log_entries, sum(fixed).zip(of_chunks).map(|(fixed, chunks)| fixed + chunks)))
    }
}

/// Closes a connection.
struct Closing<'a>(&'a Link);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Meta {
    fn living_owner(&self) -> LivingOwner {
        LivingOwner::new(Owner::new(&self.owner), self.epoch, self.lease_left())
    }
}

/// `None` if Redis refused to tell. A missing key takes nothing.
fn number(answer: &Value) -> Option<u64> {
    match answer {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Nil => Some(0),
        _ => None,
    }
}
