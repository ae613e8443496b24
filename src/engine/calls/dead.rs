//! Calls about dead jobs: to bring them back, and to take them away.

use std::sync::Arc;

use super::commit::Commit;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{PurgeError, ReviveError};
use crate::engine::state::{Engine, Owned, Shared};
use crate::partition::{Due, PurgeOutcome, ReviveOutcome};

impl Shared {
    fn revive(
        self: &Arc<Self>,
        target: &Target<'_>,
        due: Due,
        is_handler: bool,
    ) -> Commit<ReviveOutcome, ReviveError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let mut turn = self.room.exact_turn();
        loop {
            let result = self.enter_lazily(place.partition, |owned, clock| {
                let outcome = self.raise(owned, &place, due, clock)?;
                Ok((outcome, owned.log_end()))
            });
            match result {
                Ok((outcome, log_end)) => {
                    return self.commit(place.partition, outcome, self.durability(), log_end);
                }
                Err(ReviveError::Full { .. }) if self.may_find_room(&mut turn) => {}
                Err(error) => return Commit::now(Err(error)),
            }
        }
    }

    /// Has the partition bring a job back, and the index name it.
    fn raise(
        &self,
        owned: &mut Owned,
        place: &Destination<'_>,
        due: Due,
        clock: &mut LazyNow<'_>,
    ) -> Result<ReviveOutcome, ReviveError> {
        let Some(handle) = place.find(owned) else { return Ok(ReviveOutcome::NotFound) };
        let Owned { partition, keys, room, .. } = owned;
        let Some(key) = partition.key(handle).map(str::to_owned) else { return Ok(ReviveOutcome::NotFound) };
        if !self.room.make(room, partition.live()) {
            return Err(ReviveError::Full { max: self.settings.jobs_max });
        }
        let entry = keys.place(self.hasher.hash(&key), |slot| partition.is_of_key(slot, &key));
        let current = entry.slot().and_then(|slot| partition.handle_at(slot));
        let outcome = partition.revive(handle, due, current, clock)?;
        if let ReviveOutcome::Revived { .. } = outcome {
            entry.set(handle.slot());
        }
        Ok(outcome)
    }

    fn purge(self: &Arc<Self>, target: &Target<'_>, is_handler: bool) -> Commit<PurgeOutcome, PurgeError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let (outcome, log_end) = self.enter_lazily(place.partition, |owned, _| {
            let outcome = match place.find(owned) {
                Some(handle) => owned.partition.purge(handle),
                None => PurgeOutcome::NotFound,
            };
            (outcome, owned.log_end())
        });
        self.commit(place.partition, outcome, self.durability(), log_end)
    }
}

impl Engine {
    /// Brings a dead job back: it is pending again with its payload and its history, and may fail as often as a new one. It no longer
    /// expires. O(log of the queue's dead).
    ///
    /// By key, the newest job of the key is meant. A dead job whose key names another one by now is brought back by its
    /// handle, as [`list`](Self::list) gives it.
    ///
    /// ```
    /// # use reveille::{Engine, Job, QueueConfig, Retry, JobFilter, JobState, ListCursor, ReviveOutcome};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let calls = QueueConfig::new("calls").retry(Retry::attempts(1));
    /// let engine = Engine::builder().queue(calls, |_: Job| async { Err::<(), _>("no answer") }).start().await?;
    /// engine.schedule_raw("calls", "").key("call:7").after(Duration::ZERO).await?.scheduled()?;
    /// engine.idle().await;
    /// // It is dead. Somebody has a look at the dead, and brings it back.
    /// let dead = engine.list(&JobFilter::default().states([JobState::Dead]), ListCursor::default(), 100)?;
    /// assert_eq!(dead.jobs[0].history.as_ref().unwrap().last_error().unwrap().message.as_ref(), "no answer");
    /// let outcome = engine.revive("call:7", Duration::from_secs(60)).await?;
    /// assert!(matches!(outcome, ReviveOutcome::Revived { .. }));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`ReviveError`]; its [`change`](ReviveError::change) says whether the job was brought back nevertheless.
    pub fn revive<'a>(
        &self,
        target: impl Into<Target<'a>>,
        due: impl Into<Due>,
    ) -> Commit<ReviveOutcome, ReviveError> {
        self.shared.revive(&target.into(), due.into(), self.is_handler())
    }

    /// Takes a dead job away, for good. O(log of the queue's dead).
    ///
    /// # Errors
    /// See [`PurgeError`]; its [`change`](PurgeError::change) says whether the job was taken away nevertheless.
    pub fn purge<'a>(&self, target: impl Into<Target<'a>>) -> Commit<PurgeOutcome, PurgeError> {
        self.shared.purge(&target.into(), self.is_handler())
    }
}
