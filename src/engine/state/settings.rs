//! The settings of an engine, checked once.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::clock::Profile;
use crate::engine::error::StartError;
use crate::engine::ownership::OnLoss;
use crate::partition;
use crate::store::{Durability, LEASE_DEFAULT};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the engine is called in metrics.
    pub(crate) name: Option<String>,
    pub(crate) partitions: u16,
    pub(crate) tick: Duration,
    pub(crate) horizon: Duration,
    pub(crate) jobs_max: usize,
    pub(crate) payload_bytes_max: usize,
    /// How many handlers may run at a time over all queues that workers run.
    pub(crate) pool: Option<usize>,
    pub(crate) fired_max: usize,
    pub(crate) fired_for: Duration,
    /// Of a queue.
    pub(crate) dead_max: usize,
    pub(crate) dead_for: Duration,
    pub(crate) log_records_max: usize,
    pub(crate) log_bytes_max: usize,
    /// How long a commit waits for the store.
    pub(crate) commit_deadline: Duration,
    /// For how long a lease lasts.
    pub(crate) lease: Duration,
    /// Whether the user vouches that there is no other owner.
    pub(crate) is_single_owner: bool,
    /// What an engine gives up with a partition that another takes.
    pub(crate) on_loss: OnLoss,
    /// Whether to take the jobs from an owner that is alive.
    pub(crate) takes_over: bool,
    /// Whether to wait for another owner to go.
    pub(crate) is_standby: bool,
    /// For how long a store that does not answer is asked again at the start.
    pub(crate) start_patience: Duration,
    pub(crate) snapshots: SnapshotPolicy,
    /// Overdue jobs that a restart lets go, a second; `None` for as fast as it goes.
    pub(crate) catch_up_per_second: Option<NonZeroU32>,
    pub(crate) profile: Profile,
    /// Whether spans of attempts have the names of OpenTelemetry's conventions for messaging.
    pub(crate) has_messaging_spans: bool,
    /// Whether jobs of queues without a handler are nothing to warn of.
    pub(crate) expects_unhandled: bool,
    /// `None`: logged with a store, memory without.
    pub(crate) durability: Option<Durability>,
    /// Which engine of the process this is.
    pub(crate) engine: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: None,
            partitions: 8,
            tick: Duration::from_millis(1),
            horizon: Duration::from_secs(10 * 365 * 24 * 3600),
            jobs_max: 50_000_000,
            payload_bytes_max: 64 * 1024,
            pool: None,
            fired_max: 100_000,
            fired_for: Duration::from_secs(3600),
            dead_max: partition::DEAD_MAX,
            dead_for: partition::DEAD_FOR,
            log_records_max: 100_000,
            log_bytes_max: 64 << 20,
            commit_deadline: Duration::from_secs(30),
            lease: LEASE_DEFAULT,
            is_single_owner: false,
            on_loss: OnLoss::default(),
            is_standby: true,
            takes_over: false,
            start_patience: Duration::from_secs(5),
            snapshots: SnapshotPolicy::default(),
            catch_up_per_second: NonZeroU32::new(100_000),
            profile: Profile::default(),
            has_messaging_spans: false,
            expects_unhandled: false,
            durability: None,
            engine: next_engine(),
        }
    }
}

/// When snapshots are taken by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotPolicy {
    /// After so many records of a partition, or as many as it has jobs if that is more: so the work of writing a snapshot
    /// is in proportion to that of writing the log.
    pub(crate) records: u64,
    /// After so long, if anything was logged.
    pub(crate) every: Duration,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        SnapshotPolicy { records: 100_000, every: Duration::from_secs(600) }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let invalid =
            |setting, value: String, must_be| StartError::InvalidSetting { setting, value, must_be };
        if self.partitions == 0 || self.partitions > 1024 {
            return Err(invalid("partitions", self.partitions.to_string(), "1 to 1024"));
        }
        if self.tick < Duration::from_micros(1) || self.tick > Duration::from_secs(60) {
            return Err(invalid("tick", format!("{:?}", self.tick), "1 µs to 60 s"));
        }
        if !self.tick.as_nanos().is_multiple_of(1_000) {
            return Err(invalid("tick", format!("{:?}", self.tick), "whole microseconds"));
        }
        if self.horizon < self.tick {
            return Err(invalid("horizon", format!("{:?}", self.horizon), "a tick at least"));
        }
        if !(1..=PAYLOAD_BYTES_MAX).contains(&self.payload_bytes_max) {
            return Err(invalid("payload_bytes_max", self.payload_bytes_max.to_string(), "1 byte to 16 MiB"));
        }
        if self.jobs_max == 0 {
            return Err(invalid("jobs_max", self.jobs_max.to_string(), "at least 1"));
        }
        if self.pool == Some(0) {
            return Err(invalid("pool", "0".into(), "at least 1"));
        }
        if self.log_records_max == 0 {
            return Err(invalid("log_records_max", self.log_records_max.to_string(), "at least 1"));
        }
        if self.log_bytes_max == 0 {
            return Err(invalid("log_bytes_max", self.log_bytes_max.to_string(), "at least 1"));
        }
        if self.lease < LEASE_MIN || self.lease > LEASE_MAX {
            return Err(invalid("lease", format!("{:?}", self.lease), "100 ms to an hour"));
        }
        if self.commit_deadline.is_zero() {
            return Err(invalid("commit_deadline", "0".into(), "longer than nothing"));
        }
        if self.snapshots.records == 0 || self.snapshots.every.is_zero() {
            return Err(invalid(
                "snapshot_every",
                format!("{:?}", self.snapshots),
                "at least 1 and longer than nothing",
            ));
        }
        Ok(())
    }

    pub(crate) fn tick_us(&self) -> u64 {
        micros(self.tick)
    }

    /// What each partition is built with.
    pub(crate) fn partition(&self, is_logged: bool) -> partition::Config {
        partition::Config {
            tick_us: self.tick_us(),
            horizon_us: micros(self.horizon),
            payload_bytes_max: self.payload_bytes_max,
            fired_max: self.fired_max.div_ceil(usize::from(self.partitions)),
            fired_for_us: micros(self.fired_for),
            dead_max: self.dead_max.div_ceil(usize::from(self.partitions)),
            dead_for_us: micros(self.dead_for),
            engine: self.engine,
            is_logged,
        }
    }
}

/// More would fill a log's buffer with a few jobs, and hold up all others on a line.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Less would not leave room for a proof that is late.
const LEASE_MIN: Duration = Duration::from_millis(100);
const LEASE_MAX: Duration = Duration::from_secs(3600);

/// Wraps around after 65,536 engines in a process.
fn next_engine() -> u16 {
    static ENGINES: AtomicU16 = AtomicU16::new(0);
    ENGINES.fetch_add(1, Ordering::Relaxed)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
