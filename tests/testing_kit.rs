//! The kit for tests of an application's jobs. The first part is what `docs/testing-your-jobs.md` shows: a test holds each of
//! its examples against this file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::{MemoryStore, StoreError, StoreErrorClass};
use reveille::testing::{FailingStore, FiredEnd, ForcedFailure, RunError, StoreCall, TestEngine};
use reveille::{
    BoxError, Builder, CallError, Cause, DeathReason, Engine, Job, JobResult, JobState, LookupOutcome,
    QueueConfig, QueueError, Recurrence, ResumeOutcome, Retry, ReviveOutcome, ScheduleError, StartError,
    Timestamp,
};
use testkit::{eventually, ms, nothing};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Orders expire unless they are paid, and customers get mails.
fn shop() -> Builder {
    let mails = QueueConfig::new("mails").retry(Retry::attempts(3).fixed(MINUTE));
    Engine::builder().queue("orders", expire).queue(mails, send)
}

async fn expire(job: Job) -> Result<(), BoxError> {
    let (engine, key) = (job.engine(), format!("mail:{}", job.key()));
    engine.schedule_raw("mails", "it has expired").key(key).after(Duration::ZERO).await?.scheduled()?;
    Ok(())
}

async fn send(_: Job) -> Result<(), BoxError> {
    Ok(()) // to a server that a test does not have
}

fn noon() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn an_order_expires_after_half_an_hour() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    engine.schedule_raw("orders", "").key("order:42").after(30 * MINUTE).await.unwrap().scheduled().unwrap();

    assert!(engine.advance(29 * MINUTE).await.is_empty());

    let fired = engine.advance(MINUTE).await;
    assert_eq!(fired[0].key.as_str(), "order:42");
    assert_eq!(fired[0].lateness, Duration::ZERO);
    assert_eq!(fired[1].key.as_str(), "mail:order:42");
}

#[tokio::test]
async fn a_day_of_mails() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap().starts_max(100);
    let hourly = Recurrence::every(HOUR).unwrap();
    engine.schedule_raw("mails", "").key("digest").recurring(hourly).await.unwrap().scheduled().unwrap();

    let fired = engine.run_until(noon() + 24 * HOUR).await.unwrap();
    assert_eq!(fired.len(), 24);

    // It recurs for ever: there is no end to run to.
    let error = engine.run_all().await.unwrap_err();
    assert!(error.to_string().contains("digest (queue mails) 101 times"), "{error}");
}

#[tokio::test]
async fn an_expiry_asks_for_a_mail_and_sends_none() {
    let builder = Engine::builder()
        .queue(QueueConfig::new("orders").paused(), expire)
        .queue(QueueConfig::new("mails").paused(), send);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    engine.schedule_raw("orders", "").key("order:42").after(30 * MINUTE).await.unwrap().scheduled().unwrap();

    assert!(engine.run_queue("orders").await.unwrap().is_empty(), "not due yet");
    let fired = engine.run_queue_ahead("orders").await.unwrap();
    assert_eq!(fired.len(), 1);

    let mail = engine.assert_scheduled("mail:order:42");
    assert_eq!(mail.payload.as_bytes(), b"it has expired");
}

#[tokio::test]
async fn what_is_scheduled_and_when() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    let hourly = Recurrence::every(HOUR).unwrap();
    engine.schedule_raw("mails", "").key("digest").recurring(hourly).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("orders", "").key("order:42").after(90 * MINUTE).await.unwrap().scheduled().unwrap();

    engine.assert_due("order:42", noon() + 90 * MINUTE);
    engine.assert_not_scheduled("order:43");

    let jobs: Vec<_> = engine.scheduled().into_iter().map(|job| job.key.to_string()).collect();
    assert_eq!(jobs, ["digest", "order:42"]);

    let starts: Vec<_> =
        engine.upcoming(4).into_iter().map(|start| (start.key.to_string(), start.due)).collect();
    let expected = [("digest", 60), ("order:42", 90), ("digest", 120), ("digest", 180)];
    assert_eq!(starts, expected.map(|(key, minutes)| (key.to_owned(), noon() + minutes * MINUTE)));
}

