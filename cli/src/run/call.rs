//! Operations as calls of an engine, and the engine's outcomes as answers.
//!
//! A call takes effect when it is made, in the order of the lines; it may become durable later. Until then a line is a
//! [`Reply`]: replies are awaited in the order of the lines, while further lines are read.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use reveille::{
    CancelError, CancelOutcome, Commit, Drained, Due, End, Engine, Job, Key, LookupOutcome, OnConflict,
    PauseError, PauseJobError, PauseJobOutcome, PauseOutcome, PurgeError, PurgeOutcome, QueueConfig,
    QueueError, QueueName, RescheduleError, RescheduleOutcome, ResumeJobOutcome, ResumeOutcome, ReviveError,
    ReviveOutcome, ScheduleError, ScheduleOutcome, Version,
};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::exec;
use super::output::{Ack, Answer, Answered, Mistake, Output, Standing};
use super::queues::Said;
use super::read;
use crate::jsonl::op::{Action, Draft, Op, QueueAction, TagAction};
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
    exec: Option<Exec>,
    said: Said,
    /// Of the session, for calls about a tag.
    runtime: Handle,
}

/// How jobs are run, if not by writing them out.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    /// For `sh -c`.
    pub(super) command: Arc<str>,
    /// How many of a queue at a time.
    pub(super) concurrency: usize,
}

/// A line's answer, once it is durable.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing was called.
    Mistake(Mistake),
    Call {
        line: u64,
        op: &'static str,
        /// Unless it is about a queue.
        key: Option<Key>,
        pending: Pending,
    },
    /// It is done.
    Done(Answered),
}

#[derive(Debug)]
pub(super) enum Pending {
    Schedule(Commit<ScheduleOutcome, ScheduleError>),
    Reschedule(Commit<RescheduleOutcome, RescheduleError>),
    Cancel(Commit<CancelOutcome, CancelError>),
    Revive(Commit<ReviveOutcome, ReviveError>),
    Purge(Commit<PurgeOutcome, PurgeError>),
    Pause(Commit<PauseJobOutcome, PauseJobError>),
    Resume(Commit<ResumeJobOutcome, PauseJobError>),
    PauseQueue(QueueName, Commit<PauseOutcome, PauseError>),
    Drain(QueueName, JoinHandle<Result<Drained, PauseError>>),
    ResumeQueue(QueueName, Commit<ResumeOutcome, PauseError>),
    Lookup(Box<LookupOutcome>),
}

impl Caller {
    /// To be called within the session's runtime.
    pub(super) fn new(engine: Engine, output: Output, exec: Option<Exec>, said: Said) -> Self {
        Caller { engine, output, queues: BTreeSet::new(), exec, said, runtime: Handle::current() }
    }

    /// Has restored jobs fire, even if no line ever names their queues.
    pub(super) fn adopt(&mut self) -> Result<(), QueueError> {
        self.engine.stats().queues.iter().try_for_each(|queue| self.make_queue(&queue.name))
    }

    /// Does what a line asks for.
    pub(super) fn call(&mut self, line: u64, op: Op) -> Reply {
        let (key, version, action) = match op {
            Op::Job(key, action) => (key, None, action),
            Op::JobIf(key, version, action) => (key, Some(version), action),
            Op::Tag(tag, action) => return self.call_tag(line, tag, action),
            Op::Queue(queue, action) => return self.call_queue(line, &queue, action),
            Op::Read(reading) => return read::answer(&self.engine, line, reading),
        };
        let name = action.name();
        let pending = match (action, version) {
            (Action::Schedule(draft), _) => match self.schedule(&key, draft) {
                Ok(commit) => Pending::Schedule(commit),
                Err(error) => return Reply::mistake(line, error),
            },
            (Action::Lookup, _) => Pending::Lookup(Box::new(self.engine.lookup(&key))),
            (action, None) => self.change(&key, action),
            (action, Some(version)) => self.change_if(&key, version, action),
        };
        Reply::Call { line, op: name, key: Some(key), pending }
    }

