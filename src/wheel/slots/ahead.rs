//! Going through a linked list fast: fetching ahead at several places of it at once.
//!
//! Walking a list waits for memory at every node, because only the node itself says where the next one is. So each slot
//! notes one in sixteen of the nodes that are put into it: its *marks*. While the list is walked, to cascade or to fire it, a
//! few *scouts* go ahead, each from one mark to the next. In turn each goes one node further and has the next node fetched, so
//! that it is in the cache when the walk gets there. At first they go faster, to be through with their parts in time. The
//! nodes that they are ahead of the walk are counted: their *lead*.
//!
//! A list that lies in memory in its own order does not need this, because the machine fetches it ahead by itself. Neither
//! does a wheel that fits into the nearer caches, or a node that was in a short list a moment ago. So a node that follows its
//! predecessor in memory does not count, and neither does one from a short list, and no mark is made while there are few
//! timers. If a list began then, the scouts skip its beginning, which is short.
//!
//! Marks and scouts are hints: no result depends on them. A node knows that it is a mark until it is moved; the slot is not
//! told, and a scout that finds another node, on another list or on none, goes to the next mark. A slot has some ten thousand marks at most; then it drops
//! every other one, and makes half as many from then on. All go when the slot runs empty.

use std::collections::VecDeque;

use super::{Home, Linked, NIL};
use crate::wheel::level::Time;

/// Nodes from one mark to the next, at first.
pub(super) const STRIDE: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 16 };

/// Marks of a slot: 256 KiB.
const MARKS_MAX: usize = if cfg!(any(test, fuzzing)) { 8 } else { 65_536 };

/// Timers in a wheel that fits into the nearer caches.
const FEW: usize = if cfg!(any(test, fuzzing)) { 16 } else { 32_768 };

/// Nodes in a list that is long: more than stay in the nearer caches until they are gone through again.
const FAR: u64 = if cfg!(any(test, fuzzing)) { 64 } else { 8_192 };

/// About as many requests as memory serves at once.
const SCOUTS: usize = 16;

/// How many strides a scout goes at most before it gives up on the next mark.
const PART: u32 = 4;

/// Extra steps for each node walked, until the scouts are as far ahead as they should be.
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
    pub(super) fn add<H: Home>(&mut self, slot: u32, home: &mut H, timers: usize) -> u32 {
        if timers <= FEW {
            return self.stride;
        }
        if let Some(node) = home.at_mut(slot) {
            node.set_marked(true);
        }
        if self.nodes.len() == MARKS_MAX {
            let mut is_kept = false;
            self.nodes.retain(|&slot| {
                is_kept = !is_kept;
                if let Some(node) = home.at_mut(slot).filter(|_| !is_kept) {
                    node.set_marked(false);
                }
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

/// The scouts that go ahead of a walk through a list.
#[derive(Debug)]
pub(super) struct Scouts {
    scouts: [Scout; SCOUTS],
    /// Whose turn is next.
    turn: usize,
    /// Nodes that they have visited and the walk has not.
    lead: i64,
    /// When, and at which level, they started.
    time: Time,
    /// Whether the list was long then.
    is_far: bool,
}

#[derive(Clone, Copy, Debug)]
struct Scout {
    /// The node that is being fetched.
    at: u32,
    /// How many more nodes to visit at most, if the next mark is gone.
    left: u32,
    /// Whether it has passed the mark.
    has_begun: bool,
}

impl Scouts {
    pub(super) const HOME: Scouts = Scouts {
        scouts: [Scout { at: NIL, left: 0, has_begun: false }; SCOUTS],
        turn: 0,
        lead: 0,
        time: Time { now: 0, cascading: 0 },
        is_far: false,
    };

    /// Whether the list for which they started was long.
    pub(super) fn is_far(&self) -> bool {
        self.is_far
    }

    /// Has each of them fetch a node, in the list whose walk begins now, or from here on.
    pub(super) fn set_out<H: Home>(&mut self, home: &H, time: Time, marks: &mut Marks) {
        if self.time != time {
            let is_far = marks.nodes.len() as u64 * u64::from(marks.stride) > FAR;
            *self = Scouts { time, is_far, ..Scouts::HOME };
        }
        for _ in 0..SCOUTS {
            self.step(home, marks);
        }
    }

    /// Has them keep ahead of the walk, which goes a node further.
    #[inline]
    pub(super) fn follow<H: Home>(&mut self, home: &H, marks: &mut Marks) {
        self.lead -= 1;
        self.step(home, marks);
        // They must be through with their parts when the walk gets to the first, or it overtakes them.
        if self.lead < SCOUTS as i64 * i64::from(marks.stride) && !marks.is_empty() {
            for _ in 0..HURRY {
                self.step(home, marks);
            }
        }
    }

    /// Has one of them go a node further.
    #[inline]
    fn step<H: Home>(&mut self, home: &H, marks: &mut Marks) {
        let scout = &mut self.scouts[self.turn % SCOUTS];
        self.turn += 1;
        // A mark may have left the list since, or have gone to another part of it. The next one is another scout's.
        let is_expected = |node: &H::Node| {
            scout.left > 0
                && node.is_marked() != scout.has_begun
                && self.time.is_cascading(H::deadline(node, home.scale()))
        };
        let node = home.at(scout.at).filter(|&node| is_expected(node));
        *scout = match node {
            Some(node) => {
                self.lead += 1;
                Scout { at: node.next(), left: scout.left - 1, has_begun: true }
            }
            None => {
                let at = marks.nodes.pop_front().unwrap_or(NIL);
                Scout { at, left: marks.stride.saturating_mul(PART), has_begun: false }
            }
        };
        home.prefetch(scout.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;
    use crate::wheel::home::Node;

    #[test]
    fn marks_are_few_however_long_the_list() {
        let mut nodes = Slab::new();
        for deadline in 0..=FEW as u64 {
            assert!(nodes.insert(Node::new(deadline, NIL, ())).is_ok());
        }
        let mut marks = Marks::NONE;
        let (mut next, mut made) = (0, Vec::new());
        for slot in 0..100_000 {
            if slot == next {
                next = slot + marks.add(slot, &mut nodes, FEW + 1);
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
