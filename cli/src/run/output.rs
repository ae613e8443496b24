//! The output of `run`: events, and the thread that writes them.
//!
//! # Rules
//! - Everything goes through one channel, and is bounded: a consumer that reads slowly slows down the acknowledgements,
//!   which wait for room, the input behind them, and the handlers, which wait for their events to be flushed and are as
//!   many as their queues allow. Nothing is dropped.
//! - A handler never waits before its event is in the channel: a wait is where one that started later could overtake it.
//! - Events are written in the order in which they were sent, and flushed as soon as none is waiting.
//! - A handler ends only when its event has been flushed. So when a job ends for the engine, its line has left the process.
//!   This costs little, since one flush covers everything written before it.
//! - Once the output has failed no handler ends: a job that was not reported counts as not done.
//! - A reader that goes away is noticed even while nothing is written, so that no job is used up to find out.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::thread;

use reveille::job::{FiredView, Passed, Reason};
use reveille::partition::QueueName;
use reveille::read::Load;
use reveille::{Cause, DeathReason, End, FailedAttempt, History, Job, JobState, JobView, Key};
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Serialize, Serializer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::jsonl::payload;
use crate::jsonl::time::Rfc3339;

/// Answers that wait to be written.
const WAITING_MAX: usize = 1024;

/// The most events written between two flushes, so that handlers can end while more keep coming.
const BATCH_MAX: usize = 4096;

/// An op's answer.
#[derive(Debug, Serialize)]
pub(super) struct Ack {
    pub(super) line: u64,
    pub(super) op: &'static str,
    /// Not of a queue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Key>,
    #[serde(flatten)]
    pub(super) answer: Answer,
}

/// An outcome, and what comes with it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) was: Option<Rfc3339>,
    #[serde(flatten)]
    pub(super) standing: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    /// How many jobs it was done to, or how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    /// How many jobs of the queue still run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) running: Option<usize>,
    /// Whether there was a moment at which there were so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exact: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bucket: Option<&'static str>,
    #[serde(flatten)]
    pub(super) load: Option<Load>,
}

/// How a job stands: the fields that a lookup and a page have in common.
#[derive(Debug, Default, Serialize)]
pub(super) struct Standing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fired_at: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) died_at: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paused_at: Option<Rfc3339>,
    /// Its handler failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Rfc3339>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "queue_as_text")]
    pub(super) queue: Option<QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    /// How often its handler has begun, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u16>,
    /// What its last failure said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl From<JobView> for Standing {
    fn from(job: JobView) -> Self {
        let history = job.history.as_deref();
        Standing {
            attempt: (job.attempt > 0).then_some(job.attempt),
            error: history.and_then(History::last_error).map(|error| error.message.to_string()),
            died_at: history.and_then(|history| history.death).map(|death| Rfc3339(death.at)),
            paused_at: job.options.paused().map(|paused| Rfc3339(paused.0)),
            due: Some(Rfc3339(job.due)),
            queue: Some(job.queue),
            version: Some(job.version.0),
            ..Standing::default()
        }
    }
}

impl From<JobView> for Listed {
    fn from(job: JobView) -> Self {
        Listed { key: job.key.clone(), state: job.state, standing: job.into() }
    }
}

impl From<FiredView> for Listed {
    fn from(job: FiredView) -> Self {
        let failed = (job.end != End::Done).then_some(true);
        let standing = Standing { fired_at: Some(Rfc3339(job.fired_at)), failed, ..Standing::default() };
        Listed { key: job.key, state: JobState::Fired, standing }
    }
}

/// A page of jobs.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) line: u64,
    pub(super) jobs: Vec<Listed>,
    /// The `cursor` of the next page, if this is not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// A job of a page, told as a lookup tells of it.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) key: Key,
    pub(super) state: JobState,
    #[serde(flatten)]
    pub(super) standing: Standing,
}

/// What a line was answered.
#[derive(Debug)]
pub(super) enum Answered {
    Ack(Box<Ack>),
    Page(Page),
}

/// An error in a line.
#[derive(Debug, Serialize)]
pub(super) struct Mistake {
    pub(super) line: u64,
    pub(super) error: String,
}

