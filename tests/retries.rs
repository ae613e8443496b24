//! Jobs that live more than once: attempts, retries, the dead, and cancels that come while a handler runs.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::MemoryStore;
use reveille::testing::{FiredEnd, FiredJob, TestEngine};
use reveille::{
    BoxError, CancelOutcome, CancelReason, Cause, DeathReason, End, Engine, Job, JobFilter, JobResult,
    JobState, JobView, ListCursor, LookupOutcome, OnConflict, PurgeOutcome, QueueConfig, RescheduleOutcome,
    Retry, ReviveOutcome, Task, Version,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms, nothing};

/// Fails as often as its payload says, then succeeds.
async fn fails(job: Job) -> Result<(), String> {
    let times: u16 = job.json().unwrap();
    if job.attempt() > times { Ok(()) } else { Err(format!("no. {}", job.attempt())) }
}

fn queue(retry: Retry) -> QueueConfig {
    QueueConfig::new("q").retry(retry)
}

fn every_second(attempts: u16) -> Retry {
    Retry::attempts(attempts).fixed(SECOND)
}

async fn schedule(engine: &Engine, key: &str, payload: &str) {
    engine.schedule_raw("q", payload.to_owned()).key(key).at(at_ms(10)).await.unwrap().scheduled().unwrap();
}

fn times(fired: &[FiredJob]) -> Vec<(u16, i64)> {
    let ms = |job: &FiredJob| (job.fired_at.as_micros() - TEN_O_CLOCK.as_micros()) / 1_000;
    fired.iter().map(|job| (job.attempt, ms(job))).collect()
}

fn dead(engine: &Engine) -> Vec<JobView> {
    engine.list(&JobFilter::default().states([JobState::Dead]), ListCursor::default(), 100).unwrap().jobs
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_after_the_wait_until_it_succeeds() {
    let engine = Engine::builder().queue(queue(every_second(5)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "2").await;
    let fired = engine.advance(ms(20)).await;
    assert_eq!(fired[0].end, FiredEnd::Failed("no. 1".into()));
    let LookupOutcome::Scheduled(view) = engine.lookup("k") else { panic!("it waits for a retry") };
    assert_eq!((view.state, view.due, view.attempt), (JobState::Retrying, at_ms(1_010), 1));
    let history = view.history.unwrap();
    let error = history.last_error().unwrap();
    assert_eq!((history.failures, error.attempt, error.at, error.cause), (1, 1, at_ms(10), Cause::Failed));
    assert_eq!(&*error.message, "no. 1");
    assert_eq!(engine.jobs(), 1);

    let fired = engine.advance(ms(10_000)).await;
    assert_eq!(times(&fired), [(2, 1_010), (3, 2_010)]);
    assert!(fired.iter().all(|job| job.id == view.id), "the same job");
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { end: End::Done, .. }));
    let stats = &engine.stats().queues[0];
    assert_eq!((stats.fired, stats.succeeded, stats.failed, stats.retried, stats.died), (3, 1, 2, 2, 0));
}

#[tokio::test]
async fn a_job_without_a_policy_is_tried_once_and_is_not_dead() {
    let engine = Engine::builder().queue("q", fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    assert_eq!(engine.advance(ms(100_000)).await.len(), 1);
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { end: End::Failed, .. }));
    assert_eq!(engine.stats().dead, 0);
}

