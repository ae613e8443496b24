//! Workers: tasks on the runtime that pull due jobs of one queue and run its handler.
//!
//! Workers are started when there is work and nobody idle to do it, up to the queue's concurrency, and leave when more
//! are idle than a little burst would need. A job is started one at a time, by the worker that will run it now: until
//! then it can still be cancelled, and none waits behind a handler that takes its time.

use std::future::Future;
use std::sync::{Arc, Weak};

use super::attempt::{Failure, report, run_async};
use super::handler::{Ends, Job, Seat};
use super::queue::Runner;
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
    Fut::Output: Ends,
{
    Runner::Workers(Box::new(move |queue| match shared.upgrade() {
        Some(shared) => {
            let seat = Seat { shared: Arc::clone(&shared), queue: Arc::clone(queue) };
            shared.runtime.spawn(work(Arc::new(seat), Arc::clone(&handler)));
        }
        // The engine has gone, and there will be no more work.
        None => queue.worker_leaves(|_| false),
    }))
}

/// The life of a worker. Generic over the handler, so that a job's future lives in its worker and not in a box.
async fn work<F, Fut>(seat: Arc<Seat>, handler: Arc<F>)
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Ends,
{
    let (shared, queue) = (&seat.shared, &seat.queue);
    let mut turn = Turn::begins(shared.clock.mono());
    // Begins anywhere, so that workers spread over the partitions; goes on with the next at every turn, so that each
    // partition has its share.
    let mut partition = queue.next_seat();
    let mut next = None;
    loop {
        if let Some(started) = next.take().or_else(|| shared.start_next(queue, &mut partition)) {
            if queue.has_workers_to_call() && shared.could_start(queue) {
                queue.call_workers(1);
            }
            let ended;
            (ended, next) = run(&seat, &*handler, started, &mut turn).await;
            if next.is_none() && turn.is_over(ended) {
                turn = Turn::begins(ended);
                partition += 1;
                tokio::task::yield_now().await;
            }
            continue;
        }
        let called = || queue.called(IDLE_MAX, |queue| shared.could_start(queue), || shared.is_stopping());
        if shared.is_stopping() || !called().await {
            break;
        }
        turn = Turn::begins(shared.clock.mono());
    }
    queue.worker_leaves(|queue| shared.could_start(queue));
}

/// What a worker does before it lets others have a turn.
struct Turn {
    jobs: u32,
    began: MonoTime,
}

impl Turn {
    fn begins(began: MonoTime) -> Self {
        Turn { jobs: 0, began }
    }

    fn is_over(&self, now: MonoTime) -> bool {
        self.jobs >= JOBS_PER_TURN || now.micros_since(self.began) >= TURN_US
    }
}

/// Returns when the job ended, and the one that was started in its place.
async fn run<F, Fut>(
    seat: &Arc<Seat>,
    handler: &F,
    started: Started,
    turn: &mut Turn,
) -> (MonoTime, Option<Started>)
where
    F: Fn(Job) -> Fut,
    Fut: Future,
    Fut::Output: Ends,
{
    let handle = started.handle;
    let end = match begun(seat, &started).await {
        Ok(()) => run_async(handler, Job::new(started, seat)).await,
        Err(failure) => Err(failure),
    };
    let end = report(seat, handle, end);
    turn.jobs += 1;
    seat.shared.finish_and_start(&seat.queue, handle, end, |ended| !turn.is_over(ended))
}

/// Resolves when the handler may begin: at most once means not before the store knows that the job is started.
async fn begun(seat: &Seat, started: &Started) -> Result<(), Failure> {
    if started.delivery == Delivery::AtMostOnce {
        let flushed = seat.shared.log_flushed(started.handle.partition()).await;
        return flushed.map_err(|error| Failure::not_begun(&error));
    }
    Ok(())
}
