//! The slot store: for each slot of each level, the timers in it in the order in which they wait.
//!
//! Here a slot is a doubly linked list through the entries of a [`Home`], the *nodes*: links are `u32` slots of the home, and
//! moving a node is a matter of a few links. The rest of the wheel does not know this: it speaks of places and order only,
//! so that another layout can be put behind the same interface. `ahead` helps with what lists are bad at: walking through one.
//!
//! A node does not say which list it is in. To take it out of the middle, nobody needs to know. At an end its deadline
//! and the time tell, except for the one slot that may be half cascaded. So a list that goes to one place as a whole, as
//! in a burst, moves by its ends, and none of its nodes is touched.
//!
//! To put a node at the tail, or to take one out, is to write to its neighbours, and never to read from them: a write to
//! memory that is far need not be waited for.
//!
//! Invariants, checked by `validate`:
//! - a node is in exactly one list, and the links of neighbours agree;
//! - the bit of a place is set if and only if its list has a node;
//! - a list is in the order in which its nodes were put into the place;
//! - `differing` of a list has every bit in which a deadline in it differs from `first_deadline`;
//! - `classes` of a list has the class of every node in it.

mod ahead;

use std::mem;
use std::ops::RangeInclusive;

use super::home::{Classes, Home, Linked, Links, NIL};
use super::level::{Occupancy, PLACES, Place, Time};
use ahead::{Marks, STRIDE, Scouts};

/// Nodes of a list that are looked at before their time.
const LOOK_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Slots {
    /// Boxed: 17 KiB that must not move with the wheel.
    lists: Box<[List; PLACES]>,
    occupancy: Occupancy,
    len: usize,
    /// Of each list.
    marks: Box<[Marks; PLACES]>,
    scouts: Scouts,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    /// The deadline with which the list began, whether or not its node is still there.
    first_deadline: u64,
    /// Bits in which deadlines may differ from that; all of them if one above the lowest 32 does.
    differing: u32,
    /// After how many more nodes one is marked.
    unmarked: u32,
    /// Of the nodes that were put in since it was empty.
    classes: Classes,
}

