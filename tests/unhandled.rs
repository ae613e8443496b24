//! Queues that the store has jobs of, and that nobody has built: a release that renames one must not lose them in silence.

use std::sync::Arc;
use std::time::Duration;

use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{Builder, CancelOutcome, Engine, QueueConfig, QueueStats, ScheduleError};
use testkit::logs::Logs;
use testkit::{TEN_O_CLOCK, at_ms, eventually, ms, nothing};
use tracing::Level;

/// How many warnings have all of these words. Each test has a queue of its own.
fn warnings(words: &[&str]) -> usize {
    Logs::listen().with(words).into_iter().filter(|line| line.level <= Level::WARN).count()
}

fn builder(store: &Arc<MemoryStore>) -> Builder {
    Engine::builder().queue("kept", nothing).store(store.clone())
}

/// A store with fifty jobs of a queue that is gone in the next release, and one of another.
async fn left_behind(gone: &'static str) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(builder(&store).queue(gone, nothing), TEN_O_CLOCK).await.unwrap();
    for n in 0..50 {
        engine
            .schedule_raw(gone, "")
            .key(format!("gone:{n}"))
            .at(at_ms(1_000 + n))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    engine.schedule_raw("kept", "").key("kept").at(at_ms(1_000)).await.unwrap().scheduled().unwrap();
    engine.shutdown(ms(5_000)).await;
    store
}

fn stats_of(engine: &Engine, name: &str) -> QueueStats {
    engine.stats().queues.into_iter().find(|queue| queue.name == name).expect("it is known")
}

#[tokio::test]
async fn jobs_without_a_handler_are_told_of_at_the_start_and_once_when_they_are_due() {
    let store = left_behind("gone").await;
    Logs::listen();
    let engine = TestEngine::start(builder(&store), TEN_O_CLOCK).await.unwrap();
    let at_start = ["queue=gone", "jobs=50", "add_queue", "cancel"];
    assert_eq!(warnings(&at_start), 1, "{:#?}", Logs::listen().all());
    assert_eq!(warnings(&["queue=kept"]), 0, "{:#?}", Logs::listen().all());
    let queue = stats_of(&engine, "gone");
    assert_eq!((queue.has_handler, queue.unhandled, queue.ready), (false, 50, 0));
    let queue = stats_of(&engine, "kept");
    assert_eq!((queue.has_handler, queue.unhandled), (true, 0));

    // They come due one after another, and are told of once.
    assert_eq!(engine.advance(ms(2_000)).await.len(), 1);
    assert_eq!(stats_of(&engine, "gone").ready, 50);
    let due = ["queue=gone", "due", "add_queue", "cancelled"];
    assert_eq!(warnings(&due), 1, "{:#?}", Logs::listen().all());
    // They are pending, so there is no rest.
    assert!(tokio::time::timeout(ms(50), engine.idle()).await.is_err());

    // None is taken on top of them, by whatever way.
    let one = engine.schedule_raw("gone", "").after(ms(1)).await;
    assert!(matches!(&one, Err(ScheduleError::UnknownQueue { name, .. }) if name == "gone"), "{one:?}");
    let planned = engine.schedule_raw("gone", "").planned(ms(1));
    let many = engine.schedule_many([planned]).await.unwrap();
    assert!(matches!(&many[0], Err(ScheduleError::UnknownQueue { name, .. }) if name == "gone"), "{many:?}");

    // What the warnings advise works.
    assert_eq!(engine.cancel("gone:0").await.unwrap(), CancelOutcome::Cancelled);
    engine.add_queue("gone", nothing).unwrap();
    assert_eq!(engine.advance(ms(1)).await.len(), 49);
    let queue = stats_of(&engine, "gone");
    assert_eq!((queue.has_handler, queue.unhandled, queue.ready), (true, 0, 0));
    engine.schedule_raw("gone", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    engine.shutdown(ms(5_000)).await;
}

#[tokio::test]
async fn who_expects_them_is_not_warned() {
    let store = left_behind("expected").await;
    Logs::listen();
    let engine = TestEngine::start(builder(&store).unhandled_queues(true), TEN_O_CLOCK).await.unwrap();
    engine.advance(ms(2_000)).await;
    assert_eq!(stats_of(&engine, "expected").ready, 50);
    assert_eq!(warnings(&["expected"]), 0, "{:#?}", Logs::listen().all());
    engine.shutdown(ms(5_000)).await;
}

/// Real engines, whose drivers find overdue jobs as soon as they run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_expects_them_is_not_warned_by_a_driver_that_is_quick() {
    Logs::listen();
    let store = Arc::new(MemoryStore::new());
    let paused = QueueConfig::new("overtaken").paused();
    let engine = builder(&store).queue(paused, nothing).start().await.unwrap();
    engine.schedule_raw("overtaken", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    engine.shutdown(ms(5_000)).await;
    for _ in 0..20 {
        let engine = builder(&store).unhandled_queues(true).start().await.unwrap();
        engine.schedule_raw("kept", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        eventually("the driver has run", || stats_of(&engine, "kept").fired > 0).await;
        engine.shutdown(ms(5_000)).await;
    }
    assert_eq!(warnings(&["overtaken"]), 0, "{:#?}", Logs::listen().all());
}

/// A paused queue has a handler; what waits for it stays, and the end does not.
#[tokio::test]
async fn jobs_of_a_queue_that_is_paused_or_gone_outlast_a_shutdown() {
    let store = left_behind("outlasting").await;
    let engine = TestEngine::start(builder(&store).unhandled_queues(true), TEN_O_CLOCK).await.unwrap();
    engine.pause("kept").into_outcome().unwrap();
    assert!(engine.advance(ms(2_000)).await.is_empty());
    let ended = tokio::time::timeout(Duration::from_secs(30), engine.shutdown(ms(5_000))).await;
    let report = ended.expect("nobody waits for them");
    assert!(report.is_flushed);
    assert_eq!(report.pending, 51);
    let next = TestEngine::start(builder(&store).queue("outlasting", nothing), at_ms(2_000)).await.unwrap();
    assert_eq!(next.advance(ms(1_000)).await.len(), 50, "one is of the queue that is paused still");
    next.resume("kept").await.unwrap();
    assert_eq!(next.advance(ms(1)).await.len(), 1);
    next.shutdown(ms(5_000)).await;
}
