//! Promise 10, as logs: what an operator reads is there, at the right level, and true. One program with one subscriber; each test
//! looks for lines of its own, by names that no other test has.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reveille::store::{MemoryStore, StoreErrorClass};
use reveille::testing::TestEngine;
use reveille::{Engine, Job, QueueConfig, StoreState};
use testkit::MINUTE;
use testkit::logs::{Line, Logs};
use testkit::scripted::{Does, Scripted};
use testkit::{TEN_O_CLOCK, eventually, ms, nothing, until_idle};
use tracing::Level;

static LOGS: LazyLock<&Logs> = LazyLock::new(|| {
    // What a user's hook would do: the engine's own log has no place of a panic.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "the hook was told of a panic");
        default(panic);
    }));
    Logs::listen()
});

/// The one line with these words that `is_it`.
fn one(words: &str, is_it: impl Fn(&Line) -> bool) -> Line {
    let mut lines = LOGS.with(&[words]);
    lines.retain(&is_it);
    assert_eq!(lines.len(), 1, "{words}: {lines:#?}");
    lines.remove(0)
}

/// Handlers' own logs say for which job, before and after they waited; a panic hook's too. The payload is in none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_logs_says_for_which_job() {
    LazyLock::force(&LOGS);
    let engine = Engine::builder()
        .queue("spanned", |job: Job| async move {
            tracing::info!("it begins");
            tokio::time::sleep(ms(2)).await;
            tracing::info!("it goes on");
            assert!(job.key().as_str() != "s:panics", "on purpose");
        })
        .inline_queue("spanned inline", |_: &Job| tracing::info!("it is inline"))
        .start()
        .await
        .unwrap();
    for key in ["s:1", "s:2", "s:panics"] {
        engine.schedule_raw("spanned", "a secret").key(key).after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine
        .schedule_raw("spanned inline", "a secret")
        .key("s:inline")
        .after(ms(1))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    let traced =
        engine.schedule_raw("spanned", "a secret").key("s:traced").header("traceparent", "00-1-2-01");
    traced.after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&engine).await;

    let expect = [
        ("it begins", "s:1", "spanned"),
        ("it goes on", "s:1", "spanned"),
        ("it goes on", "s:2", "spanned"),
        ("it is inline", "s:inline", "spanned inline"),
        ("the hook was told", "s:panics", "spanned"),
    ];
    let within = |key: &'static str| {
        move |line: &Line| line.spans.first().is_some_and(|(_, _, fields)| fields["key"] == key)
    };
    for (words, key, queue) in expect {
        let line = one(words, within(key));
        let [(name, target, fields)] = &line.spans[..] else { panic!("{line:?}") };
        assert_eq!((name.as_str(), target.as_str()), ("job", "reveille::job"));
        assert_eq!((fields["queue"].as_str(), fields["attempt"].as_str()), (queue, "1"));
        assert!(!fields["id"].is_empty() && fields.len() == 4, "{fields:?}");
    }
    let traced = one("it goes on", within("s:traced"));
    assert_eq!((traced.spans[0].2["traceparent"].as_str(), traced.spans[0].2.len()), ("00-1-2-01", 5));
    let hook = one("the hook was told", within("s:panics"));
    assert!(hook.field("place").contains("tests/logs.rs"), "{hook:?}");
    let failed = one("a job failed", |line| line.fields["key"] == "s:panics");
    assert_eq!((failed.field("is_panic"), failed.field("attempt")), ("true", "1"));
    assert_eq!(failed.spans[0].2["key"], "s:panics");
    // What runs after a handler is no part of it.
    tracing::info!("nobody's");
    assert!(one("nobody's", |_| true).spans.is_empty());
    assert!(!format!("{:?}", LOGS.all()).contains("a secret"));
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the card was not charged")]
    Charge(#[source] Box<Trouble>),
    #[error("the bank refuses")]
    Bank(#[source] std::num::ParseIntError),
}

#[tokio::test]
async fn a_failed_job_is_told_with_all_that_its_error_comes_from() {
    LazyLock::force(&LOGS);
    let fails = |_: Job| async {
        "x".parse::<u8>().map(drop).map_err(|error| Trouble::Charge(Box::new(Trouble::Bank(error))))
    };
    let engine = Engine::builder().queue("chained", fails).start().await.unwrap();
    engine.schedule_raw("chained", "").key("chain").after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&engine).await;
    let line = one("a job failed", |line| line.fields["key"] == "chain");
    assert_eq!((line.level, line.field("queue"), line.field("is_panic")), (Level::WARN, "chained", "false"));
    assert_eq!(
        line.field("error"),
        "the card was not charged: the bank refuses: invalid digit found in string"
    );
}

