//! The jobs of one queue that are due and wait to be taken, in the order in which they must be.
//!
//! One list a priority, lowest number first. A tick's jobs arrive in (due, sequence) order and ticks arrive in order,
//! so appending keeps each list sorted. The links lie in the jobs themselves: a cancel unlinks in O(1) and leaves
//! nothing behind, however long the queue stays paused.

use std::collections::BTreeMap;

use super::job::{Job, Links, Slot, State};
use super::{Priority, QueueName};
use crate::wheel::slab::Slab;

#[derive(Debug)]
pub(super) struct ReadyQueue {
    pub(super) name: QueueName,
    lists: BTreeMap<Priority, List>,
    len: usize,
    /// Whether the length has changed since it was last reported.
    pub(super) is_touched: bool,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: Slot,
    tail: Slot,
}

impl ReadyQueue {
    pub(super) fn new(name: QueueName) -> Self {
        ReadyQueue { name, lists: BTreeMap::new(), len: 0, is_touched: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first job in order.
    pub(super) fn first(&self) -> Option<u32> {
        self.lists.first_key_value().map(|(_, list)| list.head.number())
    }

    /// The first job of each priority. They became due no later than those behind them, to a tick.
    pub(super) fn heads(&self) -> impl Iterator<Item = u32> {
        self.lists.values().map(|list| list.head.number())
    }

    /// Appends the job in `slot` to the list of its priority and marks it ready.
    pub(super) fn push(&mut self, jobs: &mut Slab<Job>, slot: u32) {
        let Some(job) = jobs.at_mut(slot) else { return };
        let me = Slot::new(slot);
        let previous = match self.lists.get_mut(&job.priority) {
            Some(list) => Some(std::mem::replace(&mut list.tail, me)),
            None => {
                self.lists.insert(job.priority, List { head: me, tail: me });
                None
            }
        };
        job.state = State::Ready(Links { previous, next: None });
        if let Some(previous) = previous {
            relink(jobs, previous, |links| links.next = Some(me));
        }
        self.len += 1;
    }

    /// Takes the job in `slot`, whose links are given, out of the list of its priority.
    pub(super) fn unlink(&mut self, jobs: &mut Slab<Job>, priority: Priority, links: Links) {
        if let Some(previous) = links.previous {
            relink(jobs, previous, |of| of.next = links.next);
        }
        if let Some(next) = links.next {
            relink(jobs, next, |of| of.previous = links.previous);
        }
        match (links.previous, links.next) {
            (None, None) => {
                self.lists.remove(&priority);
            }
            (None, Some(next)) => self.edit(priority, |list| list.head = next),
            (Some(previous), None) => self.edit(priority, |list| list.tail = previous),
            (Some(_), Some(_)) => {}
        }
        self.len -= 1;
    }

    fn edit(&mut self, priority: Priority, change: impl FnOnce(&mut List)) {
        debug_assert!(self.lists.contains_key(&priority), "a ready job's priority has a list");
        if let Some(list) = self.lists.get_mut(&priority) {
            change(list);
        }
    }

    /// Walks every list both ways.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, jobs: &Slab<Job>) {
        let mut seen = 0;
        for (&priority, list) in &self.lists {
            let (mut previous, mut at) = (None, Some(list.head));
            while let Some(slot) = at {
                let job = jobs.at(slot.number()).expect("a ready list names live jobs");
                let State::Ready(links) = job.state else { panic!("{job:?} is in a ready list") };
                assert_eq!((links.previous, job.priority), (previous, priority));
                (previous, at) = (Some(slot), links.next);
                seen += 1;
            }
            assert_eq!(previous, Some(list.tail));
        }
        assert_eq!(seen, self.len);
    }
}

fn relink(jobs: &mut Slab<Job>, slot: Slot, change: impl FnOnce(&mut Links)) {
    let job = jobs.at_mut(slot.number());
    debug_assert!(job.is_some(), "a ready list names live jobs");
    if let Some(State::Ready(links)) = job.map(|job| &mut job.state) {
        change(links);
    }
}
