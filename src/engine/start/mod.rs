//! Building and starting an engine, and restoring what its store holds.

mod builder;
mod durable;
mod restore;
mod startup;

pub use builder::Builder;
pub use restore::RestoreProgress;
pub use startup::{Standby, StartPhase, Startup};
