//! The engine as its user holds it. What it can do is in the rooms above.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::life::Stage;
use super::shared::Shared;
use crate::partition::Timestamp;
use crate::sync::thread::JoinHandle;

/// Fires jobs on time. Cheap to clone; all clones are the same engine.
///
/// When the last clone is dropped the engine stops without waiting for anything, and logs how many jobs it leaves behind;
/// [`shutdown`](Self::shutdown) is the graceful way.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    /// `None` in the engine that a handler gets: a handler must not keep its engine from stopping.
    pub(crate) owner: Option<Arc<Owner>>,
}

/// Stops the engine when its last owner goes.
pub(crate) struct Owner {
    shared: Arc<Shared>,
    pub(crate) driver: Mutex<Option<JoinHandle<()>>>,
    /// Says what becomes of the jobs when it is dropped and was not shut down.
    tell_drop: fn(&Shared),
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Looked at first: once it stops, its tasks may come to their end at any moment.
        let has_ended = self.shared.life.is_abandoned();
        self.shared.stop();
        if !has_ended {
            (self.tell_drop)(&self.shared);
        }
        self.shared.life.reach(Stage::Dropped);
        if let Some(ownership) = &self.shared.ownership {
            ownership.claim.owner.leaves();
        }
    }
}

impl Engine {
    pub(crate) fn owning(
        shared: Arc<Shared>,
        driver: Option<JoinHandle<()>>,
        tell_drop: fn(&Shared),
    ) -> Self {
        let owner = Owner { shared: Arc::clone(&shared), driver: Mutex::new(driver), tell_drop };
        Engine { shared, owner: Some(Arc::new(owner)) }
    }

    pub(crate) fn borrowed(shared: Arc<Shared>) -> Self {
        Engine { shared, owner: None }
    }

    /// Whether this is the engine as a handler sees it.
    pub(crate) fn is_handler(&self) -> bool {
        self.owner.is_none()
    }

    /// The wall clock as this engine reads it. Compute the instants you schedule at from it: then they also fit a test's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now().wall
    }

    /// How many jobs are pending or with a handler. Takes no lock; exact while nothing changes, and zero only if there was a
    /// moment without a job. O(partitions).
    pub fn jobs(&self) -> usize {
        self.shared.jobs()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("jobs", &self.jobs()).finish_non_exhaustive()
    }
}