#[tokio::test]
async fn the_policy_of_a_job_goes_before_that_of_its_queue() {
    let engine = Engine::builder().queue(queue(every_second(2)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    let own = engine.schedule_raw("q", "9").key("own").retry(Retry::attempts(4).fixed(ms(100)));
    own.at(at_ms(10)).await.unwrap().scheduled().unwrap();
    schedule(&engine, "k", "9").await;
    let fired = engine.advance(ms(10_000)).await;
    let of = |key| fired.iter().filter(|job| job.key.as_str() == key).cloned().collect::<Vec<_>>();
    assert_eq!(times(&of("own")), [(1, 10), (2, 110), (3, 210), (4, 310)]);
    assert_eq!(times(&of("k")), [(1, 10), (2, 1_010)]);
}

#[tokio::test]
async fn a_function_of_attempt_and_error_says_when_and_whether() {
    let by_error = |failures: u16, error: &reveille::AttemptError| {
        (&*error.message != "no. 3").then(|| Duration::from_secs(failures.into()))
    };
    let engine = Engine::builder().queue(QueueConfig::new("q").retry_with(by_error), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    assert_eq!(times(&engine.advance(ms(60_000)).await), [(1, 10), (2, 1_010), (3, 3_010)]);
    assert_eq!(dead(&engine).len(), 1);
}

/// Which user functions may panic: neither ends the engine.
#[tokio::test]
async fn a_function_that_panics_is_a_death_and_no_more() {
    let told = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&told);
    let config = QueueConfig::new("q").retry_with(|_, _| panic!("no idea")).on_death(move |_, _| {
        seen.fetch_add(1, SeqCst);
        panic!("no idea either")
    });
    let engine = Engine::builder().queue(config, fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    assert_eq!(engine.advance(ms(1_000)).await.len(), 1);
    schedule(&engine, "l", "0").await;
    assert_eq!(engine.advance(ms(1_000)).await.len(), 1);
    assert_eq!((dead(&engine).len(), told.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_job_that_has_failed_as_often_as_it_may_is_dead_and_told_of() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(every_second(3)).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), reason));
    });
    let engine = TestEngine::start(Engine::builder().queue(config, fails), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    assert_eq!(engine.advance(ms(100_000)).await.len(), 3);
    assert_eq!(*told.lock().unwrap(), [("k".to_owned(), DeathReason::Exhausted)]);
    let LookupOutcome::Dead(view) = engine.lookup("k") else { panic!("{:?}", engine.lookup("k")) };
    assert_eq!((view.state, view.attempt, view.payload.as_bytes()), (JobState::Dead, 3, &b"9"[..]));
    let history = view.history.as_ref().unwrap();
    assert_eq!(history.death.unwrap().at, at_ms(2_010));
    assert_eq!(history.errors.iter().map(|error| error.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(dead(&engine), [view]);

    // It is no longer there to be moved or cancelled, takes no room, and its key is free.
    assert_eq!((engine.jobs(), engine.stats().dead), (0, 1));
    assert!(
        matches!(engine.cancel("k").await.unwrap(), CancelOutcome::Dead { at, .. } if at == at_ms(2_010))
    );
    let moved = engine.reschedule("k", SECOND).await.unwrap();
    assert!(matches!(moved, RescheduleOutcome::Dead { .. }), "{moved:?}");
    engine.idle().await;
    schedule(&engine, "k", "0").await;
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
}

#[tokio::test]
async fn a_dead_job_comes_back_once_and_has_all_its_attempts_again() {
    let engine = Engine::builder().queue(queue(every_second(2)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "3").await;
    assert_eq!(engine.advance(ms(5_000)).await.len(), 2);
    let handle = dead(&engine)[0].handle;
    let outcome = engine.revive("k", at_ms(6_000)).await.unwrap();
    assert!(matches!(outcome, ReviveOutcome::Revived { .. }), "{outcome:?}");
    assert_eq!(engine.revive(handle, at_ms(6_000)).await.unwrap(), ReviveOutcome::NotDead);
    let fired = engine.advance(ms(10_000)).await;
    assert_eq!(times(&fired), [(3, 6_000), (4, 7_000)]);
    assert_eq!(fired[1].end, FiredEnd::Succeeded);
    assert_eq!(engine.revive("k", SECOND).await.unwrap(), ReviveOutcome::NotDead);
    assert_eq!(engine.revive("unknown", SECOND).await.unwrap(), ReviveOutcome::NotFound);
    assert!(dead(&engine).is_empty());
}

#[tokio::test]
async fn a_dead_job_whose_key_is_taken_says_so_and_a_purged_one_is_gone() {
    let engine = Engine::builder().queue(queue(every_second(1)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    engine.advance(ms(100)).await;
    let handle = dead(&engine)[0].handle;
    let newer = engine.schedule_raw("q", "0").key("k").at(at_ms(5_000)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.revive(handle, SECOND).await.unwrap(), ReviveOutcome::KeyTaken { handle: newer });
    assert_eq!(engine.purge("k").await.unwrap(), PurgeOutcome::NotDead, "the newer one is meant");
    assert_eq!(engine.purge(handle).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(engine.purge(handle).await.unwrap(), PurgeOutcome::NotFound);
    assert_eq!(engine.revive(handle, SECOND).await.unwrap(), ReviveOutcome::NotFound);
    assert!(matches!(engine.lookup("k"), LookupOutcome::Scheduled(view) if view.handle == newer));
    assert_eq!(engine.advance(ms(6_000)).await.len(), 1);
}

#[tokio::test]
async fn the_dead_are_bounded_by_number_and_age() {
    let builder = Engine::builder().queue(queue(every_second(1)), fails).partitions(1);
    let engine = TestEngine::start(builder.keep_dead(3, 3600 * SECOND), TEN_O_CLOCK).await.unwrap();
    for n in 0..10 {
        let key = format!("k{n}");
        engine.schedule_raw("q", "9").key(key).at(at_ms(n * 100)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(2_000)).await;
    let mut keys: Vec<String> = dead(&engine).iter().map(|job| job.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["k7", "k8", "k9"]);
    assert_eq!(engine.lookup("k0"), LookupOutcome::NotFound);
    engine.advance(3601 * SECOND).await;
    schedule(&engine, "late", "9").await;
    engine.advance(ms(10)).await;
    let keys: Vec<String> = dead(&engine).iter().map(|job| job.key.to_string()).collect();
    assert_eq!(keys, ["late"]);
}

#[tokio::test]
async fn what_a_handler_returns_decides() {
    let handler = |job: Job| async move {
        match (job.payload().as_bytes(), job.attempt()) {
            (b"again", 1) => JobResult::again_in(3 * SECOND),
            (b"at", 1) => JobResult::again_at(at_ms(7_000)),
            (b"discard", _) => JobResult::discarded("the order is gone"),
            (b"dead", _) => JobResult::dead("it will never work"),
            (b"retry", 1) => JobResult::retry_in(9 * SECOND, "busy"),
            _ => JobResult::Done,
        }
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(every_second(9)).on_discard(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), job.state, reason.to_owned()));
        panic!("whoever is told may panic");
    });
    let engine = Engine::builder().queue(config, handler);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    for payload in ["again", "at", "discard", "dead", "retry"] {
        schedule(&engine, payload, payload).await;
    }
    let first = engine.advance(ms(100)).await;
    let end = |key: &str| first.iter().find(|job| job.key.as_str() == key).unwrap().end.clone();
    assert_eq!((end("again"), end("at")), (FiredEnd::Again, FiredEnd::Again));
    assert_eq!(end("discard"), FiredEnd::Discarded("the order is gone".into()));
    assert_eq!(end("dead"), FiredEnd::Failed("it will never work".into()));
    assert!(matches!(engine.lookup("discard"), LookupOutcome::AlreadyFired { end: End::Discarded, .. }));
    let discarded = ("discard".to_owned(), JobState::Running, "the order is gone".to_owned());
    assert_eq!(*told.lock().unwrap(), [discarded]);
    let LookupOutcome::Dead(view) = engine.lookup("dead") else { panic!("it is dead") };
    assert_eq!(view.history.unwrap().death.unwrap().reason, DeathReason::Killed);
    let LookupOutcome::Scheduled(view) = engine.lookup("again") else { panic!("it waits") };
    assert_eq!(view.history.unwrap().failures, 0, "to wait is no failure");

    let later = engine.advance(ms(20_000)).await;
    let at = |key: &str| times(&[later.iter().find(|job| job.key.as_str() == key).unwrap().clone()])[0];
    assert_eq!((at("again"), at("at"), at("retry")), ((2, 3_010), (2, 7_000), (2, 9_010)));
    assert_eq!(engine.stats().failed, 2);
}

#[tokio::test]
async fn a_panic_counts_unless_it_is_forgiven() {
    let panics = |_: Job| async { panic!("oh") };
    let counted = QueueConfig::new("q").retry(every_second(2));
    let forgiven = QueueConfig::new("forgiving").retry(every_second(2).forgive_panics());
    let builder = Engine::builder().queue(counted, panics).queue(forgiven, panics);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "").await;
    engine.schedule_raw("forgiving", "").key("f").at(at_ms(10)).await.unwrap().scheduled().unwrap();
    let fired = engine.advance(ms(5_500)).await;
    let count = |queue: &str| fired.iter().filter(|job| job.queue == queue).count();
    assert_eq!((count("q"), count("forgiving")), (2, 6));
    let LookupOutcome::Dead(view) = engine.lookup("k") else { panic!("it is dead") };
    let history = view.history.unwrap();
    assert!(history.errors.iter().all(|error| error.cause == Cause::Panicked));
    assert_eq!(&*history.last_error().unwrap().message, "the handler panicked: oh");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_dropped_and_has_failed() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let hangs = move |job: Job| {
        let guard = Dropped(Arc::clone(&count));
        async move {
            let _guard = guard;
            if job.attempt() < 3 {
                std::future::pending::<()>().await;
            }
        }
    };
    let config = queue(Retry::attempts(3).fixed(ms(10))).timeout(ms(20));
    let engine = Engine::builder().queue(config, hangs).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    engine.idle().await;
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { end: End::Done, .. }));
    assert_eq!(dropped.load(SeqCst), 3);
    let stats = &engine.stats().queues[0];
    assert_eq!((stats.failed, stats.retried, stats.succeeded), (2, 2, 1));

    // The job's own goes before the queue's; without a policy it is the end of it.
    let engine = Engine::builder().queue("q", |_: Job| std::future::pending::<()>()).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").timeout(ms(5)).after(ms(1)).await.unwrap().scheduled().unwrap();
    engine.idle().await;
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { end: End::TimedOut, .. }));
}

