//! The engine on a real Redis that goes away, comes back, refuses, forgets: no panic, no wrong acknowledgement, and the
//! state afterwards is the one that the answers told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::{RedisStore, StoreErrorClass};
use reveille::{
    Builder, CallError, CancelOutcome, Durability, Engine, Job, LookupOutcome, Misfire, QueueConfig,
    ScheduleError, StartError, StoreState,
};
use testkit::MINUTE;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{ALWAYS, EVERYSEC, RedisServer, config, impatient};
use testkit::truth::Truth;
use testkit::{Keys, eventually, ms, nothing, real_now, until_idle};

fn builder(url: &str) -> Builder {
    Engine::builder()
        .queue("q", nothing)
        .partitions(4)
        .store(Arc::new(impatient(url, ms(300))))
        .lease(Duration::from_secs(5))
}

/// Whether the store is well and has everything, so that no repair is under way.
fn has_all(engine: &Engine) -> bool {
    let store = engine.stats().store.unwrap();
    store.partitions_behind == 0 && store.state == StoreState::Healthy
}

/// Restores what `url` has, and holds it against `truth`.
async fn check_restored(url: &str, truth: &Truth) {
    let engine = builder(url).start().await.unwrap();
    truth.check(&engine);
    engine.shutdown(MINUTE).await;
}

