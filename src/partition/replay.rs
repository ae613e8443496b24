//! Images and replay: a partition from what was written down of it.
//!
//! The promise is `image + the records after it = live`: replaying into a partition any prefix of the records that a
//! live one formed gives the state that the live one had, as [`Partition::image`] shows it. Where a job waits (wheel,
//! held, collected, ready) is not part of that: it follows from the due time and the clocks.

use std::collections::HashMap;

use super::job::{Job, JobDue, State};
use super::{
    Config, Delivery, End, Handle, JobId, Key, MonoTime, Now, Partition, PartitionId, Payload, Priority,
    Queue, QueueId, Record, RecordedDue, ScheduledRecord, TimeBase, Timestamp, Version,
};
use crate::wheel::slab::Index;

/// A partition's state, complete: jobs by id, fired jobs in the order in which they will be forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// The pending and running jobs.
    pub jobs: Vec<JobImage>,
    /// The fired jobs that are remembered.
    pub fired: Vec<FiredImage>,
    /// The sequence of the next job.
    pub next_sequence: u64,
}

/// A pending or running job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobImage {
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// Its queue.
    pub queue: Queue,
    /// What its handler gets.
    pub payload: Payload,
    /// When it must fire.
    pub due: RecordedDue,
    /// Its place among the jobs of one tick.
    pub priority: Priority,
    /// What a crash in the middle of its handler means.
    pub delivery: Delivery,
    /// How often it was changed, and once.
    pub version: Version,
    /// How often its handler has begun.
    pub attempt: u16,
    /// Since when it is with its handler, if it is.
    pub running_since: Option<Timestamp>,
}

/// A fired job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FiredImage {
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// When its handler began.
    pub fired_at: Timestamp,
    /// When its handler ended.
    pub ended_at: Timestamp,
}

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
}

/// Builds a partition from an image and the records that came after it.
#[derive(Debug)]
pub struct Replay {
    partition: Partition,
    by_id: HashMap<JobId, Index, foldhash::fast::FixedState>,
}

impl Replay {
    /// Begins with an empty partition whose wheels stand at `now`.
    pub fn new(id: PartitionId, config: Config, now: Now) -> Self {
        let config = Config { is_logged: false, ..config };
        Replay { partition: Partition::new(id, config, now), by_id: HashMap::default() }
    }

