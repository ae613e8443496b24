//! What was found by attacking the engine: stores that misbehave, handlers that do their worst, shutdowns at bad moments.
//! Each was shown to happen before it was mended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use reveille::store::{
    DelegatingStore, Grant, LoadTold, Loaded, MemoryStore, Store, StoreErrorClass, StoreFuture,
};
use reveille::testing::TestEngine;
use reveille::{
    BoxError, CallError, CancelOutcome, Durability, Engine, IntoJobResult, Job, JobResult, LookupOutcome,
    OnConflict, Priority, QueueConfig, ScheduleError,
};
use testkit::MINUTE;
use testkit::scripted::{Does, Scripted};
use testkit::wait::runtime;
use testkit::{eventually, ms, nothing, real_now, until_idle, within};

/// Promise 5: an engine that was thought to have ended writes behind nobody's back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_a_stale_engine_writes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let release = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&release);
    let holds = move |_: Job| {
        let held = Arc::clone(&held);
        async move { held.notified().await }
    };
    let build = || Engine::builder().partitions(1).store(store.clone());
    let first = build().queue("q", holds).start().await.unwrap();
    first.schedule_raw("q", "").key("slow").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("its handler runs", || first.stats().running > 0).await;
    let paused = QueueConfig::new("q").paused();
    let second = build().queue(paused, nothing).take_over(true).start().await.unwrap();
    // The first engine's handler ends: its record would take the number of the second's.
    release.notify_waiters();
    let refused =
        within("an answer", first.schedule_raw("q", "").key("late").after(MINUTE)).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Call(CallError::NotOwner { .. })), "{refused}");
    second.schedule_raw("q", "").key("precious").after(MINUTE).await.unwrap().scheduled().unwrap();
    second.shutdown(ms(5_000)).await;
    let third = build().queue("q", nothing).start().await.unwrap();
    assert!(matches!(third.lookup("precious"), LookupOutcome::Scheduled(_)));
    assert_eq!(third.lookup("late"), LookupOutcome::NotFound);
}

/// Promise 6: at most once waits for the store, on inline queues too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_6_at_most_once_runs_only_when_the_store_knows_of_its_start() {
    let store = Scripted::in_memory();
    let runs = Arc::new(AtomicUsize::new(0));
    let (inline_runs, async_runs) = (Arc::clone(&runs), Arc::clone(&runs));
    let engine = Engine::builder()
        .inline_queue("inline", move |_: &Job| {
            inline_runs.fetch_add(1, SeqCst);
        })
        .queue("async", move |_: Job| {
            async_runs.fetch_add(1, SeqCst);
            async {}
        })
        .store(store.clone())
        .start()
        .await
        .unwrap();
    // Due and acknowledged, and held back until the store is as it is to be.
    let hold = async || {
        for queue in ["inline", "async"] {
            engine.pause(queue).into_outcome().unwrap();
            let job = engine.schedule_raw(queue, "").key(queue).at_most_once();
            job.after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
        eventually("they are due", || engine.stats().ready == 2).await;
    };
    let go_on = || {
        for queue in ["inline", "async"] {
            engine.resume(queue).into_outcome().unwrap();
        }
    };
    hold().await;
    store.append.set(Does::Stands);
    go_on();
    eventually("they wait for the store", || engine.stats().running == 2).await;
    tokio::time::sleep(ms(50)).await;
    assert_eq!(runs.load(SeqCst), 0);
    store.append.set(Does::Well);
    until_idle(&engine).await;
    assert_eq!(runs.load(SeqCst), 2);

    // A start that the store will never know of is a failed attempt, and is counted as one.
    hold().await;
    store.append.set(Does::Fails(StoreErrorClass::Fatal));
    go_on();
    until_idle(&engine).await;
    assert_eq!((runs.load(SeqCst), engine.stats().failed), (2, 2));
}

