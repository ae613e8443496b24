//! Leases: taken, proved, given back. Redis' own clock judges them, in the scripts.

use std::time::Duration;

use redis::{Pipeline, Value};

use super::answer::{Answer, FORMAT, behind, damaged};
use super::errors::Doing;
use super::keys::Keys;
use super::known::Owned;
use super::scripts::{ACQUIRE, Call, NUMBER_MAX, RELEASE, RENEW, run, run_all};
use super::{Core, meta};
use crate::partition::PartitionId;
use crate::rt;
use crate::store::host::is_dead;
use crate::store::{Claim, Grant, Lease, Renewed, StoreError, StoreErrorClass};

/// Partitions that are checked to see whether a namespace is in use.
const LOOKED_AT_MAX: u16 = 64;

/// How often the engine looks at a partition with another owner's lease. A lease that is given back is taken within this time
/// and a few round trips.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// From whom a lease that lasts may be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Force<'a> {
    Nobody,
    Anybody,
    This(&'a str),
}

/// The state of another owner's lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Free,
    /// It lasts for this long.
    Held(Duration),
    /// There is no lease, or Redis did not tell.
    Gone,
}

impl Core {
    pub(super) async fn acquire(&self, partition: PartitionId, claim: &Claim) -> Result<Lease, StoreError> {
        self.namespace.has(claim.partitions);
        let keys = self.keys(partition);
        let mut force = if claim.by_force { Force::Anybody } else { Force::Nobody };
        let mut may_begin = false;
        let mut answer = self.claim(&keys, claim, force, may_begin).await?;
        let holder = answer.part(1).to_owned();
        if answer.word() == "HELD" && is_dead(&holder) {
            tracing::warn!(
                partition = partition.0,
                owner = holder,
                "the owner was a process of this machine, which has ended: its lease is not waited for"
            );
            force = Force::This(&holder);
            answer = self.claim(&keys, claim, force, may_begin).await?;
        }
        if answer.word() == "NONE" {
            self.check_unowned(&keys, claim.partitions).await?;
            may_begin = true;
            answer = self.claim(&keys, claim, force, may_begin).await?;
        }
        if answer.word() != "OK" {
            return Err(of_claim(answer.refusal(&keys), claim));
        }
        let (epoch, tail) = (answer.number(1), answer.number(2));
        let grant = Grant { partition, owner: claim.owner.clone(), epoch, term: claim.term };
        let followed = (claim.epoch_after == 0).then(|| answer.number(3));
        self.known.leased(&grant, tail, followed);
        Ok(Lease { grant, log_end: tail })
    }

    async fn claim(
        &self,
        keys: &Keys,
        claim: &Claim,
        force: Force<'_>,
        may_begin: bool,
    ) -> Result<Answer, StoreError> {
        let Owned { acknowledged, sent, followed, kept } = self.known.owned(keys.partition());
        let mut names = vec![keys.meta(), keys.log()];
        names.extend(kept.published().map(|published| keys.chunk(published.generation, 0)));
        let mut call = Call::new(&ACQUIRE, names)
            .text(claim.owner.as_str())
            .number(claim.epoch_after)
            .number(claim.partitions.into())
            .number(milliseconds(claim.term))
            .text(match force {
                Force::Nobody => "0",
                Force::Anybody => "1",
                Force::This(owner) => owner,
            })
            .flag(may_begin)
            .number(acknowledged)
            .number(sent.min(NUMBER_MAX - 1))
            .number(followed.min(claim.epoch_after));
        let fields = kept.fields();
        if kept.published().is_some() {
            for (field, value) in &fields {
                call = call.text(field).text(value);
            }
        }
        let meta = keys.meta();
        let (answer, _) = run(&self.control, &call, Doing::with("taking the lease of", &meta)).await?;
        Ok(answer)
    }

    /// Nothing of a partition is there. A new partition looks like that, unless others of the namespace hold something
    /// already: an engine takes all its partitions before it writes to one.
    pub(super) async fn check_unowned(&self, keys: &Keys, partitions: u16) -> Result<(), StoreError> {
        let meta = keys.meta();
        let doing = Doing::with("looking for the others of", &meta);
        let mut commands = Pipeline::new();
        for other in (0..partitions.min(LOOKED_AT_MAX)).map(PartitionId) {
            commands.cmd("HMGET").arg(self.keys(other).meta()).arg("format").arg("tail").arg("gen");
        }
        let connection = self.control.connection().await?;
        let answers = self.control.send_all(&connection, &commands, doing).await?;
        let is_in_use = |answer: Value| {
            let fields: Vec<Option<String>> = redis::from_redis_value(answer).unwrap_or_default();
            match fields.as_slice() {
                [Some(format), tail, generation] if format == FORMAT => {
                    tail.as_ref().is_some_and(|tail| tail != "0") || generation.is_some()
                }
                _ => false,
            }
        };
        if answers.into_iter().any(is_in_use) {
            let partition = keys.partition().0;
            return Err(behind(format!(
                "`{meta}`, which says what partition {partition} is, is gone, and so is its log, while other partitions \
                 are there; nothing was changed. {}",
                keys.ways_out()
            )));
        }
        Ok(())
    }