#[tokio::test]
async fn no_attempt_begins_after_a_job_has_expired() {
    let engine = Engine::builder().queue(queue(Retry::attempts(99).fixed(SECOND)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    let expiring = engine.schedule_raw("q", "99").key("k").expires(at_ms(2_500));
    expiring.at(at_ms(10)).await.unwrap().scheduled().unwrap();
    // Attempts at 0.01, 1.01 and 2.01 s; the next would be too late.
    assert_eq!(engine.advance(ms(60_000)).await.len(), 3);
    let LookupOutcome::Dead(view) = engine.lookup("k") else { panic!("it is dead") };
    assert_eq!(view.history.unwrap().death.unwrap().reason, DeathReason::Expired);

    // One that waited too long for its queue does not begin at all, and lets those behind it go.
    engine.pause("q").into_outcome().unwrap();
    for (key, expires) in [("late", 61_000), ("in time", 600_000)] {
        let expiring = engine.schedule_raw("q", "0").key(key).expires(at_ms(expires));
        expiring.at(at_ms(60_500)).await.unwrap().scheduled().unwrap();
    }
    engine.clock().advance(ms(10_000));
    engine.resume("q").into_outcome().unwrap();
    let fired = engine.settle().await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["in time"]);
    assert!(matches!(engine.lookup("late"), LookupOutcome::Dead(_)));
    assert_eq!(engine.stats().queues[0].died, 2);

    // Whoever brings it back wants it to run, and to be tried again.
    for (key, attempts) in [("late", 1), ("k", 10)] {
        let outcome = engine.revive(key, SECOND).await.unwrap();
        assert!(matches!(outcome, ReviveOutcome::Revived { .. }));
        assert_eq!(engine.advance(ms(10_500)).await.len(), attempts);
    }
}

/// Fewer are kept than die at one instant: each is told of all the same, as it was then.
#[tokio::test]
async fn a_death_is_told_of_also_if_the_job_is_purged_at_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(every_second(1)).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), job.payload.clone(), reason));
    });
    for kept in [0, 2] {
        told.lock().unwrap().clear();
        let engine =
            Engine::builder().queue(config.clone(), fails).keep_dead(kept, 60 * SECOND).partitions(1);
        let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
        for n in 0..50 {
            let job = engine.schedule_raw("q", "9").key(format!("{n:02}"));
            let job = if n % 2 == 0 { job.expires(at_ms(5)) } else { job };
            job.at(at_ms(10)).await.unwrap().scheduled().unwrap();
        }
        assert_eq!(engine.advance(ms(20)).await.len(), 25);
        engine.idle().await;
        let mut told = std::mem::take(&mut *told.lock().unwrap());
        told.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(told.len(), 50);
        for (n, (key, payload, reason)) in told.iter().enumerate() {
            let why = if n % 2 == 0 { DeathReason::Expired } else { DeathReason::Exhausted };
            assert_eq!((key.as_str(), payload.as_bytes(), *reason), (&*format!("{n:02}"), &b"9"[..], why));
        }
        assert_eq!((engine.stats().queues[0].died, dead(&engine).len()), (50, kept));
    }
}

