//! Runtimes that end before their engine, that lack a timer, or that are not there: an answer to each call, and it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use reveille::store::{MemoryStore, Store};
use reveille::testing::TestEngine;
use reveille::{
    Builder, CallError, CancelError, Engine, Job, LookupOutcome, QueueError, RescheduleError, ScheduleError,
    StartError, StoreState,
};
use testkit::HOUR;
use testkit::logs::Logs;
use testkit::redis::{ALWAYS, RedisServer};
use testkit::scripted::{Does, Scripted};
use testkit::time::timed;
use testkit::wait::{bare_runtime, block_on, wait_until};
use testkit::{TEN_O_CLOCK, ms, nothing};

fn start(builder: Builder, runtime: &tokio::runtime::Runtime) -> Engine {
    block_on(builder.runtime(runtime.handle().clone()).start()).unwrap()
}

/// Every call is refused with the one error that says why, and nothing waits for ever.
fn assert_ended(engine: &Engine) {
    wait_until("its end is noticed", || engine.stats().has_runtime_ended);
    let error = block_on(engine.schedule_raw("q", "").key("late").after(HOUR)).unwrap_err();
    assert!(matches!(error, ScheduleError::Call(CallError::RuntimeEnded)), "{error}");
    let error = block_on(engine.reschedule("pending", HOUR)).unwrap_err();
    assert!(matches!(error, RescheduleError::Call(CallError::RuntimeEnded)), "{error}");
    let error = block_on(engine.cancel("pending")).unwrap_err();
    assert!(matches!(error, CancelError::Call(CallError::RuntimeEnded)), "{error}");
    let planned = [engine.schedule_raw("q", "").planned(HOUR)];
    let many = block_on(engine.schedule_many(planned)).unwrap();
    assert!(matches!(many[..], [Err(ScheduleError::Call(CallError::RuntimeEnded))]), "{many:?}");
    assert_eq!(engine.add_queue("new", nothing).unwrap_err(), QueueError::RuntimeEnded);
    block_on(engine.idle());
    assert!(matches!(engine.lookup("pending"), LookupOutcome::Scheduled(_)));
    let stats = engine.stats();
    assert!(stats.store.is_none_or(|store| store.state == StoreState::Ended && !stats.is_store_healthy));
}

#[test]
fn an_engine_whose_runtime_has_ended_says_so() {
    let server = RedisServer::start(&[]);
    let stores: [Option<Arc<dyn Store>>; 3] =
        [None, Some(Arc::new(MemoryStore::new())), Some(Arc::new(server.store()))];
    for store in stores {
        for threads in [0, 2] {
            let runtime = bare_runtime(threads);
            let mut builder = Engine::builder().queue("q", nothing);
            if let Some(store) = &store {
                builder = builder.store(Arc::clone(store)).lease(HOUR);
            }
            let engine = start(builder, &runtime);
            let _ = block_on(engine.schedule_raw("q", "").key("pending").after(HOUR)).unwrap();
            let waiting = thread::spawn({
                let engine = engine.clone();
                move || block_on(engine.idle())
            });
            drop(runtime);
            waiting.join().unwrap();
            assert_ended(&engine);
            let report = block_on(engine.shutdown(ms(10_000)));
            let is_kept = store.is_some();
            assert_eq!(
                (report.still_running, report.pending, report.is_flushed),
                (0, 1, is_kept),
                "{report:?}"
            );
            assert_ended(&engine);
        }
    }
}

/// What was acknowledged is there, what was with a handler runs again, and nobody waits for the lease.
#[test]
fn another_engine_takes_over_at_once_when_a_runtime_ends() {
    let server = RedisServer::start(&[]);
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(server.store())];
    for store in stores {
        let (first, second) = (bare_runtime(2), bare_runtime(2));
        let attempts = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&attempts);
        let never = |_: Job| std::future::pending::<()>();
        let build = || Engine::builder().store(Arc::clone(&store)).lease(HOUR);
        let engine = start(build().queue("q", never), &first);
        for key in ["cut short", "cut short too"] {
            block_on(engine.schedule_raw("q", "").key(key).after(Duration::ZERO))
                .unwrap()
                .scheduled()
                .unwrap();
        }
        block_on(engine.schedule_raw("q", "").key("pending").after(HOUR)).unwrap().scheduled().unwrap();
        wait_until("they run", || engine.stats().running == 2);
        // The last of what was acknowledged: nobody has seen to it since.
        block_on(engine.schedule_raw("q", "").key("kept").after(HOUR)).unwrap().scheduled().unwrap();
        first.shutdown_background();
        let again = build().queue("q", move |job: Job| {
            seen.fetch_add(usize::from(job.attempt()), SeqCst);
            async {}
        });
        let (again, took) = timed(|| start(again, &second));
        assert!(took < ms(20_000), "it waited {took:?} for the lease of an engine that has ended");
        wait_until("what was cut short has run", || again.jobs() == 2);
        assert_eq!(attempts.load(SeqCst), 4, "both for the second time");
        assert!(matches!(again.lookup("kept"), LookupOutcome::Scheduled(_)));
        assert_eq!(engine.stats().running, 0);
        assert_ended(&engine);
    }
}

