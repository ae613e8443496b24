//! Operations as calls of an engine, and the engine's outcomes as answers.
//!
//! A call takes effect when it is made, in the order of the lines; it may become durable later. Until then a line is a
//! [`Reply`]: replies are awaited in the order of the lines, while further lines are read.

use std::collections::BTreeSet;
use std::fmt::Display;

use reveille::{
    CancelError, CancelOutcome, Commit, End, Engine, Job, Key, LookupOutcome, OnConflict, QueueConfig,
    QueueError, RescheduleError, RescheduleOutcome, ScheduleError, ScheduleOutcome,
};

use super::output::{Ack, Answer, Mistake, Output};
use crate::jsonl::op::{Action, Draft, Op};
use crate::jsonl::text::cut_middle;
use crate::jsonl::time::Rfc3339;

/// Jobs of one queue whose events may be on their way at a time. A flush is for all of them.
const FIRING_MAX: usize = 1024;

/// Makes the calls. A queue is added when it is first named, or with a restored job of it.
#[derive(Debug)]
pub(super) struct Caller {
    engine: Engine,
    output: Output,
    queues: BTreeSet<String>,
}

/// A line's answer, once it is durable.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing was called.
    Mistake(Mistake),
    Call {
        line: u64,
        op: &'static str,
        key: Key,
        pending: Pending,
    },
}

#[derive(Debug)]
pub(super) enum Pending {
    Schedule(Commit<ScheduleOutcome, ScheduleError>),
    Reschedule(Commit<RescheduleOutcome, RescheduleError>),
    Cancel(Commit<CancelOutcome, CancelError>),
    Lookup(Box<LookupOutcome>),
}

impl Caller {
    pub(super) fn new(engine: Engine, output: Output) -> Self {
        Caller { engine, output, queues: BTreeSet::new() }
    }

    /// Has restored jobs fire, even if no line ever names their queues.
    pub(super) fn adopt(&mut self) -> Result<(), QueueError> {
        self.engine.stats().queues.iter().try_for_each(|queue| self.make_queue(&queue.name))
    }

    /// Does what a line asks for.
    pub(super) fn call(&mut self, line: u64, op: Op) -> Reply {
        let Op { key, action } = op;
        let name = action.name();
        let pending = match action {
            Action::Schedule(draft) => match self.schedule(&key, draft) {
                Ok(commit) => Pending::Schedule(commit),
                Err(error) => return Reply::mistake(line, error),
            },
            Action::Reschedule(due) => Pending::Reschedule(self.engine.reschedule(&key, due)),
            Action::Cancel => Pending::Cancel(self.engine.cancel(&key)),
            Action::Lookup => Pending::Lookup(Box::new(self.engine.lookup(&key))),
        };
        Reply::Call { line, op: name, key, pending }
    }

    fn schedule(
        &mut self,
        key: &Key,
        draft: Draft,
    ) -> Result<Commit<ScheduleOutcome, ScheduleError>, QueueError> {
        self.make_queue(&draft.queue)?;
        Ok(schedule(&self.engine, key, draft, OnConflict::Reject))
    }

    fn make_queue(&mut self, name: &str) -> Result<(), QueueError> {
        if self.queues.contains(name) {
            return Ok(());
        }
        let output = self.output.clone();
        let fire = move |job: Job| {
            let output = output.clone();
            async move { output.fired(job).await }
        };
        self.engine.add_queue(QueueConfig::new(name).concurrency(FIRING_MAX), fire)?;
        self.queues.insert(name.to_owned());
        Ok(())
    }
}

/// Schedules the job of a line, in a queue that exists. `on_conflict` is for a line that does not say.
pub(crate) fn schedule(
    engine: &Engine,
    key: &Key,
    draft: Draft,
    on_conflict: OnConflict,
) -> Commit<ScheduleOutcome, ScheduleError> {
    let on_conflict = draft.on_conflict.unwrap_or(on_conflict);
    let schedule = engine.schedule_raw(&draft.queue, draft.payload).key(key.as_str());
    schedule.options(draft.options).on_conflict(on_conflict).due(draft.due)
}

