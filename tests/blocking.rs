//! Handlers that block the runtime they run on: whom that holds up, and whom it must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use reveille::{Builder, Engine, Job, QueueConfig, StoreState};
use testkit::HOUR;
use testkit::logs::Logs;
use testkit::redis::RedisServer;
use testkit::time::timed;
use testkit::wait::{bare_runtime, block_on, wait_until};
use testkit::{Keys, ms, nothing};

/// An engine whose queue `blocks` blocks its thread for `time`, and that tells when it has begun.
fn builder(server: &RedisServer, time: Duration, begun: &Arc<AtomicUsize>) -> Builder {
    let begun = Arc::clone(begun);
    let blocks = move |_: Job| {
        let begun = Arc::clone(&begun);
        async move {
            begun.fetch_add(1, SeqCst);
            thread::sleep(time);
        }
    };
    Engine::builder().queue("blocks", blocks).queue("q", nothing).store(Arc::new(server.store()))
}

/// Commits beside a handler that blocks a thread: those of its own partition as well.
#[test]
fn a_handler_that_blocks_holds_up_no_commit() {
    let server = RedisServer::start(&[]);
    for threads in [0, 2] {
        server.run(&["FLUSHALL"]);
        let (runtime, begun) = (bare_runtime(threads), Arc::new(AtomicUsize::new(0)));
        let engine = builder(&server, ms(4_000), &begun).runtime(runtime.handle().clone());
        let engine = block_on(engine.start()).unwrap();
        let blocked = engine.schedule_raw("blocks", "").key("blocks").after(Duration::ZERO);
        block_on(blocked).unwrap().scheduled().unwrap();
        // A `current_thread` runtime runs only while somebody blocks on it; and without a job the
        // engine would be idle at once.
        let driving = thread::spawn({
            let engine = engine.clone();
            move || {
                runtime.block_on(engine.idle());
                runtime
            }
        });
        wait_until("it blocks", || begun.load(SeqCst) == 1);
        let ((), took) = timed(|| {
            for n in 0..64 {
                block_on(engine.schedule_raw("q", "").key(format!("beside {n}")).after(HOUR))
                    .unwrap()
                    .scheduled()
                    .unwrap();
            }
        });
        assert!(took < ms(1_500), "{threads} threads: 64 commits took {took:?} beside a handler that blocks");
        assert_eq!(engine.stats().running, 1, "it blocked all the while");
        let keys: Vec<String> = (0..64).map(|n| format!("beside {n}")).collect();
        block_on(engine.cancel_many(keys.iter())).unwrap().cancelled().unwrap();
        drop(driving.join().unwrap());
    }
}

/// The lease of an owner whose handlers block every thread for three terms: a standby does not take over, and nothing runs
/// twice.
#[test]
fn handlers_that_block_every_thread_do_not_cost_the_lease() {
    let server = RedisServer::start(&[]);
    for threads in [0, 2] {
        server.run(&["FLUSHALL"]);
        let begun = Arc::new(AtomicUsize::new(0));
        let (own, others) = (bare_runtime(threads), bare_runtime(1));
        let build = || builder(&server, ms(3_000), &begun).lease(ms(1_000));
        let owner = block_on(build().runtime(own.handle().clone()).start()).unwrap();
        let jobs = threads.max(1);
        for n in 0..jobs {
            let call = owner.schedule_raw("blocks", "").key(format!("blocks {n}")).after(ms(50));
            block_on(call).unwrap().scheduled().unwrap();
        }
        let driving = thread::spawn({
            let owner = owner.clone();
            move || {
                own.block_on(owner.idle());
                own
            }
        });
        wait_until("all threads are blocked", || begun.load(SeqCst) == jobs);
        let standby = build().runtime(others.handle().clone());
        let standing_by = thread::spawn(move || block_on(standby.start()).unwrap());
        while owner.stats().running > 0 {
            let store = owner.stats().store.unwrap();
            assert_eq!(store.state, StoreState::Healthy);
            assert!(store.lease_left > Some(Duration::ZERO), "{store:?}");
            assert!(!standing_by.is_finished(), "a standby took over from an owner that lives");
            thread::sleep(ms(20));
        }
        let own = driving.join().unwrap();
        let report = block_on(owner.shutdown(ms(5_000)));
        assert!(report.is_flushed, "{report:?}");
        let standby = standing_by.join().unwrap();
        assert_eq!((standby.jobs(), begun.load(SeqCst)), (0, jobs), "nothing runs twice");
        drop(own);
    }
}

