//! A store that notes which leases it gave out.

use reveille::PartitionId;
use reveille::store::{Claim, DelegatingStore, Lease, RedisStore, Store, StoreFuture};

use super::leases::Leases;

#[derive(Debug)]
pub(super) struct Watched {
    inner: RedisStore,
    leases: Leases,
}

impl Watched {
    pub(super) fn new(inner: RedisStore, leases: Leases) -> Self {
        Watched { inner, leases }
    }
}

impl DelegatingStore for Watched {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let lease = self.inner().acquire(partition, claim).await?;
            self.leases.note(&lease.grant);
            Ok(lease)
        })
    }
}
