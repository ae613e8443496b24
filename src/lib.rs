//! placeholder
#![deny(missing_docs)]

pub mod partition;
pub mod wheel;
