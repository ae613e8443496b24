//! What can go wrong, by operation. Each says what to do about it.
//!
//! # Rules
//! - A cause is told once. Either the message has it, and the error has no source; or the error names it as its source, and
//!   the message leaves it out (or is the source's own, `transparent`). Whoever prints a whole chain then reads nothing twice.
//!   What other crates say is a source. What a store says belongs into the message where that advises on it.

mod change;
mod pause;
#[cfg(test)]
mod tests;
mod transaction;

pub use change::Change;
pub use pause::PauseError;
pub use transaction::TransactionError;

use std::time::Duration;

use crate::job::{InvalidHeader, InvalidTag, RecurrenceError};
use crate::partition::{InvalidKey, QUEUE_NAME_BYTES_MAX, Refusal};
use crate::store::{Durability, StoreError};

/// Why a job was not taken, or not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A limit on the job itself was passed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No queue with this name was built or added, even if the store has jobs of it.
    #[error("{}", no_queue(name))]
    #[non_exhaustive]
    UnknownQueue {
        /// The name.
        name: String,
    },
    /// The engine holds as many jobs as it may.
    #[error(
        "the engine is full with {max} pending jobs; try again when some have fired, or raise `jobs_max`"
    )]
    #[non_exhaustive]
    Full {
        /// How many jobs it may hold.
        max: usize,
    },
    /// The task could not be turned into a payload.
    #[error("the task cannot be encoded as JSON; see its `Serialize`")]
    Encode(#[from] serde_json::Error),
    /// The rule by which it is to recur names no instant, or cannot be worked out here.
    #[error(transparent)]
    Recurrence(#[from] RecurrenceError),
    /// A tag of it cannot be one, or is too many.
    #[error(transparent)]
    InvalidTag(#[from] InvalidTag),
    /// A header of it cannot be one, or is too many.
    #[error(transparent)]
    InvalidHeader(#[from] InvalidHeader),
    /// The application does not want it, for this reason: see [`Builder::before_schedule`](crate::Builder::before_schedule).
    #[error("the job was declined")]
    Declined(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a job was not moved, or the move not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RescheduleError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A limit on the job itself was passed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a job was not cancelled, or the cancellation not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a job was not changed, or the change not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A limit on the job itself was passed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No queue with this name was built or added, even if the store has jobs of it.
    #[error("{}", no_queue(name))]
    #[non_exhaustive]
    UnknownQueue {
        /// The name.
        name: String,
    },
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a dead job was not brought back, or that was not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviveError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A limit on the job itself was passed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine holds as many jobs as it may.
    #[error(
        "the engine is full with {max} pending jobs; try again when some have fired, or raise `jobs_max`"
    )]
    #[non_exhaustive]
    Full {
        /// How many jobs it may hold.
        max: usize,
    },
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a dead job was not taken away, or that was not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a job was not paused or resumed, or that was not acknowledged. [`change`](Self::change) says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PauseJobError {
    /// The key cannot be one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The call was not possible, or was not acknowledged.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What stands in the way of any call that changes something. [`change`](Self::change) says whether it did.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The engine is shutting down. Nothing was changed.
    #[error("the engine is shutting down; nothing was changed")]
    ShuttingDown,
    /// The runtime that handlers run on has ended, and the engine with it. Nothing was changed.
    #[error(
        "the tokio runtime that the handlers run on has ended; nothing was changed; build the engine on one that lives as long, see `Builder::runtime`"
    )]
    RuntimeEnded,
    /// Too many records wait for the store. Nothing was changed.
    #[error(
        "{max} records wait for the store, which is the limit; nothing was changed; try again when the store has caught up"
    )]
    #[non_exhaustive]
    LogFull {
        /// How many records may wait in a partition.
        max: usize,
    },
    /// Another process owns the jobs now, and this one fires and writes nothing more. A call made after that changes
    /// nothing. A change that was not confirmed before may be in force at the new owner, or be lost.
    #[error(
        "this engine is no longer the owner: {error}; {}",
        if change.may_be_in_force() {
            "it is not known whether the change lasts; look the job up at the owner"
        } else {
            "nothing was changed; ask the owner"
        }
    )]
    #[non_exhaustive]
    NotOwner {
        /// Who the owner is, according to the store.
        error: StoreError,
        /// What became of the change.
        change: Change,
    },
    /// The store has not confirmed the change in the time that the engine gives it. The change is in force in memory and
    /// goes on waiting: it becomes durable when the store is back, unless this process ends first.
    #[error(
        "the store has not confirmed the change yet; it is in force in memory, and becomes durable when the store is back"
    )]
    Unconfirmed,
    /// The store cannot give the durability asked for. If [`Schedule::durability`](crate::Schedule::durability) asked, nothing
    /// was changed. If [`Commit::durability`](crate::Commit::durability) asked, the change had been made by then: it is in
    /// force, and becomes as durable as the store can make it.
    #[error(
        "this store cannot give the durability {asked}, only {max} at most; {}",
        if change.may_be_in_force() { "the change is in force nevertheless" } else { "nothing was changed" }
    )]
    #[non_exhaustive]
    NoSuchDurability {
        /// What was asked for.
        asked: Durability,
        /// The highest it can give.
        max: Durability,
        /// What became of the change.
        change: Change,
    },
    /// The change was made in memory and is in force, but the store will not take it: a restart forgets it.
    #[error("the change was made in memory only: {0}; it is in force until this engine ends")]
    NotDurable(StoreError),
    /// The change was made in memory, and the engine ended before the store had it: a restart may have forgotten it.
    #[error("the engine ended before the store had confirmed the change; look it up after the restart")]
    Interrupted,
}

