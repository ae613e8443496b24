//! What a crash leaves of attempts, histories and the dead.

use std::sync::Arc;
use std::sync::Mutex;

use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{CancelOutcome, Cause, DeathReason, End, Engine, Job, LookupOutcome, ReviveOutcome};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

use crate::{every_second, fails, queue, schedule, times};

#[tokio::test]
async fn a_job_cancelled_while_it_ran_does_not_come_back_after_a_crash() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let hanging = Engine::builder().queue(queue(every_second(9)), hangs).store(store.clone());
    let engine = TestEngine::start(hanging, TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    schedule(&engine, "stopped", "").await;
    schedule(&engine, "again", "").await;
    assert_eq!(engine.advance(ms(20)).await.len(), 2);
    assert_eq!(engine.cancel_running("stopped").await.unwrap(), CancelOutcome::Running);
    drop(engine);

    let builder = Engine::builder().queue(queue(every_second(9)), nothing).store(store);
    let engine = TestEngine::start(builder, at_ms(1_000)).await.unwrap();
    let fired = engine.advance(ms(60_000)).await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["again"]);
    assert!(matches!(engine.lookup("stopped"), LookupOutcome::AlreadyFired { end: End::Interrupted, .. }));
}

#[tokio::test]
async fn retries_histories_and_the_dead_outlive_a_crash() {
    let store = Arc::new(MemoryStore::new());
    let builder = || Engine::builder().queue(queue(every_second(3)), fails).store(store.clone());
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "retrying", "1").await;
    schedule(&engine, "dead", "9").await;
    schedule(&engine, "raised", "9").await;
    engine.advance(ms(20)).await;
    engine.reschedule("retrying", at_ms(9_000)).await.unwrap().rescheduled().unwrap();
    engine.advance(ms(5_000)).await;
    let outcome = engine.revive("raised", at_ms(8_000)).await.unwrap();
    assert!(matches!(outcome, ReviveOutcome::Revived { .. }), "{outcome:?}");
    let before = ["retrying", "dead", "raised"].map(|key| view(&engine, key));
    drop(engine);

    // Twice, so that the second restart reads what the first has written.
    for _ in 0..2 {
        let engine = TestEngine::start(builder(), at_ms(6_000)).await.unwrap();
        let after = ["retrying", "dead", "raised"].map(|key| view(&engine, key));
        assert_eq!(before, after);
        assert_eq!((engine.jobs(), engine.stats().dead), (2, 1));
        drop(engine);
    }
    let engine = TestEngine::start(builder(), at_ms(6_000)).await.unwrap();
    let fired = engine.advance(ms(60_000)).await;
    let of = |key: &str| fired.iter().filter(|job| job.key.as_str() == key).cloned().collect::<Vec<_>>();
    assert_eq!(times(&of("retrying")), [(2, 9_000)]);
    assert_eq!(times(&of("raised")), [(4, 8_000), (5, 9_000), (6, 10_000)]);
    assert_eq!(of("dead").len(), 0);
    assert_eq!(engine.stats().dead, 2);
}

/// All that a view has but for its handle, which is of its engine.
fn view(engine: &Engine, key: &str) -> String {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) | LookupOutcome::Dead(view) => serde_json::to_string(&view).unwrap(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn an_interrupted_attempt_counts_if_the_policy_says_so() {
    let store = Arc::new(MemoryStore::new());
    let retry = every_second(2).count_interrupted();
    for attempt in 1..=2 {
        let hangs = |_: Job| std::future::pending::<()>();
        let builder = Engine::builder().queue(queue(retry), hangs).store(store.clone());
        let now = at_ms(10_000 * (attempt - 1));
        let engine = TestEngine::start(builder, now).await.unwrap().go_on_after(ms(200));
        if attempt == 1 {
            schedule(&engine, "poison", "").await;
        }
        let fired = engine.advance(ms(5_000)).await;
        assert_eq!(fired.len(), 1, "attempt {attempt}: {fired:?}");
        assert_eq!(i64::from(fired[0].attempt), attempt);
        drop(engine);
    }
    // Found by the restart, and told of as any other death.
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(retry).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), reason));
    });
    let builder = Engine::builder().queue(config, nothing).store(store);
    let engine = TestEngine::start(builder, at_ms(30_000)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [("poison".to_owned(), DeathReason::Exhausted)]);
    assert_eq!(engine.stats().queues[0].died, 1);
    assert_eq!(engine.advance(ms(60_000)).await, []);
    let LookupOutcome::Dead(view) = engine.lookup("poison") else { panic!("it is dead") };
    let history = view.history.unwrap();
    assert_eq!(history.failures, 2);
    assert!(history.errors.iter().all(|error| error.cause == Cause::Interrupted));
}
