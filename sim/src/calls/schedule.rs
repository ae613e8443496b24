//! Calls that schedule jobs which fire once.

use std::sync::Arc;
use std::time::Duration;

use reveille::partition::{Delivery, OnConflict, ScheduleOutcome};
use reveille::sim::Simulation;
use reveille::{Durability, Priority, Retry, ScheduleError, Timestamp, Version};

use super::{Caller, is_refusal, tag_name, word};
use crate::ledger::{Done, Fact, JobLog, Pending, Stand};
use crate::plan::{Behave, Queue, When};

/// A job to be scheduled.
pub(crate) struct Wish {
    /// Its key.
    pub key: String,
    /// Its queue.
    pub queue: Queue,
    /// When.
    pub when: When,
    /// What to do if the key is taken.
    pub on_conflict: OnConflict,
    /// Its priority within its tick.
    pub priority: Priority,
    /// Whether it may run at most once.
    pub is_once: bool,
    /// The durability of its acknowledgement.
    pub level: Option<Durability>,
    /// What its handler does.
    pub behave: Behave,
    /// Its tag, if it has one.
    pub tag: Option<u8>,
    /// Until when it is tried, if not for ever.
    pub limit: Option<Limit>,
}

/// Until when a job is tried.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// How long after the call it is too late to begin, or to try again.
    pub expires_us: u64,
    /// Whether an attempt that a crash cut short counts as a failure.
    pub is_counted: bool,
}

impl Wish {
    /// A job of the queue `work` with nothing out of the ordinary. Of its key none is pending, or it is kept.
    pub(crate) fn new(key: u8, when: When, behave: Behave) -> Self {
        Wish {
            key: format!("k{key}"),
            queue: Queue::Work,
            when,
            on_conflict: OnConflict::Keep,
            priority: Priority::NORMAL,
            is_once: false,
            level: None,
            behave,
            tag: None,
            limit: None,
        }
    }
}

impl Caller {
    /// Schedules a job.
    pub(crate) async fn schedule(self, wish: Wish) {
        let app = Arc::clone(&self.app);
        let level = wish.level.unwrap_or(app.setting.durability);
        let delivery = if wish.is_once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
        let start_level = app.setting.durability.max(Durability::Logged);
        let log = JobLog::new(&wish.key, 0, delivery, start_level);
        let wall_us = self.process.now().wall.as_micros();
        let expires_us = wish.limit.map(|limit| wall_us + limit.expires_us as i64);
        let nonce = app.ledger.open(JobLog { tag: wish.tag, expires_us, ..log });
        let due = self.due(wish.when);
        let mut schedule = self
            .engine
            .schedule_raw(wish.queue.name(), format!("{nonce} {}", wish.behave.to_words()))
            .key(&wish.key)
            .priority(wish.priority)
            .on_conflict(wish.on_conflict)
            .durability(level);
        if wish.is_once {
            schedule = schedule.at_most_once();
        }
        if let Some(tag) = wish.tag {
            schedule = schedule.tag(tag_name(tag));
        }
        let retry = match wish.behave {
            Behave::Flaky(_, attempts, us) => Some((attempts, us)),
            _ => wish.limit.map(|_| (2, 100_000)),
        };
        if let Some((attempts, us)) = retry {
            let retry = Retry::attempts(attempts).fixed(Duration::from_micros(us));
            let is_counted = wish.limit.is_some_and(|limit| limit.is_counted);
            schedule = schedule.retry(if is_counted { retry.count_interrupted() } else { retry });
        }
        if let Some(expires_us) = expires_us {
            schedule = schedule.expires(Timestamp::from_micros(expires_us));
        }
        // One reading of the clocks for the call and for its expected outcome.
        let pending = self.pending(Version::FIRST, due);
        let commit = schedule.due(due);
        let said = commit.outcome().map(|outcome| word(outcome)).map_err(|error| error.to_string());
        self.note(|| format!("schedule {nonce} {} {due:?} {delivery:?}: {said:?}", wish.key));
        let done = match commit.outcome() {
            Ok(outcome) => self.scheduled(&wish, nonce, *outcome, pending, level),
            Err(ScheduleError::Call(error)) if is_refusal(error) => Done::Nothing,
            Err(error) => return self.broken("4 definite", format!("schedule of {}: {error}", wish.key)),
        };
        self.waits(&wish.key, &[done], level, commit).await;
    }

    fn scheduled(
        &self,
        wish: &Wish,
        nonce: usize,
        outcome: ScheduleOutcome,
        pending: Pending,
        level: Durability,
    ) -> Done {
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let holder = life.of_key(&wish.key);
            let taken = match holder {
                Some((nonce, Stand::Pending(_))) => Some(nonce),
                _ => None,
            };
            let is_foretold = matches!(
                (taken, wish.on_conflict, outcome),
                (None, _, ScheduleOutcome::Scheduled { .. })
                    | (Some(_), OnConflict::Reject, ScheduleOutcome::AlreadyScheduled { .. })
                    | (Some(_), OnConflict::Keep, ScheduleOutcome::Kept { .. })
                    | (Some(_), OnConflict::Replace, ScheduleOutcome::Replaced { .. })
            );
            if !is_foretold {
                return Err(format!("schedule of {} said {outcome:?}, and the key was {holder:?}", wish.key));
            }
            if !outcome.is_taken() {
                return Ok(Done::Nothing);
            }
            let partition = outcome.handle().partition().0;
            jobs[nonce].partition = partition;
            jobs[nonce].handle = Some((self.life, outcome.handle()));
            jobs[nonce].taken = Some(Fact::new(self.life, level));
            let replaced = taken.map(|old| {
                jobs[old].taken_back.push(Fact::new(self.life, level));
                life.gone(old);
                (old, jobs[old].taken_back.len() - 1)
            });
            life.pending(&wish.key, nonce, pending);
            Ok(Done::Taken { nonce, replaced })
        });
        self.foretold(told)
    }
}