impl CallError {
    /// What has become of the change.
    pub fn change(&self) -> Change {
        match self {
            CallError::ShuttingDown | CallError::RuntimeEnded | CallError::LogFull { .. } => Change::None,
            CallError::NotOwner { change, .. } | CallError::NoSuchDurability { change, .. } => *change,
            CallError::Unconfirmed | CallError::NotDurable(_) => Change::InForce,
            CallError::Interrupted => Change::Unknown,
        }
    }

    /// A change that was made but not confirmed when another engine took the jobs.
    pub(crate) fn disowned(error: StoreError) -> Self {
        CallError::NotOwner { error, change: Change::Unknown }
    }
}

impl ScheduleError {
    /// What became of the job.
    pub fn change(&self) -> Change {
        match self {
            ScheduleError::Call(error) => error.change(),
            ScheduleError::InvalidKey(_)
            | ScheduleError::Refused(_)
            | ScheduleError::UnknownQueue { .. }
            | ScheduleError::Full { .. }
            | ScheduleError::Encode(_)
            | ScheduleError::Recurrence(_)
            | ScheduleError::InvalidTag(_)
            | ScheduleError::InvalidHeader(_)
            | ScheduleError::Declined(_) => Change::None,
        }
    }
}

impl RescheduleError {
    /// What became of the move.
    pub fn change(&self) -> Change {
        match self {
            RescheduleError::Call(error) => error.change(),
            RescheduleError::InvalidKey(_) | RescheduleError::Refused(_) => Change::None,
        }
    }
}

impl CancelError {
    /// What became of the cancellation.
    pub fn change(&self) -> Change {
        match self {
            CancelError::Call(error) => error.change(),
            CancelError::InvalidKey(_) => Change::None,
        }
    }
}

impl EditError {
    /// What became of the change.
    pub fn change(&self) -> Change {
        match self {
            EditError::Call(error) => error.change(),
            EditError::InvalidKey(_) | EditError::Refused(_) | EditError::UnknownQueue { .. } => Change::None,
        }
    }
}

impl ReviveError {
    /// What became of the job.
    pub fn change(&self) -> Change {
        match self {
            ReviveError::Call(error) => error.change(),
            ReviveError::InvalidKey(_) | ReviveError::Refused(_) | ReviveError::Full { .. } => Change::None,
        }
    }
}

impl PauseJobError {
    /// What became of the change.
    pub fn change(&self) -> Change {
        match self {
            PauseJobError::Call(error) => error.change(),
            PauseJobError::InvalidKey(_) => Change::None,
        }
    }
}

