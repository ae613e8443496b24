//! Changes of several jobs that are made together or not at all.
//!
//! # Rules
//! - All are of one partition, and are made in one stay under its lock: no other call comes between, and no start.
//! - First it is looked whether each can be made. If one cannot, none is: nothing ever has to be undone. Each is of a job of its own, so
//!   what one does cannot change what was foreseen of another.
//! - Their records go to the store in one batch (`LogBuffer::extend_together`), which it takes whole: a crash finds all or none.

mod outcome;
mod step;
mod together;

use std::sync::Arc;

use super::commit::Commit;
use super::schedule::Planned;
use super::target::Target;
use crate::clock::LazyNow;
use crate::engine::error::{CallError, ScheduleError, TransactionError};
use crate::engine::state::{Engine, Owned, Shared};
use crate::partition::{Due, PartitionId, Refusal, Version};
use crate::store::Durability;
pub use outcome::{ChangeOutcome, NotApplied, TransactionOutcome};
use step::{Asked, Step};

/// How many changes a transaction may have: they are made in one stay in a partition, which nothing else enters meanwhile.
pub const TRANSACTION_CHANGES_MAX: usize = 256;

/// How many bytes its records may take, about: they go to the store in one batch.
pub const TRANSACTION_BYTES_MAX: usize = 1024 * 1024;

/// Changes that are made together or not at all: see [`Engine::transaction`].
#[must_use = "nothing is changed until `commit` is called"]
#[derive(Debug)]
pub struct Transaction<'a> {
    engine: &'a Engine,
    asked: Vec<Asked<'a>>,
}

impl<'a> Transaction<'a> {
    /// Adds a job to be scheduled: see [`Schedule::planned`](crate::Schedule::planned). It can be made unless the key is that of a pending
    /// job and [`OnConflict::Reject`](crate::OnConflict::Reject) is asked for.
    pub fn schedule(mut self, job: Planned<'a>) -> Self {
        self.asked.push(Asked::Schedule(Box::new(job)));
        self
    }

    /// Adds a pending job to be moved.
    pub fn reschedule(mut self, target: impl Into<Target<'a>>, due: impl Into<Due>) -> Self {
        self.asked.push(Asked::Reschedule(target.into(), None, due.into()));
        self
    }

    /// Adds a pending job to be moved, if it still has the version that the caller knows.
    pub fn reschedule_if(
        mut self,
        target: impl Into<Target<'a>>,
        version: Version,
        due: impl Into<Due>,
    ) -> Self {
        self.asked.push(Asked::Reschedule(target.into(), Some(version), due.into()));
        self
    }

    /// Adds a pending job to be cancelled.
    pub fn cancel(mut self, target: impl Into<Target<'a>>) -> Self {
        self.asked.push(Asked::Cancel(target.into(), None));
        self
    }

    /// Adds a pending job to be cancelled, if it still has the version that the caller knows.
    pub fn cancel_if(mut self, target: impl Into<Target<'a>>, version: Version) -> Self {
        self.asked.push(Asked::Cancel(target.into(), Some(version)));
        self
    }

    /// Makes all changes, or none. O(changes). The commit is as durable as the engine's calls are, or more if one of the jobs asks for
    /// that.
    ///
    /// # Errors
    /// See [`TransactionError`]; its [`change`](TransactionError::change) says what became of all of them.
    pub fn commit(self) -> Commit<TransactionOutcome, TransactionError> {
        let Transaction { engine, asked } = self;
        match engine.shared.transact(asked, engine.is_handler()) {
            Ok(commit) => commit,
            Err(error) => Commit::now(Err(error)),
        }
    }
}

impl Shared {
    fn transact(
        self: &Arc<Self>,
        asked: Vec<Asked<'_>>,
        is_handler: bool,
    ) -> Result<Commit<TransactionOutcome, TransactionError>, TransactionError> {
        let max = TRANSACTION_CHANGES_MAX.min(self.settings.log_records_max);
        if asked.len() > max {
            return Err(TransactionError::TooMany { changes: asked.len(), max });
        }
        // What is planned is taken apart, and what is named is looked at where it lies.
        let (mut targets, mut level) = (Vec::with_capacity(asked.len()), self.durability());
        let mut steps = Vec::with_capacity(asked.len());
        for (at, asked) in asked.into_iter().enumerate() {
            match asked {
                Asked::Schedule(planned) => {
                    level = level.max(planned.durability());
                    steps.push(Step::schedule(self, at, *planned)?);
                }
                named => targets.push((at, named)),
            }
        }
        for (at, named) in &targets {
            match named {
                Asked::Schedule(_) => {}
                Asked::Reschedule(target, expected, due) => {
                    steps.push(Step::reschedule(self, *at, target, *expected, *due)?);
                }
                Asked::Cancel(target, expected) => steps.push(Step::cancel(self, *at, target, *expected)?),
            }
        }
        steps.sort_by_key(|step| step.at);
        self.check_durability(level)?;
        self.transact_steps(steps, level, is_handler)
    }

