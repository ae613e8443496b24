//! Bare ways of waiting, and the clocks to measure them.

use std::time::{Duration, SystemTime};

/// The wall clock, in nanoseconds since the epoch.
pub(super) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) use system::{cpu_time, now_ns, sharpen, sleep_until};

/// How long before its end a sleep is left to spin: more than a sleep is usually late, little enough to be affordable.
const SPIN: Duration = Duration::from_micros(100);

/// Sleeps until a little before `due_ns`, and spins through the rest.
pub(super) fn sleep_and_spin_until(due_ns: u64) {
    sleep_until(due_ns.saturating_sub(SPIN.as_nanos() as u64));
    while now_ns() < due_ns {
        std::hint::spin_loop();
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use rustix::thread::{clock_nanosleep_absolute, set_current_timer_slack};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    fn ns(time: Timespec) -> u64 {
        let (s, ns) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
        s * 1_000_000_000 + ns
    }

    /// The monotonic clock.
    pub(in super::super) fn now_ns() -> u64 {
        ns(clock_gettime(ClockId::Monotonic))
    }

    /// An absolute sleep of the operating system, and nothing else.
    pub(in super::super) fn sleep_until(due_ns: u64) {
        let (s, ns) = (due_ns / 1_000_000_000, due_ns % 1_000_000_000);
        let due = Timespec { tv_sec: i64::try_from(s).unwrap_or(i64::MAX), tv_nsec: ns as _ };
        // Signals end it early.
        while now_ns() < due_ns {
            let _ = clock_nanosleep_absolute(ClockId::Monotonic, &due);
        }
    }

    /// Has the system wake this thread as exactly as it can, like the engine's driver.
    pub(in super::super) fn sharpen() {
        let _ = set_current_timer_slack(Some(NonZeroU64::MIN));
    }

    /// The processor time of all threads of this process so far.
    pub(in super::super) fn cpu_time() -> Option<Duration> {
        Some(Duration::from_nanos(ns(clock_gettime(ClockId::ProcessCPUTime))))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    pub(in super::super) fn now_ns() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    pub(in super::super) fn sleep_until(due_ns: u64) {
        let mut now = now_ns();
        while now < due_ns {
            std::thread::sleep(Duration::from_nanos(due_ns - now));
            now = now_ns();
        }
    }

    pub(in super::super) fn sharpen() {}

    pub(in super::super) fn cpu_time() -> Option<Duration> {
        None
    }
}
