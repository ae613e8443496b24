//! The keeper: a task that proves the leases, well inside their terms, and gives them back at the end.
//!
//! It starts before the partitions are loaded, since a load may take longer than a term. What it learns on the way, that
//! the store went back in time or that another owns a partition, it passes on to [`Ownership`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::health::Speaker;
use super::leases::{Ownership, Tenant};
use crate::rt::{self, Scoped};
use crate::store::{Grant, StoreError, StoreErrorClass};

/// Proofs that are asked for in a term. Two may fail, and the third is still in time.
const PER_TERM: u32 = 4;

/// Ends with what holds it.
#[derive(Debug)]
pub(crate) struct Keeper(#[allow(dead_code, reason = "held, not used")] Scoped<()>);

/// Starts to keep what leases there are and will be.
pub(crate) fn start(ownership: &Arc<Ownership>) -> Keeper {
    let runtime = ownership.io.runtime().clone();
    let ownership = Arc::clone(ownership);
    Keeper(runtime.spawn_scoped(async move { keep(&ownership, || None).await }))
}

/// Goes on keeping them for an engine, until it has `ended`: nobody has anything left to write.
pub(crate) async fn keep_for(
    tenant: Arc<impl Tenant>,
    ownership: Arc<Ownership>,
    ended: impl Future<Output = ()> + Send,
) {
    let _ending = Ending(&*tenant, &ownership);
    tokio::select! {
        biased;
        () = ended => {}
        _ = ownership.until_all_lost() => {}
        () = keep(&ownership, || Some(tenant.durable())) => {}
    }
    release(&*tenant, &ownership).await;
}

/// Says that nobody keeps the leases any more. A store that panics must not leave an engine that thinks it has them.
struct Ending<'a>(&'a dyn Tenant, &'a Ownership);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.lose_all(&StoreError::fatal("the store panicked while the leases were proved"));
        }
        self.0.leases_are_released();
    }
}

/// Gives the leases back, unless a handler still runs: another owner would run its job a second time beside it.
async fn release(tenant: &dyn Tenant, ownership: &Ownership) {
    if tenant.has_running() || ownership.are_all_lost() {
        return;
    }
    let grants = ownership.grants();
    match rt::timeout(ownership.claim.term, ownership.store.release(&grants)).await {
        Ok(Ok(())) => tracing::debug!("the leases are given back"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the leases could not be given back; they run out by themselves")
        }
        Err(_elapsed) => {
            tracing::warn!("the leases could not be given back in time; they run out by themselves")
        }
    }
}

/// `durable` gives how far the store has acknowledged each partition's log, once there is an engine.
async fn keep(ownership: &Ownership, durable: impl Fn() -> Option<Vec<u64>>) {
    if !ownership.has_lease {
        return std::future::pending().await;
    }
    let every = ownership.claim.term / PER_TERM;
    let mut pause = every;
    loop {
        rt::sleep(pause).await;
        let (grants, acknowledged) = (ownership.grants(), durable());
        pause = match prove(ownership, &grants, acknowledged.as_deref(), every).await {
            Ok(()) => {
                ownership.health.recovers(Speaker::Keeper);
                every
            }
            Err(error) => {
                ownership.health.fails(Speaker::Keeper, &error);
                every / 4
            }
        };
    }
}

async fn prove(
    ownership: &Ownership,
    grants: &[Grant],
    acknowledged: Option<&[u64]>,
    patience: Duration,
) -> Result<(), StoreError> {
    let was_behind: Vec<bool> =
        grants.iter().map(|grant| ownership.is_behind(usize::from(grant.partition.0))).collect();
    let asked_at = ownership.clock.now().mono;
    let asked = rt::timeout(patience, ownership.store.renew(grants)).await;
    let answers = asked.map_err(|_| StoreError::retry("the store did not answer in time"))??;
    let mut all = Ok(());
    for ((grant, answer), was_behind) in grants.iter().zip(answers).zip(was_behind) {
        let at = usize::from(grant.partition.0);
        if !ownership.is_current(grant) {
            continue;
        }
        match answer {
            Ok(renewed) => {
                ownership.proved(grant, asked_at);
                // Only what was acknowledged before the store was asked can be missed in its answer.
                let is_short = acknowledged.is_some_and(|durable| renewed.log_end < durable[at]);
                // What is being written anew is short until it has been.
                if is_short && !was_behind {
                    let log_end = renewed.log_end;
                    ownership
                        .found_behind(at, &StoreError::retry(format!("its records end before {log_end}")));
                }
            }
            Err(error) if error.class == StoreErrorClass::Behind => {
                if !was_behind {
                    ownership.found_behind(at, &error);
                }
            }
            Err(error) if error.class == StoreErrorClass::Blocked => {
                // While that lies there, nobody else can be given the lease.
                ownership.proved(grant, asked_at);
                ownership.found_behind(at, &error);
            }
            Err(error) if error.class == StoreErrorClass::Fenced => ownership.lose(at, &error),
            Err(error) => all = Err(error),
        }
    }
    all
}
