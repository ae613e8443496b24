//! Reading the job table in slices, as views: which jobs there are, without a name for any of them.
//!
//! # Rules
//! - A slice looks at a bounded number of slots, and goes on from the slot where the one before it ended. A job keeps its
//!   slot from the moment it is taken until it is forgotten. So a job that is in the table from the first slice to the last
//!   is met exactly once, and one that comes or goes meanwhile at most once.
//! - What does not match costs no clone.
//! - The order is that of the table, which says nothing about jobs.

use super::job::{Job, State};
use super::{End, JobId, JobView, Key, Now, Partition, QueueId, QueueName, Timestamp};

/// Where a job stands, as far as whoever reads it can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its due time.
    Pending,
    /// It is due, and waits for its queue to take it.
    Ready,
    /// It is with its handler.
    Running,
    /// Its handler has ended. It is remembered for a while.
    Fired,
}

impl JobState {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Which jobs a reader wants to see. The default: all that have not fired.
///
/// ```
/// use reveille::{JobFilter, JobState};
///
/// let late_mails = JobFilter::default().queue("mails").states([JobState::Ready]);
/// let of_an_order = JobFilter::default().key_prefix("order:42:");
/// # let _ = (late_mails, of_an_order);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFilter {
    queue: Option<String>,
    key_prefix: String,
    states: u8,
}

impl JobFilter {
    /// Only jobs of this queue. A fired job is of none: its queue is not remembered.
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    /// Only jobs whose key begins so.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Only jobs in one of these states.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = JobState>) -> Self {
        self.states = states.into_iter().fold(0, |bits, state| bits | state.bit());
        self
    }

    /// The same for whoever knows queues by number; `None` if nothing can match, as the queue is not known.
    pub(crate) fn resolve(&self, number: impl FnOnce(&str) -> Option<QueueId>) -> Option<Wanted<'_>> {
        let queue = match &self.queue {
            Some(name) => Some(number(name)?),
            None => None,
        };
        Some(Wanted { queue, key_prefix: &self.key_prefix, states: self.states })
    }
}

impl Default for JobFilter {
    fn default() -> Self {
        let all = JobFilter { queue: None, key_prefix: String::new(), states: 0 };
        all.states([JobState::Pending, JobState::Ready, JobState::Running])
    }
}

/// A [`JobFilter`] whose queue has a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    queue: Option<QueueId>,
    key_prefix: &'a str,
    states: u8,
}

impl Wanted<'_> {
    fn matches(&self, job: &Job) -> bool {
        let state = job.state.as_read();
        // What was restored of a fired job has no queue, so none has.
        let is_of_queue = self.queue.is_none_or(|queue| state != JobState::Fired && queue == job.queue);
        is_of_queue && self.states & state.bit() != 0 && job.key.as_str().starts_with(self.key_prefix)
    }
}

/// A fired job that is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FiredView {
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// When its handler began.
    pub fired_at: Timestamp,
    /// When its handler ended, as recorded: later than the end before it.
    pub ended_at: Timestamp,
    /// How its handler ended.
    pub end: End,
}

/// What one look at the job table has found.
#[derive(Debug, Default)]
pub(crate) struct ViewSlice {
    pub(crate) jobs: Vec<JobView>,
    pub(crate) fired: Vec<FiredView>,
    /// The slot to go on from; `None` when all have been seen.
    pub(crate) next: Option<u32>,
}

/// What is counted of a job that has not fired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    pub(crate) queue: QueueId,
    pub(crate) due: Timestamp,
    pub(crate) state: JobState,
}

impl Partition {
    /// Looks at no more than `slots_max` slots of the job table, from slot `from` on, and gives no more than `jobs_max` jobs
    /// that match. A page of the table that holds nothing counts as one slot.
    pub(crate) fn list(
        &self,
        from: u32,
        slots_max: usize,
        jobs_max: usize,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> ViewSlice {
        let mut slice = ViewSlice::default();
        // Nothing would never come to an end.
        let mut scan = self.jobs.scan(from, slots_max.max(1));
        while slice.jobs.len() + slice.fired.len() < jobs_max.max(1) {
            let Some((index, job)) = scan.next() else { break };
            if !wanted.matches(job) {
                continue;
            }
            match job.fired_view() {
                Some(fired) => slice.fired.push(fired),
                None => slice.jobs.extend(self.view(self.handle(index), job, now)),
            }
        }
        slice.next = scan.cursor();
        slice
    }

    /// Every job that has not fired, as far as counting goes. O(jobs).
    pub(crate) fn glances(&self, now: Now) -> impl Iterator<Item = Glance> + '_ {
        let live = self.jobs.iter().filter(|(_, job)| !matches!(job.state, State::Fired(..)));
        live.map(move |(_, job)| Glance {
            queue: job.queue,
            due: job.due.as_told(now),
            state: job.state.as_read(),
        })
    }

    /// The number of the queue of this name, if a job of this partition has named it.
    pub(crate) fn queue_number(&self, name: &str) -> Option<QueueId> {
        let is_it =
            |queue: &Option<super::ReadyQueue>| queue.as_ref().is_some_and(|it| it.name.as_str() == name);
        let at = self.queues.iter().position(is_it)?;
        u16::try_from(at).ok().map(QueueId)
    }

    /// The name of a queue that a job of this partition has named.
    pub(crate) fn queue_name(&self, queue: QueueId) -> Option<&QueueName> {
        self.ready_queue(queue).map(|ready| &ready.name)
    }
}

impl State {
    pub(super) fn as_read(self) -> JobState {
        match self {
            State::Waiting(_) | State::Held | State::Overdue => JobState::Pending,
            State::Collected | State::Ready(_) => JobState::Ready,
            State::Running(_) => JobState::Running,
            State::Fired(..) => JobState::Fired,
        }
    }
}

impl Job {
    fn fired_view(&self) -> Option<FiredView> {
        let fired = self.fired_image()?;
        Some(FiredView {
            id: fired.id,
            key: fired.key,
            fired_at: fired.fired_at,
            ended_at: fired.ended_at,
            end: fired.end,
        })
    }
}