/// Promise 8: a log that was full when the store refused for good does not stand in the way for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_8_jobs_go_on_firing_after_the_store_has_refused() {
    let store = Scripted::with_append(Does::Stands);
    let builder =
        Engine::builder().partitions(1).log_records_max(100).queue("q", nothing).store(store.clone());
    let engine = builder.start().await.unwrap();
    let mut taken = 0;
    while engine.schedule_raw("q", "").durability(Durability::Memory).after(ms(100)).into_outcome().is_ok() {
        taken += 1;
    }
    store.append.set(Does::Fails(StoreErrorClass::Fatal));
    until_idle(&engine).await;
    for _ in 0..1_000 {
        engine
            .schedule_raw("q", "")
            .durability(Durability::Memory)
            .after(ms(1))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, taken + 1_000);
}

struct PanicsAsOutcome;

impl IntoJobResult for PanicsAsOutcome {
    fn into_job_result(self) -> JobResult {
        panic!("as an outcome")
    }
}

struct PanicsWhenDropped;

impl Future for PanicsWhenDropped {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "when dropped");
    }
}

#[derive(Debug, thiserror::Error)]
struct PanicsInItsWords;

impl std::fmt::Display for PanicsInItsWords {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("in its words")
    }
}

fn panic_with_what_panics() {
    std::panic::panic_any(PanicsWhenDropped)
}

/// Whatever of a handler panics, wherever, is a failed attempt: not the end of a worker, nor of the driver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_8_no_panic_of_a_user_s_ends_a_worker_or_the_driver() {
    let one = |name: &str| QueueConfig::new(name).concurrency(1);
    let engine = Engine::builder()
        .queue(one("outcome"), |_: Job| async { PanicsAsOutcome })
        .queue(one("drop"), |_: Job| PanicsWhenDropped)
        .queue(one("payload"), |_: Job| async { panic_with_what_panics() })
        .queue(one("words"), |_: Job| async { Err::<(), _>(PanicsInItsWords) })
        .inline_queue("inline outcome", |_: &Job| PanicsAsOutcome)
        .inline_queue("inline payload", |_: &Job| panic_with_what_panics())
        .inline_queue("inline words", |_: &Job| Err::<(), _>(PanicsInItsWords))
        .start()
        .await
        .unwrap();
    let queues: Vec<_> = engine.stats().queues.into_iter().map(|queue| queue.name).collect();
    for _ in 0..3 {
        for queue in &queues {
            engine.schedule_raw(queue, "").after(ms(1)).await.unwrap().scheduled().unwrap();
        }
    }
    until_idle(&engine).await;
    for queue in engine.stats().queues {
        assert_eq!(
            (queue.fired, queue.failed, queue.panicked, queue.running),
            (3, 3, 3, 0),
            "{}",
            queue.name
        );
    }
    assert_eq!(engine.shutdown(ms(5_000)).await.still_running, 0);
}