impl List {
    const EMPTY: List = List {
        head: NIL,
        tail: NIL,
        first_deadline: 0,
        differing: 0,
        unmarked: STRIDE,
        classes: Classes::NONE,
    };
}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots {
            lists: Box::new([List::EMPTY; PLACES]),
            occupancy: Occupancy::default(),
            len: 0,
            marks: Box::new([Marks::NONE; PLACES]),
            scouts: Scouts::HOME,
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        let marks: usize = self.marks.iter().map(Marks::allocated_bytes).sum();
        size_of_val(&*self.lists) + size_of_val(&*self.marks) + marks
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

    /// The earliest slot that reaches the tick `from`. Nothing may be half cascaded.
    pub(super) fn reaching(&self, now: u64, from: u64) -> Option<Place> {
        self.occupancy.reaching(now, from)
    }

    /// The node that a place hands out first; [`NIL`] if it has none.
    #[inline]
    pub(super) fn head(&self, place: Place) -> u32 {
        self.lists[place.index()].head
    }

    /// The node that a place hands out last; [`NIL`] if it has none.
    #[inline]
    pub(super) fn tail(&self, place: Place) -> u32 {
        self.lists[place.index()].tail
    }

    /// See [`Timers::look_past`](super::Timers::look_past).
    pub(super) fn look_past<H: Home>(
        &self,
        home: &H,
        time: Time,
        ticks: RangeInclusive<u64>,
        passed: &mut Classes,
        left: &mut usize,
        found: &mut Vec<u32>,
    ) {
        let (first, until) = ticks.into_inner();
        for place in self.occupancy.until(time.now, until) {
            let List { head, classes, .. } = self.lists[place.index()];
            let is_past = place.start(time.now) > first;
            let before = found.len();
            if is_past && (passed.contains(classes) || collect_due(home, head, until, *passed, left, found)) {
                continue;
            }
            found.truncate(before);
            passed.add(classes);
        }
    }

    /// Puts a node, which is linked to the tail of a place already, there.
    #[inline]
    pub(super) fn insert<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64, place: Place) {
        self.len += 1;
        let class = home.at(slot).map(H::class).unwrap_or_default();
        self.append(home, slot, deadline, class, place, true);
    }

    /// Takes out of its place a node that had these links.
    #[inline]
    pub(super) fn remove<H: Home>(
        &mut self,
        home: &mut H,
        slot: u32,
        deadline: u64,
        links: Links,
        time: Time,
    ) {
        self.len -= 1;
        self.unlink(home, slot, deadline, links, time);
    }

    /// Moves the node that `find` finds, with its old deadline, to the tail of the place of another deadline. False if it finds
    /// none.
    #[inline(always)]
    pub(super) fn relink<H: Home>(
        &mut self,
        home: &mut H,
        slot: u32,
        deadline: u64,
        time: Time,
        find: impl FnOnce(&mut H) -> Option<(&mut H::Node, u64)>,
    ) -> bool {
        let place = time.place(deadline);
        let Some((node, old)) = find(home) else { return false };
        let (links, class) = (Links::of(node), H::class(node));
        let tail = self.tail(place);
        // What the tail will be once this one has been taken out.
        node.set_last(if tail == slot { links.prev } else { tail });
        self.unlink(home, slot, old, links, time);
        self.append(home, slot, deadline, class, place, true);
        true
    }

    /// Takes nodes, at most `limit` and from the head on, out of the slot of the present tick, and hands `each` what `take` makes
    /// of them. Returns how many. Nothing may be half cascaded.
    #[inline]
    pub(super) fn pop<H: Home, X>(
        &mut self,
        home: &mut H,
        limit: usize,
        time: Time,
        take: &mut impl FnMut(&mut H, u32) -> Option<(X, u32)>,
        each: &mut impl FnMut(&mut H, X),
    ) -> usize {
        let place = Place::new(0, time.now);
        let head = self.head(place);
        if head == NIL {
            return 0;
        }
        let is_scouted = !self.marks[place.index()].is_empty();
        if is_scouted {
            self.scouts.set_out(home, time, &mut self.marks[place.index()]);
        }
        let mut rest = Rest { slots: self, home, place, head, popped: 0 };
        while rest.popped < limit {
            let Some((taken, next)) = take(rest.home, rest.head) else { break };
            // The fetches begin before the caller works on this one.
            if is_scouted {
                rest.slots.scouts.follow(rest.home, &mut rest.slots.marks[place.index()]);
            } else if next != rest.head.wrapping_add(1) {
                // A list that lies in memory in its own order is fetched ahead by the machine.
                rest.home.prefetch(next);
            }
            rest.head = next;
            rest.popped += 1;
            each(rest.home, taken);
        }
        rest.popped
    }

    /// Moves nodes, at most `limit` and from the head on, down from the half cascaded slot. Those that all go to one place
    /// move at once, and count as one. Returns how many.
    #[inline]
    pub(super) fn cascade<H: Home>(&mut self, home: &mut H, limit: usize, time: Time) -> usize {
        let Some(from) = time.half_cascaded() else { return 0 };
        let list = self.lists[from.index()];
        let Some(head) = home.at(list.head).filter(|_| limit > 0) else { return 0 };
        let to = time.usual_place(H::deadline(head, home.scale()));
        if !self.is_occupied(to) && (list.head == list.tail || to.contains_all(list.differing)) {
            self.move_list(from, to);
            1
        } else if self.marks[from.index()].is_empty() {
            self.walk::<false, H>(home, from, limit, time)
        } else {
            self.walk::<true, H>(home, from, limit, time)
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

    /// Moves nodes down one by one, with scouts ahead or without.
    fn walk<const SCOUTED: bool, H: Home>(
        &mut self,
        home: &mut H,
        from: Place,
        limit: usize,
        time: Time,
    ) -> usize {
        let (mut slot, scale) = (self.head(from), home.scale());
        if SCOUTED {
            self.scouts.set_out(home, time, &mut self.marks[from.index()]);
        }
        // What a short list is moved to will still be in the cache when it is moved again.
        let counts = !SCOUTED || self.scouts.is_far();
        let mut moved = 0;
        while moved < limit {
            let Some(node) = linked(home, slot) else { break };
            let (deadline, class, next) = (H::deadline(node, scale), H::class(node), node.next());
            let place = time.usual_place(deadline);
            debug_assert_ne!(place, from);
            node.set_last(self.tail(place));
            self.append(home, slot, deadline, class, place, counts);
            if SCOUTED {
                self.scouts.follow(home, &mut self.marks[from.index()]);
            }
            slot = next;
            moved += 1;
        }
        self.cut(home, from, slot);
        moved
    }

    /// Forgets every node.
    pub(super) fn clear(&mut self) {
        self.lists.fill(List::EMPTY);
        self.marks.fill(Marks::NONE);
        self.occupancy = Occupancy::default();
        self.len = 0;
    }

    /// Makes `slot` the tail of a list, but for the links of its own node. If it `counts`, it may be marked.
    #[inline]
    fn append<H: Home>(
        &mut self,
        home: &mut H,
        slot: u32,
        deadline: u64,
        class: Classes,
        place: Place,
        counts: bool,
    ) {
        let list = &mut self.lists[place.index()];
        list.classes.add(class);
        let tail = mem::replace(&mut list.tail, slot);
        match linked(home, tail) {
            Some(node) => {
                node.set_next(slot);
                let differing = list.first_deadline ^ deadline;
                list.differing |= u32::try_from(differing).unwrap_or(u32::MAX);
                // What lies in memory where its predecessor leads to anyway needs no mark.
                list.unmarked -= u32::from(counts & (slot != tail.wrapping_add(1)));
                if list.unmarked == 0 {
                    list.unmarked = self.marks[place.index()].add(slot, home, self.len);
                }
            }
            None => {
                (list.head, list.first_deadline) = (slot, deadline);
                self.occupancy.set(place);
            }
        }
    }

    /// Links the neighbours of a node with each other.
    #[inline]
    fn unlink<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64, links: Links, time: Time) {
        let Links { prev, next } = links;
        if let Some(node) = linked(home, next) {
            node.set_prev(prev);
        }
        if let Some(node) = linked(home, prev) {
            node.set_next(next);
        }
        if prev == NIL || next == NIL {
            self.unlink_end(slot, deadline, links, time);
        }
    }

    /// Gives the list that ends with `slot` another end.
    fn unlink_end(&mut self, slot: u32, deadline: u64, links: Links, time: Time) {
        let Links { prev, next } = links;
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
    fn cut<H: Home>(&mut self, home: &mut H, place: Place, slot: u32) {
        match home.at_mut(slot) {
            Some(node) => {
                node.set_prev(NIL);
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

/// Collects the nodes of a list that are due by `until`, but for those of some classes. Returns whether it got to the end of the
/// list, within [`LOOK_MAX`] nodes and as many as are `left`.
fn collect_due<H: Home>(
    home: &H,
    head: u32,
    until: u64,
    without: Classes,
    left: &mut usize,
    found: &mut Vec<u32>,
) -> bool {
    let (mut slot, scale) = (head, home.scale());
    for _ in 0..LOOK_MAX.min(*left) {
        let Some(node) = home.at(slot) else { break };
        *left -= 1;
        if H::deadline(node, scale) <= until && !without.contains(H::class(node)) {
            found.push(slot);
        }
        slot = node.next();
    }
    slot == NIL
}

/// The node that a link or the end of a list leads to; `None` for [`NIL`].
#[allow(unsafe_code, reason = "see `Home::known_mut`")]
#[inline]
fn linked<H: Home>(home: &mut H, slot: u32) -> Option<&mut H::Node> {
    // SAFETY: who made the timers has promised that nodes stay in the home, and their links as set, until they are unlinked. So
    // links and the ends of lists lead to nodes. No unwinding breaks this: code of others runs in `pop` alone, where `Rest` cuts
    // the list, and in `put` and `find` of `Timers`, before anything is changed.
    unsafe { home.known_mut(slot) }
}

/// What is left of a list while its nodes are popped. It repairs the list even if a caller's work panics.
struct Rest<'a, H: Home> {
    slots: &'a mut Slots,
    home: &'a mut H,
    place: Place,
    head: u32,
    popped: usize,
}

impl<H: Home> Drop for Rest<'_, H> {
    #[inline]
    fn drop(&mut self) {
        self.slots.len -= self.popped;
        self.slots.cut(self.home, self.place, self.head);
    }
}

#[cfg(any(test, fuzzing))]
impl Slots {
    /// Panics if an invariant is broken, or if a timer is in a place where `belongs` says its deadline does not.
    pub(super) fn validate<H: Home>(&self, home: &H, belongs: impl Fn(Place, u64) -> bool) {
        let mut linked = 0;
        for place in Place::all() {
            let List { head, tail, first_deadline, differing, classes, .. } = self.lists[place.index()];
            assert_eq!(self.occupancy.contains(place), head != NIL, "bit of {place:?}");
            let (mut prev, mut slot) = (NIL, head);
            while slot != NIL {
                let Some(node) = home.at(slot) else { panic!("{place:?} links to a node that is gone") };
                assert_eq!(node.prev(), prev, "links of {place:?} both ways");
                let deadline = H::deadline(node, home.scale());
                let differs = deadline ^ first_deadline;
                let noted = if differing == u32::MAX { u64::MAX } else { u64::from(differing) };
                assert_eq!(differs & !noted, 0, "bits that differ in {place:?}");
                assert!(belongs(place, deadline), "deadline {deadline} in {place:?}");
                assert!(classes.contains(H::class(node)), "class of a node in {place:?}");
                linked += 1;
                assert!(linked <= self.len(), "{place:?} runs in a circle");
                (prev, slot) = (slot, node.next());
            }
            assert!(head != NIL || self.marks[place.index()].is_none(), "marks of an empty list");
            assert_eq!(tail, prev, "tail of {place:?}");
        }
        assert_eq!(linked, self.len(), "every node is linked");
    }
}
