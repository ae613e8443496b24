//! How many jobs run, and whether the engine goes on.
//!
//! # Rule
//! A worker that starts a job counts it first, then checks whether the engine is stopping. A stop is announced first, then it
//! reads the count. Both in sequentially consistent order, so one of them sees the other: once the count was seen at zero after
//! [`Life::stop`], nothing runs or will run. It may be above zero again for a moment, while a worker is counted that then finds
//! that it may not start. What counts is that it was zero once ([`Life::is_over`]).

use std::pin::pin;

use tokio::sync::watch;

use crate::sync::Notify;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub(crate) struct Life {
    running: AtomicUsize,
    /// How many wait for no job to be left.
    idle_awaited: AtomicUsize,
    is_stopping: AtomicBool,
    /// Whether none was running once, after a stop.
    is_over: AtomicBool,
    has_driver_ended: AtomicBool,
    /// Raised when there are no jobs, when none is running, when the engine stops, when the driver has ended, and when the
    /// store is in step again.
    changed: Notify,
    /// How far the engine is with stopping.
    stage: watch::Sender<Stage>,
}

/// The end of an engine, in steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    Going,
    /// Nothing is started any more; handlers end, and what they logged is flushed.
    Stopping,
    /// The engine was dropped; nothing waits for the end.
    Dropped,
    /// The grace period is over: what has not ended or been flushed is left behind.
    Abandoned,
    /// Nothing will be written any more, and the leases are given back.
    Released,
}

impl Life {
    pub(crate) fn new() -> Self {
        Life {
            running: AtomicUsize::new(0),
            idle_awaited: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            has_driver_ended: AtomicBool::new(false),
            changed: Notify::new(),
            stage: watch::channel(Stage::Going).0,
        }
    }

    /// Counts a job as running. Returns whether it may start, as far as the end of the engine goes; if it does not start,
    /// [`end_one`](Self::end_one) takes it off again.
    pub(crate) fn begin_one(&self) -> bool {
        self.running.fetch_add(1, SeqCst);
        !self.is_stopping()
    }

    /// A job that was counted has ended, or has not started. Returns whether it was the last of an engine that stops.
    pub(crate) fn end_one(&self) -> bool {
        let is_last = self.running.fetch_sub(1, SeqCst) == 1 && self.is_stopping();
        if is_last {
            self.changed.notify_waiters();
        }
        is_last
    }

    /// Jobs with a handler.
    pub(crate) fn running(&self) -> usize {
        if self.is_over() { 0 } else { self.running.load(SeqCst) }
    }

    /// Whether the engine stops and no job is running, or will.
    pub(crate) fn is_over(&self) -> bool {
        if !self.is_stopping() {
            return false;
        }
        let is_over = self.is_over.load(SeqCst) || self.running.load(SeqCst) == 0;
        if is_over {
            self.is_over.store(true, SeqCst);
        }
        is_over
    }

    /// Has nothing start from here on, but for what is counted as running already.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, SeqCst);
        self.reach(Stage::Stopping);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(SeqCst)
    }

    pub(crate) fn driver_ends(&self) {
        self.has_driver_ended.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether the driver's thread has come to its end.
    pub(crate) fn has_driver_ended(&self) -> bool {
        self.has_driver_ended.load(SeqCst)
    }

    /// The store has all of a partition again, or will have no more of it.
    pub(crate) fn store_settles(&self) {
        self.changed.notify_waiters();
    }

    /// Resolves when there are no `jobs`, or the engine stops.
    pub(crate) async fn idle(&self, jobs: impl Fn() -> usize) {
        struct Awaited<'a>(&'a AtomicUsize);
        impl Drop for Awaited<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        // Announced before the count is read; a partition that runs empty publishes that first, then looks.
        self.idle_awaited.fetch_add(1, SeqCst);
        let _awaited = Awaited(&self.idle_awaited);
        self.until(|| jobs() == 0 || self.is_stopping()).await;
    }

    /// A partition has run empty, and has published that. `jobs` counts those of all.
    pub(crate) fn one_is_empty(&self, jobs: impl FnOnce() -> usize) {
        if self.idle_awaited.load(SeqCst) > 0 && jobs() == 0 {
            self.changed.notify_waiters();
        }
    }

    /// Resolves once `is_so`, which must be about what `changed` is raised for.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }

    /// Goes on to `stage`, never back.
    pub(crate) fn reach(&self, stage: Stage) {
        self.stage.send_if_modified(|at| {
            *at < stage && {
                *at = stage;
                true
            }
        });
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        *self.stage.borrow() >= Stage::Abandoned
    }

    /// Whether nothing will be written any more.
    pub(crate) fn is_released(&self) -> bool {
        *self.stage.borrow() >= Stage::Released
    }

    /// Resolves at `stage`.
    pub(crate) async fn reached(&self, stage: Stage) {
        // It cannot be closed: the sender is right here.
        let _ = self.stage.subscribe().wait_for(|at| *at >= stage).await;
    }
}
