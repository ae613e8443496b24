//! Calls that pause a queue and let it go on.

use std::fmt::Debug;

use reveille::partition::QueuePause;
use reveille::sim::{Simulation, state};
use reveille::{Commit, PartitionId, PauseError, PauseOutcome, ResumeOutcome};

use super::{Caller, is_refusal};
use crate::ledger::{Done, PAUSED_QUEUE};

impl Caller {
    pub(super) async fn pause(self) {
        let commit = self.engine.pause(PAUSED_QUEUE);
        let foretold = |before: Option<QueuePause>| match before.filter(|said| said.is_paused) {
            Some(said) => PauseOutcome::AlreadyPaused { since: said.at },
            None => PauseOutcome::Paused,
        };
        let done = self.said(true, &commit, foretold);
        self.waits(PAUSED_QUEUE, &[done], self.app.setting.durability, commit).await;
    }

    pub(super) async fn resume(self) {
        let commit = self.engine.resume(PAUSED_QUEUE);
        let foretold = |before: Option<QueuePause>| match before.filter(|said| said.is_paused) {
            Some(_) => ResumeOutcome::Resumed,
            None => ResumeOutcome::NotPaused,
        };
        let done = self.said(false, &commit, foretold);
        self.waits(PAUSED_QUEUE, &[done], self.app.setting.durability, commit).await;
    }

    /// Compares an answer with what the ledger foretells.
    fn said<T: Copy + PartialEq + Debug>(
        &self,
        is_paused: bool,
        commit: &Commit<T, PauseError>,
        foretold: impl Fn(Option<QueuePause>) -> T,
    ) -> Done {
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("the queue is to be paused: {is_paused}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(PauseError::Call(error)) if is_refusal(error) => return Done::Nothing,
            Err(error) => {
                self.broken("4 definite", format!("a pause of a queue: {error}"));
                return Done::Nothing;
            }
        };
        let (at, level) = (self.process.now().wall, self.app.setting.durability);
        let told = self.app.ledger.said(self.life, is_paused, at, level, || self.keeper());
        let Some((before, done)) = told else { return Done::Nothing };
        let foretold = foretold(before);
        if outcome != foretold {
            self.broken("4 definite", format!("a pause of a queue said {outcome:?}, not {foretold:?}"));
        }
        done
    }

    /// The partition that keeps what is said of the queue.
    fn keeper(&self) -> Option<u16> {
        let has = |partition: &u16| !state(&self.engine, PartitionId(*partition)).image.pauses.is_empty();
        (0..self.app.setting.partitions).find(has)
    }
}
