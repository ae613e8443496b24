//! The slot store: the timers, and for each slot of each level the order in which they wait.
//!
//! Here a slot is a doubly linked list through nodes in a [`Slab`]: links are `u32` slots of the slab, a node of a
//! small value takes 32 bytes, and moving one is a matter of a few links. The wheel does not know this: it speaks
//! of places, indices and order only, so that another layout can be put behind the same interface. `ahead` helps with
//! what lists are bad at: walking through one.
//!
//! A node does not say which list it is in. To take it out of the middle, nobody needs to know. At an end its deadline
//! and the time tell, except for the one slot that may be half cascaded. So a list that goes to one place as a whole, as
//! in a burst, moves by its ends, and none of its nodes is touched.
//!
//! Invariants, checked by `validate`:
//! - a node is in exactly one list, and the links of neighbours agree;
//! - the bit of a place is set if and only if its list has a node;
//! - a list is in the order in which its nodes were put into the place;
//! - `differing` of a list has every bit in which two deadlines in it differ.

mod ahead;

use std::mem;

use super::level::{Occupancy, PLACES, Place, Time};
use crate::slab::{Index, Slab};
use ahead::{Marks, STRIDE, Scouts};

/// The end of a list, and no node. The slab has no such slot, so looking it up finds nothing.
const NIL: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Slots<T> {
    nodes: Slab<Node<T>>,
    /// Boxed: 11 KiB that must not move with the wheel.
    lists: Box<[List; PLACES]>,
    occupancy: Occupancy,
    /// Of each list.
    marks: Box<[Marks; PLACES]>,
    scouts: Scouts,
}

#[derive(Debug)]
struct Node<T> {
    deadline: u64,
    prev: u32,
    next: u32,
    value: T,
    /// Also leaves room for the slab to say that there is no node.
    mark: Mark,
}

/// Whether a node is one of the marks of its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct List {
    head: u32,
    tail: u32,
    /// Bits in which deadlines may differ; all of them if one above the lowest 32 does.
    differing: u32,
    /// After how many more nodes one is marked.
    unmarked: u32,
}

impl List {
    const EMPTY: List = List { head: NIL, tail: NIL, differing: 0, unmarked: STRIDE };
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
            marks: Box::new([Marks::NONE; PLACES]),
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

    /// Puts a timer at the tail of a place. Gives the value back if there is no room.
    #[inline]
    pub(super) fn insert(&mut self, place: Place, deadline: u64, value: T) -> Result<Index, T> {
        let prev = self.lists[place.index()].tail;
        let node = Node { deadline, prev, next: NIL, value, mark: Mark::No };
        match self.nodes.insert(node) {
            Ok(index) => {
                self.append(index.slot, deadline, place, true);
                Ok(index)
            }
            Err(node) => Err(node.value),
        }
    }

    /// Takes a timer out of its place.
    #[inline]
    pub(super) fn remove(&mut self, index: Index, time: Time) -> Option<T> {
        let node = self.nodes.remove(index)?;
        self.unlink(index.slot, node.deadline, node.prev, node.next, time);
        Some(node.value)
    }

    /// Moves a timer to the tail of the place of another deadline. False if it is not there any more.
    #[inline]
    pub(super) fn relink(&mut self, index: Index, deadline: u64, time: Time) -> bool {
        let place = time.place(deadline);
        let Some(node) = self.nodes.get_mut(index) else { return false };
        let Node { deadline: old, prev, next, .. } = *node;
        let tail = self.lists[place.index()].tail;
        // What the tail will be once this one has been taken out.
        let tail = if tail == index.slot { prev } else { tail };
        (node.deadline, node.prev, node.next, node.mark) = (deadline, tail, NIL, Mark::No);
        self.unlink(index.slot, old, prev, next, time);
        self.append(index.slot, deadline, place, true);
        true
    }

