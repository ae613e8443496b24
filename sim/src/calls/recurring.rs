//! Calls about recurring jobs. They have keys of their own.

use std::num::NonZeroU32;
use std::time::Duration;

use reveille::partition::{CancelOutcome, LookupOutcome, ScheduleOutcome};
use reveille::{Durability, Missed, Overlap, PauseJobOutcome, Recurrence, ScheduleError};

use super::{Caller, is_refusal, word};

/// The rules of a recurring job: most calls have the first.
fn recurrence(key: u8, rule: u8) -> Recurrence {
    let interval = Duration::from_millis(700 + 450 * u64::from(key) + 333 * u64::from(rule));
    let rule = Recurrence::every(interval).unwrap_or_else(|error| unreachable!("a constant: {error}"));
    match key {
        0 => rule,
        1 => rule.missed(Missed::All { max: NonZeroU32::MIN.saturating_add(2) }).overlap(Overlap::After),
        2 => rule.missed(Missed::None),
        _ => rule.overlap(Overlap::Allow),
    }
}

impl Caller {
    /// Schedules a recurring job, as every process does when it starts.
    pub(super) async fn recur(self, key: u8, rule: u8) {
        let (rule, queue) = (recurrence(key, rule), if key == 3 { "inline" } else { "work" });
        let (key, payload) = (format!("r{key}"), format!("R{key}"));
        let level = self.app.setting.durability;
        let holder = match self.engine.lookup(key.as_str()) {
            LookupOutcome::Scheduled(view) => Some(view),
            LookupOutcome::Running(view)
                if !view.history.as_ref().is_some_and(|history| history.is_stopped) =>
            {
                Some(view).filter(|view| view.options.recurrence().is_some())
            }
            _ => None,
        };
        let commit = self.engine.schedule_raw(queue, payload).key(&key).recurring(rule.clone());
        let said = commit.outcome().map(|outcome| word(outcome)).map_err(|error| error.to_string());
        self.note(|| format!("recur {key} {rule:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(ScheduleError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("recurring {key}: {error}")),
        };
        let is_same = holder.as_ref().map(|view| view.options.recurrence() == Some(&rule));
        let is_foretold = matches!(
            (is_same, outcome),
            (None, ScheduleOutcome::Scheduled { .. })
                | (Some(true), ScheduleOutcome::Kept { .. })
                | (Some(false), ScheduleOutcome::Replaced { .. })
        );
        if !is_foretold {
            let detail = format!("recurring {key} said {outcome:?}, and the key was {holder:?}");
            return self.broken("4 definite", detail);
        }
        if commit.await.is_ok() && level >= Durability::Logged && outcome.is_taken() {
            self.app.ledger.recurring(|recurring| recurring.scheduled(&key));
        }
    }

    /// Ends a recurring job, and what comes after it.
    pub(super) async fn end_recurring(self, key: &str) {
        self.app.ledger.recurring(|recurring| recurring.ending(key));
        let level = self.app.setting.durability;
        let id = match self.engine.lookup(key) {
            LookupOutcome::Scheduled(view) | LookupOutcome::Running(view) => Some(view.id),
            _ => None,
        };
        let commit = self.engine.cancel_running(key);
        let outcome = commit.outcome().ok().copied();
        self.note(|| format!("end {key}: {outcome:?}"));
        let is_end = matches!(outcome, Some(CancelOutcome::Cancelled | CancelOutcome::Running));
        if commit.await.is_ok()
            && is_end
            && level >= Durability::Logged
            && let Some(id) = id
        {
            self.app.ledger.recurring(|recurring| recurring.cancelled(id));
        }
    }

    /// Pauses a recurring job.
    pub(super) async fn pause_recurring(self, key: &str) {
        let asked = self.app.ledger.recurring(|recurring| recurring.pausing(key));
        let commit = self.engine.pause_job(key);
        let outcome = commit.outcome().ok().copied();
        self.note(|| format!("pause {key}: {outcome:?}"));
        let is_paused =
            matches!(outcome, Some(PauseJobOutcome::Paused { .. } | PauseJobOutcome::AlreadyPaused));
        if commit.await.is_ok() && is_paused && self.app.setting.durability >= Durability::Logged {
            self.app.ledger.recurring(|recurring| recurring.paused(key, asked));
        }
    }

    /// Resumes a recurring job.
    pub(super) async fn resume_recurring(self, key: &str) {
        self.app.ledger.recurring(|recurring| recurring.resuming(key));
        let commit = self.engine.resume_job(key);
        let outcome = commit.outcome().ok().copied();
        self.note(|| format!("resume {key}: {outcome:?}"));
        // Whether it is known does not matter: nothing is asked of a job that may be resumed.
        let _ = commit.await;
    }
}
