//! What an engine publishes as metrics: see [`crate::metrics`] for the list.
//!
//! # Rules
//! - A job costs what its two histograms cost. All else is counted anyway, for `stats()`, and is published from there now and
//!   then: by a thread of its own, so that a slow recorder makes no job late, and by nobody where there is no recorder.
//! - A counter is told what has been added since it was told last, so that engines may follow each other in a process, and
//!   several add up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::engine::ownership::{Ownership, StoreState};
use crate::engine::queues::Queue;
use crate::engine::state::Shared;
use crate::metrics::{self as names, Kind, Metric};
use crate::partition::Counts;
use crate::store::StoreErrorClass;

/// How old what is published may be.
const EVERY: Duration = Duration::from_secs(1);

/// A counter, and what it has been told.
struct Told {
    counter: Counter,
    so_far: AtomicU64,
}

impl Told {
    fn reach(&self, total: u64) {
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

    fn with(&self, label: &'static str, value: &str) -> Self {
        let mut labels = self.labels.clone();
        labels.push(Label::new(label, value.to_owned()));
        Register { labels }
    }

    fn counter(&self, metric: Metric) -> Counter {
        metrics::counter!(metric.name, self.labels.clone())
    }

    fn told(&self, metric: Metric) -> Told {
        Told { counter: self.counter(metric), so_far: AtomicU64::new(0) }
    }

    fn gauge(&self, metric: Metric) -> Gauge {
        metrics::gauge!(metric.name, self.labels.clone())
    }

    fn histogram(&self, metric: Metric) -> Histogram {
        metrics::histogram!(metric.name, self.labels.clone())
    }
}

/// A queue's.
pub(crate) struct QueueMeters {
    pub(crate) lateness_s: Histogram,
    pub(crate) duration_s: Histogram,
    fired: Told,
    succeeded: Told,
    failed: Told,
    panicked: Told,
    ready: Gauge,
    oldest_ready_s: Gauge,
    running: Gauge,
    is_paused: Gauge,
}

impl QueueMeters {
    pub(crate) fn new(register: &Register, queue: &str) -> Self {
        let it = register.with("queue", queue);
        QueueMeters {
            lateness_s: it.histogram(names::LATENESS),
            duration_s: it.histogram(names::DURATION),
            fired: it.told(names::FIRED),
            succeeded: it.told(names::SUCCEEDED),
            failed: it.told(names::FAILED),
            panicked: it.told(names::PANICKED),
            ready: it.gauge(names::READY),
            oldest_ready_s: it.gauge(names::OLDEST_READY),
            running: it.gauge(names::RUNNING),
            is_paused: it.gauge(names::PAUSED),
        }
    }

    fn publish(&self, queue: &Queue, oldest_ready_us: u64) {
        self.fired.reach(queue.total(|share| &share.fired));
        self.succeeded.reach(queue.total(|share| &share.succeeded));
        self.failed.reach(queue.total(|share| &share.failed));
        self.panicked.reach(queue.total(|share| &share.panicked));
        self.ready.set(queue.ready() as f64);
        self.oldest_ready_s.set(seconds(oldest_ready_us));
        self.running.set(queue.running() as f64);
        self.is_paused.set(flag(queue.is_paused()));
    }
}

/// An engine's.
pub(crate) struct EngineMeters {
    pending: Gauge,
    overdue: Gauge,
    remembered: Gauge,
    scheduled: Told,
    rescheduled: Told,
    cancelled: Told,
    skipped: Told,
    clock_steps: Told,
    driver_wakes: Told,
}

impl EngineMeters {
    /// Describes all metrics, too: the last to do so says the same.
    pub(crate) fn new(register: &Register, jobs_max: usize) -> Self {
        names::ALL.iter().for_each(describe);
        register.gauge(names::LIMIT).set(jobs_max as f64);
        EngineMeters {
            pending: register.gauge(names::PENDING),
            overdue: register.gauge(names::OVERDUE),
            remembered: register.gauge(names::REMEMBERED),
            scheduled: register.told(names::SCHEDULED),
            rescheduled: register.told(names::RESCHEDULED),
            cancelled: register.told(names::CANCELLED),
            skipped: register.told(names::SKIPPED),
            clock_steps: register.told(names::CLOCK_STEPS),
            driver_wakes: register.told(names::DRIVER_WAKES),
        }
    }
}

/// Those about an engine's store. They are there while it is a standby, too.
pub(crate) struct StoreMeters {
    pub(crate) is_owner: Gauge,
    pub(crate) commit_delay_s: Histogram,
    states: [(StoreState, Gauge); StoreState::ALL.len()],
    lease_left_s: Option<Gauge>,
    log_waiting: Gauge,
    log_waiting_bytes: Gauge,
    log_records: Gauge,
    snapshots: Told,
    incidents: Told,
}

impl StoreMeters {
    pub(crate) fn new(register: &Register, has_lease: bool) -> Self {
        let is_owner = register.gauge(names::IS_OWNER);
        is_owner.set(0.0);
        let state =
            |state: StoreState| (state, register.with("state", state.name()).gauge(names::STORE_STATE));
        StoreMeters {
            is_owner,
            commit_delay_s: register.histogram(names::COMMIT_DELAY),
            states: StoreState::ALL.map(state),
            lease_left_s: has_lease.then(|| register.gauge(names::LEASE_LEFT)),
            log_waiting: register.gauge(names::LOG_WAITING),
            log_waiting_bytes: register.gauge(names::LOG_WAITING_BYTES),
            log_records: register.gauge(names::LOG_RECORDS),
            snapshots: register.told(names::SNAPSHOTS),
            incidents: register.told(names::INCIDENTS),
        }
    }
}

/// Errors of a store, by class. All classes are there from the start, so that the first error of one is seen as a change.
pub(crate) struct ErrorMeters([(StoreErrorClass, Counter); StoreErrorClass::ALL.len()]);

impl ErrorMeters {
    pub(crate) fn new(register: &Register) -> Self {
        let of =
            |class: StoreErrorClass| (class, register.with("class", class.name()).counter(names::ERRORS));
        ErrorMeters(StoreErrorClass::ALL.map(of))
    }

