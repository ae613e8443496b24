//! The driver: a thread of its own that moves due jobs to their queues the moment they are due, and runs the handlers
//! that are to run inline.
//!
//! Each turn takes a slice of what is due from the partitions that have something due (see `release`), then a slice of the
//! inline jobs. It sleeps when a turn has left nothing undone.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Failure, report, run_inline};
use super::handler::{InlineFn, Job, Seat};
use super::order::Lead;
use super::queue::Queue;
use super::rehearsal::Rehearsal;
use super::release::Release;
use super::shared::Shared;
use crate::clock::{RECHECK, Waiter};
use crate::partition::{Delivery, MonoTime, Now, Started};
use crate::sync::atomic::Ordering;
use crate::sync::thread::{self, JoinHandle};

/// Inline jobs between two looks at what else is due, and those of one partition in a row.
const INLINE_BUDGET: usize = 64;
const INLINE_ROW: usize = 16;

/// How far the wall clock may be off from what the monotonic clock makes of it before it counts as set.
const CLOCK_STEP_US: u64 = 50_000;

/// A queue whose jobs run on the driver's thread.
pub(super) type InlineQueue = (Arc<Queue>, Arc<InlineFn>);

/// Starts the driver's thread. Without one in a simulation, where it is a task.
pub(super) fn start(
    shared: &Arc<Shared>,
    inline: Vec<InlineQueue>,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let shared = Arc::clone(shared);
    #[cfg(feature = "sim")]
    if let crate::rt::Runtime::Simulated(_) = &shared.runtime {
        let runtime = shared.runtime.clone();
        runtime.spawn(async move {
            let _ending = Ending(Arc::clone(&shared));
            Driver::new(shared, inline).run_simulated().await;
        });
        return Ok(None);
    }
    let thread = thread::Builder::new().name("reveille-driver".into());
    let driving = thread.spawn(move || {
        let _ending = Ending(Arc::clone(&shared));
        Driver::new(shared, inline).run();
    });
    driving.map(Some)
}

/// Tells whoever waits that the driver has come to its end.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the driver has panicked: nothing fires any more; this is a bug in reveille");
        }
        self.0.life.driver_ends();
    }
}

struct Driver {
    shared: Arc<Shared>,
    inline: Vec<(Arc<Seat>, Arc<InlineFn>)>,
    waiter: Waiter,
    rehearsal: Rehearsal,
    release: Release,
    /// The last time that was read, to notice a wall clock that is set.
    last: Now,
    /// How many rows of inline jobs there have been.
    row: Cell<usize>,
}

impl Driver {
    fn new(shared: Arc<Shared>, inline: Vec<InlineQueue>) -> Self {
        let waiter = Waiter::new(shared.clock.clone(), shared.settings.profile, Arc::clone(&shared.waker));
        let seat = |queue| Arc::new(Seat { shared: Arc::clone(&shared), queue });
        let inline = inline.into_iter().map(|(queue, handler)| (seat(queue), handler)).collect();
        let (rehearsal, last) = (Rehearsal::new(), shared.clock.now());
        let release = Release::new(Arc::clone(&shared), last);
        Driver { last, shared, inline, waiter, rehearsal, release, row: Cell::new(0) }
    }

    fn run(mut self) {
        while !self.shared.is_stopping() {
            let now = self.shared.clock.now();
            self.notice_step(now);
            if self.turn(now) {
                self.wait();
            }
        }
    }

