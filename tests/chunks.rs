//! Calls about any number of jobs, made some at a time: bounded in memory and in the log, told job by job, and stopped where one likes.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use reveille::store::{MemoryStore, StoreErrorClass};
use reveille::testing::TestEngine;
use reveille::{
    CallError, CancelError, CancelOutcome, Change, Durability, Engine, InvalidKey, QueueConfig,
    RescheduleOutcome, ScheduleError, ScheduleOutcome, Shift,
};
use testkit::scripted::{Does, Scripted};
use testkit::{HOUR, SECOND, TEN_O_CLOCK, at_ms, ms, nothing};

async fn engine() -> TestEngine {
    TestEngine::start(Engine::builder().queue("q", nothing).store(MemoryStore::new()), TEN_O_CLOCK)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_taken_from_the_input_is_given_out_before_more_is_taken() {
    const JOBS: u64 = 25_500;
    let engine = engine().await;
    let taken = AtomicU64::new(0);
    let count = || taken.load(SeqCst);
    let jobs = (0..JOBS).map(|n| {
        taken.fetch_add(1, SeqCst);
        // One of a thousand has no key that can be.
        let key = if n % 1_000 == 7 { String::new() } else { format!("k{n}") };
        engine.schedule_raw("q", "").key(key).planned(HOUR)
    });
    let mut chunks = engine.schedule_chunks(jobs);
    assert_eq!((count(), chunks.done()), (0, 0), "nothing is done before it is asked for");
    let (mut next, mut wrong) = (0, Vec::new());
    while let Some(chunk) = chunks.next().await.unwrap() {
        assert_eq!(chunk.first, next);
        for (n, outcome) in (chunk.first..).zip(&chunk.jobs) {
            match outcome {
                Ok(ScheduleOutcome::Scheduled { .. }) => {}
                Err(ScheduleError::InvalidKey(InvalidKey::Empty)) => wrong.push(n),
                other => panic!("{n}: {other:?}"),
            }
        }
        next += chunk.jobs.len() as u64;
        assert_eq!((chunks.done(), count()), (next, next), "no more is taken than is given out");
        assert!(chunk.jobs.len() == 1_000 || next == JOBS);
    }
    assert_eq!((next, wrong.len()), (JOBS, 26));
    assert!(wrong.iter().all(|n| n % 1_000 == 7));
    assert_eq!(engine.jobs(), 25_474);
    assert!(chunks.next().await.unwrap().is_none());
}

#[tokio::test]
async fn whoever_stops_asking_stops_the_call() {
    let engine = engine().await;
    let jobs = (0..).map(|n| engine.schedule_raw("q", "").key(format!("k{n}")).planned(HOUR));
    let mut chunks = engine.schedule_chunks(jobs).size(70);
    for _ in 0..3 {
        let chunk = chunks.next().await.unwrap().unwrap();
        assert_eq!(chunk.into_outcomes().scheduled().unwrap().len(), 70);
    }
    drop(chunks);
    assert_eq!(engine.jobs(), 210);

    let keys = (0..300).map(|n| format!("k{n}"));
    let mut moves = engine.reschedule_chunks(keys.clone().map(|key| (key, 2 * HOUR))).size(100);
    let chunk = moves.next().await.unwrap().unwrap();
    assert_eq!(chunk.into_outcomes().rescheduled().unwrap().len(), 100);
    let mut found = 0;
    while let Some(chunk) = moves.next().await.unwrap() {
        let moved = |outcome: &Result<_, _>| matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. }));
        found += chunk.jobs.iter().filter(|outcome| moved(outcome)).count();
    }
    assert_eq!((found, moves.done()), (110, 300), "the others are not there");

    let mut cancels = engine.cancel_chunks(keys.chain([String::new()])).size(0);
    let one = cancels.next().await.unwrap().unwrap();
    assert!(matches!(one.jobs[..], [Ok(CancelOutcome::Cancelled)]), "a chunk has one job at least: {one:?}");
    let mut cancels = cancels.size(usize::MAX);
    let rest = cancels.next().await.unwrap().unwrap();
    assert_eq!((rest.first, rest.jobs.len()), (1, 300));
    assert!(matches!(rest.jobs[299], Err(CancelError::InvalidKey(InvalidKey::Empty))));
    assert_eq!(engine.jobs(), 0);
}

