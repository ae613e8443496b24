//! The metrics that an engine publishes through the [`metrics`](https://docs.rs/metrics) facade: their names, what they mean,
//! and buckets for their histograms. `docs/metrics.md` has the same list for readers.
//!
//! Install a recorder before the engine starts: metrics that are registered without one stay silent. Histograms are recorded as
//! jobs fire. A thread, which exists only with a recorder, updates counters and gauges once a second; so do
//! [`Engine::stats`](crate::Engine::stats) and [`Engine::shutdown`](crate::Engine::shutdown). (A recorder whose type has no fields
//! is taken for no recorder; then only these two calls update them.)
//!
//! Engines of one process add to the same counters, but overwrite each other's gauges. Give each a
//! [name](crate::Builder::name), which becomes the label `engine`.
//!
//! The facade has no buckets, and the defaults of exporters begin at milliseconds, so nearly all jobs fall into the first one:
//!
//! ```
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use reveille::metrics::{DURATION_BUCKETS_S, LATENESS_BUCKETS_S};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handle = PrometheusBuilder::new()
//!     .set_buckets_for_metric(Matcher::Full("reveille_job_lateness_seconds".into()), &LATENESS_BUCKETS_S)?
//!     .set_buckets_for_metric(Matcher::Prefix("reveille_".into()), &DURATION_BUCKETS_S)?
//!     .install_recorder()?;
//! // Then start the engine, and serve `handle.render()`.
//! # let _ = handle; Ok(()) }
//! ```

/// Buckets for `reveille_job_lateness_seconds`, in seconds: from a microsecond to a minute, three a decade below a second.
pub const LATENESS_BUCKETS_S: [f64; 22] = [
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5,
    1.0, 5.0, 15.0, 60.0,
];

/// Buckets for `reveille_handler_duration_seconds` and `reveille_commit_delay_seconds`, in seconds: from ten microseconds to ten
/// minutes.
pub const DURATION_BUCKETS_S: [f64; 20] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0,
    120.0, 600.0,
];

/// A metric: see [`ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its unit: `seconds`, `bytes`, or empty.
    pub unit: &'static str,
    /// The names of its labels, apart from `engine`.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// The kinds of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution.
    Histogram,
}

