//! The metrics of a queue.

use metrics::{Gauge, Histogram};

use crate::engine::meters::{Register, Told};
use crate::metrics as names;

/// A queue's.
pub(crate) struct QueueMeters {
    pub(crate) lateness_s: Histogram,
    pub(crate) duration_s: Histogram,
    pub(crate) fired: Told,
    pub(crate) succeeded: Told,
    pub(crate) failed: Told,
    pub(crate) panicked: Told,
    pub(crate) timed_out: Told,
    pub(crate) discarded: Told,
    pub(crate) retried: Told,
    pub(crate) died: Told,
    pub(crate) passed: Told,
    pub(crate) ready: Gauge,
    pub(crate) oldest_ready_s: Gauge,
    pub(crate) running: Gauge,
    pub(crate) is_paused: Gauge,
    pub(crate) is_rate_held: Gauge,
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
            timed_out: it.told(names::TIMED_OUT),
            discarded: it.told(names::DISCARDED),
            retried: it.told(names::RETRIED),
            died: it.told(names::DIED),
            passed: it.told(names::PASSED),
            ready: it.gauge(names::READY),
            oldest_ready_s: it.gauge(names::OLDEST_READY),
            running: it.gauge(names::RUNNING),
            is_paused: it.gauge(names::PAUSED),
            is_rate_held: it.gauge(names::RATE_HELD),
        }
    }
}
