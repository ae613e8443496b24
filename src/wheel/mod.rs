//! A hierarchical timing wheel: timers by deadline, any of them moved or cancelled in O(1).
//!
//! After G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7. Time is a count of
//! ticks, a `u64` that the caller passes in; the wheel reads no clock, starts no thread and knows nothing of jobs. The
//! same calls give the same results.
//!
//! # Rules
//! - **Time** is [`Wheel::now`]. Only [`Wheel::advance`] moves it, and never back.
//! - **The effective tick** of a timer is the later of its deadline and the time when it was put in: a deadline that
//!   has passed means the current tick. A timer fires when time reaches its effective tick, never earlier.
//! - **Order**: by effective tick; within one, first in, first out. A reschedule counts as a new insert. This also holds
//!   for a timer that is inserted while its tick is half fired (it fires last in that tick), or while the slot it
//!   belongs to is half cascaded.
//! - **A handle** is good until its timer has fired or has been cancelled, then never again.
//! - **Work is bounded**: all calls but `advance` and `clear` take O(levels) at most; `advance` takes a budget.
//!
//! # How it works
//! There are eleven levels of 64 slots. The level of a timer is the highest base-64 digit in which its deadline and
//! `now` differ, so eleven levels reach every `u64`. When time enters a slot above level 0, the timers in it are
//! *cascaded*: moved down to the levels that they now belong to, all at once if that is one slot. One `u64` a level says
//! which slots are occupied, so the next slot is found in O(levels) and time steps over what is empty, however long it is.
//!
//! Invariants, checked by `validate`:
//! - each timer is in the slot that `place` names for its deadline now. So timers of one tick share a slot, which
//!   is a queue, and the order within a tick survives every cascade;
//! - while a cascade is stopped half-way, that slot counts as the place of its whole range: what comes to the range
//!   queues up behind what still waits. At most one slot is half cascaded, and time stands at its first tick;
//! - otherwise no slot above level 0 contains `now`, and no slot at all lies before it.

pub(crate) mod home;
mod level;
mod many;
mod slots;
mod timers;

#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod model;
#[cfg(test)]
mod tests;

use std::{fmt, mem};

use crate::slab::{Index, Slab};
use home::Node;
pub(crate) use home::{Classes, Home, Linked, NIL};
pub(crate) use timers::{Span, Timers};

/// Timers by deadline. See the [module's documentation](self) for the rules.
///
/// Deadlines and `now` are ticks; the caller decides what a tick is, and when the first one was.
///
/// ```
/// use reveille::wheel::Wheel;
///
/// let mut wheel = Wheel::new(1_000);
/// let tea = wheel.insert(1_300, "tea");
/// let egg = wheel.insert(1_200, "egg");
/// let cake = wheel.insert(9_000, "cake");
///
/// assert!(wheel.reschedule(egg, 1_400));
/// assert_eq!(wheel.cancel(cake), Some("cake"));
/// assert_eq!(wheel.cancel(cake), None); // the handle is stale
///
/// // Sleep to the next deadline, advance, and go on until nothing is left.
/// let mut fired = Vec::new();
/// while let Some(now) = wheel.next_deadline() {
///     let progress = wheel.advance(now, 100, |timer| fired.push((now, timer.value)));
///     assert!(progress.done);
/// }
/// assert_eq!(fired, [(1_300, "tea"), (1_400, "egg")]);
/// assert_eq!(wheel.get(tea), None);
/// ```
pub struct Wheel<T> {
    timers: Timers,
    /// Their home.
    nodes: Slab<Node<T>>,
}

/// Names a timer of a [`Wheel`] until it fires or is cancelled, and nothing afterwards.
///
/// Only the wheel that gave it out can tell: with another wheel it may name any timer or none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerHandle(Index);

/// A timer that has fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired<T> {
    /// The deadline as it was given. It may lie before the tick in which the timer fired.
    pub deadline: u64,
    /// The inserted value.
    pub value: T,
    /// The timer's handle, stale now.
    pub handle: TimerHandle,
}

/// What a call of [`Wheel::advance`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "unless `done`, due timers are still waiting"]
pub struct Progress {
    /// Timers fired.
    pub fired: usize,
    /// Moves to a lower level: of a timer, or of a slot's timers together.
    pub moved: usize,
    /// Whether time has reached the requested tick and nothing due is left. If not, the budget ran out.
    pub done: bool,
}

impl<T> Wheel<T> {
    /// Timers that can be pending at once: a little under 2<sup>32</sup>.
    pub const TIMERS_MAX: usize = Slab::<Node<T>>::CAPACITY_MAX;

    /// An empty wheel whose time is `now`.
    #[must_use]
    #[allow(unsafe_code, reason = "see `Timers::new`")]
    pub fn new(now: u64) -> Wheel<T> {
        // SAFETY: the timers never leave this wheel and get no other home than its nodes. A node leaves its slot in `cancel` and
        // `clear`, which tell the timers before they return or run code of others, and as `advance` hands it out.
        Wheel { timers: unsafe { Timers::new(now) }, nodes: Slab::new() }
    }

