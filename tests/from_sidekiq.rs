//! The page for those who come from Sidekiq: what it shows in Rust is in this file, so it compiles, and does what the page says.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use reveille::testing::{FiredEnd, ForcedFailure, TestEngine};
use reveille::{
    BoxError, CancelOutcome, Engine, Job, JobFilter, JobState, LookupOutcome, RescheduleOutcome, Retry, Task,
    Timestamp,
};
use testkit::HOUR;

static PUBLISHED: AtomicU64 = AtomicU64::new(0);

async fn publish(product: u64) -> Result<(), BoxError> {
    PUBLISHED.fetch_max(product, SeqCst);
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PublishProduct {
    product: u64,
}

impl Task for PublishProduct {
    const NAME: &'static str = "publish";
    type Output = Result<(), BoxError>;

    fn retry() -> Option<Retry> {
        Some(Retry::attempts(6))
    }

    async fn run(self, _: Job) -> Self::Output {
        publish(self.product).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_product_is_published_moved_and_called_off() -> Result<(), Box<dyn Error>> {
    let noon: Timestamp = "2026-11-28T12:00:00Z".parse()?;
    let engine = TestEngine::start(Engine::builder().task::<PublishProduct>(), noon).await?;
    let (publish_at, new_time) = (noon + HOUR, noon + 3 * HOUR);

    let product = 1;
    engine
        .schedule(PublishProduct { product })
        .key(format!("publish:{product}"))
        .at(publish_at)
        .await?
        .scheduled()?;
    let product = 2;
    engine
        .schedule(PublishProduct { product })
        .key(format!("publish:{product}"))
        .after(2 * HOUR)
        .await?
        .scheduled()?;
    assert_eq!(engine.count(&JobFilter::default().states([JobState::Pending])).jobs, 2);

    let key = "publish:1".to_owned();
    match engine.reschedule(&key, new_time).await? {
        RescheduleOutcome::Rescheduled { was, .. } => println!("moved, it was due at {was}"),
        RescheduleOutcome::Running => println!("too late, it is being published"),
        RescheduleOutcome::AlreadyFired { at, .. } => println!("too late, it was published at {at}"),
        outcome => println!("{outcome:?}"),
    }
    engine.assert_due(&key, new_time);

    let key = "publish:2".to_owned();
    assert_eq!(engine.cancel(&key).await?, CancelOutcome::Cancelled);
    assert_eq!(engine.lookup(&key), LookupOutcome::NotFound);
    assert_eq!(engine.cancel_running(&key).await?, CancelOutcome::NotFound);

    let fired = engine.run_until(new_time).await?;
    assert_eq!((fired.len(), PUBLISHED.load(SeqCst)), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_test_of_it() -> Result<(), Box<dyn Error>> {
    let noon: Timestamp = "2026-11-28T12:00:00Z".parse()?;
    let (product, key) = (0, "publish:0".to_owned());
    let engine = TestEngine::start(Engine::builder().task::<PublishProduct>(), noon).await?;
    engine.schedule(PublishProduct { product }).key(&key).after(2 * HOUR).await?.scheduled()?;
    engine.assert_due(&key, noon + 2 * HOUR);
    let fired = engine.run_until(noon + 2 * HOUR).await?;
    assert_eq!(fired[0].end, FiredEnd::Succeeded);
    Ok(())
}

/// `retry: 5` is six attempts.
#[tokio::test]
async fn five_retries_are_six_attempts() -> Result<(), Box<dyn Error>> {
    let noon: Timestamp = "2026-11-28T12:00:00Z".parse()?;
    let engine = TestEngine::start(Engine::builder().task::<PublishProduct>(), noon).await?;
    engine.schedule(PublishProduct { product: 0 }).key("k").at(noon).await?.scheduled()?;
    engine.force(ForcedFailure::of_any());
    assert_eq!(engine.run_all().await?.len(), 6);
    engine.assert_dead("k");
    Ok(())
}

/// Every line of Rust on the page is here, but for those that only end a call.
#[test]
fn the_page_shows_what_is_tested() {
    let (page, tests) = (include_str!("../docs/from-sidekiq.md"), include_str!("from_sidekiq.rs"));
    let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let tests = squeezed(tests);
    let code = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<&str> = code.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect();
    assert!(lines.len() >= 30, "only {} lines were found", lines.len());
    for line in lines {
        let line = squeezed(line.split("//").next().unwrap_or_default());
        assert!(tests.contains(line.trim_end_matches(';')), "not in tests/from_sidekiq.rs: {line}");
    }
}
