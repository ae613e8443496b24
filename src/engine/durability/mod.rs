//! From a record to the store's word for it: committers, snapshots, repair, and the deadline of those who wait.

pub(crate) mod committer;
pub(crate) mod deadline;
mod repair;
pub(crate) mod snapshots;
