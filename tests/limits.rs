//! Promise 9: everything is bounded. At a bound the caller gets a typed error that says what to do, and everything else
//! goes on.

use reveille::store::StoreErrorClass;
use std::sync::Barrier;
use std::time::Duration;

use reveille::testing::TestEngine;
use reveille::{
    CallError, CancelError, CancelOutcome, Durability, Engine, InvalidKey, OnConflict, QueueConfig, Refusal,
    RescheduleError, ScheduleError, ScheduleOutcome, StartError, Timestamp,
};
use testkit::scripted::{Does, Scripted};
use testkit::{HOUR, TEN_O_CLOCK, at_ms, ms, nothing};

#[tokio::test]
async fn promise_9_keys_have_1_to_512_bytes() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    let schedule = |key: String| engine.schedule_raw("q", "").key(key).after(ms(1)).into_outcome();
    assert!(matches!(schedule(String::new()), Err(ScheduleError::InvalidKey(InvalidKey::Empty))));
    let long = schedule("k".repeat(513)).unwrap_err();
    assert!(matches!(long, ScheduleError::InvalidKey(InvalidKey::TooLong { bytes: 513 })));
    assert_eq!(long.to_string(), "the key has 513 bytes; a key has 1 to 512 (hash a longer one)");
    assert!(schedule("k".repeat(512)).is_ok());
    assert!(schedule("k".into()).is_ok());
    let empty = engine.cancel("").into_outcome();
    assert!(matches!(empty, Err(CancelError::InvalidKey(InvalidKey::Empty))));
    let empty = engine.reschedule("", ms(1)).into_outcome();
    assert!(matches!(empty, Err(RescheduleError::InvalidKey(InvalidKey::Empty))));
    assert_eq!(engine.advance(ms(1)).await.len(), 2, "everything else goes on");
}

#[tokio::test]
async fn promise_9_payloads_are_bounded() {
    let builder = Engine::builder().queue("q", nothing).payload_bytes_max(100);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let schedule = |bytes: usize| engine.schedule_raw("q", vec![7; bytes]).after(ms(1)).into_outcome();
    assert!(schedule(100).is_ok());
    let error = schedule(101).unwrap_err();
    assert!(matches!(error, ScheduleError::Refused(Refusal::PayloadTooLarge { bytes: 101, max: 100 })));
    assert!(error.to_string().contains("schedule a reference"), "{error}");
    assert_eq!(engine.jobs(), 1);
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
}

#[tokio::test]
async fn promise_9_due_times_lie_within_the_horizon() {
    let builder = Engine::builder().queue("q", nothing).horizon(Duration::from_secs(60));
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let schedule = || engine.schedule_raw("q", "").key("k").on_conflict(OnConflict::Replace);
    engine.schedule_raw("q", "").key("near").at(at_ms(60_000)).await.unwrap().scheduled().unwrap();
    let past_horizon = |refused| matches!(refused, Refusal::PastHorizon { horizon_s: 60 });
    for far in [at_ms(60_001), Timestamp::MAX] {
        let Err(ScheduleError::Refused(refused)) = schedule().at(far).into_outcome() else {
            panic!("{far:?}")
        };
        assert!(past_horizon(refused));
        let moved = engine.reschedule("near", far).into_outcome();
        let Err(RescheduleError::Refused(refused)) = moved else { panic!("{moved:?}") };
        assert!(past_horizon(refused));
    }
    for far in [Duration::from_micros(60_000_001), Duration::MAX] {
        let Err(ScheduleError::Refused(refused)) = schedule().after(far).into_outcome() else {
            panic!("{far:?}")
        };
        assert!(past_horizon(refused));
    }
    assert_eq!(engine.jobs(), 1);
    // The edge itself, zero, and the past are fine; the past fires at once.
    assert!(schedule().at(at_ms(60_000)).into_outcome().is_ok());
    assert!(schedule().after(Duration::from_secs(60)).into_outcome().is_ok());
    for past in [at_ms(-1), Timestamp::from_micros(0), Timestamp::from_micros(i64::MIN)] {
        assert!(schedule().at(past).into_outcome().is_ok());
        assert_eq!(engine.settle().await.len(), 1, "{past:?}");
    }
    assert!(schedule().after(Duration::ZERO).into_outcome().is_ok());
    assert_eq!(engine.settle().await.len(), 1);
}