    /// Takes timers, at most `limit` and from the head on, out of the slot of the present tick, and hands `each` on. Returns
    /// how many. Nothing may be half cascaded.
    #[inline]
    pub(super) fn pop(&mut self, limit: usize, time: Time, mut each: impl FnMut(Taken<T>)) -> usize {
        let place = Place::new(0, time.now);
        let head = self.lists[place.index()].head;
        if head == NIL {
            return 0;
        }
        let is_scouted = !self.marks[place.index()].is_empty();
        if is_scouted {
            self.scouts.set_out(&self.nodes, time, &mut self.marks[place.index()]);
        }
        let mut rest = Rest { slots: self, place, head };
        let mut popped = 0;
        while popped < limit {
            let Some((index, node)) = rest.slots.nodes.take(rest.head) else { break };
            // The fetches begin before the caller works on this one.
            if is_scouted {
                rest.slots.scouts.follow(&rest.slots.nodes, &mut rest.slots.marks[place.index()]);
            } else if node.next != rest.head.wrapping_add(1) {
                // A list that lies in memory in its own order is fetched ahead by the machine.
                rest.slots.nodes.prefetch(node.next);
            }
            rest.head = node.next;
            popped += 1;
            each(Taken { index, deadline: node.deadline, value: node.value });
        }
        popped
    }

    /// Moves timers, at most `limit` and from the head on, down from the half cascaded slot. Those that all go to one place
    /// move at once, and count as one. Returns how many.
    #[inline]
    pub(super) fn cascade(&mut self, limit: usize, time: Time) -> usize {
        let Some(from) = time.half_cascaded() else { return 0 };
        let list = self.lists[from.index()];
        let Some(head) = self.nodes.at(list.head).filter(|_| limit > 0) else { return 0 };
        let to = time.usual_place(head.deadline);
        if !self.is_occupied(to) && (list.head == list.tail || to.contains_all(list.differing)) {
            self.move_list(from, to);
            1
        } else if self.marks[from.index()].is_empty() {
            self.walk::<false>(from, limit, time)
        } else {
            self.walk::<true>(from, limit, time)
        }
    }

    /// Moves a whole list to a place that has none.
    fn move_list(&mut self, from: Place, to: Place) {
        self.lists[to.index()] = mem::replace(&mut self.lists[from.index()], List::EMPTY);
        if !self.marks[from.index()].is_none() {
            self.marks.swap(from.index(), to.index());
        }
        self.occupancy.unset(from);
        self.occupancy.set(to);
    }

