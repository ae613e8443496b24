//! The runtime that handlers run on: it is the user's, so it may end before the engine, and it may be kept from polling.
//!
//! # Its end
//! A task that never ends sits on it, and speaks when it is dropped; so does a worker that is dropped with a job in its
//! hands. From then on the engine stops as for a shutdown, but for what was with a handler: those jobs count as running no
//! more and have not ended, so whoever restores them runs them again. Calls are refused with
//! [`CallError::RuntimeEnded`](crate::CallError::RuntimeEnded).
//!
//! # Its pauses
//! While jobs run or wait, the driver has a task spawned on it every half second. One that is not polled for a second tells of a handler
//! that blocks or computes, or of something else that does: it is said once for each pause, with the names of the queues.
//! Nothing is asked while nothing runs or waits, and no job pays for it.

use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::shared::Shared;
use crate::clock::Clock;
use crate::engine::error::StartError;
use crate::engine::queues::Queue;
use crate::partition::MonoTime;
use crate::rt::{Runtime, Scoped};
use crate::sync::Notify;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// How often it is asked whether it polls.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(500);

/// A runtime that has not polled for so long is complained about.
const STALL_US: u64 = 1_000_000;

pub(crate) struct Handlers {
    runtime: Runtime,
    threads: usize,
    end: Arc<End>,
    pause: Arc<Pause>,
    /// Tells of the end of the runtime, as long as there is an engine to tell.
    _sentinel: Option<Scoped<()>>,
}

/// Whether the runtime has ended, and whom that concerns.
#[derive(Default)]
struct End {
    has_come: AtomicBool,
    comes: Notify,
    engine: OnceLock<Weak<Shared>>,
}

/// For how long the runtime has polled nothing.
#[derive(Default)]
struct Pause {
    /// Now; 0 while it is below [`STALL_US`].
    us: AtomicU64,
    max_us: AtomicU64,
}

/// Rings when it is dropped.
struct Bell(Arc<End>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.has_come.store(true, SeqCst);
        self.0.comes.notify_waiters();
        if let Some(engine) = self.0.engine.get().and_then(Weak::upgrade) {
            engine.runtime_ends();
        }
    }
}

impl Handlers {
    /// # Errors
    /// When the runtime has ended already.
    pub(crate) fn on(runtime: Runtime) -> Result<Self, StartError> {
        let end = Arc::new(End::default());
        let sentinel = runtime.is_real().then(|| {
            // Made here: a runtime that has ended drops the task unpolled.
            let bell = Bell(Arc::clone(&end));
            runtime.spawn_scoped(async move {
                let _bell = bell;
                std::future::pending().await
            })
        });
        let threads = runtime.threads();
        let handlers = Handlers { runtime, threads, end, pause: Arc::default(), _sentinel: sentinel };
        handlers.check()?;
        Ok(handlers)
    }

