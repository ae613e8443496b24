//! A store in memory. It outlives an engine, not the process: for tests of what a restart keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{
    Batch, Claim, Durability, Grant, Lease, LivingOwner, LoadTold, Loaded, Needs, Opened, Owner,
    PartitionRead, ReadStore, Renewed, SnapshotBegin, SnapshotWriter, Store, StoreError, StoreErrorClass,
    StoreFuture,
};
use crate::partition::{Config, Now, PartitionId, Record, Replay, ReplayError};

/// Keeps the state of every partition by replaying its records, so it needs memory for the live jobs and not for their
/// history.
///
/// One engine at a time owns it, as with any store. A lease lasts until a shutdown gives it back or its engine is dropped.
/// Another engine waits for that as a standby, fails with [`StartError::Held`](crate::StartError::Held), or takes the lease by
/// force ([`take_over`](crate::Builder::take_over)). A shutdown that leaves a handler running keeps the lease, because the next
/// engine would run the same job beside it. Leases have no term, so nothing is renewed, and an engine from which the store was
/// taken by force notices with the next record it writes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    partitions: Option<u16>,
    replicas: BTreeMap<PartitionId, Replica>,
}

#[derive(Debug)]
struct Replica {
    replay: Replay<'static>,
    log_end: u64,
    epoch: u64,
    /// The last owner.
    owner: Option<Owner>,
    /// Whether it still has the lease.
    is_held: bool,
}

/// When to ask again for a lease that another engine holds.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Fired jobs that are remembered per partition.
const FIRED_MAX: usize = 100_000;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }
}

/// Nothing here waits for anything.
fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Store for MemoryStore {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        let mut state = self.state.lock();
        let (was, asked) = (*state.partitions.get_or_insert(needs.partitions), needs.partitions);
        ready(if was == asked {
            Ok(Opened { durability_max: Durability::Logged, has_lease: false })
        } else {
            Err(StoreError::fatal(format!(
                "the store was written with {was} partitions and the engine has {asked}; \
                 build the engine with {was}"
            )))
        })
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        let mut state = self.state.lock();
        let replica = state.replicas.entry(partition).or_insert_with(|| Replica::new(partition));
        let other = replica.owner.as_ref().filter(|owner| **owner != claim.owner);
        if claim.epoch_after > 0 && other.is_some() && replica.epoch > claim.epoch_after {
            return ready(Err(StoreError::fenced("another engine has taken the store over")));
        }
        let held_by = other.filter(|_| replica.is_held && !claim.by_force).filter(|owner| !owner.has_left());
        if let Some(owner) = held_by {
            let message = format!(
                "another engine of this process has the store ({owner}): shut it down or drop it first, or give each a store of \
                 its own"
            );
            return ready(Err(StoreError::held(message, LOOK_AGAIN)));
        }
        replica.is_held = true;
        replica.owner = Some(claim.owner.clone());
        replica.epoch = (replica.epoch + 1).max(claim.epoch_after + 1);
        let (owner, epoch) = (claim.owner.clone(), replica.epoch);
        let grant = Grant { partition, owner, epoch, term: claim.term };
        ready(Ok(Lease { grant, log_end: replica.log_end }))
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        let mut state = self.state.lock();
        let renew = |grant| state.held(grant).map(|replica| Renewed { log_end: replica.log_end });
        ready(Ok(grants.iter().map(renew).collect()))
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        let mut state = self.state.lock();
        for grant in grants {
            // Another owner's lease stays as it is.
            if let Ok(replica) = state.held(grant) {
                replica.is_held = false;
            }
        }
        ready(Ok(()))
    }

    fn load<'a>(&'a self, grant: &'a Grant, _told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        let mut state = self.state.lock();
        ready(state.held(grant).map(|replica| replica.loaded()))
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        ready(self.state.lock().append(batch))
    }

    fn sync<'a>(&'a self, _grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        ready(Err(StoreError::fatal(format!("a store in memory cannot give the durability {level}"))))
    }

    fn snapshot<'a>(
        &'a self,
        _grant: &'a Grant,
        _begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        ready(Ok(None))
    }
}

impl ReadStore for MemoryStore {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        ready(Ok(self.state.lock().partitions))
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        let state = self.state.lock();
        ready(Ok(state.replicas.get(&partition).and_then(Replica::read)))
    }
}

impl State {
    /// The partition's state, if `grant` is the last one given out for it.
    fn held(&mut self, grant: &Grant) -> Result<&mut Replica, StoreError> {
        let now = self.replicas.get(&grant.partition).map_or(0, |replica| replica.epoch);
        match self.replicas.get_mut(&grant.partition) {
            Some(replica) if now == grant.epoch => Ok(replica),
            _ => {
                let epoch = grant.epoch;
                Err(StoreError::fenced(format!(
                    "another engine has taken the store over (epoch {epoch}, now {now})"
                )))
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        // Before anything else: a record of another engine may bear the number of one that is here.
        let have = self.held(&batch.grant)?.log_end;
        let partition = batch.grant.partition;
        if batch.first_record > have {
            return Err(StoreError::new(
                StoreErrorClass::Behind,
                format!("records {have} to {} of partition {} are missing", batch.first_record, partition.0),
            ));
        }
        let Some(replica) = self.replicas.get_mut(&partition) else { return Ok(()) };
        // What is there already was sent again after a lost reply.
        let known = usize::try_from(have - batch.first_record).unwrap_or(usize::MAX);
        for record in batch.records.iter().skip(known).cloned() {
            replica.apply(record).map_err(|error| StoreError::fatal(error.to_string()))?;
        }
        Ok(())
    }
}

impl Replica {
    fn new(partition: PartitionId) -> Self {
        let config = Config {
            tick_us: 1_000,
            horizon_us: u64::MAX,
            payload_bytes_max: usize::MAX,
            fired_max: FIRED_MAX,
            fired_for_us: u64::MAX,
            dead_max: usize::MAX,
            dead_for_us: u64::MAX,
            engine: 0,
            is_logged: false,
        };
        Replica {
            replay: Replay::new(partition, config, Now::default()),
            log_end: 0,
            epoch: 0,
            owner: None,
            is_held: false,
        }
    }

    fn loaded(&self) -> Loaded {
        let at = self.log_end;
        Loaded { image: self.replay.image(), covered: at, complete: at, records: Vec::new() }
    }

    /// `None` if nobody has owned it.
    fn read(&self) -> Option<PartitionRead> {
        let owner = self.owner.clone()?;
        // It does not run out.
        let lease_left = (self.is_held && !owner.has_left()).then_some(Duration::MAX);
        Some(PartitionRead::new(self.loaded(), LivingOwner::new(owner, self.epoch, lease_left)))
    }

    fn apply(&mut self, record: Record) -> Result<(), ReplayError> {
        self.replay.apply(record, Now::default())?;
        self.log_end += 1;
        Ok(())
    }
}
