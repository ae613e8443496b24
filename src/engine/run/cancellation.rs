//! What a handler asks to hear when it is no longer wanted.

use std::sync::Arc;

use super::handler::Job;
use crate::engine::state::{CancelReason, Cancellation, Stage};

impl Job {
    /// Says when this attempt is no longer wanted: the job was cancelled by
    /// [`Engine::cancel_running`](crate::Engine::cancel_running), the engine shuts down, or the attempt takes too long.
    ///
    /// ```
    /// # use reveille::Job;
    /// # async fn next_part() {}
    /// async fn handler(job: Job) -> Result<(), &'static str> {
    ///     let cancellation = job.cancellation();
    ///     loop {
    ///         tokio::select! {
    ///             () = cancellation.cancelled() => return Err("it was cancelled"),
    ///             () = next_part() => {}
    ///         }
    ///     }
    /// }
    /// # let _ = handler;
    /// ```
    pub fn cancellation(&self) -> Cancellation {
        let shared = self.shared();
        let cancellation = shared.signals.of(shared, self.handle(), self.deadline());
        let is_stopped = shared.cell(self.handle().partition()).lock().partition.is_stopped(self.handle());
        if is_stopped {
            cancellation.give(CancelReason::Cancelled);
        } else if shared.is_stopping() {
            cancellation.give(CancelReason::ShuttingDown);
        }
        cancellation
    }

    /// Whether the engine shuts down, or another has taken its jobs: the handler should come to an end, or to a place from which another
    /// attempt goes on. Cheap: a handler that computes may ask often.
    pub fn is_stopping(&self) -> bool {
        self.shared().is_stopping()
    }

    /// Resolves when the engine begins to shut down, or another has taken its jobs: apart from
    /// [`cancellation`](Self::cancellation), for handlers that end in another way then. It borrows nothing of the job.
    ///
    /// ```
    /// use reveille::{Job, JobResult};
    /// use std::time::Duration;
    /// # async fn next_part() -> Option<()> { None }
    ///
    /// async fn handler(job: Job) -> JobResult {
    ///     let mut stopping = std::pin::pin!(job.stopping());
    ///     loop {
    ///         tokio::select! {
    ///             part = next_part() => if part.is_none() { return JobResult::Done },
    ///             // What is done is kept, and the next process goes on.
    ///             () = &mut stopping => return JobResult::again_in(Duration::ZERO),
    ///         }
    ///     }
    /// }
    /// # let _ = handler;
    /// ```
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::clone(self.shared());
        async move { shared.life.reached(Stage::Stopping).await }
    }
}
