//! Waiting, always with an end: for a condition, for a future, with tokio and without it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use reveille::Engine;
use tokio::runtime::{Builder, Runtime};

use crate::time::{mono_us, ms};

/// Longer than anything takes that comes to an end, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether it is so.
const LOOK_EVERY: Duration = ms(2);

/// Waits until it is so.
///
/// # Panics
/// When it is not so within [`PATIENCE`].
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waits).await;
    waited.unwrap_or_else(|_| panic!("it never comes to be: {what}"));
}

/// The same for a condition that is asked for asynchronously.
pub async fn eventually_async(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waits).await;
    waited.unwrap_or_else(|_| panic!("it never comes to be: {what}"));
}

/// Blocks this thread until it is so, without tokio.
///
/// # Panics
/// When it is not so within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = mono_us();
    while !is_so() {
        assert!(mono_us() - began < PATIENCE.as_micros() as u64, "it never comes to be: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// What a future resolves to.
///
/// # Panics
/// When it has not within [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never resolves: {what}"))
}

/// Waits for an engine on the system's clock to have nothing left.
///
/// # Panics
/// When it still has something after [`PATIENCE`].
pub async fn until_idle(engine: &Engine) {
    within("the engine comes to rest", engine.idle()).await;
}

/// Polls a future on this thread, outside any runtime.
///
/// # Panics
/// When it has not resolved within [`PATIENCE`].
#[track_caller]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let began = mono_us();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(mono_us() - began < PATIENCE.as_micros() as u64, "it hangs");
        thread::park_timeout(Duration::from_secs(1));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A runtime with so many threads, and nothing but what is asked for; 0 is one that runs on the thread that blocks on it.
pub fn bare_runtime(threads: usize) -> Runtime {
    match threads {
        0 => Builder::new_current_thread().build().unwrap(),
        _ => Builder::new_multi_thread().worker_threads(threads).build().unwrap(),
    }
}

/// A runtime with so many threads, timers and I/O.
pub fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}
