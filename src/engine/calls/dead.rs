//! Calls about dead jobs: to bring them back, and to take them away.

use std::sync::Arc;

use serde::Serialize;

use super::commit::Commit;
use super::list::ListCursor;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{PurgeError, ReviveError};
use crate::engine::state::{Engine, Owned, Shared};
use crate::job::{JobFilter, JobState, JobView};
use crate::partition::{Due, PurgeOutcome, ReviveOutcome, Version};

impl Shared {
    fn revive(
        self: &Arc<Self>,
        target: &Target<'_>,
        due: Due,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<ReviveOutcome, ReviveError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let mut turn = self.room.exact_turn();
        loop {
            let result = self.enter_lazily(place.partition, |owned, clock| {
                let outcome = self.raise(owned, &place, due, expected, clock)?;
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
        expected: Option<Version>,
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
        let outcome = partition.revive(handle, due, current, expected, clock)?;
        if let ReviveOutcome::Revived { .. } = outcome {
            entry.set(handle.slot());
        }
        Ok(outcome)
    }

    fn purge(
        self: &Arc<Self>,
        target: &Target<'_>,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<PurgeOutcome, PurgeError> {
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let (outcome, log_end) = self.enter_lazily(place.partition, |owned, _| {
            let outcome = match place.find(owned) {
                Some(handle) => owned.partition.purge(handle, expected),
                None => PurgeOutcome::NotFound,
            };
            (outcome, owned.log_end())
        });
        self.commit(place.partition, outcome, self.durability(), log_end)
    }
}

/// What [`Engine::revive_all`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Revived {
    /// Jobs that are pending again.
    pub revived: u64,
    /// Jobs that stay dead, since another of their key is pending.
    pub key_taken: u64,
    /// Jobs that were gone, or no longer dead, when their turn came.
    pub gone: u64,
}

/// What [`Engine::purge_all`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Purged {
    /// Jobs that are gone.
    pub purged: u64,
    /// Jobs that were gone, or no longer dead, when their turn came.
    pub gone: u64,
}

impl Engine {
    /// [Brings back](Self::revive) every dead job that matches, whatever states the filter names. One call after the other, in slices:
    /// jobs that die meanwhile may be met or not. Resolves when all are as durable as the engine's calls are.
    ///
    /// # Errors
    /// The first error ends it: what was brought back by then stays so.
    pub async fn revive_all(&self, filter: &JobFilter, due: impl Into<Due>) -> Result<Revived, ReviveError> {
        let (due, mut done) = (due.into(), Revived::default());
        let mut from = Some(ListCursor::default());
        while let Some(page) = self.dead_page(filter, &mut from) {
            let calls: Vec<_> = page.iter().map(|job| self.revive(job, due)).collect();
            for call in calls {
                match call.await? {
                    ReviveOutcome::Revived { .. } => done.revived += 1,
                    ReviveOutcome::KeyTaken { .. } => done.key_taken += 1,
                    // No version was named.
                    ReviveOutcome::NotDead | ReviveOutcome::NotFound | ReviveOutcome::Changed { .. } => {
                        done.gone += 1;
                    }
                }
            }
        }
        Ok(done)
    }

    /// [Takes away](Self::purge) every dead job that matches, whatever states the filter names, as
    /// [`revive_all`](Self::revive_all) brings them back.
    ///
    /// # Errors
    /// The first error ends it: what was taken away by then stays so.
    pub async fn purge_all(&self, filter: &JobFilter) -> Result<Purged, PurgeError> {
        let mut done = Purged::default();
        let mut from = Some(ListCursor::default());
        while let Some(page) = self.dead_page(filter, &mut from) {
            let calls: Vec<_> = page.iter().map(|job| self.purge(job)).collect();
            for call in calls {
                match call.await? {
                    PurgeOutcome::Purged => done.purged += 1,
                    PurgeOutcome::NotDead | PurgeOutcome::NotFound | PurgeOutcome::Changed { .. } => {
                        done.gone += 1;
                    }
                }
            }
        }
        Ok(done)
    }

    /// The next of the dead that match; `None` if there are no more.
    fn dead_page(&self, filter: &JobFilter, from: &mut Option<ListCursor>) -> Option<Vec<JobView>> {
        /// Few enough for a log that has room for few records.
        const PAGE: usize = 256;
        let filter = filter.clone().states([JobState::Dead]);
        // The cursor is this engine's own.
        let page = self.list(&filter, from.take()?, PAGE).ok()?;
        *from = page.next;
        Some(page.jobs)
    }

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
        self.shared.revive(&target.into(), due.into(), None, self.is_handler())
    }

    /// Like [`revive`](Self::revive), but only if the job still has the version that the caller knows: of a list of the dead, say,
    /// those that nobody else has brought back, and that have not died again.
    ///
    /// # Errors
    /// As [`revive`](Self::revive).
    pub fn revive_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
        due: impl Into<Due>,
    ) -> Commit<ReviveOutcome, ReviveError> {
        self.shared.revive(&target.into(), due.into(), Some(version), self.is_handler())
    }

    /// Takes a dead job away, for good. O(log of the queue's dead).
    ///
    /// # Errors
    /// See [`PurgeError`]; its [`change`](PurgeError::change) says whether the job was taken away nevertheless.
    pub fn purge<'a>(&self, target: impl Into<Target<'a>>) -> Commit<PurgeOutcome, PurgeError> {
        self.shared.purge(&target.into(), None, self.is_handler())
    }

    /// Like [`purge`](Self::purge), but only if the job still has the version that the caller knows.
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    pub fn purge_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
    ) -> Commit<PurgeOutcome, PurgeError> {
        self.shared.purge(&target.into(), Some(version), self.is_handler())
    }
}
