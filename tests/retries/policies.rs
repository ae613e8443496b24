//! Policies: when a job that failed is tried again, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::testing::{FiredEnd, TestEngine};
use reveille::{
    CancelOutcome, Cause, End, Engine, Job, JobState, LookupOutcome, OnConflict, QueueConfig, Retry, Task,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, ms};

use crate::{dead, every_second, fails, queue, schedule, times};

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
