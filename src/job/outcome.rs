//! What calls answer. Every answer is definite: it says what happened, not that something may have.
//!
//! # Rules
//! - Whoever changes a job can match on every answer there is: one more is one more case for each caller, and the compiler
//!   should say so. Of a run there will be more to tell, so the fields of `AlreadyFired` are matched with `..`.
//! - How a job stands, and how it ended, are lists that grow with what jobs can do.

use super::{Handle, History, JobId, JobOptions, JobState, Key, Payload, QueueName, Version};
use crate::time::Timestamp;

/// What to do when the key of a new job is that of a pending one.
///
/// A job whose handler has begun no longer holds its key: a handler may schedule its own key again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnConflict {
    /// Leave the pending job and say [`ScheduleOutcome::AlreadyScheduled`].
    #[default]
    Reject,
    /// Put the new job in its place and say [`ScheduleOutcome::Replaced`].
    Replace,
    /// Leave the pending job and say [`ScheduleOutcome::Kept`]: for calls that may repeat.
    Keep,
    /// Leave the job and say [`ScheduleOutcome::Kept`] if it is just as this call has it; else put the new one in its place. For
    /// recurring jobs, which every replica of a service may schedule when it starts: if only the rule is the same, the new one
    /// waits for the occurrence that the old one waited for. Of a job that does not recur the due times are not compared.
    Update,
    /// Whichever is due earlier: put the new job in the place of the pending one if that is due later, and else leave that.
    KeepEarlier,
    /// Whichever is due later: put the new job in the place of the pending one if that is due earlier, and else leave that.
    KeepLater,
    /// Give the pending job the payload of the new one, and leave all else of it. Says [`ScheduleOutcome::Updated`].
    Payload,
}

/// What `schedule` did.
#[must_use = "the job is not scheduled if its key was taken; match on it, or insist with `.scheduled()?`"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScheduleOutcome {
    /// The key was free; the job is pending.
    Scheduled {
        /// The new job.
        handle: Handle,
    },
    /// The job is pending in place of another of the same key, which will never fire.
    Replaced {
        /// The new job.
        handle: Handle,
        /// When the job that it replaced was due.
        was: Timestamp,
    },
    /// The pending job of this key has another payload, as [`OnConflict::Payload`] asked.
    Updated {
        /// The pending job.
        handle: Handle,
        /// Its version now.
        version: Version,
    },
    /// Nothing was done, as [`OnConflict::Keep`] asked: a job of this key is pending.
    Kept {
        /// The pending job.
        handle: Handle,
    },
    /// Nothing was done: a job of this key is pending, and [`OnConflict::Reject`] was asked for.
    AlreadyScheduled {
        /// The pending job.
        handle: Handle,
    },
}

impl ScheduleOutcome {
    /// The job that is now pending under the key, the new one or the one that was there.
    pub fn handle(&self) -> Handle {
        match *self {
            ScheduleOutcome::Scheduled { handle }
            | ScheduleOutcome::Replaced { handle, .. }
            | ScheduleOutcome::Updated { handle, .. }
            | ScheduleOutcome::Kept { handle }
            | ScheduleOutcome::AlreadyScheduled { handle } => handle,
        }
    }

    /// Whether the job that was given is the one that is pending.
    pub fn is_taken(&self) -> bool {
        matches!(self, ScheduleOutcome::Scheduled { .. } | ScheduleOutcome::Replaced { .. })
    }
}

/// What `reschedule` did.
#[must_use = "the job may have fired, or be unknown; match on it, or insist with `.rescheduled()?`"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RescheduleOutcome {
    /// The job is pending with its new due.
    Rescheduled {
        /// When it was due before.
        was: Timestamp,
        /// Its version now.
        version: Version,
    },
    /// Too late: its handler has begun.
    Running,
    /// Too late: it fired. It is not brought back.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
    },
    /// Nothing was done: it is dead. [`Engine::revive`](crate::Engine::revive) brings it back, and
    /// [`purge`](crate::Engine::purge) takes it away.
    #[non_exhaustive]
    Dead {
        /// When it died.
        at: Timestamp,
    },
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}

/// What `cancel` did.
#[must_use = "the job may have fired, or be unknown; match on it, or insist with `.cancelled()?`"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelOutcome {
    /// The job will never fire.
    Cancelled,
    /// Too late: its handler has begun.
    Running,
    /// Too late: it fired.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
    },
    /// Nothing was done: it is dead. [`Engine::revive`](crate::Engine::revive) brings it back, and
    /// [`purge`](crate::Engine::purge) takes it away.
    #[non_exhaustive]
    Dead {
        /// When it died.
        at: Timestamp,
    },
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}