#[tokio::test]
async fn a_job_that_waits_for_a_retry_is_moved_and_cancelled_like_any_other() {
    let engine = Engine::builder().queue(queue(every_second(9)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    for key in ["moved", "cancelled", "replaced"] {
        schedule(&engine, key, "1").await;
    }
    engine.advance(ms(20)).await;
    engine.reschedule("moved", at_ms(30)).await.unwrap().rescheduled().unwrap();
    assert_eq!(engine.cancel("cancelled").await.unwrap(), CancelOutcome::Cancelled);
    let again = engine.schedule_raw("q", "0").key("replaced").on_conflict(OnConflict::Keep);
    assert!(matches!(again.at(at_ms(50)).await.unwrap(), reveille::ScheduleOutcome::Kept { .. }));
    let fired = engine.advance(ms(20_000)).await;
    let keys: Vec<_> = fired.iter().map(|job| (job.key.as_str(), job.attempt)).collect();
    assert_eq!(keys, [("moved", 2), ("replaced", 2)]);
    assert_eq!(engine.lookup("cancelled"), LookupOutcome::NotFound);
}

/// A handler may schedule its own key anew. If it then fails, there are two pending jobs: the key names the newer one.
#[tokio::test]
async fn a_handler_that_schedules_its_key_anew_and_fails_leaves_two_jobs() {
    let handler = |job: Job| async move {
        if job.payload().as_bytes() == b"first" && job.attempt() == 1 {
            let next = job.engine().schedule_raw("q", "second").key("k").after(60 * SECOND);
            next.await.unwrap().scheduled().unwrap();
            return Err("it failed after that");
        }
        Ok(())
    };
    let engine = Engine::builder().queue(queue(every_second(9)), handler);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "first").await;
    engine.advance(ms(20)).await;
    assert_eq!(engine.jobs(), 2);
    let LookupOutcome::Scheduled(view) = engine.lookup("k") else { panic!("the newer one") };
    assert_eq!(view.payload.as_bytes(), b"second");
    let fired = engine.advance(ms(100_000)).await;
    let payloads: Vec<_> = fired.iter().map(|job| job.payload.as_bytes().to_vec()).collect();
    assert_eq!(payloads, [b"first".to_vec(), b"second".to_vec()]);
}

#[tokio::test]
async fn a_cancel_while_it_runs_tells_the_handler_and_nothing_comes_after() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reasons);
    let handler = move |job: Job| {
        let seen = Arc::clone(&seen);
        async move {
            let cancellation = job.cancellation();
            assert_eq!(cancellation.reason(), None);
            cancellation.cancelled().await;
            seen.lock().unwrap().push(cancellation.reason());
            Err::<(), BoxError>("it was cut off".into())
        }
    };
    let engine = Engine::builder().queue(queue(every_second(99)), handler).start().await.unwrap();
    for key in ["a", "b"] {
        engine.schedule_raw("q", "").key(key).after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    eventually("both run", || engine.stats().running == 2).await;
    assert_eq!(engine.cancel_running("a").await.unwrap(), CancelOutcome::Running);
    eventually("a ends", || {
        matches!(engine.lookup("a"), LookupOutcome::AlreadyFired { end: End::Cancelled, .. })
    })
    .await;
    assert_eq!(*reasons.lock().unwrap(), [Some(CancelReason::Cancelled)]);
    assert_eq!((engine.stats().running, engine.stats().queues[0].retried), (1, 0));

    // A pending one is cancelled as by `cancel`; a shutdown tells those that run.
    engine.schedule_raw("q", "").key("c").after(60 * SECOND).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.cancel_running("c").await.unwrap(), CancelOutcome::Cancelled);
    let report = engine.shutdown(10 * SECOND).await;
    assert_eq!(reasons.lock().unwrap()[1..], [Some(CancelReason::ShuttingDown)]);
    assert_eq!(report.pending, 1, "b failed, and is to be tried again");
}

