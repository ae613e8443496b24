//! One owner at a time for a store in memory, as for any other: two engines on it do not fire the same jobs.

use std::sync::Arc;

use reveille::store::MemoryStore;
use reveille::{Builder, Engine, Job, StartError};
use testkit::MINUTE;
use testkit::{Keys, eventually, ms};

fn builder(store: &Arc<MemoryStore>, fired: &Keys) -> Builder {
    Engine::builder().queue("q", fired.handler()).store(store.clone())
}

/// Both would have restored the job, and both have fired it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_living_engines_on_one_memory_store_fire_a_job_once() {
    let (store, fired) = (Arc::new(MemoryStore::new()), Keys::default());
    let first = builder(&store, &fired).start().await.unwrap();
    first.schedule_raw("q", "").key("one").after(ms(150)).await.unwrap().scheduled().unwrap();
    first.schedule_raw("q", "").key("later").after(MINUTE).await.unwrap().scheduled().unwrap();

    let refused = builder(&store, &fired).standby(false).start().await.unwrap_err();
    assert!(matches!(refused, StartError::Held(_)), "{refused:?}");
    assert!(refused.to_string().contains("shut it down or drop it first"), "{refused}");

    let second = tokio::spawn(builder(&store, &fired).start());
    eventually("the job fires", || fired.len() == 1).await;
    tokio::time::sleep(ms(150)).await;
    assert!(!second.is_finished(), "it waits while the first is there");
    assert!(first.shutdown(MINUTE).await.is_clean());
    let second = tokio::time::timeout(MINUTE, second).await.unwrap().unwrap().unwrap();
    assert_eq!((second.jobs(), fired.take()), (1, vec!["one".to_owned()]));
}

/// A crash, as far as a store in memory can have one: nothing was given back, and handlers never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_dropped_frees_the_store_whatever_its_handlers_do() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let first = Engine::builder().queue("q", hangs).store(store.clone()).start().await.unwrap();
    first.schedule_raw("q", "").key("hangs").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("the handler begins", || first.stats().running == 1).await;
    let shared = first.clone();
    drop(first);
    let held = builder(&store, &Keys::default()).standby(false).start().await;
    assert!(matches!(held, Err(StartError::Held(_))), "a clone is the same engine, and lives");
    drop(shared);
    let fired = Keys::default();
    let second = builder(&store, &fired).standby(false).start().await.unwrap();
    testkit::until_idle(&second).await;
    assert_eq!(fired.take(), ["hangs"]);
}

/// The engine that came next would run its job beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_that_leaves_a_handler_running_keeps_the_store() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let first = Engine::builder().queue("q", hangs).store(store.clone()).start().await.unwrap();
    first.schedule_raw("q", "").key("hangs").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("the handler begins", || first.stats().running == 1).await;
    assert_eq!(first.shutdown(ms(50)).await.still_running, 1);
    let held = builder(&store, &Keys::default()).standby(false).start().await;
    assert!(matches!(held, Err(StartError::Held(_))));
    drop(first);
    builder(&store, &Keys::default()).standby(false).start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_or_is_given_up_leaves_nothing_held() {
    let (store, fired) = (Arc::new(MemoryStore::new()), Keys::default());
    builder(&store, &fired).partitions(4).start().await.unwrap().shutdown(MINUTE).await;
    let misfit = builder(&store, &fired).partitions(5).start().await;
    assert!(matches!(misfit, Err(StartError::Store(_))));
    let first = builder(&store, &fired).partitions(4).standby(false).start().await.unwrap();
    let given_up = tokio::time::timeout(ms(120), builder(&store, &fired).partitions(4).start()).await;
    assert!(given_up.is_err(), "the standby waits");
    drop(first);
    builder(&store, &fired).partitions(4).standby(false).start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_store_is_taken_by_force_and_the_engine_that_had_it_is_told() {
    let (store, fired) = (Arc::new(MemoryStore::new()), Keys::default());
    let first = builder(&store, &fired).start().await.unwrap();
    first.schedule_raw("q", "").key("far").after(MINUTE).await.unwrap().scheduled().unwrap();
    let second = builder(&store, &fired).take_over(true).start().await.unwrap();
    assert_eq!(second.jobs(), 1);
    assert!(first.schedule_raw("q", "").key("other").after(MINUTE).await.is_err());
    tokio::time::timeout(MINUTE, first.lost()).await.unwrap();
    let report = first.shutdown(MINUTE).await;
    assert!(report.is_taken_over && !report.is_flushed && !report.is_clean(), "{report:?}");
    // What the first leaves behind does not free what is the second's.
    drop(first);
    let third = builder(&store, &fired).standby(false).start().await;
    assert!(matches!(third, Err(StartError::Held(_))));
}