    /// Changes the job of a key.
    fn change(&self, key: &Key, action: Action) -> Pending {
        let engine = &self.engine;
        match action {
            Action::Reschedule(due) => Pending::Reschedule(engine.reschedule(key, due)),
            Action::Cancel { and_after: false } => Pending::Cancel(engine.cancel(key)),
            Action::Cancel { and_after: true } => Pending::Cancel(engine.cancel_running(key)),
            Action::Revive(due) => Pending::Revive(engine.revive(key, due)),
            Action::Purge => Pending::Purge(engine.purge(key)),
            Action::Pause => Pending::Pause(engine.pause_job(key)),
            Action::Resume => Pending::Resume(engine.resume_job(key)),
            Action::Schedule(_) | Action::Lookup => Pending::Lookup(Box::new(engine.lookup(key))),
        }
    }

    /// The same, if the job still is of that version.
    fn change_if(&self, key: &Key, version: Version, action: Action) -> Pending {
        let engine = &self.engine;
        match action {
            Action::Reschedule(due) => Pending::Reschedule(engine.reschedule_if(key, version, due)),
            Action::Cancel { and_after: false } => Pending::Cancel(engine.cancel_if(key, version)),
            Action::Cancel { and_after: true } => Pending::Cancel(engine.cancel_running_if(key, version)),
            Action::Revive(due) => Pending::Revive(engine.revive_if(key, version, due)),
            Action::Purge => Pending::Purge(engine.purge_if(key, version)),
            Action::Pause => Pending::Pause(engine.pause_job_if(key, version)),
            Action::Resume => Pending::Resume(engine.resume_job_if(key, version)),
            Action::Schedule(_) | Action::Lookup => Pending::Lookup(Box::new(engine.lookup(key))),
        }
    }

    /// Waits until it is done: lines after it find what it has left.
    fn call_tag(&self, line: u64, tag: String, action: TagAction) -> Reply {
        let engine = &self.engine;
        let done = self.runtime.block_on(async {
            let (jobs, count, outcome) = match action {
                TagAction::Cancel => {
                    let done = engine.cancel_tagged(&tag).await.map_err(|error| error.to_string())?;
                    (done.error().map(ToString::to_string), done.cancelled(), "cancelled")
                }
                TagAction::Reschedule(due) => {
                    let done =
                        engine.reschedule_tagged(&tag, due).await.map_err(|error| error.to_string())?;
                    (done.error().map(ToString::to_string), done.rescheduled(), "rescheduled")
                }
                TagAction::Move(by) => {
                    let done = engine.move_tagged(&tag, by).await.map_err(|error| error.to_string())?;
                    (done.error().map(ToString::to_string), done.rescheduled(), "rescheduled")
                }
            };
            Ok::<_, String>((jobs, count, outcome))
        });
        match done {
            Ok((None, count, outcome)) => {
                let answer = Answer { tag: Some(tag), count: Some(count as u64), ..outcome_only(outcome) };
                Reply::done(line, action.name(), answer)
            }
            Ok((Some(error), count, outcome)) => {
                Reply::mistake(line, format!("{count} jobs were {outcome}, and others were not: {error}"))
            }
            Err(error) => Reply::mistake(line, error),
        }
    }

    fn call_queue(&mut self, line: u64, name: &str, action: QueueAction) -> Reply {
        // A queue may be paused before its first job.
        if action != QueueAction::Resume
            && let Err(error) = self.make_queue(name)
        {
            return Reply::mistake(line, error);
        }
        let queue = match QueueName::new(name) {
            Ok(queue) => queue,
            Err(error) => return Reply::mistake(line, error),
        };
        let pending = match action {
            QueueAction::Pause => Pending::PauseQueue(queue, self.engine.pause(name)),
            QueueAction::Resume => Pending::ResumeQueue(queue, self.engine.resume(name)),
            QueueAction::Drain(within) => {
                Pending::Drain(queue, self.runtime.spawn(self.engine.drain(name, within)))
            }
        };
        Reply::Call { line, op: action.name(), key: None, pending }
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
        let [failed, dead, skipped] = [(); 3].map(|()| self.output.clone());
        let config = QueueConfig::new(name)
            .on_failure(move |attempt| failed.failed(attempt))
            .on_death(move |job, reason| dead.dead(job, reason))
            .on_passed_over(move |key, passed| skipped.skipped(key, *passed));
        let config = self.said.apply(name, config);
        let output = self.output.clone();
        match self.exec.clone() {
            None => self.engine.add_queue(config.concurrency(FIRING_MAX), move |job: Job| {
                let output = output.clone();
                async move { output.fired(&Arc::new(job)).await }
            })?,
            Some(exec) => self.engine.add_queue(config.concurrency(exec.concurrency), move |job: Job| {
                let (output, command) = (output.clone(), Arc::clone(&exec.command));
                async move {
                    let job = Arc::new(job);
                    output.fired(&job).await;
                    exec::run(&command, &job).await
                }
            })?,
        }
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
    let schedule = engine.schedule_raw(&draft.queue, draft.payload).key(key.as_str());
    match (draft.due, draft.options.recurrence().cloned()) {
        (None, Some(rule)) => {
            // The same again is no mistake: unless a line says otherwise.
            let on_conflict = draft.on_conflict.unwrap_or(OnConflict::Update);
            schedule.options(draft.options).on_conflict(on_conflict).recurring(rule)
        }
        (due, _) => {
            let pushes = draft.options.debounce().is_some();
            let by_default = if pushes { OnConflict::Replace } else { on_conflict };
            let on_conflict = draft.on_conflict.unwrap_or(by_default);
            let due = due.unwrap_or(Due::In(Duration::ZERO));
            schedule.options(draft.options).on_conflict(on_conflict).due(due)
        }
    }
}

impl Reply {
    pub(super) fn mistake(line: u64, error: impl Display) -> Self {
        Reply::Mistake(Mistake { line, error: cut_middle(error.to_string()) })
    }

