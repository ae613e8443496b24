//! Queues that are paused and resumed: for this process at once, and for those after it.

use std::sync::Arc;
use std::time::Duration;

use reveille::store::{MemoryStore, RedisStore};
use reveille::testing::TestEngine;
use reveille::{
    Builder, CallError, Change, Durability, Engine, Job, OnConflict, PauseError, PauseOutcome, QueueConfig,
    QueueStats, ResumeOutcome,
};
use testkit::redis::{EVERYSEC, RedisServer, impatient};
use testkit::{Keys, MINUTE, TEN_O_CLOCK, at_ms, eventually, ms, nothing};

fn stats_of(engine: &Engine, queue: &str) -> QueueStats {
    engine.stats().queues.into_iter().find(|of| of.name == queue).expect("the queue is known")
}

fn kept() -> (Arc<MemoryStore>, impl Fn() -> Builder) {
    let store = Arc::new(MemoryStore::new());
    let its = store.clone();
    (store, move || Engine::builder().queue("q", nothing).queue("other", nothing).store(its.clone()))
}

async fn schedule(engine: &Engine, queue: &str, key: &str, due_ms: i64) {
    engine.schedule_raw(queue, "").key(key).at(at_ms(due_ms)).await.unwrap().scheduled().unwrap();
}

#[tokio::test]
async fn a_pause_lasts_over_restarts_until_it_is_resumed() {
    let (_store, builder) = kept();
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    for n in 0..50 {
        schedule(&engine, "q", &format!("q{n}"), 100 + n % 7).await;
        schedule(&engine, "other", &format!("other{n}"), 100).await;
    }
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
    engine.shutdown(MINUTE).await;

    // Twice: what was restored is written down no worse than what was said.
    for _ in 0..2 {
        let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
        let stats = stats_of(&engine, "q");
        assert_eq!((stats.is_paused, stats.paused_since), (true, Some(TEN_O_CLOCK)));
        assert!(!stats_of(&engine, "other").is_paused);
        engine.shutdown(MINUTE).await;
    }
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let fired = engine.advance(ms(1_000)).await;
    assert_eq!(fired.len(), 50);
    assert!(fired.iter().all(|job| job.queue.as_str() == "other"));
    assert_eq!(stats_of(&engine, "q").ready, 50, "they are due, and wait");
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
    let fired = engine.advance(ms(1)).await;
    assert_eq!(fired.len(), 50);
    assert!(fired.iter().is_sorted_by_key(|job| job.due), "in order");
    engine.shutdown(MINUTE).await;

    let engine = TestEngine::start(builder(), at_ms(2_000)).await.unwrap();
    let stats = stats_of(&engine, "q");
    assert_eq!((stats.is_paused, stats.paused_since), (false, None));
    engine.shutdown(MINUTE).await;
}

/// For a program that only brings jobs in: what is said of pauses is kept, and starts nothing there.
#[tokio::test]
async fn a_queue_that_never_starts_leaves_its_jobs_to_the_next_engine() {
    let (store, builder) = kept();
    let config = || QueueConfig::new("q").paused().never_starts();
    let bringing = || Engine::builder().queue(config(), nothing).store(store.clone());
    for _ in 0..2 {
        let engine = TestEngine::start(bringing(), TEN_O_CLOCK).await.unwrap();
        let job = engine.schedule_raw("q", "").key("k").on_conflict(OnConflict::Keep);
        job.at(at_ms(5)).await.unwrap().scheduled().unwrap();
        let _resumed_or_was = engine.resume("q").await.unwrap();
        assert!(engine.advance(ms(100)).await.is_empty());
        assert!(!stats_of(&engine, "q").is_paused);
        engine.shutdown(MINUTE).await;
    }
    let engine = TestEngine::start(builder(), at_ms(200)).await.unwrap();
    assert_eq!(engine.settle().await.iter().map(|job| job.attempt).collect::<Vec<_>>(), [1]);
}

/// Promise 4.
#[tokio::test]
async fn promise_4_each_pause_says_what_it_did() {
    let (_store, builder) = kept();
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::NotPaused);
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
    engine.advance(ms(500)).await;
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::AlreadyPaused { since: TEN_O_CLOCK });
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::NotPaused);
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::AlreadyPaused { since: at_ms(500) });

    let error = engine.pause("unknown").await.unwrap_err();
    assert!(matches!(&error, PauseError::UnknownQueue { name, .. } if name == "unknown"));
    assert_eq!(error.change(), Change::None);
    // It is paused all the same, as with any call whose commit asks for too much.
    let error = engine.resume("q").durability(Durability::Fsync).await.unwrap_err();
    assert!(matches!(&error, PauseError::Call(CallError::NoSuchDurability { .. })));
    assert_eq!(error.change(), Change::InForce);
    assert!(!stats_of(&engine, "q").is_paused);
    engine.shutdown(MINUTE).await;
    let error = engine.pause("q").await.unwrap_err();
    assert!(matches!(&error, PauseError::Call(CallError::ShuttingDown)), "{error:?}");
}

