//! Jobs and answers as a page or an interface between programs gets them: names in snake case, instants as RFC 3339, ids as
//! text, since they do not fit into the numbers that JavaScript has.
//!
//! The shape is promised, whatever the types look like in Rust: each is written out here, and a test holds it.
//! - A payload is told by its size alone. Whether it may be shown, and as what, only the application knows.
//! - A handle means nothing outside its process, and is left out.

use serde::{Serialize, Serializer};

use super::{
    CancelOutcome, EditOutcome, End, FiredView, History, JobOptions, JobState, JobView, LookupOutcome,
    PauseJobOutcome, PurgeOutcome, RescheduleOutcome, ResumeJobOutcome, ReviveOutcome, ScheduleOutcome,
    Version,
};
use crate::time::Timestamp;

#[derive(Serialize)]
struct JobFields<'a> {
    id: String,
    key: &'a str,
    queue: &'a str,
    state: JobState,
    due: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_since: Option<Timestamp>,
    options: &'a JobOptions,
    version: Version,
    attempt: u16,
    payload_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a History>,
}

impl Serialize for JobView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = JobFields {
            id: self.id.to_string(),
            key: self.key.as_str(),
            queue: self.queue.as_str(),
            state: self.state,
            due: self.due,
            running_since: self.running_since(),
            options: &self.options,
            version: self.version,
            attempt: self.attempt,
            payload_bytes: self.payload.len(),
            history: self.history.as_deref(),
        };
        fields.serialize(serializer)
    }
}

#[derive(Serialize)]
struct FiredFields<'a> {
    id: String,
    key: &'a str,
    state: JobState,
    fired_at: Timestamp,
    ended_at: Timestamp,
    end: End,
}

impl Serialize for FiredView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = FiredFields {
            id: self.id.to_string(),
            key: self.key.as_str(),
            state: JobState::Fired,
            fired_at: self.fired_at,
            ended_at: self.ended_at,
            end: self.end,
        };
        fields.serialize(serializer)
    }
}

/// An answer, as the events of `reveille run` have it.
#[derive(Default, Serialize)]
struct Answer<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    died_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a JobView>,
}

impl Answer<'_> {
    fn only(outcome: &'static str) -> Self {
        Answer { outcome, ..Answer::default() }
    }

    fn already_fired(at: Timestamp) -> Self {
        Answer { fired_at: Some(at), ..Answer::only("already_fired") }
    }

    fn changed(version: Version) -> Self {
        Answer { version: Some(version), ..Answer::only("changed") }
    }
}

impl Serialize for LookupOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match self {
            LookupOutcome::Scheduled(job) => Answer { job: Some(job), ..Answer::only("scheduled") },
            LookupOutcome::Running(job) => Answer { job: Some(job), ..Answer::only("running") },
            LookupOutcome::AlreadyFired { at, end } => {
                Answer { end: Some(*end), ..Answer::already_fired(*at) }
            }
            LookupOutcome::Dead(job) => Answer { job: Some(job), ..Answer::only("dead") },
            LookupOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for ScheduleOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            ScheduleOutcome::Scheduled { .. } => Answer::only("scheduled"),
            ScheduleOutcome::Replaced { was, .. } => Answer { was: Some(was), ..Answer::only("replaced") },
            ScheduleOutcome::Updated { version, .. } => {
                Answer { version: Some(version), ..Answer::only("updated") }
            }
            ScheduleOutcome::Kept { .. } => Answer::only("kept"),
            ScheduleOutcome::AlreadyScheduled { .. } => Answer::only("already_scheduled"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for RescheduleOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            RescheduleOutcome::Rescheduled { was, version } => {
                Answer { was: Some(was), version: Some(version), ..Answer::only("rescheduled") }
            }
            RescheduleOutcome::Running => Answer::only("running"),
            RescheduleOutcome::AlreadyFired { at } => Answer::already_fired(at),
            RescheduleOutcome::Dead { at } => Answer { died_at: Some(at), ..Answer::only("dead") },
            RescheduleOutcome::Changed { version } => Answer::changed(version),
            RescheduleOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for CancelOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            CancelOutcome::Cancelled => Answer::only("cancelled"),
            CancelOutcome::Running => Answer::only("running"),
            CancelOutcome::AlreadyFired { at } => Answer::already_fired(at),
            CancelOutcome::Dead { at } => Answer { died_at: Some(at), ..Answer::only("dead") },
            CancelOutcome::Changed { version } => Answer::changed(version),
            CancelOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for EditOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            EditOutcome::Edited { version } => Answer { version: Some(version), ..Answer::only("edited") },
            EditOutcome::Running => Answer::only("running"),
            EditOutcome::AlreadyFired { at } => Answer::already_fired(at),
            EditOutcome::Dead { at } => Answer { died_at: Some(at), ..Answer::only("dead") },
            EditOutcome::Changed { version } => Answer::changed(version),
            EditOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for ReviveOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            ReviveOutcome::Revived { version } => {
                Answer { version: Some(version), ..Answer::only("revived") }
            }
            ReviveOutcome::KeyTaken { .. } => Answer::only("key_taken"),
            ReviveOutcome::NotDead => Answer::only("not_dead"),
            ReviveOutcome::Changed { version } => Answer::changed(version),
            ReviveOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for PauseJobOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            PauseJobOutcome::Paused { version } => {
                Answer { version: Some(version), ..Answer::only("paused") }
            }
            PauseJobOutcome::AlreadyPaused => Answer::only("already_paused"),
            PauseJobOutcome::Running => Answer::only("running"),
            PauseJobOutcome::AlreadyFired { at } => Answer::already_fired(at),
            PauseJobOutcome::Dead { at } => Answer { died_at: Some(at), ..Answer::only("dead") },
            PauseJobOutcome::Changed { version } => Answer::changed(version),
            PauseJobOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for ResumeJobOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match *self {
            ResumeJobOutcome::Resumed { version, due } => {
                Answer { version: Some(version), due: Some(due), ..Answer::only("resumed") }
            }
            ResumeJobOutcome::Ended => Answer::only("ended"),
            ResumeJobOutcome::NotPaused => Answer::only("not_paused"),
            ResumeJobOutcome::Running => Answer::only("running"),
            ResumeJobOutcome::AlreadyFired { at } => Answer::already_fired(at),
            ResumeJobOutcome::Dead { at } => Answer { died_at: Some(at), ..Answer::only("dead") },
            ResumeJobOutcome::Changed { version } => Answer::changed(version),
            ResumeJobOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}

impl Serialize for PurgeOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = match self {
            PurgeOutcome::Purged => Answer::only("purged"),
            PurgeOutcome::NotDead => Answer::only("not_dead"),
            PurgeOutcome::Changed { version } => Answer::changed(*version),
            PurgeOutcome::NotFound => Answer::only("not_found"),
        };
        answer.serialize(serializer)
    }
}