#[derive(Debug)]
enum Event {
    /// With the permit that it holds until it is written.
    Answered(Result<Answered, Mistake>, OwnedSemaphorePermit),
    Fired {
        job: Arc<Job>,
        flushed: oneshot::Sender<()>,
    },
    Failed(FailedAttempt),
    Dead(Box<JobView>, DeathReason),
    Skipped(Box<str>, Passed),
    /// The reader of the output has gone.
    ReaderGone,
    /// The last one.
    End,
}

/// An event as it is written.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Written<'a> {
    Ack(&'a Ack),
    Page(&'a Page),
    Error(&'a Mistake),
    Fired {
        key: &'a str,
        queue: &'a str,
        due: Rfc3339,
        fired_at: Rfc3339,
        late_us: u64,
        attempt: u16,
        /// Of a job that recurs.
        #[serde(skip_serializing_if = "Option::is_none")]
        scheduled_for: Option<Rfc3339>,
        /// How many occurrences were passed over before this.
        #[serde(skip_serializing_if = "Option::is_none")]
        missed: Option<u64>,
        #[serde(flatten)]
        payload: payload::Written<'a>,
    },
    Failed {
        key: &'a str,
        queue: &'a str,
        attempt: u16,
        cause: Cause,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_at: Option<Rfc3339>,
    },
    Skipped {
        key: &'a str,
        reason: Reason,
        count: u64,
        first: Rfc3339,
        last: Rfc3339,
    },
    Dead {
        key: &'a str,
        queue: &'a str,
        attempts: u16,
        reason: DeathReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
}

/// The output has failed, or was ended. The writer's result says which.
#[derive(Debug)]
pub(super) struct Closed;

/// A channel to the writer. All clones lead to the same one.
#[derive(Clone, Debug)]
pub(super) struct Output {
    events: mpsc::UnboundedSender<Event>,
    room: Arc<Semaphore>,
}

impl Output {
    /// Starts the writer. The receiver gets how it ended.
    pub(super) fn start(
        to: impl Write + Send + 'static,
    ) -> io::Result<(Self, oneshot::Receiver<io::Result<()>>)> {
        let (events, waiting) = mpsc::unbounded_channel();
        let (ended, end) = oneshot::channel();
        thread::Builder::new().name("reveille-output".into()).spawn(move || {
            // The receiver is gone when the program is ending.
            let _ = ended.send(write_all(waiting, to));
        })?;
        Ok((Output { events, room: Arc::new(Semaphore::new(WAITING_MAX)) }, end))
    }

    /// Watches standard output, to which the writer writes: if its reader goes away, the writer fails.
    #[cfg(unix)]
    pub(super) fn watch_stdout(&self) -> io::Result<()> {
        if reader_is_gone(Some(&Timespec::default())) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let events = self.events.clone();
        let watch = move || {
            if reader_is_gone(None) {
                // A writer that has ended need not know.
                let _ = events.send(Event::ReaderGone);
            }
        };
        thread::Builder::new().name("reveille-watch".into()).spawn(watch).map(drop)
    }

    /// Hands an op's answer to the writer, when there is room for it.
    pub(super) async fn answer(&self, answer: Result<Answered, Mistake>) -> Result<(), Closed> {
        // When the writer ends it drops what waits, and so makes room for senders that have yet to notice.
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Closed)?;
        self.events.send(Event::Answered(answer, room)).map_err(|_| Closed)
    }

    /// Hands a fired job to the writer, and ends when it has been flushed. Never ends when the output fails.
    ///
    /// On the single thread of `run`'s runtime a handler is polled for the first time right after its job was started:
    /// so jobs come out in the order in which they started.
    pub(super) async fn fired(&self, job: &Arc<Job>) {
        let (flushed, is_flushed) = oneshot::channel();
        let sent = self.events.send(Event::Fired { job: Arc::clone(job), flushed });
        if sent.is_err() || is_flushed.await.is_err() {
            std::future::pending().await
        }
    }

    /// Hands an attempt that failed to the writer. Before its job fires again that waits for what was handed over before.
    pub(super) fn failed(&self, attempt: &FailedAttempt) {
        let _ = self.events.send(Event::Failed(attempt.clone()));
    }

    /// Hands a job that died to the writer.
    pub(super) fn dead(&self, job: &JobView, reason: DeathReason) {
        let _ = self.events.send(Event::Dead(Box::new(job.clone()), reason));
    }

    /// Hands occurrences that did not run to the writer.
    pub(super) fn skipped(&self, key: &str, passed: Passed) {
        let _ = self.events.send(Event::Skipped(key.into(), passed));
    }

    /// Has the writer end when it has written everything that was sent before.
    pub(super) fn end(&self) {
        // If it has failed already then it has ended.
        let _ = self.events.send(Event::End);
    }
}

/// Waits until the reader of standard output has gone, or `patience` is over. A file has no reader, so it waits for ever.
#[cfg(unix)]
fn reader_is_gone(patience: Option<&Timespec>) -> bool {
    let stdout = io::stdout();
    loop {
        // Errors, hangups and a closed output are reported without being asked for.
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], patience) {
            Err(rustix::io::Errno::INTR) => {}
            told => return told.is_ok_and(|told| told > 0),
        }
    }
}