#[tokio::test]
async fn a_mail_is_tried_three_times_then_it_is_dead_until_somebody_revives_it() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    engine.schedule_raw("mails", "").key("hello").after(Duration::ZERO).await.unwrap().scheduled().unwrap();

    let outage = engine.force(ForcedFailure::of_queue("mails").error("the server is away"));
    let fired = engine.run_all().await.unwrap();
    assert_eq!(fired.len(), 3);
    assert_eq!(fired[2].end, FiredEnd::Failed("the server is away".into()));
    let dead = engine.assert_dead("hello");
    assert_eq!(dead.history.unwrap().death.unwrap().reason, DeathReason::Exhausted);

    outage.end();
    assert!(matches!(engine.revive("hello", Duration::ZERO).await.unwrap(), ReviveOutcome::Revived { .. }));
    assert_eq!(engine.run_all().await.unwrap()[0].end, FiredEnd::Succeeded);
}

#[tokio::test]
async fn the_second_attempt_panics_and_the_third_takes_too_long() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    engine.schedule_raw("mails", "").key("hello").after(Duration::ZERO).await.unwrap().scheduled().unwrap();

    engine.force(ForcedFailure::of_key("hello").times(1));
    engine.force(ForcedFailure::of_key("hello").times(1).panic("index out of bounds"));
    engine.force(ForcedFailure::of_any().times(1).time_out());
    engine.run_all().await.unwrap();

    let causes: Vec<_> =
        engine.assert_dead("hello").history.unwrap().errors.iter().map(|it| it.cause).collect();
    assert_eq!(causes, [Cause::Failed, Cause::Panicked, Cause::TimedOut]);
}

#[tokio::test]
async fn a_store_that_is_away_for_a_while() {
    let store = FailingStore::in_memory();
    let builder = shop().store(store.clone()).commit_deadline(Duration::from_millis(50));
    let engine = TestEngine::start(builder, noon()).await.unwrap();

    store.fail(StoreCall::Append, StoreError::retry("Redis is away"));
    let order = engine.schedule_raw("orders", "").key("order:42").after(30 * MINUTE).await;
    assert!(matches!(order, Err(ScheduleError::Call(CallError::Unconfirmed))));
    engine.assert_scheduled("order:42"); // in force, and not safe yet

    store.heal();
    engine.schedule_raw("orders", "").key("order:43").after(30 * MINUTE).await.unwrap().scheduled().unwrap();
}

#[tokio::test]
async fn a_store_that_is_not_there_when_the_service_starts() {
    let store = FailingStore::in_memory();
    store.fail(StoreCall::Open, StoreError::fatal("wrong password"));
    let refused = TestEngine::start(shop().store(store.clone()), noon()).await;
    assert!(matches!(refused, Err(StartError::Store(_))));

    store.fail_next(StoreCall::Open, 2, StoreError::retry("it loads its data"));
    TestEngine::start(shop().store(store.clone()), noon()).await.unwrap();
    assert_eq!(store.calls(StoreCall::Open), 4);
}

#[tokio::test]
async fn an_order_expires_after_a_crash() {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(shop().store(store.clone()), noon()).await.unwrap();
    engine.schedule_raw("orders", "").key("order:42").after(30 * MINUTE).await.unwrap().scheduled().unwrap();

    let down = engine.crash().await;
    down.clock().advance(HOUR);
    let engine = down.restart(shop().store(store.clone())).await.unwrap();

    let fired = engine.settle().await;
    assert_eq!(fired[0].key.as_str(), "order:42");
    assert_eq!(fired[0].lateness, 30 * MINUTE);
}

// What the guide does not show.

/// Every example of the guide is in this file, and so it compiles, and runs.
#[test]
fn the_guide_shows_tests_that_run() {
    let guide = include_str!("../docs/testing-your-jobs.md");
    let tests = include_str!("testing_kit.rs");
    let examples: Vec<&str> =
        guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 8, "only {} examples were found", examples.len());
    for example in examples {
        assert!(tests.contains(example), "not in tests/testing_kit.rs:\n{example}");
    }
}

async fn schedule(engine: &Engine, queue: &str, key: &str, after: Duration) {
    engine.schedule_raw(queue, "").key(key).after(after).await.unwrap().scheduled().unwrap();
}

