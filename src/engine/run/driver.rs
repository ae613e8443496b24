//! The driver: a thread of its own that moves due jobs to their queues the moment they are due, and runs the handlers
//! that are to run inline.
//!
//! Each turn takes a slice of what is due from the partitions that have something due (see `release`), then a slice of the
//! inline jobs. It sleeps when a turn has left nothing undone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::asking::{ASK_EVERY, Asking};
use super::attempt::{Attempt, report, run_inline};
use super::handler::{InlineFn, Job, Seat};
use super::order::Lead;
use super::rehearsal::Rehearsal;
use super::release::Release;
use super::worker::{Running, begun};
use crate::clock::{RECHECK, Waiter};
use crate::engine::queues::Queue;
use crate::engine::state::Shared;
use crate::partition::{Begin, End, MonoTime, Now, Started};
use crate::rt::Io;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};

/// Inline jobs between two looks at what else is due, and those of one partition in a row.
const INLINE_BUDGET: usize = 64;
const INLINE_ROW: usize = 16;

/// How far the wall clock may be off from what the monotonic clock makes of it before it counts as set.
const CLOCK_STEP_US: u64 = 50_000;

/// A queue whose jobs run on the driver's thread.
pub(crate) type InlineQueue = (Arc<Queue>, Arc<InlineFn>);

/// Starts the driver's thread. Without one in a simulation, where it is a task.
pub(crate) fn start(
    shared: &Arc<Shared>,
    inline: Vec<InlineQueue>,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let shared = Arc::clone(shared);
    #[cfg(feature = "_sim")]
    if let Some(runtime @ crate::rt::Runtime::Simulated(..)) = crate::rt::Runtime::current() {
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

/// Announces the end of the driver when it is dropped.
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
    /// Jobs that a restart found overdue, in order: each runs here once the store has its start.
    held: RefCell<VecDeque<Held>>,
    /// Whether the handlers' runtime polls; `None` where that cannot be asked.
    asking: Option<Asking>,
}

/// A job that has been started and may not begin yet.
type Later = (Arc<Seat>, Arc<InlineFn>, Started);

struct Held {
    later: Later,
    is_sent: Arc<AtomicBool>,
}

impl Held {
    fn new(later: Later, io: &Io) -> Self {
        let (shared, partition) = (Arc::clone(&later.0.shared), later.2.handle.partition());
        let is_sent = Arc::new(AtomicBool::new(false));
        let sent = Arc::clone(&is_sent);
        io.runtime().spawn(async move {
            shared.log_sent(partition).await;
            sent.store(true, Ordering::SeqCst);
            shared.waker.wake();
        });
        Held { later, is_sent }
    }
}

impl Driver {
    fn new(shared: Arc<Shared>, inline: Vec<InlineQueue>) -> Self {
        let waiter = Waiter::new(shared.clock.clone(), shared.settings.profile, Arc::clone(&shared.waker));
        let seat = |queue| Arc::new(Seat { shared: Arc::clone(&shared), queue });
        let inline = inline.into_iter().map(|(queue, handler)| (seat(queue), handler)).collect();
        let (rehearsal, last) = (Rehearsal::new(), shared.clock.now());
        let release = Release::new(Arc::clone(&shared), last);
        let asking = shared.handlers.can_be_asked(&shared.clock).then(Asking::default);
        Driver {
            last,
            shared,
            inline,
            waiter,
            rehearsal,
            release,
            row: Cell::new(0),
            held: RefCell::default(),
            asking,
        }
    }

    fn run(mut self) {
        while !self.shared.is_stopping() {
            let now = self.shared.clock.now();
            self.notice_step(now);
            if self.turn(now) {
                self.wait();
            }
        }
        self.let_go();
    }

    #[cfg(feature = "_sim")]
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
        self.let_go();
    }

    /// Returns whether nothing is left to be done.
    fn turn(&mut self, now: Now) -> bool {
        self.shared.let_rates_go(now.mono);
        let mut is_done = self.run_held();
        is_done &= self.release.turn(now);
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
            let begin = started.begin();
            if let Some(ownership) = self.shared.ownership.as_ref().filter(|_| begin != Begin::AtOnce) {
                // The store has to know of the start first, and the driver does not wait.
                let later = (Arc::clone(seat), Arc::clone(handler), started);
                if begin == Begin::OnceDurable {
                    self.run_elsewhere(later);
                } else {
                    self.held.borrow_mut().push_back(Held::new(later, &ownership.io));
                }
                continue;
            }
            next = run_one(seat, &**handler, started, &mut lead, !run.is_multiple_of(INLINE_ROW));
        }
        !self.shared.could_start(&seat.queue)
    }

    /// Runs jobs that were held and need be no longer, in order. Returns whether there are none.
    fn run_held(&self) -> bool {
        for _ in 0..INLINE_BUDGET {
            let first = {
                let mut held = self.held.borrow_mut();
                let may_begin = held.front().is_some_and(|first| first.is_sent.load(Ordering::SeqCst));
                if may_begin { held.pop_front() } else { None }
            };
            let Some(Held { later: (seat, handler, started), .. }) = first else { return true };
            run_one(&seat, &*handler, started, &mut Lead::from(0), false);
        }
        false
    }

    /// The driver ends, and what it held has begun for all others.
    fn let_go(&self) {
        self.held.take().into_iter().for_each(|held| self.run_elsewhere(held.later));
    }

    fn run_elsewhere(&self, (seat, handler, started): Later) {
        let running = Running::new(seat, started.handle);
        self.shared.handlers.runtime().spawn(run_later(running, handler, started));
    }

    fn wait(&mut self) {
        let (now, deadline, mut at_most) = self.next_wait();
        let Driver { shared, inline, waiter, rehearsal, asking, .. } = self;
        if asking.as_mut().is_some_and(|asking| asking.go_on(shared, now.mono)) {
            at_most = at_most.or(Some(ASK_EVERY));
        }
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
    mut started: Started,
    lead: &mut Lead,
    goes_on: bool,
) -> Option<Started> {
    let attempt = Attempt::new(&mut started, seat);
    run_attempt(seat, handler, &attempt, started, lead, goes_on)
}

fn run_attempt(
    seat: &Arc<Seat>,
    handler: &InlineFn,
    attempt: &Attempt,
    started: Started,
    lead: &mut Lead,
    goes_on: bool,
) -> Option<Started> {
    let end = run_inline(attempt, handler, &Job::new(started, seat));
    let mut next = None;
    let (shared, queue, handle) = (&seat.shared, &seat.queue, attempt.handle);
    let ended = match report(seat, attempt, end) {
        Ok(()) => shared.finish_and_start(queue, handle, End::Done, lead, &mut next, |_| goes_on),
        Err(sequel) => shared.conclude(seat, handle, *sequel),
    };
    attempt.took_until(ended, seat);
    next
}

/// Runs a job whose start the store has to know of first: on the runtime.
async fn run_later(running: Running<Arc<Seat>>, handler: Arc<InlineFn>, mut started: Started) {
    let seat = Arc::clone(running.seat());
    let mut attempt = Attempt::new(&mut started, &seat);
    let begun = begun(&seat, &started, &mut attempt).await;
    running.ends();
    match begun {
        Ok(()) => drop(run_attempt(&seat, &*handler, &attempt, started, &mut Lead::from(0), false)),
        Err(failure) => {
            seat.shared.end_with(&seat, &attempt, Err(failure));
        }
    }
}
