//! The engine: the shell around the partitions. Threads, locks, the runtime, waiting, and dispatch to handlers.
//!
//! ```text
//!  callers ──────────┐ schedule, reschedule, cancel        ┌── workers (tasks)  start, handler, finish
//!                    ▼                                     ▼
//!            partitions, each behind its lock  (shared: the one way in)
//!                    ▲                                     │ records
//!  driver (thread) ──┘ sleep to the next due, advance      └─> committers, keeper (on a thread, with a runtime of
//!                                                              its own) ──> store
//! ```
//!
//! # Rules
//! - Rooms know rooms of lower floors only; `tests/architecture.rs` has the floors, and sees to it.
//! - Callers run the state machine themselves, on their own thread, for some hundred nanoseconds under a partition's lock.
//! - The driver alone moves jobs from pending to due. A caller who schedules something earlier than the driver sleeps for
//!   wakes it; `clock::Waiter` explains why no wake-up is lost.
//! - Whether a job is cancelled or fired is decided when a worker starts it, under the partition's lock.
//! - Only handlers run on the user's runtime: nothing of the engine waits for it. See `rt` and `state::runtime`.
//! - Overload makes jobs late. It drops none, and it makes no buffer grow without a bound.

mod calls;
mod durability;
mod error;
#[cfg(all(test, any(reveille_loom, reveille_shuttle)))]
mod interleavings;
mod log;
mod meters;
mod ownership;
mod queues;
mod run;
mod start;
mod state;
mod tell;
#[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
mod tests;

pub use calls::{
    ChangeOutcome, Chunk, ChunkError, Chunks, Commit, InvalidCursor, JobCount, JobPage, ListCursor,
    ListError, Merge, NotAllCancelled, NotAllRescheduled, NotAllScheduled, NotApplied, Outcomes, Planned,
    Purged, Revived, Schedule, TRANSACTION_BYTES_MAX, TRANSACTION_CHANGES_MAX, Tagged, TaggedJob, Target,
    Transaction, TransactionOutcome,
};
pub use error::{
    CallError, CancelError, Change, EditError, PauseError, PauseJobError, PoolError, PurgeError, QueueError,
    RescheduleError, ReviveError, ScheduleError, StartError, TransactionError,
};
pub use ownership::StoreState;
pub use queues::{
    Drained, FailedAttempt, Misfire, PauseOutcome, QUEUES_MAX, QueueConfig, Rate, ResumeOutcome,
};
#[cfg(feature = "tower")]
pub use run::JobService;
pub use run::{BoxError, ContextTask, FencingToken, IntoJobResult, Job, JobResult, Task};
pub use start::{Builder, RestoreProgress, Standby, StartPhase, Startup};
pub use state::{CancelReason, Cancellation, Engine, Proposal};
pub(crate) use state::{Failure, FailureKind, Probed};
#[cfg(feature = "_sim")]
pub use tell::PartitionState;
pub use tell::{Lateness, PoolStats, QueueStats, ShutdownReport, Stats, StoreStats};