/// A blocking handler cannot be interrupted: as long as it runs, nobody else runs its job.
#[test]
fn the_leases_are_kept_while_a_blocking_handler_outlives_its_runtime() {
    let server = RedisServer::start(&[]);
    let (first, second) = (bare_runtime(1), bare_runtime(1));
    let (running, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let build = || {
        let (running, runs) = (Arc::clone(&running), Arc::clone(&runs));
        let builder = Engine::builder().store(Arc::new(server.store())).lease(ms(1_000));
        builder.blocking_queue("q", move |_: &Job| {
            assert_eq!(running.fetch_add(1, SeqCst), 0, "it runs twice at a time");
            thread::sleep(ms(2_500));
            running.fetch_sub(1, SeqCst);
            runs.fetch_add(1, SeqCst);
        })
    };
    let engine = start(build(), &first);
    block_on(engine.schedule_raw("q", "").key("blocks").after(Duration::ZERO)).unwrap().scheduled().unwrap();
    wait_until("it runs", || running.load(SeqCst) == 1);
    first.shutdown_background();
    let again = start(build(), &second);
    assert_eq!(runs.load(SeqCst), 1, "the other engine began before the handler had ended");
    // It was recorded as done, though its runtime had gone.
    block_on(again.idle());
    assert_eq!((runs.load(SeqCst), engine.stats().succeeded, again.stats().fired), (1, 1, 0));
}

#[test]
fn a_runtime_that_has_ended_is_refused_at_the_start() {
    let store = Scripted::in_memory();
    for threads in [0, 2] {
        let runtime = bare_runtime(threads);
        let handle = runtime.handle().clone();
        drop(runtime);
        for builder in [Engine::builder(), Engine::builder().store(store.clone())] {
            let error = block_on(builder.queue("q", nothing).runtime(handle.clone()).start()).unwrap_err();
            assert!(matches!(error, StartError::RuntimeEnded), "{error}");
        }
    }
    let error = block_on(Engine::builder().queue("q", nothing).start()).unwrap_err();
    assert!(matches!(error, StartError::NoRuntime), "{error}");
}

/// A standby that waits for a lease, for handlers whose runtime ends meanwhile: it has nothing to wait for any more.
#[test]
fn a_runtime_that_ends_ends_the_wait_for_a_lease() {
    let server = RedisServer::start(&[]);
    let (own, others) = (bare_runtime(1), bare_runtime(1));
    let build = || Engine::builder().queue("q", nothing).store(Arc::new(server.store())).lease(HOUR);
    let owner = start(build(), &own);
    let standby = build().runtime(others.handle().clone());
    let waiting = thread::spawn(move || block_on(standby.start()));
    thread::sleep(ms(200));
    drop(others);
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, StartError::RuntimeEnded), "{error}");
    block_on(owner.schedule_raw("q", "").key("still the owner").after(HOUR)).unwrap().scheduled().unwrap();
}

/// Everything that can be awaited, on a thread without tokio, with a runtime that has neither timer nor I/O.
#[test]
fn every_call_can_be_awaited_outside_of_tokio() {
    let server = RedisServer::start(&ALWAYS);
    for has_store in [false, true] {
        let runtime = bare_runtime(2);
        let build = || {
            let builder = Engine::builder().queue("q", nothing);
            if has_store { builder.store(Arc::new(server.store())).lease(ms(1_000)) } else { builder }
        };
        let engine = start(build(), &runtime);
        let commit = engine.schedule_raw("q", "").key("fsync").durability(reveille::Durability::Fsync);
        block_on(commit.after(ms(50))).unwrap().scheduled().unwrap();
        block_on(engine.idle());
        block_on(engine.schedule_raw("q", "").key("kept").after(HOUR)).unwrap().scheduled().unwrap();
        engine.add_queue("new", nothing).unwrap();
        let written = block_on(engine.snapshot()).unwrap();
        assert_eq!(written.jobs, usize::from(has_store) as u64);
        if has_store {
            let other = start(build().take_over(true), &runtime);
            block_on(engine.lost());
            assert!(block_on(other.shutdown(ms(5_000))).is_flushed);
        }
        block_on(engine.shutdown(ms(5_000)));
    }
}

