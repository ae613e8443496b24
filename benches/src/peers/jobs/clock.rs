//! The clocks that calls are timed by.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Wall,
    /// The time that this thread has the processor: what others take of it does not count, what they leave of its caches
    /// does. On Linux only.
    Processor,
}

impl Clock {
    /// How long `run` takes.
    pub(super) fn time(self, run: impl FnOnce()) -> Duration {
        match self {
            Clock::Wall => {
                let start = Instant::now();
                run();
                start.elapsed()
            }
            Clock::Processor => {
                let start = processor();
                run();
                processor() - start
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn processor() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
fn processor() -> Duration {
    unreachable!("the arguments refuse it")
}
