//! The jobs of one queue that are due and wait to be taken, in the order in which they must be: by tick, then as everywhere
//! by priority, due, sequence.
//!
//! A tick's jobs arrive in order, and ticks do, so appending keeps a list sorted. What was overdue at a restart has a list of
//! its own: its ticks lie before all others, and it arrives beside them. The links lie in the jobs themselves: a cancel
//! unlinks in O(1) and leaves nothing behind, however long the queue stays paused.

use super::QueueName;
use super::job::{Links, Slot, State};
use super::rank::ShortTick;
use super::table::JobTable;

/// A queue as this process counts them. The name is what lasts; see [`QueueName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub u16);

#[derive(Debug)]
pub(super) struct ReadyQueue {
    pub(super) name: QueueName,
    /// By [`Came`], the first to go first.
    lists: [List; 2],
    len: usize,
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

/// Both ends, or none of them.
#[derive(Clone, Copy, Default, Debug)]
struct List {
    head: Option<Slot>,
    tail: Option<Slot>,
}

impl ReadyQueue {
    pub(super) fn new(name: QueueName) -> Self {
        ReadyQueue { name, lists: Default::default(), len: 0, is_touched: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first job in order.
    pub(super) fn first(&self) -> Option<u32> {
        let [overdue, in_time] = &self.lists;
        overdue.head.or(in_time.head).map(Slot::number)
    }

    /// The first job of each list. They became due no later than those behind them, to a tick.
    pub(super) fn heads(&self) -> impl Iterator<Item = u32> {
        self.lists.iter().filter_map(|list| list.head.map(Slot::number))
    }

    /// Appends the job in `slot`, which came due in `tick`, to a list, and marks it ready.
    pub(super) fn push(&mut self, jobs: &mut JobTable, slot: u32, came: Came, tick: u64) {
        let Some(job) = jobs.at_mut(slot) else { return };
        let me = Some(Slot::new(slot));
        let list = &mut self.lists[came as usize];
        let previous = std::mem::replace(&mut list.tail, me);
        job.set_state(State::Ready(Links { previous, next: None, tick: ShortTick::new(tick) }));
        match previous {
            Some(previous) => relink(jobs, previous, |links| links.next = me),
            None => list.head = me,
        }
        self.len += 1;
    }

    /// Takes the job in `slot`, whose links are given, out of its list.
    pub(super) fn unlink(&mut self, jobs: &mut JobTable, slot: u32, links: Links) {
        let Links { previous, next, .. } = links;
        let me = Some(Slot::new(slot));
        if let Some(previous) = previous {
            relink(jobs, previous, |of| of.next = next);
        } else if let Some(list) = self.lists.iter_mut().find(|list| list.head == me) {
            list.head = next;
        }
        if let Some(next) = next {
            relink(jobs, next, |of| of.previous = previous);
        } else if let Some(list) = self.lists.iter_mut().find(|list| list.tail == me) {
            list.tail = previous;
        }
        self.len -= 1;
    }

    /// Walks every list both ways.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, jobs: &JobTable) {
        let mut seen = 0;
        for list in &self.lists {
            let (mut previous, mut at) = (None, list.head);
            while let Some(slot) = at {
                let job = jobs.at(slot.number()).expect("a ready list names live jobs");
                let State::Ready(links) = job.state() else { panic!("{job:?} is in a ready list") };
                let Links { previous: before, next, .. } = links;
                assert_eq!(before, previous);
                (previous, at) = (Some(slot), next);
                seen += 1;
            }
            assert_eq!(previous, list.tail);
        }
        assert_eq!(seen, self.len);
    }
}

fn relink(jobs: &mut JobTable, slot: Slot, change: impl FnOnce(&mut Links)) {
    let job = jobs.at_mut(slot.number());
    debug_assert!(job.is_some(), "a ready list names live jobs");
    if let Some(job) = job
        && let State::Ready(mut links) = job.state()
    {
        change(&mut links);
        job.set_state(State::Ready(links));
    }
}
