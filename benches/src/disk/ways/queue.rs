//! What waits becomes one write: a thread takes all that there is, writes it, syncs it if anybody asked for that, and answers.
//!
//! Those who were answered together come back together, the first a moment before the others: were it served at once, the others
//! would wait for the next sync. So as many as last time are waited for, for a twentieth of the time that the last sync took.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reveille::store::StoreError;
use tokio::sync::oneshot;

use super::backend::{Backend, Change};

#[derive(Debug)]
pub(crate) struct Queue {
    sender: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Request {
    changes: Vec<Change>,
    /// Whether it also waits for all of it, and all before it, to be on the disk.
    is_synced: bool,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// What was written last.
#[derive(Default)]
struct Last {
    requests: usize,
    took: Duration,
}

/// Less is over before a thread has slept.
const WORTH_WAITING: Duration = Duration::from_micros(50);

/// The answer to a request.
pub(crate) type Answer = oneshot::Receiver<Result<(), StoreError>>;

impl Queue {
    pub(crate) fn start(backend: Arc<dyn Backend>) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || serve(&*backend, &receiver));
        Queue { sender: Some(sender), thread: Some(thread) }
    }

    /// Sends now, and not when the answer is awaited: the order of requests is that of calls.
    pub(crate) fn send(&self, changes: Vec<Change>, is_synced: bool) -> Answer {
        let (answer, answered) = oneshot::channel();
        if let Some(sender) = &self.sender {
            // A thread that is gone has dropped the answer.
            let _ = sender.send(Request { changes, is_synced, answer });
        }
        answered
    }
}

/// Awaits an answer.
pub(crate) async fn answered(answer: Answer) -> Result<(), StoreError> {
    answer.await.unwrap_or_else(|_| Err(StoreError::fatal("the store's thread has ended")))
}

/// The first request, and those that come with it.
fn gather(first: Request, receiver: &Receiver<Request>, last: &Last) -> Vec<Request> {
    let mut group = vec![first];
    group.extend(receiver.try_iter());
    let patience = last.took / 20;
    if patience < WORTH_WAITING {
        return group;
    }
    let began = Instant::now();
    while group.len() < last.requests
        && let Some(left) = patience.checked_sub(began.elapsed())
        && let Ok(request) = receiver.recv_timeout(left)
    {
        group.push(request);
    }
    group
}

fn serve(backend: &dyn Backend, receiver: &Receiver<Request>) {
    let (mut failed, mut last) = (None, Last::default());
    while let Ok(first) = receiver.recv() {
        let mut group = gather(first, receiver, &last);
        let began = Instant::now();
        let changes: Vec<_> =
            group.iter_mut().flat_map(|request| std::mem::take(&mut request.changes)).collect();
        // After a failed write or sync nobody knows what is there: no later success may cover it up.
        if failed.is_none() {
            let is_synced = group.iter().any(|request| request.is_synced);
            let mut written = if changes.is_empty() { Ok(()) } else { backend.commit(changes) };
            if written.is_ok() && is_synced {
                written = backend.sync();
            }
            failed = written.err().map(|error| StoreError::fatal(format!("{error}; open the store again")));
        }
        last = Last { requests: group.len(), took: began.elapsed() };
        for request in group {
            let _ = request.answer.send(failed.clone().map_or(Ok(()), Err));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
