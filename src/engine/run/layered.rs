//! Workers of a queue with layers. Like other workers, but that they start a job only when the layers are ready for one.
//!
//! # Rules
//! - Until the layers are ready no job is started: it waits in its partition, where it can be moved and cancelled.
//! - Whoever is at the turnstile starts the job that comes first then, and takes it through before anybody else: so jobs go
//!   through in their order.
//! - In a pool others do not wait for a queue whose layers do: see `wait_for_layers`.
//! - If there is no job any more, or it is another queue's turn, it steps back. The service stays ready for whoever comes next.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;

use super::attempt::{Attempt, caught, run_async};
use super::handler::{BoxError, Seat};
use super::layers::{Stack, Turnstile};
use super::order::Lead;
use super::worker::{IDLE_MAX, Running, Turn, begun};
use crate::engine::queues::Runner;
use crate::engine::state::{Failure, Shared, Stage};
use crate::partition::{Begin, MonoTime, Started};

/// Has a queue's jobs run by workers, through a service that is built now.
pub(super) fn runner(shared: Weak<Shared>, service: impl FnOnce() -> Stack) -> Runner {
    // Some layers spawn tasks.
    let runtime = shared.upgrade().map(|shared| shared.handlers.runtime().clone());
    let stack = runtime.map(|runtime| runtime.within(service));
    Runner::Workers(Box::new(move |queue| match (shared.upgrade(), &stack) {
        (Some(shared), Some(stack)) => {
            let seat = Seat { shared: Arc::clone(&shared), queue: Arc::clone(queue) };
            shared.handlers.runtime().spawn(work(Arc::new(seat), stack.turnstile()));
        }
        // The engine has gone, and there will be no more work.
        _ => queue.worker_leaves(|_| false),
    }))
}

/// The life of a worker.
async fn work(seat: Arc<Seat>, mut service: Turnstile) {
    let (shared, queue) = (&seat.shared, &seat.queue);
    let mut turn = Turn::begins(shared.clock.mono());
    let mut lead = Lead::from(queue.next_seat());
    while !shared.is_stopping() && !queue.has_too_many_workers() {
        if shared.could_start(queue) {
            let admitted = tokio::select! {
                biased;
                admitted = admitted(&mut service, || shared.wait_for_layers(queue)) => admitted,
                () = shared.life.reached(Stage::Stopping) => break,
            };
            queue.set_layers_wait(false);
            if let Some(started) = shared.start_next(queue, &mut lead) {
                shared.call_one_more(queue);
                let ended = run(&seat, &mut service, admitted, started).await;
                turn.ran_one();
                if turn.is_over(ended) {
                    turn = Turn::begins(ended);
                    lead.partition += 1;
                    tokio::task::yield_now().await;
                }
                continue;
            }
            service.step_back();
        }
        let is_called =
            queue.called(IDLE_MAX, |queue| shared.is_called(queue), || shared.is_stopping()).await;
        if !is_called {
            break;
        }
        turn = Turn::begins(shared.clock.mono());
    }
    drop(service);
    queue.worker_leaves(|queue| shared.is_called(queue));
}

/// Resolves when the service is ready for a job, or will fail the next. Meanwhile it `waits`.
async fn admitted(service: &mut Turnstile, waits: impl Fn()) -> Result<(), Failure> {
    let ready = poll_fn(|context| match caught(|| Ok(service.poll_ready(context))) {
        Ok(Poll::Pending) => {
            waits();
            Poll::Pending
        }
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
        Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(refused(error))),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await;
    if ready.is_err() {
        service.step_back();
    }
    ready
}

/// The error's own words are the user's.
fn refused(error: BoxError) -> Failure {
    match caught(|| Ok(Failure::of_error(error))) {
        Ok(failure) | Err(failure) => failure,
    }
}

/// Takes a job through the service, to its end.
async fn run(
    seat: &Arc<Seat>,
    service: &mut Turnstile,
    mut admitted_to: Result<(), Failure>,
    mut started: Started,
) -> MonoTime {
    let running = Running::new(&**seat, started.handle);
    let mut attempt = Attempt::new(&mut started, seat);
    if admitted_to.is_ok() && !matches!(started.begin(), Begin::AtOnce) {
        // Others need not wait for the store with it.
        service.step_back();
        admitted_to = begun(seat, &started, &mut attempt).await;
        if admitted_to.is_ok() {
            admitted_to = admitted(service, || {}).await;
        }
    }
    let end = match admitted_to {
        Ok(()) => {
            let limit = seat.time_allowed(&started);
            run_async(&attempt, |job| service.call(job), &mut Some(started), seat, limit).await
        }
        Err(failure) => Err(failure),
    };
    running.ends();
    let ended = seat.shared.end_with(seat, &attempt, end);
    attempt.took_until(ended, seat);
    ended
}
