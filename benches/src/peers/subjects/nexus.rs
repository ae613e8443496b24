//! `nexus_timer::Wheel`, with a level more than its default so that it reaches over a day.

#![allow(
    clippy::disallowed_methods,
    reason = "its time is an `Instant`, and there is no other way to make one"
)]

use std::time::{Duration, Instant};

use nexus_timer::{TimerHandle, Wheel, WheelBuilder};

use super::Subject;

pub(crate) struct Nexus {
    wheel: Wheel<u32>,
    start: Instant,
    now: u64,
    fired: Vec<u32>,
}

/// It turns instants into ticks with a multiplication that comes out a little low, so that the very first instant of a
/// tick counts for the one before. The middle of the tick is always the right one.
const WITHIN_TICK: Duration = Duration::from_micros(500);

impl Nexus {
    fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(tick) + WITHIN_TICK
    }

    fn poll(&mut self, tick: u64, mut on_fired: impl FnMut(u32)) {
        self.now = tick;
        self.wheel.poll_and_rebalance(self.instant(tick), &mut self.fired);
        self.fired.drain(..).for_each(&mut on_fired);
    }
}

impl Subject for Nexus {
    const NAME: &'static str = "nexus-timer";

    type Handle = TimerHandle<u32>;

    /// To free an entry it goes through its chunks of memory one by one: at the 4,096 entries a chunk that its
    /// documentation shows, that is 5 µs with ten million pending. So few and large ones.
    fn with_capacity(capacity: usize) -> Self {
        let start = Instant::now();
        let chunk = (capacity / 16).max(4_096);
        let wheel = WheelBuilder::new().num_levels(8).unbounded(chunk).build(start);
        Nexus { wheel: wheel.expect("eight levels are allowed"), start, now: 0, fired: Vec::new() }
    }

    fn insert(&mut self, deadline: u64, value: u32) -> Self::Handle {
        self.wheel.schedule(self.instant(deadline), value)
    }

    fn cancel(&mut self, handle: Self::Handle) -> bool {
        self.wheel.cancel(handle).is_some()
    }

    fn reschedule(&mut self, handle: Self::Handle, deadline: u64) -> Self::Handle {
        self.wheel.reschedule(handle, self.instant(deadline))
    }

    /// A handle that is out keeps the timer's memory, even once the timer has fired.
    fn release(&mut self, handle: Self::Handle) {
        self.wheel.free(handle);
    }

    /// One poll fires whatever is due level by level, not tick by tick, so it is polled at each deadline on the way.
    /// It says when the next is; at times too early, even in the past.
    fn fire(&mut self, now: u64, mut on_fired: impl FnMut(u32)) {
        // From one tick to the next there is nothing on the way.
        while now - self.now > 1
            && let Some(next) = self.wheel.next_deadline()
        {
            let next = (next - self.start).as_millis() as u64;
            if next >= now {
                break;
            }
            self.poll(next.max(self.now), &mut on_fired);
        }
        self.poll(now, &mut on_fired);
    }
}
