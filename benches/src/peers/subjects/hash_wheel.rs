//! `hierarchical_hash_wheel_timer`, its wheel that can cancel.
//!
//! It cancels by an id that the entry carries, through a hash map; the wheel's own entry stays until its tick comes.

use std::rc::Rc;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::cancellable::{CancellableTimerEntry, QuadWheelWithOverflow};

use super::Subject;

pub(crate) struct HashWheel {
    wheel: QuadWheelWithOverflow<Entry>,
    now: u64,
}

/// The value is the id, since no two pending timers have the same: the smallest entry there can be.
#[derive(Debug)]
struct Entry(u32);

impl CancellableTimerEntry for Entry {
    type Id = u32;

    fn id(&self) -> &u32 {
        &self.0
    }
}

impl Subject for HashWheel {
    const NAME: &'static str = "hash_wheel_timer";

    /// The id.
    type Handle = u32;

    fn with_capacity(_: usize) -> Self {
        HashWheel { wheel: QuadWheelWithOverflow::new(), now: 0 }
    }

    fn insert(&mut self, deadline: u64, value: u32) -> u32 {
        let delay = Duration::from_millis(deadline - self.now);
        let inserted = self.wheel.insert_ref_with_delay(Rc::new(Entry(value)), delay);
        inserted.expect("the deadline has not passed");
        value
    }

    fn cancel(&mut self, id: u32) -> bool {
        self.wheel.cancel(&id).is_ok()
    }

    /// It has no such call: out and in again. A new entry it must be, for the old one would fire at the old tick.
    fn reschedule(&mut self, id: u32, deadline: u64) -> u32 {
        assert!(self.cancel(id), "the timer is pending");
        self.insert(deadline, id)
    }

    /// As the crate's own simulation timer does it: skip what can be skipped, tick through the rest.
    fn fire(&mut self, now: u64, mut on_fired: impl FnMut(u32)) {
        while self.now < now {
            let left = u32::try_from(now - self.now).expect("a month and more is never skipped at once");
            match self.wheel.can_skip() {
                Skip::None => {
                    self.now += 1;
                    for entry in self.wheel.tick() {
                        on_fired(entry.0);
                    }
                }
                Skip::Empty => self.skip(left),
                Skip::Millis(ticks) => self.skip(ticks.min(left)),
            }
        }
    }
}

impl HashWheel {
    fn skip(&mut self, ticks: u32) {
        self.wheel.skip(ticks);
        self.now += u64::from(ticks);
    }
}
