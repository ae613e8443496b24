//! The lines of an import on their way into an engine: read and called on a thread, awaited in order.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead};
use std::thread;

use reveille::{
    Commit, Engine, Job, Key, OnConflict, PauseError, PauseOutcome, QueueConfig, QueueError, ResumeOutcome,
    ScheduleError, ScheduleOutcome,
};
use tokio::sync::{mpsc, oneshot};

use crate::complain;
use crate::jsonl::input::{Line, Lines};
use crate::jsonl::op::{self, Action, Draft, Op, QueueAction};
use crate::jsonl::text::cut_middle;
use crate::run::schedule;

/// Jobs that the engine has and the store may not have yet.
const CALLS_MAX: usize = 8192;

/// What became of the lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    scheduled: u64,
    replaced: u64,
    kept: u64,
    already_scheduled: u64,
    /// Lines about queues.
    queues: u64,
    pub(super) mistakes: u64,
    /// The last line whose outcome is known.
    pub(super) last_line: u64,
}

/// Lines that are being taken.
#[derive(Debug)]
pub(super) struct Intake {
    calls: mpsc::Receiver<Call>,
    /// The line whose outcome is awaited.
    current: Option<Call>,
    read: oneshot::Receiver<io::Result<()>>,
    pub(super) counts: Counts,
}

/// A line, and its state so far.
#[derive(Debug)]
struct Call {
    line: u64,
    made: Result<Made, String>,
}

/// A call that was made.
#[derive(Debug)]
enum Made {
    Job(Commit<ScheduleOutcome, ScheduleError>),
    Pause(Commit<PauseOutcome, PauseError>),
    Resume(Commit<ResumeOutcome, PauseError>),
}

/// What became of a line.
enum Taken {
    Job(ScheduleOutcome),
    Queue,
}

impl Made {
    async fn done(&mut self) -> Result<Taken, String> {
        match self {
            Made::Job(commit) => commit.await.map(Taken::Job).map_err(|error| error.to_string()),
            Made::Pause(commit) => commit.await.map(|_| Taken::Queue).map_err(|error| error.to_string()),
            Made::Resume(commit) => commit.await.map(|_| Taken::Queue).map_err(|error| error.to_string()),
        }
    }
}

impl Intake {
    /// Starts to read.
    pub(super) fn start(
        input: Box<dyn BufRead + Send>,
        engine: Engine,
        on_conflict: OnConflict,
    ) -> io::Result<Self> {
        let (sender, calls) = mpsc::channel(CALLS_MAX);
        let (ended, read) = oneshot::channel();
        // Those that were restored are there already, and have no handler.
        // Also those of which the store has jobs: none has a handler.
        let queues = BTreeSet::new();
        let runtime = tokio::runtime::Handle::current();
        let mut reader = Reader { lines: Lines::new(input), engine, on_conflict, queues, runtime };
        thread::Builder::new().name("reveille-input".into()).spawn(move || {
            // The receiver is gone if the import was stopped.
            let _ = ended.send(reader.read_all(&sender));
        })?;
        Ok(Intake { calls, current: None, read, counts: Counts::default() })
    }

    /// Waits until all lines are taken, and reports those that are wrong. May be dropped and followed by
    /// [`stop`](Self::stop).
    pub(super) async fn take_all(&mut self) -> io::Result<()> {
        while self.take_one().await.is_some() {}
        (&mut self.read).await.unwrap_or_else(|_| Err(io::Error::other("the input's thread ended")))
    }

    /// Waits for the calls made so far, and makes no more.
    pub(super) async fn stop(&mut self) {
        self.calls.close();
        while self.take_one().await.is_some() {}
    }

    async fn take_one(&mut self) -> Option<()> {
        let Call { line, made } = match &mut self.current {
            Some(call) => call,
            none => none.insert(self.calls.recv().await?),
        };
        let outcome = match made {
            Ok(made) => made.done().await,
            Err(mistake) => Err(std::mem::take(mistake)),
        };
        self.counts.add(*line, outcome);
        self.current = None;
        Some(())
    }
}

