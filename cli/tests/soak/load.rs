//! The load on the long-lived engine: actors, each with keys of its own, so that one call at a time is made about a key and
//! each answer can be judged. Half of the keys have jobs that are due soon, the others jobs far ahead: as many as there are
//! keys, so that the number of pending jobs stays what it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use reveille::{
    CallError, CancelError, Commit, Due, Durability, Engine, Handle, OnConflict, Priority, RescheduleError,
    ScheduleError, ScheduleOutcome, Target, Version,
};
use tokio::task::JoinSet;

use crate::handlers::{COMMIT_DEADLINE, QUEUES, Seen, refused};
use crate::ledger::{Stand, now};

const ACTORS: usize = 2;
const NEAR_KEYS: usize = 300;
const FAR_KEYS: usize = 1_500;

/// An actor's calls between two rests.
const CALLS_MAX: usize = 12;
const REST: Duration = Duration::from_millis(10);

/// Commits of an actor that are waited for at a time; it makes more calls than that while the store stands still.
const WAITED_MAX: usize = 300;

/// By how much a commit may miss its deadline on a machine that has other things to do.
const COMMIT_SLACK: Duration = Duration::from_secs(5);

/// All actors.
pub(crate) struct Load {
    hold: Arc<Hold>,
    actors: JoinSet<()>,
}

#[derive(Default)]
struct Hold {
    is_held: AtomicBool,
    is_over: AtomicBool,
    at_rest: AtomicUsize,
}

impl Load {
    pub(crate) fn start(engine: &Engine, seen: &Seen, random: &mut fastrand::Rng) -> Self {
        let hold = Arc::new(Hold::default());
        let mut actors = JoinSet::new();
        for actor in 0..ACTORS {
            let actor = Actor {
                engine: engine.clone(),
                seen: seen.clone(),
                random: random.fork(),
                slots: slots(actor),
                waited: JoinSet::new(),
            };
            actors.spawn(actor.run(Arc::clone(&hold)));
        }
        Load { hold, actors }
    }

    /// Returns when no call is under way, and none will be.
    pub(crate) async fn hold(&self) {
        self.hold.is_held.store(true, SeqCst);
        while self.hold.at_rest.load(SeqCst) < ACTORS {
            tokio::time::sleep(REST).await;
        }
    }

    pub(crate) fn go_on(&self) {
        self.hold.is_held.store(false, SeqCst);
    }

    pub(crate) async fn end(mut self) {
        self.hold.is_over.store(true, SeqCst);
        while let Some(ended) = self.actors.join_next().await {
            ended.expect("an actor does not panic");
        }
    }
}

/// A key, and its last job.
struct Slot {
    key: Arc<str>,
    is_far: bool,
    last: Option<(u64, Handle)>,
}

fn slots(actor: usize) -> Vec<Slot> {
    let slot = |n| {
        let is_far = n >= NEAR_KEYS;
        let key = format!("{}:{actor}:{n}", if is_far { "far" } else { "near" }).into();
        Slot { key, is_far, last: None }
    };
    (0..NEAR_KEYS + FAR_KEYS).map(slot).collect()
}

struct Actor {
    engine: Engine,
    seen: Seen,
    random: fastrand::Rng,
    slots: Vec<Slot>,
    waited: JoinSet<()>,
}

impl Actor {
    async fn run(mut self, hold: Arc<Hold>) {
        while !hold.is_over.load(SeqCst) {
            if hold.is_held.load(SeqCst) {
                while self.waited.join_next().await.is_some() {}
                hold.at_rest.fetch_add(1, SeqCst);
                while hold.is_held.load(SeqCst) && !hold.is_over.load(SeqCst) {
                    tokio::time::sleep(REST).await;
                }
                hold.at_rest.fetch_sub(1, SeqCst);
                continue;
            }
            for _ in 0..self.random.usize(1..=CALLS_MAX) {
                self.call();
            }
            while self.waited.try_join_next().is_some() {}
            tokio::time::sleep(REST).await;
        }
        while self.waited.join_next().await.is_some() {}
    }

