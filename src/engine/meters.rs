//! What metrics are made with: see [`crate::metrics`] for the list, and `tell::publish` for when they are published. Each room
//! has those of its own.
//!
//! A counter is told what has been added since it was told last, so that engines may follow each other in a process, and
//! several add up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::metrics::{self as names, Kind, Metric};

/// A counter, and what it has been told.
pub(crate) struct Told {
    counter: Counter,
    so_far: AtomicU64,
}

impl Told {
    pub(crate) fn reach(&self, total: u64) {
        let before = self.so_far.fetch_max(total, Relaxed);
        self.counter.increment(total.saturating_sub(before));
    }
}

/// Registers metrics under the labels of an engine.
#[derive(Clone, Default)]
pub(crate) struct Register {
    labels: Vec<Label>,
}

impl Register {
    /// For the engine of this name.
    pub(crate) fn new(engine: Option<&str>) -> Self {
        Register { labels: engine.map(|name| Label::new("engine", name.to_owned())).into_iter().collect() }
    }

    pub(crate) fn with(&self, label: &'static str, value: &str) -> Self {
        let mut labels = self.labels.clone();
        labels.push(Label::new(label, value.to_owned()));
        Register { labels }
    }

    pub(crate) fn counter(&self, metric: Metric) -> Counter {
        metrics::counter!(metric.name, self.labels.clone())
    }

    pub(crate) fn told(&self, metric: Metric) -> Told {
        Told { counter: self.counter(metric), so_far: AtomicU64::new(0) }
    }

    pub(crate) fn gauge(&self, metric: Metric) -> Gauge {
        metrics::gauge!(metric.name, self.labels.clone())
    }

    pub(crate) fn histogram(&self, metric: Metric) -> Histogram {
        metrics::histogram!(metric.name, self.labels.clone())
    }
}

/// Tells the recorder what every metric is. The last to do so says the same.
pub(crate) fn describe_all() {
    names::ALL.iter().for_each(describe);
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => Unit::Count,
    };
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
        Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
        Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.help),
    }
}

pub(crate) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

pub(crate) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
