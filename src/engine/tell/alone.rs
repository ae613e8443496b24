//! One queue at work while all others stand, for as long as a test wants it.

use std::sync::Arc;

use crate::engine::error::QueueError;
use crate::engine::queues::Queue;
use crate::engine::state::{Engine, Shared};

/// Nothing of any queue starts, until one [`runs`](Self::run). Dropped, it leaves all queues as they were.
pub(crate) struct Alone {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    was_paused: bool,
}

impl Engine {
    /// Has nothing start, but for what [`Alone::run`] lets.
    ///
    /// # Errors
    /// When there is no such queue.
    pub(crate) fn alone(&self, queue: &str) -> Result<Alone, QueueError> {
        let unknown = || QueueError::Unknown { name: queue.to_owned() };
        let queue = Arc::clone(self.shared.queues.by_name(queue).ok_or_else(unknown)?);
        self.shared.queues.iter().for_each(|queue| queue.set_left_out(true));
        self.shared.starts_are_over();
        Ok(Alone { shared: Arc::clone(&self.shared), was_paused: queue.is_paused(), queue })
    }
}

impl Alone {
    /// Lets the jobs of the one queue start, also if it is paused.
    pub(crate) fn run(&self) {
        self.queue.lift_pause(true);
        self.queue.set_left_out(false);
        self.shared.start_again(&self.queue);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if self.was_paused {
            self.queue.lift_pause(false);
            // Its handlers may have said otherwise.
            self.shared.recall_pause(&self.queue);
        }
        for queue in self.shared.queues.iter() {
            queue.set_left_out(false);
            self.shared.start_again(queue);
        }
    }
}
