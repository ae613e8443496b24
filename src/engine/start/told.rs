//! What is told of a start while it is under way.

use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;

/// The engine waits until another one, which owns the jobs, ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Standby {
    /// Who the owner is, according to the store.
    pub owner: StoreError,
    /// How long its lease lasts if it is not renewed.
    pub lease_left: Option<Duration>,
}

/// Called while an engine is a standby.
pub(crate) type StandbyTold = Arc<dyn Fn(Standby) + Send + Sync>;

/// The progress of a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct RestoreProgress {
    /// How many partitions there are.
    pub partitions: u16,
    /// How many of them are ready.
    pub partitions_done: u16,
    /// Jobs read from snapshots so far.
    pub jobs: u64,
    /// Records read from logs so far.
    pub records: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// Called with the progress of a restore.
pub(crate) type RestoreTold = Arc<dyn Fn(RestoreProgress) + Send + Sync>;
