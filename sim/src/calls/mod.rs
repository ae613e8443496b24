//! Calls of users: made on an engine, compared with what the ledger predicts, and recorded with what they did.

mod answers;
mod change;
mod pauses;
mod recurring;
mod schedule;
mod tagged;
mod turns;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use reveille::partition::{CancelOutcome, LookupOutcome, RescheduleOutcome};
use reveille::sim::Simulation;
use reveille::{
    CallError, CancelError, Due, Durability, Engine, RescheduleError, Target, Timestamp, Version,
};

use crate::app::App;
use crate::ledger::{Done, Fact, Pending, Stand, due_at};
use crate::plan::{By, Call, Queue, When};
use crate::process::Process;
pub(crate) use answers::is_refusal;
use answers::{Late, Refusal, is_changed, is_late, is_once, word};
use schedule::Limit;
pub(crate) use schedule::Wish;
pub(crate) use tagged::tag_name;

/// The distance between round instants.
const ROUND_US: i64 = 500_000;

/// An engine, its life, and its process.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The run.
    pub app: Arc<App>,
    /// The process.
    pub process: Arc<Process>,
    /// The life of the engine.
    pub life: u64,
    /// The engine.
    pub engine: Engine,
}

impl Caller {
    /// Makes a call, and waits for its acknowledgement.
    pub(crate) async fn call(self, call: Call) {
        match call {
            Call::Schedule { key, is_inline, when, on_conflict, priority, is_once, level, behave } => {
                let queue = if is_inline { Queue::Inline } else { Queue::Work };
                let wish =
                    Wish { queue, on_conflict, priority, is_once, level, ..Wish::new(key, when, behave) };
                self.schedule(wish).await;
            }
            Call::Limited { key, when, expires_us, is_counted, behave } => {
                let limit = Some(Limit { expires_us, is_counted });
                self.schedule(Wish { limit, ..Wish::new(key, when, behave) }).await;
            }
            Call::Tagged(call) => self.call_tagged(call).await,
            Call::Turns(call) => self.call_turns(call).await,
            Call::Reschedule { key, when, by } => self.reschedule(&format!("k{key}"), when, by).await,
            Call::Cancel { key, by } => self.cancel(&format!("k{key}"), by).await,
            Call::CancelRunning { key, by } => self.cancel_running(&format!("k{key}"), by).await,
            Call::Edit { key, priority, by } => self.edit(&format!("k{key}"), priority, by).await,
            Call::Revive { key, when, by } => self.revive(&format!("k{key}"), when, by).await,
            Call::Purge { key, by } => self.purge(&format!("k{key}"), by).await,
            Call::Recur { key, rule } => self.recur(key, rule).await,
            Call::PauseRecurring { key } => self.pause_recurring(&format!("r{key}")).await,
            Call::ResumeRecurring { key } => self.resume_recurring(&format!("r{key}")).await,
            Call::EndRecurring { key } => self.end_recurring(&format!("r{key}")).await,
            Call::Whole { group, act } => self.whole(group, act).await,
            Call::Lookup { key } => self.lookup(&format!("k{key}")),
            Call::Pause => self.pause().await,
            Call::Resume => self.resume().await,
            Call::Snapshot => {
                let taken = self.engine.snapshot().await;
                self.note(|| {
                    format!("snapshot: {}", taken.map_or_else(|error| error.to_string(), |_| "ok".into()))
                });
            }
        }
    }

    pub(crate) fn due(&self, when: When) -> Due {
        let wall_us = self.process.now().wall.as_micros();
        match when {
            When::In(us) => Due::In(Duration::from_micros(us)),
            When::At(us) => Due::At(Timestamp::from_micros(wall_us + us)),
            When::Round(us) => {
                let after = wall_us + us as i64;
                Due::At(Timestamp::from_micros((after.div_euclid(ROUND_US) + 1) * ROUND_US))
            }
        }
    }

    fn pending(&self, version: Version, due: Due) -> Pending {
        let now = self.process.now();
        let steps = self.app.ledger.with(self.life, |life, _| life.steps).unwrap_or(0);
        Pending { version, due: due_at(due, now), known: Some((now.wall.as_micros(), steps)) }
    }

