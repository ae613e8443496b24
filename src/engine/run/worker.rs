//! Workers: tasks on the runtime that pull due jobs of one queue and run its handler.
//!
//! Workers are started when there is work and none is idle, up to the queue's concurrency, and leave when more are idle than a
//! small burst needs. Jobs are started one at a time, by the worker that runs them now: until then a job can be cancelled, and
//! no job waits behind a slow handler.

use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use super::attempt::{Attempt, report, run_async, run_inline};
use super::handler::{Ends, InlineFn, Job, Seat};
use super::order::Lead;
use crate::engine::queues::{Layers, Runner};
use crate::engine::state::{Failure, Shared};
use crate::partition::{Begin, End, Handle, MonoTime, Started};

/// Idle workers that a queue keeps.
pub(super) const IDLE_MAX: usize = 8;

/// After this many jobs, or this long, a worker lets other tasks of the runtime have a turn.
const JOBS_PER_TURN: u32 = 32;
const TURN_US: u64 = 200;

/// Has a queue's jobs run by workers with this handler, and with what is to go around it.
pub(crate) fn runner<F, Fut>(shared: Weak<Shared>, _layers: &Layers, handler: Arc<F>) -> Runner
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Ends,
{
    #[cfg(feature = "tower")]
    if let Some(service) = super::layers::around(_layers, &handler) {
        return super::layered::runner(shared, service);
    }
    runner_of(shared, Arc::new(InTask(handler)))
}

/// The same with a handler that may block: each job is with the runtime's threads for that.
pub(crate) fn blocking_runner(shared: Weak<Shared>, handler: Arc<InlineFn>) -> Runner {
    runner_of(shared, Arc::new(OnThread(handler)))
}

fn runner_of(shared: Weak<Shared>, handler: Arc<impl RunJob>) -> Runner {
    Runner::Workers(Box::new(move |queue| match shared.upgrade() {
        Some(shared) => {
            let seat = Seat { shared: Arc::clone(&shared), queue: Arc::clone(queue) };
            shared.handlers.runtime().spawn(work(Arc::new(seat), Arc::clone(&handler)));
        }
        // The engine has gone, and there will be no more work.
        None => queue.worker_leaves(|_| false),
    }))
}

/// The life of a worker. Generic over the handler, so that a job's future lives in its worker and not in a box.
async fn work(seat: Arc<Seat>, handler: Arc<impl RunJob>) {
    let (shared, queue) = (&seat.shared, &seat.queue);
    let mut turn = Turn::begins(shared.clock.mono());
    // Where several partitions come first it begins anywhere, so that workers spread over them; and goes on with the next at
    // every turn, so that each has its share.
    let mut lead = Lead::from(queue.next_seat());
    let mut next = None;
    loop {
        if next.is_none() {
            next = shared.start_next(queue, &mut lead);
        }
        if next.is_some() {
            shared.call_one_more(queue);
            let ended = handler.run(&seat, &mut next, &mut lead, &mut turn).await;
            if next.is_none() && turn.is_over(ended) {
                if queue.has_too_many_workers() {
                    break;
                }
                turn = Turn::begins(ended);
                lead.partition += 1;
                tokio::task::yield_now().await;
            }
            continue;
        }
        let called = || queue.called(IDLE_MAX, |queue| shared.is_called(queue), || shared.is_stopping());
        if shared.is_stopping() || !called().await || queue.has_too_many_workers() {
            break;
        }
        turn = Turn::begins(shared.clock.mono());
    }
    queue.worker_leaves(|queue| shared.is_called(queue));
}

/// What a worker does before it lets others have a turn.
pub(crate) struct Turn {
    jobs: u32,
    began: MonoTime,
}

impl Turn {
    pub(super) fn begins(began: MonoTime) -> Self {
        Turn { jobs: 0, began }
    }

    #[cfg(feature = "tower")]
    pub(super) fn ran_one(&mut self) {
        self.jobs += 1;
    }

    pub(super) fn is_over(&self, now: MonoTime) -> bool {
        self.jobs >= JOBS_PER_TURN || now.micros_since(self.began) >= TURN_US
    }
}

/// How a worker runs a job.
trait RunJob: Send + Sync + 'static {
    /// Runs the job that is `next`. Returns when it ended, and leaves the one that was started in its place. It is passed like this
    /// since it is large, and what a future is given or returns is moved time and again.
    fn run(
        &self,
        seat: &Arc<Seat>,
        next: &mut Option<Started>,
        lead: &mut Lead,
        turn: &mut Turn,
    ) -> impl Future<Output = MonoTime> + Send;
}

