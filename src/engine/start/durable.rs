//! The builder's settings of the store: durability, ownership, snapshots, and overdue jobs after a restart.

use std::any::Any;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Builder;
use super::told::RestoreProgress;
use crate::store::{Durability, Store};

impl Builder {
    /// Notes that a setting was made that has no meaning without a store.
    fn wants_store(&mut self, setting: &'static str) {
        self.wants_store.get_or_insert(setting);
    }

    /// Where records are kept. Without a store a restart forgets everything, and the settings below are refused
    /// ([`StartError::NoStore`](crate::StartError::NoStore)).
    ///
    /// A store is given away, or shared: an [`Arc`] of a store is a store too, whether its type is known or not.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use reveille::Engine;
    /// use reveille::store::{MemoryStore, Store};
    ///
    /// let given_away = Engine::builder().store(MemoryStore::new());
    /// let kept = Arc::new(MemoryStore::new());
    /// let shared = Engine::builder().store(kept.clone());
    /// let of_any_type: Arc<dyn Store> = kept;
    /// let chosen_at_run_time = Engine::builder().store(of_any_type);
    /// ```
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(shared(store));
        self
    }

    /// How durable a change must be before its call is acknowledged, unless the call says otherwise. By default
    /// [`Durability::Logged`] with a store, and [`Durability::Memory`] without.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = Some(durability);
        self
    }

    /// How many records of a partition may wait for the store before calls are refused: 100,000 by
    /// default.
    pub fn log_records_max(mut self, records: usize) -> Self {
        self.wants_store("log_records_max");
        self.settings.log_records_max = records;
        self
    }

    /// How many bytes of records of a partition may wait for the store before calls are refused: 64 MiB by
    /// default.
    pub fn log_bytes_max(mut self, bytes: usize) -> Self {
        self.wants_store("log_bytes_max");
        self.settings.log_bytes_max = bytes;
        self
    }

    /// How long a commit waits for the store before it ends with [`CallError::Unconfirmed`](crate::CallError::Unconfirmed):
    /// 30 s by default. The change stays in force, and the store gets it when it is back.
    pub fn commit_deadline(mut self, time: Duration) -> Self {
        self.wants_store("commit_deadline");
        self.settings.commit_deadline = time;
        self
    }

    /// How long a proof that this engine is the owner lasts: 100 ms to an hour, 10 s by default.
    ///
    /// An engine that cannot reach its store for about this long stops firing until it can. After a crash the next engine
    /// waits at most this long before it takes over.
    pub fn lease(mut self, term: Duration) -> Self {
        self.wants_store("lease");
        self.settings.lease = term;
        self
    }

    /// Says that no other engine is ever started on the same jobs. Firing then goes on through an outage of the store, however
    /// long. An engine that learns of another owner stops nevertheless.
    pub fn single_owner(mut self, is_single: bool) -> Self {
        self.wants_store("single_owner");
        self.settings.is_single_owner = is_single;
        self
    }

    /// Whether [`start`](Self::start) waits while another engine owns the jobs, and takes over when that one ends. The default
    /// is `true`. With `false` it fails at once with [`StartError::Held`](crate::StartError::Held), also after a crash, until the
    /// dead engine's lease has ended.
    pub fn standby(mut self, waits: bool) -> Self {
        self.wants_store("standby");
        self.settings.is_standby = waits;
        self
    }

    /// Takes the jobs from a living engine without waiting for it. From then on that engine fires and writes nothing. For an
    /// operator who knows why.
    pub fn take_over(mut self, by_force: bool) -> Self {
        self.wants_store("take_over");
        self.settings.takes_over = by_force;
        self
    }

    /// How long [`start`](Self::start) waits for a store that is not there, does not answer, or says that it cannot serve yet
    /// (it is loading its own data; its disk or its replicas are missing): 5 s by default, `Duration::MAX` for ever. While it
    /// waits, the log says so after a second and then twice a minute.
    ///
    /// The time counts without progress, the store's own time-outs included, and begins anew with every step that the store
    /// has answered. A load that makes progress is not cut off. What will not pass by itself, such as a wrong password, fails
    /// at once.
    pub fn start_patience(mut self, time: Duration) -> Self {
        self.wants_store("start_patience");
        self.settings.start_patience = time;
        self
    }

    /// When snapshots are taken: after this time, if anything was logged, or after this many records of a partition (or as
    /// many as it has jobs, if that is more). Ten minutes and 100,000 by default.
    pub fn snapshot_every(mut self, time: Duration, records: u64) -> Self {
        self.wants_store("snapshot_every");
        self.settings.snapshots.every = time;
        self.settings.snapshots.records = records;
        self
    }

    /// How many overdue jobs a second are released, of those that came due while no engine ran: 100,000 by default; 0 for no
    /// limit. They go by (tick, priority, due) over all partitions. Jobs that come due later do not wait for jobs that are held
    /// back. Of the ready jobs the overdue ones start first, so with a rate that the handlers keep up with, no job is held
    /// up.
    pub fn catch_up_per_second(mut self, jobs: u32) -> Self {
        self.wants_store("catch_up_per_second");
        self.settings.catch_up_per_second = NonZeroU32::new(jobs);
        self
    }

    /// Calls `told` with the progress of the restore while [`start`](Self::start) runs. It runs on the thread that proves the
    /// leases, so it must not block.
    pub fn on_restore(mut self, told: impl Fn(RestoreProgress) + Send + Sync + 'static) -> Self {
        self.told = Some(Arc::new(told));
        self
    }
}

/// The store behind an `Arc`. One that is behind one already does not get a second: every call would pass through both.
fn shared<S: Store>(store: S) -> Arc<dyn Store> {
    let store = Arc::new(store);
    let known: &dyn Any = &*store;
    match known.downcast_ref::<Arc<dyn Store>>() {
        Some(shared) => Arc::clone(shared),
        None => store,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_shared_store_is_not_wrapped_again() {
        let kept: Arc<dyn Store> = Arc::new(MemoryStore::new());
        assert!(Arc::ptr_eq(&kept, &shared(kept.clone())));
    }
}