impl Reply {
    pub(super) fn mistake(line: u64, error: impl Display) -> Self {
        Reply::Mistake(Mistake { line, error: cut_middle(error.to_string()) })
    }

    /// Waits until the call is as durable as the engine was told to make it.
    pub(super) async fn settled(self) -> Result<Ack, Mistake> {
        let (line, op, key, pending) = match self {
            Reply::Mistake(mistake) => return Err(mistake),
            Reply::Call { line, op, key, pending } => (line, op, key, pending),
        };
        match pending.answer().await {
            Ok(answer) => Ok(Ack { line, op, key, answer }),
            Err(error) => Err(Mistake { line, error: cut_middle(error) }),
        }
    }
}

impl Pending {
    async fn answer(self) -> Result<Answer, String> {
        match self {
            Pending::Schedule(commit) => commit.await.map(scheduled).map_err(|error| error.to_string()),
            Pending::Reschedule(commit) => commit.await.map(rescheduled).map_err(|error| error.to_string()),
            Pending::Cancel(commit) => commit.await.map(cancelled).map_err(|error| error.to_string()),
            Pending::Lookup(outcome) => Ok(found(*outcome)),
        }
    }
}

fn scheduled(outcome: ScheduleOutcome) -> Answer {
    match outcome {
        ScheduleOutcome::Scheduled { .. } => outcome_only("scheduled"),
        ScheduleOutcome::Replaced { was, .. } => {
            Answer { was: Some(Rfc3339(was)), ..outcome_only("replaced") }
        }
        ScheduleOutcome::Kept { .. } => outcome_only("kept"),
        ScheduleOutcome::AlreadyScheduled { .. } => outcome_only("already_scheduled"),
    }
}

fn rescheduled(outcome: RescheduleOutcome) -> Answer {
    match outcome {
        RescheduleOutcome::Rescheduled { was, .. } => {
            Answer { was: Some(Rfc3339(was)), ..outcome_only("rescheduled") }
        }
        RescheduleOutcome::Running => outcome_only("running"),
        RescheduleOutcome::AlreadyFired { at, .. } => already_fired(at),
        RescheduleOutcome::Dead { at, .. } => dead(at),
        // No op names a version yet.
        RescheduleOutcome::Changed { version } => {
            Answer { version: Some(version.0), ..outcome_only("changed") }
        }
        RescheduleOutcome::NotFound => outcome_only("not_found"),
    }
}

fn cancelled(outcome: CancelOutcome) -> Answer {
    match outcome {
        CancelOutcome::Cancelled => outcome_only("cancelled"),
        CancelOutcome::Running => outcome_only("running"),
        CancelOutcome::AlreadyFired { at, .. } => already_fired(at),
        CancelOutcome::Dead { at, .. } => dead(at),
        // No op names a version yet.
        CancelOutcome::Changed { version } => Answer { version: Some(version.0), ..outcome_only("changed") },
        CancelOutcome::NotFound => outcome_only("not_found"),
    }
}

fn found(outcome: LookupOutcome) -> Answer {
    let (name, job) = match outcome {
        LookupOutcome::Scheduled(job) => ("scheduled", job),
        LookupOutcome::Running(job) => ("running", job),
        LookupOutcome::AlreadyFired { at, end, .. } => {
            return Answer { failed: (end != End::Done).then_some(true), ..already_fired(at) };
        }
        LookupOutcome::Dead(job) => ("dead", job),
        LookupOutcome::NotFound => return outcome_only("not_found"),
        _ => return outcome_only("other"),
    };
    Answer {
        due: Some(Rfc3339(job.due)),
        queue: Some(job.queue),
        version: Some(job.version.0),
        ..outcome_only(name)
    }
}

fn already_fired(at: reveille::Timestamp) -> Answer {
    Answer { fired_at: Some(Rfc3339(at)), ..outcome_only("already_fired") }
}

fn dead(at: reveille::Timestamp) -> Answer {
    Answer { died_at: Some(Rfc3339(at)), ..outcome_only("dead") }
}

fn outcome_only(outcome: &'static str) -> Answer {
    Answer { outcome, ..Answer::default() }
}
