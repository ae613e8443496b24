//! Reading the job table in slices, as views: which jobs there are, without a name for any of them.
//!
//! # Rules
//! - A slice looks at a bounded number of slots, and goes on from the slot where the one before it ended. A job keeps its
//!   slot from the moment it is taken until it is forgotten. So a job that is in the table from the first slice to the last
//!   is met exactly once, and one that comes or goes meanwhile at most once.
//! - What does not match costs no clone.
//! - Where a tag is wanted, only the jobs that have it are looked at: a slot is one of theirs then.
//! - The order is that of the table, which says nothing about jobs.

use super::job::State;
use super::table::{Job, Walk};
use super::{FiredImage, Now, Partition, QueueId, QueueName, Timestamp};
use crate::job::{FiredView, JobFilter, JobState, JobView};

/// A [`JobFilter`] whose queue has a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    queue: Option<QueueId>,
    filter: &'a JobFilter,
}

impl<'a> Wanted<'a> {
    /// What `filter` means for whoever has numbers for queues; `None` if nothing can match, as the queue is not known.
    pub(crate) fn of(filter: &'a JobFilter, number: impl FnOnce(&str) -> Option<QueueId>) -> Option<Self> {
        let queue = match &filter.queue {
            Some(name) => Some(number(name)?),
            None => None,
        };
        Some(Wanted { queue, filter })
    }

    /// The tag that is wanted, if one is: those that have it are found by it, and it need not be looked at again.
    pub(super) fn tag(&self) -> Option<&'a str> {
        self.filter.tag.as_deref()
    }

    pub(super) fn due_to(&self) -> Option<Timestamp> {
        self.filter.due_to
    }

    pub(super) fn matches(&self, job: Job<'_>, now: Now) -> bool {
        let state = job.as_read();
        // What was restored of a fired job has no queue, so none has.
        let is_of_queue = self.queue.is_none_or(|queue| state != JobState::Fired && queue == job.queue());
        is_of_queue
            && self.filter.has_state(state)
            && (!self.filter.is_by_due()
                || state != JobState::Fired && self.filter.has_due(job.due().as_told(now)))
            && job.key().starts_with(&self.filter.key_prefix)
    }
}

/// What one look at the job table has found.
#[derive(Debug, Default)]
pub(crate) struct ViewSlice {
    pub(crate) jobs: Vec<JobView>,
    pub(crate) fired: Vec<FiredView>,
    /// How many jobs were looked at.
    pub(crate) looked_at: usize,
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
        // Nothing would never come to an end.
        let (slots_max, jobs_max) = (slots_max.max(1), jobs_max.max(1));
        match wanted.tag() {
            Some(tag) => self.list_of(self.jobs.tagged(tag, from, slots_max), jobs_max, wanted, now),
            None => self.list_of(self.jobs.scan(from, slots_max), jobs_max, wanted, now),
        }
    }

    fn list_of<'a>(
        &'a self,
        mut walk: impl Walk<'a>,
        jobs_max: usize,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> ViewSlice {
        let mut slice = ViewSlice::default();
        while slice.jobs.len() + slice.fired.len() < jobs_max {
            let Some((index, job)) = walk.next() else { break };
            slice.looked_at += 1;
            if !wanted.matches(job, now) {
                continue;
            }
            match job.fired_view() {
                Some(fired) => slice.fired.push(fired),
                None => slice.jobs.extend(self.view(self.handle(index), job, now)),
            }
        }
        slice.next = walk.cursor();
        slice
    }

    /// Looks at no more than `slots_max` slots, from slot `from` on, and tells of each job that matches as far as counting goes.
    /// Returns the slot to go on from; `None` when all have been seen.
    pub(crate) fn count(
        &self,
        from: u32,
        slots_max: usize,
        wanted: &Wanted<'_>,
        now: Now,
        each: impl FnMut(Glance),
    ) -> Option<u32> {
        let slots_max = slots_max.max(1);
        match wanted.tag() {
            Some(tag) => count_of(self.jobs.tagged(tag, from, slots_max), wanted, now, each),
            None => count_of(self.jobs.scan(from, slots_max), wanted, now, each),
        }
    }

    /// Every job that has not fired, as far as counting goes. O(jobs).
    pub(crate) fn glances(&self, now: Now) -> impl Iterator<Item = Glance> + '_ {
        let live = self.jobs.iter().filter(|(_, job)| !matches!(job.state(), State::Fired(..)));
        live.map(move |(_, job)| Glance {
            queue: job.queue(),
            due: job.due().as_told(now),
            state: job.as_read(),
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

fn count_of<'a>(
    mut walk: impl Walk<'a>,
    wanted: &Wanted<'_>,
    now: Now,
    mut each: impl FnMut(Glance),
) -> Option<u32> {
    for (_, job) in walk.by_ref().filter(|&(_, job)| wanted.matches(job, now)) {
        each(Glance { queue: job.queue(), due: job.due().as_told(now), state: job.as_read() });
    }
    walk.cursor()
}

impl Job<'_> {
    pub(super) fn as_read(&self) -> JobState {
        match self.state() {
            State::Waiting | State::Held | State::Overdue if self.has_begun() => JobState::Retrying,
            State::Waiting | State::Held | State::Overdue => JobState::Pending,
            State::Paused => JobState::Paused,
            State::Dead(_) => JobState::Dead,
            State::Collected | State::Ready(_) => JobState::Ready,
            State::Running(_) => JobState::Running,
            State::Fired(..) => JobState::Fired,
        }
    }

    /// Whether an attempt of it, since it was last revived, has asked for another.
    fn has_begun(&self) -> bool {
        self.history().is_some() && self.attempt() > 0
    }

    fn fired_view(&self) -> Option<FiredView> {
        let FiredImage { id, key, fired_at, ended_at, end } = self.fired_image()?;
        Some(FiredView { id, key, fired_at, ended_at, end })
    }
}
