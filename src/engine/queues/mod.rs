//! The queues of an engine: who runs their jobs, and how many wait.

mod queue;
mod unhandled;

pub use queue::{Misfire, QUEUES_MAX, QueueConfig};
pub(crate) use queue::{Queue, Queues, Runner};
