//! Signals: how a running handler hears that it is no longer wanted.
//!
//! A handler that never asks costs nothing: its signal is made when it asks for the first time.
//!
//! # Why no cancel is missed
//! A cancel marks the job under its partition's lock, then looks for a signal. A handler puts its signal where it is found, then
//! looks, under the same lock, whether the job is marked. One of the two sees the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Shared;
use crate::partition::{Handle, MonoTime};
use crate::sync::Notify;
use crate::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Says to a running handler that it is no longer wanted: see [`Job::cancellation`](crate::Job::cancellation). Clones are the same signal.
///
/// It is a word, and no more: a handler that does not listen runs on.
#[derive(Clone)]
pub struct Cancellation(Arc<Signal>);

/// Why a handler is no longer wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CancelReason {
    /// The job was cancelled while it ran: see [`Engine::cancel_running`](crate::Engine::cancel_running).
    Cancelled,
    /// The attempt has taken longer than it may. An async handler is dropped then, and does not hear of it.
    TimedOut,
    /// The engine shuts down: what does not end within the grace period is left to itself.
    ShuttingDown,
}

/// The signals that handlers have asked for.
#[derive(Default)]
pub(crate) struct Signals(Mutex<HashMap<Handle, Weak<Signal>>>);

struct Signal {
    /// 0, or 1 more than a reason's place.
    set: AtomicU8,
    changed: Notify,
    /// When the attempt has taken too long.
    deadline: Option<MonoTime>,
    handle: Handle,
    shared: Weak<Shared>,
}

impl Cancellation {
    /// Whether the attempt is no longer wanted. Cheap: a handler that computes may ask often.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// Why it is no longer wanted; `None` while it is.
    pub fn reason(&self) -> Option<CancelReason> {
        match self.0.set.load(SeqCst) {
            0 if self.0.is_too_late() => Some(CancelReason::TimedOut),
            0 => None,
            1 => Some(CancelReason::Cancelled),
            2 => Some(CancelReason::TimedOut),
            _ => Some(CancelReason::ShuttingDown),
        }
    }

    /// The first reason stands.
    pub(crate) fn give(&self, reason: CancelReason) {
        self.0.give(reason);
    }

    /// Resolves when the attempt is no longer wanted. Any executor may poll it. That a blocking handler takes too long is only told by
    /// [`is_cancelled`](Self::is_cancelled).
    pub async fn cancelled(&self) {
        loop {
            let changed = self.0.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").field("reason", &self.reason()).finish_non_exhaustive()
    }
}

impl Signals {
    /// The signal of a job's attempt; made if nobody has asked yet.
    pub(crate) fn of(
        &self,
        shared: &Arc<Shared>,
        handle: Handle,
        deadline: Option<MonoTime>,
    ) -> Cancellation {
        let mut signals = self.0.lock();
        if let Some(signal) = signals.get(&handle).and_then(Weak::upgrade) {
            return Cancellation(signal);
        }
        let (set, changed, shared) = (AtomicU8::new(0), Notify::new(), Arc::downgrade(shared));
        let signal = Arc::new(Signal { set, changed, deadline, handle, shared });
        signals.insert(handle, Arc::downgrade(&signal));
        Cancellation(signal)
    }

    /// Tells the handler of a job, if it has asked.
    pub(crate) fn give(&self, handle: Handle, reason: CancelReason) {
        let signal = self.0.lock().get(&handle).and_then(Weak::upgrade);
        if let Some(signal) = signal {
            signal.give(reason);
        }
    }

    /// Tells all handlers that have asked.
    pub(crate) fn give_all(&self, reason: CancelReason) {
        let signals: Vec<Arc<Signal>> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        signals.iter().for_each(|signal| signal.give(reason));
    }
}

impl Signal {
    fn give(&self, reason: CancelReason) {
        let set = match reason {
            CancelReason::Cancelled => 1,
            CancelReason::TimedOut => 2,
            CancelReason::ShuttingDown => 3,
        };
        let _ = self.set.compare_exchange(0, set, SeqCst, SeqCst);
        self.changed.notify_waiters();
    }

    fn is_too_late(&self) -> bool {
        let shared = self.deadline.and_then(|deadline| Some((deadline, self.shared.upgrade()?)));
        shared.is_some_and(|(deadline, shared)| shared.clock.mono() >= deadline)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut signals = shared.signals.0.lock();
            // Another may have been made for the handle meanwhile.
            if signals.get(&self.handle).is_some_and(|signal| signal.strong_count() == 0) {
                signals.remove(&self.handle);
            }
        }
    }
}
