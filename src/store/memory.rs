//! A store in memory. It outlives an engine, not the process: for tests of what a restart keeps.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Batch, Loaded, Store, StoreError, StoreFuture};
use crate::partition::{Config, Now, PartitionId, Queue, QueueId, QueueName, Record, Replay, ReplayError};

/// Keeps the state of every partition by replaying its records, so that its memory is that of the live jobs, not that
/// of all that ever happened.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    partitions: Option<u16>,
    epoch: u64,
    replicas: BTreeMap<PartitionId, Replica>,
    /// The store's own numbers for the names of queues: those in a record hold only for the engine that wrote it.
    queues: Vec<QueueName>,
}

#[derive(Debug)]
struct Replica {
    replay: Replay,
    next_record: u64,
}

/// Fired jobs that are remembered per partition.
const FIRED_MAX: usize = 100_000;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }
}

impl Store for MemoryStore {
    fn open(&self, partitions: u16) -> StoreFuture<'_, u64> {
        let mut state = self.state.lock();
        let was = *state.partitions.get_or_insert(partitions);
        Box::pin(std::future::ready(if was == partitions {
            state.epoch += 1;
            Ok(state.epoch)
        } else {
            Err(StoreError::fatal(format!(
                "the store was written with {was} partitions and the engine has {partitions}; \
                 build the engine with {was}"
            )))
        }))
    }

    fn load(&self, partition: PartitionId) -> StoreFuture<'_, Loaded> {
        let state = self.state.lock();
        let loaded = state.replicas.get(&partition).map_or_else(Loaded::default, |replica| Loaded {
            image: replica.replay.image(),
            next_record: replica.next_record,
        });
        Box::pin(std::future::ready(Ok(loaded)))
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(std::future::ready(self.state.lock().append(batch)))
    }
}

impl State {
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        // Before anything else: a record of another engine may bear the number of one that is here.
        if batch.epoch != self.epoch {
            let (epoch, now) = (batch.epoch, self.epoch);
            return Err(StoreError::fatal(format!(
                "another engine has taken the store over (epoch {epoch}, now {now})"
            )));
        }
        let State { replicas, queues, .. } = self;
        let replica = replicas.entry(batch.partition).or_insert_with(|| Replica::new(batch.partition));
        let have = replica.next_record;
        if batch.first_record > have {
            return Err(StoreError::fatal(format!(
                "records {have} to {} of partition {} are missing",
                batch.first_record, batch.partition.0
            )));
        }
        // What is there already was sent again after a lost reply.
        let known = usize::try_from(have - batch.first_record).unwrap_or(usize::MAX);
        for mut record in batch.records.iter().skip(known).cloned() {
            if let Record::Scheduled(scheduled) = &mut record {
                let queue = &mut scheduled.queue;
                queue.id = number(queues, queue);
            }
            replica.apply(record).map_err(|error| StoreError::fatal(error.to_string()))?;
        }
        Ok(())
    }
}

fn number(queues: &mut Vec<QueueName>, queue: &Queue) -> QueueId {
    let at = queues.iter().position(|known| *known == queue.name).unwrap_or_else(|| {
        queues.push(queue.name.clone());
        queues.len() - 1
    });
    QueueId(u16::try_from(at).unwrap_or(u16::MAX))
}

impl Replica {
    fn new(partition: PartitionId) -> Self {
        let config = Config {
            tick_us: 1_000,
            horizon_us: u64::MAX,
            payload_bytes_max: usize::MAX,
            fired_max: FIRED_MAX,
            fired_for_us: u64::MAX,
            engine: 0,
            is_logged: false,
        };
        Replica { replay: Replay::new(partition, config, Now::default()), next_record: 0 }
    }

    fn apply(&mut self, record: Record) -> Result<(), ReplayError> {
        self.replay.apply(record, Now::default())?;
        self.next_record += 1;
        Ok(())
    }
}
