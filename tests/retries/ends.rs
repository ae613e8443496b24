//! How an attempt ends: by what a handler returns, a panic, a time-out, a cancel.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use reveille::testing::{FiredEnd, TestEngine};
use reveille::{
    BoxError, CancelOutcome, CancelReason, Cause, DeathReason, End, Engine, Job, JobResult, JobState,
    LookupOutcome, QueueConfig, Retry, ReviveOutcome,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms};

use crate::{every_second, fails, queue, schedule, times};

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