    /// # Errors
    /// When the runtime has ended.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.has_ended() { Err(StartError::RuntimeEnded) } else { Ok(()) }
    }

    /// Resolves when the runtime has ended.
    pub(crate) async fn ended(&self) {
        let mut comes = pin!(self.end.comes.notified());
        comes.as_mut().enable();
        if !self.has_ended() {
            comes.await;
        }
    }

    /// Has the end told to `engine`, at once if it has come.
    pub(crate) fn serve(&self, engine: &Arc<Shared>) {
        let is_first = self.end.engine.set(Arc::downgrade(engine)).is_ok();
        debug_assert!(is_first, "it is told to one engine");
        if self.has_ended() {
            engine.runtime_ends();
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.has_come.load(SeqCst)
    }

    /// Notes that it has ended.
    pub(crate) fn end(&self) {
        self.end.has_come.store(true, SeqCst);
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// How many threads run its tasks.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// For how long it has polled nothing, now and at most. Pauses below a second do not count.
    pub(crate) fn pauses(&self) -> (Duration, Duration) {
        let at = |us: &AtomicU64| Duration::from_micros(us.load(SeqCst));
        (at(&self.pause.us), at(&self.pause.max_us))
    }

    /// Whether it makes sense to ask it whether it polls.
    pub(crate) fn can_be_asked(&self, clock: &Clock) -> bool {
        self.runtime.is_real() && matches!(clock, Clock::System)
    }
}

/// Asks the runtime whether it polls. The driver's.
#[derive(Default)]
pub(crate) struct Asking {
    question: Option<Question>,
    last_asked: Option<MonoTime>,
}

struct Question {
    since: MonoTime,
    is_answered: Arc<AtomicBool>,
    is_told: bool,
}

impl Asking {
    /// To be called now and then. Returns whether there is a reason to come back within [`ASK_EVERY`].
    pub(crate) fn go_on(&mut self, shared: &Shared, now: MonoTime) -> bool {
        let is_answered = |question: &mut Question| question.is_answered.load(SeqCst);
        if let Some(question) = self.question.take_if(is_answered)
            && question.is_told
        {
            shared.handlers.pause.us.store(0, SeqCst);
            let for_ms = now.micros_since(question.since) / 1_000;
            tracing::info!(for_ms, "the runtime that handlers run on polls again");
        }
        if let Some(question) = &mut self.question {
            question.wait(shared, now);
            return true;
        }
        let every_us = ASK_EVERY.as_micros() as u64;
        if self.last_asked.is_some_and(|last| now.micros_since(last) < every_us) {
            // Looking whether there is work reads what all workers write: not at every wait of a busy driver.
            return true;
        }
        if !shared.has_work() {
            return false;
        }
        self.last_asked = Some(now);
        let is_answered = Arc::new(AtomicBool::new(false));
        let answer = Arc::clone(&is_answered);
        shared.handlers.runtime.spawn(async move { answer.store(true, SeqCst) });
        self.question = Some(Question { since: now, is_answered, is_told: false });
        true
    }
}

impl Question {
    /// Still no answer.
    fn wait(&mut self, shared: &Shared, now: MonoTime) {
        let pause_us = now.micros_since(self.since);
        if pause_us < STALL_US || shared.is_stopping() {
            return;
        }
        shared.handlers.pause.us.store(pause_us, SeqCst);
        shared.handlers.pause.max_us.fetch_max(pause_us, SeqCst);
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let names = |is_one: &dyn Fn(&Queue) -> bool| {
            let queues = shared.queues.iter().filter(|queue| queue.is_by_workers() && is_one(queue));
            queues.map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        tracing::warn!(
            running = names(&|queue| queue.running() > 0),
            waiting = names(&|queue| queue.ready() > 0),
            for_ms = pause_us / 1_000,
            "the runtime that handlers run on polls nothing: something blocks it or computes; \
             what blocks belongs on a `Builder::blocking_queue` or in `spawn_blocking`"
        );
    }
}

impl Shared {
    /// The runtime that handlers run on has ended. May be told more than once.
    pub(crate) fn runtime_ends(&self) {
        self.handlers.end();
        if self.is_stopping() {
            return;
        }
        let kept = if self.ownership.is_some() { "the store keeps the jobs" } else { "the jobs are lost" };
        tracing::error!(
            jobs = self.life.jobs(),
            "the tokio runtime that handlers run on has ended: the engine stops, and {kept}; \
             build it on a runtime that lives as long (`Builder::runtime`)"
        );
        self.stop();
    }

    /// Whether handlers run, or have jobs to run.
    fn has_work(&self) -> bool {
        let is_waiting =
            |queue: &&Arc<Queue>| queue.is_by_workers() && !queue.is_paused() && queue.ready() > 0;
        // In this order: a job that is ready no more is running, or has ended.
        self.queues.iter().any(|queue| is_waiting(&queue)) || self.life.running() > 0
    }
}