/// In the worker's own task.
struct InTask<F>(Arc<F>);

impl<F, Fut> RunJob for InTask<F>
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Ends,
{
    async fn run(
        &self,
        seat: &Arc<Seat>,
        next: &mut Option<Started>,
        lead: &mut Lead,
        turn: &mut Turn,
    ) -> MonoTime {
        let Some(started) = next.as_mut() else { return seat.shared.clock.mono() };
        let handle = started.handle;
        let running = Running::new(&**seat, handle);
        let mut attempt = Attempt::new(started, seat);
        // Asked here: a plain job is to pay for no future that does nothing.
        let begins = match started.begin() {
            Begin::AtOnce => Ok(()),
            _ => begun(seat, started, &mut attempt).await,
        };
        let end = match begins {
            Ok(()) => {
                let limit = seat.time_allowed(started);
                run_async(&attempt, &*self.0, next, seat, limit).await
            }
            Err(failure) => {
                *next = None;
                Err(failure)
            }
        };
        running.ends();
        turn.jobs += 1;
        let goes_on = |ended| !turn.is_over(ended);
        let ended = match report(seat, &attempt, end) {
            Ok(()) => seat.shared.finish_and_start(&seat.queue, handle, End::Done, lead, next, goes_on),
            Err(sequel) => seat.shared.conclude(seat, handle, *sequel),
        };
        attempt.took_until(ended, seat);
        ended
    }
}

/// On a thread of the runtime's that may be blocked.
struct OnThread(Arc<InlineFn>);

impl RunJob for OnThread {
    async fn run(
        &self,
        seat: &Arc<Seat>,
        next: &mut Option<Started>,
        _: &mut Lead,
        _: &mut Turn,
    ) -> MonoTime {
        let Some(mut started) = next.take() else { return seat.shared.clock.mono() };
        let handle = started.handle;
        let running = Running::new(Arc::clone(seat), handle);
        let mut attempt = Attempt::new(&mut started, seat);
        if let Err(failure) = begun(seat, &started, &mut attempt).await {
            running.ends();
            return seat.shared.end_with(seat, &attempt, Err(failure));
        }
        let handler = Arc::clone(&self.0);
        // To its end on that thread: the runtime may drop this task meanwhile, and not the handler.
        let on_thread = move || {
            let seat = Arc::clone(running.seat());
            // What it waited for was a thread.
            attempt.began = seat.shared.clock.mono();
            let end = run_inline(&attempt, &*handler, &Job::new(started, &seat));
            running.ends();
            let ended = seat.shared.end_with(&seat, &attempt, end);
            attempt.took_until(ended, &seat);
            ended
        };
        let ran = seat.shared.handlers.runtime().run_blocking(on_thread).await;
        ran.unwrap_or_else(|| seat.shared.clock.mono())
    }
}

/// A job that is counted as running. Dropped before it [`ends`](Self::ends), as it is when the runtime ends in the middle of
/// its handler, it counts no more, and has not ended: the next engine that restores the jobs runs it again.
pub(crate) struct Running<S: Deref<Target = Seat>> {
    seat: S,
    handle: Handle,
    has_ended: bool,
}

impl<S: Deref<Target = Seat>> Running<S> {
    pub(crate) fn new(seat: S, handle: Handle) -> Self {
        Running { seat, handle, has_ended: false }
    }

    pub(crate) fn seat(&self) -> &S {
        &self.seat
    }

    /// Its handler has ended. The caller tells the partition.
    pub(crate) fn ends(mut self) {
        self.has_ended = true;
    }
}

impl<S: Deref<Target = Seat>> Drop for Running<S> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.seat.shared.interrupt(&self.seat.queue, self.handle);
        }
    }
}

/// Resolves when the handler may begin.
///
/// At most once means not before the store knows that the job is started. A job that a restart found overdue may be what ended
/// the process before this one, so that its start is to be known too, if the store takes it soon: how often it has begun
/// is only counted by what was written.
pub(crate) async fn begun(seat: &Seat, started: &Started, attempt: &mut Attempt) -> Result<(), Failure> {
    let partition = started.handle.partition();
    match started.begin() {
        Begin::AtOnce => return Ok(()),
        Begin::OnceSent => seat.shared.log_sent(partition).await,
        Begin::OnceDurable => {
            let flushed = seat.shared.log_flushed(partition).await;
            flushed.map_err(|error| Failure::not_begun(&error))?;
        }
    }
    // What it waited for was the store.
    attempt.began = seat.shared.clock.mono();
    Ok(())
}
