//! The contract, by its numbers, on the real engine. Promises 2 and 5 have more to them once there is a store outside
//! the process; what the memory store can show is in `restart.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::testing::TestEngine;
use reveille::{
    CancelOutcome, End, Engine, Job, LookupOutcome, OnConflict, Priority, Profile, QueueConfig,
    RescheduleOutcome, ScheduleOutcome, Version,
};
use testkit::{Keys, TEN_O_CLOCK, at_ms, ms, nothing, real_now, until_idle};

/// Both clocks, due times on and off the tick, all profiles, in real time, against a clock read by the handler itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_1_never_early_in_real_time() {
    for profile in [Profile::Eco, Profile::Precise, Profile::DEDICATED] {
        let early = Arc::new(AtomicUsize::new(0));
        let fired = Arc::new(AtomicUsize::new(0));
        let (seen_early, seen) = (Arc::clone(&early), Arc::clone(&fired));
        let handler = move |job: Job| {
            let is_early = real_now() < job.due() || job.fired_at() < job.due();
            seen_early.fetch_add(usize::from(is_early), SeqCst);
            seen.fetch_add(1, SeqCst);
            async {}
        };
        let engine = Engine::builder().queue("q", handler).profile(profile).start().await.unwrap();
        let begin = real_now();
        for n in 0..3_000u64 {
            let schedule = engine.schedule_raw("q", "").key(format!("k{n}"));
            let us = 20_000 + n * 97;
            let commit = match n % 2 {
                0 => schedule.at(begin.saturating_add_micros(us)),
                _ => schedule.after(Duration::from_micros(us)),
            };
            commit.await.unwrap().scheduled().unwrap();
        }
        until_idle(&engine).await;
        assert_eq!((early.load(SeqCst), fired.load(SeqCst)), (0, 3_000), "{profile:?}");
        assert_eq!(engine.stats().lateness.count, 3_000);
        engine.shutdown(ms(1_000)).await;
    }
}

#[tokio::test]
async fn promise_1_never_early_when_the_wall_clock_is_set() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("alarm").at(at_ms(60_000)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("egg").after(ms(60_000)).await.unwrap().scheduled().unwrap();

    // Back an hour: the alarm waits for the wall, the egg does not.
    assert_eq!(engine.set_wall(at_ms(-3_600_000)).await, []);
    let fired = engine.advance(ms(60_000)).await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["egg"]);
    assert_eq!(fired[0].fired_at, at_ms(-3_540_000), "told as the wall clock stands");
    assert_eq!((fired[0].due, fired[0].lateness), (fired[0].fired_at, Duration::ZERO));

    // New jobs in the hour that comes twice fire in it, each at its instant.
    for minute in [-50, -40, -58] {
        engine
            .schedule_raw("q", "")
            .key(format!("{minute}"))
            .at(at_ms(minute * 60_000))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    let fired = engine.advance(ms(3_540_000)).await;
    let told: Vec<_> = fired.iter().map(|job| (job.key.as_str(), job.fired_at)).collect();
    let expected = [("-58", -58), ("-50", -50), ("-40", -40)].map(|(key, at)| (key, at_ms(at * 60_000)));
    assert_eq!(told, expected);
    let fired = engine.advance(ms(60_000)).await;
    assert_eq!((fired[0].key.as_str(), fired[0].fired_at), ("alarm", at_ms(60_000)));

    // Forward a year: everything up to then is due at once, what follows the other clock is not.
    engine.schedule_raw("q", "").key("xmas").at(at_ms(24 * 86_400_000)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("q", "").key("tea").after(ms(1_000)).await.unwrap().scheduled().unwrap();
    let fired = engine.set_wall(at_ms(365 * 86_400_000)).await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["xmas"]);
    assert_eq!(fired[0].lateness, Duration::from_secs(341 * 86_400));
    assert_eq!(engine.advance(ms(1_000)).await[0].key.as_str(), "tea");
    assert!(engine.stats().clock_steps >= 2);
}

