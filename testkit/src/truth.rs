//! What must be in an engine, and in a store, after a workload: told by the engine's own definite answers.

use std::collections::BTreeMap;
use std::time::Duration;

use reveille::{CancelOutcome, Engine, LookupOutcome, RescheduleOutcome, ScheduleOutcome, Timestamp};

use crate::random::Random;
use crate::time::{HOUR, real_now};
use crate::wait::eventually;

/// Jobs due in an hour or later, so that none fires meanwhile: what each is due, and how often it was changed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Truth {
    jobs: BTreeMap<String, (Timestamp, u32)>,
    random: Random,
}

impl Truth {
    /// Makes `calls` changes, and waits for none of them to be durable: what a call did is known at once.
    pub fn change(&mut self, engine: &Engine, calls: usize) {
        for _ in 0..calls {
            let key = format!("key-{}", self.random.below(2_000));
            let due = real_now() + HOUR + Duration::from_millis(self.random.below(3_600_000));
            match self.random.below(5) {
                0 => {
                    let outcome = engine.cancel(&key).into_outcome().expect("the engine takes calls");
                    let was = self.jobs.remove(&key);
                    assert_eq!(outcome == CancelOutcome::Cancelled, was.is_some(), "{key}: {outcome:?}");
                }
                1 => {
                    let outcome =
                        engine.reschedule(&key, due).into_outcome().expect("the engine takes calls");
                    let is_moved = matches!(outcome, RescheduleOutcome::Rescheduled { .. });
                    let job = self.jobs.get_mut(&key);
                    assert_eq!(is_moved, job.is_some(), "{key}: {outcome:?}");
                    if let Some(job) = job {
                        *job = (due, job.1 + 1);
                    }
                }
                _ => {
                    let schedule = engine.schedule_raw("q", key.as_str()).key(&key);
                    let outcome = schedule.at(due).into_outcome().expect("the engine takes calls");
                    let is_new = matches!(outcome, ScheduleOutcome::Scheduled { .. });
                    assert_eq!(is_new, !self.jobs.contains_key(&key), "{key}: {outcome:?}");
                    if is_new {
                        self.jobs.insert(key, (due, 1));
                    }
                }
            }
        }
    }

    /// Waits until the store has all of it.
    pub async fn flushed(&self, engine: &Engine) {
        eventually("the store gets everything", || engine.stats().log_pending == 0).await;
    }

    /// Holds an engine against it.
    #[track_caller]
    pub fn check(&self, engine: &Engine) {
        assert_eq!(engine.jobs(), self.jobs.len());
        for (key, &(due, version)) in &self.jobs {
            let LookupOutcome::Scheduled(job) = engine.lookup(key) else {
                panic!("{key} is {:?}", engine.lookup(key));
            };
            assert_eq!((job.due, job.version.0, job.payload.as_bytes()), (due, version, key.as_bytes()));
        }
    }
}