fn keys(fired: &[reveille::testing::FiredJob]) -> Vec<&str> {
    fired.iter().map(|job| job.key.as_str()).collect()
}

/// What a future panics with.
async fn panic_of(future: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(future).await.unwrap_err().into_panic();
    panic.downcast_ref::<String>().cloned().expect("a text")
}

#[tokio::test]
async fn a_run_goes_through_retries_and_occurrences_and_stops_at_its_instant() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    let rule = Recurrence::every(10 * MINUTE).unwrap();
    engine.schedule_raw("mails", "").key("tick").recurring(rule).await.unwrap().scheduled().unwrap();
    schedule(&engine, "mails", "once", 9 * MINUTE).await;
    schedule(&engine, "mails", "later", 21 * MINUTE + ms(1)).await;
    engine.force(ForcedFailure::of_key("once").times(2));
    let fired = engine.run_until(noon() + 21 * MINUTE).await.unwrap();
    // Attempts of `once` at 9, 10 and 11.
    let at: BTreeMap<_, Vec<_>> =
        fired.iter().fold(BTreeMap::new(), |mut at: BTreeMap<&str, Vec<u64>>, job| {
            let minutes = (job.fired_at.as_micros() - noon().as_micros()) / 60_000_000;
            at.entry(job.key.as_str()).or_default().push(minutes as u64);
            at
        });
    assert_eq!(at, BTreeMap::from([("once", vec![9, 10, 11]), ("tick", vec![10, 20])]));
    assert_eq!(engine.now(), noon() + 21 * MINUTE);
    assert!(engine.run_until(noon()).await.unwrap().is_empty(), "an instant that has passed");
    assert_eq!(engine.now(), noon() + 21 * MINUTE);
}

#[tokio::test]
async fn a_run_of_all_ends_when_nothing_waits_for_its_time() {
    let builder = shop().queue(QueueConfig::new("paused").paused(), nothing);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    let thrice = Recurrence::every(HOUR).unwrap().count(3).unwrap();
    engine.schedule_raw("mails", "").key("thrice").recurring(thrice).await.unwrap().scheduled().unwrap();
    schedule(&engine, "orders", "order", 90 * MINUTE).await;
    schedule(&engine, "orders", "held", MINUTE).await;
    let _ = engine.pause_job("held").await.unwrap();
    schedule(&engine, "paused", "waits", 2 * MINUTE).await;
    let fired = engine.run_all().await.unwrap();
    assert_eq!(keys(&fired), ["thrice", "order", "mail:order", "thrice", "thrice"]);
    assert_eq!(engine.now(), noon() + 3 * HOUR);
    let left: Vec<_> = engine.scheduled().into_iter().map(|job| job.key.to_string()).collect();
    assert_eq!(left, ["held", "waits"]);
    assert!(
        engine.upcoming(9).iter().all(|start| start.key.as_str() == "waits"),
        "a paused job does not start"
    );
    assert!(engine.run_all().await.unwrap().is_empty());
}

/// A handler that asks for another attempt at once never lets the clock go on.
#[tokio::test]
async fn a_run_ends_although_time_does_not_pass() {
    let again = |_: Job| async { JobResult::again_in(Duration::ZERO) };
    let engine = Engine::builder().queue("q", again);
    let engine = TestEngine::start(engine, noon()).await.unwrap().starts_max(50);
    schedule(&engine, "q", "k", MINUTE).await;
    let error = engine.run_until(noon() + HOUR).await.unwrap_err();
    let RunError::TooManyStarts { now, ref fired, .. } = error else { panic!("{error}") };
    assert_eq!(now, noon() + MINUTE);
    assert!(fired.len() > 50 && error.fired().len() == fired.len());
}

