//! Jobs counted: by where they stand, by queue, and by when they are due.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Contents;
use crate::job::JobState;
use crate::json;
use crate::partition::{QueueId, Timestamp};

/// How many buckets a [`Load`] may have.
const BUCKETS_MAX: usize = 10_000;

/// How many jobs there are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Jobs that wait, those that are due included.
    pub pending: u64,
    /// Of these, those that should have fired by now.
    pub overdue: u64,
    /// Jobs with a handler.
    pub running: u64,
    /// Dead jobs that are kept.
    pub dead: u64,
    /// Fired jobs that are remembered.
    pub fired: u64,
    /// Jobs that have not fired, the dead included, by queue, in the order of their names.
    pub queues: Vec<QueueFigures>,
}

/// How many jobs of a queue there are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct QueueFigures {
    /// Its name.
    pub queue: String,
    /// Jobs that wait, those that are due included.
    pub pending: u64,
    /// Of these, those that should have fired by now.
    pub overdue: u64,
    /// Jobs with a handler.
    pub running: u64,
    /// Dead jobs that are kept.
    pub dead: u64,
}

impl QueueFigures {
    fn of(queue: String) -> Self {
        QueueFigures { queue, ..QueueFigures::default() }
    }
}

impl Figures {
    /// Counts each job of a partition once.
    pub fn of(contents: &Contents) -> Self {
        Figures::counting(contents, |_| {})
    }

    /// The same; `due` is told when each pending job is due.
    fn counting(contents: &Contents, mut due: impl FnMut(Timestamp)) -> Self {
        let (partition, now) = contents.state();
        let mut queues: BTreeMap<QueueId, QueueFigures> = BTreeMap::new();
        for job in partition.glances(now) {
            let queue = queues.entry(job.queue).or_insert_with(|| {
                let name = partition.queue_name(job.queue).map(|name| name.as_str().to_owned());
                QueueFigures::of(name.unwrap_or_default())
            });
            match job.state {
                JobState::Running => {
                    queue.running += 1;
                    continue;
                }
                JobState::Dead => {
                    queue.dead += 1;
                    continue;
                }
                _ => {}
            }
            queue.pending += 1;
            queue.overdue += u64::from(job.due < now.wall);
            due(job.due);
        }
        let mut figures = Figures { fired: partition.fired_remembered() as u64, ..Figures::default() };
        queues.into_values().for_each(|queue| figures.add_queue(queue));
        figures
    }

    /// Adds those of other jobs.
    pub fn add(&mut self, other: Figures) {
        self.fired += other.fired;
        other.queues.into_iter().for_each(|queue| self.add_queue(queue));
    }

    fn add_queue(&mut self, other: QueueFigures) {
        self.pending += other.pending;
        self.overdue += other.overdue;
        self.running += other.running;
        self.dead += other.dead;
        match self.queues.binary_search_by(|queue| queue.queue.cmp(&other.queue)) {
            Ok(at) => {
                let queue = &mut self.queues[at];
                queue.pending += other.pending;
                queue.overdue += other.overdue;
                queue.running += other.running;
                queue.dead += other.dead;
            }
            Err(at) => self.queues.insert(at, other),
        }
    }
}

/// Into what pieces the time to come is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadBuckets {
    /// How long each is; a microsecond at least.
    pub width: Duration,
    /// How many there are; 10,000 at most.
    pub count: usize,
}

/// The next hour, minute by minute.
impl Default for LoadBuckets {
    fn default() -> Self {
        LoadBuckets { width: Duration::from_secs(60), count: 60 }
    }
}

/// How many jobs are due when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Load {
    /// Where the first bucket begins.
    pub from: Timestamp,
    /// How long each bucket is.
    #[serde(rename = "bucket_us", serialize_with = "json::micros")]
    pub bucket: Duration,
    /// Jobs due before the first bucket.
    pub before: u64,
    /// Jobs due in each bucket.
    pub buckets: Vec<u64>,
    /// Jobs due after the last one.
    pub after: u64,
}

impl Load {
    /// No jobs yet, from an instant on.
    pub fn new(from: Timestamp, LoadBuckets { width, count }: LoadBuckets) -> Self {
        let bucket = width.max(Duration::from_micros(1));
        Load { from, bucket, before: 0, buckets: vec![0; count.min(BUCKETS_MAX)], after: 0 }
    }

    /// Adds a job that is due then.
    pub fn add(&mut self, due: Timestamp) {
        if due < self.from {
            self.before += 1;
            return;
        }
        let at = u128::from(due.micros_since(self.from)) / self.bucket.as_micros().max(1);
        match usize::try_from(at).ok().and_then(|at| self.buckets.get_mut(at)) {
            Some(bucket) => *bucket += 1,
            None => self.after += 1,
        }
    }
}

/// How many jobs a namespace has, and when they are due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct NamespaceFigures {
    /// How many partitions it was made with.
    pub partitions: u16,
    /// How many of them somebody has owned.
    pub partitions_used: u16,
    /// How many of them somebody owned when they were read.
    pub partitions_owned: u16,
    /// Records that a restart would have to replay.
    pub log_records: u64,
    /// The jobs of all partitions.
    pub jobs: Figures,
    /// When the pending ones are due.
    pub load: Load,
}

impl NamespaceFigures {
    pub(super) fn new(partitions: u16, load: Load) -> Self {
        let jobs = Figures::default();
        NamespaceFigures { partitions, partitions_used: 0, partitions_owned: 0, log_records: 0, jobs, load }
    }

    pub(super) fn add(&mut self, contents: &Contents) {
        self.partitions_used += 1;
        self.partitions_owned += u16::from(contents.owner().lease_left.is_some());
        self.log_records += contents.log().records;
        self.jobs.add(Figures::counting(contents, |due| self.load.add(due)));
    }
}
