//! Calls about many jobs at once. They are sorted by partition, and a partition is entered once for several jobs, not once
//! for each.
//!
//! # Rules
//! - Each job is a call of its own, with an outcome of its own at its place in the input. A refused one does not affect the
//!   others. Other calls, and starts of jobs, may come between any two.
//! - Jobs with one key have one partition, where they are taken in the order of the input.
//! - A stay in a partition is bounded by [`STAY`]. Its records reach the log together.
//! - One [`Commit`] for all: it waits for the last record in each partition.

use std::sync::Arc;

use super::commit::{Commit, Wait};
use super::outcomes::Outcomes;
use super::schedule::Planned;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{CallError, CancelError, ScheduleError};
use crate::engine::state::{Aim, Engine, KeyHash, Owned, Shared};
use crate::partition::{CancelOutcome, Draft, PartitionId, ScheduleOutcome};
use crate::store::Durability;

/// How many jobs are handled in one stay in a partition, some tens of microseconds.
const STAY: usize = 64;

/// One of many calls, bound for a partition.
struct Bound<C> {
    partition: usize,
    /// Its place in the input.
    at: usize,
    call: C,
}

/// What has been made of them so far.
struct Made<T, E> {
    /// With the place of each in the input.
    outcomes: Vec<(usize, Result<T, E>)>,
    /// The partitions that were entered, and the end of what was recorded there.
    ends: Vec<(PartitionId, u64)>,
}

impl Shared {
    /// Makes `calls`, which are in the order of the input, each by `make`.
    fn make_many<C, T, E: From<CallError>>(
        self: &Arc<Self>,
        mut calls: Vec<Bound<C>>,
        refused: Vec<(usize, Result<T, E>)>,
        is_handler: bool,
        aim: impl Fn(&C) -> Aim,
        make: impl Fn(&mut Owned, &mut C, &mut LazyNow<'_>) -> Result<T, E>,
        is_full: impl Fn(&E) -> bool,
    ) -> Made<T, E> {
        let mut made = Made { outcomes: refused, ends: Vec::new() };
        // Stable: within a partition they keep their order.
        calls.sort_by_key(|call| call.partition);
        let mut calls = calls.into_iter().peekable();
        let (mut stay, mut slots) = (Vec::<Bound<C>>::with_capacity(STAY), Vec::with_capacity(STAY));
        let mut turn = self.room.exact_turn();
        while let Some(partition) = stay.first().or_else(|| calls.peek()).map(|call| call.partition) {
            let more = STAY - stay.len();
            stay.extend((0..more).map_while(|_| calls.next_if(|call| call.partition == partition)));
            if let Err(error) = self.check_open(partition, is_handler) {
                made.outcomes.extend(stay.drain(..).map(|call| (call.at, Err(error.clone().into()))));
                continue;
            }
            let end = self.enter_lazily(partition, |owned, clock| {
                owned.warm(stay.iter().map(|bound| aim(&bound.call)), &mut slots);
                let mut done = 0;
                for Bound { at, call, .. } in &mut stay {
                    let has_room = self.check_log_room(owned);
                    let outcome = has_room.map_err(E::from).and_then(|()| make(owned, call, clock));
                    let is_exact = || turn.is_some() && turn == self.room.exact_turn();
                    if outcome.as_ref().is_err_and(&is_full) && !is_exact() {
                        break;
                    }
                    made.outcomes.push((*at, outcome));
                    done += 1;
                }
                stay.drain(..done);
                owned.log_end()
            });
            if !stay.is_empty() {
                turn = self.gather_room();
            }
            let id = PartitionId(partition as u16);
            match made.ends.last_mut() {
                Some((last, last_end)) if *last == id => *last_end = end,
                _ => made.ends.push((id, end)),
            }
        }
        made
    }

    /// Whether the log has room for one record more than this stay has made.
    fn check_log_room(&self, owned: &Owned) -> Result<(), CallError> {
        let max = self.settings.log_records_max;
        let records = owned.log.outstanding() + owned.partition.records_pending() as u64;
        if records >= max as u64 && self.ownership.is_some() {
            return Err(CallError::LogFull { max });
        }
        Ok(())
    }

    /// Puts the outcomes in the order of the input, with one commit for all records.
    fn commit_many<T, E>(
        self: &Arc<Self>,
        mut made: Made<T, E>,
        level: Durability,
    ) -> Commit<Outcomes<T, E>, CallError> {
        made.outcomes.sort_unstable_by_key(|&(at, _)| at);
        let outcomes = Outcomes::new(made.outcomes.into_iter().map(|(_, outcome)| outcome).collect());
        let mut ends = made.ends.into_iter();
        match ends.next() {
            Some((partition, end)) if self.ownership.is_some() => {
                let wait = Wait::new(Arc::clone(self), partition, end, level);
                Commit::after(outcomes, wait.and(ends.collect()))
            }
            _ => Commit::now(Ok(outcomes)),
        }
    }

    fn bind(
        &self,
        planned: Planned<'_>,
        at: usize,
    ) -> Result<Bound<(Option<Draft>, KeyHash)>, ScheduleError> {
        self.check_durability(planned.durability())?;
        let draft = planned.into_draft(self)?;
        let key = draft.spec.key.as_str();
        let (partition, hash) = (self.partition_of(key), self.hasher.hash(key));
        Ok(Bound { partition, at, call: (Some(draft), hash) })
    }
}

impl Engine {
    /// Schedules many jobs. Faster than one call for each, because a partition is entered once for some tens of them.
    ///
    /// The outcomes are in the order of `jobs`, and jobs with one key are taken in that order. Each job is taken or refused by
    /// itself: this is not a transaction. Other calls may come in between, and jobs that are due start. The commit covers all
    /// jobs, at the highest durability that any of them asks for.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("expire", |_: Job| async {}).start().await?;
    /// let orders = ["order:1", "order:2"];
    /// let jobs = orders.map(|order| engine.schedule_raw("expire", "").key(order).planned(Duration::from_secs(900)));
    /// let handles = engine.schedule_many(jobs).await?.scheduled()?; // all of them, or an error that counts
    /// assert_eq!(handles.len(), 2);
    /// # assert_eq!(engine.jobs(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For each job a [`ScheduleError`]: that job was not taken. For the whole, when awaited, a [`CallError`]: the jobs were
    /// taken in memory by then, and [`CallError::change`] says what became of them.
    pub fn schedule_many<'a>(
        &self,
        jobs: impl IntoIterator<Item = Planned<'a>>,
    ) -> Commit<Outcomes<ScheduleOutcome, ScheduleError>, CallError> {
        let shared = &self.shared;
        let (mut bound, mut refused, mut level) = (Vec::new(), Vec::new(), Durability::Memory);
        for (at, planned) in jobs.into_iter().enumerate() {
            let durability = planned.durability();
            match shared.bind(planned, at) {
                Ok(job) => {
                    level = level.max(durability);
                    bound.push(job);
                }
                Err(error) => refused.push((at, Err(error))),
            }
        }
        let made = shared.make_many(
            bound,
            refused,
            self.is_handler(),
            |(_, hash)| Aim::Key(*hash),
            |owned, (draft, hash), clock| shared.take_job(owned, draft, *hash, clock),
            |error| matches!(error, ScheduleError::Full { .. }),
        );
        shared.commit_many(made, level)
    }

