//! What the benchmarks share: random numbers, the sizes to run at, a counting allocator, and the table at the end.

pub(crate) mod alloc;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod sizes;

use std::time::Duration;

use criterion::Criterion;

/// How both benchmarks sample. Ten samples of a fifth of a second: what is compared differs by factors, and there is
/// a lot to compare.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .nresamples(2_000)
        .configure_from_args()
}
