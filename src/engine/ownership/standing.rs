//! What a standby says while it waits: at once, whenever the reason changes, and now and then.

use std::time::Duration;

use crate::clock::Clock;
use crate::partition::MonoTime;
use crate::store::{StoreError, StoreErrorClass};

/// How often it says again that it waits.
const AGAIN_US: u64 = 30_000_000;

/// A standby's wait. It may last as long as the owner lives, so nothing is said of its end.
pub(crate) struct Standing {
    clock: Clock,
    wait: Option<Wait>,
}

struct Wait {
    since: MonoTime,
    told: MonoTime,
    reason: StoreErrorClass,
}

impl Standing {
    pub(crate) fn new(clock: &Clock) -> Self {
        Standing { clock: clock.clone(), wait: None }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.wait.is_some()
    }

    /// Still waiting for partition `at`, because of `error`.
    pub(crate) fn goes_on(&mut self, at: usize, error: &StoreError) {
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
    pub(crate) fn ends(self) {
        if let Some(wait) = self.wait {
            let waited = Duration::from_micros(self.clock.mono().micros_since(wait.since));
            tracing::info!(waited_ms = waited.as_millis() as u64, "the standby has taken over");
        }
    }
}

#[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;
    use crate::clock::ManualClock;
    use crate::partition::Timestamp;

    /// The level of each line, and its fields as they come.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut said = String::new();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                said += &format!("{}={value:?} ", field.name());
            });
            self.0.lock().push((*event.metadata().level(), said));
        }
    }

    #[test]
    fn a_standby_says_now_and_then_that_it_waits_and_promises_nothing() {
        let lines = Lines::default();
        let time = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let said = |what: &mut dyn FnMut()| {
            tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.clone()), what);
            std::mem::take(&mut *lines.0.lock())
        };
        let held = StoreError::held("it is another's", Duration::from_secs(3));
        let mut standing = Standing::new(&Clock::Manual(Arc::clone(&time)));
        assert!(!standing.has_begun());
        let said_for_a_minute = said(&mut || {
            for _ in 0..=60 {
                standing.goes_on(0, &held);
                time.advance(Duration::from_secs(1));
            }
        });
        let waited: Vec<_> =
            said_for_a_minute.iter().map(|(_, said)| said.contains("waiting as a standby")).collect();
        assert_eq!(waited, [true; 3], "{said_for_a_minute:?}");
        assert!(said_for_a_minute[2].1.contains("waited_s=60"), "{said_for_a_minute:?}");
        // The store goes away meanwhile, and is back: both are told at once.
        let turns = said(&mut || {
            standing.goes_on(0, &StoreError::retry("nobody is there"));
            standing.goes_on(0, &StoreError::retry("nobody is there"));
            standing.goes_on(0, &held);
        });
        assert_eq!(turns.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::WARN, Level::INFO]);
        assert!(
            said(&mut || Standing::new(&Clock::System).ends()).is_empty(),
            "who never waited says nothing"
        );
        let mut standing = Some(standing);
        let end = said(&mut || standing.take().unwrap().ends());
        assert!(end.len() == 1 && end[0].1.contains("waited_ms=61000"), "{end:?}");
    }
}
