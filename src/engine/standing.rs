//! What a standby says while it waits: at once, whenever the reason changes, and now and then.

use std::time::Duration;

use crate::clock::Clock;
use crate::partition::MonoTime;
use crate::store::{StoreError, StoreErrorClass};

/// How often it says again that it waits.
const AGAIN_US: u64 = 30_000_000;

/// A standby's wait. It may last as long as the owner lives, so nothing is said of its end.
pub(super) struct Standing {
    clock: Clock,
    wait: Option<Wait>,
}

struct Wait {
    since: MonoTime,
    told: MonoTime,
    reason: StoreErrorClass,
}

impl Standing {
    pub(super) fn new(clock: &Clock) -> Self {
        Standing { clock: clock.clone(), wait: None }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.wait.is_some()
    }

    /// Still waiting for partition `at`, because of `error`.
    pub(super) fn goes_on(&mut self, at: usize, error: &StoreError) {
        let (now, reason) = (self.clock.mono(), error.class);
        let is_new = self.wait.as_ref().is_none_or(|wait| wait.reason != reason);
        let wait = self.wait.get_or_insert(Wait { since: now, told: now, reason });
        if !is_new && now.micros_since(wait.told) < AGAIN_US {
            return;
        }
        (wait.told, wait.reason) = (now, reason);
        let waited_s = now.micros_since(wait.since) / 1_000_000;
        if reason == StoreErrorClass::Held {
            tracing::info!(partition = at, waited_s, %error, "waiting as a standby: another engine owns the jobs");
        } else {
            tracing::warn!(partition = at, waited_s, %error, "waiting as a standby: the store does not answer either");
        }
    }

    /// The leases are here.
    pub(super) fn is_over(self) {
        if let Some(wait) = self.wait {
            let waited = Duration::from_micros(self.clock.mono().micros_since(wait.since));
            tracing::info!(waited_ms = waited.as_millis() as u64, "the standby has taken over");
        }
    }
}
