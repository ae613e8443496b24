//! Where a simulator takes over the library's clocks, tasks and network: see `sim`.
//!
//! A simulator makes itself the thread's current one while it polls a task; the library then spawns, waits, reads the
//! time and connects through it. Nothing else changes: engine, store and scripts run as they are shipped.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Now;

/// A future of the simulator's.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A simulated process: its clocks, its tasks and its network.
pub trait Simulation: Debug + Send + Sync {
    /// What the process's clocks show.
    fn now(&self) -> Now;

    /// A unique name for an engine of the simulation.
    fn owner(&self) -> String;

    /// Spawns a task. Returns its number.
    fn spawn(&self, task: Boxed<()>) -> u64;

    /// Spawns a task that runs handlers: these may be blocked while the others go on. Returns its number.
    fn spawn_handler(&self, task: Boxed<()>) -> u64;

    /// Drops a task, unless it has ended.
    fn abort(&self, task: u64);

    /// Resolves when this much time has passed on the process's monotonic clock.
    fn sleep(&self, time: Duration) -> Boxed<()>;

    /// Resolves when a thread for blocking work has a turn, and once more when it is heard that the work is done; `None` if such
    /// work takes no time.
    fn blocking_turn(&self) -> Option<Boxed<()>> {
        None
    }

    /// Connects to the simulated Redis.
    fn connect(&self) -> Boxed<std::io::Result<Arc<dyn Line>>>;
}

/// A connection to the simulated Redis.
pub trait Line: Send + Sync {
    /// Sends `count` commands, packed as in the protocol, and resolves with as many answers.
    fn send(&self, packed: Vec<u8>, count: usize) -> Boxed<Result<Vec<redis::Value>, redis::RedisError>>;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
}

/// The simulation that runs on this thread.
pub(crate) fn current() -> Option<Arc<dyn Simulation>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` as a part of a simulated process.
pub fn within<T>(simulation: &Arc<dyn Simulation>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Arc<dyn Simulation>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Arc::clone(simulation))));
    work()
}
