//! The system's clocks, and what a waiting thread can ask of the system.

#![allow(clippy::disallowed_methods, reason = "this is where clocks are read")]

use super::ORIGIN_US;
use crate::partition::{MonoTime, Now, Timestamp};

pub(super) fn now() -> Now {
    // The monotonic clock first: if this thread loses the processor between the two readings, a deadline of the wall clock
    // seems nearer than it is. The driver then wakes early and looks again, instead of late.
    let mono = mono();
    // Both truncated, not rounded up like a due time: an instant counts as reached once it has fully passed.
    Now { wall: wall(), mono }
}

#[cfg(target_os = "linux")]
fn wall() -> Timestamp {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Realtime);
    // A clock before 1970: no scheduled instant has been reached.
    let s = time.tv_sec.max(0);
    Timestamp::from_micros(s.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000))
}

#[cfg(not(target_os = "linux"))]
fn wall() -> Timestamp {
    let wall = match std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Timestamp::from_micros(wall)
}

#[cfg(target_os = "linux")]
pub(super) fn mono() -> MonoTime {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Boottime);
    let (s, ns) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    MonoTime::from_micros(ORIGIN_US + s * 1_000_000 + ns / 1_000)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn mono() -> MonoTime {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = ORIGIN.get_or_init(Instant::now).elapsed();
    MonoTime::from_micros(
        u64::try_from(since.as_micros()).map_or(u64::MAX, |us| us.saturating_add(ORIGIN_US)),
    )
}

/// Asks for wake-ups as exact as the system can make them. By default Linux may delay one by 50 µs to save power.
pub(super) fn sharpen_wake_ups() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN)) {
        tracing::warn!(%error, "the timer slack cannot be set; wake-ups may be 50 µs later than they could be");
    }
}

/// Binds this thread to `core`, or to the last core that the process may use.
pub(super) fn pin_to(core: Option<usize>) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let pinned = sched_getaffinity(None).and_then(|allowed| {
            let last = || (0..CpuSet::MAX_CPU).rev().find(|&core| allowed.is_set(core)).unwrap_or(0);
            let core = core.filter(|&core| core < CpuSet::MAX_CPU).unwrap_or_else(last);
            let mut set = CpuSet::new();
            set.set(core);
            sched_setaffinity(None, &set)
        });
        if let Err(error) = pinned {
            tracing::warn!(%error, ?core, "the driver cannot be pinned to a core; it goes on unpinned");
        }
    }
    #[cfg(not(target_os = "linux"))]
    tracing::warn!(?core, "pinning to a core is only done on Linux; the driver goes on unpinned");
}