    /// Cancels many jobs, by key or by handle. Faster than one call for each, because a partition is entered once for some
    /// tens of them.
    ///
    /// The outcomes are in the order of `targets`. Each job is cancelled or not by itself: this is not a transaction.
    ///
    /// ```
    /// # use reveille::{CancelOutcome, Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("expire", |_: Job| async {}).start().await?;
    /// engine.schedule_raw("expire", "").key("order:1").after(Duration::from_secs(900)).await?;
    /// let outcomes = engine.cancel_many(["order:1", "order:2"]).await?;
    /// assert!(matches!(outcomes[..], [Ok(CancelOutcome::Cancelled), Ok(CancelOutcome::NotFound)]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// For each job a [`CancelError`]: that job was not changed. For the whole, when awaited, a [`CallError`]: the jobs were
    /// cancelled in memory by then, and [`CallError::change`] says what became of that.
    pub fn cancel_many<'a, T: Into<Target<'a>>>(
        &self,
        targets: impl IntoIterator<Item = T>,
    ) -> Commit<Outcomes<CancelOutcome, CancelError>, CallError> {
        let shared = &self.shared;
        let targets: Vec<Target<'a>> = targets.into_iter().map(Into::into).collect();
        let (mut bound, mut refused) = (Vec::with_capacity(targets.len()), Vec::new());
        for (at, target) in targets.iter().enumerate() {
            match shared.place(target) {
                Ok(place) => bound.push(Bound { partition: place.partition, at, call: place }),
                Err(error) => refused.push((at, Err(error.into()))),
            }
        }
        let cancel = |owned: &mut Owned, place: &mut Destination<'_>, clock: &mut LazyNow<'_>| {
            Ok(shared.take_back(owned, place, None, clock))
        };
        let made = shared.make_many(bound, refused, self.is_handler(), Destination::aim, cancel, |_| false);
        shared.commit_many(made, shared.durability())
    }
}
