//! Images: a partition's state as a value, whole or in slices.
//!
//! # Slices
//! [`Partition::scan`] reads the job table from slot to slot, a bounded number in each call, and between two calls the
//! partition goes on: jobs come, go, move, start and end. A job keeps its slot for as long as it is in the table, as a
//! tombstone too. So
//! - what is in the table from the first slice to the last is met exactly once, as it stands at that moment;
//! - what comes or goes meanwhile is met once or not at all.
//!
//! All slices together are a *fuzzy* image: it shows some of what happened since the first one and some not. With the
//! records since then it tells all: see [`Replay::apply_fuzzy`](super::Replay::apply_fuzzy).

use crate::partition::job::State;
use crate::partition::table::{Job, Walk};
use crate::partition::{
    End, Handle, History, JobId, JobSpec, Key, Partition, QueuePause, Timestamp, Version,
};

/// A partition's state: jobs by id and fired jobs in the order in which they will be forgotten where it is whole, both
/// in any order where it is the sum of slices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// The pending, running and dead jobs.
    pub jobs: Vec<JobImage>,
    /// The fired jobs that are remembered.
    pub fired: Vec<FiredImage>,
    /// What was said of queues, by their names. In slices the first has it, whole.
    pub pauses: Vec<QueuePause>,
    /// The sequence of the next job; in the sum of slices, as it was when the first of them was read or before.
    pub next_sequence: u64,
}

/// A pending, running or dead job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobImage {
    /// Its number.
    pub id: JobId,
    /// What it is.
    pub spec: JobSpec,
    /// 1 for a new job, and 1 more for every change.
    pub version: Version,
    /// How often its handler has begun.
    pub attempt: u16,
    /// Since when it is with its handler, if it is.
    pub running_since: Option<Timestamp>,
    /// What is remembered of its attempts, its death included.
    pub history: Option<Box<History>>,
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
    /// When its handler ended, as recorded: later than the end before it, so the order of these is that of the ends.
    pub ended_at: Timestamp,
    /// How its handler ended.
    pub end: End,
}

/// What one call of [`Partition::scan`] has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// The jobs and fired jobs of this slice; `next_sequence` is that of the partition now.
    pub image: Image,
    /// Where to go on; `None` when all has been read.
    pub next: Option<u32>,
}

impl Image {
    /// Adds a slice, but for its `next_sequence`.
    pub fn add(&mut self, slice: Image) {
        self.jobs.extend(slice.jobs);
        self.fired.extend(slice.fired);
        self.pauses.extend(slice.pauses);
    }
}

impl Partition {
    /// Reads the jobs in the next slots of the table, no more than `slots_max` of them, empty ones included. Begin with
    /// `from` zero and go on with [`Slice::next`]; the partition may change in between.
    ///
    /// To restore from the slices one needs the records since before the first of them, and
    /// [`next_sequence`](Self::next_sequence) as it was at the first of those records: note both while holding the
    /// partition, with no record in it that has not been [drained](Self::drain_records).
    pub fn scan(&self, from: u32, slots_max: usize) -> Slice {
        let jobs = Vec::with_capacity(slots_max.min(self.live()));
        let mut image = Image { jobs, next_sequence: self.next_sequence, ..Image::default() };
        if from == 0 {
            image.pauses.extend(self.pauses().cloned());
        }
        // Nothing would never come to an end.
        let mut scan = self.jobs.scan(from, slots_max.max(1));
        for (_, job) in scan.by_ref() {
            match job.fired_image() {
                Some(fired) => image.fired.push(fired),
                None => image.jobs.extend(self.job_image(job)),
            }
        }
        Slice { image, next: scan.cursor() }
    }

    /// The state, complete. O(n log n): for tests, and for stores that keep images.
    pub fn image(&self) -> Image {
        let live = self.jobs.iter().filter(|(_, job)| !matches!(job.state(), State::Fired(..)));
        let mut jobs: Vec<JobImage> = live.filter_map(|(_, job)| self.job_image(job)).collect();
        jobs.sort_unstable_by_key(|job| job.id);
        let fired = self.fired.iter().filter_map(|(index, _)| self.jobs.get(index)?.fired_image());
        let pauses = self.pauses().cloned().collect();
        Image { jobs, fired: fired.collect(), pauses, next_sequence: self.next_sequence }
    }

    fn job_image(&self, job: Job<'_>) -> Option<JobImage> {
        Some(JobImage {
            id: job.id(),
            spec: JobSpec {
                key: Key::known(job.key()),
                queue: self.ready_queue(job.queue())?.name.clone(),
                payload: job.payload().into(),
                due: job.recorded_due(),
                options: job.options(),
            },
            version: job.version(),
            attempt: job.attempt(),
            running_since: match job.state() {
                State::Running(since) => Some(since),
                _ => None,
            },
            history: job.history().map(|history| Box::new(history.clone())),
        })
    }

    /// Every key with the handle of its newest job: pending before running before fired, then the later id.
    pub(super) fn keys(&self) -> Vec<(Key, Handle)> {
        let mut all: Vec<(bool, JobId, Key, Handle)> = Vec::with_capacity(self.jobs.len());
        for (index, job) in self.jobs.iter() {
            all.push((job.state().is_pending(), job.id(), Key::known(job.key()), self.handle(index)));
        }
        // An index that takes them in this order ends with the right one.
        all.sort_unstable_by_key(|&(is_pending, id, ..)| (is_pending, id));
        all.into_iter().map(|(_, _, key, handle)| (key, handle)).collect()
    }
}
