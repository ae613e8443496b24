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

/// A pending timer by its handle, and its new deadline.
pub(crate) struct Change<H> {
    pub(crate) handle: H,
    pub(crate) value: u32,
    pub(crate) deadline: u64,
}

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

    /// Whether it has calls about many timers, which the two below make.
    const HAS_MANY: bool = false;

    /// Moves pending timers, in order. Takes the changes out and puts the handles into `changed`.
    fn reschedule_many(&mut self, changes: &mut Vec<Change<Self::Handle>>, changed: &mut Vec<Self::Handle>) {
        changed.extend(changes.drain(..).map(|timer| self.reschedule(timer.handle, timer.deadline)));
    }

    /// Cancels pending timers, and inserts one for each. Takes the changes out and puts the handles into `changed`.
    fn replace_many(&mut self, changes: &mut Vec<Change<Self::Handle>>, changed: &mut Vec<Self::Handle>) {
        for timer in changes.drain(..) {
            assert!(self.cancel(timer.handle), "{}: the timer is pending", Self::NAME);
            changed.push(self.insert(timer.deadline, timer.value));
        }
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
