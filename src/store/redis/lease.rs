//! Leases: taken, proved, given back. Redis' own clock judges them, in the scripts.

use std::time::Duration;

use super::Core;
use super::answer::{Answer, behind};
use super::errors::Doing;
use super::scripts::{ACQUIRE, Call, RELEASE, RENEW, run, run_all};
use crate::partition::PartitionId;
use crate::store::{Claim, Grant, Lease, Renewed, StoreError, StoreErrorClass};

impl Core {
    pub(super) async fn acquire(&self, partition: PartitionId, claim: &Claim) -> Result<Lease, StoreError> {
        let keys = self.keys(partition);
        let meta = keys.meta();
        let call = Call::new(&ACQUIRE, vec![meta.clone(), keys.log()])
            .text(claim.owner.as_str())
            .number(claim.epoch_after)
            .number(claim.partitions.into())
            .number(milliseconds(claim.term))
            .flag(claim.by_force);
        let doing = Doing::with("taking the lease of", &meta);
        let (answer, _) = run(&self.control, &call, doing).await?;
        if answer.word() != "OK" {
            return Err(answer.refusal(&keys));
        }
        let (epoch, tail) = (answer.number(1), answer.number(2));
        let grant = Grant { partition, owner: claim.owner.clone(), epoch, term: claim.term };
        self.known.leased(&grant, tail);
        Ok(Lease { grant, tail })
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
        if tail < known {
            return Err(behind(format!(
                "Redis went back in time: of partition {} it has the records up to {tail}, and had acknowledged \
                 those up to {known}",
                grant.partition.0
            )));
        }
        Ok(Renewed { tail })
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
            // Somebody else's by now, or gone: there is nothing to give back.
            if !matches!(refusal.class, StoreErrorClass::Fenced | StoreErrorClass::Behind) {
                return Err(refusal);
            }
        }
        Ok(())
    }
}

/// A lease lasts at least a millisecond, and no longer than can be counted.
fn milliseconds(term: Duration) -> u64 {
    /// A hundred years.
    const MAX: u64 = 100 * 366 * 24 * 3_600 * 1_000;
    u64::try_from(term.as_millis()).unwrap_or(MAX).clamp(1, MAX)
}