/// A handler that does not end, and a grace period that does: the wait for it needs no timer of the runtime's.
#[test]
fn a_grace_period_ends_outside_of_tokio() {
    let runtime = bare_runtime(1);
    let engine = start(Engine::builder().queue("q", |_: Job| std::future::pending::<()>()), &runtime);
    block_on(engine.schedule_raw("q", "").key("hangs").after(Duration::ZERO)).unwrap().scheduled().unwrap();
    wait_until("it runs", || engine.stats().running == 1);
    let (report, took) = timed(|| block_on(engine.shutdown(ms(200))));
    assert_eq!(report.still_running, 1);
    assert!(took >= ms(200), "{took:?}");
}

/// A commit that waits for longer than it may is told so, whoever polls it: the records were old when it was asked.
#[test]
fn a_commit_gives_up_outside_of_tokio() {
    let (runtime, store) = (bare_runtime(1), Scripted::in_memory());
    let builder = Engine::builder().queue("q", nothing).store(store.clone()).commit_deadline(ms(300));
    let engine = start(builder, &runtime);
    store.append.set(Does::Stands);
    let commit = engine.schedule_raw("q", "").key("late").after(HOUR);
    let error = block_on(engine.schedule_raw("q", "").key("later").after(HOUR)).unwrap_err();
    assert!(matches!(error, ScheduleError::Call(CallError::Unconfirmed)), "{error}");
    thread::sleep(ms(500));
    let error = block_on(commit).unwrap_err();
    assert!(matches!(error, ScheduleError::Call(CallError::Unconfirmed)), "{error}");
    store.append.set(Does::Well);
}

/// A start that nobody polls to its end leaves nothing behind, and nobody has to wait for a lease.
#[test]
fn a_start_that_is_given_up_gives_the_leases_back() {
    let (server, runtime) = (RedisServer::start(&[]), bare_runtime(1));
    let build = || Engine::builder().queue("q", nothing).store(Arc::new(server.store())).lease(HOUR);
    for polls in [1, 20] {
        let mut is_over = false;
        let mut starting = Box::pin(build().runtime(runtime.handle().clone()).start());
        block_on(async {
            for _ in 0..polls {
                std::future::poll_fn(|context| {
                    is_over = is_over || starting.as_mut().poll(context).is_ready();
                    std::task::Poll::Ready(())
                })
                .await;
                thread::sleep(ms(1));
            }
        });
        drop(starting);
    }
    let (engine, took) = timed(|| start(build(), &runtime));
    assert!(took < ms(20_000), "it waited {took:?} for a lease");
    drop(engine);
}

/// One store, and one engine after another: what was connected on the thread of the first is made anew for the second.
#[test]
fn a_store_can_be_used_by_one_engine_after_another() {
    let log = Logs::listen();
    let (server, runtime) = (RedisServer::start(&[]), bare_runtime(1));
    let store = Arc::new(server.store());
    for round in 0..3 {
        let engine = start(Engine::builder().queue("q", nothing).store(store.clone()), &runtime);
        let key = format!("round {round}");
        let (_, took) = timed(|| block_on(engine.schedule_raw("q", "").key(key).after(HOUR)).unwrap());
        assert!(took < ms(2_000), "{took:?}");
        assert_eq!(engine.jobs(), round + 1);
        assert!(block_on(engine.shutdown(ms(5_000))).is_flushed);
        drop(engine);
        // Its thread ends in its own time.
        thread::sleep(ms(50));
    }
    // Other tests of this program have runtimes that end, and that is another complaint.
    let complaints = log.with(&["does not answer"]);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Time travel without tokio, and after the runtime has ended.
#[test]
fn a_test_engine_is_moved_outside_of_tokio() {
    let runtime = bare_runtime(1);
    let builder = Engine::builder().queue("q", nothing).runtime(runtime.handle().clone());
    let engine = block_on(TestEngine::start(builder, TEN_O_CLOCK)).unwrap();
    let _ = block_on(engine.schedule_raw("q", "").key("tea").after(HOUR)).unwrap();
    let _ = block_on(engine.schedule_raw("q", "").key("pending").after(HOUR * 2)).unwrap();
    assert_eq!(block_on(engine.advance(HOUR)).len(), 1);
    drop(runtime);
    let (fired, took) = timed(|| block_on(engine.advance(HOUR * 2)));
    assert!(fired.is_empty() && took < ms(5_000), "{fired:?}, {took:?}");
    assert_ended(&engine);
}
