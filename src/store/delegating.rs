//! A store over another, for whoever wants to change or to watch a few of its calls and write none of the others.
//!
//! # Rules
//! - Every method of [`Store`] has its twin here, and every twin passes the call on: a method that were missing would fall back
//!   to what [`Store`] does by default, and hide what the store below does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Batch, Claim, Durability, Grant, Lease, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotWriter, Store, StoreError, StoreFuture,
};
use crate::partition::PartitionId;

/// A [`Store`] that passes every call on to another, except for those that it answers itself.
///
/// Whatever implements this trait is a store. Each method has the contract of its twin in [`Store`].
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use reveille::store::{Batch, DelegatingStore, MemoryStore, Store, StoreFuture};
///
/// /// Counts the records that it is sent.
/// #[derive(Debug, Default)]
/// struct Counting {
///     inner: MemoryStore,
///     records: AtomicU64,
/// }
///
/// impl DelegatingStore for Counting {
///     fn inner(&self) -> &dyn Store {
///         &self.inner
///     }
///
///     fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
///         self.records.fetch_add(batch.records.len() as u64, Relaxed);
///         self.inner().append(batch)
///     }
/// }
/// ```
pub trait DelegatingStore: fmt::Debug + Send + Sync + 'static {
    /// The store that gets the calls.
    fn inner(&self) -> &dyn Store;

    /// As [`Store::open`].
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        self.inner().open(needs)
    }

    /// As [`Store::acquire`].
    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        self.inner().acquire(partition, claim)
    }

    /// As [`Store::until_free`].
    fn until_free<'a>(&'a self, partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        self.inner().until_free(partition, left)
    }

    /// As [`Store::renew`].
    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        self.inner().renew(grants)
    }

    /// As [`Store::release`].
    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        self.inner().release(grants)
    }

    /// As [`Store::load`].
    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        self.inner().load(grant, told)
    }

    /// As [`Store::append`].
    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        self.inner().append(batch)
    }

    /// As [`Store::sync`].
    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        self.inner().sync(grant, level)
    }

    /// As [`Store::snapshot`].
    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        self.inner().snapshot(grant, begin)
    }

    /// As [`Store::check`].
    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        self.inner().check(grant)
    }

    /// As [`Store::doubts`].
    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        self.inner().doubts()
    }

    /// As [`Store::steps`].
    fn steps(&self) -> u64 {
        self.inner().steps()
    }
}

impl<S: DelegatingStore> Store for S {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        DelegatingStore::open(self, needs)
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        DelegatingStore::acquire(self, partition, claim)
    }

    fn until_free<'a>(&'a self, partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        DelegatingStore::until_free(self, partition, left)
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        DelegatingStore::renew(self, grants)
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        DelegatingStore::release(self, grants)
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        DelegatingStore::load(self, grant, told)
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        DelegatingStore::append(self, batch)
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        DelegatingStore::sync(self, grant, level)
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        DelegatingStore::snapshot(self, grant, begin)
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        DelegatingStore::check(self, grant)
    }

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        DelegatingStore::doubts(self)
    }

    fn steps(&self) -> u64 {
        DelegatingStore::steps(self)
    }
}

/// A store that several share, or whose type is not known, is one.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        (**self).open(needs)
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        (**self).acquire(partition, claim)
    }

    fn until_free<'a>(&'a self, partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        (**self).until_free(partition, left)
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        (**self).renew(grants)
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        (**self).release(grants)
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        (**self).load(grant, told)
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        (**self).append(batch)
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        (**self).sync(grant, level)
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        (**self).snapshot(grant, begin)
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        (**self).check(grant)
    }

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        (**self).doubts()
    }

    fn steps(&self) -> u64 {
        (**self).steps()
    }
}

#[cfg(test)]
mod tests {
    /// The names of the methods between this line of a source text and the end of the item that it begins.
    fn methods<'a>(source: &'a str, begin: &str) -> Vec<&'a str> {
        let (_, item) = source.split_once(begin).expect("the item is there");
        let lines = item.lines().take_while(|line| *line != "}");
        let heads = lines.filter_map(|line| line.strip_prefix("    fn "));
        let mut names: Vec<_> = heads.filter_map(|head| head.split(['<', '(']).next()).collect();
        names.sort_unstable();
        names
    }

    /// The compiler does not miss a method that has a default.
    #[test]
    fn every_method_of_a_store_is_passed_on() {
        let (store, here) = (include_str!("mod.rs"), include_str!("delegating.rs"));
        let all = methods(store, "\npub trait Store: ");
        assert!(all.contains(&"append") && all.contains(&"doubts"), "{all:?}");
        let mut twins = methods(here, "\npub trait DelegatingStore: ");
        twins.retain(|name| *name != "inner");
        assert_eq!(twins, all);
        assert_eq!(methods(here, "\nimpl<S: DelegatingStore> Store for S "), all);
        assert_eq!(methods(here, "\nimpl<S: Store + ?Sized> Store for Arc<S> "), all);
    }
}
