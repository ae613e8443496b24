//! The queues of an engine: who runs their jobs, and how many wait.

mod config;
mod layers;
mod meters;
mod outcome;
mod policy;
mod pool;
mod queue;
mod rate;
mod table;
mod told;
mod unhandled;

pub use config::{Misfire, QueueConfig};
pub(crate) use layers::Layers;
pub use outcome::{Drained, PauseOutcome, ResumeOutcome};
pub use policy::FailedAttempt;
pub(crate) use policy::Policy;
pub(crate) use pool::Pool;
pub(crate) use queue::{Queue, Runner};
pub use rate::Rate;
pub use table::QUEUES_MAX;
pub(crate) use table::Queues;
