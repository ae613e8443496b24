//! The committer: a task that takes what the partitions have logged to the store, in batches, and tells those who wait.
//!
//! While one batch is on its way the next gathers in the buffer, so batches grow with the load and an idle log is
//! flushed at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::error::CallError;
use super::shared::Shared;
use crate::partition::PartitionId;
use crate::store::{Batch, Store, StoreErrorClass};

const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Runs until the engine has stopped and everything that was logged by then has been taken.
pub(super) async fn run(shared: Arc<Shared>) {
    let Some(store) = shared.store.clone() else { return };
    loop {
        let is_last = shared.is_stopping() && shared.life.running.load(SeqCst) == 0;
        for at in 0..shared.cells.len() {
            flush(&shared, &*store, at).await;
        }
        if is_last {
            break;
        }
        shared.flush.notified().await;
    }
    // A call that slipped in while the engine stopped is told so, and does not wait for ever.
    for cell in &shared.cells {
        cell.progress.end(CallError::Interrupted);
    }
}

async fn flush(shared: &Arc<Shared>, store: &dyn Store, at: usize) {
    let cell = &shared.cells[at];
    let (first_record, records) = cell.lock().log.take();
    if records.is_empty() || cell.progress.is_ended() {
        return;
    }
    let end = first_record + records.len() as u64;
    let batch = Batch { partition: PartitionId(at as u16), first_record, records };
    let mut pause = RETRY_FIRST;
    loop {
        match store.append(batch.clone()).await {
            Ok(()) => break,
            Err(error) if error.class == StoreErrorClass::Retry => {
                tracing::warn!(partition = at, %error, "the store did not take a batch; it is sent again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
            }
            Err(error) => {
                tracing::error!(partition = at, %error, "the store takes no more records; calls are no longer durable");
                cell.progress.end(CallError::NotDurable(error));
                break;
            }
        }
    }
    if !cell.progress.is_ended() {
        cell.progress.advance(end);
    }
    if cell.is_log_full.swap(false, SeqCst) {
        // Work stood still for want of room in the log.
        shared.waker.wake();
        for queue in shared.queues.iter().filter(|queue| queue.has_work()) {
            queue.call_worker();
        }
    }
}
