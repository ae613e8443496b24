//! The metrics of an engine as a whole.

use metrics::Gauge;

use crate::engine::meters::{Register, Told, describe_all};
use crate::metrics as names;

/// An engine's.
pub(crate) struct EngineMeters {
    pub(crate) pending: Gauge,
    pub(crate) overdue: Gauge,
    pub(crate) remembered: Gauge,
    pub(crate) dead: Gauge,
    pub(crate) revived: Told,
    pub(crate) purged: Told,
    pub(crate) scheduled: Told,
    pub(crate) rescheduled: Told,
    pub(crate) cancelled: Told,
    pub(crate) skipped: Told,
    pub(crate) clock_steps: Told,
    pub(crate) driver_wakes: Told,
    /// The limit of the pool, and how much of it is in use, if there is one.
    pub(crate) pool: Option<[Gauge; 2]>,
}

impl EngineMeters {
    /// Describes all metrics, too: the last to do so says the same.
    pub(crate) fn new(register: &Register, jobs_max: usize, has_pool: bool) -> Self {
        describe_all();
        register.gauge(names::LIMIT).set(jobs_max as f64);
        EngineMeters {
            pending: register.gauge(names::PENDING),
            overdue: register.gauge(names::OVERDUE),
            remembered: register.gauge(names::REMEMBERED),
            dead: register.gauge(names::DEAD),
            revived: register.told(names::REVIVED),
            purged: register.told(names::PURGED),
            scheduled: register.told(names::SCHEDULED),
            rescheduled: register.told(names::RESCHEDULED),
            cancelled: register.told(names::CANCELLED),
            skipped: register.told(names::SKIPPED),
            clock_steps: register.told(names::CLOCK_STEPS),
            driver_wakes: register.told(names::DRIVER_WAKES),
            pool: has_pool.then(|| [names::POOL_LIMIT, names::POOL_IN_USE].map(|it| register.gauge(it))),
        }
    }
}
