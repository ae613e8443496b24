//! Jobs that came due while nobody was there to fire them, let go at a pace after a restart.
//!
//! An absence of an hour leaves an hour's jobs to be caught up with. Fired all at once they would run over whatever the
//! handlers call, so they can be held to so many a second. They wait here in the order in which they were due, off the
//! wheels: what comes due meanwhile is on time.
//!
//! # Rules
//! - One list, sorted once: by tick, then as everywhere by priority, due, sequence.
//! - A job leaves it for a ready list when the [`Pace`] allows and a budget is left; back to the wheel if its instant is
//!   ahead again, the wall clock having been set back; or when it is cancelled, moved or replaced. No job ever enters.
//! - An entry whose job has left stays behind, and is passed over: it costs budget, but no allowance. With the last job
//!   the list is given up, whatever entries are left.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::vec;

use super::job::{JobDue, State};
use super::pace::Pace;
#[cfg(any(test, fuzzing))]
use super::table::JobTable;
use super::{Came, JobId, MonoTime, Now, Partition, Priority, Rank, Timestamp};
use crate::slab::Index;

/// Entries of a piece of the list: memory comes back a piece at a time, and nothing is ever moved for it.
const PIECE: usize = 1024;

/// A job by its place in the order in which overdue jobs go.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    ticks_ago: Reverse<u64>,
    priority: Priority,
    due: Timestamp,
    id: JobId,
    index: Index,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Overdue {
    pieces: VecDeque<vec::IntoIter<Index>>,
    /// Jobs that are here: entries, less those left behind. Never zero.
    waiting: usize,
    /// `None` if somebody else sees to it: see [`Partition::hand_over_pace`].
    pace: Option<Pace>,
}

/// What comes first of the overdue jobs of a partition, for whoever holds several partitions to one order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OverdueHead {
    /// Nobody has looked yet, or the budget ran out.
    Unseen,
    First(Rank),
    /// There are none, and will be none.
    Gone,
}

/// The restart that a partition came from: which jobs it had, and when that was.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// The sequence after the last job that it had; 0 where there was no restart.
    next_sequence: u64,
    at: Now,
}

impl Restart {
    pub(super) fn new(next_sequence: u64, at: Now) -> Self {
        Restart { next_sequence, at }
    }

    /// Whether it found this job overdue. A job that was moved since is judged by where it was moved to.
    pub(super) fn was_overdue(&self, id: JobId, due: JobDue) -> bool {
        id.sequence() < self.next_sequence && due.is_reached(self.at)
    }
}

impl Overdue {
    /// How many jobs are here.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// When the next job may go.
    pub(super) fn next_release(&self) -> Option<MonoTime> {
        self.pace.as_ref().map(Pace::next)
    }

    fn first(&mut self) -> Option<Index> {
        while let Some(piece) = self.pieces.front() {
            if let Some(&index) = piece.as_slice().first() {
                return Some(index);
            }
            self.pieces.pop_front();
        }
        None
    }

    fn take_first(&mut self) -> Option<Index> {
        loop {
            if let Some(index) = self.pieces.front_mut()?.next() {
                return Some(index);
            }
            self.pieces.pop_front();
        }
    }

    /// Bytes held for entries.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<Index>()
    }

    /// Checks that every job which is here has one entry. Returns how many there are.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, jobs: &JobTable) -> usize {
        let is_here = |index: &&Index| jobs.get(**index).is_some_and(|job| job.state() == State::Overdue);
        let entries = self.pieces.iter().flat_map(|piece| piece.as_slice()).filter(is_here);
        let entries: std::collections::BTreeSet<&Index> = entries.collect();
        assert_eq!(entries.len(), self.waiting);
        assert!(self.waiting > 0, "an empty list is given up");
        self.waiting
    }
}

