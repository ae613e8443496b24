//! When a partition next has something to do, for those who do not hold it.

use crate::partition::{MonoTime, Timestamp, Wake};
use crate::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

/// A [`Wake`] as its partition's holder last published it: `i64::MAX` and `u64::MAX` for never.
#[derive(Debug)]
pub(crate) struct WakeHint {
    wall: AtomicI64,
    mono: AtomicU64,
}

impl WakeHint {
    /// For a partition that was not looked at yet: at once.
    pub(crate) fn new() -> Self {
        WakeHint { wall: AtomicI64::new(i64::MIN), mono: AtomicU64::new(0) }
    }

    pub(crate) fn read(&self) -> Wake {
        let (wall, mono) = (self.wall.load(SeqCst), self.mono.load(SeqCst));
        Wake {
            wall: (wall != i64::MAX).then_some(Timestamp::from_micros(wall)),
            mono: (mono != u64::MAX).then_some(MonoTime::from_micros(mono)),
        }
    }

    /// Returns whether it has changed. Under the partition's lock.
    #[inline]
    pub(crate) fn publish(&self, wake: Wake) -> bool {
        let wall = wake.wall.map_or(i64::MAX, Timestamp::as_micros);
        let mono = wake.mono.map_or(u64::MAX, MonoTime::as_micros);
        // Stores of this order are dear, and most calls change nothing.
        let (has_wall_changed, has_mono_changed) =
            (self.wall.load(SeqCst) != wall, self.mono.load(SeqCst) != mono);
        if has_wall_changed {
            self.wall.store(wall, SeqCst);
        }
        if has_mono_changed {
            self.mono.store(mono, SeqCst);
        }
        has_wall_changed || has_mono_changed
    }
}