/// A start leaves the version as it is; each failure makes it one more.
#[tokio::test]
async fn what_runs_or_is_dead_is_changed_only_in_the_version_that_the_caller_knows() {
    let runs = Arc::new(Mutex::new(0));
    let count = Arc::clone(&runs);
    let handler = move |job: Job| {
        *count.lock().unwrap() += 1;
        async move {
            job.cancellation().cancelled().await;
            Err::<(), BoxError>("it was cut off".into())
        }
    };
    let engine = Engine::builder().queue(queue(every_second(99)), handler).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("it runs", || engine.stats().running == 1).await;
    let changed = CancelOutcome::Changed { version: Version(1) };
    assert_eq!(engine.cancel_running_if("k", Version(2)).await.unwrap(), changed);
    assert_eq!(engine.stats().running, 1, "nothing was done");
    assert_eq!(engine.cancel_running_if("k", Version(1)).await.unwrap(), CancelOutcome::Running);
    eventually("it ends", || engine.jobs() == 0).await;
    engine.schedule_raw("q", "").key("p").after(60 * SECOND).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.cancel_running_if("p", Version(2)).await.unwrap(), changed);
    assert_eq!(engine.cancel_running_if("p", Version(1)).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(*runs.lock().unwrap(), 1);

    let engine = Engine::builder().queue(queue(Retry::attempts(1)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    engine.advance(ms(20)).await;
    let LookupOutcome::Dead(JobView { version, handle, .. }) = engine.lookup("k") else {
        panic!("it is dead")
    };
    let old = Version(version.0 - 1);
    assert_eq!(engine.revive_if("k", old, SECOND).await.unwrap(), ReviveOutcome::Changed { version });
    assert_eq!(engine.purge_if("k", old).await.unwrap(), PurgeOutcome::Changed { version });
    let revived = ReviveOutcome::Revived { version: Version(version.0 + 1) };
    assert_eq!(engine.revive_if("k", version, SECOND).await.unwrap(), revived);
    assert_eq!(engine.revive_if("k", version, SECOND).await.unwrap(), ReviveOutcome::NotDead);
    // It dies again. Whoever saw it dead before would take another death away.
    engine.advance(ms(2_000)).await;
    let died_again = Version(version.0 + 2);
    assert_eq!(
        engine.purge_if(handle, version).await.unwrap(),
        PurgeOutcome::Changed { version: died_again }
    );
    assert_eq!(engine.purge_if(handle, died_again).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(engine.purge_if(handle, died_again).await.unwrap(), PurgeOutcome::NotFound);
}

#[tokio::test]
async fn a_job_cancelled_while_it_ran_does_not_come_back_after_a_crash() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let hanging = Engine::builder().queue(queue(every_second(9)), hangs).store(store.clone());
    let engine = TestEngine::start(hanging, TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    schedule(&engine, "stopped", "").await;
    schedule(&engine, "again", "").await;
    assert_eq!(engine.advance(ms(20)).await.len(), 2);
    assert_eq!(engine.cancel_running("stopped").await.unwrap(), CancelOutcome::Running);
    drop(engine);

    let builder = Engine::builder().queue(queue(every_second(9)), nothing).store(store);
    let engine = TestEngine::start(builder, at_ms(1_000)).await.unwrap();
    let fired = engine.advance(ms(60_000)).await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["again"]);
    assert!(matches!(engine.lookup("stopped"), LookupOutcome::AlreadyFired { end: End::Interrupted, .. }));
}

#[tokio::test]
async fn retries_histories_and_the_dead_outlive_a_crash() {
    let store = Arc::new(MemoryStore::new());
    let builder = || Engine::builder().queue(queue(every_second(3)), fails).store(store.clone());
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "retrying", "1").await;
    schedule(&engine, "dead", "9").await;
    schedule(&engine, "raised", "9").await;
    engine.advance(ms(20)).await;
    engine.reschedule("retrying", at_ms(9_000)).await.unwrap().rescheduled().unwrap();
    engine.advance(ms(5_000)).await;
    let outcome = engine.revive("raised", at_ms(8_000)).await.unwrap();
    assert!(matches!(outcome, ReviveOutcome::Revived { .. }), "{outcome:?}");
    let before = ["retrying", "dead", "raised"].map(|key| view(&engine, key));
    drop(engine);

    // Twice, so that the second restart reads what the first has written.
    for _ in 0..2 {
        let engine = TestEngine::start(builder(), at_ms(6_000)).await.unwrap();
        let after = ["retrying", "dead", "raised"].map(|key| view(&engine, key));
        assert_eq!(before, after);
        assert_eq!((engine.jobs(), engine.stats().dead), (2, 1));
        drop(engine);
    }
    let engine = TestEngine::start(builder(), at_ms(6_000)).await.unwrap();
    let fired = engine.advance(ms(60_000)).await;
    let of = |key: &str| fired.iter().filter(|job| job.key.as_str() == key).cloned().collect::<Vec<_>>();
    assert_eq!(times(&of("retrying")), [(2, 9_000)]);
    assert_eq!(times(&of("raised")), [(4, 8_000), (5, 9_000), (6, 10_000)]);
    assert_eq!(of("dead").len(), 0);
    assert_eq!(engine.stats().dead, 2);
}

/// All that a view has but for its handle, which is of its engine.
fn view(engine: &Engine, key: &str) -> String {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) | LookupOutcome::Dead(view) => serde_json::to_string(&view).unwrap(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn an_interrupted_attempt_counts_if_the_policy_says_so() {
    let store = Arc::new(MemoryStore::new());
    let retry = every_second(2).count_interrupted();
    for attempt in 1..=2 {
        let hangs = |_: Job| std::future::pending::<()>();
        let builder = Engine::builder().queue(queue(retry), hangs).store(store.clone());
        let now = at_ms(10_000 * (attempt - 1));
        let engine = TestEngine::start(builder, now).await.unwrap().go_on_after(ms(200));
        if attempt == 1 {
            schedule(&engine, "poison", "").await;
        }
        let fired = engine.advance(ms(5_000)).await;
        assert_eq!(fired.len(), 1, "attempt {attempt}: {fired:?}");
        assert_eq!(i64::from(fired[0].attempt), attempt);
        drop(engine);
    }
    // Found by the restart, and told of as any other death.
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(retry).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), reason));
    });
    let builder = Engine::builder().queue(config, nothing).store(store);
    let engine = TestEngine::start(builder, at_ms(30_000)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [("poison".to_owned(), DeathReason::Exhausted)]);
    assert_eq!(engine.stats().queues[0].died, 1);
    assert_eq!(engine.advance(ms(60_000)).await, []);
    let LookupOutcome::Dead(view) = engine.lookup("poison") else { panic!("it is dead") };
    let history = view.history.unwrap();
    assert_eq!(history.failures, 2);
    assert!(history.errors.iter().all(|error| error.cause == Cause::Interrupted));
}

