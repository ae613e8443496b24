//! Loom's types, where they differ from the types they stand for.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ::loom::sync::Mutex;

/// Atomics whose sequentially consistent accesses keep an order among each other.
///
/// Loom treats such an access as an acquire or a release, and would reject correct code; its fences are exact. The order
/// matters here when two threads each write, and then read what the other writes: one of them must see the other. A fence
/// between write and read ensures that, and it may go with the write or with the read. Each model runs both ways. The first
/// finds a write of too weak an order, the second, where reads get no fence, a read.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::fence;
    use std::cell::Cell;
    pub(crate) use std::sync::atomic::Ordering;

    thread_local! {
        /// Of the test, all of whose threads are this one.
        static IS_WITH_READS: Cell<bool> = const { Cell::new(false) };
    }

    /// Has the fences go with reads from here on, or with writes.
    pub(crate) fn fence_with_reads(is_so: bool) {
        IS_WITH_READS.set(is_so);
    }

    fn before_read(ordering: Ordering) {
        if ordering == Ordering::SeqCst && IS_WITH_READS.get() {
            fence(Ordering::SeqCst);
        }
    }

    fn after_write(ordering: Ordering) {
        if ordering == Ordering::SeqCst && !IS_WITH_READS.get() {
            fence(Ordering::SeqCst);
        }
    }

    /// Both a read and a write.
    fn both<R>(ordering: Ordering, change: impl FnOnce() -> R) -> R {
        before_read(ordering);
        let result = change();
        after_write(ordering);
        result
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl Default for $name {
                fn default() -> Self {
                    $name::new(Default::default())
                }
            }

            #[allow(dead_code, reason = "not every type is used in every way")]
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    $name(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $value {
                    before_read(ordering);
                    self.0.load(ordering)
                }

                pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                    self.0.store(value, ordering);
                    after_write(ordering);
                }

                pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                    both(ordering, || self.0.swap(value, ordering))
                }
            }
        };
    }

    macro_rules! counter {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            #[allow(dead_code, reason = "not every type is used in every way")]
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                    both(ordering, || self.0.fetch_add(value, ordering))
                }

                pub(crate) fn fetch_sub(&self, value: $value, ordering: Ordering) -> $value {
                    both(ordering, || self.0.fetch_sub(value, ordering))
                }

                pub(crate) fn fetch_max(&self, value: $value, ordering: Ordering) -> $value {
                    both(ordering, || self.0.fetch_max(value, ordering))
                }

                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    both(set, || self.0.fetch_update(set, fetch, update))
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    counter!(AtomicI64, i64);
    counter!(AtomicU64, u64);
    counter!(AtomicUsize, usize);
}

pub(crate) mod thread {
    pub(crate) use loom::thread::*;
    use std::time::Duration;

    /// A time-out may come at any moment, and another thread gets its turn first.
    pub(crate) fn park_timeout(_time: Duration) {
        yield_now();
    }
}

/// Set once, by a release; what is seen is acquired.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    is_set: atomic::AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        OnceLock { is_set: atomic::AtomicBool::default(), value: std::sync::OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(atomic::Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.is_set.store(true, atomic::Ordering::Release);
        Ok(())
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

/// Stands for tokio's, as documented there: one permit, waiters in the order of arrival, and a waiter that is dropped after
/// it was chosen passes the call on.
pub(crate) struct Notify {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    has_permit: bool,
    /// How often all were called.
    calls_to_all: u64,
    next: u64,
    waiters: VecDeque<Waiting>,
    /// Waiters that were called one by one and have not seen it yet.
    called: Vec<u64>,
}

struct Waiting {
    id: u64,
    waker: Option<Waker>,
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    calls_to_all: u64,
    id: Option<u64>,
    is_done: bool,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Notify { state: Mutex::default() }
    }

    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        // Only a test that has failed already leaves it poisoned.
        look(&mut self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        let calls_to_all = self.with(|state| state.calls_to_all);
        Notified { notify: self, calls_to_all, id: None, is_done: false }
    }

    pub(crate) fn notify_one(&self) {
        let waker = self.with(|state| match state.waiters.pop_front() {
            Some(first) => {
                state.called.push(first.id);
                first.waker
            }
            None => {
                state.has_permit = true;
                None
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn notify_waiters(&self) {
        let waiters = self.with(|state| {
            state.calls_to_all += 1;
            std::mem::take(&mut state.waiters)
        });
        for waker in waiters.into_iter().filter_map(|waiting| waiting.waker) {
            waker.wake();
        }
    }
}

impl Notified<'_> {
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.get_mut().look(None)
    }

    fn look(&mut self, waker: Option<&Waker>) -> bool {
        let Notified { notify, calls_to_all, id, is_done } = self;
        *is_done = *is_done
            || notify.with(|state| {
                if state.calls_to_all != *calls_to_all {
                    return true;
                }
                let Some(id) = *id else {
                    if std::mem::take(&mut state.has_permit) {
                        return true;
                    }
                    *id = Some(state.next);
                    state.waiters.push_back(Waiting { id: state.next, waker: waker.cloned() });
                    state.next += 1;
                    return false;
                };
                if let Some(at) = state.called.iter().position(|called| *called == id) {
                    state.called.swap_remove(at);
                    return true;
                }
                if let Some(waiting) = state.waiters.iter_mut().find(|waiting| waiting.id == id) {
                    waiting.waker = waker.cloned();
                }
                false
            });
        *is_done
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.get_mut().look(Some(context.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.filter(|_| !self.is_done) else { return };
        let was_called = self.notify.with(|state| {
            state.waiters.retain(|waiting| waiting.id != id);
            let at = state.called.iter().position(|called| *called == id);
            at.inspect(|at| {
                state.called.swap_remove(*at);
            })
        });
        if was_called.is_some() {
            self.notify.notify_one();
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}