impl Counts {
    fn add(&mut self, line: u64, outcome: Result<Taken, String>) {
        self.last_line = line;
        let count = match outcome {
            Ok(Taken::Queue) => &mut self.queues,
            Ok(Taken::Job(ScheduleOutcome::Scheduled { .. })) => &mut self.scheduled,
            Ok(Taken::Job(ScheduleOutcome::Updated { .. } | ScheduleOutcome::Replaced { .. })) => {
                &mut self.replaced
            }
            Ok(Taken::Job(ScheduleOutcome::Kept { .. })) => &mut self.kept,
            Ok(Taken::Job(ScheduleOutcome::AlreadyScheduled { .. })) => &mut self.already_scheduled,
            Err(error) => {
                complain(format_args!("line {line}: {}", cut_middle(error)));
                &mut self.mistakes
            }
        };
        *count += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { scheduled, replaced, kept, already_scheduled, queues, mistakes, .. } = self;
        write!(
            f,
            "{scheduled} scheduled, {replaced} replaced, {kept} kept, {already_scheduled} already scheduled, {mistakes} wrong"
        )?;
        match queues {
            0 => Ok(()),
            1 => write!(f, "; 1 line about a queue"),
            queues => write!(f, "; {queues} lines about queues"),
        }
    }
}

/// What the input's thread does.
struct Reader {
    lines: Lines<Box<dyn BufRead + Send>>,
    engine: Engine,
    on_conflict: OnConflict,
    queues: BTreeSet<String>,
    runtime: tokio::runtime::Handle,
}

impl Reader {
    /// Reads to the end, or until the receiver is gone.
    fn read_all(&mut self, calls: &mpsc::Sender<Call>) -> io::Result<()> {
        while let Some(Line { number, text }) = self.lines.next()? {
            let wanted = text.map_err(|fault| fault.to_string()).and_then(wanted);
            // Reserves a place first, so that every call is counted.
            let Ok(place) = self.runtime.block_on(calls.reserve()) else { break };
            let made = wanted.and_then(|wanted| self.call(wanted).map_err(|error| error.to_string()));
            place.send(Call { line: number, made });
        }
        Ok(())
    }

    fn call(&mut self, wanted: Wanted) -> Result<Made, QueueError> {
        let queue = match &wanted {
            Wanted::Job(_, draft) => &draft.queue,
            Wanted::Paused(queue) | Wanted::Resumed(queue) => queue,
        };
        if !self.queues.contains(queue) {
            // Whatever was said of it, here or before: nothing starts. Paused, so that what a line says is a change.
            self.engine.add_queue(QueueConfig::new(queue).paused().never_starts(), never)?;
            self.queues.insert(queue.clone());
        }
        Ok(match wanted {
            Wanted::Job(key, draft) => Made::Job(schedule(&self.engine, &key, draft, self.on_conflict)),
            Wanted::Paused(queue) => Made::Pause(self.engine.pause(&queue)),
            Wanted::Resumed(queue) => Made::Resume(self.engine.resume(&queue)),
        })
    }
}

/// What a line asks for.
enum Wanted {
    Job(Key, Draft),
    Paused(String),
    Resumed(String),
}

/// The handler of a queue of which nothing starts.
async fn never(_: Job) {
    std::future::pending().await
}

fn wanted(text: &str) -> Result<Wanted, String> {
    match op::parse(text).map_err(|error| error.to_string())? {
        Op::Job(key, Action::Schedule(draft)) => Ok(Wanted::Job(key, draft)),
        Op::Queue(queue, QueueAction::Pause) => Ok(Wanted::Paused(queue)),
        Op::Queue(queue, QueueAction::Resume) => Ok(Wanted::Resumed(queue)),
        Op::Job(_, action @ (Action::Pause | Action::Resume)) => {
            Err(format!("the op is {} of a job; an import takes those of queues only", action.name()))
        }
        Op::Job(_, action) | Op::JobIf(_, _, action) => Err(not_schedule(action.name())),
        Op::Tag(_, action) => Err(not_schedule(action.name())),
        Op::Queue(_, action) => Err(not_schedule(action.name())),
        Op::Read(reading) => Err(not_schedule(reading.name())),
    }
}

fn not_schedule(op: &str) -> String {
    format!("the op is {op}; an import takes `schedule`, and `pause` and `resume` of a queue")
}
