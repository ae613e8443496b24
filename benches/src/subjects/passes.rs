//! Measurements of something that can be done once only to what has been built for it, such as to drain it.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::{Duration, Instant};

/// Passes, each over a structure of its own.
///
/// Ten passes over ten million would take half an hour, most of it to build what is used up. So passes are made until
/// [`BUDGET`](Self::BUDGET) is spent; samples after that take turns among those that there are.
#[derive(Default)]
pub(crate) struct Passes {
    made: Vec<Pass>,
    spent: Duration,
    next: usize,
}

/// How long it took to build a structure, and how long to use it up.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) build: Duration,
    pub(crate) run: Duration,
}

impl Passes {
    const BUDGET: Duration = Duration::from_secs(3);

    /// The time of `count` passes.
    pub(crate) fn sample(&mut self, count: u64, mut pass: impl FnMut() -> Pass) -> Duration {
        (0..count).map(|_| self.one(&mut pass).run).sum()
    }

    fn one(&mut self, pass: impl FnOnce() -> Pass) -> Pass {
        if self.spent < Self::BUDGET {
            let start = Instant::now();
            self.made.push(pass());
            self.spent += start.elapsed();
            return self.made[self.made.len() - 1];
        }
        self.next += 1;
        self.made[self.next % self.made.len()]
    }

    /// The median of what `part` says of the passes made, in nanoseconds; `None` if there are none.
    pub(crate) fn median_ns(&self, part: impl Fn(&Pass) -> Duration) -> Option<f64> {
        let mut sorted: Vec<Duration> = self.made.iter().map(part).collect();
        sorted.sort();
        sorted.get(sorted.len() / 2).map(|median| median.as_nanos() as f64)
    }
}