/// A log with room for few records holds the call up, and refuses none of its jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_9_a_chunk_larger_than_the_log_waits_for_room() {
    for durability in [Durability::Memory, Durability::Logged] {
        let store = MemoryStore::new();
        let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing).store(store);
        let engine = builder.partitions(2).log_records_max(64).start().await.unwrap();
        let jobs = (0..3_000).map(|n| {
            let job = engine.schedule_raw("q", "").key(format!("k{n}")).tag("all");
            job.durability(durability).planned(HOUR)
        });
        let mut chunks = engine.schedule_chunks(jobs);
        while let Some(chunk) = chunks.next().await.unwrap() {
            chunk.into_outcomes().scheduled().unwrap();
        }
        assert_eq!(engine.jobs(), 3_000);
        let mut cancels = engine.cancel_chunks((0..1_500).map(|n| format!("k{n}")));
        while let Some(chunk) = cancels.next().await.unwrap() {
            chunk.into_outcomes().cancelled().unwrap();
        }
        let mut cancels = engine.cancel_tagged_chunks("all").unwrap().size(1_000);
        while let Some(chunk) = cancels.next().await.unwrap() {
            assert!(chunk.jobs.iter().all(|job| matches!(job.outcome, Ok(CancelOutcome::Cancelled))));
        }
        assert_eq!((engine.jobs(), cancels.done()), (0, 1_500));
    }
}

#[tokio::test]
async fn a_chunk_that_the_store_does_not_confirm_is_the_last_and_says_what_became_of_each() {
    let store = Scripted::in_memory();
    let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing).store(store.clone());
    let engine = builder.partitions(1).commit_deadline(ms(200)).start().await.unwrap();
    let jobs = (0..100).map(|n| engine.schedule_raw("q", "").key(format!("k{n}")).tag("t").planned(HOUR));
    let mut chunks = engine.schedule_chunks(jobs).size(30);
    chunks.next().await.unwrap().unwrap().into_outcomes().scheduled().unwrap();
    store.append.set(Does::Fails(StoreErrorClass::Retry));
    let error = chunks.next().await.unwrap_err();
    assert!(matches!(error.error, CallError::Unconfirmed) && error.error.change() == Change::InForce);
    assert_eq!((error.first, error.jobs.len(), chunks.done()), (30, 30, 30));
    assert!(error.jobs.iter().all(|outcome| matches!(outcome, Ok(ScheduleOutcome::Scheduled { .. }))));
    assert!(error.to_string().contains("30 jobs from number 30 on"), "{error}");
    assert!(chunks.next().await.unwrap().is_none(), "there is no more after that");
    assert_eq!(engine.jobs(), 60);

    let mut moves = engine.move_tagged_chunks("t", Shift::Later(SECOND)).unwrap();
    let error = moves.next().await.unwrap_err();
    assert_eq!((error.first, error.jobs.len()), (0, 60));
    assert!(moves.next().await.unwrap().is_none());
    store.append.set(Does::Well);
    let mut moves = engine.reschedule_tagged_chunks("t", HOUR).unwrap().size(25);
    let mut sizes = Vec::new();
    while let Some(chunk) = moves.next().await.unwrap() {
        assert_eq!(chunk.first, sizes.iter().sum::<usize>() as u64);
        sizes.push(chunk.jobs.len());
    }
    assert_eq!(sizes, [25, 25, 10]);
    assert!(engine.cancel_tagged_chunks("").is_err());
}

/// Jobs of a chunk are made in the order of the input, and fire as others do.
#[tokio::test]
async fn chunks_do_what_single_calls_do() {
    let engine = engine().await;
    let jobs =
        (0..50).map(|n| engine.schedule_raw("q", "").key(format!("k{}", n % 40)).planned(at_ms(n + 1)));
    let mut chunks = engine.schedule_chunks(jobs).size(7);
    let mut taken = 0;
    while let Some(chunk) = chunks.next().await.unwrap() {
        for (n, outcome) in (chunk.first..).zip(chunk.jobs) {
            assert_eq!(outcome.unwrap().is_taken(), n < 40, "{n}");
            taken += u64::from(n < 40);
        }
    }
    assert_eq!((taken, engine.advance(ms(100)).await.len()), (40, 40));
}