#[tokio::test]
async fn promise_9_a_full_engine_refuses_new_jobs_and_nothing_else() {
    let builder = Engine::builder().queue("q", nothing).jobs_max(10);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let schedule = |key: &str| engine.schedule_raw("q", "").key(key);
    for n in 0..10 {
        schedule(&n.to_string()).at(at_ms(10 + n)).await.unwrap().scheduled().unwrap();
    }
    let error = schedule("more").at(at_ms(5)).into_outcome().unwrap_err();
    assert!(matches!(error, ScheduleError::Full { max: 10, .. }));
    assert!(error.to_string().contains("raise `jobs_max`"), "{error}");
    // What needs no room of its own still works.
    let replaced = schedule("3").on_conflict(OnConflict::Replace).at(at_ms(3)).await.unwrap();
    assert!(matches!(replaced, ScheduleOutcome::Replaced { .. }));
    let kept = schedule("4").on_conflict(OnConflict::Keep).at(at_ms(3)).await.unwrap();
    assert!(matches!(kept, ScheduleOutcome::Kept { .. }));
    assert!(matches!(schedule("5").at(at_ms(3)).await.unwrap(), ScheduleOutcome::AlreadyScheduled { .. }));
    engine.reschedule("6", at_ms(4)).await.unwrap().rescheduled().unwrap();
    assert_eq!((engine.jobs(), engine.cancel("0").await.unwrap()), (10, CancelOutcome::Cancelled));
    schedule("more").at(at_ms(5)).await.unwrap().scheduled().unwrap();
    assert!(schedule("again").at(at_ms(5)).into_outcome().is_err());
    assert_eq!(engine.advance(ms(5)).await.len(), 3);
    schedule("again").at(at_ms(6)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(100)).await.len(), 8);
    assert_eq!(engine.jobs(), 0);
}

/// The last place is had, the next is not, and a place that is given back in one partition is had in any other. The bounds are
/// those at which partitions take room one by one, and by the block.
#[tokio::test]
async fn promise_9_the_bound_on_jobs_is_exact() {
    for max in [1, 2, 3, 7, 64, 65, 100, 1_000, 2_000] {
        let builder = Engine::builder().queue("q", nothing).jobs_max(max);
        let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
        let schedule = |n: usize| engine.schedule_raw("q", "").key(n.to_string()).after(HOUR).into_outcome();
        let is_full = |n| matches!(schedule(n), Err(ScheduleError::Full { max: told, .. }) if told == max);
        for round in 0..2 {
            assert!((0..max).all(|n| schedule(n).is_ok()), "{max}, round {round}");
            assert!(is_full(max) && is_full(max + 1), "{max}, round {round}");
            for n in 0..max {
                engine.cancel(n.to_string()).await.unwrap().cancelled().unwrap();
                assert!(schedule(max + n).is_ok(), "{max}, round {round}: the place of {n}");
                assert!(is_full(2 * max), "{max}, round {round}: the place of {n}");
            }
            assert_eq!(engine.jobs(), max);
            // A job that is refused for another reason takes no place.
            engine.cancel(max.to_string()).await.unwrap().cancelled().unwrap();
            let far = engine.schedule_raw("q", "").key("far").after(Duration::MAX).into_outcome();
            assert!(matches!(far, Err(ScheduleError::Refused(Refusal::PastHorizon { .. }))));
            assert!(schedule(max).is_ok() && is_full(2 * max));
            for n in 0..max {
                engine.cancel((max + n).to_string()).await.unwrap().cancelled().unwrap();
            }
            assert_eq!(engine.jobs(), 0);
        }
    }
}

/// Several threads fill an engine, and then each gives a place back before it takes one: it always gets one.
#[tokio::test]
async fn promise_9_the_bound_on_jobs_is_exact_for_several_threads() {
    const THREADS: usize = 4;
    for max in [10, 1_500] {
        let engine = Engine::builder().queue("q", nothing).jobs_max(max).start().await.unwrap();
        let schedule = |key: &str| engine.schedule_raw("q", "").key(key).after(HOUR).into_outcome();
        let filled = Barrier::new(THREADS);
        let work = |thread: usize| {
            let keys: Vec<_> = (0..max).map(|n| format!("{thread}:{n}")).collect();
            let taken: Vec<_> = keys.iter().filter(|key| schedule(key).is_ok()).collect();
            // Until all places are taken, the others take those that are given back.
            filled.wait();
            for key in taken.iter().cycle().take(if taken.is_empty() { 0 } else { 2_000 }) {
                engine.cancel(key.as_str()).into_outcome().unwrap().cancelled().unwrap();
                let taken = schedule(key).unwrap_or_else(|error| panic!("{max}: {error}"));
                taken.scheduled().unwrap();
            }
            taken.len()
        };
        let taken: usize = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((taken, engine.jobs()), (max, max));
    }
}

