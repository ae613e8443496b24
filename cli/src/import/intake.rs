//! The lines of an import on their way into an engine: read and called on a thread, awaited in order.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead};
use std::thread;

use reveille::{
    Commit, Engine, Job, Key, OnConflict, QueueConfig, QueueError, ScheduleError, ScheduleOutcome,
};
use tokio::sync::{mpsc, oneshot};

use crate::complain;
use crate::jsonl::input::{Line, Lines};
use crate::jsonl::op::{self, Action, Draft, Op};
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
    job: Result<Commit<ScheduleOutcome, ScheduleError>, String>,
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
        let Call { line, job } = match &mut self.current {
            Some(call) => call,
            none => none.insert(self.calls.recv().await?),
        };
        let outcome = match job {
            Ok(commit) => commit.await.map_err(|error| error.to_string()),
            Err(mistake) => Err(std::mem::take(mistake)),
        };
        self.counts.add(*line, outcome);
        self.current = None;
        Some(())
    }
}

impl Counts {
    fn add(&mut self, line: u64, outcome: Result<ScheduleOutcome, String>) {
        self.last_line = line;
        let count = match outcome {
            Ok(ScheduleOutcome::Scheduled { .. }) => &mut self.scheduled,
            Ok(ScheduleOutcome::Updated { .. } | ScheduleOutcome::Replaced { .. }) => &mut self.replaced,
            Ok(ScheduleOutcome::Kept { .. }) => &mut self.kept,
            Ok(ScheduleOutcome::AlreadyScheduled { .. }) => &mut self.already_scheduled,
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
        let Counts { scheduled, replaced, kept, already_scheduled, mistakes, .. } = self;
        write!(
            f,
            "{scheduled} scheduled, {replaced} replaced, {kept} kept, {already_scheduled} already scheduled, {mistakes} wrong"
        )
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
            let draft = text.map_err(|fault| fault.to_string()).and_then(draft);
            // Reserves a place first, so that every call is counted.
            let Ok(place) = self.runtime.block_on(calls.reserve()) else { break };
            let job =
                draft.and_then(|(key, draft)| self.call(&key, draft).map_err(|error| error.to_string()));
            place.send(Call { line: number, job });
        }
        Ok(())
    }

    fn call(
        &mut self,
        key: &Key,
        draft: Draft,
    ) -> Result<Commit<ScheduleOutcome, ScheduleError>, QueueError> {
        if !self.queues.contains(&draft.queue) {
            self.engine.add_queue(QueueConfig::new(&draft.queue).paused(), never)?;
            self.queues.insert(draft.queue.clone());
        }
        Ok(schedule(&self.engine, key, draft, self.on_conflict))
    }
}

/// The handler of a queue that is always paused. If it runs nevertheless, its job does not end.
async fn never(_: Job) {
    std::future::pending().await
}

fn draft(text: &str) -> Result<(Key, Draft), String> {
    match op::parse(text).map_err(|error| error.to_string())? {
        Op::Job(key, Action::Schedule(draft)) => Ok((key, draft)),
        Op::Job(_, action) => Err(not_schedule(action.name())),
        Op::Tag(_, action) => Err(not_schedule(action.name())),
        Op::Queue(_, action) => Err(not_schedule(action.name())),
        Op::Read(reading) => Err(not_schedule(reading.name())),
    }
}

fn not_schedule(op: &str) -> String {
    format!("the op is {op}; an import takes `schedule` only")
}
