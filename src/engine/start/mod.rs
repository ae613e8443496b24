//! Building and starting an engine, and restoring what its store holds.

mod builder;
mod durable;
mod restore;
mod startup;
mod told;

pub use builder::Builder;
pub use startup::{StartPhase, Startup};
pub use told::{RestoreProgress, Standby};
