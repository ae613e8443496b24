//! The span of an attempt as OpenTelemetry exports it: named and described by its conventions for messaging, and linked to the
//! request that scheduled the job.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, TracerProvider};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use reveille::{Builder, Engine, Job, QueueConfig};
use reveille_testkit::{ms, until_idle};
use tower::ServiceBuilder;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

const TRACEPARENT: &str = "traceparent";

/// What `docs/metrics.md` shows.
fn traced(builder: Builder) -> Builder {
    builder.messaging_spans(true).before_schedule(|job| {
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut headers);
        if let Some(traceparent) = headers.get(TRACEPARENT) {
            job.header(TRACEPARENT, traceparent)?;
        }
        Ok(())
    })
}

/// Links the attempt's span to the one that the job's header names.
fn linked(job: Job) -> Job {
    let header = job.header(TRACEPARENT).map(|value| (TRACEPARENT.to_owned(), value.to_owned()));
    let headers = HashMap::<_, _>::from_iter(header);
    // From an empty context: the current one is the attempt's own.
    let scheduled_in = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    tracing::Span::current().add_link(scheduled_in.span().span_context().clone());
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_is_exported_by_the_conventions_and_linked_to_who_scheduled_it() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();

    let config = QueueConfig::new("mails").layer(ServiceBuilder::new().map_request(linked));
    let engine = traced(Engine::builder())
        .queue(config, |job: Job| async move {
            match job.payload().as_bytes() {
                b"bounces" => Err("no such address"),
                b"panics" => panic!("on purpose"),
                _ => Ok(()),
            }
        })
        .start()
        .await
        .unwrap();
    let schedules = async {
        for body in ["hello", "bounces", "panics"] {
            engine.schedule_raw("mails", body).key(body).after(ms(1)).await.unwrap().scheduled().unwrap();
        }
    };
    schedules.instrument(tracing::info_span!("request")).await;
    // Nobody's: there is nothing to link to.
    engine.schedule_raw("mails", "alone").key("alone").after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&engine).await;
    engine.shutdown(ms(1_000)).await;
    provider.force_flush().unwrap();

    // The request's, and one for each of four attempts. A worker closes the last after its job has ended.
    let is_whole = || exporter.get_finished_spans().unwrap().len() >= 5;
    reveille_testkit::eventually("every span is closed", is_whole).await;
    let spans = exporter.get_finished_spans().unwrap();
    let request = spans.iter().find(|span| span.name == "request").expect("the request's span");
    let attempt = |key: &str| {
        let is_of_key = |span: &&SpanData| text(span, "key").as_deref() == Some(key);
        spans.iter().find(is_of_key).unwrap_or_else(|| panic!("no span of {key}: {spans:#?}"))
    };
    for key in ["hello", "bounces", "panics"] {
        let span = attempt(key);
        assert_eq!((span.name.as_ref(), &span.span_kind), ("process mails", &SpanKind::Consumer));
        let [link] = &span.links.links[..] else { panic!("{key}: {:?}", span.links) };
        assert_eq!(link.span_context.trace_id(), request.span_context.trace_id());
        assert_eq!(link.span_context.span_id(), request.span_context.span_id());
        assert_ne!(span.span_context.trace_id(), request.span_context.trace_id(), "no child of it");
        for (name, value) in [
            ("messaging.system", "reveille"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "mails"),
            ("attempt", "1"),
        ] {
            assert_eq!(text(span, name).as_deref(), Some(value), "{name}: {span:#?}");
        }
        assert_eq!(text(span, "messaging.message.body.size"), Some(key.len().to_string()));
        assert_eq!(text(span, "messaging.message.id"), text(span, "id"));
        assert!(text(span, "messaging.destination.partition.id").unwrap().parse::<u16>().unwrap() < 8);
        assert!(text(span, "reveille.lateness").unwrap().parse::<f64>().unwrap() >= 0.0);
    }
    let status = |key: &str| (attempt(key).status.clone(), text(attempt(key), "error.type"));
    assert_eq!(status("hello"), (Status::Unset, None));
    assert_eq!(status("bounces"), (Status::error("no such address"), Some("failed".into())));
    let panicked = Status::error("the handler panicked: on purpose");
    assert_eq!(status("panics"), (panicked, Some("panicked".into())));
    assert_eq!(attempt("alone").links.links, []);
}

/// An attribute of a span, as text.
fn text(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
    Some(match &found.value {
        Value::String(text) => text.as_str().to_owned(),
        other => other.to_string(),
    })
}
