//! What a handler asks to hear when it is no longer wanted.

use super::handler::Job;
use crate::engine::state::{CancelReason, Cancellation};

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
}