#[tokio::test]
async fn promise_9_settings_out_of_range_are_refused_at_the_start() {
    let start = async |builder: reveille::Builder| builder.start().await.unwrap_err().to_string();
    assert!(start(Engine::builder().partitions(0)).await.contains("1 to 1024"));
    assert!(start(Engine::builder().partitions(1025)).await.contains("1 to 1024"));
    assert!(start(Engine::builder().tick(Duration::ZERO)).await.contains("1 µs to 60 s"));
    assert!(start(Engine::builder().tick(Duration::from_nanos(1_500))).await.contains("whole microseconds"));
    assert!(start(Engine::builder().jobs_max(0)).await.contains("at least 1"));
    let no_store = Engine::builder().durability(Durability::Logged).start().await;
    assert!(matches!(no_store, Err(StartError::NoStore { setting: "durability", .. })));
    let twice = Engine::builder().queue("q", nothing).queue("q", nothing).start().await;
    assert!(matches!(twice, Err(StartError::Queue(_))));
}

/// A store that stands still: calls are applied and not acknowledged, then refused at the bound; jobs wait at the
/// bound and are not dropped; all of it ends when the store goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_9_the_log_buffer_is_bounded_and_promise_8_nothing_is_dropped() {
    let store = Scripted::with_append(Does::Stands);
    let engine = Engine::builder()
        .queue(QueueConfig::new("q").concurrency(1), nothing)
        .store(store.clone())
        .partitions(1)
        .log_records_max(100)
        .start()
        .await
        .unwrap();
    let mut commits = Vec::new();
    let error = loop {
        let commit = engine.schedule_raw("q", "").after(ms(5));
        match commit.outcome() {
            Ok(_) => commits.push(commit),
            Err(_) => break commit.into_outcome().unwrap_err(),
        }
    };
    assert!(matches!(error, ScheduleError::Call(CallError::LogFull { max: 100, .. })), "{error}");
    // The first batch, whatever its size, is on its way; the buffer holds a hundred more.
    assert!((100..=200).contains(&commits.len()), "{}", commits.len());
    assert!(tokio::time::timeout(ms(50), &mut commits[0]).await.is_err(), "not acknowledged yet");
    assert!(engine.stats().log_pending >= 100);
    // What does not change anything, or not durably, goes on.
    assert!(matches!(engine.lookup("nobody"), reveille::LookupOutcome::NotFound));

    let taken = commits.len();
    store.append.set(Does::Well);
    for commit in commits {
        commit.await.unwrap().scheduled().unwrap();
    }
    testkit::until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, taken as u64);
    assert!(engine.shutdown(ms(5_000)).await.is_flushed);
}

/// A store that takes nothing more: the change holds in memory, jobs still fire, and nobody is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_10_a_store_that_refuses_is_told() {
    let store = Scripted::with_append(Does::Fails(StoreErrorClass::Fatal));
    let engine = Engine::builder().queue("q", nothing).store(store).start().await.unwrap();
    let error = engine.schedule_raw("q", "").key("k").after(ms(5)).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Call(CallError::NotDurable(_))));
    assert_eq!(
        error.to_string(),
        "the change was made in memory only: told to: Fatal; it is in force until this engine ends"
    );
    assert!(!engine.stats().is_store_healthy);
    let volatile = engine.schedule_raw("q", "").durability(Durability::Memory).after(ms(5)).await;
    assert!(volatile.is_ok());
    testkit::until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, 2);
    assert!(!engine.shutdown(ms(1_000)).await.is_flushed);
}

#[tokio::test]
async fn calls_after_a_shutdown_are_refused() {
    let engine = Engine::builder().queue("q", nothing).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(Duration::from_secs(60)).await.unwrap().scheduled().unwrap();
    let report = engine.shutdown(ms(1_000)).await;
    assert_eq!((report.still_running, report.pending, report.pending_lost), (0, 1, 1));
    let refused = engine.schedule_raw("q", "").key("l").after(ms(1)).await;
    assert!(matches!(refused, Err(ScheduleError::Call(CallError::ShuttingDown))));
    let refused = engine.cancel("k").await;
    assert!(matches!(refused, Err(CancelError::Call(CallError::ShuttingDown))));
    engine.idle().await;
    let again = engine.shutdown(ms(10)).await;
    assert_eq!(again.pending, 1);
}
