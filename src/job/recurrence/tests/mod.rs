//! Rules against what they are said to mean.

#[cfg(feature = "cron")]
mod calendar;
#[cfg(feature = "cron")]
mod clocks;
mod forms;
#[cfg(feature = "cron")]
mod refused;
mod steps;
#[cfg(feature = "cron")]
mod walk;

use std::time::Duration;

use super::{Occurrence, Recurrence};
use crate::time::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn every(seconds: u64) -> Recurrence {
    Recurrence::every(Duration::from_secs(seconds)).unwrap()
}

fn instants(rule: &Recurrence, called_at: Timestamp, count: usize) -> Vec<Timestamp> {
    rule.preview(called_at).unwrap().take(count).map(|occurrence| occurrence.scheduled_for).collect()
}

fn occurrence(scheduled_for: Timestamp, number: u64, missed: u64) -> Occurrence {
    Occurrence { scheduled_for, number, missed }
}
