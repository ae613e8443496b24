//! The jobs of one tick, gathered in slices and given back in (priority, due, sequence) order, in slices again.
//!
//! A tick may hold a million jobs, and no lock is held for as long as sorting them would take. Each slice is sorted on
//! its own; slices that follow one another in order, which is the common case, grow together into one run, and other
//! runs are merged as they are given back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{JobId, Priority, Timestamp, Version};
use crate::slab::Index;

/// Entries of a buffer that is kept from one tick to the next.
const KEPT: usize = 1024;

/// A job of the tick, by what orders it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    pub(super) priority: Priority,
    pub(super) due: Timestamp,
    pub(super) id: JobId,
    pub(super) index: Index,
    /// When the job was collected. The entry is void if it has changed since.
    pub(super) version: Version,
}

#[derive(Debug, Default)]
pub(super) struct TickBatch {
    /// The tick on each clock, and whether it has jobs that follow the wall.
    pub(super) wall_tick: u64,
    pub(super) mono_tick: u64,
    pub(super) has_wall: bool,
    /// What the present slice has gathered, in the wheel's order.
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

    pub(super) fn gather(&mut self, entry: Entry) {
        self.slice.push(entry);
    }

    /// Ends a slice: sorts what it gathered. The cost is that of the slice, not of the batch.
    pub(super) fn end_slice(&mut self) {
        debug_assert!(self.heads.is_empty(), "a batch is gathered whole before it is taken");
        if !self.slice.is_sorted() {
            self.slice.sort_unstable();
        }
        let Some(&first) = self.slice.first() else { return };
        match self.runs.last_mut() {
            Some(run) if run.back().is_some_and(|last| *last <= first) => run.extend(self.slice.drain(..)),
            _ if self.slice.len() <= KEPT => {
                let mut run = std::mem::take(&mut self.spare);
                run.extend(self.slice.drain(..));
                self.runs.push(run);
            }
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
        fronts.chain(heads).map(|entry| entry.priority).min()
    }

    /// Takes the first entry in order, if its priority is not above `up_to`. With the last one, the batch's memory is given
    /// back.
    pub(super) fn take_first(&mut self, up_to: Priority) -> Option<Entry> {
        if self.runs.len() <= 1 {
            let run = self.runs.first_mut()?;
            if run.front().is_some_and(|entry| entry.priority > up_to) {
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
        if self.heads.peek().is_some_and(|Reverse((entry, _))| entry.priority > up_to) {
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
        self.has_wall = false;
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
        Entry {
            priority: Priority(priority),
            due: Timestamp::from_micros(7),
            id: JobId::new(PartitionId(0), sequence),
            index: Index { slot: 0, generation: 1 },
            version: Version::FIRST,
        }
    }

    fn drain(batch: &mut TickBatch) -> Vec<Entry> {
        std::iter::from_fn(|| batch.take_first(Priority::LAST)).collect()
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