impl PurgeError {
    /// What became of the job.
    pub fn change(&self) -> Change {
        match self {
            PurgeError::Call(error) => error.change(),
            PurgeError::InvalidKey(_) => Change::None,
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no tokio runtime to run handlers on.
    #[error("there is no tokio runtime; call `start` inside one, or name one with `Builder::runtime`")]
    NoRuntime,
    /// The runtime to run handlers on has ended.
    #[error(
        "the tokio runtime that the handlers are to run on has ended; build the engine on one that lives as long, see `Builder::runtime`"
    )]
    RuntimeEnded,
    /// A setting is out of its range.
    #[error("{setting} is {value}, and must be {must_be}")]
    #[non_exhaustive]
    InvalidSetting {
        /// The setting.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        must_be: &'static str,
    },
    /// A queue cannot be built.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A setting was made that has no meaning without a store.
    #[error(
        "`{setting}` was set, and there is no store; name one with `Builder::store`, or leave the setting out"
    )]
    #[non_exhaustive]
    NoStore {
        /// The setting.
        setting: &'static str,
    },
    /// There is no queue, so no job could be scheduled or fire.
    #[error(
        "the engine has no queue; call `Builder::queue` or `Builder::task` before `start`, or `Builder::without_queues` \
         if `Engine::add_queue` brings them"
    )]
    NoQueue,
    /// A task needs a value of the application that the builder was not given.
    #[error("the task {task:?} needs a {context}; give it to the engine with `Builder::context`")]
    #[non_exhaustive]
    NoContext {
        /// The task's name.
        task: &'static str,
        /// The type that it needs.
        context: &'static str,
    },
    /// Another process owns the jobs, and the builder says not to wait: see [`Builder::standby`](crate::Builder::standby).
    #[error("another engine is the owner: {0}; stop it, or start this one as a standby")]
    Held(StoreError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot give the durability that was asked for.
    #[error(
        "this store cannot give the durability {asked}, only {max} at most; ask for that, or set the store up for more"
    )]
    #[non_exhaustive]
    NoSuchDurability {
        /// What was asked for.
        asked: Durability,
        /// The highest there is.
        max: Durability,
    },
    /// What the store holds is inconsistent.
    #[error("what the store holds of partition {partition} does not fit together: {error}")]
    #[non_exhaustive]
    Restore {
        /// The partition.
        partition: u16,
        /// What does not fit.
        error: crate::partition::ReplayError,
    },
    /// The store panicked while the engine was being restored.
    #[error("the store panicked while the engine was being restored")]
    Interrupted,
    /// A thread of the engine's own could not be started.
    #[error("a thread of the engine cannot be started; see what limits the threads of this process")]
    Thread(#[source] std::io::Error),
}

/// Why a queue cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The name cannot be one.
    #[error("the queue name {:?} has {} bytes; a name has 1 to {QUEUE_NAME_BYTES_MAX}", shown(name), name.len())]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A queue of this name has a handler already.
    #[error("the queue {name:?} has a handler already; a queue has one")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A queue that runs no job at a time would never run one.
    #[error("the queue {name:?} has a concurrency of 0; it must be at least 1 (pause the queue to stop it)")]
    NoConcurrency {
        /// The name.
        name: String,
    },
    /// A queue of weight 0 would never have its turn.
    #[error("the queue {name:?} has a weight of 0; it must be at least 1 (pause the queue to stop it)")]
    NoWeight {
        /// The name.
        name: String,
    },
    /// A queue has a weight or a precedence, and shares nothing with other queues.
    #[error(
        "the queue {name:?} has a weight or a precedence, which count in a pool, and is in none; limit the handlers of all queues \
         with `Builder::pool`, or leave them out (an inline queue is in no pool)"
    )]
    NoPool {
        /// The name.
        name: String,
    },
    /// By the queue's retry policy a job might wait for longer than the engine's horizon.
    #[error(
        "the retry policy of the queue {name:?} has jobs wait for longer than the horizon of {horizon:?}; bound its waits with \
         `Retry::max`, or raise the horizon"
    )]
    WaitPastHorizon {
        /// The name.
        name: String,
        /// How far ahead a job may be due.
        horizon: Duration,
    },
    /// A queue with layers has a blocking or an inline handler, which they cannot go around.
    #[error(
        "the queue {name:?} has layers, and its handler is not async; leave them out, or build it with `Builder::queue`"
    )]
    NotAsync {
        /// The name.
        name: String,
    },
    /// The engine has as many queues as it may have.
    #[error("the engine has {max} queues, which is the limit")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The runtime that handlers run on has ended.
    #[error(
        "the tokio runtime that the handlers run on has ended; build the engine on one that lives as long, see `Builder::runtime`"
    )]
    RuntimeEnded,
    /// No queue of this name exists.
    #[error("there is no queue named {:?}", shown(name))]
    Unknown {
        /// The name.
        name: String,
    },
}

/// Why [`Engine::set_pool`](crate::Engine::set_pool) changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The engine was built without a pool.
    #[error("the engine has no pool; build it with `Builder::pool`, of `usize::MAX` for no limit at first")]
    NoPool,
    /// A pool in which no handler runs would never run one.
    #[error("a pool of 0 handlers would run none; it must be at least 1 (pause the queues to stop them)")]
    Empty,
}

/// The part of a name that a message shows: an invalid name may be very long.
fn shown(name: &str) -> &str {
    name.char_indices().nth(QUEUE_NAME_BYTES_MAX).map_or(name, |(end, _)| &name[..end])
}

/// That nobody runs the jobs of such a queue, and what to do about it.
fn no_queue(name: &str) -> String {
    let name = shown(name);
    format!("there is no queue named {name:?}; build the engine with it, or add it with `Engine::add_queue`")
}
