//! One attempt at a job: the handler runs, and how it ended is logged and counted.
//!
//! All that belongs to the user runs in here behind `catch_unwind`: the call, every poll, the drop of the future, and the
//! error's own words. A panic in any of them is a failed attempt. It is never the end of a worker, nor of the driver.
//!
//! As to unwind safety: what a panicking handler leaves behind is its own affair. The engine's state is not in its reach,
//! and its future is not polled again.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tracing::Span;

use super::handler::{BoxError, Ends, InlineFn, Job, JobResult, Seat};
use super::recurs::Recurs;
use super::sequel::Sequel;
use super::spans;
use crate::chain::Chain;
use crate::engine::error::CallError;
use crate::engine::meters::seconds;
use crate::engine::state::{Failure, FailureKind, Probed};
use crate::partition::{End, Handle, MonoTime, Started};
use crate::rt;

/// What the engine keeps of an attempt; the job itself belongs to its handler.
pub(crate) struct Attempt {
    pub(crate) handle: Handle,
    /// Counted from 1.
    number: u16,
    /// When it began.
    pub(crate) began: MonoTime,
    /// The span that the handler runs in, if a subscriber wants it.
    span: Option<Span>,
    /// If it is of a job that recurs.
    recurs: Option<Box<Recurs>>,
}

impl Attempt {
    #[inline]
    pub(crate) fn new(started: &mut Started, seat: &Seat) -> Self {
        let recurs = Recurs::begin(started, seat);
        let span = spans::are_wanted().then(|| spans::of(started, seat));
        Attempt { handle: started.handle, number: started.attempt, began: started.began, span, recurs }
    }

    /// The handler ended at `ended`.
    pub(crate) fn took_until(&self, ended: MonoTime, seat: &Seat) {
        seat.queue.meters.duration_s.record(seconds(ended.micros_since(self.began)));
    }
}

impl Failure {
    pub(super) fn of_error(error: BoxError) -> Self {
        Failure { message: Chain(&*error).to_string(), kind: FailureKind::Failed }
    }

    fn of_panic(panic: Box<dyn Any + Send>) -> Self {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = match text {
            Some(text) => format!("the handler panicked: {text}"),
            None => {
                // Some type of the user's, whose drop may panic in its turn.
                std::mem::forget(panic);
                "the handler panicked".into()
            }
        };
        Failure { message, kind: FailureKind::Panicked }
    }

    fn timed_out(limit: Option<Duration>) -> Self {
        let message = format!("the attempt took longer than {:?}", limit.unwrap_or_default());
        Failure { message, kind: FailureKind::TimedOut }
    }

    /// A job that may run at most once, whose start the store did not take.
    pub(crate) fn not_begun(error: &CallError) -> Self {
        Failure {
            message: format!("its start was not made durable, so it was not run: {error}"),
            kind: FailureKind::Failed,
        }
    }
}

/// What it comes to.
fn result(returned: JobResult) -> Result<(), Failure> {
    let failure = |error, kind| Failure { kind, ..Failure::of_error(error) };
    Err(match returned {
        JobResult::Done => return Ok(()),
        JobResult::Failed(error) => Failure::of_error(error),
        JobResult::RetryIn(delay, error) => failure(error, FailureKind::RetryIn(delay)),
        JobResult::Dead(error) => failure(error, FailureKind::Killed),
        JobResult::Again(due) => Failure { message: String::new(), kind: FailureKind::Again(due) },
        JobResult::Discarded(message) => Failure { message, kind: FailureKind::Discarded },
    })
}

/// Runs an async handler to its end. All that is its own runs in the attempt's span: what it does while it is not polled, on
/// tasks of its own, has that as a parent only if it says so.
///
/// The job is taken where it lies, on its way to the handler: to pass it on by value is to copy it, time and again.
pub(crate) async fn run_async<F, Fut>(
    attempt: &Attempt,
    handler: F,
    job: &mut Option<Started>,
    seat: &Arc<Seat>,
    limit: Option<Duration>,
) -> Result<(), Failure>
where
    F: FnOnce(Job) -> Fut,
    Fut: Future,
    Fut::Output: Ends,
{
    if let Some(failure) = forced(attempt, seat) {
        *job = None;
        return Err(failure);
    }
    let begin = || job.take().map(|started| handler(Job::new(started, seat)));
    let mut future = pin!(guarded(attempt, || Ok(begin()))?);
    let mut timer = limit.map(|limit| Box::pin(rt::sleep(limit)));
    let end = poll_fn(|context| {
        let polled =
            guarded(attempt, || match future.as_mut().as_pin_mut().map(|future| future.poll(context)) {
                Some(Poll::Pending) => Ok(Poll::Pending),
                Some(Poll::Ready(returned)) => result(returned.into_end()).map(Poll::Ready),
                None => Ok(Poll::Ready(())),
            });
        match polled {
            Ok(Poll::Pending) => match &mut timer {
                Some(timer) => timer.as_mut().poll(context).map(|()| Err(Failure::timed_out(limit))),
                None => Poll::Pending,
            },
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    })
    .await;
    let dropped = guarded(attempt, || {
        future.set(None);
        Ok(())
    });
    end.and(dropped)
}

/// Runs an inline handler to its end.
pub(crate) fn run_inline(attempt: &Attempt, handler: &InlineFn, job: &Job) -> Result<(), Failure> {
    if let Some(failure) = forced(attempt, job.seat()) {
        return Err(failure);
    }
    guarded(attempt, || result(handler(job)))
}

/// What a test has the attempt end with, in place of its handler.
#[inline]
fn forced(attempt: &Attempt, seat: &Seat) -> Option<Failure> {
    let probe = seat.shared.probe.as_ref()?;
    let mut failure = None;
    probe(Probed::Begins(attempt.handle, &mut failure));
    failure
}

/// In the span also for the sake of the panic hook: it alone knows where a panic came from, and runs here.
fn guarded<T>(attempt: &Attempt, run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let run = || match &attempt.span {
        None => run(),
        Some(span) => span.in_scope(run),
    };
    caught(run)
}

/// A panic as a failure.
pub(super) fn caught<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Failure::of_panic(panic)))
}

