//! Replay: a partition from what was written down of it.
//!
//! The promise is `image + the records after it = live`: replaying into a partition any prefix of the records that a
//! live one formed gives the state that the live one had, as [`Partition::image`] shows it. Where a job waits (wheel,
//! held, collected, ready) is not part of that: it follows from the due time and the clocks.
//!
//! # How it goes
//! 1. [`Replay::load`] takes an image.
//! 2. [`Replay::apply_fuzzy`] takes the records that came to be while the image was read, if it was read in slices.
//! 3. [`Replay::apply`] takes the records after those.
//! 4. [`Replay::finish`] gives the partition, and says what becomes of jobs that were cut short or are overdue.

mod finish;
mod fuzzy;
mod image;
mod numbers;

use std::collections::{HashMap, HashSet};

use numbers::Numbers;

use super::apply::Before;
use super::job::State;
use super::{
    Config, Death, History, JobId, Now, Partition, PartitionId, Predecessor, QueueId, QueueName, QueuePause,
    Record, ScheduledRecord,
};
use crate::slab::Index;

pub use finish::{CatchUp, Restored};
pub use image::{FiredImage, Image, JobImage, Slice};

/// Why a record cannot follow the state that it is applied to: the log is not the one that belongs to the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The record is about a job that the state does not have.
    #[error(
        "a record is about job {0}, which is not there; the log does not belong to this state, or has a gap"
    )]
    UnknownJob(JobId),
    /// The record takes a job that the state already has.
    #[error("a record takes job {0}, which is already there; the log was applied twice")]
    KnownJob(JobId),
    /// The record belongs to another partition.
    #[error("a record is about job {0}, which belongs to another partition")]
    ForeignJob(JobId),
    /// The image says that more jobs were taken than can be counted.
    #[error("the next job would be number {0}, which no partition gets to; the image is not one of ours")]
    OutOfRange(u64),
    /// The partition has no slot left.
    #[error("the partition has no slot left")]
    NoSlot,
    /// The queue of a job has no number left.
    #[error("there are more queues than can be counted")]
    TooManyQueues,
}

type FixedState = foldhash::fast::FixedState;

/// Builds a partition from an image and the records that came after it.
#[derive(Debug)]
pub struct Replay<'a> {
    partition: Partition,
    /// The jobs that are pending, with a handler, or dead.
    by_id: HashMap<JobId, Index, FixedState>,
    /// The sequence that no job has been taken with so far, going by the records. A fuzzy image shows later jobs.
    next_taken: u64,
    /// The fired ones among those later jobs.
    fired_ahead: HashSet<JobId, FixedState>,
    queues: Numbers<'a>,
}

impl<'a> Replay<'a> {
    /// Begins with an empty partition whose wheels stand at `now`. Queues are numbered as their names come up.
    pub fn new(id: PartitionId, config: Config, now: Now) -> Self {
        let config = Config { is_logged: false, ..config };
        Replay {
            partition: Partition::new(id, config, now),
            by_id: HashMap::default(),
            next_taken: 0,
            fired_ahead: HashSet::default(),
            queues: Numbers::counted(),
        }
    }

    /// Gives queues the numbers that the process has for their names: `None` from `number` means that there is none left. To
    /// be called before anything is loaded.
    #[must_use]
    pub fn with_queues(self, number: impl FnMut(&QueueName) -> Option<QueueId> + Send + 'a) -> Self {
        Replay { queues: Numbers::given_by(number), ..self }
    }

    /// Loads an image: its jobs and fired jobs in any order. Its `next_sequence` is that of the moment at which reading
    /// it began.
    ///
    /// # Errors
    /// When a job of it is there already or belongs elsewhere. The state is then not to be used.
    pub fn load(&mut self, image: Image, now: Now) -> Result<(), ReplayError> {
        if image.next_sequence > JobId::SEQUENCE_MAX {
            return Err(ReplayError::OutOfRange(image.next_sequence));
        }
        self.next_taken = self.next_taken.max(image.next_sequence);
        self.partition.next_sequence = self.partition.next_sequence.max(image.next_sequence);
        for job in image.jobs {
            self.load_job(job, now)?;
        }
        image.pauses.iter().for_each(|pause| self.partition.keep_pause(pause));
        self.load_fired(image.fired)
    }

    fn load_job(&mut self, job: JobImage, now: Now) -> Result<(), ReplayError> {
        let (id, version, attempt, running) = (job.id, job.version, job.attempt, job.running_since);
        self.check_new(id)?;
        let queue = self.queues.number(&job.spec.queue).ok_or(ReplayError::TooManyQueues)?;
        let index = self.partition.add(id, &job.spec, job.spec.due, queue, now).ok_or(ReplayError::NoSlot)?;
        self.by_id.insert(id, index);
        if running.is_some() {
            self.partition.unplace(index);
            self.partition.running += 1;
        }
        let mut table_job = self.partition.jobs.get_mut(index).ok_or(ReplayError::UnknownJob(id))?;
        table_job.set_version(version);
        table_job.set_attempt(attempt);
        if let Some(since) = running {
            table_job.set_state(State::Running(since));
        }
        if let Some(history) = job.history {
            self.load_history(index, *history);
        }
        Ok(())
    }

