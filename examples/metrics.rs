//! What an engine publishes, as Prometheus reads it: `cargo run --example metrics`. A service answers `/metrics` with this text.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use reveille::metrics::{DURATION_BUCKETS_S, LATENESS_BUCKETS_S};
use reveille::{Engine, Job};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before the engine starts. The exporter's own buckets begin at milliseconds, and jobs are microseconds late.
    let lateness = Matcher::Full("reveille_job_lateness_seconds".into());
    let others = Matcher::Prefix("reveille_".into());
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(lateness, &LATENESS_BUCKETS_S)?
        .set_buckets_for_metric(others, &DURATION_BUCKETS_S)?
        .install_recorder()?;

    let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    for number in 0..100 {
        engine.schedule_raw("mails", "hello").after(Duration::from_millis(number)).await?.scheduled()?;
    }
    engine.idle().await;
    engine.shutdown(Duration::from_secs(1)).await;
    println!("{}", metrics.render());
    Ok(())
}