/// A runtime that polls nothing is told of once, by the names of its queues, and again when it polls.
#[test]
fn a_runtime_that_polls_nothing_is_complained_about() {
    let log = Logs::listen();
    let runtime = bare_runtime(0);
    let builder = Engine::builder().runtime(runtime.handle().clone());
    let builder =
        builder.queue("sleeps", |_: Job| async { thread::sleep(ms(4_000)) }).queue("waits", nothing);
    let builder = builder.inline_queue("inline", |_: &Job| ()).queue("idle", nothing);
    let engine = block_on(builder.start()).unwrap();
    for (queue, after) in [("sleeps", 0), ("waits", 200), ("inline", 200)] {
        engine
            .schedule_raw(queue, "")
            .key(queue)
            .after(ms(after))
            .into_outcome()
            .unwrap()
            .scheduled()
            .unwrap();
    }
    let looking = thread::spawn({
        let engine = engine.clone();
        move || wait_until("the pause shows", || engine.stats().runtime_pause >= ms(1_000))
    });
    runtime.block_on(engine.idle());
    looking.join().unwrap();
    // Other tests of this program block theirs.
    let complaints = log.with(&["running=sleeps"]);
    let [complaint] = &complaints[..] else { panic!("{complaints:?}") };
    assert!(complaint.has(&["WARN", "polls nothing", "waiting=waits"]), "{complaint}");
    // A job that comes later, so that the driver has a reason to look.
    engine.schedule_raw("waits", "").key("later").after(ms(700)).into_outcome().unwrap().scheduled().unwrap();
    runtime.block_on(engine.idle());
    wait_until("it is over", || engine.stats().runtime_pause == Duration::ZERO);
    assert!(!log.with(&["polls again"]).is_empty());
    assert!(engine.stats().runtime_pause_max >= ms(1_000));
}

/// Jobs of a queue for blocking handlers: as many at a time as its concurrency says, beside all else, on one thread.
#[test]
fn a_blocking_queue_holds_up_nobody() {
    let runtime = bare_runtime(0);
    let (running, most, fired) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Keys::default());
    let (now, highest, keys, others) = (running, Arc::clone(&most), fired.clone(), fired.clone());
    let engine = Engine::builder()
        .runtime(runtime.handle().clone())
        .blocking_queue(QueueConfig::new("blocks").concurrency(3), move |job: &Job| {
            highest.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(ms(400));
            keys.push(job.key().as_str());
            now.fetch_sub(1, SeqCst);
        })
        .queue("q", move |job: Job| {
            others.push(job.key().as_str());
            async {}
        });
    let engine = block_on(engine.start()).unwrap();
    for n in 0..6 {
        engine
            .schedule_raw("blocks", "")
            .key(format!("blocks {n}"))
            .after(Duration::ZERO)
            .into_outcome()
            .unwrap()
            .scheduled()
            .unwrap();
    }
    for n in 0..5 {
        engine
            .schedule_raw("q", "")
            .key(format!("quick {n}"))
            .after(ms(100 + n))
            .into_outcome()
            .unwrap()
            .scheduled()
            .unwrap();
    }
    runtime.block_on(engine.idle());
    assert_eq!(most.load(SeqCst), 3);
    let fired = fired.take();
    let last_quick = fired.iter().rposition(|key| key.starts_with("quick")).unwrap();
    assert!(last_quick < 8, "the others did not wait for six blocking jobs: {fired:?}");
    assert_eq!(engine.stats().runtime_pause_max, Duration::ZERO);
}

/// How blocking handlers end is counted as for others, and they may run at most once.
#[test]
fn a_blocking_handler_that_fails_or_panics_is_a_failed_attempt() {
    let server = RedisServer::start(&[]);
    let runtime = bare_runtime(1);
    let ran = Keys::default();
    let keys = ran.clone();
    let engine = Engine::builder()
        .runtime(runtime.handle().clone())
        .store(Arc::new(server.store()))
        .blocking_queue(QueueConfig::new("q").concurrency(1), move |job: &Job| {
            keys.push(job.key().as_str());
            match job.key().as_str() {
                "panics" => panic!("it was told to"),
                "fails" => Err("it was told to"),
                _ => Ok(()),
            }
        });
    let engine = block_on(engine.start()).unwrap();
    for key in ["panics", "fails", "goes well", "once"] {
        let job = engine.schedule_raw("q", "").key(key);
        let job = if key == "once" { job.at_most_once() } else { job };
        block_on(job.after(Duration::ZERO)).unwrap().scheduled().unwrap();
    }
    block_on(engine.idle());
    let stats = engine.stats();
    assert_eq!((stats.succeeded, stats.failed, stats.queues[0].panicked), (2, 2, 1), "{stats:?}");
    assert_eq!(ran.len(), 4);
}
