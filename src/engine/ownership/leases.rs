//! Whether this engine may fire and write: the leases of its partitions, as far as it can prove them.
//!
//! # Rules
//! - A lease is proved by the store's answer, for a term counted from *before* the request was sent, less an eighth for
//!   clocks that do not run alike. The store counts it from when the request got there, so it ends later there.
//! - A partition whose lease is not proved starts no job. The instant is looked at under the partition's lock, by a clock
//!   that is read there: an owner that was stopped for a while finds out before it starts anything.
//! - A partition of which another is told to be the owner is lost, for good: nothing of it is fired or written, and calls
//!   to it are refused. What becomes of the others, [`OnLoss`] says.
//! - With `single_owner` the user vouches that there is no other: a lease that cannot be proved is complained about, and
//!   firing goes on. Being told of another owner ends it all the same.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::health::Health;
use super::holding::Holding;
use super::meters::{ErrorMeters, StoreMeters};
use super::policy::OnLoss;
use crate::clock::Clock;
use crate::engine::meters::Register;
use crate::partition::{MonoTime, PartitionId};
use crate::rt::Io;
use crate::store::{
    Claim, Durability, Grant, Lease, Opened, Owner, Store, StoreError, StoreErrorClass, owner_name,
};
use crate::sync::atomic::Ordering::SeqCst;

/// What the user and the kind of engine say of other owners.
pub(crate) struct Promise {
    /// The user vouches that there is no other.
    pub(crate) is_single_owner: bool,
    pub(crate) on_loss: OnLoss,
}

/// The engine that has the leases, as far as they concern it.
pub(crate) trait Tenant: Send + Sync {
    /// All leases are lost: nothing is to be fired or written any more.
    fn leases_are_lost(&self);

    /// That of one partition is, and the others are not.
    fn partition_is_lost(&self, at: usize, error: &StoreError);

    /// A lease is proved that had lapsed: jobs may start that had to wait.
    fn lease_is_proved_again(&self);

    /// The store was found to lack something of a partition.
    fn is_found_behind(&self, at: usize);

    /// Up to which record the store has acknowledged the log of each partition.
    fn durable(&self) -> Vec<u64>;

    /// Whether a handler runs.
    fn has_running(&self) -> bool;

    /// Nobody keeps the leases any more, and nothing will be written.
    fn leases_are_released(&self);
}

pub(crate) struct Ownership {
    pub(crate) store: Arc<dyn Store>,
    /// What the store is called on, and all that waits for it by a time.
    pub(crate) io: Io,
    pub(crate) clock: Clock,
    pub(crate) claim: Claim,
    pub(crate) health: Health,
    pub(crate) meters: StoreMeters,
    /// Whether leases end at all in this store.
    pub(crate) has_lease: bool,
    pub(crate) durability_max: Durability,
    pub(crate) is_single_owner: bool,
    on_loss: OnLoss,
    holdings: Box<[Holding]>,
    /// Why nothing is left, once every partition is lost.
    lost: watch::Sender<Option<StoreError>>,
    /// Whose leases these are, once it is there.
    tenant: OnceLock<Weak<dyn Tenant>>,
}

