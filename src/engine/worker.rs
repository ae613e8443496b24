//! Workers: tasks on the runtime that pull due jobs of one queue and run its handler.
//!
//! Workers are started when there is work and nobody idle to do it, up to the queue's concurrency, and leave when more
//! are idle than a little burst would need. A job is started one at a time, by the worker that will run it now: until
//! then it can still be cancelled, and none waits behind a handler that takes its time.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};

use super::attempt::{Failure, report, run_async};
use super::handler::{Job, Outcome};
use super::queue::{Queue, Runner};
use super::shared::Shared;
use crate::partition::{Delivery, MonoTime, Started};

/// Idle workers that a queue keeps.
const IDLE_MAX: usize = 8;

/// After so many jobs, or after so long, a worker lets other tasks of the runtime have a turn.
const JOBS_PER_TURN: u32 = 32;
const TURN_US: u64 = 200;

/// Has a queue's jobs run by workers with this handler.
pub(super) fn runner<F, Fut>(shared: Weak<Shared>, handler: Arc<F>) -> Runner
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    Runner::Workers(Box::new(move |queue| match shared.upgrade() {
        Some(shared) => {
            let worker = work(Arc::clone(&shared), Arc::clone(queue), Arc::clone(&handler));
            shared.runtime.spawn(worker);
        }
        // The engine has gone, and there will be no more work.
        None => queue.worker_leaves(),
    }))
}

/// The life of a worker. Generic over the handler, so that a job's future lives in its worker and not in a box.
async fn work<F, Fut>(shared: Arc<Shared>, queue: Arc<Queue>, handler: Arc<F>)
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    let (mut jobs_in_turn, mut turn_began) = (0, shared.clock.now().mono);
    // Begins anywhere, so that workers spread over the partitions; goes on with the next at every turn, so that each
    // partition has its share.
    let mut partition = queue.next_seat();
    loop {
        if let Some(started) = shared.start_next(&queue, &mut partition) {
            if shared.could_start(&queue) {
                queue.call_workers(1);
            }
            let ended = run(&shared, &queue, &*handler, started).await;
            jobs_in_turn += 1;
            if jobs_in_turn >= JOBS_PER_TURN || ended.micros_since(turn_began) >= TURN_US {
                (jobs_in_turn, turn_began) = (0, ended);
                partition += 1;
                tokio::task::yield_now().await;
            }
            continue;
        }
        if shared.is_stopping() || !wait(&shared, &queue).await {
            break;
        }
        (jobs_in_turn, turn_began) = (0, shared.clock.now().mono);
    }
    queue.worker_leaves();
    // Work may have come after this worker looked and before it was off the books.
    if shared.could_start(&queue) {
        queue.call_workers(1);
    }
}

/// Waits for a call. `false` when the worker should leave instead.
async fn wait(shared: &Shared, queue: &Queue) -> bool {
    let mut called = pin!(queue.work.notified());
    // Listen, then say so, then look once more: whoever brings work after that look finds an idle worker to call.
    called.as_mut().enable();
    let already_idle = queue.worker_idles();
    let is_busy = shared.could_start(queue);
    let stays = already_idle < IDLE_MAX;
    if !is_busy && stays && !shared.is_stopping() {
        called.await;
    }
    queue.worker_returns();
    is_busy || stays
}

/// Returns when the job ended.
async fn run<F, Fut>(shared: &Arc<Shared>, queue: &Arc<Queue>, handler: &F, started: Started) -> MonoTime
where
    F: Fn(Job) -> Fut,
    Fut: Future,
    Fut::Output: Outcome,
{
    let (handle, id, key) = (started.handle, started.id, started.key.clone());
    if started.delivery == Delivery::AtMostOnce
        && let Err(error) = shared.log_flushed(handle.partition()).await
    {
        // Not known to be started, so not begun: that is what at most once means.
        let end = report(queue, &key, id, Err(Failure::not_begun(&error)));
        return shared.finish(queue, handle, end);
    }
    let end = run_async(handler, Job::new(started, queue, shared)).await;
    let end = report(queue, &key, id, end);
    shared.finish(queue, handle, end)
}
