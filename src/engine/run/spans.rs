//! The span of an attempt: what a handler logs, and what its libraries log, says for which job.

use tracing::field::{Empty, display};
use tracing::{Level, Span};

use super::handler::Seat;
use crate::engine::state::{Failure, FailureKind};
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
    if seat.shared.settings.has_messaging_spans {
        return in_terms_of_messaging(started, seat);
    }
    let traceparent = traceparent(started);
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

/// The same with the names of OpenTelemetry's conventions for messaging: see [`Builder::messaging_spans`](crate::Builder::messaging_spans).
fn in_terms_of_messaging(started: &Started, seat: &Seat) -> Span {
    let queue = seat.queue.name.as_str();
    let span = tracing::info_span!(
        target: TARGET,
        "job",
        key = started.key.as_str(),
        queue,
        attempt = started.attempt,
        id = %started.id,
        traceparent = traceparent(started),
        otel.name = Empty,
        otel.kind = "consumer",
        otel.status_code = Empty,
        otel.status_description = Empty,
        error.type = Empty,
        messaging.system = "reveille",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = queue,
        messaging.destination.partition.id = %started.handle.partition().0,
        messaging.message.id = %started.id,
        messaging.message.body.size = started.payload.as_bytes().len(),
        reveille.lateness = started.lateness_us as f64 / 1e6,
    );
    span.record("otel.name", display(format_args!("process {queue}")));
    span
}

/// `None` is no field.
fn traceparent(started: &Started) -> Option<&str> {
    started.options.headers().and_then(|headers| headers.value(TRACEPARENT))
}

/// Says in the span of an attempt that it failed. A span in other terms has none of these fields, and stays as it is.
#[cold]
pub(crate) fn fail(span: &Span, failure: &Failure) {
    let kind = match failure.kind {
        FailureKind::Panicked => "panicked",
        FailureKind::TimedOut => "timed_out",
        _ => "failed",
    };
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", failure.message.as_str());
}
