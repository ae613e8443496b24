//! How often jobs were released, for those who look which job comes first.

use parking_lot::{Mutex, MutexGuard};

use crate::partition::Now;
use crate::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// How often jobs were released. Odd while a tick is being released in several partitions.
///
/// Only the driver releases. Apart from its neighbours: it writes this at every release, and workers read it at every start.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Releases {
    count: AtomicU64,
    /// Held while the count is odd, for others to wait on. A thread that holds a partition never waits on it.
    gate: Mutex<()>,
    /// How many ticks the monotonic clock is ahead of the wall clock.
    apart: AtomicI64,
}

impl Releases {
    /// Notes that jobs were released.
    pub(crate) fn note(&self) {
        self.count.fetch_add(2, SeqCst);
    }

    /// Begins to release jobs in several partitions. No job begins until the returned guard is dropped.
    pub(crate) fn begin(&self) -> impl Drop + '_ {
        struct Open<'a>(
            &'a Releases,
            #[allow(dead_code, reason = "released when it is dropped")] MutexGuard<'a, ()>,
        );
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.count.fetch_add(1, SeqCst);
            }
        }
        let held = self.gate.lock();
        self.count.fetch_add(1, SeqCst);
        Open(self, held)
    }

    /// The count when no tick is half released. Waits until that is so.
    pub(crate) fn settled(&self) -> u64 {
        loop {
            let count = self.count();
            if count.is_multiple_of(2) {
                return count;
            }
            drop(self.gate.lock());
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    pub(crate) fn are_still(&self, count: u64) -> bool {
        self.count() == count
    }

    /// What ranks are compared by.
    pub(crate) fn apart(&self) -> i64 {
        self.apart.load(Relaxed)
    }

    /// Checks whether the clocks are still as many ticks apart as noted. The ticks of the two do not begin together, and the
    /// clocks are read one after the other, so a difference of one tick or two milliseconds does not count.
    pub(crate) fn note_clocks(&self, now: Now, tick_us: u64) {
        let wall = now.wall.as_micros().max(0) / i64::try_from(tick_us).unwrap_or(i64::MAX);
        let mono = i64::try_from(now.mono.as_micros() / tick_us).unwrap_or(i64::MAX);
        let (apart, noted) = (mono.saturating_sub(wall), self.apart());
        if apart.abs_diff(noted) > (2_000 / tick_us).max(1) {
            self.apart.store(apart, Relaxed);
        }
    }
}
