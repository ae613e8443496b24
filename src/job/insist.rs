//! From an answer to an error, for callers who did not expect any other: `.scheduled()?`, `.rescheduled()?`, `.cancelled()?`.

use super::{CancelOutcome, Handle, RescheduleOutcome, ScheduleOutcome, Version};
use crate::time::Timestamp;

/// A job was not taken, since its key was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the job was not scheduled: another of its key is pending; move that one with `reschedule`, or say \
     `on_conflict(OnConflict::Replace)` or `Keep`"
)]
#[non_exhaustive]
pub struct NotScheduled {
    /// What `schedule` did instead.
    pub outcome: ScheduleOutcome,
}

/// A job was not moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the job was not moved: {}", too_late(late(self.outcome), "schedule the key anew for another run"))]
#[non_exhaustive]
pub struct NotRescheduled {
    /// What `reschedule` did instead.
    pub outcome: RescheduleOutcome,
}

/// A job was not cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the job was not cancelled: {}", too_late(late_to_cancel(self.outcome), "undo what it did"))]
#[non_exhaustive]
pub struct NotCancelled {
    /// What `cancel` did instead.
    pub outcome: CancelOutcome,
}

impl ScheduleOutcome {
    /// The job that is pending under the key, as the call asked: the new one, or with
    /// [`OnConflict::Keep`](super::OnConflict::Keep) the one that was there.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("q", |_: Job| async {}).start().await?;
    /// # let minute = Duration::from_secs(60);
    /// let job = engine.schedule_raw("q", "").key("order:7").after(minute).await?.scheduled()?;
    /// let again = engine.schedule_raw("q", "").key("order:7").after(minute).await?.scheduled();
    /// assert!(again.is_err());
    /// # let _ = job; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the job was not taken since another of its key is pending.
    pub fn scheduled(self) -> Result<Handle, NotScheduled> {
        match self {
            ScheduleOutcome::AlreadyScheduled { .. } => Err(NotScheduled { outcome: self }),
            ScheduleOutcome::Scheduled { handle }
            | ScheduleOutcome::Replaced { handle, .. }
            | ScheduleOutcome::Updated { handle, .. }
            | ScheduleOutcome::Kept { handle } => Ok(handle),
        }
    }
}

impl RescheduleOutcome {
    /// The version of the job that was moved, for [`Engine::reschedule_if`](crate::Engine::reschedule_if) and the like.
    ///
    /// # Errors
    /// When no job was moved.
    pub fn rescheduled(self) -> Result<Version, NotRescheduled> {
        match self {
            RescheduleOutcome::Rescheduled { version, .. } => Ok(version),
            outcome => Err(NotRescheduled { outcome }),
        }
    }
}

impl CancelOutcome {
    /// Nothing, if the job was cancelled by this call.
    ///
    /// # Errors
    /// When no job was cancelled.
    pub fn cancelled(self) -> Result<(), NotCancelled> {
        match self {
            CancelOutcome::Cancelled => Ok(()),
            outcome => Err(NotCancelled { outcome }),
        }
    }
}

/// Why there was nothing to change.
enum Late {
    Running,
    Fired(Timestamp),
    Dead(Timestamp),
    Changed(Version),
    Unknown,
}

fn late(outcome: RescheduleOutcome) -> Late {
    match outcome {
        RescheduleOutcome::Running => Late::Running,
        RescheduleOutcome::AlreadyFired { at } => Late::Fired(at),
        RescheduleOutcome::Dead { at } => Late::Dead(at),
        RescheduleOutcome::Changed { version } => Late::Changed(version),
        RescheduleOutcome::Rescheduled { .. } | RescheduleOutcome::NotFound => Late::Unknown,
    }
}

fn late_to_cancel(outcome: CancelOutcome) -> Late {
    match outcome {
        CancelOutcome::Running => Late::Running,
        CancelOutcome::AlreadyFired { at } => Late::Fired(at),
        CancelOutcome::Dead { at } => Late::Dead(at),
        CancelOutcome::Changed { version } => Late::Changed(version),
        CancelOutcome::Cancelled | CancelOutcome::NotFound => Late::Unknown,
    }
}

fn too_late(late: Late, once_begun: &str) -> String {
    match late {
        Late::Running => format!("its handler has begun; {once_begun}"),
        Late::Fired(at) => format!("it fired, at {at:?} since 1970; {once_begun}"),
        Late::Dead(at) => format!("it is dead, since {at:?} since 1970; `revive` or `purge` it"),
        Late::Changed(Version(version)) => {
            format!("it has changed and is of version {version} by now; look it up, and decide again")
        }
        Late::Unknown => {
            "there is no such job; see that the key is right, and whether the job was cancelled or fired \
                          longer ago than is remembered"
                .into()
        }
    }
}
