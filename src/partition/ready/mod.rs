//! The jobs of one queue that are due and wait to be taken, in the order in which they must be: by tick, then as everywhere
//! by priority, due, sequence.
//!
//! A tick's jobs arrive in order, and ticks do, so appending keeps a list sorted. What was overdue at a restart has a list of
//! its own: its ticks lie before all others, and it arrives beside them.
//!
//! A cancel takes a job out in O(1) and leaves nothing behind that grows, however long the queue stays paused: see `places`.

mod places;

use super::job::State;
use super::table::JobTable;
use super::{QueueName, TimeBase};
use crate::wheel::Classes;
use places::Places;

pub(super) use places::{Place, Ready};

/// A queue as this process counts them. The name is what lasts; see [`QueueName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub u16);

impl QueueId {
    /// What its jobs are for the wheels. Two queues may be of one class.
    #[inline]
    pub(super) fn class(self) -> Classes {
        Classes::of(self.0)
    }
}

#[derive(Debug)]
pub(super) struct ReadyQueue {
    pub(super) name: QueueName,
    /// The latest tick, by each clock, of which a job came in time.
    latest: [u64; 2],
    /// By [`Came`], the first to go first.
    lists: [Places; 2],
    /// Whether the length has changed since it was last reported.
    pub(super) is_touched: bool,
}

/// How a job came to be ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// It was overdue at a restart.
    Overdue,
    InTime,
}

impl ReadyQueue {
    pub(super) fn new(name: QueueName) -> Self {
        ReadyQueue { name, latest: [0; 2], lists: Default::default(), is_touched: false }
    }

    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    /// The first job in order.
    pub(super) fn first(&self) -> Option<Ready> {
        let [overdue, in_time] = &self.lists;
        overdue.first().or_else(|| in_time.first())
    }

    /// The slot that lies `places` behind the first job, if there is a job.
    #[inline]
    pub(super) fn ahead(&self, places: usize) -> Option<u32> {
        let [overdue, in_time] = &self.lists;
        let list = if overdue.len() > 0 { overdue } else { in_time };
        list.ahead(places)
    }

    /// The first job of each list. They became due no later than those behind them, to a tick.
    pub(super) fn heads(&self) -> impl Iterator<Item = u32> {
        self.lists.iter().filter_map(|list| list.first().map(|ready| ready.slot))
    }

    /// Appends the job in `slot`, which came due in `tick`, to a list, and marks it ready.
    #[inline]
    pub(super) fn push(&mut self, jobs: &mut JobTable, slot: u32, came: Came, tick: u64) {
        let Some(mut job) = jobs.at_mut(slot) else { return };
        let list = &mut self.lists[came as usize];
        job.set_state(State::Ready(list.push(Ready { slot, tick })));
        list.tidy(jobs);
    }

    /// The tick as one of which a job comes in time: its own, or a later one of which jobs have come already. That may be while a
    /// large tick comes, if the job was scheduled after its time.
    #[inline]
    pub(super) fn no_earlier(&mut self, tick: u64, base: TimeBase) -> u64 {
        let latest = &mut self.latest[usize::from(base == TimeBase::Mono)];
        *latest = tick.max(*latest);
        *latest
    }

    /// Takes the job in `slot` out of its place.
    #[inline]
    pub(super) fn remove(&mut self, jobs: &mut JobTable, slot: u32, place: Place) {
        // A slot is in one list only, so that the place says which.
        let list = self.lists.iter_mut().find(|list| list.has(slot, place));
        debug_assert!(list.is_some(), "a ready job is in its place");
        if let Some(list) = list {
            list.void(place);
            list.tidy(jobs);
        }
    }

    /// Has places counted from here on. For a queue without jobs.
    #[cfg(test)]
    pub(super) fn count_places_from(&mut self, number: u32) {
        self.lists.iter_mut().for_each(|list| list.count_from(number));
    }

    /// Bytes held for places.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.lists.iter().map(Places::allocated_bytes).sum()
    }

    /// Looks at every place.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, jobs: &JobTable) {
        self.lists.iter().for_each(|list| list.validate(jobs));
    }
}
