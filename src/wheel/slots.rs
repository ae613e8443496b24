//! The slot store: the timers, and for each slot of each level the order in which they wait.
//!
//! Here a slot is a doubly linked list through nodes in a [`Slab`]: links are `u32` slots of the slab, a node of a
//! small value takes 32 bytes, and moving one is a matter of a few links. The wheel does not know this: it speaks
//! of places, indices and order only, so that another layout can be put behind the same interface. `ahead` is about
//! what lists are bad at: going through one.
//!
//! Invariants, checked by `validate`:
//! - a node is in exactly one list, that of its own `place`, and the links of neighbours agree;
//! - the bit of a place is set if and only if its list has a node;
//! - a list is in the order in which its nodes were put into the place.

mod ahead;

use super::level::{Occupancy, PLACES, Place};
use super::slab::{Index, Slab};
use ahead::{Marks, STRIDE, Scouts};

/// The end of a list, and no node. The slab has no such slot, so looking it up finds nothing.
const NIL: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Slots<T> {
    nodes: Slab<Node<T>>,
    /// Boxed: 8 KiB that are not to be moved with the wheel.
    lists: Box<[List; PLACES]>,
    occupancy: Occupancy,
    /// Of each list.
    marks: Box<[Marks]>,
    scouts: Scouts,
}

#[derive(Debug)]
struct Node<T> {
    deadline: u64,
    prev: u32,
    next: u32,
    value: T,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct List {
    head: u32,
    tail: u32,
    /// After how many more nodes one is marked.
    unmarked: u32,
}

impl List {
    const EMPTY: List = List { head: NIL, tail: NIL, unmarked: STRIDE };
}

/// A timer that has left the store.
pub(super) struct Taken<T> {
    pub(super) index: Index,
    pub(super) deadline: u64,
    pub(super) value: T,
}

impl<T> Slots<T> {
    pub(super) const CAPACITY_MAX: usize = Slab::<Node<T>>::CAPACITY_MAX;