/// Works before, during and after a fault, and looks at what is left.
async fn survives(server: &RedisServer, url: &str, begin: impl AsyncFnOnce(), end: impl AsyncFnOnce()) {
    let engine = builder(url).start().await.unwrap();
    let mut truth = Truth::default();
    truth.change(&engine, 3_000);
    truth.flushed(&engine).await;
    begin().await;
    truth.change(&engine, 3_000);
    end().await;
    truth.change(&engine, 3_000);
    engine.schedule_raw("q", "last").key("last").after(MINUTE * 60).await.unwrap().scheduled().unwrap();
    engine.cancel("last").await.unwrap().cancelled().unwrap();
    truth.flushed(&engine).await;
    truth.check(&engine);
    // The keeper of the leases finds out when it next asks.
    eventually("all is well", || has_all(&engine)).await;
    engine.shutdown(MINUTE).await;
    check_restored(&server.url(), &truth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_slow_cut_refused_or_dead() {
    let server = RedisServer::start(&[]);
    for fault in [Fault::Delay(ms(60)), Fault::CutReplies, Fault::Refuse, Fault::BlackHole] {
        server.run(&["FLUSHALL"]);
        let proxy = Proxy::start(server.port());
        let (begin, end) = (&proxy, &proxy);
        survives(
            &server,
            &proxy.url(),
            async || begin.set(fault),
            async || {
                tokio::time::sleep(ms(900)).await;
                end.set(Fault::None);
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_read_only_busy_and_without_scripts() {
    let server = RedisServer::start(&["--lua-time-limit", "50"]);
    let url = server.url();
    type Commands<'a> = &'a [&'a [&'a str]];
    let cases: [(&str, Commands<'_>, Commands<'_>); 3] = [
        ("oom", &[&["CONFIG", "SET", "maxmemory", "1"]], &[&["CONFIG", "SET", "maxmemory", "0"]]),
        ("readonly", &[&["REPLICAOF", "127.0.0.1", "1"]], &[&["REPLICAOF", "NO", "ONE"]]),
        ("noscript", &[&["SCRIPT", "FLUSH"]], &[]),
    ];
    for (name, begin, end) in cases {
        println!("{name}");
        server.run(&["FLUSHALL"]);
        let all = |commands: &[&[&str]]| commands.iter().for_each(|words| drop(server.run(words)));
        survives(
            &server,
            &url,
            async || all(begin),
            async || {
                tokio::time::sleep(ms(300)).await;
                all(end);
            },
        )
        .await;
    }
    println!("busy");
    server.run(&["FLUSHALL"]);
    let mut blocking = server.connect();
    let busy = std::sync::Mutex::new(None);
    survives(
        &server,
        &url,
        async || {
            *busy.lock().unwrap() = Some(std::thread::spawn(move || {
                // Ends with an error, when it is killed.
                let _: Result<(), _> =
                    redis::cmd("EVAL").arg("while true do end").arg(0).query(&mut blocking);
            }));
            tokio::time::sleep(ms(200)).await;
        },
        async || {
            tokio::time::sleep(ms(700)).await;
            server.run(&["SCRIPT", "KILL"]);
        },
    )
    .await;
    busy.into_inner().unwrap().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_is_told_of_and_acknowledges_nothing() {
    let server = RedisServer::start(&[]);
    let engine = builder(&server.url()).commit_deadline(ms(800)).start().await.unwrap();
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = engine.schedule_raw("q", "").key("k").after(MINUTE).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Call(CallError::Unconfirmed)), "{refused}");
    let stats = engine.stats();
    let told = stats.store.unwrap();
    assert_eq!((told.state, stats.is_store_healthy), (StoreState::Refusing, false));
    assert!(told.last_error.as_ref().unwrap().contains("maxmemory"), "{told:?}");
    // The change is in force, and becomes durable.
    assert!(matches!(engine.lookup("k"), LookupOutcome::Scheduled(_)));
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("the store gets it", || engine.stats().log_pending == 0).await;
    engine.shutdown(MINUTE).await;
    let engine = builder(&server.url()).start().await.unwrap();
    assert!(matches!(engine.lookup("k"), LookupOutcome::Scheduled(_)));
}

/// A Redis that lost everything, or its last seconds, is written anew from memory; and somebody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_went_back_in_time_is_brought_in_step() {
    // Without any persistence of its own.
    let mut server = RedisServer::start(&[]);
    let url = server.url();
    let engine = builder(&url).start().await.unwrap();
    let mut truth = Truth::default();
    truth.change(&engine, 5_000);
    truth.flushed(&engine).await;
    server.run(&["FLUSHALL"]);
    truth.change(&engine, 100);
    let incidents = || engine.stats().store.unwrap().incidents;
    eventually("the flush is found out, and mended, in all four partitions", || {
        incidents() >= 4 && has_all(&engine)
    })
    .await;
    truth.change(&engine, 1_000);
    truth.flushed(&engine).await;

    server.kill();
    truth.change(&engine, 1_000);
    server.restart();
    // All four partitions, also those that nobody writes to: the keeper finds out.
    eventually("the restart is found out", || incidents() >= 8 && has_all(&engine)).await;
    truth.change(&engine, 1_000);
    truth.flushed(&engine).await;
    truth.check(&engine);
    assert!(engine.stats().store.unwrap().last_incident.unwrap().contains("lost records"));
    engine.shutdown(MINUTE).await;
    check_restored(&url, &truth).await;
}

/// Snapshots while the engine works: by themselves and on demand; the log stays short, and nothing is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_behind_a_working_engine() {
    let server = RedisServer::start(&[]);
    let url = server.url();
    let engine = builder(&url).snapshot_every(MINUTE * 60, 1_000).start().await.unwrap();
    let mut truth = Truth::default();
    for round in 0..40 {
        truth.change(&engine, 1_000);
        if round % 3 == 0 {
            let (taken, ()) = tokio::join!(engine.snapshot(), async {
                for _ in 0..20 {
                    truth.change(&engine, 200);
                    tokio::task::yield_now().await;
                }
            });
            assert!(taken.unwrap().jobs > 0);
        }
        tokio::time::sleep(ms(20)).await;
    }
    let taken = || engine.stats().store.unwrap().snapshots;
    eventually("snapshots come by themselves", || taken() >= 4).await;
    truth.flushed(&engine).await;
    truth.check(&engine);
    assert!(engine.stats().store.unwrap().log_records < 40_000);
    engine.shutdown(MINUTE).await;
    check_restored(&url, &truth).await;
}

/// An owner that cannot reach its store stops firing before its lease ends, and goes on when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_without_a_proof_of_the_lease_nothing_fires() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port());
    for is_single_owner in [false, true] {
        server.run(&["FLUSHALL"]);
        let fired = Keys::default();
        let engine = Engine::builder()
            .queue("q", fired.handler())
            // What is told is the first of the leases to end.
            .partitions(1)
            .store(Arc::new(impatient(&proxy.url(), ms(300))))
            .lease(ms(600))
            .single_owner(is_single_owner)
            .start()
            .await
            .unwrap();
        proxy.set(Fault::BlackHole);
        eventually("the lease cannot be proved any more", || {
            let told = engine.stats().store.unwrap();
            (told.state, told.lease_left) == (StoreState::Unreachable, Some(Duration::ZERO))
        })
        .await;
        let schedule = engine.schedule_raw("q", "").key("k").after(ms(1));
        assert!(schedule.into_outcome().is_ok(), "calls are taken");
        if is_single_owner {
            eventually("it fires all the same", || fired.len() == 1).await;
        } else {
            tokio::time::sleep(ms(300)).await;
            assert_eq!(fired.len(), 0);
        }
        proxy.set(Fault::None);
        eventually("it fires when the store is back", || fired.len() == 1).await;
        engine.shutdown(MINUTE).await;
    }
}

/// An engine that was taken over by force finds out, says so, and does nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_5_an_engine_that_is_no_longer_the_owner_ends() {
    let server = RedisServer::start(&[]);
    let url = server.url();
    let fired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fired);
    let first = Engine::builder()
        .queue("q", move |_: Job| {
            count.fetch_add(1, SeqCst);
            async {}
        })
        .partitions(4)
        .store(Arc::new(impatient(&url, ms(300))))
        .start()
        .await
        .unwrap();
    first.schedule_raw("q", "").key("k").after(ms(3_000)).await.unwrap().scheduled().unwrap();
    let held = builder(&url).standby(false).start().await.unwrap_err();
    assert!(matches!(&held, StartError::Held(error) if error.class == StoreErrorClass::Held), "{held}");
    let second = builder(&url).take_over(true).queue("other", nothing).start().await.unwrap();
    let late = first.schedule_raw("q", "").key("late").after(MINUTE).await.unwrap_err();
    assert!(matches!(late, ScheduleError::Call(CallError::NotOwner { .. })), "{late}");
    let why = tokio::time::timeout(MINUTE, first.lost()).await.unwrap();
    assert!(why.to_string().contains(&second.stats().store.unwrap().owner), "{why}");
    assert_eq!(first.stats().store.unwrap().state, StoreState::Lost);
    assert!(first.cancel("k").await.is_err());
    until_idle(&second).await;
    assert_eq!((fired.load(SeqCst), second.stats().fired), (0, 1));
    assert_eq!(second.lookup("late"), LookupOutcome::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_when_the_owner_goes() {
    let server = RedisServer::start(&[]);
    let url = server.url();
    let first = builder(&url).lease(Duration::from_secs(30)).start().await.unwrap();
    first.schedule_raw("q", "").key("k").after(MINUTE).await.unwrap().scheduled().unwrap();
    let standby = tokio::spawn(builder(&url).start());
    tokio::time::sleep(ms(300)).await;
    assert!(!standby.is_finished());
    // Given back: nobody has to wait for the end of a lease of half a minute.
    first.shutdown(MINUTE).await;
    let second = tokio::time::timeout(Duration::from_secs(10), standby).await.unwrap().unwrap().unwrap();
    assert_eq!(second.cancel("k").await.unwrap(), CancelOutcome::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durability_that_cannot_be_had_is_refused() {
    let server = RedisServer::start(&EVERYSEC);
    let url = server.url();
    let refused = builder(&url).durability(Durability::Fsync).start().await.unwrap_err();
    assert!(refused.to_string().contains("fsync"), "{refused}");
    let engine = builder(&url).start().await.unwrap();
    let refused = engine.schedule_raw("q", "").durability(Durability::Fsync).after(MINUTE).await.unwrap_err();
    assert!(
        matches!(refused, ScheduleError::Call(CallError::NoSuchDurability { asked: Durability::Fsync, .. })),
        "{refused}"
    );
    assert_eq!(engine.jobs(), 0);
    engine.shutdown(MINUTE).await;

    let always = RedisServer::start(&ALWAYS);
    let engine = builder(&always.url()).durability(Durability::Fsync).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(MINUTE).await.unwrap().scheduled().unwrap();
    assert!(engine.cancel("k").durability(Durability::Memory).await.is_ok());
    assert!(engine.shutdown(MINUTE).await.is_flushed);
}

/// `replicated` waits for a replica, and for nothing less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated_waits_for_a_replica() {
    let (server, replica) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let config = config(&server.url()).replicas(1);
    let store = Arc::new(RedisStore::new(config.response_timeout(ms(500))));
    let builder = Engine::builder().queue("q", nothing).store(store).durability(Durability::Replicated);
    let engine = builder.commit_deadline(ms(700)).start().await.unwrap();
    let alone = engine.schedule_raw("q", "").key("k").after(MINUTE).await.unwrap_err();
    assert!(matches!(alone, ScheduleError::Call(CallError::Unconfirmed)), "{alone}");
    replica.run(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    let confirmed = async { while engine.schedule_raw("q", "").after(MINUTE).await.is_err() {} };
    tokio::time::timeout(MINUTE, confirmed).await.unwrap();
    // A level below is not held up by one above.
    replica.run(&["REPLICAOF", "NO", "ONE"]);
    engine
        .schedule_raw("q", "")
        .durability(Durability::Logged)
        .after(MINUTE)
        .await
        .unwrap()
        .scheduled()
        .unwrap();
}

/// What came due while nobody was there: fired in order, or skipped where the queue says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_jobs_fire_or_are_skipped() {
    let server = RedisServer::start(&[]);
    let url = server.url();
    let stopped = || QueueConfig::new("stale").paused();
    let engine = builder(&url).queue(stopped(), nothing).start().await.unwrap();
    let now = real_now();
    for n in 0..300 {
        engine.schedule_raw("stale", "").at(now + ms(n)).into_outcome().unwrap().scheduled().unwrap();
    }
    engine.pause("q").into_outcome().unwrap();
    for n in 0..300 {
        engine
            .schedule_raw("q", "")
            .key(format!("{n:03}"))
            .at(now + ms(n))
            .into_outcome()
            .unwrap()
            .scheduled()
            .unwrap();
    }
    engine.shutdown(MINUTE).await;
    tokio::time::sleep(ms(600)).await;
    let (fired, began) = (Keys::default(), real_now());
    let engine = Engine::builder()
        .queue(QueueConfig::new("q").concurrency(1), fired.handler())
        .queue(QueueConfig::new("stale").misfire(Misfire::SkipAfter(ms(100))), nothing)
        .partitions(4)
        .catch_up_per_second(500)
        .store(Arc::new(impatient(&url, ms(300))))
        .start()
        .await
        .unwrap();
    // It was left paused.
    engine.resume("q").await.unwrap();
    until_idle(&engine).await;
    // 300 at 500 a second, less what may go at once.
    assert!(real_now().since(began) > ms(300), "{:?}", real_now().since(began));
    let stats = engine.stats();
    assert_eq!((stats.skipped, stats.fired), (300, 300));
    assert!(fired.take().is_sorted(), "in the order in which they were due");
    engine.shutdown(MINUTE).await;
    let engine = builder(&url).start().await.unwrap();
    assert_eq!(engine.jobs(), 0, "what was skipped is gone for good");
}