    /// Of a line that has no key.
    pub(super) fn done(line: u64, op: &'static str, answer: Answer) -> Self {
        Reply::Done(Answered::Ack(Box::new(Ack { line, op, key: None, answer })))
    }

    /// Waits until the call is as durable as the engine was told to make it.
    pub(super) async fn settled(self) -> Result<Answered, Mistake> {
        let (line, op, key, pending) = match self {
            Reply::Mistake(mistake) => return Err(mistake),
            Reply::Done(answered) => return Ok(answered),
            Reply::Call { line, op, key, pending } => (line, op, key, pending),
        };
        match pending.answer().await {
            Ok(answer) => Ok(Answered::Ack(Box::new(Ack { line, op, key, answer }))),
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
            Pending::Revive(commit) => commit.await.map(revived).map_err(|error| error.to_string()),
            Pending::Purge(commit) => commit.await.map(purged).map_err(|error| error.to_string()),
            Pending::Pause(commit) => commit.await.map(paused).map_err(|error| error.to_string()),
            Pending::Resume(commit) => commit.await.map(resumed).map_err(|error| error.to_string()),
            Pending::Lookup(outcome) => Ok(found(*outcome)),
            Pending::PauseQueue(queue, commit) => {
                let outcome = commit.await.map_err(|error| error.to_string())?;
                Ok(of_queue(queue, outcome_only(queue_paused(outcome))))
            }
            Pending::Drain(queue, drained) => {
                let drained = drained.await.map_err(|error| error.to_string())?;
                let drained = drained.map_err(|error| error.to_string())?;
                Ok(of_queue(queue, queue_drained(drained)))
            }
            Pending::ResumeQueue(queue, commit) => {
                let outcome = commit.await.map_err(|error| error.to_string())?;
                Ok(of_queue(queue, outcome_only(queue_resumed(outcome))))
            }
        }
    }
}

fn scheduled(outcome: ScheduleOutcome) -> Answer {
    match outcome {
        ScheduleOutcome::Scheduled { .. } => outcome_only("scheduled"),
        ScheduleOutcome::Replaced { was, .. } => {
            Answer { was: Some(Rfc3339(was)), ..outcome_only("replaced") }
        }
        ScheduleOutcome::Updated { version, .. } => with_version("updated", version),
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
        RescheduleOutcome::Changed { version } => with_version("changed", version),
        RescheduleOutcome::NotFound => outcome_only("not_found"),
    }
}

fn cancelled(outcome: CancelOutcome) -> Answer {
    match outcome {
        CancelOutcome::Cancelled => outcome_only("cancelled"),
        CancelOutcome::Running => outcome_only("running"),
        CancelOutcome::AlreadyFired { at, .. } => already_fired(at),
        CancelOutcome::Dead { at, .. } => dead(at),
        CancelOutcome::Changed { version } => with_version("changed", version),
        CancelOutcome::NotFound => outcome_only("not_found"),
    }
}

fn revived(outcome: ReviveOutcome) -> Answer {
    match outcome {
        ReviveOutcome::Revived { .. } => outcome_only("revived"),
        // A key names one job.
        ReviveOutcome::KeyTaken { .. } => outcome_only("key_taken"),
        ReviveOutcome::NotDead => outcome_only("not_dead"),
        ReviveOutcome::Changed { version } => with_version("changed", version),
        ReviveOutcome::NotFound => outcome_only("not_found"),
    }
}

fn purged(outcome: PurgeOutcome) -> Answer {
    match outcome {
        PurgeOutcome::Purged => outcome_only("purged"),
        PurgeOutcome::NotDead => outcome_only("not_dead"),
        PurgeOutcome::Changed { version } => with_version("changed", version),
        PurgeOutcome::NotFound => outcome_only("not_found"),
    }
}

fn paused(outcome: PauseJobOutcome) -> Answer {
    match outcome {
        PauseJobOutcome::Paused { .. } => outcome_only("paused"),
        PauseJobOutcome::AlreadyPaused => outcome_only("already_paused"),
        PauseJobOutcome::Running => outcome_only("running"),
        PauseJobOutcome::AlreadyFired { at, .. } => already_fired(at),
        PauseJobOutcome::Dead { at, .. } => dead(at),
        PauseJobOutcome::Changed { version } => with_version("changed", version),
        PauseJobOutcome::NotFound => outcome_only("not_found"),
    }
}

fn resumed(outcome: ResumeJobOutcome) -> Answer {
    match outcome {
        ResumeJobOutcome::Resumed { due, .. } => {
            let standing = Standing { due: Some(Rfc3339(due)), ..Standing::default() };
            Answer { standing, ..outcome_only("resumed") }
        }
        ResumeJobOutcome::Ended => outcome_only("ended"),
        ResumeJobOutcome::NotPaused => outcome_only("not_paused"),
        ResumeJobOutcome::Running => outcome_only("running"),
        ResumeJobOutcome::AlreadyFired { at, .. } => already_fired(at),
        ResumeJobOutcome::Dead { at, .. } => dead(at),
        ResumeJobOutcome::Changed { version } => with_version("changed", version),
        ResumeJobOutcome::NotFound => outcome_only("not_found"),
    }
}

fn queue_paused(outcome: PauseOutcome) -> &'static str {
    match outcome {
        PauseOutcome::Paused => "paused",
        PauseOutcome::AlreadyPaused { .. } => "already_paused",
    }
}