#[tokio::test]
async fn one_queue_runs_and_all_others_are_as_they_were() {
    let paused = |name: &str| QueueConfig::new(name).paused();
    let builder = Engine::builder()
        .queue(paused("a"), nothing)
        .inline_queue(paused("inline"), |_: &Job| {})
        .queue(paused("b"), nothing)
        .queue("open", nothing);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    for queue in ["a", "b", "inline", "open"] {
        schedule(&engine, queue, &format!("{queue}:due"), Duration::ZERO).await;
        schedule(&engine, queue, &format!("{queue}:later"), HOUR).await;
    }
    let _ = engine.pause_job("a:later").await.unwrap();
    assert_eq!(keys(&engine.run_queue("a").await.unwrap()), ["a:due"]);
    assert_eq!(keys(&engine.run_queue("inline").await.unwrap()), ["inline:due"]);
    assert_eq!(keys(&engine.run_queue_ahead("inline").await.unwrap()), ["inline:later"]);
    assert!(engine.run_queue_ahead("a").await.unwrap().is_empty(), "a paused job stays");
    assert_eq!(keys(&engine.settle().await), ["open:due"], "for who asks next");
    let is_paused: Vec<_> = engine.stats().queues.into_iter().map(|queue| queue.is_paused).collect();
    assert_eq!(is_paused, [true, true, true, false]);
    assert_eq!(keys(&engine.advance(HOUR).await), ["open:later"]);
    let unknown = engine.run_queue("c").await.unwrap_err();
    assert!(matches!(unknown, QueueError::Unknown { name } if name == "c"));
    assert_eq!(keys(&engine.run_queue("b").await.unwrap()), ["b:due", "b:later"]);
}

/// What a handler asks for in a queue that is not run waits, although that is not paused, until the run is over.
#[tokio::test]
async fn another_queue_goes_on_when_the_one_has_run() {
    let asks = |job: Job| async move {
        let engine = job.engine();
        engine.schedule_raw("open", "").key("asked for").after(Duration::ZERO).await?.scheduled()?;
        tokio::time::sleep(ms(50)).await;
        match engine.lookup("asked for") {
            LookupOutcome::Scheduled(job) if job.state == JobState::Ready => Ok::<_, BoxError>(()),
            other => Err(format!("{other:?}").into()),
        }
    };
    let builder = Engine::builder().queue(QueueConfig::new("asks").paused(), asks).queue("open", nothing);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    schedule(&engine, "asks", "asks", Duration::ZERO).await;
    assert_eq!(engine.run_queue("asks").await.unwrap()[0].end, FiredEnd::Succeeded);
    assert_eq!(keys(&engine.settle().await), ["asked for"]);
}

/// What its handlers say of a paused queue that runs for a test counts afterwards.
#[tokio::test]
async fn a_queue_that_is_resumed_while_it_runs_alone_goes_on() {
    let resumes = |job: Job| async move {
        assert_eq!(job.engine().resume(job.queue()).await.unwrap(), ResumeOutcome::Resumed);
    };
    let engine = TestEngine::start(Engine::builder().queue("q", resumes), noon()).await.unwrap();
    engine.pause("q").await.unwrap();
    schedule(&engine, "q", "resumes", Duration::ZERO).await;
    assert_eq!(engine.run_queue("q").await.unwrap()[0].end, FiredEnd::Succeeded);
    assert!(!engine.stats().queues[0].is_paused);
}

#[tokio::test]
async fn a_job_that_is_brought_forward_runs_once() {
    let builder =
        Engine::builder().queue(QueueConfig::new("q").retry(Retry::attempts(3).fixed(MINUTE)), nothing);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    engine
        .schedule_raw("q", "")
        .key("hourly")
        .recurring(Recurrence::every(HOUR).unwrap())
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    schedule(&engine, "q", "fails", HOUR).await;
    engine.force(ForcedFailure::of_key("fails").times(1));
    assert_eq!(engine.run_queue_ahead("q").await.unwrap().len(), 2);
    engine.assert_due("hourly", noon() + HOUR);
    engine.assert_due("fails", noon() + MINUTE);
    assert_eq!(engine.run_queue_ahead("q").await.unwrap().len(), 2, "the retry too");
    engine.assert_not_scheduled("fails");
    engine.assert_due("hourly", noon() + HOUR);
}

