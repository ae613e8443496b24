//! What an application that embeds the engine meets first: contexts, settings that make no sense, a start in the background,
//! and its own tests.

use std::sync::Arc;
use std::time::Duration;

use reveille::clock::ManualClock;
use reveille::store::MemoryStore;
use reveille::testing::{FiredEnd, TestEngine};
use reveille::{
    BoxError, Builder, Clock, ContextTask, Durability, Engine, Job, QueueConfig, StartError, StartPhase,
    Task, Timestamp,
};
use serde::{Deserialize, Serialize};
use testkit::HOUR;
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};
use tokio::sync::mpsc;

/// What an application has.
struct Shop {
    sold: mpsc::UnboundedSender<String>,
}

#[derive(Serialize, Deserialize)]
struct Sell {
    item: String,
}

impl ContextTask for Sell {
    const NAME: &'static str = "sell";
    type Output = Result<(), BoxError>;
    type Context = Shop;

    async fn run(self, shop: &Shop, job: Job) -> Result<(), BoxError> {
        tokio::task::yield_now().await;
        shop.sold.send(format!("{} as {}", self.item, job.key()))?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Plain;

impl Task for Plain {
    const NAME: &'static str = "plain";
    type Output = Result<(), BoxError>;

    async fn run(self, _: Job) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_task_runs_with_what_the_application_has() {
    let (sold, mut told) = mpsc::unbounded_channel();
    let raw = |job: Job| async move {
        let shop = job.context::<Shop>().ok_or("there is a shop")?;
        assert!(job.context::<String>().is_none());
        shop.sold.send("raw".into())?;
        Ok::<_, BoxError>(())
    };
    // Whether it comes before the tasks or after them.
    let builder = Engine::builder().task::<Sell>().task::<Plain>().queue("raw", raw);
    let engine = TestEngine::start(builder.context(Arc::new(Shop { sold })), TEN_O_CLOCK).await.unwrap();
    engine.schedule(Sell { item: "tea".into() }).key("k").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("raw", "").at(at_ms(2)).await.unwrap().scheduled().unwrap();
    engine.schedule(Plain).at(at_ms(3)).await.unwrap().scheduled().unwrap();
    let fired = engine.advance(ms(3)).await;
    assert!(fired.iter().all(|job| job.end == FiredEnd::Succeeded), "{fired:?}");
    assert_eq!((told.recv().await.unwrap(), told.recv().await.unwrap()), ("tea as k".into(), "raw".into()));
}

#[tokio::test]
async fn a_missing_context_is_named_at_the_start() {
    let error = Engine::builder().task::<Plain>().task::<Sell>().start().await.unwrap_err();
    let StartError::NoContext { task, context, .. } = &error else { panic!("{error}") };
    assert_eq!(*task, "sell");
    assert!(context.ends_with("Shop"), "{context}");
}

#[tokio::test]
async fn settings_that_mean_nothing_are_refused_by_name() {
    let queue = || Engine::builder().queue("q", nothing);
    let error = Engine::builder().start().await.unwrap_err();
    assert!(matches!(error, StartError::NoQueue), "{error}");
    let engine = Engine::builder().without_queues().start().await.unwrap();
    engine.add_queue("later", nothing).unwrap();

    let out_of_range: [(Builder, &str); 4] = [
        (queue().horizon(Duration::ZERO), "horizon"),
        (queue().tick(ms(10)).horizon(ms(9)), "horizon"),
        (queue().payload_bytes_max(0), "payload_bytes_max"),
        (queue().payload_bytes_max(usize::MAX), "payload_bytes_max"),
    ];
    for (builder, named) in out_of_range {
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::InvalidSetting { setting, .. } if setting == named), "{error}");
    }

    let for_a_store: [(Builder, &str); 11] = [
        (queue().durability(Durability::Logged), "durability"),
        (queue().lease(HOUR), "lease"),
        (queue().standby(true), "standby"),
        (queue().take_over(true), "take_over"),
        (queue().single_owner(true), "single_owner"),
        (queue().commit_deadline(HOUR), "commit_deadline"),
        (queue().start_patience(HOUR), "start_patience"),
        (queue().snapshot_every(HOUR, 1), "snapshot_every"),
        (queue().log_records_max(1), "log_records_max"),
        (queue().log_bytes_max(1), "log_bytes_max"),
        (queue().catch_up_per_second(1), "catch_up_per_second"),
    ];
    for (builder, named) in for_a_store {
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::NoStore { setting, .. } if setting == named), "{error}");
    }
    let all = queue().lease(HOUR).standby(true).snapshot_every(HOUR, 1).catch_up_per_second(0);
    all.store(Arc::new(MemoryStore::new())).start().await.unwrap();
}

