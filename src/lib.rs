//! Reveille fires jobs on time and does not lose them.
//!
//! A service embeds it to do things at an instant: open a ticket sale at 10:00:00.000, ring an alarm, close an auction,
//! expire an order, retry a call. It schedules jobs under its own keys, and moves or cancels them by key in O(1), whether
//! ten jobs are pending or ten million.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use reveille::{Engine, Job};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::builder()
//!     .queue("open_sale", |job: Job| async move { println!("{} opens", job.key()) })
//!     .start()
//!     .await?;
//!
//! let ten = SystemTime::now() + Duration::from_millis(20);
//! engine.schedule_raw("open_sale", "500 seats").key("concert:42").at(ten).await?;
//! engine.reschedule("concert:42", ten + Duration::from_millis(10)).await?;
//! engine.idle().await;
//! # Ok(()) }
//! ```
//!
//! # The ten promises
//! They hold always, crash or not. A call is acknowledged when its [`Commit`] has resolved; the durability of the commit
//! says which crashes the change survives. `DESIGN.md` has the same list, and the tests are named after its numbers.
//!
//! 1. **Never early.** A job fires at or after its due time, across clock steps, restarts, takeovers and catch-up.
//! 2. **Nothing acknowledged is lost.** A job whose schedule was acknowledged ends fired, cancelled, replaced, dead, or
//!    skipped by its queue's policy, or it is still pending.
//! 3. **Cancel means cancel.** After an acknowledged cancel the job never starts: no retry and no next occurrence either. Cancel
//!    against fire has one winner, and the answer says which.
//! 4. **Outcomes are definite.** Every call says what it did, as a value to match on. A reschedule never brings back
//!    a job that has fired. A change that the store has not confirmed in time is `Unconfirmed`: it is in force, and
//!    may still become durable.
//! 5. **A stale writer changes nothing.** The store accepts changes to a partition from one (owner, epoch) only: the
//!    latest.
//! 6. **At least once.** A job is done when its handler has ended and not before; `at_most_once` on request. A
//!    handler gets what it needs to be idempotent: key, id, attempt, and a fencing token that is higher with each start of
//!    the key, also after a takeover.
//! 7. **Order.** Jobs of one partition and one tick start in (priority, due, sequence) order, and the ready jobs of a
//!    queue in (tick, priority, due) order over all partitions. Handlers that run at the same time may begin in
//!    either order, and in a tick of more than 8,192 jobs the order over partitions is by priority alone. Replay is
//!    deterministic: snapshot + log = live state.
//! 8. **Late, never dropped.** Overload, catch-up, a takeover and an unreachable store make jobs late, or make calls
//!    fail with an error. They never drop a job. A job that a queue's policy skips, and an occurrence that does not
//!    run, leave a record, a count and a line in the log.
//! 9. **Everything is bounded.** Jobs, payload, key, horizon, queues, log buffer, remembered jobs, work per lock
//!    hold. At a bound the caller gets a typed error.
//! 10. **It says so.** Lateness, backlog, commit delay, lease and store health are values in `Engine::stats`,
//!     metrics, and log events.
//!
//! [`Priority`] states the order exactly, and its limits when handlers run side by side.
//!
//! # Where to look
//! - [`Engine::builder`] for queues, handlers and limits; [`Task`] for typed payloads.
//! - [`Engine::schedule`], [`Engine::reschedule`], [`Engine::cancel`], [`Engine::lookup`], and [`Commit`], their answer.
//! - [`testing`] for your own tests: time travel, what is scheduled, failures and crashes on request.
//! - [`wheel`] and [`partition`] if you want the parts without the engine. They do no I/O and read no clock.
//!
//! # Metrics
//! They go through the `metrics` crate; the module [`metrics`] lists them. Install a recorder before the engine starts.
//! [`Engine::stats`] has the same figures without a recorder.
//!
//! # Logs
//! They go through `tracing`, and never contain payloads. A handler runs in a span `job` (level `INFO`, target
//! `reveille::job`) with the fields `key`, `queue`, `attempt` and `id` (and `traceparent`, if the job has such a
//! header; [`Builder::messaging_spans`] adds OpenTelemetry's names), so its own log lines say for which job they are. A
//! panic hook runs in the span too; only the hook learns where the panic came from. A failed job is logged as a warning with
//! the whole chain of its error.

#![deny(missing_docs)]
#![warn(missing_debug_implementations, unnameable_types)]

// Under the crates' own names, so that all code that uses them runs under the checker: see `sync`.
#[cfg(reveille_shuttle)]
extern crate shuttle_parking_lot as parking_lot;
#[cfg(reveille_shuttle)]
extern crate shuttle_tokio as tokio;

mod chain;
pub mod clock;
#[cfg(test)]
mod corpus;
mod engine;
pub mod job;
mod json;
pub mod metrics;
pub mod partition;
mod prefetch;
pub mod read;
mod rt;
#[cfg(feature = "_sim")]
mod seam;
#[cfg(feature = "_sim")]
#[doc(hidden)]
pub mod sim;
mod slab;
pub mod store;
mod sync;
pub mod testing;
mod time;
pub mod wheel;

pub use clock::{Clock, Profile};
#[cfg(feature = "tower")]
pub use engine::JobService;
pub use engine::{
    BoxError, Builder, CallError, CancelError, CancelReason, Cancellation, Change, ChangeOutcome, Chunk,
    ChunkError, Chunks, Commit, ContextTask, Drained, EditError, Engine, FailedAttempt, FencingToken,
    IntoJobResult, InvalidCursor, Job, JobCount, JobPage, JobResult, Lateness, ListCursor, ListError, Merge,
    Misfire, NotAllCancelled, NotAllRescheduled, NotAllScheduled, NotApplied, Outcomes, PauseError,
    PauseJobError, PauseOutcome, Planned, PoolError, PoolStats, Proposal, PurgeError, Purged, QUEUES_MAX,
    QueueConfig, QueueError, QueueStats, Rate, RescheduleError, RestoreProgress, ResumeOutcome, ReviveError,
    Revived, Schedule, ScheduleError, ShutdownReport, Standby, StartError, StartPhase, Startup, Stats,
    StoreState, StoreStats, TRANSACTION_BYTES_MAX, TRANSACTION_CHANGES_MAX, Tagged, TaggedJob, Target, Task,
    Transaction, TransactionError, TransactionOutcome,
};
pub use job::{
    AttemptError, Backoff, CancelOutcome, Cause, Death, DeathReason, Delivery, Edit, EditOutcome, End,
    FiredView, Handle, History, InvalidHeader, InvalidKey, InvalidQueueName, InvalidTag, Jitter, JobFilter,
    JobId, JobState, JobView, KEY_BYTES_MAX, Key, LookupOutcome, Missed, NotCancelled, NotRescheduled,
    NotScheduled, OnConflict, Overlap, PartitionId, PauseJobOutcome, Payload, Priority, ProgressNote,
    PurgeOutcome, QUEUE_NAME_BYTES_MAX, QueueName, Recurrence, Refusal, RescheduleOutcome, ResumeJobOutcome,
    Retry, ReviveOutcome, ScheduleOutcome, Version,
};
pub use partition::{Due, InvalidTimestamp, Timestamp};
pub use store::Durability;
pub use time::{InvalidDuration, Shift, parse_duration};

/// Has the code in the README compiled.
#[cfg(all(doctest, feature = "redis", feature = "disk"))]
#[doc = include_str!("../README.md")]
struct Readme;