fn write_all(mut events: mpsc::UnboundedReceiver<Event>, to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(64 * 1024, to);
    let mut handlers = Vec::new();
    let mut is_open = true;
    while is_open && let Some(first) = events.blocking_recv() {
        let mut next = Some(first);
        let mut count = 0;
        while let Some(event) = next {
            is_open = write(&mut to, event, &mut handlers)?;
            count += 1;
            next = if is_open && count < BATCH_MAX { events.try_recv().ok() } else { None };
        }
        to.flush()?;
        for flushed in handlers.drain(..) {
            // A handler that is gone was dropped with its runtime.
            let _: Result<(), ()> = oneshot::Sender::send(flushed, ());
        }
    }
    Ok(())
}

/// Writes one event. Returns whether more may follow.
fn write(to: &mut impl Write, event: Event, handlers: &mut Vec<oneshot::Sender<()>>) -> io::Result<bool> {
    match event {
        Event::Answered(Ok(Answered::Ack(ack)), _room) => write_line(to, &Written::Ack(&ack))?,
        Event::Answered(Ok(Answered::Page(page)), _room) => write_line(to, &Written::Page(&page))?,
        Event::Answered(Err(mistake), _room) => write_line(to, &Written::Error(&mistake))?,
        Event::Fired { job, flushed } => {
            write_fired(to, &job)?;
            handlers.push(flushed);
        }
        Event::Failed(attempt) => write_failed(to, &attempt)?,
        Event::Dead(job, reason) => write_dead(to, &job, reason)?,
        Event::Skipped(key, passed) => write_skipped(to, &key, passed)?,
        Event::ReaderGone => return Err(io::ErrorKind::BrokenPipe.into()),
        Event::End => return Ok(false),
    }
    Ok(true)
}

fn write_fired(to: &mut impl Write, job: &Job) -> io::Result<()> {
    let progress = job.options().occurrence();
    let fired = Written::Fired {
        key: job.key().as_str(),
        queue: job.queue(),
        due: Rfc3339(job.due()),
        fired_at: Rfc3339(job.fired_at()),
        late_us: u64::try_from(job.lateness().as_micros()).unwrap_or(u64::MAX),
        attempt: job.attempt(),
        scheduled_for: progress.map(|progress| Rfc3339(progress.occurrence.scheduled_for)),
        missed: progress.map(|progress| progress.occurrence.missed),
        // `op` lets in JSON or what was given as base64; what was restored may be of another program.
        payload: payload::Written::to_be_shown(job.payload()),
    };
    write_line(to, &fired)
}

fn write_failed(to: &mut impl Write, attempt: &FailedAttempt) -> io::Result<()> {
    let failed = Written::Failed {
        key: attempt.key.as_str(),
        queue: attempt.queue.as_str(),
        attempt: attempt.attempt,
        cause: attempt.cause,
        error: &attempt.error,
        retry_at: attempt.retry_at.map(Rfc3339),
    };
    write_line(to, &failed)
}

