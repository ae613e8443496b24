//! The settings of an engine, checked once.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::error::StartError;
use crate::clock::Profile;
use crate::partition;
use crate::store::Durability;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) partitions: u16,
    pub(super) tick: Duration,
    pub(super) horizon: Duration,
    pub(super) jobs_max: usize,
    pub(super) payload_bytes_max: usize,
    pub(super) fired_max: usize,
    pub(super) fired_for: Duration,
    pub(super) log_records_max: usize,
    pub(super) profile: Profile,
    /// `None`: logged with a store, memory without.
    pub(super) durability: Option<Durability>,
    /// Which engine of the process this is.
    pub(super) engine: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            partitions: 8,
            tick: Duration::from_millis(1),
            horizon: Duration::from_secs(10 * 365 * 24 * 3600),
            jobs_max: 50_000_000,
            payload_bytes_max: 64 * 1024,
            fired_max: 100_000,
            fired_for: Duration::from_secs(3600),
            log_records_max: 100_000,
            profile: Profile::default(),
            durability: None,
            engine: next_engine(),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), StartError> {
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
        if self.jobs_max == 0 {
            return Err(invalid("jobs_max", self.jobs_max.to_string(), "at least 1"));
        }
        if self.log_records_max == 0 {
            return Err(invalid("log_records_max", self.log_records_max.to_string(), "at least 1"));
        }
        Ok(())
    }

    /// What each partition is built with.
    pub(super) fn partition(&self, is_logged: bool) -> partition::Config {
        partition::Config {
            tick_us: micros(self.tick),
            horizon_us: micros(self.horizon),
            payload_bytes_max: self.payload_bytes_max,
            fired_max: self.fired_max.div_ceil(usize::from(self.partitions)),
            fired_for_us: micros(self.fired_for),
            engine: self.engine,
            is_logged,
        }
    }
}

/// Wraps around after 65,536 engines in a process.
fn next_engine() -> u16 {
    static ENGINES: AtomicU16 = AtomicU16::new(0);
    ENGINES.fetch_add(1, Ordering::Relaxed)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