    /// Resolves when another owner's lease can be taken, or should be asked for. If it is gone from Redis meanwhile, as after
    /// FLUSHALL, its owner gets the time to write it again that the lease had left when it was last seen.
    pub(super) async fn until_free(&self, partition: PartitionId, mut left: Duration) {
        let mut unseen = Duration::ZERO;
        loop {
            let (seen, pause) = match self.look_at_lease(partition).await {
                Ok(seen) => (seen, LOOK_EVERY),
                Err(_) => (Seen::Gone, LOOK_AGAIN),
            };
            match seen {
                Seen::Free => return,
                Seen::Held(for_another) => (left, unseen) = (for_another, Duration::ZERO),
                Seen::Gone if unseen >= left => return,
                Seen::Gone => unseen += pause,
            }
            rt::sleep(pause).await;
        }
    }

    async fn look_at_lease(&self, partition: PartitionId) -> Result<Seen, StoreError> {
        let meta = self.keys(partition).meta();
        let doing = Doing::with("looking at the lease of", &meta);
        let mut commands = Pipeline::new();
        commands.cmd("HMGET").arg(&meta).arg("owner").arg("lease_until").arg("term_ms").cmd("TIME");
        let connection = self.control.connection().await?;
        let answers = self.control.send_all(&connection, &commands, doing).await?;
        let Ok([fields, time]) = <[Value; 2]>::try_from(answers) else { return Ok(Seen::Gone) };
        let fields = self.control.checked(&connection, fields, doing)?;
        let now_ms = meta::milliseconds(self.control.checked(&connection, time, doing)?);
        let fields: Vec<Option<String>> = redis::from_redis_value(fields).unwrap_or_default();
        let [Some(owner), Some(until), term] = fields.as_slice() else { return Ok(Seen::Gone) };
        let left_ms = until.parse::<u64>().unwrap_or(0).saturating_sub(now_ms);
        let term_ms = term.as_ref().and_then(|term| term.parse().ok()).unwrap_or(u64::MAX);
        // It never lasts longer than a term: the next engine that asks for it cuts it.
        let is_free = left_ms == 0 || left_ms > term_ms || is_dead(owner);
        Ok(if is_free { Seen::Free } else { Seen::Held(Duration::from_millis(left_ms)) })
    }

    pub(super) async fn renew(
        &self,
        grants: &[Grant],
    ) -> Result<Vec<Result<Renewed, StoreError>>, StoreError> {
        let acknowledged: Vec<u64> = grants.iter().map(|grant| self.known.acknowledged(grant)).collect();
        let calls: Vec<Call<'_>> = grants
            .iter()
            .map(|grant| {
                let keys = vec![self.keys(grant.partition).meta()];
                Call::by(&RENEW, keys, grant).number(milliseconds(grant.term))
            })
            .collect();
        let answers = run_all(&self.control, &calls, Doing::plain("proving the leases")).await?;
        let renewed = grants.iter().zip(answers).zip(acknowledged);
        Ok(renewed.map(|((grant, answer), known)| self.renewed(grant, &answer?, known)).collect())
    }

    /// `known` is what had been acknowledged before the question was sent.
    fn renewed(&self, grant: &Grant, answer: &Answer, known: u64) -> Result<Renewed, StoreError> {
        if answer.word() != "OK" {
            return Err(answer.refusal(&self.keys(grant.partition)));
        }
        let tail = answer.number(1);
        if !self.known.can_have(grant, tail) {
            return Err(damaged(&self.keys(grant.partition), "tail"));
        }
        if tail < known {
            return Err(behind(format!(
                "Redis went back in time: of partition {} it has the records up to {tail}, and had acknowledged \
                 those up to {known}",
                grant.partition.0
            )));
        }
        Ok(Renewed { log_end: tail })
    }

    pub(super) async fn release(&self, grants: &[Grant]) -> Result<(), StoreError> {
        let calls: Vec<Call<'_>> = grants
            .iter()
            .map(|grant| Call::by(&RELEASE, vec![self.keys(grant.partition).meta()], grant))
            .collect();
        let answers = run_all(&self.control, &calls, Doing::plain("giving the leases back")).await?;
        for (grant, answer) in grants.iter().zip(answers) {
            let answer = answer?;
            if answer.word() == "OK" {
                continue;
            }
            let refusal = answer.refusal(&self.keys(grant.partition));
            // Another owner's by now, or gone: there is nothing to give back.
            if !matches!(refusal.class, StoreErrorClass::Fenced | StoreErrorClass::Behind) {
                return Err(refusal);
            }
        }
        Ok(())
    }
}

/// A refusal of a claim. At a start there is nothing to wait for, and no engine that would go on meanwhile.
fn of_claim(refusal: StoreError, claim: &Claim) -> StoreError {
    match refusal.class {
        StoreErrorClass::Blocked if claim.epoch_after == 0 => StoreError::fatal(refusal.to_string()),
        _ => refusal,
    }
}

/// A lease lasts at least a millisecond, and no longer than can be counted.
fn milliseconds(term: Duration) -> u64 {
    /// A hundred years.
    const MAX: u64 = 100 * 366 * 24 * 3_600 * 1_000;
    u64::try_from(term.as_millis()).unwrap_or(MAX).clamp(1, MAX)
}