fn of_queue(queue: QueueName, answer: Answer) -> Answer {
    Answer { standing: Standing { queue: Some(queue), ..Standing::default() }, ..answer }
}

fn queue_drained(drained: Drained) -> Answer {
    if drained.is_empty() {
        return outcome_only("drained");
    }
    Answer { running: Some(drained.still_running), ..outcome_only("still_running") }
}

fn queue_resumed(outcome: ResumeOutcome) -> &'static str {
    match outcome {
        ResumeOutcome::Resumed => "resumed",
        ResumeOutcome::NotPaused => "not_paused",
    }
}

fn found(outcome: LookupOutcome) -> Answer {
    let (name, job) = match outcome {
        LookupOutcome::Scheduled(job) => ("scheduled", job),
        LookupOutcome::Running(job) => ("running", job),
        LookupOutcome::AlreadyFired { at, end, .. } => {
            let failed = (end != End::Done).then_some(true);
            let standing = Standing { fired_at: Some(Rfc3339(at)), failed, ..Standing::default() };
            return Answer { standing, ..outcome_only("already_fired") };
        }
        LookupOutcome::Dead(job) => ("dead", job),
        LookupOutcome::NotFound => return outcome_only("not_found"),
        _ => return outcome_only("other"),
    };
    Answer { standing: job.into(), ..outcome_only(name) }
}

fn with_version(outcome: &'static str, version: Version) -> Answer {
    let standing = Standing { version: Some(version.0), ..Standing::default() };
    Answer { standing, ..outcome_only(outcome) }
}

fn already_fired(at: reveille::Timestamp) -> Answer {
    let standing = Standing { fired_at: Some(Rfc3339(at)), ..Standing::default() };
    Answer { standing, ..outcome_only("already_fired") }
}

fn dead(at: reveille::Timestamp) -> Answer {
    let standing = Standing { died_at: Some(Rfc3339(at)), ..Standing::default() };
    Answer { standing, ..outcome_only("dead") }
}

pub(super) fn outcome_only(outcome: &'static str) -> Answer {
    Answer { outcome, ..Answer::default() }
}