/// Who reads warnings reads that it is over, too, and how long it lasted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_outage_is_told_as_loudly_as_its_beginning() {
    LazyLock::force(&LOGS);
    let store = Scripted::in_memory();
    store.append.set_in(0, Does::Fails(StoreErrorClass::Retry));
    let builder = Engine::builder().queue("q", nothing).partitions(1).store(store.clone());
    let engine = builder.start().await.unwrap();
    let commit = engine.schedule_raw("q", "").key("waits").after(MINUTE);
    let is_this = |line: &Line| line.fields.get("error").is_some_and(|error| error == "told to: Retry");
    eventually("it begins", || LOGS.with(&["the store does not answer"]).iter().any(is_this)).await;
    let begin = one("the store does not answer", is_this);
    tokio::time::sleep(ms(30)).await;
    store.append.set(Does::Well);
    commit.await.unwrap().scheduled().unwrap();
    eventually("it ends", || !LOGS.with(&["the store answers again"]).is_empty()).await;
    let end = one("the store answers again", |_| true);
    assert_eq!((begin.level, end.level), (Level::WARN, Level::WARN));
    assert_eq!((end.field("asked_by"), end.field("partition")), ("a committer", "0"));
    assert!(end.field("lasted_ms").parse::<u64>().unwrap() >= 30, "{end:?}");
    engine.shutdown(MINUTE).await;
}