/// At their ends, where it is said that they mean something.
#[tokio::test]
async fn settings_at_their_ends_do_what_they_say() {
    let builder = Engine::builder().queue(QueueConfig::new("q").concurrency(usize::MAX), nothing);
    let builder = builder.horizon(Duration::MAX).jobs_max(usize::MAX).remember_fired(0, Duration::MAX);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("far").after(HOUR * 24 * 36_500).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("near").after(ms(1)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
    // Nothing is remembered.
    assert_eq!(engine.lookup("near"), reveille::LookupOutcome::NotFound);
    let forgets = Engine::builder().queue("q", nothing).remember_fired(usize::MAX, Duration::ZERO);
    let engine = TestEngine::start(forgets, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
}

/// That it compiles is half of it: its body has no type but that of what never ends.
#[tokio::test]
async fn a_handler_may_only_panic() {
    let builder = Engine::builder().queue("q", |_: Job| async { panic!("boom") });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    let fired = engine.advance(ms(1)).await;
    assert_eq!(fired[0].end, FiredEnd::Panicked("the handler panicked: boom".into()));
}

#[tokio::test]
async fn what_has_fired_says_how_it_ended() {
    let handler = |job: Job| async move {
        match job.key().as_str() {
            "fails" => Err("out of tea"),
            "hangs" => std::future::pending().await,
            _ => Ok(()),
        }
    };
    let builder = Engine::builder().queue("q", handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().go_on_after(ms(100));
    for (at, key) in ["done", "fails", "hangs"].into_iter().enumerate() {
        engine.schedule_raw("q", "").key(key).at(at_ms(at as i64)).await.unwrap().scheduled().unwrap();
    }
    let ends: Vec<_> = engine.advance(ms(3)).await.into_iter().map(|job| job.end).collect();
    assert_eq!(ends, [FiredEnd::Succeeded, FiredEnd::Failed("out of tea".into()), FiredEnd::Running]);
}

#[tokio::test]
#[should_panic(expected = "order:7 (queue slow)")]
async fn a_step_that_runs_out_of_patience_says_on_what() {
    let builder = Engine::builder()
        .queue(QueueConfig::new("slow").concurrency(1), |_: Job| std::future::pending::<()>());
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().patience(ms(50));
    engine.schedule_raw("slow", "").key("order:7").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    engine.advance(ms(1)).await;
}

/// An hour of tokio's time passes in no time, in which the engine's stands still.
#[tokio::test(start_paused = true)]
async fn handlers_may_wait_by_a_paused_clock_of_tokio() {
    let handler = |_: Job| async { tokio::time::sleep(HOUR).await };
    let builder = Engine::builder().queue("q", handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for n in 0..3 {
        engine.schedule_raw("q", "").at(at_ms(n)).await.unwrap().scheduled().unwrap();
    }
    let fired = engine.advance(ms(10)).await;
    assert_eq!(fired.iter().filter(|job| job.end == FiredEnd::Succeeded).count(), 3, "{fired:?}");
    assert_eq!(engine.now(), at_ms(10));
}

#[tokio::test]
async fn an_application_is_on_the_clock_of_its_test() {
    let clock = Arc::new(ManualClock::new(TEN_O_CLOCK));
    let of_the_application = Clock::Manual(clock.clone());
    let engine = TestEngine::start_on(Engine::builder().queue("q", nothing), clock.clone()).await.unwrap();
    engine.schedule_raw("q", "").at(at_ms(60)).await.unwrap().scheduled().unwrap();
    // Whoever moves it.
    clock.advance(ms(60));
    assert_eq!(engine.settle().await.len(), 1);
    engine.advance(ms(40)).await;
    assert_eq!((of_the_application.now().wall, engine.now(), engine.clock().now().wall), {
        let now: Timestamp = at_ms(100);
        (now, now, now)
    });
}

#[tokio::test]
async fn a_start_in_the_background_tells_how_it_ends() {
    let startup = Engine::builder().queue("q", nothing).start_in_background().unwrap();
    let engine = startup.ready().await.unwrap();
    assert!(startup.engine().is_some() && matches!(startup.phase(), StartPhase::Ready(_)));
    engine.schedule_raw("q", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    let startup = Engine::builder().start_in_background().unwrap();
    assert!(matches!(*startup.ready().await.unwrap_err(), StartError::NoQueue));
    assert!(startup.engine().is_none() && matches!(startup.phase(), StartPhase::Failed(_)));
}

#[test]
fn a_start_in_the_background_needs_a_runtime() {
    let error = Engine::builder().queue("q", nothing).start_in_background().unwrap_err();
    assert!(matches!(error, StartError::NoRuntime), "{error}");
}
