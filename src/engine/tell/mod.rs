//! What an engine says about itself: figures, metrics, the report of its end.

mod alone;
#[cfg(feature = "_sim")]
mod observed;
pub(crate) mod publish;
mod report;
mod settled;
mod stats;

#[cfg(feature = "_sim")]
pub use observed::PartitionState;
pub use report::ShutdownReport;
pub use stats::{Lateness, PoolStats, QueueStats, Stats, StoreStats};