impl Partition {
    /// Takes jobs from where they wait, and holds them until `per_second_max` lets them go. Those whose tick has not come
    /// stay: they are due with the others of that tick.
    pub(super) fn hold_overdue(&mut self, jobs: &[Index], per_second_max: NonZeroU32, now: Now) {
        let tick_us = self.config.tick_us;
        let entry = |&index: &Index| {
            let job = self.jobs.get(index)?;
            let ticks_ago = Reverse(job.due().ticks_ago(now, tick_us)?);
            Some(Entry {
                ticks_ago,
                priority: job.priority(),
                due: job.due().as_told(now),
                id: job.id(),
                index,
            })
        };
        let mut entries: Vec<Entry> = jobs.iter().filter_map(entry).collect();
        entries.sort_unstable();
        let mut pieces = VecDeque::with_capacity(entries.len().div_ceil(PIECE));
        for piece in entries.chunks(PIECE) {
            let piece: Vec<Index> = piece.iter().map(|entry| entry.index).collect();
            for &index in &piece {
                self.unplace(index);
                if let Some(mut job) = self.jobs.get_mut(index) {
                    job.set_state(State::Overdue);
                }
            }
            pieces.push_back(piece.into_iter());
        }
        let (waiting, pace) = (entries.len(), Some(Pace::new(per_second_max, tick_us, now.mono)));
        self.overdue = (waiting > 0).then(|| Box::new(Overdue { pieces, waiting, pace }));
    }

    /// Moves to the ready lists what the pace allows. Returns whether nothing is left that may go now; if not, the
    /// budget ran out.
    pub(super) fn release_overdue(&mut self, now: Now, left: &mut usize) -> bool {
        while let Some(overdue) = &mut self.overdue
            && overdue.pace.as_mut().is_some_and(|pace| pace.allows(now.mono))
        {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            let first = overdue.take_first();
            debug_assert!(first.is_some(), "every job that waits here has an entry");
            match first {
                Some(first) => {
                    self.release_one(first, now);
                }
                None => self.overdue = None,
            }
        }
        true
    }

    /// Leaves the pace of the overdue jobs to the caller: from here on they go by
    /// [`release_overdue_while`](Self::release_overdue_while), and by nothing else.
    pub(crate) fn hand_over_pace(&mut self) {
        if let Some(overdue) = &mut self.overdue {
            overdue.pace = None;
        }
    }

    /// Moves to the ready lists overdue jobs in their order, at most `most` and as long as each `may_go` by its rank. What is
    /// looked at counts against the budget. Returns what comes first then, and how many have gone.
    pub(crate) fn release_overdue_while(
        &mut self,
        now: Now,
        most: u64,
        may_go: impl Fn(Rank) -> bool,
        left: &mut usize,
    ) -> (OverdueHead, u64) {
        let (tick_us, mut gone) = (self.config.tick_us, 0);
        while let Some(overdue) = &mut self.overdue {
            if *left == 0 {
                return (OverdueHead::Unseen, gone);
            }
            *left -= 1;
            let Some(first) = overdue.first() else {
                debug_assert!(false, "every job that waits here has an entry");
                self.overdue = None;
                break;
            };
            if let Some(job) = self.jobs.get(first).filter(|job| job.state() == State::Overdue) {
                let rank = job.rank(job.due().tick(tick_us), tick_us);
                if gone == most || !may_go(rank) {
                    return (OverdueHead::First(rank), gone);
                }
            }
            overdue.take_first();
            gone += u64::from(self.release_one(first, now));
        }
        (OverdueHead::Gone, gone)
    }

    /// Returns whether the job has become ready.
    fn release_one(&mut self, index: Index, now: Now) -> bool {
        let Some(job) = self.jobs.get(index).filter(|job| job.state() == State::Overdue) else {
            return false;
        };
        let (queue, is_due, tick) =
            (job.queue(), job.due().is_reached(now), job.due().tick(self.config.tick_us));
        if is_due && let Some(pace) = self.overdue.as_mut().and_then(|overdue| overdue.pace.as_mut()) {
            pace.spend();
        }
        self.unplace(index);
        if is_due {
            self.make_ready(index.slot, queue, Came::Overdue, tick);
        } else {
            self.place(index, now);
        }
        is_due
    }

    /// Counts a job out.
    pub(super) fn leave_overdue(&mut self) {
        if let Some(overdue) = &mut self.overdue {
            overdue.waiting -= 1;
            if overdue.waiting == 0 {
                self.overdue = None;
            }
        }
    }
}