#[tokio::test]
async fn a_task_names_its_policy_and_its_queue_may_overrule_it() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Call;
    impl Task for Call {
        const NAME: &'static str = "call";
        type Output = Result<(), &'static str>;

        fn retry() -> Option<Retry> {
            Some(Retry::attempts(4).fixed(SECOND))
        }

        async fn run(self, _: Job) -> Self::Output {
            Err("no answer")
        }
    }
    for (overruled, attempts) in [(false, 4), (true, 2)] {
        let config = QueueConfig::new("call");
        let config = if overruled { config.retry(every_second(2)) } else { config };
        let engine =
            TestEngine::start(Engine::builder().task_with::<Call>(config), TEN_O_CLOCK).await.unwrap();
        engine.schedule(Call).key("k").at(at_ms(10)).await.unwrap().scheduled().unwrap();
        assert_eq!(engine.advance(ms(60_000)).await.len(), attempts);
    }
}

/// Inline and blocking handlers fail, wait and are tried again as others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_and_blocking_handlers_are_tried_again_too() {
    let twice = |job: &Job| if job.attempt() < 3 { Err("not yet") } else { Ok(()) };
    let retry = Retry::attempts(5).fixed(ms(5));
    let engine = Engine::builder()
        .inline_queue(QueueConfig::new("inline").retry(retry), twice)
        .blocking_queue(QueueConfig::new("blocking").retry(retry), twice)
        .start()
        .await
        .unwrap();
    for queue in ["inline", "blocking"] {
        engine.schedule_raw(queue, "").key(queue).after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.idle().await;
    for queue in engine.stats().queues {
        assert_eq!((queue.succeeded, queue.failed, queue.retried), (1, 2, 2), "{}", queue.name);
    }
}