    /// The time, in ticks: as far as [`advance`](Self::advance) has come.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.timers.now()
    }

    /// Timers pending.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no timer is pending.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated, whether or not a timer is in them. O(timers / 1024).
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.nodes.allocated_bytes() + self.timers.allocated_bytes()
    }

    /// The value of a pending timer; `None` if the handle is stale. O(1).
    #[inline]
    #[must_use]
    pub fn get(&self, handle: TimerHandle) -> Option<&T> {
        Some(&self.nodes.get(handle.0)?.value)
    }

    /// The deadline of a pending timer, in ticks and as it was given; `None` if the handle is stale. O(1).
    #[inline]
    #[must_use]
    pub fn deadline(&self, handle: TimerHandle) -> Option<u64> {
        Some(self.nodes.get(handle.0)?.deadline)
    }

    /// The tick until which there is nothing to do; `None` if no timer is pending. O(levels).
    ///
    /// It is exact when the earliest timer is within the 64 ticks of the lowest level. Otherwise it is the first tick
    /// of the slot which that timer lies in, at which [`advance`](Self::advance) has timers to cascade. It is
    /// never later than the earliest effective tick, and later than `now` unless work is left for `now` itself, as
    /// after an `advance` whose budget ran out. So a driver that repeatedly sleeps to it and advances meets every timer at
    /// exactly its tick, and wakes at most ten times in vain for it.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next_deadline()
    }

    /// Inserts a timer that fires when time reaches `deadline`. If that has passed, the timer fires in the next
    /// [`advance`](Self::advance), to whichever tick. O(1).
    ///
    /// # Panics
    /// If there are [`TIMERS_MAX`](Self::TIMERS_MAX) already. That many take more than 128 GiB: bound the number of timers
    /// long before.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerHandle {
        let tail = self.timers.tail(deadline);
        let Ok(index) = self.nodes.insert(Node::new(deadline, tail.slot, value)) else { full() };
        self.timers.append(&mut self.nodes, index.slot, deadline, tail);
        TimerHandle(index)
    }

    /// Removes a timer before it fires. `None` if it has fired or was cancelled already. O(1).
    #[inline]
    pub fn cancel(&mut self, handle: TimerHandle) -> Option<T> {
        let Node { deadline, links, value, .. } = self.nodes.remove(handle.0)?;
        self.timers.unlink(&mut self.nodes, handle.0.slot, deadline, links);
        Some(value)
    }

    /// Gives a pending timer another deadline, as if it were inserted anew; the handle stays valid. `false`, and no effect,
    /// if it has fired or was cancelled. O(1).
    #[inline]
    pub fn reschedule(&mut self, handle: TimerHandle, deadline: u64) -> bool {
        self.timers.relink_with(&mut self.nodes, handle.0.slot, deadline, |nodes| {
            let node = nodes.get_mut(handle.0)?;
            let old = mem::replace(&mut node.deadline, deadline);
            Some((node, old))
        })
    }

    /// Moves time on to `now` and hands every timer that falls due to `fire`, in order.
    ///
    /// If `now` is before the wheel's own time, time stays, and what is due fires.
    ///
    /// Each timer fired and each timer moved to a lower level takes one from `budget`. If all timers of a slot move to one
    /// place, as those with one deadline do, they take one together. When the budget is spent, the call ends with
    /// `done == false`, half-way through a slot if it must: time then stands between the old one and `now`, and a later call
    /// goes on from there. A timer is moved at most ten times before it fires. A budget of 0 fires and moves nothing; it
    /// moves time if nothing lies in between, and says so. Stepping over empty slots takes O(levels) and no
    /// budget.
    ///
    /// If `fire` panics, the timer that it was given is gone and everything else is in order.
    pub fn advance(&mut self, now: u64, budget: usize, mut fire: impl FnMut(Fired<T>)) -> Progress {
        let take = |nodes: &mut Slab<Node<T>>, slot| {
            let (index, Node { deadline, links, value, .. }) = nodes.take(slot)?;
            Some((Fired { deadline, value, handle: TimerHandle(index) }, links.next))
        };
        self.timers.advance_with(&mut self.nodes, now, budget, take, |_, fired| fire(fired))
    }

    /// Drops all timers and gives their memory back; their handles are stale. Time stays. O(timers).
    ///
    /// If a value panics in its drop, the wheel is empty nevertheless, and the other values are dropped.
    pub fn clear(&mut self) {
        self.timers.clear();
        // The values go last: one of them may panic.
        self.nodes.clear();
    }

    /// Panics if an invariant is broken. O(timers).
    #[cfg(any(test, fuzzing))]
    pub fn validate(&self) {
        self.nodes.validate();
        self.timers.validate(&self.nodes);
        assert_eq!(self.timers.len(), self.nodes.len(), "every node is linked");
    }
}

/// Bytes of this process that are mapped for large tables, which the allocator does not know of.
#[doc(hidden)]
#[cfg(feature = "_bench")]
pub fn mapped_bytes() -> usize {
    crate::slab::mapped_bytes()
}

#[cold]
fn full() -> ! {
    panic!("a wheel holds no more than 2^32 timers")
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now())
            .field("len", &self.len())
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}