/// An occurrence that was brought forward is one more; those of a paused job do not start.
#[tokio::test]
async fn upcoming_starts_are_those_that_come() {
    let engine = TestEngine::start(shop(), noon()).await.unwrap();
    let rule = Recurrence::every(HOUR).unwrap().count(4).unwrap();
    engine.schedule_raw("mails", "").key("four").recurring(rule).await.unwrap().scheduled().unwrap();
    let minutes = |engine: &TestEngine| -> Vec<i64> {
        engine
            .upcoming(9)
            .iter()
            .map(|start| (start.due.as_micros() - noon().as_micros()) / 60_000_000)
            .collect()
    };
    assert_eq!(minutes(&engine), [60, 120, 180, 240]);
    engine.reschedule("four", noon() + 10 * MINUTE).await.unwrap().rescheduled().unwrap();
    let foretold = minutes(&engine);
    assert_eq!(foretold, [10, 60, 120, 180, 240]);
    let numbers: Vec<_> =
        engine.upcoming(9).iter().map(|start| start.occurrence.map(|occurrence| occurrence.number)).collect();
    assert_eq!(numbers[1..], [Some(1), Some(2), Some(3), Some(4)]);
    let fired = engine.run_all().await.unwrap();
    let came: Vec<i64> =
        fired.iter().map(|job| (job.fired_at.as_micros() - noon().as_micros()) / 60_000_000).collect();
    assert_eq!(came, foretold);
}

#[tokio::test]
async fn a_failed_assertion_says_what_is_there() {
    let engine = Arc::new(TestEngine::start(shop(), noon()).await.unwrap());
    schedule(&engine, "mails", "one", MINUTE).await;
    schedule(&engine, "orders", "two", HOUR).await;
    let of = |assertion: fn(&TestEngine)| {
        let engine = Arc::clone(&engine);
        panic_of(async move { assertion(&engine) })
    };
    let said = of(|engine| drop(engine.assert_scheduled("three"))).await;
    let list = "scheduled at 2026-11-28T12:00:00.000000Z:\n  2026-11-28T12:01:00.000000Z one (queue mails, Pending, attempts 0)\n  \
                2026-11-28T13:00:00.000000Z two (queue orders, Pending, attempts 0)";
    assert_eq!(said, format!("no job \"three\" is scheduled; {list}"));
    let said = of(|engine| drop(engine.assert_due("one", noon()))).await;
    assert!(
        said.contains("is due at 2026-11-28T12:01:00.000000Z, and not at") && said.ends_with(list),
        "{said}"
    );
    assert!(of(|engine| engine.assert_not_scheduled("two")).await.ends_with(list));
    assert!(of(|engine| engine.assert_nothing_scheduled()).await.ends_with(list));
    assert!(
        of(|engine| drop(engine.assert_dead("one")))
            .await
            .contains("(it is due at 2026-11-28T12:01:00.000000Z)")
    );
    engine.force(ForcedFailure::of_key("one").error("no server"));
    engine.run_all().await.unwrap();
    let said = of(|engine| drop(engine.assert_scheduled("one"))).await;
    assert!(said.contains("(it is dead after 3 attempts: no server); nothing is scheduled"), "{said}");
    let said = of(|engine| drop(engine.assert_scheduled("two"))).await;
    assert!(said.contains("(it fired at 2026-11-28T13:00:00.000000Z, and ended as Done)"), "{said}");
    engine.assert_nothing_scheduled();
}

/// Whatever runs the handlers: they do not run.
#[tokio::test]
async fn a_forced_failure_takes_the_place_of_every_kind_of_handler() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = |runs: &Arc<AtomicUsize>| {
        let runs = Arc::clone(runs);
        move || {
            runs.fetch_add(1, SeqCst);
        }
    };
    let (on_task, on_thread, inline) = (count(&runs), count(&runs), count(&runs));
    let builder = Engine::builder()
        .queue("task", move |_: Job| {
            on_task();
            async {}
        })
        .blocking_queue("thread", move |_: &Job| on_thread())
        .inline_queue("inline", move |_: &Job| inline());
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    let forced = engine.force(ForcedFailure::of_any().panic("all of them"));
    for round in 1..=2 {
        for queue in ["task", "thread", "inline"] {
            schedule(&engine, queue, queue, MINUTE).await;
        }
        let fired = engine.advance(MINUTE).await;
        assert_eq!(fired.len(), 3);
        if round == 1 {
            let end = FiredEnd::Panicked("the handler panicked: all of them".into());
            assert!(fired.iter().all(|job| job.end == end), "{fired:?}");
            assert_eq!((runs.load(SeqCst), forced.attempts()), (0, 3));
            forced.end();
        }
    }
    assert_eq!((runs.load(SeqCst), forced.attempts()), (3, 3));
    assert!(engine.stats().queues.iter().all(|queue| (queue.panicked, queue.succeeded) == (1, 1)));
}

