//! What makes a cascade of linked lists fast: fetching ahead at several places of a list at once.
//!
//! To walk a list is to wait for memory at every node: where the next one is, only the last one says. So each slot
//! notes one in sixteen of the nodes that are put into it: these are its *marks*. While a cascade goes through the
//! list, a few *scouts* go ahead, each from another mark on, a node at a time in turn, and have the next node fetched.
//! When the cascade gets there, it is there.
//!
//! A list that lies in memory in its own order needs neither, as the machine fetches that ahead by itself; nor does a wheel
//! that fits into the caches. So nodes that follow their predecessor in memory do not count, and no mark is made while
//! timers are few. If they become many meanwhile, the scouts begin where the marks do, by no more than a few ahead.
//!
//! Marks and scouts are hints. They are not kept up when a timer leaves: a node that is no longer in the slot ends
//! the walk of whoever comes upon it, and no result depends on them. A slot has a few thousand at most: then every
//! other one is dropped, and from then on half as many are made. They go when the slot runs empty.

use std::collections::VecDeque;

use super::{NIL, Node};
use crate::wheel::level::Time;
use crate::wheel::slab::Slab;

/// Nodes from one mark to the next, at first.
pub(super) const STRIDE: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 16 };

/// Marks of a slot: 16 KiB.
const MARKS_MAX: usize = if cfg!(any(test, fuzzing)) { 8 } else { 4096 };

/// Timers in a wheel that fits into the caches.
const FEW: usize = if cfg!(any(test, fuzzing)) { 16 } else { 131_072 };

/// Nodes in a list that is long.
const FAR: u64 = if cfg!(any(test, fuzzing)) { 64 } else { 8_192 };

/// As many as memory can be asked for at once, more or less.
const SCOUTS: usize = 24;

/// Steps more for each node gone through, until the scouts are as far ahead as they should be.
const HURRY: u32 = 3;

/// Some nodes of a slot, in the order of its list.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    nodes: VecDeque<u32>,
    stride: u32,
}

impl Marks {
    pub(super) const NONE: Marks = Marks { nodes: VecDeque::new(), stride: STRIDE };

    /// Adds the last node of the list, unless timers are few. Returns after how many more the next is to be added.
    #[cold]
    pub(super) fn add(&mut self, slot: u32, timers: usize) -> u32 {
        if timers <= FEW {
            return self.stride;
        }
        if self.nodes.len() == MARKS_MAX {
            let mut is_kept = false;
            self.nodes.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride = self.stride.saturating_mul(2);
        }
        self.nodes.push_back(slot);
        self.stride
    }

    /// Whether none is left.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether none was ever made.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.nodes.capacity() == 0
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<u32>()
    }
}

/// Who goes ahead of whoever goes through a list.
#[derive(Debug)]
pub(super) struct Scouts {
    scouts: [Scout; SCOUTS],
    /// Whose turn it is.
    turn: usize,
    /// Steps made beyond one for each node that has been gone through.
    lead: u32,
    /// When, and at which level, they set out.
    time: Time,
    /// Whether the list was long then.
    is_far: bool,
}

#[derive(Clone, Copy, Debug)]
struct Scout {
    /// The node that is being fetched.
    at: u32,
    /// How many more to fetch before the next scout's part begins.
    left: u32,
}

impl Scouts {
    pub(super) const HOME: Scouts = Scouts {
        scouts: [Scout { at: NIL, left: 0 }; SCOUTS],
        turn: 0,
        lead: 0,
        time: Time { now: 0, cascading: 0 },
        is_far: false,
    };

    /// Whether the list that they have set out for was long.
    pub(super) fn is_far(&self) -> bool {
        self.is_far
    }

    /// Has each of them fetch something, in the list that is gone through from now on or from here on.
    pub(super) fn set_out<T>(&mut self, nodes: &Slab<Node<T>>, time: Time, marks: &mut Marks) {
        if self.time != time {
            let is_far = marks.nodes.len() as u64 * u64::from(marks.stride) > FAR;
            *self = Scouts { time, is_far, ..Scouts::HOME };
        }
        for _ in 0..SCOUTS {
            self.step(nodes, marks);
        }
    }

    /// Has them keep ahead of someone who goes a node further.
    #[inline]
    pub(super) fn follow<T>(&mut self, nodes: &Slab<Node<T>>, marks: &mut Marks) {
        self.step(nodes, marks);
        // They must be through with their parts when he comes to the first, or he will overtake them.
        if self.lead < SCOUTS as u32 * marks.stride {
            self.lead += HURRY;
            for _ in 0..HURRY {
                self.step(nodes, marks);
            }
        }
    }

    /// Has one of them go a node further.
    #[inline]
    fn step<T>(&mut self, nodes: &Slab<Node<T>>, marks: &mut Marks) {
        let scout = &mut self.scouts[self.turn % SCOUTS];
        self.turn += 1;
        let node = nodes.at(scout.at).filter(|node| scout.left > 0 && self.time.is_cascading(node.deadline));
        *scout = match node {
            Some(node) => {
                let is_marked_off = node.next != scout.at.wrapping_add(1);
                Scout { at: node.next, left: scout.left - u32::from(is_marked_off) }
            }
            None => Scout { at: marks.nodes.pop_front().unwrap_or(NIL), left: marks.stride },
        };
        nodes.prefetch(scout.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_however_long_the_list() {
        let mut marks = Marks::NONE;
        let (mut next, mut made) = (0, Vec::new());
        for slot in 0..100_000 {
            if slot == next {
                next = slot + marks.add(slot, FEW + 1);
                made.push(slot);
            }
            assert!(marks.nodes.len() <= MARKS_MAX);
        }
        assert!(made.len() < 200, "{} marks made", made.len());
        assert!(marks.nodes.len() >= MARKS_MAX / 2);
        assert!(marks.nodes.iter().is_sorted());
        let gaps = marks.nodes.iter().zip(marks.nodes.iter().skip(1)).map(|(a, b)| b - a);
        assert!(gaps.max() <= Some(2 * marks.stride), "they are spread over the whole list");
    }
}
