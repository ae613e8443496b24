//! The structures under test, behind one trait, so that each runs exactly the same operations.
//!
//! A tick is a millisecond. Each subject is used as someone who knows it well would use it: with room reserved where
//! it can be, and with the cheapest call for the purpose. What a subject lacks is made up for as its user would.

mod binary_heap;
mod btree_map;
pub(crate) mod check;
mod delay_queue;
mod hash_wheel;
mod nexus;
mod reveille;

pub(crate) use binary_heap::Heap;
pub(crate) use btree_map::BTree;
pub(crate) use delay_queue::Delays;
pub(crate) use hash_wheel::HashWheel;
pub(crate) use nexus::Nexus;
pub(crate) use reveille::Reveille;

/// Timers of `u32` values by deadline, beginning at tick 0.
///
/// No two pending timers have the same value, and no deadline has passed when it is given.
pub(crate) trait Subject {
    const NAME: &'static str;

    /// Names a pending timer. Not all of them can be copied.
    type Handle;

    /// Empty, at tick 0, with room for `capacity` timers if it can be reserved.
    fn with_capacity(capacity: usize) -> Self;

    /// Makes room for `more` timers, if that can be done ahead.
    fn reserve(&mut self, more: usize) {
        let _ = more;
    }

    fn insert(&mut self, deadline: u64, value: u32) -> Self::Handle;

    /// Cancels a pending timer. Returns whether it was one.
    fn cancel(&mut self, handle: Self::Handle) -> bool;

    /// Moves a pending timer.
    fn reschedule(&mut self, handle: Self::Handle, deadline: u64) -> Self::Handle;

    /// Whether it gains by [`Subject::come_next`].
    const IS_TOLD: bool = false;

    /// The timer `far` is changed some operations from now, and `near` in half as many: it has been `far` before. What they
    /// need can be fetched meanwhile.
    fn come_next(&mut self, far: Option<&Self::Handle>, near: Option<&Self::Handle>) {
        let _ = (far, near);
    }

    /// Gives up a handle; its timer may have fired or may still do so.
    fn release(&mut self, handle: Self::Handle) {
        let _ = handle;
    }

    /// Has the world's clock show `now`, for subjects that read one. Not timed: it stands for time that passes.
    fn set_clock(&mut self, now: u64) {
        let _ = now;
    }

    /// Fires what is due by `now`, tick by tick. The clock shows `now` already.
    fn fire(&mut self, now: u64, on_fired: impl FnMut(u32));
}
