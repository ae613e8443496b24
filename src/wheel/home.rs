//! Where the nodes of the lists lie.
//!
//! Timers need no memory of their own for what waits: a list runs through the entries of a table, its *home*, and an entry
//! needs two links, a bit, and a way to tell its deadline. A [`Wheel`](super::Wheel) is its own home; whoever has a table
//! already runs [`Timers`](super::Timers) through that. One table may be the home of several of them, as long as an entry
//! is on one list of one of them at a time.

use crate::slab::Slab;

/// No slot: what lies beyond the ends of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// A table whose entries can be on the lists of [`Timers`](super::Timers), by slot.
///
/// [`Timers::new`](super::Timers::new) says what the table and its owner promise.
pub(crate) trait Home {
    /// An entry.
    type Node: Linked;

    /// What it takes, beside an entry, to tell its tick.
    type Scale: Copy;

    /// The entry in a slot; `None` if there is none, as for [`NIL`]. Any number may be asked for.
    fn at(&self, slot: u32) -> Option<&Self::Node>;

    /// Like [`at`](Self::at), to change the entry.
    fn at_mut(&mut self, slot: u32) -> Option<&mut Self::Node>;

    /// Like [`at_mut`](Self::at_mut), where the caller knows the answer: `None` for [`NIL`], an entry otherwise. Need not look
    /// at the entry, since a caller who only writes should not wait for it.
    ///
    /// # Safety
    /// The slot must hold an entry, or be [`NIL`].
    #[allow(unsafe_code, reason = "to look first makes a reschedule among 10 million 1.2 times as long")]
    unsafe fn known_mut(&mut self, slot: u32) -> Option<&mut Self::Node>;

    /// Has the processor fetch the entry in a slot. Any number may be given.
    fn prefetch(&self, slot: u32);

    /// The same for all entries.
    fn scale(&self) -> Self::Scale;

    /// The tick of an entry that is on a list, as it was given when the entry was put there. For any other entry: any tick.
    fn deadline(node: &Self::Node, scale: Self::Scale) -> u64;

    /// The class of an entry, which stays what it is while the entry is on a list.
    fn class(node: &Self::Node) -> Classes;
}

/// A set of the classes that timers are of: 64 at most. A list knows which it has, so that one which has none of some classes need
/// not be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Classes(u64);

impl Classes {
    pub(crate) const NONE: Classes = Classes(0);
    pub(crate) const ALL: Classes = Classes(u64::MAX);

    /// The one of this number. Numbers that differ by a multiple of 64 have the same.
    #[inline]
    pub(crate) fn of(number: u16) -> Classes {
        Classes(1 << (number % 64))
    }

    #[inline]
    pub(crate) fn add(&mut self, others: Classes) {
        self.0 |= others.0;
    }

    /// Whether all `others` are in here.
    #[inline]
    pub(crate) fn contains(self, others: Classes) -> bool {
        others.0 & !self.0 == 0
    }
}

/// What the lists keep in an entry. It is theirs while the entry is on a list, and means nothing otherwise.
pub(crate) trait Linked {
    /// The slot before this one in its list.
    fn prev(&self) -> u32;

    /// The slot after this one in its list.
    fn next(&self) -> u32;

    /// Whether the entry is one of the few that are noted for their list.
    fn is_marked(&self) -> bool;

    fn set_prev(&mut self, slot: u32);

    fn set_next(&mut self, slot: u32);

    fn set_marked(&mut self, is_marked: bool);

    /// Makes the entry the last of its list, after `prev`, and not marked.
    #[inline]
    fn set_last(&mut self, prev: u32) {
        self.set_prev(prev);
        self.set_next(NIL);
        self.set_marked(false);
    }
}

/// Neighbours in a list, by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Links {
    /// Those of an entry.
    #[inline]
    pub(crate) fn of(node: &impl Linked) -> Links {
        Links { prev: node.prev(), next: node.next() }
    }
}

/// A timer of a [`Wheel`](super::Wheel).
#[derive(Debug)]
pub(super) struct Node<T> {
    pub(super) deadline: u64,
    pub(super) links: Links,
    pub(super) value: T,
    /// Also leaves room for the slab to say that there is no node.
    mark: Mark,
}

/// Whether a node is one of the marks of its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    No,
    Yes,
}

impl<T> Node<T> {
    /// One that is about to follow `prev`, the last of its list.
    #[inline]
    pub(super) fn new(deadline: u64, prev: u32, value: T) -> Node<T> {
        Node { deadline, links: Links { prev, next: NIL }, value, mark: Mark::No }
    }
}

impl<T> Linked for Node<T> {
    #[inline]
    fn prev(&self) -> u32 {
        self.links.prev
    }

    #[inline]
    fn next(&self) -> u32 {
        self.links.next
    }

    #[inline]
    fn is_marked(&self) -> bool {
        self.mark == Mark::Yes
    }

    #[inline]
    fn set_prev(&mut self, slot: u32) {
        self.links.prev = slot;
    }

    #[inline]
    fn set_next(&mut self, slot: u32) {
        self.links.next = slot;
    }

    #[inline]
    fn set_marked(&mut self, is_marked: bool) {
        self.mark = if is_marked { Mark::Yes } else { Mark::No };
    }
}

impl<T> Home for Slab<Node<T>> {
    type Node = Node<T>;
    type Scale = ();

    #[inline]
    fn at(&self, slot: u32) -> Option<&Node<T>> {
        self.at(slot)
    }

    #[inline]
    fn at_mut(&mut self, slot: u32) -> Option<&mut Node<T>> {
        self.at_mut(slot)
    }

    #[allow(unsafe_code, reason = "as said where it is declared")]
    #[inline]
    unsafe fn known_mut(&mut self, slot: u32) -> Option<&mut Node<T>> {
        // SAFETY: as promised by the caller. `NIL` is a slot of no slab.
        unsafe { self.known_mut(slot) }
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        self.prefetch(slot);
    }

    #[inline]
    fn scale(&self) {}

    #[inline]
    fn deadline(node: &Node<T>, (): ()) -> u64 {
        node.deadline
    }

    #[inline]
    fn class(_: &Node<T>) -> Classes {
        Classes::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::entry_bytes;

    /// A node with its generation, as the slab stores it: bytes a timer.
    #[test]
    fn a_timer_with_a_small_value_takes_32_bytes() {
        assert_eq!(entry_bytes::<Node<u32>>(), 32);
        assert_eq!(entry_bytes::<Node<u64>>(), 40);
        assert_eq!(size_of::<Node<u32>>(), size_of::<Option<Node<u32>>>());
    }
}
