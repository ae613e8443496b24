//! The store in Redis.
//!
//! `docs/format.md` describes the keys of a partition, the fields of its `:m`, the bytes and the scripts.
//!
//! # Rules
//! - Only scripts change keys, and each checks owner and epoch first (`lua/fence.lua`). A script touches one partition, is
//!   never half applied, and may be sent again.
//! - Requests are sent once; an engine sends again what was not answered. (Writing a snapshot repeats its own requests: a
//!   job that was lost on the way would be missing in it.)
//! - Appends have a connection of their own, so that neither a load nor a snapshot nor WAIT stands in their way.
//! - Inconsistent data is never overwritten, and never half loaded.
//! - Every new connection asks what the server can do: its role, its version, and whether it can confirm that something is
//!   on its disk.
//!
//! # Rights of the Redis user
//! `docs/redis.md` has the least rights. The tests run under them.

mod address;
mod answer;
mod append;
mod assembly;
mod check;
mod config;
mod connect;
mod errors;
mod facts;
mod guard;
mod inspect;
mod keys;
mod known;
mod lease;
mod link;
mod load;
mod meta;
mod scripts;
mod snapshot;
mod sweep;
mod sync;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use config::{NAMESPACE_CHARS_MAX, RedisConfig, RedisConfigError};
pub use inspect::ReplicaReport;

#[cfg(feature = "_sim")]
pub(crate) use scripts::script_name;

use parking_lot::Mutex;

use keys::{Keys, Namespace};
use known::Known;
use link::Link;
use sync::Syncs;

use super::{
    Batch, Claim, Durability, Grant, Lease, LoadTold, Loaded, Needs, Opened, Renewed, SnapshotBegin,
    SnapshotWriter, Store, StoreError, StoreFuture,
};
use crate::partition::PartitionId;

/// Keeps an engine's jobs in Redis: a log of their changes, snapshots that keep the log short, and leases, so that one engine
/// at a time owns them. Works with Redis 6.2 or newer, and with Valkey.
///
/// ```no_run
/// use reveille::store::{RedisConfig, RedisStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = RedisConfig::new("redis://:password@localhost:6379/0")?.namespace("shop")?;
/// let store = RedisStore::new(config);
/// # Ok(()) }
/// ```
///
/// Connects with the first request, and again whenever a connection is lost. Clones share the connections.
#[derive(Clone)]
pub struct RedisStore {
    core: Arc<Core>,
}

struct Core {
    config: Arc<RedisConfig>,
    namespace: Namespace,
    /// For appends only.
    log: Link,
    /// For everything else that an engine does.
    control: Link,
    /// For reading only; it may be the address of a replica.
    look: Link,
    syncs: Syncs,
    known: Known,
    /// What the server said about itself when it was last asked.
    seen: Mutex<guard::Seen>,
}

impl RedisStore {
    /// A store in this Redis. Does not connect yet.
    pub fn new(config: RedisConfig) -> Self {
        let config = Arc::new(config);
        let link = |name| Link::new(Arc::clone(&config), name, config.response_timeout);
        let core = Core {
            namespace: Namespace::new(Arc::clone(&config.namespace)),
            log: link("log"),
            control: link("control"),
            look: Link::for_looking(Arc::clone(&config)),
            syncs: Syncs::new(&config),
            known: Known::default(),
            seen: Mutex::default(),
            config: Arc::clone(&config),
        };
        RedisStore { core: Arc::new(core) }
    }
}

impl Core {
    fn keys(&self, partition: PartitionId) -> Keys {
        self.namespace.keys(partition)
    }
}

impl Store for RedisStore {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        Box::pin(self.core.open(needs))
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(self.core.acquire(partition, claim))
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        Box::pin(self.core.renew(grants))
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        Box::pin(self.core.release(grants))
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(self.core.load(grant, told))
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(self.core.append(batch))
    }

    fn sync<'a>(&'a self, grant: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(self.core.sync(grant, level))
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        Box::pin(async move {
            let writer = self.begin_snapshot(grant, begin).await?;
            Ok(Some(Box::new(writer) as Box<dyn SnapshotWriter + 'a>))
        })
    }

    fn until_free<'a>(&'a self, partition: PartitionId, left: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.core.until_free(partition, left).await;
            Ok(())
        })
    }

    fn check<'a>(&'a self, grant: &'a Grant) -> StoreFuture<'a, ()> {
        Box::pin(self.core.check(grant))
    }

    fn doubts(&self) -> StoreFuture<'_, Vec<String>> {
        Box::pin(self.core.doubts())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("config", &self.core.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}
