//! Reveille fires jobs on time and does not lose them.
//!
//! A service embeds it to run things at an instant: open a ticket sale at 10:00:00.000, ring an alarm, close an
//! auction, expire an order, retry a call. It schedules by its own business key, and moves or cancels by that key in O(1),
//! whether ten jobs are pending or ten million.
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
//! # What it promises
//! - **Never early**: across clock steps, restarts and catch-up.
//! - **Cancel means cancel**: after an acknowledged cancel the job never fires. Cancel against fire has one winner, and the
//!   answer says which.
//! - **Definite answers**: what a call did is a value to match on, not a hope. A reschedule never brings a fired job back.
//! - **At least once**, or at most once where you ask for it.
//! - **Order**: of the ready jobs of a queue the first starts by (tick, priority, due), over all partitions, and within one
//!   by sequence too. See [`Priority`].
//! - **Late, never dropped**: overload makes jobs late. It drops none.
//! - **Everything is bounded**, and at a bound there is a typed error that says what to do.
//!
//! # Where to look
//! - [`Engine::builder`] for queues, handlers and limits; [`Task`] for typed payloads.
//! - [`Engine::schedule`], [`Engine::reschedule`], [`Engine::cancel`], [`Engine::lookup`], and [`Commit`], their answer.
//! - [`testing`] for time travel in your own tests.
//! - [`wheel`] and [`partition`] if you want the parts without the engine. They do no I/O and read no clock.
//!
//! # Metrics
//! Through the `metrics` crate: [`metrics`] has the list. Install a recorder before the engine starts. [`Engine::stats`] has
//! these figures without one.
//!
//! # Logs
//! Through `tracing`; payloads are never in them. A handler runs in a span `job` (level `INFO`, target `reveille::job`) with the
//! fields `key`, `queue`, `attempt` and `id`, so that what it logs says for which job. So does a panic hook that logs: it
//! alone is told where a panic came from. A job that fails is a warning with the whole chain of its error.

#![deny(missing_docs)]
#![warn(missing_debug_implementations)]

// Under its names, so that all that uses these crates runs under the checker: see `sync`.
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
pub mod metrics;
pub mod partition;
mod prefetch;
mod rt;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
mod slab;
pub mod store;
mod sync;
pub mod testing;
mod time;
pub mod wheel;

pub use clock::{Clock, Profile};
pub use engine::{
    BoxError, Builder, CallError, CancelError, Change, Commit, ContextTask, Engine, IntoJobResult, Job,
    JobResult, Lateness, Misfire, NotAllCancelled, NotAllScheduled, Outcomes, Planned, QUEUES_MAX,
    QueueConfig, QueueError, QueueStats, RescheduleError, RestoreProgress, Schedule, ScheduleError,
    ShutdownReport, Standby, StartError, StartPhase, Startup, Stats, StoreState, StoreStats, Target, Task,
};
pub use job::{
    CancelOutcome, End, Handle, InvalidKey, JobId, JobView, KEY_BYTES_MAX, Key, LookupOutcome, NotCancelled,
    NotRescheduled, NotScheduled, OnConflict, PartitionId, Payload, Priority, Refusal, RescheduleOutcome,
    ScheduleOutcome, Version,
};
pub use partition::{Due, Timestamp};
pub use store::Durability;
