//! The runtime that handlers run on. It is the user's, so it may end before the engine, and it may be kept from polling.
//!
//! # Its end
//! A task that never ends waits on it and reports when it is dropped; so does a worker that is dropped while it runs a job.
//! From then on the engine stops as in a shutdown, except for running jobs: they no longer count as running and have not
//! ended, so the next engine that restores them runs them again. Calls are refused with
//! [`CallError::RuntimeEnded`](crate::CallError::RuntimeEnded).

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::error::StartError;
use crate::rt::{Runtime, Scoped};
use crate::sync::Notify;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

pub(crate) struct Handlers {
    runtime: Runtime,
    threads: usize,
    end: Arc<End>,
    pause: Arc<Pause>,
    /// Reports the end of the runtime, as long as there is an engine to report it to.
    _sentinel: Option<Scoped<()>>,
}

/// Whether the runtime has ended, and which engines that concerns.
#[derive(Default)]
struct End {
    has_come: AtomicBool,
    comes: Notify,
    engine: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How long the runtime has polled nothing.
#[derive(Default)]
struct Pause {
    /// Now; 0 while it is too short to count.
    us: AtomicU64,
    max_us: AtomicU64,
}

/// Rings when it is dropped.
struct Bell(Arc<End>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.has_come.store(true, SeqCst);
        self.0.comes.notify_waiters();
        if let Some(tell) = self.0.engine.get() {
            tell();
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

    /// Has the end told, at once if it has come.
    pub(crate) fn on_end(&self, tell: impl Fn() + Send + Sync + 'static) {
        let is_first = self.end.engine.set(Box::new(tell)).is_ok();
        debug_assert!(is_first, "it is told to one engine");
        if let Some(tell) = self.end.engine.get().filter(|_| self.has_ended()) {
            tell();
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

    /// It has polled nothing for so long; 0 when it polls again.
    pub(crate) fn pauses_for(&self, us: u64) {
        self.pause.us.store(us, SeqCst);
        self.pause.max_us.fetch_max(us, SeqCst);
    }

    /// Whether it makes sense to ask it whether it polls.
    pub(crate) fn can_be_asked(&self, clock: &Clock) -> bool {
        self.runtime.is_real() && matches!(clock, Clock::System)
    }
}