impl Ownership {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        io: Io,
        clock: Clock,
        claim: Claim,
        opened: Opened,
        Promise { is_single_owner, on_loss }: Promise,
        register: &Register,
    ) -> Self {
        Ownership {
            store,
            io,
            health: Health::new(clock.clone(), ErrorMeters::new(register)),
            meters: StoreMeters::new(register, opened.has_lease),
            clock,
            holdings: (0..claim.partitions).map(|_| Holding::new()).collect(),
            claim,
            has_lease: opened.has_lease,
            durability_max: opened.durability_max,
            is_single_owner,
            on_loss,
            lost: watch::channel(None).0,
            tenant: OnceLock::new(),
        }
    }

    /// There is an engine now that has the leases.
    pub(crate) fn serves(&self, tenant: Weak<dyn Tenant>) {
        let is_first = self.tenant.set(tenant).is_ok();
        debug_assert!(is_first, "leases are those of one engine");
        // Lost while there was no engine to tell.
        let Some(tenant) = self.tenant() else { return };
        if self.are_all_lost() {
            return tenant.leases_are_lost();
        }
        for (at, holding) in self.holdings.iter().enumerate() {
            if let Some(error) = holding.lost() {
                tenant.partition_is_lost(at, &error);
            }
        }
    }

    fn tenant(&self) -> Option<Arc<dyn Tenant>> {
        self.tenant.get()?.upgrade()
    }

    /// What the owner writes with.
    pub(crate) fn grant(&self, at: usize) -> Option<Grant> {
        self.holdings[at].grant.lock().clone()
    }

    /// The epoch under which this engine got a partition. It stays what it is when the lease has to be claimed again.
    pub(crate) fn first_epoch(&self, at: usize) -> u64 {
        self.holdings[at].first_epoch.load(SeqCst)
    }

    /// Those of all partitions that are not lost.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let held = self.holdings.iter().filter(|holding| !holding.is_lost());
        held.filter_map(|holding| holding.grant.lock().clone()).collect()
    }

    /// Asks for the lease of a partition, and keeps it.
    pub(crate) async fn acquire(&self, at: usize) -> Result<Lease, StoreError> {
        if let Some(error) = self.lost(at) {
            return Err(error);
        }
        self.holdings[at].is_claiming.store(true, SeqCst);
        let had = self.grant(at);
        // By force once, at the start: an owner that claims again must find out that there is another.
        let by_force = self.claim.by_force && had.is_none();
        let claim = Claim { epoch_after: had.map_or(0, |grant| grant.epoch), by_force, ..self.claim.clone() };
        let asked_at = self.clock.now().mono;
        let lease = self.store.acquire(PartitionId(at as u16), &claim).await.inspect_err(|error| {
            // Nothing was claimed, and nobody can, so what the store says of the grant from before still counts.
            if error.class == StoreErrorClass::Blocked {
                self.holdings[at].is_claiming.store(false, SeqCst);
            }
        })?;
        let _ = self.holdings[at].first_epoch.compare_exchange(0, lease.grant.epoch, SeqCst, SeqCst);
        *self.holdings[at].grant.lock() = Some(lease.grant.clone());
        self.holdings[at].is_claiming.store(false, SeqCst);
        self.proved(&lease.grant, asked_at);
        Ok(lease)
    }

    /// Makes claims again whose answers nobody has heard: what they got can only be given back by who knows of it.
    pub(crate) async fn hear_of_claims(&self) {
        for (at, lease) in self.holdings.iter().enumerate() {
            if lease.is_claiming.load(SeqCst) && self.grant(at).is_none() {
                let _ = self.acquire(at).await;
            }
        }
    }

    /// The lease of `grant` was proved by an answer to what was asked at `asked_at`.
    pub(crate) fn proved(&self, grant: &Grant, asked_at: MonoTime) {
        let at = usize::from(grant.partition.0);
        let lease = &self.holdings[at];
        if lease.grant.lock().as_ref().is_none_or(|now| now.epoch != grant.epoch) {
            return;
        }
        // Time that a test moves has nothing to do with the store's.
        let until = if self.has_lease && self.clock.is_real() {
            asked_at.saturating_add_micros(trusted_us(grant.term)).as_micros()
        } else {
            u64::MAX
        };
        lease.proved_until_us.fetch_max(until, SeqCst);
        if lease.is_lost() {
            lease.proved_until_us.store(0, SeqCst);
            return;
        }
        if lease.has_lapsed.swap(false, SeqCst) {
            let lapsed_at = MonoTime::from_micros(lease.lapsed_at_us.load(SeqCst));
            let lasted_ms = self.clock.mono().micros_since(lapsed_at) / 1_000;
            tracing::warn!(partition = at, lasted_ms, "the lease is proved again");
            if let Some(tenant) = self.tenant() {
                tenant.lease_is_proved_again();
            }
        }
    }

    /// Whether the lease of a partition is proved now.
    pub(crate) fn is_proved(&self, at: usize) -> bool {
        self.clock.now().mono.as_micros() < self.holdings[at].proved_until_us.load(SeqCst)
    }

    /// Until when the lease of a partition is proved; `None` if it needs no proof.
    fn proved_until(&self, at: usize) -> Option<MonoTime> {
        let until = self.holdings[at].proved_until_us.load(SeqCst);
        (until != u64::MAX).then_some(MonoTime::from_micros(until))
    }

    /// Until when all leases are proved that are not lost; `None` if they need no proof.
    pub(crate) fn all_proved_until(&self) -> Option<MonoTime> {
        if self.are_all_lost() {
            return Some(MonoTime::default());
        }
        let held = (0..self.holdings.len()).filter(|&at| !self.is_lost(at));
        held.filter_map(|at| self.proved_until(at)).min()
    }

    /// Whether a job of the partition may be started at `now`, which was read under the partition's lock.
    pub(crate) fn may_fire(&self, at: usize, now: MonoTime) -> bool {
        let lease = &self.holdings[at];
        if now.as_micros() < lease.proved_until_us.load(SeqCst) {
            return true;
        }
        if self.is_single_owner {
            if lease.lapses(now) {
                tracing::warn!(
                    partition = at,
                    "the lease cannot be proved; firing goes on, as the single owner"
                );
            }
            return !lease.is_lost();
        }
        if lease.lapses(now) {
            tracing::warn!(partition = at, "the lease cannot be proved; firing stands still until it is");
        }
        false
    }

    /// Whether the lease was found to have lapsed, and not been proved since. Reads no clock.
    pub(crate) fn has_lapsed(&self, at: usize) -> bool {
        !self.is_single_owner && self.holdings[at].has_lapsed.load(SeqCst)
    }

    /// Whether `grant` is still what the owner writes with, and no claim is under way: only then does it matter what the
    /// store says of it.
    pub(crate) fn is_current(&self, grant: &Grant) -> bool {
        let at = usize::from(grant.partition.0);
        let holding = &self.holdings[at];
        !holding.is_claiming.load(SeqCst)
            && !holding.is_lost()
            && self.grant(at).is_some_and(|now| now.epoch == grant.epoch)
    }

    /// The store has less of a partition than it acknowledged: its committer has to write everything anew.
    pub(crate) fn found_behind(&self, at: usize, why: &StoreError) {
        self.holdings[at].behind_since.lock().get_or_insert_with(|| why.clone());
        if !self.holdings[at].is_behind.swap(true, SeqCst)
            && let Some(tenant) = self.tenant()
        {
            tenant.is_found_behind(at);
        }
    }

    pub(crate) fn is_behind(&self, at: usize) -> bool {
        self.holdings[at].is_behind.load(SeqCst)
    }

    /// Why a partition is to be written anew.
    pub(crate) fn why_behind(&self, at: usize) -> Option<StoreError> {
        self.holdings[at].behind_since.lock().clone()
    }

    pub(crate) fn found_in_step(&self, at: usize) {
        *self.holdings[at].behind_since.lock() = None;
        self.holdings[at].is_behind.store(false, SeqCst);
    }

    /// Another owns a partition: from here on nothing of it is fired or written, nor of those that are given up with it.
    pub(crate) fn lose(&self, at: usize, error: &StoreError) {
        match self.on_loss {
            OnLoss::GiveUpAll => self.lose_all(error),
            OnLoss::GiveUpOne => self.lose_one(at, error),
        }
    }

    fn lose_one(&self, at: usize, error: &StoreError) {
        if !self.holdings[at].lose(error) {
            return;
        }
        if self.holdings.iter().all(Holding::is_lost) {
            return self.lose_all(error);
        }
        self.health.forget(at);
        tracing::error!(
            owner = %self.claim.owner,
            partition = at,
            %error,
            "this engine no longer owns a partition; it fires and writes nothing of it, and goes on with the others"
        );
        if let Some(tenant) = self.tenant() {
            tenant.partition_is_lost(at, error);
        }
    }

    /// Nothing is left.
    pub(crate) fn lose_all(&self, error: &StoreError) {
        for holding in &self.holdings {
            holding.lose(error);
        }
        let is_first = self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| error.clone());
            is_first
        });
        if is_first {
            tracing::error!(owner = %self.claim.owner, %error, "this engine is no longer the owner; it fires and writes nothing more");
            self.meters.is_owner.set(0.0);
            if let Some(tenant) = self.tenant() {
                tenant.leases_are_lost();
            }
        }
    }

    /// Whether another owns a partition.
    pub(crate) fn is_lost(&self, at: usize) -> bool {
        self.holdings[at].is_lost()
    }

    /// Why a partition is lost, if it is.
    pub(crate) fn lost(&self, at: usize) -> Option<StoreError> {
        self.holdings[at].lost()
    }

    /// Resolves when a partition is lost.
    pub(crate) async fn until_lost(&self, at: usize) {
        self.holdings[at].until_lost().await;
    }

    pub(crate) fn are_all_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// Why no partition is left, if none is.
    pub(crate) fn all_lost(&self) -> Option<StoreError> {
        self.lost.borrow().clone()
    }

    /// Resolves when no partition is left.
    pub(crate) async fn until_all_lost(&self) -> StoreError {
        let mut lost = self.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|lost| lost.clone()) {
            Ok(Some(error)) => error,
            // It cannot be closed: the sender is right here.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.claim.owner.leaves();
    }
}

/// For how long an owner relies on a lease of this term.
fn trusted_us(term: Duration) -> u64 {
    let us = u64::try_from(term.as_micros()).unwrap_or(u64::MAX);
    us - us / 8
}

/// A name that no other engine has.
pub(crate) fn new_owner() -> Owner {
    #[cfg(feature = "_sim")]
    if let Some(simulation) = crate::seam::current() {
        return Owner::new(simulation.owner());
    }
    Owner::new(owner_name())
}
