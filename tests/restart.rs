//! What a restart keeps, on the memory store: the record, replay and commit paths that every store will use.

use std::sync::Arc;
use std::time::Duration;

use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{
    CancelOutcome, End, Engine, Job, LookupOutcome, OnConflict, QueueConfig, RescheduleOutcome, StartError,
    Timestamp,
};
use testkit::scripted::{Does, Scripted};
use testkit::{Keys, TEN_O_CLOCK, at_ms, eventually, ms, nothing};

fn builder(store: &Arc<MemoryStore>) -> reveille::Builder {
    Engine::builder().queue("q", nothing).store(store.clone())
}

/// Promise 2: what was acknowledged is there after a crash, in its last state, and fires when it is due.
#[tokio::test]
async fn promise_2_nothing_acknowledged_is_lost_by_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(builder(&store), TEN_O_CLOCK).await.unwrap();
    for n in 0..500 {
        let schedule = engine.schedule_raw("q", format!("payload {n}")).key(format!("k{n}"));
        let due = at_ms(1_000 + n);
        let commit = if n % 2 == 0 { schedule.at(due) } else { schedule.after(ms(1_000 + n as u64)) };
        commit.await.unwrap().scheduled().unwrap();
    }
    for n in (0..500).step_by(5) {
        engine.reschedule(format!("k{n}"), at_ms(5_000 + n)).await.unwrap().rescheduled().unwrap();
    }
    for n in (1..500).step_by(5) {
        assert_eq!(engine.cancel(format!("k{n}")).await.unwrap(), CancelOutcome::Cancelled);
    }
    let replaced = engine.schedule_raw("q", "new").key("k2").on_conflict(OnConflict::Replace);
    replaced.at(at_ms(9_000)).await.unwrap().scheduled().unwrap();
    let fired_before = engine.advance(ms(1_100)).await;
    // Of the first 101, 21 were moved, 20 cancelled and one replaced.
    assert_eq!(fired_before.len(), 59);
    // The acknowledgements of the last ones have to get to the store.
    engine.shutdown(ms(5_000)).await;

    let engine = TestEngine::start(builder(&store), at_ms(1_100)).await.unwrap();
    assert_eq!(engine.jobs(), 400 - 59);
    let fired_at = at_ms(1_003);
    let found = engine.lookup("k3");
    assert!(
        matches!(found, LookupOutcome::AlreadyFired { at, end: End::Done, .. } if at == fired_at),
        "{found:?}"
    );
    assert_eq!(engine.lookup("k1"), LookupOutcome::NotFound);
    let moved = engine.reschedule("k3", at_ms(9_999)).await.unwrap();
    assert!(matches!(moved, RescheduleOutcome::AlreadyFired { at, .. } if at == fired_at), "{moved:?}");
    let LookupOutcome::Scheduled(view) = engine.lookup("k5") else { panic!("k5 is pending") };
    assert_eq!((view.due, view.version.0, view.payload.as_bytes()), (at_ms(5_005), 2, &b"payload 5"[..]));
    let fired = engine.advance(ms(20_000)).await;
    assert_eq!(fired.len(), 341);
    assert!(fired.iter().all(|job| job.fired_at == job.due && job.lateness == Duration::ZERO));
    let last = fired.last().unwrap();
    assert_eq!((last.key.as_str(), last.payload.as_bytes(), last.due), ("k2", &b"new"[..], at_ms(9_000)));
}

/// A crash in the middle of handlers: at least once runs again, with the next attempt; at most once does not.
#[tokio::test]
async fn promise_6_a_crash_repeats_at_least_once_and_not_at_most_once() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let hanging = Engine::builder().queue("q", hangs).store(store.clone());
    let engine = TestEngine::start(hanging, TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    engine.schedule_raw("q", "").key("again").at(at_ms(10)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("once").at_most_once().at(at_ms(10)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(20)).await.len(), 2);
    assert_eq!(engine.stats().running, 2);
    drop(engine);

    let engine = TestEngine::start(builder(&store), at_ms(50)).await.unwrap();
    let fired = engine.settle().await;
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert_eq!((fired[0].key.as_str(), fired[0].attempt, fired[0].lateness), ("again", 2, ms(40)));
    let once = engine.lookup("once");
    assert!(
        matches!(once, LookupOutcome::AlreadyFired { at, end: End::Interrupted, .. } if at == at_ms(10)),
        "{once:?}"
    );
}

