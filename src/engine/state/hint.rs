//! When a partition next has something to do, for those who do not hold it.

use crate::partition::Wake;
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
        Wake::from_words(self.wall.load(SeqCst), self.mono.load(SeqCst))
    }

    /// Returns whether that is news.
    pub(crate) fn publish(&self, wake: Wake) -> bool {
        let (wall, mono) = wake.to_words();
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
