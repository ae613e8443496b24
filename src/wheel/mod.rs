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

mod level;
mod slots;

#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod model;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::slab::Index;
use level::{Place, Time};
use slots::{Slots, Taken};

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
    time: Time,
    slots: Slots<T>,
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
    pub const TIMERS_MAX: usize = Slots::<T>::CAPACITY_MAX;

    /// An empty wheel whose time is `now`.
    #[must_use]
    pub fn new(now: u64) -> Wheel<T> {
        Wheel { time: Time { now, cascading: 0 }, slots: Slots::new() }
    }

    /// The time, in ticks: as far as [`advance`](Self::advance) has come.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.time.now
    }

    /// Timers pending.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
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
        self.slots.allocated_bytes()
    }

    /// The value of a pending timer; `None` if the handle is stale. O(1).
    #[inline]
    #[must_use]
    pub fn get(&self, handle: TimerHandle) -> Option<&T> {
        self.slots.get(handle.0)
    }

    /// The deadline of a pending timer, in ticks and as it was given; `None` if the handle is stale. O(1).
    #[inline]
    #[must_use]
    pub fn deadline(&self, handle: TimerHandle) -> Option<u64> {
        self.slots.deadline(handle.0)
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
        if self.time.cascading != 0 {
            return Some(self.time.now);
        }
        Some(self.slots.first()?.start(self.time.now))
    }

    /// Inserts a timer that fires when time reaches `deadline`. If that has passed, the timer fires in the next
    /// [`advance`](Self::advance), to whichever tick. O(1).
    ///
    /// # Panics
    /// If there are [`TIMERS_MAX`](Self::TIMERS_MAX) already. That many take more than 128 GiB: bound the number of timers
    /// long before.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerHandle {
        match self.slots.insert(self.time.place(deadline), deadline, value) {
            Ok(index) => TimerHandle(index),
            Err(_) => full(),
        }
    }

    /// Removes a timer before it fires. `None` if it has fired or was cancelled already. O(1).
    #[inline]
    pub fn cancel(&mut self, handle: TimerHandle) -> Option<T> {
        let value = self.slots.remove(handle.0, self.time)?;
        self.settle();
        Some(value)
    }

    /// Gives a pending timer another deadline, as if it were inserted anew; the handle stays valid. `false`, and no effect,
    /// if it has fired or was cancelled. O(1).
    #[inline]
    pub fn reschedule(&mut self, handle: TimerHandle, deadline: u64) -> bool {
        let moved = self.slots.relink(handle.0, deadline, self.time);
        self.settle();
        moved
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
        let target = now.max(self.time.now);
        let mut progress = Progress { fired: 0, moved: 0, done: false };
        loop {
            if self.time.cascading != 0 {
                progress.moved += self.slots.cascade(budget - progress.fired - progress.moved, self.time);
                self.settle();
                if self.time.cascading != 0 {
                    return progress;
                }
            }
            // Nothing is half cascaded: so what is due is on level 0, and what is not yet is in a later slot.
            let fired = self.slots.pop(budget - progress.fired - progress.moved, self.time, |taken| {
                let Taken { index, deadline, value } = taken;
                fire(Fired { deadline, value, handle: TimerHandle(index) });
            });
            progress.fired += fired;
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

    /// The value of the first timer, if it is on the lowest level; otherwise that of an early one. O(levels).
    pub(crate) fn next_value(&self) -> Option<&T> {
        self.slots.head(self.slots.first()?)
    }

    /// Has the processor fetch a timer that will be moved or cancelled soon.
    pub(crate) fn warm(&self, handle: TimerHandle) {
        self.slots.warm(handle.0);
    }

    /// Has the processor fetch what that will touch beside the timer, once the timer itself was fetched.
    pub(crate) fn warm_neighbours(&self, handle: TimerHandle) {
        self.slots.warm_neighbours(handle.0);
    }

    /// Drops all timers and gives their memory back; their handles are stale. Time stays. O(timers).
    ///
    /// If a value panics in its drop, the wheel is empty nevertheless, and the other values are dropped.
    pub fn clear(&mut self) {
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
    pub fn validate(&self) {
        let half = self.time.half_cascaded();
        assert!(half.is_none_or(|half| self.slots.is_occupied(half)), "a cascade with nothing left to move");
        self.slots.validate(|at, deadline| {
            let usual = self.time.usual_place(deadline);
            at == usual || (half == Some(at) && usual.level() < at.level())
        });
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