#[tokio::test]
async fn promise_3_cancel_means_cancel_also_for_a_job_that_is_due() {
    let engine =
        TestEngine::start(Engine::builder().queue(QueueConfig::new("q").paused(), nothing), TEN_O_CLOCK)
            .await
            .unwrap();
    for key in ["kept", "cancelled", "moved"] {
        engine.schedule_raw("q", "").key(key).at(at_ms(10)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(50)).await;
    assert_eq!(engine.stats().ready, 3, "due, and held back by the pause");
    assert_eq!(engine.cancel("cancelled").await.unwrap(), CancelOutcome::Cancelled);
    let moved = engine.reschedule("moved", at_ms(100)).await.unwrap();
    assert_eq!(moved, RescheduleOutcome::Rescheduled { was: at_ms(10), version: Version(2) });
    assert_eq!(engine.cancel("cancelled").await.unwrap(), CancelOutcome::NotFound);

    engine.resume("q").into_outcome().unwrap();
    assert_eq!(engine.settle().await.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["kept"]);
    let fired = engine.advance(ms(1_000)).await;
    assert_eq!((fired.len(), fired[0].key.as_str(), fired[0].fired_at), (1, "moved", at_ms(100)));
    assert_eq!(engine.jobs(), 0);
}

#[tokio::test]
async fn promise_4_outcomes_are_definite_by_key_and_by_handle() {
    let hold = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let handler = move |_: Job| {
        let gate = Arc::clone(&gate);
        async move { gate.acquire().await.unwrap().forget() }
    };
    let builder = Engine::builder().queue("q", handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().go_on_after(ms(50));
    let schedule = || engine.schedule_raw("q", "").key("k");

    assert_eq!(engine.cancel("k").await.unwrap(), CancelOutcome::NotFound);
    assert_eq!(engine.reschedule("k", ms(5)).await.unwrap(), RescheduleOutcome::NotFound);
    assert_eq!(engine.lookup("k"), LookupOutcome::NotFound);
    assert_eq!(engine.lookup(""), LookupOutcome::NotFound);

    let first = schedule().at(at_ms(10)).await.unwrap();
    let ScheduleOutcome::Scheduled { handle } = first else { panic!("{first:?}") };
    assert_eq!(schedule().at(at_ms(20)).await.unwrap(), ScheduleOutcome::AlreadyScheduled { handle });
    let kept = schedule().on_conflict(OnConflict::Keep).at(at_ms(20)).await.unwrap();
    assert_eq!(kept, ScheduleOutcome::Kept { handle });
    let replaced = schedule().on_conflict(OnConflict::Replace).at(at_ms(30)).await.unwrap();
    let ScheduleOutcome::Replaced { handle: second, was } = replaced else { panic!("{replaced:?}") };
    assert_eq!(was, at_ms(10));
    assert_eq!(engine.cancel(handle).await.unwrap(), CancelOutcome::NotFound, "the replaced one is gone");

    let wrong = engine.reschedule_if("k", Version(9), at_ms(40)).await.unwrap();
    assert_eq!(wrong, RescheduleOutcome::Changed { version: Version(1) });
    let right = engine.reschedule_if(second, Version(1), at_ms(40)).await.unwrap();
    assert_eq!(right, RescheduleOutcome::Rescheduled { was: at_ms(30), version: Version(2) });
    assert_eq!(
        engine.cancel_if("k", Version(1)).await.unwrap(),
        CancelOutcome::Changed { version: Version(2) }
    );
    let LookupOutcome::Scheduled(view) = engine.lookup("k") else { panic!("{:?}", engine.lookup("k")) };
    assert_eq!((view.due, view.version, view.queue.as_str()), (at_ms(40), Version(2), "q"));

    engine.advance(ms(40)).await;
    assert!(matches!(engine.lookup("k"), LookupOutcome::Running(_)));
    assert_eq!(engine.cancel("k").await.unwrap(), CancelOutcome::Running);
    assert_eq!(engine.reschedule(second, at_ms(99)).await.unwrap(), RescheduleOutcome::Running);

    hold.add_permits(1);
    engine.advance(ms(5)).await;
    let at = at_ms(40);
    let found = engine.lookup("k");
    assert!(
        matches!(found, LookupOutcome::AlreadyFired { at: told, end: End::Done, .. } if told == at),
        "{found:?}"
    );
    let cancelled = engine.cancel(second).await.unwrap();
    assert!(matches!(cancelled, CancelOutcome::AlreadyFired { at: told, .. } if told == at), "{cancelled:?}");
    // A reschedule never brings a fired job back.
    let moved = engine.reschedule("k", at_ms(500)).await.unwrap();
    assert!(matches!(moved, RescheduleOutcome::AlreadyFired { at: told, .. } if told == at), "{moved:?}");
    assert_eq!(engine.advance(ms(1_000)).await, []);
    // Its key is free again.
    assert!(matches!(schedule().after(ms(5)).await.unwrap(), ScheduleOutcome::Scheduled { .. }));
    hold.add_permits(1);
    assert_eq!(engine.advance(ms(5)).await.len(), 1);
}

#[tokio::test]
async fn promise_4_fired_keys_are_remembered_for_a_bounded_count_and_time() {
    let builder = Engine::builder().queue("q", nothing).partitions(1).remember_fired(3, ms(60_000));
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let fire = async |key: &str| {
        engine.schedule_raw("q", "").key(key).after(ms(1)).await.unwrap().scheduled().unwrap();
        assert_eq!(engine.advance(ms(1)).await.len(), 1);
    };
    for key in ["a", "b", "c", "d"] {
        fire(key).await;
    }
    let is_remembered = |key: &str| matches!(engine.lookup(key), LookupOutcome::AlreadyFired { .. });
    assert_eq!(["a", "b", "c", "d"].map(is_remembered), [false, true, true, true]);
    engine.advance(ms(61_000)).await;
    fire("e").await;
    assert_eq!(["b", "c", "d", "e"].map(is_remembered), [false, false, false, true]);
    assert_eq!(engine.cancel("b").await.unwrap(), CancelOutcome::NotFound);
}

#[tokio::test]
async fn promise_6_a_handler_gets_what_it_needs_to_be_idempotent() {
    let seen = Keys::default();
    let log = seen.clone();
    let handler = move |job: Job| {
        log.push(format!(
            "{} v{} attempt {} due {:?} fired {:?} {:?} {:?}",
            job.key(),
            job.version().0,
            job.attempt(),
            job.due(),
            job.fired_at(),
            job.payload().as_bytes(),
            job.priority(),
        ));
        async {}
    };
    let engine = TestEngine::start(Engine::builder().queue("q", handler), TEN_O_CLOCK).await.unwrap();
    let schedule = engine.schedule_raw("q", b"\x00\xff").key("k").priority(Priority(7));
    let handle = schedule.at(at_ms(5)).await.unwrap().handle();
    engine.reschedule("k", at_ms(8)).await.unwrap().rescheduled().unwrap();
    let fired = engine.advance(ms(10)).await;
    assert_eq!(handle.partition(), fired[0].id.partition());
    let due = at_ms(8);
    assert_eq!(seen.take(), [format!("k v2 attempt 1 due {due:?} fired {due:?} [0, 255] Priority(7)")]);
}

/// One partition, one tick, one worker: (priority, due, sequence), whatever the order in which they were scheduled.
#[tokio::test]
async fn promise_7_order_within_a_tick() {
    let order = Keys::default();
    let (from_worker, from_driver) = (order.clone(), order.clone());
    let builder = Engine::builder()
        .partitions(1)
        .queue(QueueConfig::new("async").concurrency(1), move |job: Job| {
            from_worker.push(job.key().as_str());
            async {}
        })
        .inline_queue("inline", move |job: &Job| from_driver.push(job.key().as_str()));
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for queue in ["async", "inline"] {
        let mut expected = Vec::new();
        let base = engine.clock().now().wall;
        for n in 0..200u64 {
            // Within one tick of a millisecond: dues differ by microseconds.
            let (priority, us) = ((n * 7 % 5) as u8, 10_000 - n * 3 % 900);
            let key = format!("{queue}-{n}");
            let schedule = engine.schedule_raw(queue, "").key(&key).priority(Priority(priority));
            schedule.at(base.saturating_add_micros(us)).await.unwrap().scheduled().unwrap();
            expected.push((priority, us, n, key));
        }
        expected.sort();
        engine.advance(ms(20)).await;
        assert_eq!(order.take(), expected.into_iter().map(|(.., key)| key).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn promise_7_ticks_fire_in_order_also_in_catch_up() {
    let order = Keys::default();
    let log = order.clone();
    let builder =
        Engine::builder().partitions(1).inline_queue("q", move |job: &Job| log.push(job.key().as_str()));
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    // Every fifth follows the other clock; all become due at once when the time jumps.
    for n in 0..2_000u64 {
        let at = (n * 7_919) % 2_000 + 1;
        let schedule = engine.schedule_raw("q", "").key(format!("{at:04}"));
        let commit =
            if n % 5 == 0 { schedule.after(ms(at * 1_000)) } else { schedule.at(at_ms(at as i64 * 1_000)) };
        commit.await.unwrap().scheduled().unwrap();
    }
    engine.clock().advance(Duration::from_secs(3_000));
    engine.settle().await;
    assert_eq!(order.take(), (1..=2_000).map(|at| format!("{at:04}")).collect::<Vec<_>>());
}

/// More work than the queue can do, a queue that is paused, handlers that fail and panic: late, never dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_8_late_never_dropped() {
    let done = Arc::new(AtomicUsize::new(0));
    let (slow_done, bad_done, paused_done) = (Arc::clone(&done), Arc::clone(&done), Arc::clone(&done));
    let engine = Engine::builder()
        .queue(QueueConfig::new("slow").concurrency(50), move |_: Job| {
            let done = Arc::clone(&slow_done);
            async move {
                tokio::time::sleep(ms(5)).await;
                done.fetch_add(1, SeqCst);
            }
        })
        .queue("bad", move |job: Job| {
            bad_done.fetch_add(1, SeqCst);
            let n: u64 = job.json().unwrap();
            assert!(!n.is_multiple_of(3), "panics before its first await");
            async move {
                tokio::task::yield_now().await;
                assert!(n % 3 != 1, "panics after it");
                Err::<(), _>("fails")
            }
        })
        .queue(QueueConfig::new("paused").paused(), move |_: Job| {
            paused_done.fetch_add(1, SeqCst);
            async {}
        })
        .start()
        .await
        .unwrap();
    let instant = real_now().saturating_add_micros(50_000);
    for n in 0..3_000u64 {
        for queue in ["slow", "bad", "paused"] {
            engine.schedule_raw(queue, n.to_string()).at(instant).await.unwrap().scheduled().unwrap();
        }
    }
    tokio::time::sleep(ms(100)).await;
    engine.resume("paused").into_outcome().unwrap();
    until_idle(&engine).await;
    assert_eq!(done.load(SeqCst), 9_000);
    let stats = engine.stats();
    let bad = &stats.queues[1];
    assert_eq!((bad.fired, bad.failed, bad.panicked, bad.succeeded), (3_000, 3_000, 2_000, 0));
    assert_eq!(
        (stats.fired, stats.succeeded, stats.pending, stats.ready, stats.running),
        (9_000, 6_000, 0, 0, 0)
    );
    let report = engine.shutdown(ms(1_000)).await;
    assert_eq!((report.still_running, report.pending), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_8_a_panicking_inline_handler_does_not_stop_the_driver() {
    let fired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fired);
    let handler = move |job: &Job| {
        count.fetch_add(1, SeqCst);
        assert_ne!(job.key().as_str(), "bad");
    };
    let engine = Engine::builder().inline_queue("q", handler).start().await.unwrap();
    for key in ["bad", "good"] {
        engine.schedule_raw("q", "").key(key).after(ms(5)).await.unwrap().scheduled().unwrap();
        until_idle(&engine).await;
    }
    assert_eq!((fired.load(SeqCst), engine.stats().failed), (2, 1));
}

/// A burst in one queue does not hold up another queue's job until all of it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_8_a_full_queue_does_not_hold_up_another() {
    let release = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&release);
    let engine = Engine::builder()
        .queue(QueueConfig::new("stuck").concurrency(2), move |_: Job| {
            let gate = Arc::clone(&gate);
            async move {
                while !gate.load(SeqCst) {
                    tokio::time::sleep(ms(1)).await;
                }
            }
        })
        .queue("free", nothing)
        .start()
        .await
        .unwrap();
    for _ in 0..100 {
        engine.schedule_raw("stuck", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.schedule_raw("free", "").key("free").after(ms(10)).await.unwrap().scheduled().unwrap();
    while !matches!(engine.lookup("free"), LookupOutcome::AlreadyFired { .. }) {
        tokio::time::sleep(ms(1)).await;
    }
    assert_eq!(engine.stats().ready, 98);
    release.store(true, SeqCst);
    until_idle(&engine).await;
}
