//! How long an operation takes.

use std::time::{Duration, Instant};

/// Rounds of which the median is told: so that one in which somebody else had the processor does not count.
const ROUNDS: u32 = 16;

/// Nanoseconds each time. `run` does an operation so many times, and says how long those took: what it has to make ready is not
/// counted.
pub(crate) fn median_ns(time: Duration, mut run: impl FnMut(u64) -> Duration) -> f64 {
    let mut count = 256;
    let begun = Instant::now();
    // What comes before a round is long enough warms up.
    while run(count) < time / ROUNDS && begun.elapsed() < time {
        count *= 2;
    }
    let mut rounds = Vec::new();
    let begun = Instant::now();
    // To make an operation ready may take longer than the operation.
    while rounds.is_empty() || (rounds.len() < ROUNDS as usize && begun.elapsed() < 8 * time) {
        rounds.push(run(count).as_nanos() as f64 / count as f64);
    }
    median(&mut rounds)
}

/// Zero if there are none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
