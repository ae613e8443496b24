//! Who owns the partitions, as [`MemoryStore`](reveille::store::MemoryStore) has it: a lease lasts until it is given back or taken
//! by force. What keeps another process out is the way's own lock.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use reveille::partition::PartitionId;
use reveille::store::{Batch, Claim, Grant, Lease, Needs, Owner, Renewed, StoreError, StoreErrorClass};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Owned {
    partitions: Mutex<BTreeMap<PartitionId, Held>>,
}

#[derive(Debug, Default)]
struct Held {
    epoch: u64,
    owner: Option<Owner>,
    is_held: bool,
    /// The record after the last one that was sent.
    sent: u64,
    /// The record after the last one that is there.
    log_end: u64,
}

/// What to do with a batch.
pub(crate) enum Sent {
    /// Records from this one of the batch on are new.
    New(usize),
    /// All of it was sent before: it is there once everything sent so far is.
    Before,
}

impl Owned {
    /// Refuses an engine with another number of partitions than `was` written.
    pub(crate) fn open(was: Option<u16>, needs: &Needs) -> Result<(), StoreError> {
        match was {
            Some(was) if was != needs.partitions => Err(StoreError::fatal(format!(
                "the store was written with {was} partitions and the engine has {}; build the engine with {was}",
                needs.partitions
            ))),
            _ => Ok(()),
        }
    }

    /// Gives the lease of a partition whose last epoch on disk is `epoch` and whose log ends before `log_end`.
    pub(crate) fn acquire(
        &self,
        partition: PartitionId,
        claim: &Claim,
        epoch: u64,
        log_end: u64,
    ) -> Result<Lease, StoreError> {
        let mut partitions = self.partitions.lock().unwrap();
        let held = partitions.entry(partition).or_insert_with(|| Held {
            epoch,
            sent: log_end,
            log_end,
            ..Held::default()
        });
        let other = held.owner.as_ref().filter(|owner| **owner != claim.owner);
        if claim.epoch_after > 0 && other.is_some() && held.epoch > claim.epoch_after {
            return Err(StoreError::fenced("another engine has taken the store over"));
        }
        if let Some(owner) = other.filter(|owner| held.is_held && !claim.by_force && !owner.has_left()) {
            return Err(StoreError::held(format!("another engine has the store ({owner})"), LOOK_AGAIN));
        }
        held.is_held = true;
        held.owner = Some(claim.owner.clone());
        held.epoch = (held.epoch + 1).max(claim.epoch_after + 1);
        Ok(Lease::new(Grant::new(partition, claim, held.epoch), held.log_end))
    }

    pub(crate) fn renew(&self, grant: &Grant) -> Result<Renewed, StoreError> {
        self.with(grant, |held| Renewed::new(held.log_end))
    }

    pub(crate) fn release(&self, grant: &Grant) {
        // Another owner's lease stays as it is.
        let _ = self.with(grant, |held| held.is_held = false);
    }

    pub(crate) fn check(&self, grant: &Grant) -> Result<(), StoreError> {
        self.with(grant, |_| ())
    }

    /// A batch is about to be written.
    pub(crate) fn sends(&self, batch: &Batch) -> Result<Sent, StoreError> {
        let (first, end) = (batch.first_record, batch.end());
        self.with(&batch.grant, |held| {
            if first > held.sent {
                return Err(StoreError::new(
                    StoreErrorClass::Behind,
                    format!(
                        "records {} to {first} of partition {} are missing",
                        held.sent, batch.grant.partition.0
                    ),
                ));
            }
            if end <= held.sent {
                return Ok(Sent::Before);
            }
            let known = usize::try_from(held.sent - first).unwrap_or(usize::MAX);
            held.sent = end;
            Ok(Sent::New(known))
        })?
    }

    /// Everything before the record `end` is there.
    pub(crate) fn has(&self, grant: &Grant, end: u64) {
        let _ = self.with(grant, |held| held.log_end = held.log_end.max(end));
    }

    /// The log begins anew at `covered`.
    pub(crate) fn begins_anew(&self, grant: &Grant, covered: u64) -> Result<(), StoreError> {
        self.with(grant, |held| (held.sent, held.log_end) = (covered, covered))
    }

    fn with<T>(&self, grant: &Grant, change: impl FnOnce(&mut Held) -> T) -> Result<T, StoreError> {
        let mut partitions = self.partitions.lock().unwrap();
        match partitions.get_mut(&grant.partition) {
            Some(held) if held.epoch == grant.epoch => Ok(change(held)),
            _ => Err(StoreError::fenced("another engine has taken the store over")),
        }
    }
}