/// A commit that waits is answered, however its committer came to its end.
#[test]
fn a_commit_is_answered_when_there_is_nobody_left_to_make_it_durable() {
    let (outer, own) = (runtime(2), runtime(1));
    outer.block_on(async {
        // The end of the handlers' runtime is not that of the committer: it goes on until the store has all.
        let store = Scripted::with_append(Does::Stands);
        let builder = Engine::builder().runtime(own.handle().clone()).queue("q", nothing);
        let engine = builder.store(store.clone()).start().await.unwrap();
        let commit = engine.schedule_raw("q", "").after(MINUTE);
        own.shutdown_background();
        within("an answer", engine.idle()).await;
        store.append.set(Does::Well);
        within("an answer", commit).await.unwrap().scheduled().unwrap();

        let store = Scripted::with_append(Does::Panics);
        let engine = Engine::builder().queue("q", nothing).store(store).start().await.unwrap();
        let commit = engine.schedule_raw("q", "").after(MINUTE);
        assert!(matches!(
            within("an answer", commit).await,
            Err(ScheduleError::Call(CallError::Interrupted))
        ));
        assert!(!engine.stats().is_store_healthy);
        // Nobody takes the records any more: once every partition's committer has ended, none are kept either.
        let mut pending = 0;
        for round in 1.. {
            for _ in 0..1_000 {
                engine
                    .schedule_raw("q", "")
                    .durability(Durability::Memory)
                    .after(ms(1))
                    .await
                    .unwrap()
                    .scheduled()
                    .unwrap();
            }
            eventually("they have run", || engine.stats().succeeded == round * 1_000).await;
            let before = std::mem::replace(&mut pending, engine.stats().log_pending);
            if pending == before {
                break;
            }
            assert!(round < 50, "records are kept for nobody: {pending} by now");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_must_retry_holds_up_no_other_and_ends_with_the_engine() {
    let store = Scripted::in_memory();
    store.append.set_in(0, Does::Fails(StoreErrorClass::Retry));
    let builder = Engine::builder().partitions(2).queue("q", nothing).store(store.clone());
    let engine = builder.start().await.unwrap();
    let commits: Vec<_> =
        (0..20).map(|n| engine.schedule_raw("q", "").key(format!("k{n}")).after(MINUTE)).collect();
    let mut waiting = Vec::new();
    for commit in commits {
        match commit.outcome().unwrap().handle().partition().0 {
            0 => waiting.push(commit),
            _ => drop(within("an answer", commit).await.unwrap()),
        }
    }
    assert!(!waiting.is_empty());
    let report = within("an answer", engine.shutdown(ms(200))).await;
    assert!(!report.is_flushed);
    for commit in waiting {
        assert!(matches!(
            within("an answer", commit).await,
            Err(ScheduleError::Call(CallError::Interrupted))
        ));
    }
    let tried = store.append.calls();
    tokio::time::sleep(ms(100)).await;
    assert_eq!(store.append.calls(), tried, "nothing is sent any more");
}

/// One partition's full log must not put a worker to sleep over another partition's job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_in_one_partition_loses_no_wake_up_in_another() {
    let store = Scripted::in_memory();
    let chain = |job: Job| async move {
        let left: u32 = job.json().unwrap();
        if left > 0 {
            let engine = job.engine();
            let next = engine.schedule_raw("q", (left - 1).to_string()).key(job.key().as_str());
            let due = real_now().saturating_add_micros(40 + u64::from(left % 64));
            next.durability(Durability::Memory).at(due).into_outcome().unwrap().scheduled().unwrap();
        }
    };
    let engine = Engine::builder()
        .partitions(2)
        .log_records_max(200_000)
        .tick(Duration::from_micros(1))
        .queue(QueueConfig::new("q").concurrency(1), chain)
        .store(store.clone())
        .start()
        .await
        .unwrap();
    let mut keys = [None, None];
    for n in 0.. {
        let key = format!("k{n}");
        let handle = engine.schedule_raw("q", "0").key(&key).after(MINUTE).await.unwrap().handle();
        engine.cancel(&key).await.unwrap().cancelled().unwrap();
        keys[usize::from(handle.partition().0)].get_or_insert(key);
        if let [Some(_), Some(_)] = keys {
            break;
        }
    }
    let [Some(free), Some(full)] = keys else { unreachable!() };
    store.append.set_in(1, Does::Stands);
    let fill = || engine.schedule_raw("q", "0").key(&full).on_conflict(OnConflict::Replace);
    while fill().durability(Durability::Memory).after(MINUTE).into_outcome().is_ok() {}
    engine.schedule_raw("q", "20000").key(&free).after(ms(1)).await.unwrap().scheduled().unwrap();
    let (mut fired, mut quiet) = (0, 0);
    while fired <= 20_000 {
        tokio::time::sleep(ms(10)).await;
        let now = engine.stats().fired;
        quiet = if now == fired { quiet + 1 } else { 0 };
        assert!(quiet < 500, "nothing for five seconds after {fired} jobs");
        fired = now;
    }
}

/// A slow inline handler holds up neither a shutdown beyond its grace nor the end of the runtime.
#[test]
fn a_shutdown_does_not_wait_longer_than_it_was_told_to() {
    let begun = real_now();
    let ending = Arc::new(AtomicBool::new(false));
    let runtime = runtime(2);
    let stuck = Arc::clone(&ending);
    runtime.block_on(async {
        let handler = move |_: &Job| {
            while !stuck.load(SeqCst) {
                std::thread::sleep(ms(1));
            }
        };
        let engine = Engine::builder().inline_queue("q", handler).start().await.unwrap();
        engine.schedule_raw("q", "").after(ms(1)).await.unwrap().scheduled().unwrap();
        eventually("its handler runs", || engine.stats().running > 0).await;
        assert_eq!(engine.shutdown(ms(100)).await.still_running, 1);
    });
    drop(runtime);
    assert!(real_now().since(begun) < Duration::from_secs(20));
    ending.store(true, SeqCst);
}

/// Nothing begins once `shutdown` has returned, nor once `pause` has.
#[test]
fn nothing_is_started_after_a_shutdown_or_in_a_pause() {
    let runtime = runtime(4);
    for round in 0..40u64 {
        runtime.block_on(async {
            let is_over = Arc::new(AtomicBool::new(false));
            let late = Arc::new(AtomicUsize::new(0));
            let (over, count) = (Arc::clone(&is_over), Arc::clone(&late));
            let handler = move |_: Job| {
                count.fetch_add(usize::from(over.load(SeqCst)), SeqCst);
                tokio::task::yield_now()
            };
            let engine = Engine::builder().partitions(2).queue("q", handler).start().await.unwrap();
            let due = real_now().saturating_add_micros(5_000);
            for _ in 0..3_000 {
                engine.schedule_raw("q", "").at(due).into_outcome().unwrap().scheduled().unwrap();
            }
            while real_now() < due.saturating_add_micros(round * 50) {
                tokio::task::yield_now().await;
            }
            if round % 2 == 0 {
                engine.shutdown(ms(10_000)).await;
            } else {
                engine.pause("q").into_outcome().unwrap();
                while engine.stats().running > 0 {
                    tokio::task::yield_now().await;
                }
            }
            is_over.store(true, SeqCst);
            tokio::time::sleep(ms(3)).await;
            assert_eq!(late.load(SeqCst), 0, "round {round}");
        });
    }
}

/// A handler that does not yield holds one thread of the runtime, not its queue.
#[test]
fn a_handler_that_blocks_does_not_hold_up_the_job_after_it() {
    let runtime = runtime(2);
    runtime.block_on(async {
        let is_done = Arc::new(AtomicBool::new(false));
        let (set, wait) = (Arc::clone(&is_done), Arc::clone(&is_done));
        let handler = move |job: Job| {
            let (set, wait) = (Arc::clone(&set), Arc::clone(&wait));
            async move {
                if job.key().as_str() == "second" {
                    set.store(true, SeqCst);
                }
                let begun = real_now();
                while job.key().as_str() == "first" && !wait.load(SeqCst) {
                    assert!(real_now().since(begun) < MINUTE, "the second never began");
                    std::thread::sleep(ms(1));
                }
            }
        };
        let engine = Engine::builder().partitions(1).queue("q", handler).start().await.unwrap();
        let due = real_now().saturating_add_micros(30_000);
        engine
            .schedule_raw("q", "")
            .key("first")
            .priority(Priority::FIRST)
            .at(due)
            .await
            .unwrap()
            .scheduled()
            .unwrap();
        engine.schedule_raw("q", "").key("second").at(due).await.unwrap().scheduled().unwrap();
        tokio::time::timeout(2 * MINUTE, engine.idle()).await.unwrap();
        assert_eq!(engine.stats().failed, 0);
    });
}

#[tokio::test]
async fn a_handle_of_another_engine_names_nothing() {
    let start = async || Engine::builder().partitions(1).queue("q", nothing).start().await.unwrap();
    let (one, other) = (start().await, start().await);
    let handle = one.schedule_raw("q", "").key("sale").after(MINUTE).await.unwrap().handle();
    other.schedule_raw("q", "").key("alarm").after(MINUTE).await.unwrap().scheduled().unwrap();
    assert_eq!(other.cancel(handle).await.unwrap(), CancelOutcome::NotFound);
    assert!(matches!(other.lookup("alarm"), LookupOutcome::Scheduled(_)));
}

/// `Full` is said when the engine is full, and not because somebody else asked for what needs no room.
#[tokio::test]
async fn full_is_not_said_for_the_sake_of_a_call_that_needs_no_room() {
    let engine = Engine::builder().jobs_max(10).queue("q", nothing).start().await.unwrap();
    for n in 0..9 {
        engine.schedule_raw("q", "").key(format!("k{n}")).after(MINUTE).await.unwrap().scheduled().unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (keeper, stopped) = (engine.clone(), Arc::clone(&stop));
    let keeping = std::thread::spawn(move || {
        while !stopped.load(SeqCst) {
            let keep = keeper.schedule_raw("q", "").key("k0").on_conflict(OnConflict::Keep);
            keep.after(MINUTE).into_outcome().unwrap().scheduled().unwrap();
        }
    });
    for _ in 0..20_000 {
        engine.schedule_raw("q", "").key("tenth").after(MINUTE).await.unwrap().scheduled().unwrap();
        engine.cancel("tenth").await.unwrap().cancelled().unwrap();
    }
    stop.store(true, SeqCst);
    keeping.join().unwrap();
}

/// Holds one state for every partition.
#[derive(Debug)]
struct Holds(MemoryStore, Loaded);

impl DelegatingStore for Holds {
    fn inner(&self) -> &dyn Store {
        &self.0
    }

    fn load<'a>(&'a self, _: &'a Grant, _: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async { Ok(self.1.clone()) })
    }
}

#[tokio::test]
async fn numbers_that_no_log_gets_to_are_refused_at_the_start() {
    let mut absurd_log = Loaded::default();
    (absurd_log.covered, absurd_log.complete) = (1 << 60, 1 << 60);
    let mut absurd_image = Loaded::default();
    absurd_image.image.next_sequence = u64::MAX;
    for loaded in [absurd_log, absurd_image] {
        let started = Engine::builder()
            .queue("q", nothing)
            .store(Arc::new(Holds(MemoryStore::new(), loaded)))
            .start()
            .await;
        assert!(started.unwrap_err().to_string().contains("gets to"));
    }
}

#[tokio::test]
async fn a_pause_outlives_the_arrival_of_the_handler() {
    let store = Arc::new(MemoryStore::new());
    let paused = Engine::builder().queue(QueueConfig::new("old").paused(), nothing).store(store.clone());
    let engine = paused.start().await.unwrap();
    engine.schedule_raw("old", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    engine.shutdown(ms(5_000)).await;
    // The queue is known from the store only: it is paused before anybody brings its handler.
    let engine = TestEngine::start(Engine::builder().without_queues().store(store), real_now() + MINUTE)
        .await
        .unwrap();
    engine.pause("old").into_outcome().unwrap();
    engine.add_queue("old", nothing).unwrap();
    assert_eq!((engine.settle().await.len(), engine.stats().ready), (0, 1));
    engine.resume("old").into_outcome().unwrap();
    assert_eq!(engine.settle().await.len(), 1);
}

/// A handler that repeats itself may do so while the engine shuts down: its chain goes on after the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_may_schedule_while_the_engine_waits_for_it_to_end() {
    let store = Arc::new(MemoryStore::new());
    let repeats = |job: Job| async move {
        tokio::time::sleep(ms(50)).await;
        job.engine().schedule_raw("q", "").key(job.key().as_str()).after(MINUTE).await?.scheduled()?;
        Ok::<_, BoxError>(())
    };
    let engine = Engine::builder().queue("q", repeats).store(store.clone()).start().await.unwrap();
    engine.schedule_raw("q", "").key("beat").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("its handler runs", || engine.stats().running > 0).await;
    let report = engine.shutdown(ms(10_000)).await;
    assert_eq!((report.pending, report.is_flushed), (1, true));
    assert_eq!(engine.stats().failed, 0);
    let engine = Engine::builder().queue("q", repeats).store(store).start().await.unwrap();
    assert!(matches!(engine.lookup("beat"), LookupOutcome::Scheduled(_)));
}

/// A grace period is what it says: what a handler does late in it is flushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_grace_period_is_granted_to_the_log_too() {
    let store = Arc::new(MemoryStore::new());
    let slow = |_: Job| tokio::time::sleep(Duration::from_secs(6));
    let engine = Engine::builder().queue("q", slow).store(store.clone()).start().await.unwrap();
    engine.schedule_raw("q", "").key("slow").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("its handler runs", || engine.stats().running > 0).await;
    let report = engine.shutdown(MINUTE).await;
    assert_eq!((report.still_running, report.is_flushed), (0, true));
    let engine = Engine::builder().queue("q", nothing).store(store).start().await.unwrap();
    assert!(matches!(engine.lookup("slow"), LookupOutcome::AlreadyFired { .. }));
}
