//! How late things were.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Error;

/// Observed lateness, in nanoseconds. Early events are counted apart.
#[derive(Debug)]
pub(super) struct Seen {
    late_ns: Histogram<u64>,
    early: u64,
}

impl Seen {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Seen { late_ns: Histogram::new_with_bounds(1, 600_000_000_000, 3)?, early: 0 })
    }

    pub(super) fn record(&mut self, late_ns: i64) {
        match u64::try_from(late_ns) {
            Ok(late_ns) => self.late_ns.saturating_record(late_ns.max(1)),
            Err(_) => self.early += 1,
        }
    }

    /// Adds what was seen elsewhere.
    pub(super) fn add(&mut self, other: &Seen) -> Result<(), Error> {
        self.early += other.early;
        Ok(self.late_ns.add(&other.late_ns)?)
    }

    pub(super) fn len(&self) -> u64 {
        self.late_ns.len() + self.early
    }

    pub(super) fn early(&self) -> u64 {
        self.early
    }

    fn us(&self, percentile: f64) -> f64 {
        self.late_ns.value_at_percentile(percentile) as f64 / 1e3
    }

    pub(super) fn late(&self) -> Late {
        let us = |percentile| self.us(percentile);
        Late { p50_us: us(50.0), p99_us: us(99.0), p999_us: us(99.9), max_us: us(100.0) }
    }

    /// The distribution, as far as there are enough values for it: percentiles, and how late in microseconds.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        const AT: [f64; 14] =
            [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.99];
        let enough = |percentile: &f64| (1.0 - percentile / 100.0) * self.late_ns.len() as f64 >= 1.0;
        AT.into_iter().filter(enough).map(|percentile| (percentile, self.us(percentile))).collect()
    }
}

/// Lateness in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Late {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}