/// What was due while nobody was there fires at once, in order.
#[tokio::test]
async fn promise_7_overdue_jobs_fire_in_order_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(builder(&store).partitions(1), TEN_O_CLOCK).await.unwrap();
    for n in 0..1_000u64 {
        let at = (n * 617) % 1_000;
        let schedule = engine.schedule_raw("q", "").key(format!("{at:03}"));
        let commit =
            if n % 2 == 0 { schedule.at(at_ms(1_000 + at as i64)) } else { schedule.after(ms(1_000 + at)) };
        commit.await.unwrap().scheduled().unwrap();
    }
    drop(engine);
    let one_by_one = Engine::builder().queue(QueueConfig::new("q").concurrency(1), nothing);
    let engine = TestEngine::start(one_by_one.store(store).partitions(1), at_ms(3_600_000)).await.unwrap();
    let fired = engine.settle().await;
    let order: Vec<_> = fired.iter().map(|job| job.key.as_str().to_owned()).collect();
    assert_eq!(fired[7].lateness, ms(3_600_000 - 1_007));
    assert_eq!(order, (0..1_000).map(|at| format!("{at:03}")).collect::<Vec<_>>());
}

/// A restart shifts no job: instants are stored, not positions on a wheel. Another tick is fine too.
#[tokio::test]
async fn a_restart_with_another_tick_or_a_later_clock_shifts_no_job() {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(builder(&store), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("at").at(at_ms(7_777)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("in").after(ms(8_888)).await.unwrap().scheduled().unwrap();
    drop(engine);
    for (n, tick_us) in [10_000u64, 250, 1_000].into_iter().enumerate() {
        let tick = Duration::from_micros(tick_us);
        let now: Timestamp = at_ms(1_000 * (n as i64 + 1));
        let engine = TestEngine::start(builder(&store).tick(tick), now).await.unwrap();
        let due = |key| match engine.lookup(key) {
            LookupOutcome::Scheduled(view) => view.due,
            other => panic!("{other:?}"),
        };
        assert_eq!((due("at"), due("in")), (at_ms(7_777), at_ms(8_888)));
    }
}

/// Jobs of a queue that nobody has built wait for it; they are not lost and not in the way.
#[tokio::test]
async fn jobs_of_a_queue_without_a_handler_wait_for_one() {
    let store = Arc::new(MemoryStore::new());
    let both = builder(&store).queue("old", nothing);
    let engine = TestEngine::start(both, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("old", "").key("waits").at(at_ms(10)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("goes").at(at_ms(10)).await.unwrap().scheduled().unwrap();
    drop(engine);
    // The queues are numbered in another order now.
    let engine = TestEngine::start(builder(&store), at_ms(20)).await.unwrap();
    assert_eq!(engine.settle().await.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["goes"]);
    assert_eq!(engine.stats().ready, 1);
    engine.add_queue("old", nothing).unwrap();
    let fired = engine.settle().await;
    assert_eq!((fired[0].key.as_str(), fired[0].queue.as_str()), ("waits", "old"));
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let store = Arc::new(MemoryStore::new());
    builder(&store).partitions(4).start().await.unwrap();
    let error = builder(&store).partitions(5).start().await.unwrap_err();
    assert!(matches!(error, StartError::Store(_)));
    assert!(error.to_string().contains("build the engine with 4"), "{error}");
}

/// Overdue jobs of an inline queue wait for the store to have their starts, and run as all of its jobs do: on the driver's thread,
/// one at a time, in order. A shutdown does not forget those that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_inline_jobs_run_on_the_driver_once_their_start_is_stored() {
    // Twice what is done in a turn: nothing is left behind when a turn ends.
    let (jobs, keys) = (150, Keys::default());
    for round in ["goes on", "is shut down"] {
        let store = Scripted::in_memory();
        let build = |keys: &Keys| {
            let keys = keys.clone();
            let inline = move |job: &Job| {
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                keys.push(format!("{} on {thread}", job.key()));
            };
            let queue = QueueConfig::new("inline").paused();
            Engine::builder().partitions(1).inline_queue(queue, inline).store(store.clone())
        };
        let engine = build(&keys).start().await.unwrap();
        for n in 0..jobs {
            let job = engine.schedule_raw("inline", "").key(format!("{n:03}"));
            job.after(Duration::from_micros(n)).await.unwrap().scheduled().unwrap();
        }
        engine.shutdown(ms(5_000)).await;
        assert_eq!(keys.len(), 0);
        let engine = build(&keys).start().await.unwrap();
        eventually("all are", || engine.stats().ready == jobs as usize).await;
        store.append.set(Does::Stands);
        engine.resume("inline").into_outcome().unwrap();
        eventually("all are", || engine.stats().running == jobs as usize).await;
        if round == "goes on" {
            store.append.set(Does::Well);
            engine.idle().await;
            let in_order: Vec<_> = (0..jobs).map(|n| format!("{n:03} on reveille-driver")).collect();
            assert_eq!(keys.take(), in_order);
            engine.shutdown(ms(5_000)).await;
        } else {
            let shutting_down = engine.shutdown(ms(10_000));
            store.append.set(Does::Well);
            let report = shutting_down.await;
            assert_eq!(
                (report.still_running, report.is_flushed, keys.take().len()),
                (0, true, jobs as usize)
            );
        }
    }
}
