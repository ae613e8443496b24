//! Parts of the engine in all orders, as far as a bound on preemptions goes, with all that the memory model lets a load see.

mod jobs;
mod life;
mod queue;
mod waiter;

use crate::sync::atomic::fence_with_reads;

/// Where one thread may cut in on another, in one run. Most bugs take two. `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;

/// Runs `scenario` in every order, with the fences here and there: see [`fence_with_reads`].
fn check(scenario: impl Fn() + Copy + Send + Sync + 'static) {
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.max_branches = 10_000;
    for is_so in [false, true] {
        fence_with_reads(is_so);
        builder.check(scenario);
    }
}