fn write_skipped(to: &mut impl Write, key: &str, passed: Passed) -> io::Result<()> {
    let Passed { count, reason, first, last } = passed;
    write_line(to, &Written::Skipped { key, reason, count, first: Rfc3339(first), last: Rfc3339(last) })
}

fn write_dead(to: &mut impl Write, job: &JobView, reason: DeathReason) -> io::Result<()> {
    let error = job.history.as_deref().and_then(History::last_error);
    let dead = Written::Dead {
        key: job.key.as_str(),
        queue: job.queue.as_str(),
        attempts: job.attempt,
        reason,
        error: error.map(|error| &*error.message),
    };
    write_line(to, &dead)
}

fn write_line(to: &mut impl Write, event: &Written<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *to, event)?;
    to.write_all(b"\n")
}

fn queue_as_text<S: Serializer>(queue: &Option<QueueName>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(queue.as_ref().map_or("", QueueName::as_str))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use reveille::Timestamp;
    use reveille::read::LoadBuckets;
    use serde_json::Value;
    use testkit::schema;

    use super::*;

    const AT: Rfc3339 = Rfc3339(Timestamp::from_micros(1_796_094_000_000_000));

    fn standing() -> Standing {
        Standing {
            fired_at: Some(AT),
            died_at: Some(AT),
            paused_at: Some(AT),
            failed: Some(true),
            due: Some(AT),
            queue: QueueName::new("mails").ok(),
            version: Some(1),
            attempt: Some(1),
            error: Some("no".into()),
        }
    }

    fn key() -> Key {
        Key::new("k").unwrap()
    }

    /// Holds an event that has every field against the schema: it keeps it, and the schema has no field that it has not.
    fn check(event: &Written<'_>) -> Value {
        let mut line = Vec::new();
        write_line(&mut line, event).unwrap();
        let value: Value = serde_json::from_slice(&line).unwrap();
        schema::check_event(&value);
        let definition = format!("event_{}", value["event"].as_str().unwrap());
        assert_eq!(names(&value), names(&schema::document()["$defs"][definition]["properties"]));
        value
    }

    fn names(object: &Value) -> BTreeSet<String> {
        // A payload is one or the other.
        object.as_object().unwrap().keys().filter(|name| *name != "payload_base64").cloned().collect()
    }

    #[test]
    fn the_schema_has_the_fields_that_answers_have() {
        let load = Load::new(AT.0, LoadBuckets { width: Duration::from_secs(60), count: 2 });
        let answer = Answer {
            outcome: "counted",
            was: Some(AT),
            standing: standing(),
            tag: Some("t".into()),
            count: Some(1),
            running: Some(1),
            exact: Some(true),
            bucket: Some("minute"),
            load: Some(load),
        };
        check(&Written::Ack(&Ack { line: 1, op: "load", key: Some(key()), answer }));
        check(&Written::Error(&Mistake { line: 1, error: "no".into() }));
        let jobs = vec![Listed { key: key(), state: JobState::Dead, standing: standing() }];
        let page = check(&Written::Page(&Page { line: 1, jobs, next: Some("first".into()) }));
        assert_eq!(names(&page["jobs"][0]), names(&schema::document()["$defs"]["listed"]["properties"]));
    }

    #[test]
    fn the_schema_has_the_fields_that_other_events_have() {
        let (key, queue, payload) = ("k", "mails", "{}".into());
        check(&Written::Fired {
            key,
            queue,
            due: AT,
            fired_at: AT,
            late_us: 0,
            attempt: 1,
            scheduled_for: Some(AT),
            missed: Some(0),
            payload: payload::Written::to_be_shown(&payload),
        });
        for cause in [Cause::Failed, Cause::Panicked, Cause::TimedOut, Cause::Interrupted] {
            check(&Written::Failed { key, queue, attempt: 1, cause, error: "", retry_at: Some(AT) });
        }
        for reason in [Reason::Coalesced, Reason::Missed, Reason::Overlap, Reason::Paused] {
            check(&Written::Skipped { key, reason, count: 1, first: AT, last: AT });
        }
        for reason in [DeathReason::Exhausted, DeathReason::Killed, DeathReason::Expired] {
            check(&Written::Dead { key, queue, attempts: 1, reason, error: Some("no") });
        }
    }
}
