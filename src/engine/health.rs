//! How the store does, as the engine sees it: what fails now, the last error, and the incidents.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::store::{StoreError, StoreErrorClass};

/// Who speaks to the store: the keeper of the leases, or the committer of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Speaker {
    Keeper,
    Committer(usize),
    /// The committer of a partition, where more than the store's word is wanted.
    Sync(usize),
    Snapshots(usize),
}

#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Mutex<BTreeMap<Speaker, StoreErrorClass>>,
    last_error: Mutex<Option<String>>,
    incidents: AtomicU64,
    last_incident: Mutex<Option<String>>,
    /// What speaks against relying on a store that takes what it is sent.
    doubts: Mutex<Vec<String>>,
    pub(super) snapshots: AtomicU64,
}

/// What a store's answers amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum StoreState {
    /// It takes what it is sent.
    #[default]
    Healthy,
    /// It cannot be reached, or asks to be tried again. Jobs fire; commits wait.
    Unreachable,
    /// It can be reached and takes no writes: it is out of memory, read-only, or cannot write its disk. Jobs fire; commits
    /// wait. Somebody has to mend it.
    Refusing,
    /// It takes what it is sent, and may lose it: its settings were changed. See
    /// [`StoreStats::doubts`](crate::StoreStats::doubts).
    Doubtful,
    /// It takes nothing from this engine any more: see [`Engine::lost`](crate::Engine::lost).
    Lost,
}

impl Health {
    /// Notes an error. A repeated one is logged only where it is new to this speaker.
    pub(super) fn fails(&self, speaker: Speaker, error: &StoreError) {
        metrics::counter!("reveille_store_errors_total", "class" => format!("{:?}", error.class))
            .increment(1);
        *self.last_error.lock() = Some(error.to_string());
        if self.failing.lock().insert(speaker, error.class) != Some(error.class) {
            match error.class {
                StoreErrorClass::Retry => {
                    tracing::warn!(?speaker, %error, "the store does not answer; it is asked again")
                }
                _ => tracing::error!(?speaker, %error, "the store refuses; it is asked again"),
            }
        }
    }

    /// Notes that a speaker who was failing is answered again.
    pub(super) fn recovers(&self, speaker: Speaker) {
        if self.failing.lock().remove(&speaker).is_some() {
            tracing::info!(?speaker, "the store answers again");
        }
    }

    /// Notes that the store has lost what it acknowledged.
    pub(super) fn incident(&self, what: String) {
        tracing::error!("INCIDENT: {what}");
        metrics::counter!("reveille_store_incidents_total").increment(1);
        self.incidents.fetch_add(1, Relaxed);
        *self.last_incident.lock() = Some(what);
    }

    pub(super) fn state(&self) -> StoreState {
        let failing = self.failing.lock();
        let refuses = |class: &StoreErrorClass| {
            matches!(class, StoreErrorClass::Refused | StoreErrorClass::Blocked | StoreErrorClass::Fatal)
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

    /// Notes what speaks against relying on the store now, and tells of what is new or has ended.
    pub(super) fn doubt(&self, doubts: Vec<String>) {
        let mut before = self.doubts.lock();
        if doubts == *before {
            return;
        }
        for doubt in &doubts {
            tracing::error!("the store cannot be relied on: {doubt}");
            *self.last_error.lock() = Some(doubt.clone());
        }
        if doubts.is_empty() {
            tracing::info!(
                "the store can be relied on again; what it has lost meanwhile is told as an incident"
            );
        }
        *before = doubts;
    }

    pub(super) fn doubts(&self) -> Vec<String> {
        self.doubts.lock().clone()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub(super) fn incidents(&self) -> (u64, Option<String>) {
        (self.incidents.load(Relaxed), self.last_incident.lock().clone())
    }
}