/// A store that takes everything and may lose it, as its settings were changed while the engine runs: it is asked every half
/// minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_doubt_is_complained_about_until_it_is_none_any_more() {
    LazyLock::force(&LOGS);
    let store = Scripted::in_memory();
    let builder = Engine::builder().queue("q", nothing).store(store.clone());
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let state = || engine.stats().store.unwrap().state;
    assert_eq!(state(), StoreState::Healthy);
    for (told, expected) in [(&["it throws keys away"][..], StoreState::Doubtful), (&[], StoreState::Healthy)]
    {
        store.doubt(told);
        eventually("it is asked", || {
            engine.clock().advance(Duration::from_secs(1));
            state() == expected
        })
        .await;
        let doubts = engine.stats().store.unwrap().doubts;
        assert_eq!(doubts, told);
        // It takes what it is sent all the while.
        let key = format!("{expected:?}");
        engine.schedule_raw("q", "").key(key).after(100 * MINUTE).await.unwrap().scheduled().unwrap();
    }
    let begin = one("cannot be relied on: it throws keys away", |_| true);
    let end = one("can be relied on again", |_| true);
    assert_eq!((begin.level, end.level), (Level::ERROR, Level::ERROR));
    engine.shutdown(MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_grace_is_a_warning_that_names_the_queues() {
    LazyLock::force(&LOGS);
    let hangs = |_: Job| std::future::pending::<()>();
    let store = Arc::new(MemoryStore::new());
    let engine = Engine::builder()
        .queue("hangs here", hangs)
        .queue("hangs there", hangs)
        .queue("is idle", nothing)
        .store(store)
        .start()
        .await
        .unwrap();
    for queue in ["hangs here", "hangs there"] {
        engine.schedule_raw(queue, "").after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.schedule_raw("is idle", "").after(MINUTE).await.unwrap().scheduled().unwrap();
    eventually("they hang", || engine.stats().running == 2).await;
    let report = engine.shutdown(ms(1_500)).await;
    let line = one("the grace period is over", |line| line.field("queues").contains("hangs"));
    assert_eq!((line.level, line.field("queues")), (Level::WARN, "hangs here, hangs there"));
    assert_eq!((line.field("still_running"), line.field("pending_durable")), ("2", "1"));
    // That a handler runs says nothing of the store.
    assert!(report.is_flushed && !report.is_clean(), "{report:?}");
    assert_eq!((report.still_running, report.pending_durable, report.pending_unconfirmed()), (2, 1, 0));
}

/// Nine jobs are pending: without a store they are lost; with one they are not; with one that takes nothing nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_reports_what_is_durable_and_what_is_lost() {
    LazyLock::force(&LOGS);
    let nine = async |builder: reveille::Builder, name: &str| {
        let engine = builder.queue("nine", nothing).start().await.unwrap();
        for n in 0..9 {
            let schedule = engine.schedule_raw("nine", "").key(format!("{name}:{n}"));
            drop(schedule.after(MINUTE));
        }
        engine
    };
    let report = nine(Engine::builder(), "lost").await.shutdown(ms(500)).await;
    assert_eq!((report.pending, report.pending_lost, report.pending_durable), (9, 9, 0));
    assert!(!report.is_flushed && !report.is_clean(), "{report:?}");
    assert_eq!(one("the jobs that were pending are lost", |_| true).level, Level::WARN);

    let store = Arc::new(MemoryStore::new());
    let report = nine(Engine::builder().store(store), "kept").await.shutdown(MINUTE).await;
    assert_eq!((report.pending, report.pending_lost, report.pending_durable), (9, 0, 9));
    assert!(report.is_flushed && report.is_clean(), "{report:?}");

    let store = Scripted::with_append(Does::Stands);
    let report = nine(Engine::builder().partitions(1).store(store), "unknown").await.shutdown(ms(200)).await;
    assert_eq!((report.pending, report.pending_lost, report.pending_durable), (9, 0, 0));
    assert_eq!((report.pending_unconfirmed(), report.changes_unconfirmed), (9, 9));
    assert!(!report.is_flushed && !report.is_clean(), "{report:?}");

    let engine = Engine::builder().queue("none", nothing).start().await.unwrap();
    assert!(engine.shutdown(MINUTE).await.is_clean(), "there was nothing to lose");
}

/// Handlers that the end of their process cut short are counted at the next start.
#[tokio::test]
async fn handlers_that_were_cut_short_are_told_of_at_the_start() {
    LazyLock::force(&LOGS);
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let hanging = Engine::builder().queue("cut-short", hangs).store(store.clone());
    let engine = TestEngine::start(hanging, TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    for _ in 0..23 {
        engine.schedule_raw("cut-short", "").after(ms(10)).await.unwrap().scheduled().unwrap();
    }
    assert_eq!(engine.advance(ms(20)).await.len(), 23);
    drop(engine);

    let again = Engine::builder().queue("cut-short", nothing).store(store);
    let _engine = TestEngine::start(again, TEN_O_CLOCK).await.unwrap();
    assert_eq!(one("were cut short", |line| line.field("interrupted") == "23").level, Level::WARN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_with_jobs_pending_says_what_becomes_of_them() {
    LazyLock::force(&LOGS);
    let start = async |builder: reveille::Builder, jobs: u64| {
        let engine = builder.queue(QueueConfig::new("dropped"), nothing).start().await.unwrap();
        for _ in 0..jobs {
            engine.schedule_raw("dropped", "").after(MINUTE).await.unwrap().scheduled().unwrap();
        }
        engine
    };
    let of = |jobs: &'static str| move |line: &Line| line.field("pending") == jobs;
    // On any thread, one without a runtime too.
    let engine = start(Engine::builder(), 17).await;
    std::thread::spawn(move || drop(engine)).join().unwrap();
    let line = one("the engine was dropped", of("17"));
    assert_eq!(line.level, Level::WARN);
    assert!(line.message.contains("without a store they are lost"), "{line:?}");

    drop(start(Engine::builder().store(Arc::new(MemoryStore::new())), 18).await);
    let line = one("the engine was dropped", of("18"));
    assert_eq!(line.level, Level::INFO);
    assert!(line.message.contains("stay in the store"), "{line:?}");

    // In a thread that panics.
    let engine = start(Engine::builder(), 19).await;
    let panics = std::thread::spawn(move || {
        let _engine = engine;
        panic!("on purpose");
    });
    assert!(panics.join().is_err());
    assert_eq!(one("the engine was dropped", of("19")).level, Level::WARN);

    // Nothing to say: nothing pending, or it was said already.
    drop(start(Engine::builder(), 0).await);
    let engine = start(Engine::builder(), 20).await;
    engine.shutdown(MINUTE).await;
    drop(engine);
    assert!(
        !LOGS
            .with(&["the engine was dropped"])
            .iter()
            .any(|line| ["0", "20"].contains(&line.field("pending")))
    );
}