const fn metric(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal $unit:literal $labels:tt $help:literal)*) => {
        $(pub(crate) const $id: Metric = metric(Kind::$kind, $name, $unit, &$labels, $help);)*

        /// Every metric. Those of the store and of the pool are published by engines that have one; that of the lease, if it can end.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    FIRED: Counter "reveille_jobs_fired_total" "" ["queue"] "Jobs handed to a handler"
    SUCCEEDED: Counter "reveille_jobs_succeeded_total" "" ["queue"] "Handlers that succeeded"
    FAILED: Counter "reveille_jobs_failed_total" "" ["queue"] "Handlers that failed, those that panicked included"
    PANICKED: Counter "reveille_jobs_panicked_total" "" ["queue"] "Handlers that panicked"
    TIMED_OUT: Counter "reveille_jobs_timed_out_total" "" ["queue"] "Attempts that took longer than they may, among those that failed"
    DISCARDED: Counter "reveille_jobs_discarded_total" "" ["queue"] "Jobs that ended as their handler found nothing to do any more"
    RETRIED: Counter "reveille_jobs_retried_total" "" ["queue"] "Attempts after which a job waits for another"
    DIED: Counter "reveille_jobs_died_total" "" ["queue"] "Jobs that failed as often as they may, or too late, and are kept among the dead"
    PASSED: Counter "reveille_occurrences_passed_over_total" "" ["queue"] "Occurrences of recurring jobs that did not run: skipped, or a later one ran for them"
    LATENESS: Histogram "reveille_job_lateness_seconds" "seconds" ["queue"] "From a job's due time to the start of its handler"
    DURATION: Histogram "reveille_handler_duration_seconds" "seconds" ["queue"] "From the start of a handler to its end"
    READY: Gauge "reveille_jobs_ready" "" ["queue"] "Jobs due that wait for a handler"
    OLDEST_READY: Gauge "reveille_oldest_ready_seconds" "seconds" ["queue"] "How long the oldest of them has been due; 0 if there is none"
    RUNNING: Gauge "reveille_jobs_running" "" ["queue"] "Jobs with a handler"
    PAUSED: Gauge "reveille_queue_paused" "" ["queue"] "1 while the queue is paused"
    RATE_HELD: Gauge "reveille_queue_rate_held" "" ["queue"] "1 while the queue's rate keeps its ready jobs from starting"
    POOL_LIMIT: Gauge "reveille_pool_limit" "" [] "How many handlers may run at a time over all queues, if there is a pool"
    POOL_IN_USE: Gauge "reveille_pool_in_use" "" [] "How many of them run, or are about to"
    PENDING: Gauge "reveille_jobs_pending" "" [] "Jobs scheduled and not started, those that are due included"
    OVERDUE: Gauge "reveille_jobs_overdue" "" [] "Jobs that a restart found overdue and that still wait for the pace of the catch-up"
    LIMIT: Gauge "reveille_jobs_limit" "" [] "How many jobs may be pending or running: `jobs_max`"
    REMEMBERED: Gauge "reveille_jobs_remembered" "" [] "Fired jobs that are remembered"
    DEAD: Gauge "reveille_jobs_dead" "" [] "Dead jobs that are kept"
    REVIVED: Counter "reveille_jobs_revived_total" "" [] "Dead jobs that were brought back"
    PURGED: Counter "reveille_jobs_purged_total" "" [] "Dead jobs that were taken away, by a call or as the oldest of too many"
    SCHEDULED: Counter "reveille_jobs_scheduled_total" "" [] "Jobs taken"
    RESCHEDULED: Counter "reveille_jobs_rescheduled_total" "" [] "Jobs moved"
    CANCELLED: Counter "reveille_jobs_cancelled_total" "" [] "Jobs cancelled or replaced"
    SKIPPED: Counter "reveille_jobs_skipped_total" "" [] "Jobs that a restart found too overdue to fire: see `Misfire`"
    CLOCK_STEPS: Counter "reveille_clock_steps_total" "" [] "How often the wall clock was set"
    DRIVER_WAKES: Counter "reveille_driver_wakes_total" "" [] "How often the driver woke"
    IS_OWNER: Gauge "reveille_is_owner" "" [] "1 while the engine owns its jobs in the store; 0 as a standby, after a loss and after a shutdown"
    STORE_STATE: Gauge "reveille_store_state" "" ["state"] "1 for the state that the store is in, 0 for the others: healthy, unreachable, refusing, doubtful, lost, ended"
    LEASE_LEFT: Gauge "reveille_lease_left_seconds" "seconds" [] "For how much longer the engine can prove that it is the owner; at 0 it fires nothing"
    COMMIT_DELAY: Histogram "reveille_commit_delay_seconds" "seconds" [] "From a change to the store's word for it, by batch"
    LOG_WAITING: Gauge "reveille_log_waiting_records" "" [] "Records that the store has not taken yet"
    LOG_WAITING_BYTES: Gauge "reveille_log_waiting_bytes" "bytes" [] "About how many bytes these take"
    LOG_RECORDS: Gauge "reveille_log_records" "" [] "Records in the store's log since the last snapshots"
    SNAPSHOTS: Counter "reveille_snapshots_total" "" [] "Snapshots taken, by partition"
    INCIDENTS: Counter "reveille_store_incidents_total" "" [] "How often the store was found to have lost what it had acknowledged"
    ERRORS: Counter "reveille_store_errors_total" "" ["class"] "Errors of the store, by what the engine does about them: retry, refused, held, fenced, behind, blocked, fatal"
}
