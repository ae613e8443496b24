//! The committers: a task for each partition that takes what was logged to the store, in batches, and tells those who wait.
//!
//! While one batch is on its way the next gathers in the buffer, so batches grow with the load and an idle log is flushed
//! at once. A partition whose batch the store refuses for now does not hold up the others.
//!
//! # The end
//! A committer ends when the engine stops and no job is running, after a last flush; or when the engine is abandoned,
//! whatever is left. However it ends, by a panic of the store or with its runtime too, it says so to all who wait or will.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::error::CallError;
use super::shared::{Shared, Stage};
use crate::store::{Batch, Store, StoreError, StoreErrorClass};

const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// How long a flush may take once the engine was dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a committer for every partition.
pub(super) fn start(shared: &Arc<Shared>, store: &Arc<dyn Store>) {
    for at in 0..shared.cells.len() {
        // Made here, so that it is dropped, and speaks, even if the runtime does not take the task.
        let ending = Ending { shared: Arc::clone(shared), at };
        let store = Arc::clone(store);
        shared.runtime.spawn(async move { run(&ending.shared, &*store, ending.at).await });
    }
}

/// Tells those who wait that nothing more will come.
struct Ending {
    shared: Arc<Shared>,
    at: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.cells[self.at].progress.end(CallError::Interrupted);
        self.shared.unblock_log(self.at);
    }
}

async fn run(shared: &Arc<Shared>, store: &dyn Store, at: usize) {
    loop {
        let is_last = shared.is_stopping() && shared.life.running.load(SeqCst) == 0;
        tokio::select! {
            biased;
            () = given_up(shared) => return,
            () = flush(shared, store, at) => {}
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = shared.life.reached(Stage::Abandoned) => return,
            () = shared.cells[at].flush.notified() => {}
        }
    }
}

/// Resolves when a flush that has begun now has gone on for long enough.
async fn given_up(shared: &Shared) {
    shared.life.reached(Stage::Dropped).await;
    let abandoned = shared.life.reached(Stage::Abandoned);
    let _ = tokio::time::timeout(PATIENCE, abandoned).await;
}

/// Takes what is logged to the store, as often as it takes.
async fn flush(shared: &Arc<Shared>, store: &dyn Store, at: usize) {
    let cell = &shared.cells[at];
    let (first_record, records) = cell.lock().log.take();
    if !records.is_empty() && !cell.progress.is_ended() {
        let end = first_record + records.len() as u64;
        let Some(grant) = cell.grant.clone() else { return };
        let batch = Batch { grant, first_record, records };
        match append(store, &batch).await {
            Ok(()) => cell.progress.advance(end),
            Err(error) => {
                tracing::error!(partition = at, %error, "the store takes no more records; calls are no longer durable");
                cell.progress.end(CallError::NotDurable(error));
            }
        }
    }
    shared.unblock_log(at);
}

/// Sends a batch until it is taken, or refused for good.
async fn append(store: &dyn Store, batch: &Batch) -> Result<(), StoreError> {
    let mut pause = RETRY_FIRST;
    loop {
        match store.append(batch).await {
            Err(error) if error.class == StoreErrorClass::Retry => {
                tracing::warn!(partition = batch.grant.partition.0, %error, "the store did not take a batch; it is sent again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
            }
            end => return end,
        }
    }
}