    fn transact_steps(
        self: &Arc<Self>,
        mut steps: Vec<Step<'_>>,
        level: Durability,
        is_handler: bool,
    ) -> Result<Commit<TransactionOutcome, TransactionError>, TransactionError> {
        let Some(partition) = one_partition(&steps)? else {
            return Ok(Commit::now(Ok(TransactionOutcome::Applied { changes: Vec::new() })));
        };
        check_keys(&steps)?;
        let bytes = steps.iter().map(Step::weight).sum();
        let max = TRANSACTION_BYTES_MAX.min(self.settings.log_bytes_max);
        if bytes > max {
            return Err(TransactionError::TooLarge { bytes, max });
        }
        self.check_open(partition, is_handler)?;
        let mut turn = self.room.exact_turn();
        loop {
            let (result, is_to_be_sent) = self.enter_lazily(partition, |owned, clock| {
                let result = self.make_together(owned, &mut steps, bytes, clock);
                let is_to_be_sent = self.keep_together(partition, owned, clock);
                (result.map(|outcome| (outcome, owned.log_end())), is_to_be_sent)
            });
            if is_to_be_sent {
                self.cells[partition].flush.notify_one();
            }
            match result {
                Ok((outcome, end)) => return Ok(self.commit(partition, outcome, level, end)),
                Err(TransactionError::Schedule { source: ScheduleError::Full { .. }, .. })
                    if self.may_find_room(&mut turn) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes all steps if each can be made.
    fn make_together(
        &self,
        owned: &mut Owned,
        steps: &mut [Step<'_>],
        bytes: usize,
        clock: &mut LazyNow<'_>,
    ) -> Result<TransactionOutcome, TransactionError> {
        self.check_log_room_for(owned, steps.len(), bytes)?;
        if let Some(outcome) = self.foresee(owned, steps, clock)? {
            return Ok(outcome);
        }
        let changes = steps.iter_mut().map(|step| step.make(self, owned, clock));
        Ok(TransactionOutcome::Applied { changes: changes.collect::<Result<_, _>>()? })
    }

    /// What stands in the way of the first step that cannot be made, if there is one.
    fn foresee(
        &self,
        owned: &mut Owned,
        steps: &[Step<'_>],
        clock: &mut LazyNow<'_>,
    ) -> Result<Option<TransactionOutcome>, TransactionError> {
        let jobs: Vec<_> = steps.iter().map(|step| step.job(owned)).collect();
        let known = jobs.iter().zip(steps).filter_map(|(job, step)| Some(((*job)?.slot(), step.at)));
        check_apart(known.collect())?;
        for (step, &job) in steps.iter().zip(&jobs) {
            if let Some(change) = step.foresee(owned, job, clock)? {
                return Ok(Some(TransactionOutcome::NotApplied { at: step.at, change }));
            }
        }
        let mut new = steps.iter().zip(&jobs).filter(|(step, job)| step.is_new(**job)).map(|(step, _)| step);
        let Some(first) = new.next() else { return Ok(None) };
        let new = new.count() + 1;
        if !owned.partition.has_slots(new) {
            return Err(first.no_room(Refusal::NoSlot));
        }
        if !self.room.make_for(&mut owned.room, owned.partition.live(), new) {
            return Err(first.no_room(ScheduleError::Full { max: self.settings.jobs_max }));
        }
        Ok(None)
    }

    /// Whether the log has room for so many records of so many bytes.
    fn check_log_room_for(&self, owned: &Owned, records: usize, bytes: usize) -> Result<(), CallError> {
        if self.ownership.is_none() {
            return Ok(());
        }
        let max = self.settings.log_records_max;
        let is_full = owned.log.outstanding() + records as u64 > max as u64
            || owned.log.outstanding_bytes() + bytes > self.settings.log_bytes_max;
        if is_full { Err(CallError::LogFull { max }) } else { Ok(()) }
    }
}

/// The partition of all steps; `None` if there are none.
fn one_partition(steps: &[Step<'_>]) -> Result<Option<usize>, TransactionError> {
    let Some(first) = steps.first().map(|step| step.partition) else { return Ok(None) };
    match steps.iter().find(|step| step.partition != first) {
        None => Ok(Some(first)),
        Some(other) => Err(TransactionError::OtherPartition {
            at: other.at,
            partition: PartitionId(other.partition as u16),
            first: PartitionId(first as u16),
        }),
    }
}

/// No two steps name one key.
fn check_keys(steps: &[Step<'_>]) -> Result<(), TransactionError> {
    check_apart(steps.iter().filter_map(|step| Some((step.key()?, step.at))).collect())
}

/// No two are the same; each comes with its place.
fn check_apart<T: Ord>(mut named: Vec<(T, usize)>) -> Result<(), TransactionError> {
    named.sort_unstable();
    let same = named.windows(2).find(|pair| pair[0].0 == pair[1].0);
    same.map_or(Ok(()), |pair| Err(TransactionError::SameJob { first: pair[0].1, at: pair[1].1 }))
}

impl Engine {
    /// Begins a transaction: jobs to be scheduled, moved and cancelled together or not at all. All are pending, or gone, at once: no start
    /// and no other call comes between, and after a crash all changes are there or none is.
    ///
    /// If one of them cannot be made (a key is taken, a job has begun or has fired), none is, and the outcome says which. The jobs must be
    /// of one partition: [`key_beside`](Self::key_beside) makes keys that are. Up to 256 changes, of a job each.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("orders", |_: Job| async {}).start().await?;
    /// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    /// let order = "order:7";
    /// let (reminder, expiry) = (engine.key_beside(order, "remind:7")?, engine.key_beside(order, "expire:7")?);
    /// let planned = |key, after| engine.schedule_raw("orders", order).key(key).planned(after);
    /// let both = engine.transaction().schedule(planned(&reminder, minutes(10))).schedule(planned(&expiry, minutes(15)));
    /// both.commit().await?.applied()?;
    ///
    /// // It was paid: neither comes, or this says why not.
    /// engine.transaction().cancel(&reminder).cancel(&expiry).commit().await?.applied()?;
    /// # assert_eq!(engine.jobs(), 0);
    /// # Ok(()) }
    /// ```
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction { engine: self, asked: Vec::new() }
    }
}