/// A job that recurs goes on; what is meant by key or queue leaves others alone.
#[tokio::test]
async fn a_forced_failure_leaves_others_alone_and_ends_no_recurrence() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing).queue("other", nothing), noon())
        .await
        .unwrap();
    engine
        .schedule_raw("q", "")
        .key("hourly")
        .recurring(Recurrence::every(HOUR).unwrap())
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    schedule(&engine, "q", "in q", HOUR).await;
    schedule(&engine, "other", "in other", HOUR).await;
    let of_key = engine.force(ForcedFailure::of_key("hourly").times(2).time_out());
    let of_queue = engine.force(ForcedFailure::of_queue("other").times(9));
    let fired = engine.run_until(noon() + 3 * HOUR).await.unwrap();
    let failed: Vec<_> = fired.iter().filter(|job| matches!(job.end, FiredEnd::Failed(_))).collect();
    assert_eq!((fired.len(), failed.len()), (5, 3));
    assert_eq!((of_key.attempts(), of_queue.attempts()), (2, 1));
    assert_eq!(failed.iter().filter(|job| job.key.as_str() == "hourly").count(), 2);
}

#[tokio::test]
async fn each_class_of_error_is_what_the_application_gets() {
    let classes = [
        (StoreErrorClass::Retry, "unconfirmed"),
        (StoreErrorClass::Refused, "unconfirmed"),
        (StoreErrorClass::Fatal, "not durable"),
        (StoreErrorClass::Fenced, "not owner"),
    ];
    for (class, expected) in classes {
        let store = FailingStore::in_memory();
        let builder = shop().store(store.clone()).partitions(1).commit_deadline(ms(50));
        let engine = TestEngine::start(builder, noon()).await.unwrap();
        store.fail(StoreCall::Append, StoreError::new(class, "a test says so"));
        let error = engine.schedule_raw("mails", "").key("k").after(MINUTE).await.unwrap_err();
        let got = match &error {
            ScheduleError::Call(CallError::Unconfirmed) => "unconfirmed",
            ScheduleError::Call(CallError::NotDurable(_)) => "not durable",
            ScheduleError::Call(CallError::NotOwner { .. }) => "not owner",
            other => panic!("{class:?}: {other:?}"),
        };
        assert_eq!(got, expected, "{class:?}: {error}");
        assert!(!engine.stats().is_store_healthy, "{class:?}");
    }
}

#[tokio::test]
async fn a_full_log_refuses_and_a_stalled_store_answers_when_it_heals() {
    let store = FailingStore::in_memory();
    let builder = shop().store(store.clone()).partitions(1).log_records_max(3);
    let engine = TestEngine::start(builder, noon()).await.unwrap();
    store.stall(StoreCall::Append);
    let commits: Vec<_> =
        (0..3).map(|n| engine.schedule_raw("mails", "").key(format!("k{n}")).after(MINUTE)).collect();
    let full = engine.schedule_raw("mails", "").key("k3").after(MINUTE).await.unwrap_err();
    assert!(matches!(full, ScheduleError::Call(CallError::LogFull { .. })), "{full}");
    store.heal();
    for commit in commits {
        commit.await.unwrap().scheduled().unwrap();
    }
}