    /// One call about a key of two kinds that are as likely.
    fn call(&mut self) {
        let at = if self.random.bool() {
            self.random.usize(..NEAR_KEYS)
        } else {
            NEAR_KEYS + self.random.usize(..FAR_KEYS)
        };
        match (self.slots[at].last, self.random.u32(..100)) {
            (Some((number, handle)), 0..25) => self.reschedule(at, number, handle),
            (Some((number, handle)), 25..40) => self.cancel(at, number, handle),
            (Some((number, handle)), 40..55) => self.look_up(at, number, handle),
            _ => self.schedule(at),
        }
    }

    fn schedule(&mut self, at: usize) {
        let (key, last) = (Arc::clone(&self.slots[at].key), self.slots[at].last);
        let queue = QUEUES[self.random.usize(..QUEUES.len())];
        let due = self.due(at);
        let policy =
            *self.random.choice(&[OnConflict::Reject, OnConflict::Replace, OnConflict::Keep]).unwrap();
        let ledger = Arc::clone(&self.seen.ledger);
        let number = ledger.asks(&key, queue, due);
        let (engine, durability) = (self.engine.clone(), self.durability());
        let mut schedule = engine
            .schedule_raw(queue, number.to_string())
            .key(&*key)
            .on_conflict(policy)
            .priority(Priority(self.random.u8(..)))
            .durability(durability);
        if self.random.u32(..8) == 0 {
            schedule = schedule.at_most_once();
        }
        let commit = schedule.due(due);
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(error) => return refused(&self.seen, number, error),
        };
        let fits = match (outcome, last) {
            (ScheduleOutcome::Scheduled { .. }, last) => {
                if let Some((last, _)) = last {
                    ledger.has_begun(last, "its key was free");
                }
                true
            }
            (ScheduleOutcome::Replaced { was, .. }, Some((last, _))) if policy == OnConflict::Replace => {
                ledger.replaced(last, was);
                true
            }
            (ScheduleOutcome::Kept { handle }, Some((_, last))) => {
                policy == OnConflict::Keep && handle == last
            }
            (ScheduleOutcome::AlreadyScheduled { handle }, Some((_, last))) => {
                policy == OnConflict::Reject && handle == last
            }
            _ => false,
        };
        if !fits {
            ledger.breaks(format!("{key}: {policy:?} was answered {outcome:?}; the last was {last:?}"));
        }
        if outcome.is_taken() {
            ledger.taken(number);
            self.slots[at].last = Some((number, outcome.handle()));
        } else {
            ledger.not_taken(number);
        }
        self.wait_for(commit);
    }

    fn reschedule(&mut self, at: usize, number: u64, handle: Handle) {
        let due = self.due(at);
        let expected = self.expected(number);
        let ledger = Arc::clone(&self.seen.ledger);
        ledger.moves(number, due);
        let target = self.target(at, handle);
        let commit = match expected {
            Some(version) => self.engine.reschedule_if(target, version, due),
            None => self.engine.reschedule(target, due),
        };
        ledger.moved(number, expected, commit.outcome().ok().copied());
        if let Err(error) = commit.outcome() {
            return self.refused(matches!(error, RescheduleError::Call(CallError::LogFull { .. })), error);
        }
        let durability = self.durability();
        self.wait_for(commit.durability(durability));
    }

    fn cancel(&mut self, at: usize, number: u64, handle: Handle) {
        let expected = self.expected(number);
        let target = self.target(at, handle);
        let commit = match expected {
            Some(version) => self.engine.cancel_if(target, version),
            None => self.engine.cancel(target),
        };
        match commit.outcome() {
            Ok(&outcome) => {
                self.seen.ledger.cancelled(number, expected, outcome);
                if !self.seen.ledger.is_pending(number) {
                    self.slots[at].last = None;
                }
            }
            Err(error) => {
                return self.refused(matches!(error, CancelError::Call(CallError::LogFull { .. })), error);
            }
        }
        let durability = self.durability();
        self.wait_for(commit.durability(durability));
    }

    fn look_up(&mut self, at: usize, number: u64, handle: Handle) {
        let stood = self.seen.ledger.entry(number).map_or(Stand::Started, |entry| entry.stand);
        let target = self.target(at, handle);
        let found = self.engine.lookup(target);
        self.seen.ledger.looked_up(number, stood, &found);
    }

    fn refused(&self, is_log_full: bool, error: &dyn std::error::Error) {
        self.seen.ledger.counts.refused.fetch_add(1, Relaxed);
        if !is_log_full || self.seen.ledger.is_calm() {
            self.seen.ledger.breaks(format!("a call was refused: {error}"));
        }
    }

    /// By key or by handle.
    fn target(&mut self, at: usize, handle: Handle) -> Target<'static> {
        if self.random.bool() { handle.into() } else { self.slots[at].key.to_string().into() }
    }

    /// The version that a call names: none, the right one, or another.
    fn expected(&mut self, number: u64) -> Option<Version> {
        let version = self.seen.ledger.entry(number)?.version;
        match self.random.u32(..6) {
            0 | 1 => Some(Version(version)),
            2 => Some(Version(version + 1)),
            _ => None,
        }
    }

    fn due(&mut self, at: usize) -> Due {
        let (is_far, now) = (self.slots[at].is_far, now().wall);
        let ahead_us = if is_far {
            self.random.u64(3_600_000_000..86_400_000_000)
        } else {
            // Zero as well.
            self.random.u64(..2_000_000).saturating_sub(100_000)
        };
        match self.random.u32(..10) {
            0..5 => Due::At(now.saturating_add_micros(ahead_us)),
            // In the past.
            5 if !is_far => Due::At(now.saturating_sub_micros(ahead_us)),
            _ => Due::In(Duration::from_micros(ahead_us)),
        }
    }

    fn durability(&mut self) -> Durability {
        match self.random.u32(..10) {
            0 => Durability::Memory,
            1..7 => Durability::Logged,
            _ => Durability::Fsync,
        }
    }

    /// Has a commit waited for: it ends within its deadline, and well unless something disturbed the engine meanwhile.
    fn wait_for<T, E>(&mut self, commit: Commit<T, E>)
    where
        T: Unpin + Send + 'static,
        E: From<CallError> + Unpin + Send + std::fmt::Debug + Unconfirmed + 'static,
    {
        if self.waited.len() >= WAITED_MAX {
            return;
        }
        let ledger = Arc::clone(&self.seen.ledger);
        let was_calm = ledger.is_calm();
        self.waited.spawn(async move {
            match tokio::time::timeout(COMMIT_DEADLINE + COMMIT_SLACK, commit).await {
                Ok(Ok(_)) => _ = ledger.counts.acknowledged.fetch_add(1, Relaxed),
                Ok(Err(error)) if error.is_unconfirmed() && !(was_calm && ledger.is_calm()) => {
                    ledger.counts.unconfirmed.fetch_add(1, Relaxed);
                }
                Ok(Err(error)) => ledger.breaks(format!("a commit ended with {error:?}")),
                Err(_) => ledger.breaks("a commit does not end".to_owned()),
            }
        });
    }
}

/// The one error with which a commit may end: the store has not confirmed it in time.
trait Unconfirmed {
    fn is_unconfirmed(&self) -> bool;
}

impl Unconfirmed for ScheduleError {
    fn is_unconfirmed(&self) -> bool {
        matches!(self, ScheduleError::Call(CallError::Unconfirmed))
    }
}

impl Unconfirmed for RescheduleError {
    fn is_unconfirmed(&self) -> bool {
        matches!(self, RescheduleError::Call(CallError::Unconfirmed))
    }
}

impl Unconfirmed for CancelError {
    fn is_unconfirmed(&self) -> bool {
        matches!(self, CancelError::Call(CallError::Unconfirmed))
    }
}
