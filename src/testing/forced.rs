//! Attempts that fail because a test says so: retries and the dead set of an application are tested without a handler that
//! knows of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::TestEngine;
use crate::engine::{Failure, FailureKind};
use crate::partition::Key;

/// Which attempts are to fail, how often, and in which way: for [`TestEngine::force`].
///
/// Without more words they fail with an error, until [`Forced::end`]. Their handlers do not run, nor do layers around
/// these.
///
/// ```
/// use reveille::testing::ForcedFailure;
///
/// let outage = ForcedFailure::of_queue("mails").error("the server is away");
/// let twice = ForcedFailure::of_key("order:42").times(2).panic("index out of bounds");
/// let slow = ForcedFailure::of_any().times(1).time_out();
/// # let _ = (outage, twice, slow);
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing fails until it is given to `TestEngine::force`"]
pub struct ForcedFailure {
    of: Of,
    times: Option<u64>,
    way: Way,
}

#[derive(Clone, Debug)]
enum Of {
    Any,
    Key(String),
    Queue(String),
}

#[derive(Clone, Debug)]
enum Way {
    Error(String),
    Panic(String),
    TimeOut,
}

impl ForcedFailure {
    fn new(of: Of) -> Self {
        ForcedFailure { of, times: None, way: Way::Error("a test has this attempt fail".into()) }
    }

    /// Attempts at any job.
    pub fn of_any() -> Self {
        ForcedFailure::new(Of::Any)
    }

    /// Attempts at the job of this key.
    pub fn of_key(key: impl Into<String>) -> Self {
        ForcedFailure::new(Of::Key(key.into()))
    }

    /// Attempts at jobs of this queue.
    pub fn of_queue(name: impl Into<String>) -> Self {
        ForcedFailure::new(Of::Queue(name.into()))
    }

    /// So many attempts, the next ones; those after them are left alone.
    pub fn times(mut self, attempts: u64) -> Self {
        self.times = Some(attempts);
        self
    }

    /// As if their handlers returned this error.
    pub fn error(mut self, message: impl Into<String>) -> Self {
        self.way = Way::Error(message.into());
        self
    }

    /// As if their handlers panicked with this message. Nothing does, so no panic hook is called.
    pub fn panic(mut self, message: impl Into<String>) -> Self {
        self.way = Way::Panic(message.into());
        self
    }

    /// As if their handlers had taken longer than they may. No time passes.
    pub fn time_out(mut self) -> Self {
        self.way = Way::TimeOut;
        self
    }
}

/// Attempts that were to fail: how many have, and the end of it. Dropped, it ends nothing.
#[derive(Clone, Debug)]
pub struct Forced(Arc<Course>);

#[derive(Debug, Default)]
struct Course {
    attempts: AtomicU64,
    has_ended: AtomicBool,
}

impl Forced {
    /// How many attempts have failed for it.
    pub fn attempts(&self) -> u64 {
        self.0.attempts.load(SeqCst)
    }

    /// Has no further attempt fail.
    pub fn end(&self) {
        self.0.has_ended.store(true, SeqCst);
    }
}

/// A failure that was asked for.
pub(super) struct Rule {
    forced: ForcedFailure,
    course: Arc<Course>,
}

impl Rule {
    pub(super) fn is_over(&self) -> bool {
        self.course.has_ended.load(SeqCst) || self.forced.times == Some(0)
    }

    /// How an attempt is to end that begins now, if this is about it.
    pub(super) fn apply(&mut self, queue: &str, key: &Key) -> Option<Failure> {
        let is_meant = match &self.forced.of {
            Of::Any => true,
            Of::Key(of) => of == key.as_str(),
            Of::Queue(of) => of == queue,
        };
        if !is_meant || self.is_over() {
            return None;
        }
        if let Some(times) = &mut self.forced.times {
            *times -= 1;
        }
        self.course.attempts.fetch_add(1, SeqCst);
        let (message, kind) = match &self.forced.way {
            Way::Error(message) => (message.clone(), FailureKind::Failed),
            Way::Panic(message) => (format!("the handler panicked: {message}"), FailureKind::Panicked),
            Way::TimeOut => {
                ("the attempt took longer than it may, as a test has it".into(), FailureKind::TimedOut)
            }
        };
        Some(Failure { message, kind })
    }
}

impl TestEngine {
    /// Has attempts fail from here on, in place of their handlers. What was asked for first goes first, and one that has had its
    /// times is gone. It is kept over a [`crash`](Self::crash).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, QueueConfig, Retry, Timestamp};
    /// # use reveille::testing::{FiredEnd, ForcedFailure, TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mails = QueueConfig::new("mails").retry(Retry::attempts(3).fixed(Duration::from_secs(60)));
    /// let engine = TestEngine::start(Engine::builder().queue(mails, |_: Job| async {}), Timestamp::from_micros(0)).await?;
    /// engine.schedule_raw("mails", "").key("hello").after(Duration::ZERO).await?.scheduled()?;
    ///
    /// let outage = engine.force(ForcedFailure::of_queue("mails").times(2).error("the server is away"));
    /// let fired = engine.advance(Duration::from_secs(300)).await;
    /// assert_eq!(fired[0].end, FiredEnd::Failed("the server is away".into()));
    /// assert_eq!((fired[2].attempt, &fired[2].end), (3, &FiredEnd::Succeeded));
    /// assert_eq!(outage.attempts(), 2);
    /// # Ok(()) }
    /// ```
    pub fn force(&self, failure: ForcedFailure) -> Forced {
        let course = Arc::new(Course::default());
        self.sink.lock().rules.push(Rule { forced: failure, course: Arc::clone(&course) });
        Forced(course)
    }
}
