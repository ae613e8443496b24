//! The metrics of a store, and of the right to write to it.

use metrics::{Counter, Gauge, Histogram};

use super::store_state::StoreState;
use crate::engine::meters::{Register, Told};
use crate::metrics as names;
use crate::store::StoreErrorClass;

/// Those about an engine's store. They are there while it is a standby, too.
pub(crate) struct StoreMeters {
    pub(crate) is_owner: Gauge,
    pub(crate) commit_delay_s: Histogram,
    pub(crate) states: [(StoreState, Gauge); StoreState::ALL.len()],
    pub(crate) lease_left_s: Option<Gauge>,
    pub(crate) log_waiting: Gauge,
    pub(crate) log_waiting_bytes: Gauge,
    pub(crate) log_records: Gauge,
    pub(crate) snapshots: Told,
    pub(crate) incidents: Told,
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
