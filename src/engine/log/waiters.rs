//! Commits that wait until a log is durable up to some record, in the order of that record.
//!
//! Each waits at one level, for all records below an `end`. What the store takes is a prefix of the log, so the commits that
//! are done are always the first of their level, and no others are woken. They are woken in groups, so that the lock over the
//! list is never held while a long row of tasks is scheduled.
//!
//! A commit that no longer waits gives back its place, so a dropped commit leaves nothing behind.
//!
//! A waker is the user's code. Waking may panic, and dropping a waker may drop a task with commits of its own, which come here
//! to give back their places. So neither happens under the lock: wakers that leave the rows are handed out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::store::Durability;

/// How many commits are woken between two holds of the lock.
pub(crate) const GROUP: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    levels: [BTreeMap<RowKey, Waker>; 3],
    next: u64,
}

/// A place in the row: the record waited for, and a unique number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct RowKey {
    end: u64,
    number: u64,
}

/// What a commit waits for, and its place in the row once it has one.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) end: u64,
    pub(crate) level: Durability,
    number: Option<u64>,
}

impl Ticket {
    pub(crate) fn new(end: u64, level: Durability) -> Self {
        Ticket { end, level, number: None }
    }

    /// Whether there may be a place to leave.
    pub(crate) fn is_placed(&self) -> bool {
        self.number.is_some()
    }
}

impl Waiters {
    /// Has `waker` woken when the wait of `ticket` is over. Returns the one that was to be woken in its stead.
    #[must_use = "it is dropped when the lock is released"]
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        let number = *ticket.number.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let place = RowKey { end: ticket.end, number };
        let row = &mut self.levels[row_of(ticket.level)];
        match row.entry(place) {
            Entry::Vacant(place) => {
                place.insert(waker.clone());
                None
            }
            Entry::Occupied(place) if place.get().will_wake(waker) => None,
            Entry::Occupied(mut place) => Some(place.insert(waker.clone())),
        }
    }

    /// Returns the waker of the place that is left.
    #[must_use = "it is dropped when the lock is released"]
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) -> Option<Waker> {
        let number = ticket.number.take()?;
        self.levels[row_of(ticket.level)].remove(&RowKey { end: ticket.end, number })
    }

    /// Takes a group of those who wait at `level` for records below `end`, or for fewer. Returns whether it was the last.
    pub(crate) fn take_below(&mut self, level: Durability, end: u64, group: &mut Vec<Waker>) -> bool {
        take(&mut self.levels[row_of(level)], end, GROUP, group)
    }

    /// Takes all of all levels at once: some may go on waiting, and must not be taken again and again.
    pub(crate) fn take_all_below(&mut self, end: u64, group: &mut Vec<Waker>) -> bool {
        self.levels.iter_mut().all(|row| take(row, end, usize::MAX, group))
    }
}

/// Wakes a group, all of it: a waker that panics robs no other of its call.
pub(crate) fn wake(group: &mut Vec<Waker>) {
    for waker in group.drain(..) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            if !panic.is::<&str>() && !panic.is::<String>() {
                // Some type of the user's, whose drop may panic in its turn.
                std::mem::forget(panic);
            }
            tracing::error!(
                "the waker of a task that waits for a commit panicked; that task may wait for ever"
            );
        }
    }
}

fn take(row: &mut BTreeMap<RowKey, Waker>, end: u64, most: usize, group: &mut Vec<Waker>) -> bool {
    while let Some(first) = row.first_entry()
        && first.key().end <= end
    {
        if group.len() >= most {
            return false;
        }
        group.push(first.remove());
    }
    true
}

/// No commit waits for [`Durability::Memory`].
fn row_of(level: Durability) -> usize {
    match level {
        Durability::Memory | Durability::Logged => 0,
        Durability::Fsync => 1,
        Durability::Replicated => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGGED: Durability = Durability::Logged;

    fn woken(waiters: &mut Waiters, level: Durability, end: u64) -> usize {
        let (mut group, mut woken) = (Vec::new(), 0);
        loop {
            let is_last = waiters.take_below(level, end, &mut group);
            woken += group.drain(..).count();
            if is_last {
                return woken;
            }
        }
    }

    #[test]
    fn only_those_whose_records_are_there_are_woken() {
        let mut waiters = Waiters::default();
        let mut tickets: Vec<_> = (0..1_000).rev().map(|end| Ticket::new(end / 2, LOGGED)).collect();
        let mut strict = Ticket::new(3, Durability::Fsync);
        for ticket in tickets.iter_mut().chain([&mut strict]) {
            assert!(waiters.wait(ticket, Waker::noop()).is_none());
            // Polled for no reason: still one place.
            assert!(waiters.wait(ticket, Waker::noop()).is_none());
        }
        assert_eq!(woken(&mut waiters, LOGGED, 99), 200);
        assert_eq!(woken(&mut waiters, LOGGED, 99), 0);
        assert_eq!(woken(&mut waiters, Durability::Fsync, 3), 1);
        for ticket in &mut tickets {
            drop(waiters.leave(ticket));
        }
        assert!(waiters.levels.iter().all(BTreeMap::is_empty));
    }

    #[test]
    fn a_row_is_woken_in_groups() {
        let mut waiters = Waiters::default();
        for end in 0..100 {
            assert!(waiters.wait(&mut Ticket::new(end, LOGGED), Waker::noop()).is_none());
        }
        let mut group = Vec::new();
        assert!(!waiters.take_below(LOGGED, 98, &mut group));
        assert_eq!(group.len(), GROUP);
        group.clear();
        assert!(waiters.take_below(LOGGED, 98, &mut group));
        assert_eq!((group.len(), waiters.levels[0].len()), (99 - GROUP, 1));
        assert!(waiters.take_all_below(99, &mut group));
        assert!(waiters.levels[0].is_empty());
    }
}
