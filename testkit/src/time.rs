//! Instants and durations as tests write them.

use std::time::Duration;

use reveille::{Clock, Timestamp};

/// A second.
pub const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// An hour: longer than any test.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Where test time begins: 2026-12-01 10:00:00 UTC.
pub const TEN_O_CLOCK: Timestamp = Timestamp::from_micros(1_796_119_200_000_000);

/// `ms` milliseconds after [`TEN_O_CLOCK`].
pub fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(TEN_O_CLOCK.as_micros() + ms * 1_000)
}

/// So many milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Real time, for tests in which it is the point.
pub fn real_now() -> Timestamp {
    Clock::System.now().wall
}

/// Real time that goes on whatever the wall clock does, in microseconds from some moment on.
pub(crate) fn mono_us() -> u64 {
    Clock::System.now().mono.as_micros()
}

/// How long `work` takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = mono_us();
    let result = work();
    (result, Duration::from_micros(mono_us() - began))
}

/// How long a future takes, from its first poll on.
pub async fn timed_async<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = mono_us();
    let output = future.await;
    (output, Duration::from_micros(mono_us() - began))
}
