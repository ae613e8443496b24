//! What a handler says of itself while it runs, and what it may ask of the attempts before it.

use super::handler::Job;
use crate::job::{AttemptError, History, ProgressNote};
use crate::partition::Handle;

impl Job {
    /// Says how far the handler is, in a few words, to whoever asks: [`Engine::progress`](crate::Engine::progress). The
    /// last note counts, of up to 256 bytes, and it is gone when the handler ends. It is not written to the store: for
    /// what must survive a crash, keep it where the work is. A handler that notes nothing pays nothing.
    ///
    /// ```
    /// # use reveille::Job;
    /// # struct Page; impl Page { async fn import(&self) {} }
    /// async fn import(job: Job, pages: Vec<Page>) {
    ///     for (done, page) in pages.iter().enumerate() {
    ///         job.progress(format!("{done} of {} pages", pages.len()));
    ///         page.import().await;
    ///     }
    /// }
    /// # let _ = import;
    /// ```
    pub fn progress(&self, note: impl AsRef<str>) {
        let shared = self.shared();
        let note = ProgressNote::new(note.as_ref(), shared.clock.now().wall);
        let is_running = |handle: Handle| shared.cell(handle.partition()).lock().partition.is_running(handle);
        shared.notes.keep(self.started(), note, is_running);
    }

    /// What is remembered of the attempts at it that have failed; `None` if none has. Looked up when asked for.
    pub fn history(&self) -> Option<Box<History>> {
        self.shared().running(self.handle())?.history
    }

    /// Why the attempt before this one failed, if it is tried again. Looked up when asked for.
    pub fn last_error(&self) -> Option<AttemptError> {
        self.history()?.errors.pop()
    }
}