    pub(crate) fn count(&self, class: StoreErrorClass) {
        if let Some((_, counter)) = self.0.iter().find(|(of, _)| *of == class) {
            counter.increment(1);
        }
    }
}

/// What all partitions have together.
#[derive(Default)]
struct Sums {
    counts: Counts,
    pending: usize,
    overdue: usize,
    remembered: usize,
    log_waiting: u64,
    log_waiting_bytes: usize,
    log_records: u64,
    /// By queue, in their order.
    oldest_ready_us: Vec<u64>,
}

impl Shared {
    /// Publishes what is so now. Takes each partition's lock once, briefly.
    pub(crate) fn publish_meters(&self) {
        let sums = self.sums();
        let meters = &self.meters;
        meters.pending.set(sums.pending as f64);
        meters.overdue.set(sums.overdue as f64);
        meters.remembered.set(sums.remembered as f64);
        meters.scheduled.reach(sums.counts.scheduled);
        meters.rescheduled.reach(sums.counts.rescheduled);
        meters.cancelled.reach(sums.counts.cancelled);
        meters.skipped.reach(sums.counts.skipped);
        meters.clock_steps.reach(self.clock_steps.load(crate::sync::atomic::Ordering::Relaxed));
        meters.driver_wakes.reach(self.driver_wakes.load(crate::sync::atomic::Ordering::Relaxed));
        for (queue, &oldest_us) in self.queues.iter().zip(&sums.oldest_ready_us) {
            queue.meters.publish(queue, oldest_us);
        }
        if let Some(ownership) = &self.ownership {
            self.publish_store(ownership, &sums);
        }
    }

    fn publish_store(&self, ownership: &Ownership, sums: &Sums) {
        let meters = &ownership.meters;
        let is_lost = ownership.lost().is_some();
        let has_leases = !is_lost && !self.life.is_released();
        meters.is_owner.set(flag(has_leases));
        let now_in = ownership.state(self);
        for (state, gauge) in &meters.states {
            gauge.set(flag(*state == now_in));
        }
        let now = self.clock.mono();
        let left = (0..self.cells.len()).filter_map(|at| ownership.proved_until(at)).min();
        if let (Some(gauge), Some(until)) = (&meters.lease_left_s, left) {
            gauge.set(if has_leases { seconds(until.micros_since(now)) } else { 0.0 });
        }
        meters.log_waiting.set(sums.log_waiting as f64);
        meters.log_waiting_bytes.set(sums.log_waiting_bytes as f64);
        meters.log_records.set(sums.log_records as f64);
        meters.snapshots.reach(ownership.health.snapshots.load(Relaxed));
        meters.incidents.reach(ownership.health.incidents().0);
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums { oldest_ready_us: vec![0; self.queues.iter().count()], ..Sums::default() };
        for (at, cell) in self.cells.iter().enumerate() {
            let owned = cell.lock();
            let (partition, log) = (&owned.partition, &owned.log);
            let counts = partition.counts();
            sums.counts.scheduled += counts.scheduled;
            sums.counts.rescheduled += counts.rescheduled;
            sums.counts.cancelled += counts.cancelled;
            sums.counts.skipped += counts.skipped;
            sums.pending += partition.live() - partition.running();
            sums.overdue += partition.overdue();
            sums.remembered += partition.fired_remembered();
            sums.log_waiting_bytes += log.outstanding_bytes();
            let log_end = log.end() - log.lost();
            let now = self.clock.now();
            for (queue, oldest_us) in self.queues.iter().zip(&mut sums.oldest_ready_us) {
                if queue.ready_in(at) > 0 {
                    *oldest_us = partition.oldest_ready_us(queue.id, now).max(*oldest_us);
                }
            }
            drop(owned);
            let durable = cell.progress.durable();
            sums.log_waiting += log_end.saturating_sub(durable);
            sums.log_records += durable.saturating_sub(cell.last_snapshot().covered);
        }
        sums
    }
}

/// Publishes now and then until the engine stops, if there is anybody who records it.
pub(crate) fn start(shared: &Arc<Shared>) {
    // Nobody else can tell a recorder from the facade's own, which has no state.
    if metrics::with_recorder(|recorder| size_of_val(recorder)) == 0 {
        return;
    }
    shared.publish_meters();
    let weak = Arc::downgrade(shared);
    let publishes = move || {
        loop {
            std::thread::sleep(EVERY);
            // An engine that stops publishes its last by itself.
            match weak.upgrade() {
                Some(shared) if !shared.is_stopping() => shared.publish_meters(),
                _ => return,
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("reveille-meters".into()).spawn(publishes) {
        tracing::warn!(%error, "no thread for metrics can be started: they are brought up to date by `stats()` only");
    }
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

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// For the debugging output of what holds it.
impl std::fmt::Debug for ErrorMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ErrorMeters").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state or a class that is added must not be left out: at any time one state is 1.
    #[test]
    fn every_state_and_class_has_a_series_and_is_described() {
        let is_described = |metric: &names::Metric, name: &str| metric.help.contains(name);
        assert!(StoreState::ALL.iter().all(|state| is_described(&names::STORE_STATE, state.name())));
        assert!(StoreErrorClass::ALL.iter().all(|class| is_described(&names::ERRORS, class.name())));
    }
}
