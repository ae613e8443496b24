//! The span of an attempt: what a handler logs, and what its libraries log, says for which job.

use tracing::{Level, Span};

use super::handler::Seat;
use crate::partition::Started;

/// So that a filter can keep the spans where it drops the library's other lines.
const TARGET: &str = "reveille::job";

/// The header that says of which trace a job is a part: the name that W3C gave it.
const TRACEPARENT: &str = "traceparent";

/// Whether there may be anybody who wants spans: a look at one number.
#[inline]
pub(crate) fn are_wanted() -> bool {
    Level::INFO <= tracing::level_filters::LevelFilter::current()
}

/// The span in which a handler runs: `job`, at the level `INFO`. It has the field `traceparent` if the job has such a header.
#[cold]
pub(crate) fn of(started: &Started, seat: &Seat) -> Span {
    // None of it is no field.
    let traceparent = started.options.headers().and_then(|headers| headers.value(TRACEPARENT));
    tracing::info_span!(
        target: TARGET,
        "job",
        key = started.key.as_str(),
        queue = seat.queue.name.as_str(),
        attempt = started.attempt,
        id = %started.id,
        traceparent,
    )
}
