//! The jobs of one tick, gathered in slices and given back in (priority, due, sequence) order, in slices again.
//!
//! A tick may hold a million jobs, and no lock is held for as long as sorting them would take. As long as jobs come in order,
//! which is the common case, they grow into one run, and nothing is sorted. What comes out of order is sorted by slices, and
//! runs are merged as they are given back.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::job::State;
use super::table::{Job, JobMut};
use super::{JobId, Priority, Timestamp, Version};
use crate::wheel::Classes;

/// Entries of a buffer that is kept from one tick to the next.
const KEPT: usize = 1024;

/// A job of the tick, by what orders it. A tick may have a million of them, so it is small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    due: Timestamp,
    /// The priority, above the sequence.
    priority_and_sequence: u64,
    pub(super) slot: u32,
    /// When the job was collected. The entry is void if it has changed since.
    version: Version,
}

const SEQUENCE_BITS: u32 = 56;

impl Entry {
    #[inline]
    pub(super) fn new(slot: u32, job: &JobMut<'_>, due: Timestamp) -> Self {
        Entry::of(job.priority(), due, job.id(), slot, job.version())
    }

    #[inline]
    pub(super) fn of(priority: Priority, due: Timestamp, id: JobId, slot: u32, version: Version) -> Self {
        let priority_and_sequence = u64::from(priority.0) << SEQUENCE_BITS | id.sequence();
        Entry { due, priority_and_sequence, slot, version }
    }

    #[inline]
    fn priority(&self) -> Priority {
        Priority((self.priority_and_sequence >> SEQUENCE_BITS) as u8)
    }

    #[inline]
    fn sequence(&self) -> u64 {
        self.priority_and_sequence & ((1 << SEQUENCE_BITS) - 1)
    }

    /// Whether `job`, which lies in its slot, is the one that was collected, and has not changed since. A job that was moved
    /// may have been collected anew, for another place in the order.
    #[inline]
    pub(super) fn is_of(&self, job: &Job<'_>) -> bool {
        job.state() == State::Collected
            && job.version() == self.version
            && job.id().sequence() == self.sequence()
    }
}

impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |entry: &Entry| {
            let Entry { due, slot, version, .. } = *entry;
            (entry.priority(), due, entry.sequence(), slot, version)
        };
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Default)]
pub(super) struct TickBatch {
    /// The tick on each clock, and whether it has jobs that follow the wall.
    pub(super) wall_tick: u64,
    pub(super) mono_tick: u64,
    pub(super) has_wall: bool,
    /// Of the jobs that were gathered since the batch was empty.
    pub(super) classes: Classes,
    /// What the present slice has gathered since something came out of order, in the wheel's order.
    slice: Vec<Entry>,
    runs: Vec<VecDeque<Entry>>,
    /// A run's memory, kept for the next tick: most ticks have a job or two, and allocating would cost more than they do.
    spare: VecDeque<Entry>,
    /// The first entry of each run that has one, with the run's number. Built when the first entry is taken.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl TickBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.slice.is_empty() && self.runs.is_empty()
    }

    #[inline]
    pub(super) fn gather(&mut self, entry: Entry) {
        match self.runs.last_mut() {
            None => {
                let mut run = std::mem::take(&mut self.spare);
                run.push_back(entry);
                self.runs.push(run);
            }
            Some(run) if self.slice.is_empty() && run.back().is_some_and(|last| *last <= entry) => {
                run.push_back(entry);
            }
            Some(_) => self.slice.push(entry),
        }
    }

    /// Ends a slice: sorts what it gathered out of order. The cost is that of the slice, not of the batch.
    pub(super) fn end_slice(&mut self) {
        debug_assert!(self.heads.is_empty(), "a batch is gathered whole before it is taken");
        self.slice.sort_unstable();
        let Some(&first) = self.slice.first() else { return };
        match self.runs.last_mut() {
            Some(run) if run.back().is_some_and(|last| *last <= first) => run.extend(self.slice.drain(..)),
            _ if self.slice.len() <= KEPT => self.runs.push(self.slice.drain(..).collect()),
            _ => self.runs.push(std::mem::take(&mut self.slice).into()),
        }
    }

    /// How many entries there are, void ones included.
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(VecDeque::len).sum::<usize>() + self.heads.len()
    }

    /// The lowest priority that is left.
    pub(super) fn first_priority(&self) -> Option<Priority> {
        let fronts = self.runs.iter().filter_map(VecDeque::front);
        let heads = self.heads.peek().map(|Reverse((entry, _))| entry);
        fronts.chain(heads).map(Entry::priority).min()
    }

    /// The slot of the entry that will be taken `entries` after the first; `None` where that would have to be found out.
    #[inline]
    pub(super) fn ahead(&self, entries: usize) -> Option<u32> {
        match self.runs.as_slice() {
            [run] => run.get(entries).map(|entry| entry.slot),
            _ => None,
        }
    }

    /// Takes the first entry in order, if its priority is not above `up_to`. With the last one, the batch's memory is given
    /// back.
    pub(super) fn take_first(&mut self, up_to: Priority) -> Option<Entry> {
        if self.runs.len() <= 1 {
            let run = self.runs.first_mut()?;
            if run.front().is_some_and(|entry| entry.priority() > up_to) {
                return None;
            }
            let entry = run.pop_front();
            if run.is_empty() {
                self.give_back();
            }
            return entry;
        }
        if self.heads.is_empty() {
            let firsts = self.runs.iter_mut().enumerate();
            self.heads = firsts.filter_map(|(n, run)| Some(Reverse((run.pop_front()?, n)))).collect();
        }
        if self.heads.peek().is_some_and(|Reverse((entry, _))| entry.priority() > up_to) {
            return None;
        }
        let Reverse((entry, n)) = self.heads.pop()?;
        if let Some(next) = self.runs.get_mut(n).and_then(VecDeque::pop_front) {
            self.heads.push(Reverse((next, n)));
        }
        if self.heads.is_empty() {
            self.give_back();
        }
        Some(entry)
    }

    /// Keeps a small buffer for the next tick, and lets a large one go.
    fn give_back(&mut self) {
        (self.has_wall, self.classes) = (false, Classes::NONE);
        if let Some(run) = self.runs.pop().filter(|run| run.capacity() <= KEPT) {
            self.spare = run;
        }
        if self.runs.capacity() > KEPT {
            self.runs = Vec::new();
        }
        self.runs.clear();
        if self.heads.capacity() > KEPT {
            self.heads = BinaryHeap::new();
        }
        if self.slice.capacity() > KEPT {
            self.slice = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionId;

    fn entry(priority: u8, sequence: u64) -> Entry {
        let id = JobId::new(PartitionId(3), sequence);
        Entry::of(Priority(priority), Timestamp::from_micros(7), id, 0, Version::FIRST)
    }

    fn drain(batch: &mut TickBatch) -> Vec<Entry> {
        std::iter::from_fn(|| batch.take_first(Priority::LAST)).collect()
    }

    #[test]
    fn an_entry_is_small_and_goes_by_priority_due_and_sequence() {
        assert_eq!(size_of::<Entry>(), 24);
        let of = |priority, due_us, sequence| {
            let id = JobId::new(PartitionId(9), sequence);
            Entry::of(Priority(priority), Timestamp::from_micros(due_us), id, 4, Version(2))
        };
        let in_order = [
            of(0, 9, JobId::SEQUENCE_MAX),
            of(1, i64::MIN, 7),
            of(1, -1, 6),
            of(1, 3, 0),
            of(1, 3, 1),
            of(1, 4, 0),
            of(255, -9, 0),
        ];
        assert!(in_order.is_sorted_by(|a, b| a < b));
        let last = in_order[6];
        assert_eq!((last.priority(), last.sequence()), (Priority(255), 0));
        assert_eq!(in_order[0].sequence(), JobId::SEQUENCE_MAX);
    }

    #[test]
    fn slices_in_order_grow_into_one_run() {
        let mut batch = TickBatch::default();
        for n in 0..100 {
            batch.gather(entry(0, n));
            batch.end_slice();
        }
        assert_eq!(batch.runs.len(), 1);
        assert_eq!(drain(&mut batch), (0..100).map(|n| entry(0, n)).collect::<Vec<_>>());
        assert!(batch.is_empty());
    }

    #[test]
    fn small_ticks_use_the_same_memory_and_large_ones_give_theirs_back() {
        let mut batch = TickBatch::default();
        for n in 0..3 {
            batch.gather(entry(0, n));
            batch.end_slice();
            drain(&mut batch);
            assert!(batch.is_empty() && (1..=KEPT).contains(&batch.spare.capacity()));
        }
        for n in 0..10 * KEPT as u64 {
            batch.gather(entry((n % 3) as u8, n));
            if n % 500 == 0 {
                batch.end_slice();
            }
        }
        batch.end_slice();
        assert_eq!(drain(&mut batch).len(), 10 * KEPT);
        let kept = [batch.slice.capacity(), batch.spare.capacity(), batch.runs.capacity()];
        assert!(kept.iter().all(|&capacity| capacity <= KEPT), "{kept:?}");
    }

    #[test]
    fn slices_out_of_order_are_merged() {
        let mut batch = TickBatch::default();
        let mut all = Vec::new();
        for slice in 0..10u64 {
            for n in 0..50u64 {
                let priority = ((n * 7 + slice * 13) % 5) as u8;
                batch.gather(entry(priority, slice * 50 + n));
                all.push(entry(priority, slice * 50 + n));
            }
            batch.end_slice();
        }
        all.sort();
        assert_eq!(drain(&mut batch), all);
        assert!(batch.is_empty());
        batch.gather(entry(0, 1));
        batch.end_slice();
        assert_eq!(drain(&mut batch), [entry(0, 1)]);
    }
}
