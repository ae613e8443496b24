//! `tokio_util::time::DelayQueue`, which reads tokio's clock.
//!
//! The clock is that of a runtime whose time is paused, so that it moves when told and a day takes no day. The queue is
//! polled by hand with a waker that does nothing, which is the least that a task polling it would do.

use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::Subject;

pub(crate) struct Delays {
    queue: DelayQueue<u32>,
    start: Instant,
    now: u64,
}

/// The runtime with the paused clock. This thread, the one that benchmarks, is inside it from then on: to enter and
/// leave it around each call would cost as much as some of the calls.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let mut is_new = false;
    let runtime = RUNTIME.get_or_init(|| {
        is_new = true;
        let built = Builder::new_current_thread().enable_time().start_paused(true).build();
        built.expect("a runtime of one thread needs nothing that could be missing")
    });
    if is_new {
        std::mem::forget(runtime.enter());
    }
    runtime
}

impl Delays {
    fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(tick)
    }
}

impl Subject for Delays {
    const NAME: &'static str = "DelayQueue";

    type Handle = Key;

    fn with_capacity(capacity: usize) -> Self {
        runtime();
        Delays { queue: DelayQueue::with_capacity(capacity), start: Instant::now(), now: 0 }
    }

    fn reserve(&mut self, more: usize) {
        self.queue.reserve(more);
    }

    fn insert(&mut self, deadline: u64, value: u32) -> Key {
        self.queue.insert_at(value, self.instant(deadline))
    }

    fn cancel(&mut self, key: Key) -> bool {
        self.queue.try_remove(&key).is_some()
    }

    fn reschedule(&mut self, key: Key, deadline: u64) -> Key {
        self.queue.reset_at(&key, self.instant(deadline));
        key
    }

    fn set_clock(&mut self, now: u64) {
        let step = Duration::from_millis(now - self.now);
        runtime().block_on(tokio::time::advance(step));
        self.now = now;
    }

    /// However far the clock has jumped, the queue goes from one deadline to the next by itself.
    fn fire(&mut self, _: u64, mut on_fired: impl FnMut(u32)) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(expired)) = self.queue.poll_expired(&mut context) {
            on_fired(expired.into_inner());
        }
    }
}
