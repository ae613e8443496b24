//! What the tests share: a log of what fired, and the wall clock at which test time begins.

#![allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]

pub mod outside;
#[cfg(feature = "redis")]
pub mod proxy;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
pub mod redis_client;
pub mod store;
#[cfg(feature = "redis")]
pub mod truth;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::{Engine, Job, Timestamp};

/// Where test time begins: 2026-12-01 10:00:00 UTC.
pub const TEN_O_CLOCK: Timestamp = Timestamp::from_micros(1_796_119_200_000_000);

/// `ms` milliseconds after [`TEN_O_CLOCK`].
pub fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(TEN_O_CLOCK.as_micros() + ms * 1_000)
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The keys that fired, in order.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<Vec<String>>>);

impl Keys {
    pub fn push(&self, key: impl Into<String>) {
        self.0.lock().unwrap().push(key.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Real time, for tests in which it is the point.
pub fn real_now() -> Timestamp {
    reveille::Clock::System.now().wall
}

/// Waits for an engine on the system's clock to have nothing left, at most half a minute.
pub async fn until_idle(engine: &Engine) {
    tokio::time::timeout(Duration::from_secs(30), engine.idle()).await.expect("the engine comes to rest");
}

/// A handler that does nothing.
pub async fn nothing(_: Job) {}
