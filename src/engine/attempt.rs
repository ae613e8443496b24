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
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::error::CallError;
use super::handler::{BoxError, Ends, InlineFn, Job, Seat};
use super::shared::Probed;
use crate::partition::{End, Handle};

/// Why an attempt failed, in words.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) is_panic: bool,
}

impl Failure {
    fn of_error(error: BoxError) -> Self {
        Failure { message: error.to_string(), is_panic: false }
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
        Failure { message, is_panic: true }
    }

    /// A job that may run at most once, whose start the store did not take.
    pub(super) fn not_begun(error: &CallError) -> Self {
        Failure {
            message: format!("its start was not made durable, so it was not run: {error}"),
            is_panic: false,
        }
    }
}

/// Runs an async handler to its end.
pub(super) async fn run_async<F, Fut>(handler: &F, job: Job) -> Result<(), Failure>
where
    F: Fn(Job) -> Fut,
    Fut: Future,
    Fut::Output: Ends,
{
    let mut future = pin!(Some(guarded(|| Ok(handler(job)))?));
    let end = poll_fn(|context| {
        let polled = guarded(|| match future.as_mut().as_pin_mut().map(|future| future.poll(context)) {
            Some(Poll::Pending) => Ok(Poll::Pending),
            Some(Poll::Ready(outcome)) => outcome.into_end().map(Poll::Ready).map_err(Failure::of_error),
            None => Ok(Poll::Ready(())),
        });
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    })
    .await;
    let dropped = guarded(|| {
        future.set(None);
        Ok(())
    });
    end.and(dropped)
}

/// Runs an inline handler to its end.
pub(super) fn run_inline(handler: &InlineFn, job: &Job) -> Result<(), Failure> {
    guarded(|| handler(job).map_err(Failure::of_error))
}

fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Failure::of_panic(panic)))
}

/// Logs and counts how an attempt ended.
pub(super) fn report(seat: &Seat, handle: Handle, end: Result<(), Failure>) -> End {
    let at = usize::from(handle.partition().0);
    if let Some(probe) = &seat.shared.probe {
        probe(Probed::Ended(handle, end.as_ref().map(|_| ())));
    }
    let share = seat.queue.share(at);
    let Err(Failure { message, is_panic }) = end else {
        share.succeeded.fetch_add(1, Ordering::Relaxed);
        return End::Done;
    };
    share.failed.fetch_add(1, Ordering::Relaxed);
    share.panicked.fetch_add(u64::from(is_panic), Ordering::Relaxed);
    seat.queue.meters.failed.increment(1);
    // Looked up only here, so that no job carries its names for this.
    let Some((id, key)) = seat.shared.cells[at].lock().partition.names(handle) else { return End::Failed };
    tracing::warn!(queue = %seat.queue.name, %key, %id, error = message, "a job failed");
    End::Failed
}