    async fn reschedule(self, key: &str, when: When, by: By) {
        let due = self.due(when);
        let (target, nonce, version) = self.named(key, by);
        if nonce.is_some_and(|nonce| nonce % 3 == 0) {
            return self.reschedule_twice(key, (target, nonce, version), due).await;
        }
        let commit = match version {
            Some(version) => self.engine.reschedule_if(target, version, due),
            None => self.engine.reschedule(target, due),
        };
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("reschedule {key} {by:?} {due:?}: {said:?}"));
        let done = self.moved(key, nonce, version, due, commit.outcome());
        self.waits(key, &[done], self.app.setting.durability, commit).await;
    }

    /// Two calls about one job at once: the second finds what the first has done.
    async fn reschedule_twice(
        self,
        key: &str,
        (target, nonce, version): (Target<'_>, Option<usize>, Option<Version>),
        due: Due,
    ) {
        let targets = [target.clone(), target];
        let commit = match version {
            Some(version) => self.engine.reschedule_many_if(targets.map(|target| (target, version, due))),
            None => self.engine.reschedule_many(targets.map(|target| (target, due))),
        };
        let outcomes = match commit.outcome() {
            Ok(outcomes) => outcomes,
            Err(error) => return self.broken("4 definite", format!("reschedule of {key}: {error}")),
        };
        self.note(|| format!("reschedule {key} twice {due:?}: {outcomes:?}"));
        let done: Vec<_> =
            outcomes.iter().map(|outcome| self.moved(key, nonce, version, due, outcome.as_ref())).collect();
        self.waits(key, &done, self.app.setting.durability, commit).await;
    }

    /// What a call to move a job did, as the ledger knows it then.
    pub(crate) fn moved(
        &self,
        key: &str,
        nonce: Option<usize>,
        version: Option<Version>,
        due: Due,
        outcome: Result<&RescheduleOutcome, &RescheduleError>,
    ) -> Done {
        let outcome = match outcome {
            Ok(outcome) => *outcome,
            Err(RescheduleError::Call(error)) if is_refusal(error) => return Done::Nothing,
            Err(error) => {
                self.broken("4 definite", format!("reschedule of {key}: {error}"));
                return Done::Nothing;
            }
        };
        let (pending, level) = (self.pending(Version::FIRST, due), self.app.setting.durability);
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, outcome) {
                (Stand::Pending(now), RescheduleOutcome::Rescheduled { version: next, .. }) => {
                    version.is_none_or(|version| version == now.version) && next.0 == now.version.0 + 1
                }
                (Stand::Pending(now), RescheduleOutcome::Changed { version: told }) => {
                    is_changed(version, now.version, told)
                }
                (stand, outcome) => is_late(stand, is_once(nonce, jobs), key, life, outcome.into()),
            };
            if !is_foretold {
                return Err(format!("reschedule of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let (RescheduleOutcome::Rescheduled { version, .. }, Some(nonce)) = (outcome, nonce) else {
                return Ok(Done::Nothing);
            };
            life.moved(nonce, Pending { version, ..pending });
            jobs[nonce].moves.push((version, Fact::new(self.life, level)));
            Ok(Done::Moved { nonce, at: jobs[nonce].moves.len() - 1 })
        });
        self.foretold(told)
    }

    async fn cancel(self, key: &str, by: By) {
        let (target, nonce, version) = self.named(key, by);
        let commit = match version {
            Some(version) => self.engine.cancel_if(target, version),
            None => self.engine.cancel(target),
        };
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("cancel {key} {by:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(CancelError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("cancel of {key}: {error}")),
        };
        let done = self.taken_back(key, nonce, version, outcome);
        self.waits(key, &[done], self.app.setting.durability, commit).await;
    }

    /// What a call to cancel a job did, as the ledger knows it then.
    pub(crate) fn taken_back(
        &self,
        key: &str,
        nonce: Option<usize>,
        version: Option<Version>,
        outcome: CancelOutcome,
    ) -> Done {
        let level = self.app.setting.durability;
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, outcome) {
                (Stand::Pending(now), CancelOutcome::Cancelled) => {
                    version.is_none_or(|version| version == now.version)
                }
                (Stand::Pending(now), CancelOutcome::Changed { version: told }) => {
                    is_changed(version, now.version, told)
                }
                (stand, outcome) => is_late(stand, is_once(nonce, jobs), key, life, outcome.into()),
            };
            if !is_foretold {
                return Err(format!("cancel of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let (CancelOutcome::Cancelled, Some(nonce)) = (outcome, nonce) else { return Ok(Done::Nothing) };
            life.gone(nonce);
            jobs[nonce].taken_back.push(Fact::new(self.life, level));
            Ok(Done::TakenBack { nonce, at: jobs[nonce].taken_back.len() - 1 })
        });
        self.foretold(told)
    }

    async fn cancel_running(self, key: &str, by: By) {
        let (target, nonce, version) = self.named(key, by);
        let commit = match version {
            Some(version) => self.engine.cancel_running_if(target, version),
            None => self.engine.cancel_running(target),
        };
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("cancel {key}, and what comes after, {by:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(CancelError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("cancel of {key}: {error}")),
        };
        let level = self.app.setting.durability;
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, outcome) {
                (Stand::Pending(now), CancelOutcome::Cancelled) => {
                    version.is_none_or(|version| version == now.version)
                }
                (Stand::Pending(now), CancelOutcome::Changed { version: told }) => {
                    is_changed(version, now.version, told)
                }
                (Stand::Running, CancelOutcome::Running | CancelOutcome::Changed { .. }) => {
                    let now = nonce.and_then(|nonce| life.started_as(nonce));
                    now.is_some_and(|now| match outcome {
                        CancelOutcome::Changed { version: told } => is_changed(version, now, told),
                        _ => version.is_none_or(|version| version == now),
                    })
                }
                (stand, outcome) => is_late(stand, is_once(nonce, jobs), key, life, outcome.into()),
            };
            if !is_foretold {
                return Err(format!("cancel of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let Some(nonce) = nonce else { return Ok(Done::Nothing) };
            match outcome {
                CancelOutcome::Cancelled => life.gone(nonce),
                CancelOutcome::Running => life.stop(nonce),
                _ => return Ok(Done::Nothing),
            }
            jobs[nonce].taken_back.push(Fact::new(self.life, level));
            Ok(Done::TakenBack { nonce, at: jobs[nonce].taken_back.len() - 1 })
        });
        let done = self.foretold(told);
        self.waits(key, &[done], level, commit).await;
    }

    fn lookup(&self, key: &str) {
        let outcome = self.engine.lookup(key);
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let nonce = life.of_key(key).map(|(nonce, _)| nonce);
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, &outcome) {
                (Stand::Pending(now), LookupOutcome::Scheduled(view)) => view.version == now.version,
                (Stand::Ended(ended), LookupOutcome::AlreadyFired { end, .. }) => ended == *end,
                (stand, outcome) => is_late(
                    stand,
                    is_once(nonce, jobs),
                    key,
                    life,
                    match outcome {
                        LookupOutcome::Running(_) => Late::Running,
                        LookupOutcome::AlreadyFired { .. } => Late::Fired,
                        LookupOutcome::NotFound => Late::NotFound,
                        LookupOutcome::Dead(_) => Late::Dead,
                        _ => Late::Never,
                    },
                ),
            };
            if is_foretold {
                return Ok(Done::Nothing);
            }
            Err(format!("lookup of {key} said {outcome:?}, and the job was {stand:?}"))
        });
        self.foretold(told);
    }

    /// Waits until changes are acknowledged, or cannot be.
    pub(crate) async fn waits<T, E: Refusal>(
        &self,
        key: &str,
        done: &[Done],
        level: Durability,
        commit: impl IntoFuture<Output = Result<T, E>>,
    ) {
        let waits = self.app.wait_begins(self.life);
        let acknowledged = commit.await;
        waits.ends();
        match acknowledged.map_err(Refusal::of_call) {
            Ok(_) => done.iter().for_each(|done| self.acknowledged(done, level)),
            Err(Ok(error)) => done.iter().for_each(|done| self.refused(done, &error)),
            Err(Err(error)) => self.broken("4 definite", format!("commit of {key}: {error}")),
        }
    }

    /// What a call names: the target, the job in the ledger that this should be, and the version.
    fn named<'a>(&self, key: &'a str, by: By) -> (Target<'a>, Option<usize>, Option<Version>) {
        let newest = self.app.ledger.with(self.life, |life, _| life.of_key(key)).flatten();
        let nonce = newest.map(|(nonce, _)| nonce);
        let version = match newest {
            Some((_, Stand::Pending(pending))) => pending.version,
            Some((_, Stand::Dead(version))) => version,
            Some((nonce, Stand::Running)) => {
                let started = self.app.ledger.with(self.life, |life, _| life.started_as(nonce));
                started.flatten().unwrap_or(Version::FIRST)
            }
            _ => Version::FIRST,
        };
        match by {
            By::Key => (key.into(), nonce, None),
            By::Version => (key.into(), nonce, Some(version)),
            By::OldVersion => (key.into(), nonce, Some(Version(version.0 + 7))),
            By::Handle => match self.app.ledger.handle_of(key) {
                Some((nonce, life, handle)) => (handle.into(), (life == self.life).then_some(nonce), None),
                None => (key.into(), nonce, None),
            },
        }
    }

    fn foretold(&self, told: Option<Result<Done, String>>) -> Done {
        match told {
            Some(Ok(done)) => done,
            Some(Err(detail)) => {
                self.broken("4 definite", detail);
                Done::Nothing
            }
            None => Done::Nothing,
        }
    }

    fn acknowledged(&self, done: &Done, level: Durability) {
        if !matches!(done, Done::Nothing) {
            self.note(|| format!("acknowledged at {level}: {done:?}"));
            self.app.ledger.acknowledged(done, level);
        }
    }

    fn refused(&self, done: &Done, error: &CallError) {
        self.note(|| format!("not acknowledged: {done:?}: {error}"));
        if let CallError::NotDurable(error) = error {
            self.broken("2 nothing is lost", format!("the store takes no more: {error}"));
        }
        // The change was made before anything waited for it.
        if !matches!(done, Done::Nothing) && !error.change().may_be_in_force() {
            self.broken("4 definite", format!("a change that was made is said not to be: {error}"));
        }
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.process.world().note(|| format!("life {}: {}", self.life, line()));
    }

    pub(crate) fn broken(&self, promise: &'static str, detail: String) {
        self.process.world().broken(promise, format!("life {}: {detail}", self.life));
    }
}
