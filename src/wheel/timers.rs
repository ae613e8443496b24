//! Time and the lists of timers, through entries that lie elsewhere: a wheel without its table.
//!
//! # Rules
//! - **Entries are the owner's**, in a [`Home`] that each call is given. Timers link and unlink them; they never put an entry
//!   there and never take one out.
//! - **Deadlines are passed in** where a timer comes, goes or moves. The home is asked for one only by `advance`, of timers that
//!   it moves to a lower level. So whoever changes what the home tells of an entry does so beside the call that moves it, before
//!   or after, and not while `advance` runs.
//! - **A timer handed out by `advance`** has been unlinked. Its entry stays where it is until the owner takes it away.
//!
//! All else is as the [module above](super) says.

use std::ops::RangeInclusive;

use super::Progress;
use super::home::{Classes, Home, Linked, Links};
use super::level::{Place, Time};
use super::slots::Slots;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Timers {
    time: Time,
    slots: Slots,
}

/// Where a timer would be put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    /// The slot that it would follow.
    pub(crate) slot: u32,
    place: Place,
}

/// A slot is half cascaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cascading;

/// A slot of a level that has timers, and the ticks that it stands for. To be read: see [`Timers::span`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    place: Place,
    first: u64,
    last: u64,
}

impl Span {
    /// No timer in it is of a later tick.
    pub(crate) fn last(self) -> u64 {
        self.last
    }
}

impl Timers {
    /// No timers yet, and the time is `now`.
    ///
    /// # Safety
    /// The caller promises, of all calls that will be made, that
    /// - they are given one and the same home, and each entry is on no other list then;
    /// - an entry stays in its slot as long as it is on a list: until [`remove`](Self::remove), [`unlink`](Self::unlink) or
    ///   [`clear`](Self::clear), or until `advance` hands it out;
    /// - while it is on a list, its links are as the lists have set them, and its home finds it.
    ///
    /// That must hold whatever unwinds. So it is best to keep the timers and their home private to one module.
    #[allow(unsafe_code, reason = "lists write to neighbours without looking: see `Home::known_mut`")]
    pub(crate) unsafe fn new(now: u64) -> Timers {
        Timers { time: Time { now, cascading: 0 }, slots: Slots::new() }
    }

