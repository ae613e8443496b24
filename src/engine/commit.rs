//! The answer to a call: what it did, at once, and that it will last, later.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::CallError;

/// What a call did, and a future that resolves when it will last.
///
/// The call has taken effect in memory by the time that this is returned: [`outcome`](Self::outcome) tells what it did.
/// `.await` gives the same, once the change is as durable as was asked for; or the error that stood in the way.
///
/// ```
/// # use reveille::{Engine, Job, ScheduleOutcome};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let engine = Engine::builder().queue("q", |_: Job| async {}).start().await?;
/// let commit = engine.schedule_raw("q", "hello").key("greeting").after(Duration::from_secs(60));
/// assert!(matches!(commit.outcome(), Ok(ScheduleOutcome::Scheduled { .. }))); // at once
/// let outcome = commit.await?; // once it is durable
/// # let _ = outcome; Ok(()) }
/// ```
#[must_use = "await it to know that the change will last and whether it was made, or look at its `outcome()`"]
pub struct Commit<T, E> {
    /// Taken when it has been given out.
    outcome: Option<Result<T, E>>,
    durable: Option<Durable>,
}

type Durable = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

impl<T, E> Commit<T, E> {
    /// A commit that waits for nothing.
    pub(super) fn now(outcome: Result<T, E>) -> Self {
        Commit { outcome: Some(outcome), durable: None }
    }

    /// A commit that waits for `durable`.
    pub(super) fn after(
        outcome: T,
        durable: impl Future<Output = Result<(), CallError>> + Send + 'static,
    ) -> Self {
        Commit { outcome: Some(Ok(outcome)), durable: Some(Box::pin(durable)) }
    }

    /// What the call did in memory, or why it did nothing.
    ///
    /// # Errors
    /// When the call was refused: nothing was changed.
    ///
    /// # Panics
    /// When the commit has been polled to its end.
    pub fn outcome(&self) -> Result<&T, &E> {
        self.outcome.as_ref().expect("the outcome is asked for before the commit has ended").as_ref()
    }

    /// What the call did in memory, without waiting for it to last.
    ///
    /// # Errors
    /// When the call was refused: nothing was changed.
    ///
    /// # Panics
    /// When the commit has been polled to its end.
    pub fn into_outcome(self) -> Result<T, E> {
        self.outcome.expect("the outcome is asked for before the commit has ended")
    }
}

impl<T: Unpin, E: From<CallError> + Unpin> Future for Commit<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(durable) = &mut self.durable {
            let Poll::Ready(durable) = durable.as_mut().poll(context) else { return Poll::Pending };
            self.durable = None;
            if let Err(error) = durable {
                self.outcome = Some(Err(error.into()));
            }
        }
        Poll::Ready(self.outcome.take().expect("a commit is not polled after its end"))
    }
}

impl<T: fmt::Debug, E: fmt::Debug> fmt::Debug for Commit<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_durable = self.durable.is_none();
        f.debug_struct("Commit").field("outcome", &self.outcome).field("is_durable", &is_durable).finish()
    }
}
