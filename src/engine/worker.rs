//! Workers: tasks on the runtime that pull due jobs of one queue and run its handler.
//!
//! Workers are started when there is work and nobody idle to do it, up to the queue's concurrency, and leave when more
//! are idle than a little burst would need. A job is started one at a time, by the worker that will run it now: until
//! then it can still be cancelled, and none waits behind a handler that takes its time.

use std::future::Future;
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
        None => queue.worker_leaves(|_| false),
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
        let called = || queue.called(IDLE_MAX, |queue| shared.could_start(queue), || shared.is_stopping());
        if shared.is_stopping() || !called().await {
            break;
        }
        (jobs_in_turn, turn_began) = (0, shared.clock.now().mono);
    }
    queue.worker_leaves(|queue| shared.could_start(queue));
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
