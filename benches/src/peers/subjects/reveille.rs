//! This project's wheel.

use reveille::wheel::{TimerHandle, Wheel};

use super::{Change, Subject};

pub(crate) struct Reveille(Wheel<u32>);

impl Subject for Reveille {
    const NAME: &'static str = "reveille";

    type Handle = TimerHandle;

    fn with_capacity(_: usize) -> Self {
        Reveille(Wheel::new(0))
    }

    fn insert(&mut self, deadline: u64, value: u32) -> TimerHandle {
        self.0.insert(deadline, value)
    }

    fn cancel(&mut self, handle: TimerHandle) -> bool {
        self.0.cancel(handle).is_some()
    }

    fn reschedule(&mut self, handle: TimerHandle, deadline: u64) -> TimerHandle {
        assert!(self.0.reschedule(handle, deadline), "the timer is pending");
        handle
    }

    const HAS_MANY: bool = true;

    fn reschedule_many(&mut self, changes: &mut Vec<Change<TimerHandle>>, changed: &mut Vec<TimerHandle>) {
        let moved = self.0.reschedule_many(changes.iter().map(|timer| (timer.handle, timer.deadline)));
        assert_eq!(moved, changes.len(), "the timers are pending");
        changed.extend(changes.drain(..).map(|timer| timer.handle));
    }

    /// An insert waits for nothing that is far: there is nothing to fetch ahead.
    fn replace_many(&mut self, changes: &mut Vec<Change<TimerHandle>>, changed: &mut Vec<TimerHandle>) {
        let cancelled = self.0.cancel_many(changes.iter().map(|timer| timer.handle), drop);
        assert_eq!(cancelled, changes.len(), "the timers are pending");
        changed.extend(changes.drain(..).map(|timer| self.0.insert(timer.deadline, timer.value)));
    }

    fn fire(&mut self, now: u64, mut on_fired: impl FnMut(u32)) {
        let progress = self.0.advance(now, usize::MAX, |timer| on_fired(timer.value));
        assert!(progress.done, "the budget has no end");
    }
}
