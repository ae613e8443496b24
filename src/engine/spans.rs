//! The span of an attempt: what a handler logs, and what its libraries log, says for which job.

use tracing::Span;

use super::handler::Job;

/// The span in which a handler runs: `job`, at the level `INFO`, with the target `reveille::job`, so that a filter can keep it
/// where it drops the library's other lines. If nobody wants it this is a look at one number.
pub(super) fn of(job: &Job) -> Span {
    tracing::info_span!(
        target: "reveille::job",
        "job",
        key = job.key().as_str(),
        queue = job.queue(),
        attempt = job.attempt(),
        id = %job.id(),
    )
}