    #[cfg(feature = "sim")]
    async fn run_simulated(mut self) {
        while !self.shared.is_stopping() {
            let now = self.shared.clock.now();
            self.notice_step(now);
            if !self.turn(now) {
                tokio::task::yield_now().await;
                continue;
            }
            let (now, deadline, at_most) = self.next_wait();
            let is_due_before = |deadline| self.shared.is_due_before(deadline, now);
            // It may come before any deadline, and must change nothing.
            self.rehearsal.run(&self.shared, self.inline.iter().map(|(seat, _)| seat), now);
            self.waiter.wait_simulated(deadline, at_most, is_due_before).await;
            self.shared.driver_wakes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether nothing is left to be done.
    fn turn(&mut self, now: Now) -> bool {
        let mut is_done = self.release.turn(now);
        for (seat, handler) in &self.inline {
            is_done &= self.run_inline(seat, handler);
        }
        is_done
    }

    fn run_inline(&self, seat: &Arc<Seat>, handler: &Arc<InlineFn>) -> bool {
        let (mut next, mut lead) = (None, Lead::from(0));
        for run in 1..=INLINE_BUDGET {
            let started = next.take().or_else(|| {
                // Each row begins with the next partition, so that each has its share where several come first.
                lead.partition = self.row.replace(self.row.get().wrapping_add(1));
                self.shared.start_next(&seat.queue, &mut lead)
            });
            let Some(started) = started else { return true };
            if started.delivery == Delivery::AtMostOnce && self.shared.ownership.is_some() {
                // The store has to know of the start first, and the driver waits for nobody.
                let later = run_once_logged(Arc::clone(seat), Arc::clone(handler), started);
                self.shared.runtime.spawn(later);
                continue;
            }
            next = run_one(seat, &**handler, started, &mut lead, !run.is_multiple_of(INLINE_ROW));
        }
        !self.shared.could_start(&seat.queue)
    }

    fn wait(&mut self) {
        let (now, deadline, at_most) = self.next_wait();
        let Driver { shared, inline, waiter, rehearsal, .. } = self;
        let is_due_before = |deadline| shared.is_due_before(deadline, now);
        let rehearse = || rehearsal.run(shared, inline.iter().map(|(seat, _)| seat), now);
        waiter.wait(deadline, at_most, is_due_before, rehearse);
        shared.driver_wakes.fetch_add(1, Ordering::Relaxed);
    }

    /// By which reading of the clocks, until when, and for how long at most there is nothing to do.
    fn next_wait(&self) -> (Now, Option<MonoTime>, Option<Duration>) {
        // Read anew: a turn may have taken a while, and the wall may have been set meanwhile.
        let now = self.shared.clock.now();
        let deadline = self.shared.next_wake(now);
        (now, deadline, deadline.map(|_| RECHECK))
    }

    fn notice_step(&mut self, now: Now) {
        let expected = self.last.wall_at(now.mono);
        let (ahead_us, behind_us) = (now.wall.micros_since(expected), expected.micros_since(now.wall));
        if ahead_us.max(behind_us) > CLOCK_STEP_US {
            tracing::warn!(ahead_us, behind_us, "the wall clock was set; jobs due at an instant follow it");
            self.shared.clock_steps.fetch_add(1, Ordering::Relaxed);
        }
        self.last = now;
    }
}

/// Runs a job. Returns the one that was started in its place, to be run now, if the caller `goes_on`.
fn run_one(
    seat: &Arc<Seat>,
    handler: &InlineFn,
    started: Started,
    lead: &mut Lead,
    goes_on: bool,
) -> Option<Started> {
    let job = Job::new(started, seat);
    let end = run_inline(handler, &job);
    let end = report(seat, job.handle(), end);
    let (_, next) = seat.shared.finish_and_start(&seat.queue, job.handle(), end, lead, |_| goes_on);
    next
}

/// Runs a job that may run at most once: on the runtime, when the store has its start.
async fn run_once_logged(seat: Arc<Seat>, handler: Arc<InlineFn>, started: Started) {
    if let Err(error) = seat.shared.log_flushed(started.handle.partition()).await {
        let end = report(&seat, started.handle, Err(Failure::not_begun(&error)));
        seat.shared.finish(&seat.queue, started.handle, end);
        return;
    }
    run_one(&seat, &*handler, started, &mut Lead::from(0), false);
}