/// What `lookup` found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LookupOutcome {
    /// The job is pending.
    Scheduled(JobView),
    /// Its handler has begun.
    Running(JobView),
    /// It fired.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
        /// How its handler ended.
        end: End,
    },
    /// It failed as often as it may, or too late: [`JobView::history`] says how.
    Dead(JobView),
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}

/// What `edit` did.
#[must_use = "the job may have fired, or be unknown; match on it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EditOutcome {
    /// The job is changed.
    Edited {
        /// Its version now.
        version: Version,
    },
    /// Too late: its handler has begun.
    Running,
    /// Too late: it fired.
    #[non_exhaustive]
    AlreadyFired {
        /// When its handler began.
        at: Timestamp,
    },
    /// Nothing was done: it is dead.
    #[non_exhaustive]
    Dead {
        /// When it died.
        at: Timestamp,
    },
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// No such job is pending, nor is it among the fired ones that are still remembered.
    NotFound,
}

/// What `revive` did.
#[must_use = "the job may not be dead, or its key may be taken; match on it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReviveOutcome {
    /// The job is pending again, with all its attempts before it.
    Revived {
        /// Its version now.
        version: Version,
    },
    /// Nothing was done: another job of its key is pending.
    KeyTaken {
        /// The pending job.
        handle: Handle,
    },
    /// Nothing was done: the job is pending, running, or has fired.
    NotDead,
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// There is no such job.
    NotFound,
}

/// What `purge` did.
#[must_use = "the job may not be dead; match on it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PurgeOutcome {
    /// The job is gone.
    Purged,
    /// Nothing was done: the job is pending, running, or has fired.
    NotDead,
    /// Nothing was done: the job has changed since the version that the call named.
    Changed {
        /// Its version now.
        version: Version,
    },
    /// There is no such job.
    NotFound,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// It did what it had to.
    Done,
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It was cut short by the end of its process, and the job may run at most once or was to be stopped.
    Interrupted,
    /// It took longer than an attempt may.
    TimedOut,
    /// Its handler said that there is nothing to do any more, and gave a reason.
    Discarded,
    /// It failed, or asked for another attempt, after it was cancelled while it ran.
    Cancelled,
}

/// A job as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct JobView {
    /// Its handle.
    pub handle: Handle,
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// The name of its queue.
    pub queue: QueueName,
    /// What its handler gets.
    pub payload: Payload,
    /// When it is due; for a job scheduled after a delay, as the wall clock stands now.
    pub due: Timestamp,
    /// What else was said of it.
    pub options: JobOptions,
    /// 1 for a new job, and 1 more for every change.
    pub version: Version,
    /// How often its handler has begun.
    pub attempt: u16,
    /// Where it stands.
    pub state: JobState,
    /// What is remembered of attempts that did not do what they had to; `None` if there is nothing.
    pub history: Option<Box<History>>,
    /// Since when it is with its handler; the epoch if it is not. Not an `Option`: eight bytes more, and moving a view costs a
    /// look-up more than finding the job.
    pub(crate) since: Timestamp,
}

impl JobView {
    /// Since when it is with its handler, if it is.
    pub fn running_since(&self) -> Option<Timestamp> {
        (self.state == JobState::Running).then_some(self.since)
    }
}

/// Why a job cannot be taken or moved. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The payload is larger than the engine's limit.
    #[error(
        "the payload has {bytes} bytes, the limit is {max}; store it elsewhere and schedule a reference, or raise the limit"
    )]
    PayloadTooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// The due time lies further ahead than the engine's horizon.
    #[error(
        "the due time lies beyond the horizon, which is {} ahead; use an earlier one, or raise the horizon",
        days_or_seconds(*horizon_s)
    )]
    PastHorizon {
        /// How far ahead a job may be due, in seconds.
        horizon_s: u64,
    },
    /// By its retry policy the job might wait for longer than the engine's horizon.
    #[error(
        "the retry policy has the job wait for longer than the horizon, which is {}; bound its waits with `Retry::max`, or raise the \
         horizon",
        days_or_seconds(*horizon_s)
    )]
    WaitPastHorizon {
        /// How far ahead a job may be due, in seconds.
        horizon_s: u64,
    },
    /// Every slot that a partition can address is in use.
    #[error("the partition has no slot left; cancel jobs, or use more partitions")]
    NoSlot,
}

fn days_or_seconds(seconds: u64) -> String {
    const DAY: u64 = 24 * 3600;
    if seconds >= 2 * DAY && seconds.is_multiple_of(DAY) {
        format!("{} days", seconds / DAY)
    } else {
        format!("{seconds} seconds")
    }
}
