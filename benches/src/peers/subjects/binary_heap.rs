//! The standard library's heap, keyed by deadline, with lazy deletion: it cannot take out what is not at its top.
//!
//! A timer that is cancelled is marked and stays; one that is moved is put in again, and its old entry stays. An entry that
//! stands for nothing goes when it comes to the top, or when half of all entries are such: then the heap is built anew
//! without them, so that its memory follows the timers, as one would want of it in earnest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Subject;

#[derive(Default)]
pub(crate) struct Heap {
    /// Deadline, sequence, value.
    entries: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// By value: the sequence of the entry that counts; 0 for none.
    live: Vec<u64>,
    sequence: u64,
    dead: usize,
}

impl Heap {
    /// Entries below which it is not worth building anew.
    const FEW: usize = 1_024;

    fn is_live(live: &[u64], entry: &Reverse<(u64, u64, u32)>) -> bool {
        let Reverse((_, sequence, value)) = *entry;
        live[value as usize] == sequence
    }

    fn bury(&mut self) {
        self.dead += 1;
        if self.entries.len() > Self::FEW && self.dead > self.entries.len() / 2 {
            let live = &self.live;
            self.entries.retain(|entry| Self::is_live(live, entry));
            self.dead = 0;
        }
    }
}

impl Subject for Heap {
    const NAME: &'static str = "BinaryHeap";

    /// Sequence and value.
    type Handle = (u64, u32);

    fn with_capacity(capacity: usize) -> Self {
        Heap {
            entries: BinaryHeap::with_capacity(capacity),
            live: Vec::with_capacity(capacity),
            ..Heap::default()
        }
    }

    fn reserve(&mut self, more: usize) {
        self.entries.reserve(more);
        self.live.reserve(more);
    }

    fn insert(&mut self, deadline: u64, value: u32) -> Self::Handle {
        self.sequence += 1;
        let at = value as usize;
        if at >= self.live.len() {
            self.live.resize(at + 1, 0);
        }
        self.live[at] = self.sequence;
        self.entries.push(Reverse((deadline, self.sequence, value)));
        (self.sequence, value)
    }

    fn cancel(&mut self, (sequence, value): Self::Handle) -> bool {
        let live = &mut self.live[value as usize];
        let is_pending = *live == sequence;
        if is_pending {
            *live = 0;
            self.bury();
        }
        is_pending
    }

    fn reschedule(&mut self, (_, value): Self::Handle, deadline: u64) -> Self::Handle {
        let handle = self.insert(deadline, value);
        self.bury();
        handle
    }

    fn fire(&mut self, now: u64, mut on_fired: impl FnMut(u32)) {
        while let Some(&Reverse((deadline, sequence, value))) = self.entries.peek() {
            if deadline > now {
                break;
            }
            self.entries.pop();
            let live = &mut self.live[value as usize];
            if *live == sequence {
                *live = 0;
                on_fired(value);
            } else {
                self.dead -= 1;
            }
        }
    }
}