#[tokio::test]
async fn the_dead_come_back_or_go_by_a_filter() {
    let builder = Engine::builder()
        .queue(queue(every_second(1)), fails)
        .queue(QueueConfig::new("other").retry(every_second(1)), |_: Job| async { Err::<(), _>("never") });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for n in 0..700 {
        let (queue, key) = if n % 7 == 0 { ("other", format!("o{n}")) } else { ("q", format!("k{n}")) };
        let payload = if n % 2 == 0 { "9" } else { "1" };
        let job = engine.schedule_raw(queue, payload).key(key);
        job.at(at_ms(10)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(100)).await;
    assert_eq!(engine.stats().dead, 700);
    let all = JobFilter::default();
    assert_eq!(engine.count(&all).jobs, 0, "the dead are not to fire");
    assert_eq!(engine.count(&all.clone().states([JobState::Dead])).jobs, 700);
    assert_eq!(engine.purge_all(&all.clone().queue("other")).await.unwrap().purged, 100);
    engine.schedule_raw("q", "1").key("k1").at(at_ms(90_000)).await.unwrap().scheduled().unwrap();
    let revived = engine.revive_all(&all.queue("q"), at_ms(60_500)).await.unwrap();
    assert_eq!((revived.revived, revived.key_taken, revived.gone), (599, 1, 0));
    let load = engine.load(&JobFilter::default(), reveille::read::LoadBuckets::default());
    assert_eq!((load.before, &load.buckets[..3], load.after), (0, &[0, 600, 0][..], 0));
    engine.advance(ms(70_000)).await;
    assert_eq!(engine.stats().dead, 301, "those that fail twice, and the one whose key was taken");
}