/// An answer that is lost has the engine send the same again, and the store takes it once.
#[tokio::test]
async fn a_lost_answer_doubles_nothing() {
    let store = FailingStore::in_memory();
    let builder = || shop().store(store.clone()).partitions(1);
    let engine = TestEngine::start(builder(), noon()).await.unwrap();
    store.lose_next_answer(StoreCall::Append, 2, StoreError::retry("the line broke"));
    schedule(&engine, "mails", "k", MINUTE).await;
    assert_eq!(store.calls(StoreCall::Append), 3);
    let engine = engine.crash().await.restart(builder()).await.unwrap();
    assert_eq!(keys(&engine.run_all().await.unwrap()), ["k"]);

    // Nobody hears of it, and it was made.
    store.lose_next_answer(StoreCall::Append, u64::MAX, StoreError::retry("the line broke"));
    let unheard = engine.schedule_raw("mails", "").key("unheard").after(MINUTE);
    let asked = store.calls(StoreCall::Append);
    eventually("the answer is lost", || store.calls(StoreCall::Append) > asked + 1).await;
    let down = engine.crash().await;
    assert!(matches!(unheard.await, Err(ScheduleError::Call(CallError::Interrupted))));
    store.heal();
    down.restart(builder()).await.unwrap().assert_scheduled("unheard");
}

#[tokio::test]
async fn a_start_fails_where_its_store_does() {
    for call in [StoreCall::Open, StoreCall::Acquire, StoreCall::Load] {
        let store = FailingStore::in_memory();
        store.fail_next(call, 1, StoreError::fatal("a test says so"));
        let error = TestEngine::start(shop().store(store.clone()), noon()).await.unwrap_err();
        assert!(error.to_string().contains("a test says so"), "{call:?}: {error}");
        TestEngine::start(shop().store(store.clone()), noon()).await.unwrap();
    }
}

/// What the store had not got is gone, what it had is there; a clone of the engine is as dead as the engine.
#[tokio::test]
async fn a_crash_keeps_what_the_store_has_and_nothing_else() {
    let store = FailingStore::in_memory();
    let builder = || shop().store(store.clone()).partitions(1);
    let engine = TestEngine::start(builder(), noon()).await.unwrap();
    let clone = engine.engine().clone();
    schedule(&engine, "mails", "safe", MINUTE).await;
    store.fail(StoreCall::Append, StoreError::retry("away"));
    let unsafe_yet = engine.schedule_raw("mails", "").key("not safe").after(MINUTE);
    eventually("the store is asked", || store.calls(StoreCall::Append) > 1).await;
    let forced = engine.force(ForcedFailure::of_key("safe").times(1));
    let down = engine.crash().await;
    store.heal();
    let refused = clone.schedule_raw("mails", "").key("late").after(MINUTE).await.unwrap_err();
    assert!(matches!(refused, ScheduleError::Call(CallError::ShuttingDown)), "{refused}");
    let lost = unsafe_yet.await.unwrap_err();
    assert!(matches!(lost, ScheduleError::Call(CallError::Interrupted)), "{lost}");
    let engine = down.restart(builder()).await.unwrap();
    assert_eq!(engine.lookup("not safe"), LookupOutcome::NotFound);
    let fired = engine.run_all().await.unwrap();
    assert_eq!(keys(&fired), ["safe", "safe"], "once by one engine, and again");
    assert_eq!(forced.attempts(), 1, "what was asked for is kept");
}

/// A handler that runs is cut short: the next engine runs the job again.
#[tokio::test]
async fn a_crash_cuts_handlers_short() {
    let store = Arc::new(MemoryStore::new());
    let hangs = |_: Job| std::future::pending::<()>();
    let hanging = Engine::builder().queue("q", hangs).store(store.clone());
    let engine = TestEngine::start(hanging, noon()).await.unwrap().go_on_after(ms(100));
    schedule(&engine, "q", "k", MINUTE).await;
    assert_eq!(engine.advance(MINUTE).await[0].end, FiredEnd::Running);
    schedule(&engine, "q", "unasked", Duration::ZERO).await;
    eventually("it runs", || engine.stats().running == 2).await;
    let down = engine.crash().await;
    assert_eq!(keys(down.fired()), ["unasked"]);
    let engine = down.restart(Engine::builder().queue("q", nothing).store(store.clone())).await.unwrap();
    let mut again: Vec<_> =
        engine.settle().await.into_iter().map(|job| (job.key.to_string(), job.attempt)).collect();
    again.sort();
    assert_eq!(again, [("k".to_owned(), 2), ("unasked".to_owned(), 2)]);
}