    /// Moves timers down one by one, with scouts ahead or without.
    fn walk<const SCOUTED: bool>(&mut self, from: Place, limit: usize, time: Time) -> usize {
        let mut slot = self.lists[from.index()].head;
        if SCOUTED {
            self.scouts.set_out(&self.nodes, time, &mut self.marks[from.index()]);
        }
        // What a short list is moved to will still be in the cache when it is moved again.
        let counts = !SCOUTED || self.scouts.is_far();
        let mut moved = 0;
        while moved < limit {
            let Some(node) = linked(&mut self.nodes, slot) else { break };
            let (deadline, next) = (node.deadline, node.next);
            let place = time.usual_place(deadline);
            debug_assert_ne!(place, from);
            (node.prev, node.next, node.mark) = (self.lists[place.index()].tail, NIL, Mark::No);
            self.append(slot, deadline, place, counts);
            if SCOUTED {
                self.scouts.follow(&self.nodes, &mut self.marks[from.index()]);
            }
            slot = next;
            moved += 1;
        }
        self.cut(from, slot);
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

    /// Drops every timer and gives the memory back. The values go last: one of them may panic.
    pub(super) fn clear(&mut self) {
        self.lists.fill(List::EMPTY);
        self.marks.fill(Marks::NONE);
        self.occupancy = Occupancy::default();
        self.nodes.clear();
    }

    /// Makes `slot` the tail of a list, but for the links of its own node. If it `counts`, it may be marked.
    #[inline]
    fn append(&mut self, slot: u32, deadline: u64, place: Place, counts: bool) {
        let list = &mut self.lists[place.index()];
        let tail = mem::replace(&mut list.tail, slot);
        match linked(&mut self.nodes, tail) {
            Some(node) => {
                node.next = slot;
                let differing = node.deadline ^ deadline;
                list.differing |= u32::try_from(differing).unwrap_or(u32::MAX);
                // What lies in memory where its predecessor leads to anyway needs no mark.
                list.unmarked -= u32::from(counts & (slot != tail.wrapping_add(1)));
                if list.unmarked == 0 {
                    list.unmarked = self.marks[place.index()].add(slot, &mut self.nodes);
                }
            }
            None => {
                list.head = slot;
                self.occupancy.set(place);
            }
        }
    }

    /// Links the neighbours of a node with each other.
    #[inline]
    fn unlink(&mut self, slot: u32, deadline: u64, prev: u32, next: u32, time: Time) {
        if let Some(node) = linked(&mut self.nodes, next) {
            node.prev = prev;
        }
        if let Some(node) = linked(&mut self.nodes, prev) {
            node.next = next;
        }
        if prev == NIL || next == NIL {
            self.unlink_end(slot, deadline, prev, next, time);
        }
    }

    /// Gives the list that ends with `slot` another end.
    fn unlink_end(&mut self, slot: u32, deadline: u64, prev: u32, next: u32, time: Time) {
        let ends = |list: &List| if prev == NIL { list.head == slot } else { list.tail == slot };
        let mut place = time.usual_place(deadline);
        if let Some(half) = time.half_cascaded().filter(|_| !ends(&self.lists[place.index()])) {
            place = half;
        }
        let list = &mut self.lists[place.index()];
        debug_assert!(ends(list));
        if prev == NIL {
            list.head = next;
        }
        if next == NIL {
            list.tail = prev;
        }
        if list.head == NIL {
            self.emptied(place);
        }
    }

    /// Makes `slot` the head of a list whose nodes before it have left.
    #[inline]
    fn cut(&mut self, place: Place, slot: u32) {
        match self.nodes.at_mut(slot) {
            Some(node) => {
                node.prev = NIL;
                self.lists[place.index()].head = slot;
            }
            None => self.emptied(place),
        }
    }

    #[inline]
    fn emptied(&mut self, place: Place) {
        self.occupancy.unset(place);
        self.lists[place.index()] = List::EMPTY;
        if !self.marks[place.index()].is_none() {
            self.marks[place.index()] = Marks::NONE;
        }
    }
}

/// The node that a link or the end of a list leads to; `None` for [`NIL`].
#[allow(unsafe_code, reason = "to look first makes a reschedule among 10 million 1.2 times as long")]
#[inline]
fn linked<T>(nodes: &mut Slab<Node<T>>, slot: u32) -> Option<&mut Node<T>> {
    // SAFETY: a node is unlinked as it leaves, so links lead to nodes. `NIL` is a slot of no slab. No unwinding breaks this:
    // code of others runs in `pop` alone, where `Rest` cuts the list, and in the drop of values, which have left by then.
    unsafe { nodes.known_mut(slot) }
}

/// What is left of a list while its timers are popped. It repairs the list even if a caller's work panics.
struct Rest<'a, T> {
    slots: &'a mut Slots<T>,
    place: Place,
    head: u32,
}

impl<T> Drop for Rest<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.slots.cut(self.place, self.head);
    }
}

#[cfg(any(test, fuzzing))]
impl<T> Slots<T> {
    /// Panics if an invariant is broken, or if a timer is in a place where `belongs` says its deadline does not.
    pub(super) fn validate(&self, belongs: impl Fn(Place, u64) -> bool) {
        self.nodes.validate();
        let mut linked = 0;
        for place in Place::all() {
            let List { head, tail, differing, .. } = self.lists[place.index()];
            assert_eq!(self.occupancy.contains(place), head != NIL, "bit of {place:?}");
            let (mut prev, mut slot) = (NIL, head);
            let mut deadline = None;
            while slot != NIL {
                let Some(node) = self.nodes.at(slot) else {
                    panic!("{place:?} links to a node that is gone")
                };
                assert_eq!(node.prev, prev, "links of {place:?} both ways");
                let differs = node.deadline ^ deadline.replace(node.deadline).unwrap_or(node.deadline);
                let noted = if differing == u32::MAX { u64::MAX } else { u64::from(differing) };
                assert_eq!(differs & !noted, 0, "bits that differ in {place:?}");
                assert!(belongs(place, node.deadline), "deadline {} in {place:?}", node.deadline);
                linked += 1;
                assert!(linked <= self.len(), "{place:?} runs in a circle");
                (prev, slot) = (slot, node.next);
            }
            assert!(head != NIL || self.marks[place.index()].is_none(), "marks of an empty list");
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
        use crate::slab::entry_bytes;
        assert_eq!(entry_bytes::<Node<u32>>(), 32);
        assert_eq!(entry_bytes::<Node<u64>>(), 40);
        assert_eq!(size_of::<Node<u32>>(), size_of::<Option<Node<u32>>>());
    }
}
