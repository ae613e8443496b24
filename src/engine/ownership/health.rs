//! How the store is doing, as the engine sees it: current failures, the last error, and the incidents.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::meters::ErrorMeters;
use super::store_state::StoreState;
use crate::clock::Clock;
use crate::partition::MonoTime;
use crate::store::{StoreError, StoreErrorClass};

/// Which part of the engine speaks to the store: the keeper of the leases, or the committer of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Speaker {
    Keeper,
    Committer(usize),
    /// The committer of a partition, where more than the store's word is wanted.
    Sync(usize),
    Snapshots(usize),
}

impl Speaker {
    fn name(self) -> &'static str {
        match self {
            Speaker::Keeper => "the keeper of the leases",
            Speaker::Committer(_) => "a committer",
            Speaker::Sync(_) => "a committer that waits for disk or replicas",
            Speaker::Snapshots(_) => "snapshots",
        }
    }

    fn partition(self) -> Option<usize> {
        match self {
            Speaker::Keeper => None,
            Speaker::Committer(at) | Speaker::Sync(at) | Speaker::Snapshots(at) => Some(at),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Health {
    clock: Clock,
    errors: ErrorMeters,
    failing: Mutex<BTreeMap<Speaker, Failing>>,
    last_error: Mutex<Option<String>>,
    incidents: AtomicU64,
    last_incident: Mutex<Option<String>>,
    /// What speaks against relying on a store that takes what it is sent.
    doubts: Mutex<Vec<String>>,
    pub(crate) snapshots: AtomicU64,
}

/// A row of errors.
#[derive(Debug)]
struct Failing {
    class: StoreErrorClass,
    since: MonoTime,
    /// Whether one of them was logged as an error and not as a warning. Its end gets the same level.
    is_grave: bool,
}

impl Health {
    pub(crate) fn new(clock: Clock, errors: ErrorMeters) -> Self {
        Health {
            doubts: Mutex::default(),
            clock,
            errors,
            failing: Mutex::default(),
            last_error: Mutex::default(),
            incidents: AtomicU64::new(0),
            last_incident: Mutex::default(),
            snapshots: AtomicU64::new(0),
        }
    }

    /// Notes an error. A repeated one is logged only if it is new to this speaker.
    pub(crate) fn fails(&self, speaker: Speaker, error: &StoreError) {
        self.errors.count(error.class);
        *self.last_error.lock() = Some(error.to_string());
        let (asked_by, partition) = (speaker.name(), speaker.partition());
        let is_grave = error.class != StoreErrorClass::Retry;
        if !self.is_new(speaker, error.class, is_grave) {
            return;
        }
        if is_grave {
            tracing::error!(asked_by, partition, %error, "the store refuses; it is asked again");
        } else {
            tracing::warn!(asked_by, partition, %error, "the store does not answer; it is asked again");
        }
    }

    fn is_new(&self, speaker: Speaker, class: StoreErrorClass, is_grave: bool) -> bool {
        let since = self.clock.mono();
        match self.failing.lock().entry(speaker) {
            Entry::Vacant(entry) => {
                entry.insert(Failing { class, since, is_grave });
                true
            }
            Entry::Occupied(mut entry) => {
                let failing = entry.get_mut();
                failing.is_grave |= is_grave;
                std::mem::replace(&mut failing.class, class) != class
            }
        }
    }

    /// Notes that a failing speaker gets answers again. Logged at the level of the failure.
    pub(crate) fn recovers(&self, speaker: Speaker) {
        let Some(Failing { since, is_grave, .. }) = self.failing.lock().remove(&speaker) else { return };
        let lasted_ms = self.clock.mono().micros_since(since) / 1_000;
        let (asked_by, partition) = (speaker.name(), speaker.partition());
        if is_grave {
            tracing::error!(asked_by, partition, lasted_ms, "the store answers again");
        } else {
            tracing::warn!(asked_by, partition, lasted_ms, "the store answers again");
        }
    }

    /// What fails of a partition concerns this engine no more.
    pub(super) fn forget(&self, at: usize) {
        self.failing.lock().retain(|speaker, _| speaker.partition() != Some(at));
    }

    /// Notes that the store has lost what it acknowledged.
    pub(crate) fn incident(&self, what: String) {
        tracing::error!("INCIDENT: {what}");
        self.incidents.fetch_add(1, Relaxed);
        *self.last_incident.lock() = Some(what);
    }

    pub(crate) fn state(&self) -> StoreState {
        let failing = self.failing.lock();
        let refuses = |failing: &Failing| {
            use StoreErrorClass::{Blocked, Fatal, Refused};
            matches!(failing.class, Refused | Blocked | Fatal)
        };
        if failing.values().any(refuses) {
            StoreState::Refusing
        } else if !failing.is_empty() {
            StoreState::Unreachable
        } else if self.doubts.lock().is_empty() {
            StoreState::Healthy
        } else {
            StoreState::Doubtful
        }
    }

    /// Notes the current doubts about the store, and logs those that are new or have ended.
    pub(crate) fn doubt(&self, doubts: Vec<String>) {
        let mut before = self.doubts.lock();
        if doubts == *before {
            return;
        }
        for doubt in &doubts {
            tracing::error!("the store cannot be relied on: {doubt}");
            *self.last_error.lock() = Some(doubt.clone());
        }
        if doubts.is_empty() {
            // As loud as its beginning.
            tracing::error!(
                "the store can be relied on again; what it has lost meanwhile is told as an incident"
            );
        }
        *before = doubts;
    }

    pub(crate) fn doubts(&self) -> Vec<String> {
        self.doubts.lock().clone()
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub(crate) fn incidents(&self) -> (u64, Option<String>) {
        (self.incidents.load(Relaxed), self.last_incident.lock().clone())
    }
}
