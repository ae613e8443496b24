//! What an engine says of itself: figures, metrics, the report of its end.

pub(crate) mod meters;
#[cfg(feature = "_sim")]
mod observed;
mod report;
mod settled;
mod stats;

pub(crate) use meters::{EngineMeters, ErrorMeters, QueueMeters, Register, StoreMeters, seconds};
pub use report::ShutdownReport;
pub use stats::{Lateness, QueueStats, Stats, StoreStats};