    #[cold]
    fn load_history(&mut self, index: Index, history: History) {
        let (death, partition) = (history.death, &mut self.partition);
        let Some(mut job) = partition.jobs.get_mut(index) else { return };
        *job.history_mut() = history;
        if let Some(Death { at, .. }) = death {
            let priority = job.priority();
            partition.unplace(index);
            partition.priorities.remove(priority);
            partition.lay(index, at);
        }
    }

    fn load_fired(&mut self, fired: Vec<FiredImage>) -> Result<(), ReplayError> {
        let mut ended = Vec::with_capacity(fired.len());
        for fired in fired {
            let (id, ended_at) = (fired.id, fired.ended_at);
            self.check_new(id)?;
            if id.sequence() >= self.next_taken {
                self.fired_ahead.insert(id);
                self.partition.next_sequence = self.partition.next_sequence.max(id.sequence() + 1);
            }
            let index = self.partition.jobs.insert_fired(&fired);
            ended.push((index.ok_or(ReplayError::NoSlot)?, ended_at));
        }
        self.partition.fired.load(ended);
        Ok(())
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// When it cannot follow the state. The state is then not to be used.
    pub fn apply(&mut self, record: Record, now: Now) -> Result<(), ReplayError> {
        let Some(id) = self.of_own_job(&record)? else { return Ok(()) };
        match record {
            Record::Scheduled(scheduled) => {
                // Jobs are taken in the order of their ids. An older one was there: it must not come back.
                if id.sequence() < self.partition.next_sequence {
                    return Err(ReplayError::KnownJob(id));
                }
                let known = |old| self.by_id.get(&old).copied().ok_or(ReplayError::UnknownJob(old));
                let before = match scheduled.before {
                    Predecessor::Replaced(old) => {
                        let index = known(old)?;
                        self.check_life(old, &Record::Cancelled { id: old }, index)?;
                        self.by_id.remove(&old);
                        Before::Replaced(index)
                    }
                    Predecessor::Detached(old) => Before::Detached(known(old)?),
                    Predecessor::None => Before::None,
                };
                self.take(scheduled, before, now)?;
                self.next_taken = id.sequence() + 1;
            }
            record => {
                let index = *self.by_id.get(&id).ok_or(ReplayError::UnknownJob(id))?;
                self.check_life(id, &record, index)?;
                self.change(id, record, index, now)?;
            }
        }
        self.partition.forgotten.clear();
        Ok(())
    }

    /// The job of a record. One about a queue is applied, and has none.
    fn of_own_job(&mut self, record: &Record) -> Result<Option<JobId>, ReplayError> {
        if let Record::PauseSet(pause) = record {
            self.set_pause(pause);
        }
        record.id().map(|id| self.check_own(id)).transpose()
    }

    /// A fuzzy image may show later ones, which the version tells.
    fn set_pause(&mut self, pause: &QueuePause) {
        let shown = self.partition.pause_of(&pause.queue);
        if shown.is_none_or(|shown| pause.version.is_after(shown.version)) {
            self.partition.keep_pause(pause);
        }
    }

    /// Takes a job that is new, in place of the one `before`.
    fn take(&mut self, scheduled: ScheduledRecord, before: Before, now: Now) -> Result<(), ReplayError> {
        let id = scheduled.id;
        let queue = self.queues.number(&scheduled.spec.queue).ok_or(ReplayError::TooManyQueues)?;
        let spec = &scheduled.spec;
        let index = self.partition.take(id, spec, spec.due, queue, before, now);
        self.by_id.insert(id, index.ok_or(ReplayError::NoSlot)?);
        Ok(())
    }

    /// Applies a record about a job that is pending or with a handler.
    fn change(&mut self, id: JobId, record: Record, index: Index, now: Now) -> Result<(), ReplayError> {
        let is_last = matches!(
            record,
            Record::Cancelled { .. }
                | Record::Finished { .. }
                | Record::Skipped { .. }
                | Record::Purged { .. }
        );
        if is_last {
            self.by_id.remove(&id);
        }
        if let Record::Edited { version, ref edit, .. } = record
            && let Some(name) = &edit.queue
        {
            let queue = self.queues.number(name).ok_or(ReplayError::TooManyQueues)?;
            self.partition.change_parts(index, version, edit, Some(queue), now);
            return Ok(());
        }
        self.partition.apply(&record, index, now);
        Ok(())
    }

    /// A dead job is revived or purged, and nothing else happens to it; and to no other do these.
    fn check_life(&self, id: JobId, record: &Record, index: Index) -> Result<(), ReplayError> {
        let is_dead = self.partition.jobs.get(index).is_some_and(|job| matches!(job.state(), State::Dead(_)));
        let is_of_dead = matches!(record, Record::Revived { .. } | Record::Purged { .. });
        if is_dead == is_of_dead { Ok(()) } else { Err(ReplayError::UnknownJob(id)) }
    }

    /// The state so far.
    pub fn image(&self) -> Image {
        self.partition.image()
    }

    fn check_own(&self, id: JobId) -> Result<JobId, ReplayError> {
        if id.partition() == self.partition.id { Ok(id) } else { Err(ReplayError::ForeignJob(id)) }
    }

    fn check_new(&self, id: JobId) -> Result<(), ReplayError> {
        self.check_own(id)?;
        if self.by_id.contains_key(&id) || self.fired_ahead.contains(&id) {
            return Err(ReplayError::KnownJob(id));
        }
        Ok(())
    }
}