    /// Loads an image.
    ///
    /// # Errors
    /// When a job of it is there already or belongs elsewhere.
    pub fn load(&mut self, image: Image, now: Now) -> Result<(), ReplayError> {
        for job in image.jobs {
            let (id, version, attempt, running) = (job.id, job.version, job.attempt, job.running_since);
            self.check_new(id)?;
            let index = self.partition.add(job.into_record(), now).ok_or(ReplayError::NoSlot)?;
            self.by_id.insert(id, index);
            if running.is_some() {
                self.partition.unplace(index);
                self.partition.running += 1;
            }
            let job = self.partition.jobs.get_mut(index).ok_or(ReplayError::UnknownJob(id))?;
            (job.version, job.attempt) = (version, attempt);
            if let Some(since) = running {
                job.state = State::Running(since);
            }
        }
        for fired in image.fired {
            self.check_new(fired.id)?;
            let ended_at = fired.ended_at;
            let index =
                self.partition.jobs.insert(fired.into_tombstone()).map_err(|_| ReplayError::NoSlot)?;
            self.partition.fired.push(index, ended_at);
        }
        if image.next_sequence > JobId::SEQUENCE_MAX {
            return Err(ReplayError::OutOfRange(image.next_sequence));
        }
        self.partition.next_sequence = self.partition.next_sequence.max(image.next_sequence);
        Ok(())
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// When it cannot follow the state. The state is then not to be used.
    pub fn apply(&mut self, record: Record, now: Now) -> Result<(), ReplayError> {
        let id = record.id();
        if id.partition() != self.partition.id {
            return Err(ReplayError::ForeignJob(id));
        }
        match record {
            Record::Scheduled(scheduled) => {
                // Jobs are taken in the order of their ids. An older one was there: it must not come back.
                if id.sequence() < self.partition.next_sequence {
                    return Err(ReplayError::KnownJob(id));
                }
                let replaced = match scheduled.replaces {
                    None => None,
                    Some(old) => Some(self.by_id.remove(&old).ok_or(ReplayError::UnknownJob(old))?),
                };
                let index = self.partition.apply(Record::Scheduled(scheduled), replaced, now);
                self.by_id.insert(id, index.ok_or(ReplayError::NoSlot)?);
            }
            record => {
                let index = *self.by_id.get(&id).ok_or(ReplayError::UnknownJob(id))?;
                let gone = matches!(record, Record::Cancelled { .. } | Record::Finished { .. } | Record::Skipped { .. });
                self.partition.apply(record, Some(index), now);
                if gone {
                    self.by_id.remove(&id);
                }
            }
        }
        self.partition.forgotten.clear();
        Ok(())
    }

    /// The state so far.
    pub fn image(&self) -> Image {
        self.partition.image()
    }

    /// Ends the replay: a partition to go on with, and the handle of every key that it knows.
    ///
    /// Jobs that were with a handler when the record ends were cut short. Those delivered at least once become pending
    /// again, due as before; those delivered at most once end here, as failed. With `is_logged` the partition keeps
    /// records from here on, those of this step included.
    pub fn finish(mut self, is_logged: bool, now: Now) -> (Partition, Vec<(Key, Handle)>) {
        self.partition.config.is_logged = is_logged;
        let jobs = self.partition.jobs.iter();
        let mut cut_short: Vec<(JobId, Handle, Delivery)> = jobs
            .filter(|(_, job)| matches!(job.state, State::Running(_)))
            .map(|(index, job)| (job.id, self.partition.handle(index), job.delivery))
            .collect();
        cut_short.sort_unstable_by_key(|&(id, ..)| id);
        for (_, handle, delivery) in cut_short {
            match delivery {
                Delivery::AtLeastOnce => {
                    self.partition.unplace(handle.index);
                    self.partition.place(handle.index, now);
                }
                Delivery::AtMostOnce => {
                    self.partition.finish(handle, End::Failed, now);
                }
            }
        }
        self.partition.forgotten.clear();
        let keys = self.partition.keys();
        (self.partition, keys)
    }

    fn check_new(&self, id: JobId) -> Result<(), ReplayError> {
        if id.partition() != self.partition.id {
            return Err(ReplayError::ForeignJob(id));
        }
        if self.by_id.contains_key(&id) {
            return Err(ReplayError::KnownJob(id));
        }
        Ok(())
    }
}

impl Partition {
    /// The state, complete. O(n log n): for tests, and for stores that keep images.
    pub fn image(&self) -> Image {
        let live = self.jobs.iter().filter(|(_, job)| !matches!(job.state, State::Fired(_)));
        let mut jobs: Vec<JobImage> = live
            .filter_map(|(_, job)| {
                let name = self.ready_queue(job.queue)?.name.clone();
                Some(JobImage {
                    id: job.id,
                    key: job.key.clone(),
                    queue: Queue { id: job.queue, name },
                    payload: job.payload.clone(),
                    due: RecordedDue { base: job.due.base, wall: job.due.wall },
                    priority: job.priority,
                    delivery: job.delivery,
                    version: job.version,
                    attempt: job.attempt,
                    running_since: match job.state {
                        State::Running(since) => Some(since),
                        _ => None,
                    },
                })
            })
            .collect();
        jobs.sort_unstable_by_key(|job| job.id);
        let fired = self.fired.iter().filter_map(|(index, ended_at)| {
            let job = self.jobs.get(index)?;
            let State::Fired(fired_at) = job.state else { return None };
            Some(FiredImage { id: job.id, key: job.key.clone(), fired_at, ended_at })
        });
        Image { jobs, fired: fired.collect(), next_sequence: self.next_sequence }
    }

    /// Every key with the handle of its newest job: pending before running before fired, then the later id.
    fn keys(&self) -> Vec<(Key, Handle)> {
        let mut all: Vec<(bool, JobId, Key, Handle)> = Vec::with_capacity(self.jobs.len());
        for (index, job) in self.jobs.iter() {
            let is_pending = !matches!(job.state, State::Running(_) | State::Fired(_));
            all.push((is_pending, job.id, job.key.clone(), self.handle(index)));
        }
        // An index that takes them in this order ends with the right one.
        all.sort_unstable_by_key(|&(is_pending, id, ..)| (is_pending, id));
        all.into_iter().map(|(_, _, key, handle)| (key, handle)).collect()
    }
}

impl JobImage {
    fn into_record(self) -> ScheduledRecord {
        ScheduledRecord {
            id: self.id,
            key: self.key,
            queue: self.queue,
            payload: self.payload,
            due: self.due,
            priority: self.priority,
            delivery: self.delivery,
            replaces: None,
        }
    }
}

impl FiredImage {
    fn into_tombstone(self) -> Job {
        Job {
            key: self.key,
            payload: Payload::default(),
            id: self.id,
            due: JobDue { wall: self.fired_at, mono: MonoTime::default(), base: TimeBase::Wall },
            state: State::Fired(self.fired_at),
            version: Version::FIRST,
            attempt: 1,
            queue: QueueId(0),
            priority: Priority::NORMAL,
            delivery: Delivery::AtLeastOnce,
        }
    }
}