#[tokio::test]
async fn what_a_call_has_said_stands_against_the_configuration() {
    let store = Arc::new(MemoryStore::new());
    let start = async |config: QueueConfig| {
        let builder = Engine::builder().queue(config, nothing).store(store.clone());
        TestEngine::start(builder, TEN_O_CLOCK).await.unwrap()
    };
    let by_default = || QueueConfig::new("q").paused();
    // Nobody has said anything: the configuration counts, each time.
    for (config, is_paused) in [(by_default(), true), (QueueConfig::new("q"), false), (by_default(), true)] {
        let engine = start(config).await;
        let stats = stats_of(&engine, "q");
        assert_eq!((stats.is_paused, stats.paused_since), (is_paused, None));
        engine.shutdown(MINUTE).await;
    }
    // It is paused, and now that has been said.
    let engine = start(by_default()).await;
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
    engine.shutdown(MINUTE).await;
    let engine = start(QueueConfig::new("q")).await;
    assert!(stats_of(&engine, "q").is_paused);
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
    engine.shutdown(MINUTE).await;
    let engine = start(by_default()).await;
    assert!(!stats_of(&engine, "q").is_paused, "somebody has had it go on");
    engine.shutdown(MINUTE).await;
}

/// Without a store too, as far as the process goes.
#[tokio::test]
async fn a_queue_that_begins_paused_is_resumed_once() {
    let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "q", "a", 0).await;
    assert!(engine.advance(ms(10)).await.is_empty());
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
    assert_eq!(engine.advance(ms(10)).await.len(), 1);
}

#[tokio::test]
async fn a_queue_that_is_not_built_yet_is_paused_if_the_store_knows_it() {
    let (store, builder) = kept();
    let without = || Engine::builder().queue("other", nothing).unhandled_queues(true).store(store.clone());
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "q", "a", 50).await;
    engine.pause("q").await.unwrap();
    engine.resume("q").await.unwrap();
    engine.pause("other").await.unwrap();
    engine.shutdown(MINUTE).await;

    let engine = TestEngine::start(without(), TEN_O_CLOCK).await.unwrap();
    assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
    // What was said before counts for a queue that comes later.
    engine.add_queue(QueueConfig::new("q"), nothing).unwrap();
    assert!(engine.advance(ms(100)).await.is_empty());
    engine.shutdown(MINUTE).await;

    // No job is left of it, and it is remembered nevertheless.
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    engine.cancel("a").await.unwrap().cancelled().unwrap();
    engine.shutdown(MINUTE).await;
    let engine = TestEngine::start(without(), TEN_O_CLOCK).await.unwrap();
    assert!(stats_of(&engine, "q").is_paused);
    assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
    engine.shutdown(MINUTE).await;
}

/// Of calls at the same time the one that is in force is the one that a restart finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_in_force_is_what_is_kept() {
    for round in 0..20 {
        let (_store, builder) = kept();
        let engine = builder().start().await.unwrap();
        let calls = (0..8).map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    if (n + round) % 2 == 0 {
                        engine.pause("q").await.unwrap();
                    } else {
                        engine.resume("q").await.unwrap();
                    }
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let is_paused = stats_of(&engine, "q").is_paused;
        engine.shutdown(MINUTE).await;
        let engine = builder().start().await.unwrap();
        assert_eq!(stats_of(&engine, "q").is_paused, is_paused);
        engine.shutdown(MINUTE).await;
    }
}

/// A drain takes what runs to its end, and nothing else is started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_with_what_runs() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let its = gate.clone();
    let handler = move |_: Job| {
        let gate = its.clone();
        async move { drop(gate.acquire().await) }
    };
    let config = QueueConfig::new("q").concurrency(3);
    let engine = Engine::builder().queue(config, handler).queue("other", nothing).start().await.unwrap();
    for n in 0..10 {
        engine
            .schedule_raw("q", "")
            .key(format!("{n}"))
            .after(Duration::ZERO)
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    eventually("as many run as may", || stats_of(&engine, "q").running == 3).await;
    // At once, not when it is polled.
    let draining = engine.drain("q", ms(20));
    assert!(stats_of(&engine, "q").is_paused);
    let drained = draining.await.unwrap();
    assert_eq!((drained.paused, drained.still_running, drained.is_empty()), (PauseOutcome::Paused, 3, false));

    engine.schedule_raw("other", "").key("goes").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    eventually("other queues go on", || stats_of(&engine, "other").succeeded == 1).await;
    let draining = tokio::spawn(engine.drain("q", MINUTE));
    gate.add_permits(1_000);
    let drained = draining.await.unwrap().unwrap();
    assert!(matches!(drained.paused, PauseOutcome::AlreadyPaused { .. }) && drained.is_empty());
    let stats = stats_of(&engine, "q");
    assert_eq!((stats.succeeded, stats.ready, stats.running), (3, 7, 0), "the others wait");
    assert!(engine.drain("q", Duration::ZERO).await.unwrap().is_empty(), "nothing is waited for");
    engine.resume("q").await.unwrap();
    engine.idle().await;

    let error = engine.drain("unknown", MINUTE).await.unwrap_err();
    assert!(matches!(error, PauseError::UnknownQueue { .. }));
}

