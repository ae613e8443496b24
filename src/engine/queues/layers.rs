//! What goes around a queue's handler: kept here, and understood by what runs jobs.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The layers of a queue, the innermost first. Its settings know nothing of what runs jobs, so a layer is anything here.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    row: Vec<Arc<dyn Any + Send + Sync>>,
    /// Whether the handler is one that they cannot go around.
    are_idle: bool,
}

impl Layers {
    #[cfg(feature = "tower")]
    pub(crate) fn push(&mut self, layer: Arc<dyn Any + Send + Sync>) {
        self.row.push(layer);
    }

    #[cfg(feature = "tower")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Any + Send + Sync>> {
        self.row.iter()
    }

    /// The handler of the queue is not async.
    pub(super) fn leave_idle(&mut self) {
        self.are_idle = !self.row.is_empty();
    }

    pub(super) fn are_idle(&self) -> bool {
        self.are_idle
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("count", &self.row.len()).finish_non_exhaustive()
    }
}
