//! Clocks and waiting: the only place that reads a clock.
//!
//! # Rules
//! - Everything else is handed a [`Now`], or asks the [`Clock`] that the engine was built with. `clippy.toml` bans the
//!   system's clocks everywhere; this module alone allows itself to read them.
//! - The wall clock may be set, and the machine may be suspended. Neither ends a sleep, so a thread that waits looks at the
//!   clocks again at least every `RECHECK` (100 ms).
//! - On Linux the monotonic clock (`CLOCK_BOOTTIME`) counts the time that the machine was suspended: fifteen minutes are
//!   fifteen minutes, also for a laptop that was closed. Elsewhere it is `Instant`, which may not count it.

mod lazy;
mod manual;
mod margin;
mod system;
mod waiter;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use lazy::LazyNow;
pub use manual::ManualClock;
pub(crate) use waiter::{Waiter, Waker};

use crate::partition::{MonoTime, Now};

/// How soon the engine notices that the wall clock was set, or the machine suspended, while nothing else happens.
pub(crate) const RECHECK: Duration = Duration::from_millis(100);

/// Where the monotonic clocks begin to count. Far from zero: a job that was due long before this process began has an
/// instant on the monotonic clock too, and overdue jobs keep their order and their lateness. A multiple of every
/// likely tick, so that on a manual clock a delay of whole ticks ends on a tick.
const ORIGIN_US: u64 = 3_600_000_000_000_000_000;

/// Where an engine gets the time from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The system's clocks.
    #[default]
    System,
    /// A clock that stands still until it is moved: for tests.
    Manual(Arc<ManualClock>),
    /// The clocks of a simulated process.
    #[cfg(feature = "_sim")]
    #[doc(hidden)]
    Simulated(Arc<dyn crate::seam::Simulation>),
}

/// A clock that the caller keeps, to move it.
impl From<Arc<ManualClock>> for Clock {
    fn from(clock: Arc<ManualClock>) -> Self {
        Clock::Manual(clock)
    }
}

impl Clock {
    /// What both clocks show.
    pub fn now(&self) -> Now {
        match self {
            Clock::System => system::now(),
            Clock::Manual(clock) => clock.now(),
            #[cfg(feature = "_sim")]
            Clock::Simulated(simulation) => simulation.now(),
        }
    }

    /// Whether this time passes by itself, for the store too.
    pub(crate) fn is_real(&self) -> bool {
        !matches!(self, Clock::Manual(_))
    }

    /// What the monotonic clock shows.
    pub(crate) fn mono(&self) -> MonoTime {
        match self {
            Clock::System => system::mono(),
            Clock::Manual(clock) => clock.now().mono,
            #[cfg(feature = "_sim")]
            Clock::Simulated(simulation) => simulation.now().mono,
        }
    }
}

/// How the driver waits for the next due time: what precision may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Profile {
    /// Sleep, and accept the operating system's lateness (50 to 100 µs is common). Takes almost no CPU time.
    Eco,
    /// Wake early by a margin that follows how late the system wakes this thread, then spin to the instant. Costs some
    /// tens of microseconds of CPU time per wake-up. The default on a machine with more than one core.
    Precise,
    /// A core of its own: the driver is pinned to it and spins through the last `spin` before each due time.
    Dedicated {
        /// The core to pin to; `None`: the last one that the process may use.
        core: Option<usize>,
        /// How long before a due time the spinning begins.
        spin: Duration,
    },
}

impl Profile {
    /// A dedicated core, the last one, spinning for two milliseconds.
    pub const DEDICATED: Profile = Profile::Dedicated { core: None, spin: Duration::from_millis(2) };
}

impl Default for Profile {
    fn default() -> Self {
        match std::thread::available_parallelism() {
            Ok(cores) if cores.get() > 1 => Profile::Precise,
            _ => Profile::Eco,
        }
    }
}