/// Failed attempts that are to be tried again are over, and wait for the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_does_not_wait_for_other_attempts_and_ends_with_the_engine() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let its = gate.clone();
    let handler = move |job: Job| {
        let gate = its.clone();
        async move {
            drop(gate.acquire().await);
            if job.attempt() == 1 { Err("not yet") } else { Ok(()) }
        }
    };
    let engine = Engine::builder().queue("q", handler).start().await.unwrap();
    let retry = reveille::Retry::attempts(3).fixed(ms(1));
    engine
        .schedule_raw("q", "")
        .key("k")
        .retry(retry)
        .after(Duration::ZERO)
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    eventually("it runs", || stats_of(&engine, "q").running == 1).await;
    let draining = tokio::spawn(engine.drain("q", MINUTE));
    gate.add_permits(1);
    assert!(draining.await.unwrap().unwrap().is_empty());
    assert_eq!(stats_of(&engine, "q").succeeded, 0);
    gate.forget_permits(1_000);
    engine.resume("q").await.unwrap();
    eventually("it runs again", || stats_of(&engine, "q").running == 1).await;
    let draining = tokio::spawn(engine.drain("q", MINUTE * 60));
    eventually("it is paused", || stats_of(&engine, "q").is_paused).await;
    engine.shutdown(ms(50)).await;
    assert_eq!(draining.await.unwrap().unwrap().still_running, 1);
}

fn on_redis(store: RedisStore, keys: &Keys) -> Builder {
    let keys = keys.clone();
    let handler = move |job: Job| {
        keys.push(job.key().as_str());
        async {}
    };
    Engine::builder()
        .queue("q", handler.clone())
        .queue("other", handler)
        .partitions(4)
        .lease(Duration::from_millis(500))
        .store(store)
}

/// On a real Redis: from the log, from a snapshot, from a snapshot and the log after it; after a crash, and at a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_found_in_redis_by_whoever_comes_next() {
    let server = RedisServer::start(&EVERYSEC);
    let keys = Keys::default();
    let start = || on_redis(impatient(&server.url(), ms(300)), &keys).start();
    let mut engine = start().await.unwrap();
    for round in 0..6 {
        let is_to_pause = round % 2 == 0;
        if is_to_pause {
            assert_eq!(engine.pause("q").await.unwrap(), PauseOutcome::Paused);
        } else {
            assert_eq!(engine.resume("q").await.unwrap(), ResumeOutcome::Resumed);
        }
        if round >= 2 {
            engine.snapshot().await.unwrap();
        }
        if round >= 4 {
            engine.pause("other").await.unwrap();
            engine.resume("other").await.unwrap();
        }
        let standby = tokio::spawn(start());
        // As after a crash: nothing is flushed, and nothing is given back but the lease.
        drop(engine);
        engine = standby.await.unwrap().unwrap();
        assert_eq!(stats_of(&engine, "q").is_paused, is_to_pause, "round {round}");
        assert!(!stats_of(&engine, "other").is_paused);
    }
    engine.pause("q").await.unwrap();
    for queue in ["q", "other"] {
        let commit = engine.schedule_raw(queue, "").key(queue).after(Duration::ZERO);
        commit.await.unwrap().scheduled().unwrap();
    }
    drop(engine);
    let engine = start().await.unwrap();
    eventually("the other queue's job has run", || keys.len() == 1).await;
    assert_eq!(keys.take(), ["other"], "q is paused");
    engine.resume("q").await.unwrap();
    eventually("it goes on", || keys.take() == ["q"]).await;
    engine.shutdown(MINUTE).await;
}

/// Redis has lost everything while the engine lives: what is written anew has the pauses too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_written_anew_when_redis_has_lost_it() {
    let server = RedisServer::start(&EVERYSEC);
    let keys = Keys::default();
    let start = || on_redis(impatient(&server.url(), ms(300)), &keys).start();
    let engine = start().await.unwrap();
    engine.pause("q").await.unwrap();
    server.run(&["FLUSHALL"]);
    eventually("it was noticed", || engine.stats().store.unwrap().incidents > 0).await;
    eventually("all is there again", || engine.stats().store.unwrap().partitions_behind == 0).await;
    engine.shutdown(MINUTE).await;
    let engine = start().await.unwrap();
    assert!(stats_of(&engine, "q").is_paused);
    engine.shutdown(MINUTE).await;
}