    /// The time, in ticks: as far as [`advance`](Self::advance) has come.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.time.now
    }

    /// Timers pending.
    #[cfg(any(test, fuzzing))]
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes allocated, beside the home. O(levels).
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.slots.allocated_bytes()
    }

    /// The tick until which there is nothing to do; `None` if no timer is pending. O(levels).
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.time.cascading != 0 {
            return Some(self.time.now);
        }
        Some(self.slots.first()?.start(self.time.now))
    }

    /// The slot of the first timer, if it is on the lowest level; otherwise that of an early one. O(levels).
    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        self.slots.first().map(|place| self.slots.head(place))
    }

    /// Inserts a timer for the entry in `slot`, which is on no list. O(1).
    #[inline]
    pub(crate) fn insert<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64) {
        let tail = self.tail(deadline);
        let Some(node) = home.at_mut(slot) else {
            debug_assert!(false, "no entry in slot {slot}");
            return;
        };
        node.set_last(tail.slot);
        self.append(home, slot, deadline, tail);
    }

    /// Where a timer would be put. For an entry that is made with its links: after the slot of this, before none
    /// ([`NIL`](super::home::NIL)), not marked; then [`append`](Self::append) inserts it. No other call may come between.
    #[inline]
    pub(crate) fn tail(&self, deadline: u64) -> Tail {
        let place = self.time.place(deadline);
        Tail { slot: self.slots.tail(place), place }
    }

    /// Inserts a timer for the entry in `slot`, which has been made for this [`tail`](Self::tail). O(1).
    #[inline]
    pub(crate) fn append<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64, tail: Tail) {
        debug_assert_eq!(tail, self.tail(deadline), "no call comes between");
        self.slots.insert(home, slot, deadline, tail.place);
    }

    /// Removes the timer of the entry in `slot`, which stays in the home. O(1).
    #[inline]
    pub(crate) fn remove<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64) {
        let Some(links) = home.at(slot).map(Links::of) else {
            debug_assert!(false, "no entry in slot {slot}");
            return;
        };
        self.unlink(home, slot, deadline, links);
    }

    /// Like [`remove`](Self::remove), for an entry that has just left its home, and had these links when it left. O(1).
    #[inline]
    pub(crate) fn unlink<H: Home>(&mut self, home: &mut H, slot: u32, deadline: u64, links: Links) {
        self.slots.remove(home, slot, deadline, links, self.time);
        self.settle();
    }

    /// Gives the timer of the entry in `slot` another deadline, as if it were inserted anew. O(1).
    #[inline]
    pub(crate) fn relink<H: Home>(&mut self, home: &mut H, slot: u32, old: u64, deadline: u64) {
        let moved = self.relink_with(home, slot, deadline, |home| Some((home.at_mut(slot)?, old)));
        debug_assert!(moved, "no entry in slot {slot}");
    }

    /// Like [`relink`](Self::relink), where `find` finds the entry in `slot` and its old deadline. It may change the entry, but
    /// for its links. If it returns `None`, nothing happens, and the answer is `false`.
    #[inline(always)]
    pub(crate) fn relink_with<H: Home>(
        &mut self,
        home: &mut H,
        slot: u32,
        deadline: u64,
        find: impl FnOnce(&mut H) -> Option<(&mut H::Node, u64)>,
    ) -> bool {
        let moved = self.slots.relink(home, slot, deadline, self.time, find);
        self.settle();
        moved
    }

    /// Moves time on to `now` and hands every timer that falls due to `fire`, in order, by the slot of its entry. See
    /// [`Wheel::advance`](super::Wheel::advance).
    ///
    /// `fire` may change that entry, take it away, and put new ones in. If it panics, everything is in order: the timer that it
    /// was given has been unlinked, the others wait.
    #[inline]
    pub(crate) fn advance<H: Home>(
        &mut self,
        home: &mut H,
        now: u64,
        budget: usize,
        fire: impl FnMut(&mut H, u32),
    ) -> Progress {
        let take = |home: &mut H, slot| Some((slot, home.at(slot)?.next()));
        self.advance_with(home, now, budget, take, fire)
    }

    /// Like [`advance`](Self::advance), where `take` gives what is handed on for the entry in a slot, and the `next` of that
    /// entry, which it may take out of the home.
    #[inline]
    pub(crate) fn advance_with<H: Home, X>(
        &mut self,
        home: &mut H,
        now: u64,
        budget: usize,
        mut take: impl FnMut(&mut H, u32) -> Option<(X, u32)>,
        mut fire: impl FnMut(&mut H, X),
    ) -> Progress {
        let target = now.max(self.time.now);
        let mut progress = Progress { fired: 0, moved: 0, done: false };
        loop {
            if self.time.cascading != 0 {
                progress.moved +=
                    self.slots.cascade(home, budget - progress.fired - progress.moved, self.time);
                self.settle();
                if self.time.cascading != 0 {
                    return progress;
                }
            }
            // Nothing is half cascaded: so what is due is on level 0, and what is not yet is in a later slot.
            let left = budget - progress.fired - progress.moved;
            progress.fired += self.slots.pop(home, left, self.time, &mut take, &mut fire);
            let Some((place, start)) = self.next_slot().filter(|&(_, start)| start <= target) else {
                self.time.now = target;
                progress.done = true;
                return progress;
            };
            if progress.fired + progress.moved == budget {
                return progress;
            }
            self.time = Time { now: start, cascading: place.level() };
        }
    }

    /// Finds timers that fall due after the first of `ticks` and by the last, while time is not past the first. Changes nothing.
    ///
    /// It leaves out the classes that are `passed`, and adds to these the classes of the first tick, of what is not told apart from
    /// it yet, of a list of more than a few hundred timers, and of all that it has not looked at when no more looks are `left`. What
    /// it has found before of a class that is among them in the end is to be ignored. So what is found of any other is all of it.
    pub(crate) fn look_past<H: Home>(
        &self,
        home: &H,
        ticks: RangeInclusive<u64>,
        passed: &mut Classes,
        left: &mut usize,
        found: &mut Vec<u32>,
    ) {
        self.slots.look_past(home, self.time, ticks, passed, left, found);
    }

    /// The earliest slot with timers that reaches the tick `from`, and the first entry in it. Those of a tick that has passed are in the
    /// slot of the present one. All timers of an earlier slot are due before those of a later one. `Err` while a slot is half cascaded:
    /// its timers are in several then. O(levels).
    pub(crate) fn span(&self, from: u64) -> Result<Option<(Span, u32)>, Cascading> {
        if self.time.cascading != 0 {
            return Err(Cascading);
        }
        let now = self.time.now;
        Ok(self.slots.reaching(now, from).map(|place| {
            let span = Span { place, first: place.start(now), last: place.last(now) };
            (span, self.slots.head(place))
        }))
    }

    /// Whether a timer that was in this slot, and that nobody has touched, still is: time has not entered it.
    pub(crate) fn is_whole(&self, span: Span) -> bool {
        self.time.cascading == 0
            && self.time.now <= span.first
            && self.time.usual_place(span.first) == span.place
    }

    /// Has the processor fetch the neighbours of an entry, which was fetched before.
    #[inline]
    pub(crate) fn warm_neighbours<H: Home>(home: &H, slot: u32) {
        if let Some(node) = home.at(slot) {
            home.prefetch(node.prev());
            home.prefetch(node.next());
        }
    }

    /// Forgets all timers; their entries are on no list. Time stays. O(1) for what a wheel may hold.
    pub(crate) fn clear(&mut self) {
        self.time.cascading = 0;
        self.slots.clear();
    }

    /// The earliest slot that is occupied, and its first tick. Nothing may be half cascaded.
    #[inline]
    fn next_slot(&self) -> Option<(Place, u64)> {
        debug_assert_eq!(self.time.cascading, 0);
        let place = self.slots.first()?;
        Some((place, place.start(self.time.now)))
    }

    /// Ends a cascade that has nothing left to move: all has been moved, or the rest has been cancelled.
    #[inline]
    fn settle(&mut self) {
        if self.time.half_cascaded().is_some_and(|half| !self.slots.is_occupied(half)) {
            self.time.cascading = 0;
        }
    }

    /// Panics if an invariant is broken. O(timers).
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate<H: Home>(&self, home: &H) {
        let half = self.time.half_cascaded();
        assert!(half.is_none_or(|half| self.slots.is_occupied(half)), "a cascade with nothing left to move");
        self.slots.validate(home, |at, deadline| {
            let usual = self.time.usual_place(deadline);
            at == usual || (half == Some(at) && usual.level() < at.level())
        });
    }
}
