//! placeholder
#![deny(missing_docs)]

pub mod clock;
mod engine;
pub mod partition;
pub mod store;
pub mod testing;
pub mod wheel;

pub use clock::{Clock, Profile};
pub use engine::{
    BoxError, Builder, CallError, CancelError, Commit, Engine, Job, Lateness, Outcome, QUEUES_MAX, QueueConfig,
    QueueError, QueueStats, RescheduleError, Schedule, ScheduleError, ShutdownReport, StartError, Stats, Target, Task,
};
pub use partition::{
    CancelOutcome, Due, Handle, InvalidKey, JobId, JobView, KEY_BYTES_MAX, Key, LookupOutcome, OnConflict, PartitionId,
    Payload, Priority, Refusal, RescheduleOutcome, ScheduleOutcome, Timestamp, Version,
};
pub use store::Durability;
