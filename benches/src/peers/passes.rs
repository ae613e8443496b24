//! Measurements of something that can be done once only to what has been built for it, such as to drain it.

use std::time::{Duration, Instant};

use crate::meter::median;

/// Passes, each over a structure of its own.
pub(crate) struct Passes(Vec<Pass>);

/// How long it took to build a structure, and how long to use it up.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) build: Duration,
    pub(crate) run: Duration,
}

impl Passes {
    /// Makes passes until they have taken `time`, at least one. One over ten million takes seconds, most of them to build
    /// what is used up.
    pub(crate) fn make(time: Duration, mut pass: impl FnMut() -> Pass) -> Self {
        let begun = Instant::now();
        let mut passes = vec![pass()];
        while begun.elapsed() < time {
            passes.push(pass());
        }
        Passes(passes)
    }

    /// The median of what `part` says of the passes made, in nanoseconds.
    pub(crate) fn median_ns(&self, part: impl Fn(&Pass) -> Duration) -> f64 {
        let mut times: Vec<_> = self.0.iter().map(|pass| part(pass).as_nanos() as f64).collect();
        median(&mut times)
    }
}