/// Logs and counts how an attempt ended, and says what comes after it.
pub(crate) fn report(seat: &Seat, attempt: &Attempt, end: Result<(), Failure>) -> Result<(), Box<Sequel>> {
    let handle = attempt.handle;
    if let Some(probe) = &seat.shared.probe {
        probe(Probed::Ended(handle, end.as_ref().map(|_| ())));
    }
    let Err(failure) = end else {
        seat.queue.share(usize::from(handle.partition().0)).succeeded.fetch_add(1, Ordering::Relaxed);
        return match &attempt.recurs {
            None => Ok(()),
            Some(recurs) => Err(follow(seat, attempt, recurs, Sequel::Ends(End::Done))),
        };
    };
    Err(Box::new(report_failure(seat, attempt, &failure)))
}

/// What comes after an occurrence of a recurring job.
#[cold]
fn follow(seat: &Seat, attempt: &Attempt, recurs: &Recurs, sequel: Sequel) -> Box<Sequel> {
    let (sequel, passed) = recurs.follow(sequel, seat.shared.clock.now().wall);
    if let Some(passed) = passed
        && let Some(known) = seat.shared.known(attempt.handle)
    {
        seat.queue.tell_passed(known.key.as_str(), passed);
    }
    Box::new(sequel)
}

#[cold]
fn report_failure(seat: &Seat, attempt: &Attempt, failure: &Failure) -> Sequel {
    let is_panic = matches!(failure.kind, FailureKind::Panicked);
    let share = seat.queue.share(usize::from(attempt.handle.partition().0));
    share.failed.fetch_add(u64::from(failure.is_fault()), Ordering::Relaxed);
    share.panicked.fetch_add(u64::from(is_panic), Ordering::Relaxed);
    match failure.kind {
        FailureKind::TimedOut => share.timed_out.fetch_add(1, Ordering::Relaxed),
        FailureKind::Discarded => {
            seat.queue.tell_discarded(&failure.message, || seat.shared.running(attempt.handle));
            share.discarded.fetch_add(1, Ordering::Relaxed)
        }
        _ => 0,
    };
    // Looked up only here, so that no job carries its names for this.
    let Some(known) = seat.shared.known(attempt.handle) else { return Sequel::Ends(End::Failed) };
    let sequel = Sequel::of(failure, &known, seat.queue.policy());
    let sequel = match &attempt.recurs {
        None => sequel,
        Some(recurs) => *follow(seat, attempt, recurs, sequel),
    };
    if failure.is_fault() {
        known.tell_failure(&seat.queue, failure, &sequel);
        attempt.span.iter().for_each(|span| spans::fail(span, failure));
    }
    let retry_in = match &sequel {
        Sequel::Again(again) => Some(format!("{:?}", again.due)),
        _ => None,
    };
    share.retried.fetch_add(u64::from(retry_in.is_some()), Ordering::Relaxed);
    // Whole by itself: a filter may have dropped the span.
    let (key, queue, attempt_no) = (known.key.as_str(), seat.queue.name.as_str(), attempt.number);
    let (id, parent) = (known.id, attempt.span.as_ref().and_then(Span::id));
    let error = failure.message.as_str();
    match failure.kind {
        FailureKind::Again(_) => {
            tracing::debug!(parent: parent, key, queue, attempt = attempt_no, %id, again = retry_in, "a job runs again");
        }
        FailureKind::Discarded => {
            tracing::info!(parent: parent, key, queue, attempt = attempt_no, %id, reason = error, "a job was discarded");
        }
        _ => {
            tracing::warn!(
                parent: parent,
                key,
                queue,
                attempt = attempt_no,
                %id,
                is_panic,
                error,
                retry = retry_in,
                "a job failed"
            );
        }
    }
    sequel
}