    pub(super) fn new() -> Slots<T> {
        Slots {
            nodes: Slab::new(),
            lists: Box::new([List::EMPTY; PLACES]),
            occupancy: Occupancy::default(),
            marks: vec![Marks::NONE; PLACES].into(),
            scouts: Scouts::HOME,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        let marks: usize = self.marks.iter().map(Marks::allocated_bytes).sum();
        self.nodes.allocated_bytes() + size_of_val(&*self.lists) + size_of_val(&*self.marks) + marks
    }

    #[inline]
    pub(super) fn get(&self, index: Index) -> Option<&T> {
        Some(&self.nodes.get(index)?.value)
    }

    #[inline]
    pub(super) fn deadline(&self, index: Index) -> Option<u64> {
        Some(self.nodes.get(index)?.deadline)
    }

    /// The first slot of the lowest level that has any.
    #[inline]
    pub(super) fn first(&self) -> Option<Place> {
        self.occupancy.first()
    }

    #[inline]
    pub(super) fn is_occupied(&self, place: Place) -> bool {
        self.occupancy.contains(place)
    }

    /// Puts a timer at the tail of a place. Gives the value back if there is no room for one more.
    #[inline]
    pub(super) fn insert(&mut self, place: Place, deadline: u64, value: T) -> Result<Index, T> {
        let prev = self.lists[place.index()].tail;
        match self.nodes.insert(Node { deadline, prev, next: NIL, value, place }) {
            Ok(index) => {
                self.append(index.slot, place);
                Ok(index)
            }
            Err(node) => Err(node.value),
        }
    }

    /// Takes a timer out of whichever place it is in.
    #[inline]
    pub(super) fn remove(&mut self, index: Index) -> Option<T> {
        let node = self.nodes.remove(index)?;
        self.unlink(node.place, node.prev, node.next);
        Some(node.value)
    }

    /// Moves a timer to the tail of a place. False if it is not there any more.
    #[inline]
    pub(super) fn relink(&mut self, index: Index, place: Place, deadline: u64) -> bool {
        let Some(&Node { place: old, prev, next, .. }) = self.nodes.get(index) else { return false };
        self.unlink(old, prev, next);
        let tail = self.append(index.slot, place);
        if let Some(node) = self.nodes.at_mut(index.slot) {
            (node.deadline, node.prev, node.next, node.place) = (deadline, tail, NIL, place);
        }
        true
    }

    /// Takes the timer at the head of a place.
    #[inline]
    pub(super) fn pop(&mut self, place: Place) -> Option<Taken<T>> {
        let (index, node) = self.nodes.take(self.lists[place.index()].head)?;
        // This writes to the next node, which the next call reads: its way from memory begins before the caller
        // gets to work on this one.
        self.unlink(place, NIL, node.next);
        Some(Taken { index, deadline: node.deadline, value: node.value })
    }

    /// Moves timers, at most `limit` and from the head on, from a place to the tails of the places that `to` names for
    /// their deadlines, which must be others. Returns how many.
    #[inline]
    pub(super) fn cascade(&mut self, from: Place, limit: usize, to: impl Fn(u64) -> Place) -> usize {
        let mut moved = 0;
        let mut slot = self.lists[from.index()].head;
        self.scouts.set_out(&self.nodes, from, &mut self.marks[from.index()]);
        while moved < limit {
            let Some(node) = self.nodes.at_mut(slot) else { break };
            let (place, next) = (to(node.deadline), node.next);
            debug_assert_ne!(place, from);
            (node.prev, node.next, node.place) = (self.lists[place.index()].tail, NIL, place);
            self.append(slot, place);
            // A list that lies in memory in its own order is fetched ahead by the machine.
            if next != slot + 1 {
                self.scouts.step(&self.nodes, from, &mut self.marks[from.index()]);
            }
            slot = next;
            moved += 1;
        }
        // The links of the moved are their own already; what is left to do is to cut the list in front of the rest.
        let list = &mut self.lists[from.index()];
        match self.nodes.at_mut(slot) {
            Some(node) => {
                node.prev = NIL;
                list.head = slot;
            }
            None => self.emptied(from),
        }
        moved
    }

    /// The value of the timer that a place hands out first.
    pub(super) fn head(&self, place: Place) -> Option<&T> {
        Some(&self.nodes.at(self.lists[place.index()].head)?.value)
    }

    /// Has the processor fetch a timer.
    pub(super) fn warm(&self, index: Index) {
        self.nodes.prefetch(index.slot);
    }

    /// Has it fetch the neighbours of a timer.
    pub(super) fn warm_neighbours(&self, index: Index) {
        if let Some(node) = self.nodes.at(index.slot) {
            self.nodes.prefetch(node.prev);
            self.nodes.prefetch(node.next);
        }
    }

    /// Drops every timer and gives the memory back.
    pub(super) fn clear(&mut self) {
        self.lists.fill(List::EMPTY);
        self.marks.fill(Marks::NONE);
        self.occupancy = Occupancy::default();
        self.nodes.clear();
    }

    /// Makes `slot` the tail of a list, but for the links of its own node. Returns the tail before it.
    #[inline]
    fn append(&mut self, slot: u32, place: Place) -> u32 {
        let list = &mut self.lists[place.index()];
        let tail = list.tail;
        list.tail = slot;
        list.unmarked -= 1;
        if list.unmarked == 0 {
            list.unmarked = self.marks[place.index()].add(slot);
        }
        match self.nodes.at_mut(tail) {
            Some(node) => node.next = slot,
            None => {
                list.head = slot;
                self.occupancy.set(place);
            }
        }
        tail
    }

    /// Links the neighbours of a node with each other.
    #[inline]
    fn unlink(&mut self, place: Place, prev: u32, next: u32) {
        let list = &mut self.lists[place.index()];
        match self.nodes.at_mut(next) {
            Some(node) => node.prev = prev,
            None => list.tail = prev,
        }
        match self.nodes.at_mut(prev) {
            Some(node) => node.next = next,
            None => list.head = next,
        }
        if list.head == NIL {
            self.emptied(place);
        }
    }

    #[inline]
    fn emptied(&mut self, place: Place) {
        self.occupancy.unset(place);
        self.lists[place.index()] = List::EMPTY;
        if self.marks[place.index()].allocated_bytes() != 0 {
            self.marks[place.index()] = Marks::NONE;
        }
    }
}

#[cfg(any(test, fuzzing))]
impl<T> Slots<T> {
    /// Panics if an invariant is broken, or if a timer is in a place where `belongs` says its deadline does not.
    pub(super) fn validate(&self, belongs: impl Fn(Place, u64) -> bool) {
        self.nodes.validate();
        let mut linked = 0;
        for place in Place::all() {
            let List { head, tail, .. } = self.lists[place.index()];
            assert_eq!(self.occupancy.contains(place), head != NIL, "bit of {place:?}");
            let (mut prev, mut slot) = (NIL, head);
            while slot != NIL {
                let Some(node) = self.nodes.at(slot) else {
                    panic!("{place:?} links to a node that is gone")
                };
                assert_eq!(node.prev, prev, "links of {place:?} both ways");
                assert_eq!(node.place, place, "the node's own place");
                assert!(belongs(place, node.deadline), "deadline {} in {place:?}", node.deadline);
                linked += 1;
                assert!(linked <= self.len(), "{place:?} runs in a circle");
                (prev, slot) = (slot, node.next);
            }
            assert!(
                head != NIL || self.marks[place.index()].allocated_bytes() == 0,
                "marks of an empty list"
            );
            assert_eq!(tail, prev, "tail of {place:?}");
        }
        assert_eq!(linked, self.len(), "every node is linked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with its generation, as the slab stores it: bytes a timer.
    #[test]
    fn a_timer_with_a_small_value_takes_32_bytes() {
        use crate::wheel::slab::entry_bytes;
        assert_eq!(entry_bytes::<Node<u32>>(), 32);
        assert_eq!(entry_bytes::<Node<u64>>(), 40);
        assert_eq!(size_of::<Node<u32>>(), size_of::<Option<Node<u32>>>());
    }
}
