//! Recurring jobs: one job under one key, that waits again when a run has ended.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::job::{Passed, Reason, RecurrenceError};
use reveille::read::LoadBuckets;
use reveille::store::MemoryStore;
use reveille::testing::{FiredJob, TestEngine};
use reveille::{
    Builder, CancelOutcome, Engine, Job, JobFilter, JobResult, JobState, JobView, LookupOutcome, Misfire,
    Missed, Overlap, PauseJobOutcome, QueueConfig, Recurrence, RescheduleOutcome, ResumeJobOutcome, Retry,
    ScheduleError, ScheduleOutcome, Timestamp, Version,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms};
use tokio::sync::Semaphore;

fn every(seconds: u64) -> Recurrence {
    Recurrence::every(Duration::from_secs(seconds)).unwrap()
}

fn seconds_of(instant: Timestamp) -> i64 {
    (instant.as_micros() - TEN_O_CLOCK.as_micros()) / 1_000_000
}

/// What handlers were told: for which second, how many were missed, and which attempt.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(i64, u64, u16)>>>);

impl Told {
    fn tell(&self, job: &Job) {
        self.0.lock().unwrap().push((seconds_of(job.scheduled_for()), job.missed(), job.attempt()));
    }

    fn take(&self) -> Vec<(i64, u64, u16)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn builder(&self) -> Builder {
        let told = self.clone();
        Engine::builder().queue("q", move |job: Job| {
            told.tell(&job);
            async {}
        })
    }
}

async fn upsert(engine: &Engine, rule: Recurrence) -> ScheduleOutcome {
    engine.schedule_raw("q", "p").key("k").recurring(rule).await.unwrap()
}

fn pending(engine: &Engine) -> JobView {
    match engine.lookup("k") {
        LookupOutcome::Scheduled(view) => view,
        other => panic!("{other:?} is not pending"),
    }
}

fn due_seconds(engine: &Engine) -> i64 {
    seconds_of(pending(engine).due)
}

fn fired_seconds(fired: &[FiredJob]) -> Vec<i64> {
    fired.iter().map(|job| seconds_of(job.fired_at)).collect()
}

/// Lets time pass without a wait for handlers, which the test holds.
fn pass(engine: &TestEngine, seconds: u64) {
    engine.clock().advance(SECOND * seconds as u32);
}

/// An engine that is gone without a word, and another on the same store.
async fn killed(engine: TestEngine, builder: Builder, at: Timestamp) -> TestEngine {
    // An end that the store has not got is not known to the next: the run comes again, as promised.
    eventually("the store has everything", || engine.stats().log_pending == 0).await;
    drop(engine);
    TestEngine::start(builder, at).await.unwrap().go_on_after(ms(200))
}

#[tokio::test]
async fn it_comes_again_under_the_same_key_and_id_until_its_rule_ends() {
    let told = Told::default();
    let engine = TestEngine::start(told.builder(), TEN_O_CLOCK).await.unwrap();
    let rule = every(5).count(3).unwrap();
    let outcome = upsert(&engine, rule.clone()).await;
    let handle = outcome.handle();
    let id = pending(&engine).id;
    assert_eq!(fired_seconds(&engine.advance(SECOND * 7).await), [5]);
    let view = pending(&engine);
    assert_eq!((view.id, view.handle, view.attempt, view.state), (id, handle, 0, JobState::Pending));
    assert_eq!(view.options.recurrence(), Some(&rule));
    let occurrence = view.options.occurrence().unwrap().occurrence;
    assert_eq!((seconds_of(view.due), occurrence.number), (10, 2));
    assert_eq!(fired_seconds(&engine.advance(SECOND * 60).await), [10, 15]);
    assert_eq!(told.take(), [(5, 0, 1), (10, 0, 1), (15, 0, 1)]);
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { .. }));
    assert_eq!(engine.jobs(), 0);
}

#[tokio::test]
async fn a_rule_that_names_nothing_is_refused_at_the_call() {
    let engine = TestEngine::start(Told::default().builder(), TEN_O_CLOCK).await.unwrap();
    let past = every(5).until(TEN_O_CLOCK).unwrap();
    let error = engine.schedule_raw("q", "p").key("k").recurring(past).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Recurrence(RecurrenceError::UntilPassed { .. })), "{error}");
    assert_eq!(error.change(), reveille::Change::None);
    let short = every(5).until(at_ms(4_999)).unwrap();
    let error = engine.schedule_raw("q", "p").key("k").recurring(short).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Recurrence(RecurrenceError::NoOccurrence { .. })), "{error}");
    let far = every(20 * 365 * 24 * 3600);
    let error = engine.schedule_raw("q", "p").key("k").recurring(far).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Refused(_)), "{error}");
    assert_eq!(engine.lookup("k"), LookupOutcome::NotFound);
}

/// Each replica of a service says at its start which jobs there are.
#[tokio::test]
async fn an_upsert_of_the_same_neither_resets_nor_doubles_nor_fires_it() {
    let told = Told::default();
    let engine = TestEngine::start(told.builder(), TEN_O_CLOCK).await.unwrap();
    let weekly = every(7 * 24 * 3600);
    let first = upsert(&engine, weekly.clone()).await;
    for _ in 0..7 {
        engine.advance(Duration::from_secs(20 * 3600)).await;
        let kept = upsert(&engine, weekly.clone()).await;
        assert_eq!(kept, ScheduleOutcome::Kept { handle: first.handle() });
        assert_eq!((due_seconds(&engine), engine.jobs()), (7 * 24 * 3600, 1));
    }
    assert_eq!(pending(&engine).version.0, 1);
    assert_eq!(told.take(), []);
    assert_eq!(fired_seconds(&engine.advance(Duration::from_secs(2 * 24 * 3600)).await), [7 * 24 * 3600]);
}

#[tokio::test]
async fn a_changed_rule_counts_from_the_call_and_moves_the_pending_occurrence() {
    let engine = TestEngine::start(Told::default().builder(), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(3600)).await.scheduled().unwrap();
    engine.advance(SECOND * 100).await;
    let outcome = upsert(&engine, every(10)).await;
    assert!(matches!(outcome, ScheduleOutcome::Replaced { .. }), "{outcome:?}");
    assert_eq!((due_seconds(&engine), engine.jobs()), (110, 1));
    assert_eq!(fired_seconds(&engine.advance(SECOND * 25).await), [110, 120]);
}

#[tokio::test]
async fn a_changed_payload_is_taken_and_the_occurrence_stays() {
    let payloads = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&payloads);
    let builder = Engine::builder().queue("q", move |job: Job| {
        sink.lock().unwrap().push((seconds_of(job.scheduled_for()), job.payload().as_bytes().to_vec()));
        async {}
    });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(3600)).await.scheduled().unwrap();
    engine.advance(SECOND * 1_000).await;
    let outcome = engine.schedule_raw("q", "new").key("k").recurring(every(3600)).await.unwrap();
    assert!(matches!(outcome, ScheduleOutcome::Replaced { .. }), "{outcome:?}");
    assert_eq!((due_seconds(&engine), engine.jobs()), (3600, 1));
    engine.advance(SECOND * 3_000).await;
    assert_eq!(*payloads.lock().unwrap(), [(3600, b"new".to_vec())]);
}

/// Runs until it is let go.
fn held(told: &Told, permits: &Arc<Semaphore>) -> Builder {
    let (told, permits) = (told.clone(), Arc::clone(permits));
    Engine::builder().queue("q", move |job: Job| {
        told.tell(&job);
        let permits = Arc::clone(&permits);
        async move { permits.acquire().await.unwrap().forget() }
    })
}

async fn is_running(engine: &TestEngine, count: usize) {
    eventually("handlers run", || engine.stats().running == count).await;
}

#[tokio::test]
async fn an_upsert_while_it_runs_neither_doubles_nor_resets_it() {
    let (told, permits) = (Told::default(), Arc::new(Semaphore::new(0)));
    let engine = TestEngine::start(held(&told, &permits), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    pass(&engine, 10);
    is_running(&engine, 1).await;
    assert!(matches!(upsert(&engine, every(10)).await, ScheduleOutcome::Kept { .. }));
    let other = engine.schedule_raw("q", "p").key("k").after(SECOND).await.unwrap();
    assert!(matches!(other, ScheduleOutcome::AlreadyScheduled { .. }), "it holds its key: {other:?}");
    // A changed one goes on in its place, and the run to its end.
    let changed = upsert(&engine, every(4)).await;
    assert!(matches!(changed, ScheduleOutcome::Replaced { .. }), "{changed:?}");
    assert_eq!((due_seconds(&engine), engine.jobs()), (14, 2));
    permits.add_permits(100);
    eventually("jobs have ended", || engine.jobs() == 1).await;
    engine.advance(SECOND * 9).await;
    assert_eq!(told.take(), [(10, 0, 1), (14, 0, 1), (18, 0, 1)]);
}

#[tokio::test]
async fn what_comes_due_while_it_runs_is_skipped_unless_said_otherwise() {
    for (overlap, next, passed, reason) in
        [(Overlap::Skip, (40, 2), 2, Reason::Overlap), (Overlap::After, (30, 1), 1, Reason::Coalesced)]
    {
        let (told, permits) = (Told::default(), Arc::new(Semaphore::new(0)));
        let engine = TestEngine::start(held(&told, &permits), TEN_O_CLOCK).await.unwrap();
        upsert(&engine, every(10).overlap(overlap)).await.scheduled().unwrap();
        pass(&engine, 10);
        is_running(&engine, 1).await;
        pass(&engine, 25);
        assert_eq!(engine.jobs(), 1);
        permits.add_permits(1);
        eventually("handlers have begun", || {
            told.0.lock().unwrap().len() == if overlap == Overlap::After { 2 } else { 1 }
        })
        .await;
        if overlap == Overlap::Skip {
            eventually("it waits again", || matches!(engine.lookup("k"), LookupOutcome::Scheduled(_))).await;
            let progress = *pending(&engine).options.occurrence().unwrap();
            let last = progress.last_passed.unwrap();
            assert_eq!((progress.passed, last.count, last.reason), (passed, passed, reason));
            assert_eq!((seconds_of(last.first), seconds_of(last.last)), (20, 30));
            pass(&engine, 5);
            eventually("handlers have begun", || told.0.lock().unwrap().len() == 2).await;
        }
        assert_eq!(told.take()[1], (next.0, next.1, 1), "{overlap:?}");
        assert_eq!(engine.stats().queues[0].passed_over, passed);
        permits.add_permits(9);
    }
}

#[tokio::test]
async fn one_that_may_overlap_runs_beside_itself() {
    let (told, permits) = (Told::default(), Arc::new(Semaphore::new(0)));
    let engine = TestEngine::start(held(&told, &permits), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10).overlap(Overlap::Allow).count(3).unwrap()).await.scheduled().unwrap();
    for running in 1..=3 {
        pass(&engine, 10);
        is_running(&engine, running).await;
    }
    assert_eq!(told.take(), [(10, 0, 1), (20, 0, 1), (30, 0, 1)]);
    permits.add_permits(3);
    eventually("jobs have ended", || engine.jobs() == 0).await;
    assert!(engine.advance(SECOND * 100).await.len() <= 3);
    assert_eq!(told.take(), []);
}

#[tokio::test]
async fn a_failed_run_is_tried_again_and_the_next_comes_all_the_same() {
    let told = Told::default();
    let sink = told.clone();
    let config = QueueConfig::new("q").retry(Retry::attempts(2).fixed(SECOND));
    let builder = Engine::builder().queue(config, move |job: Job| {
        sink.tell(&job);
        async { Err::<(), _>("no") }
    });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    engine.advance(SECOND * 25).await;
    assert_eq!(told.take(), [(10, 0, 1), (10, 0, 2), (20, 0, 1), (20, 0, 2)]);
    let view = pending(&engine);
    let history = view.history.unwrap();
    assert_eq!((history.failures, history.death, history.errors.len()), (0, None, 4));
    assert_eq!((seconds_of(view.due), view.state), (30, JobState::Pending));
}

#[tokio::test]
async fn a_cancel_ends_it_also_while_it_runs() {
    let (told, permits) = (Told::default(), Arc::new(Semaphore::new(0)));
    let engine = TestEngine::start(held(&told, &permits), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    assert_eq!(engine.cancel("k").await.unwrap(), CancelOutcome::Cancelled);
    engine.advance(SECOND * 100).await;
    upsert(&engine, every(10)).await.scheduled().unwrap();
    pass(&engine, 10);
    is_running(&engine, 1).await;
    assert_eq!(engine.cancel_running("k").await.unwrap(), CancelOutcome::Running);
    permits.add_permits(1);
    eventually("jobs have ended", || engine.jobs() == 0).await;
    assert!(matches!(engine.lookup("k"), LookupOutcome::AlreadyFired { .. }));
    engine.advance(SECOND * 100).await;
    assert_eq!(told.take(), [(110, 0, 1)]);
}

#[tokio::test]
async fn a_run_that_is_brought_forward_is_one_more() {
    let told = Told::default();
    let engine = TestEngine::start(told.builder(), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(3600)).await.scheduled().unwrap();
    engine.advance(SECOND * 100).await;
    let moved = engine.reschedule("k", at_ms(100_000)).await.unwrap();
    assert!(matches!(moved, RescheduleOutcome::Rescheduled { .. }));
    engine.advance(SECOND).await;
    assert_eq!(due_seconds(&engine), 3600);
    engine.advance(SECOND * 3600).await;
    assert_eq!(told.take(), [(100, 0, 1), (3600, 0, 1)]);
    // Put off, it is late, and the next keeps its time.
    let put_off = engine.reschedule("k", at_ms(7_200_000 + 60_000)).await.unwrap();
    assert!(matches!(put_off, RescheduleOutcome::Rescheduled { .. }));
    engine.advance(SECOND * 4_000).await;
    assert_eq!(told.take(), [(7_200, 0, 1)]);
    assert_eq!(due_seconds(&engine), 3 * 3600);
}

#[tokio::test]
async fn what_is_late_because_its_queue_is_paused_runs_once_for_all() {
    let told = Told::default();
    let engine = TestEngine::start(told.builder(), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    engine.pause("q").into_outcome().unwrap();
    engine.advance(SECOND * 45).await;
    engine.resume("q").into_outcome().unwrap();
    engine.advance(SECOND).await;
    assert_eq!(told.take(), [(40, 3, 1)]);
    let progress = *pending(&engine).options.occurrence().unwrap();
    assert_eq!((progress.passed, progress.last_passed.unwrap().reason), (3, Reason::Coalesced));
    engine.advance(SECOND * 5).await;
    assert_eq!(told.take(), [(50, 0, 1)]);
}

#[tokio::test]
async fn one_that_is_paused_does_not_run_and_goes_on_when_it_is_resumed() {
    let (told, store) = (Told::default(), Arc::new(MemoryStore::new()));
    let heard: Arc<Mutex<Vec<Passed>>> = Arc::default();
    let builder = || {
        let (told, heard) = (told.clone(), Arc::clone(&heard));
        let config =
            QueueConfig::new("q").on_passed_over(move |_, passed| heard.lock().unwrap().push(*passed));
        Engine::builder().store(store.clone()).queue(config, move |job: Job| {
            told.tell(&job);
            async {}
        })
    };
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let all = every(10).missed(Missed::All { max: NonZeroU32::new(9).unwrap() });
    let handle = upsert(&engine, all.clone()).await.scheduled().unwrap();
    engine.advance(SECOND * 15).await;
    assert_eq!(told.take(), [(10, 0, 1)]);
    let version = pending(&engine).version;
    assert_eq!(
        engine.pause_job("k").await.unwrap(),
        PauseJobOutcome::Paused { version: Version(version.0 + 1) }
    );
    assert_eq!(engine.pause_job("k").await.unwrap(), PauseJobOutcome::AlreadyPaused);
    assert_eq!((pending(&engine).state, due_seconds(&engine)), (JobState::Paused, 20));
    engine.advance(SECOND * 20).await;
    // Nor after a crash, nor after an upsert, be it of a changed rule.
    let engine = killed(engine, builder(), at_ms(41_000)).await;
    assert!(matches!(upsert(&engine, all).await, ScheduleOutcome::Kept { .. }));
    engine.advance(SECOND * 12).await;
    assert!(matches!(upsert(&engine, every(20)).await, ScheduleOutcome::Replaced { .. }));
    assert_eq!((pending(&engine).state, due_seconds(&engine)), (JobState::Paused, 73));
    assert!(
        engine.load(&JobFilter::default(), LoadBuckets::default()).buckets.iter().all(|bucket| *bucket == 0)
    );
    engine.advance(SECOND * 60).await;
    assert_eq!(told.take(), []);
    let outcome = engine.resume_job("k").await.unwrap();
    assert!(
        matches!(outcome, ResumeJobOutcome::Resumed { due, .. } if seconds_of(due) == 133),
        "{outcome:?}"
    );
    assert_eq!(engine.resume_job("k").await.unwrap(), ResumeJobOutcome::NotPaused);
    assert_eq!(pending(&engine).state, JobState::Pending);
    let progress = *pending(&engine).options.occurrence().unwrap();
    assert_eq!((progress.passed, progress.last_passed.unwrap().reason), (3, Reason::Paused));
    engine.advance(SECOND * 21).await;
    assert_eq!(told.take(), [(133, 3, 1)]);
    assert_eq!(engine.resume_job(handle).await.unwrap(), ResumeJobOutcome::NotFound, "it was replaced");
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_is_paused_while_it_runs_runs_to_its_end() {
    let (told, permits) = (Told::default(), Arc::new(Semaphore::new(0)));
    let engine = TestEngine::start(held(&told, &permits), TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    upsert(&engine, every(10)).await.scheduled().unwrap();
    pass(&engine, 10);
    is_running(&engine, 1).await;
    assert!(matches!(engine.pause_job("k").await.unwrap(), PauseJobOutcome::Paused { .. }));
    pass(&engine, 1);
    permits.add_permits(1);
    eventually("it rests", || matches!(engine.lookup("k"), LookupOutcome::Scheduled(_))).await;
    assert_eq!((pending(&engine).state, due_seconds(&engine)), (JobState::Paused, 20));
    pass(&engine, 30);
    assert_eq!(told.take().len(), 1);
    // Its rule may end meanwhile.
    let over = every(10).until(at_ms(60_000)).unwrap();
    assert!(matches!(upsert(&engine, over).await, ScheduleOutcome::Replaced { .. }));
    pass(&engine, 60);
    assert_eq!(engine.resume_job("k").await.unwrap(), ResumeJobOutcome::Ended);
    assert_eq!((engine.lookup("k"), engine.jobs()), (LookupOutcome::NotFound, 0));
    assert!(matches!(upsert(&engine, every(10)).await, ScheduleOutcome::Scheduled { .. }));
}

/// A job that does not recur can rest too.
#[tokio::test]
async fn one_that_comes_once_is_paused_moved_and_resumed() {
    let told = Told::default();
    let engine = TestEngine::start(told.builder(), TEN_O_CLOCK).await.unwrap();
    for key in ["k", "other"] {
        engine.schedule_raw("q", "").key(key).after(SECOND).await.unwrap().scheduled().unwrap();
    }
    engine.pause("q").into_outcome().unwrap();
    engine.advance(SECOND * 2).await;
    // It is due, and its queue is paused.
    assert!(matches!(engine.pause_job("k").await.unwrap(), PauseJobOutcome::Paused { .. }));
    engine.resume("q").into_outcome().unwrap();
    assert_eq!(fired_seconds(&engine.advance(SECOND).await).len(), 1, "the other one");
    assert!(matches!(
        engine.reschedule("k", at_ms(5_000)).await.unwrap(),
        RescheduleOutcome::Rescheduled { .. }
    ));
    assert!(engine.advance(SECOND * 10).await.is_empty());
    // Only in the version that the caller knows.
    let LookupOutcome::Scheduled(JobView { version, .. }) = engine.lookup("k") else { panic!("it rests") };
    let (old, changed) = (Version(version.0 - 1), PauseJobOutcome::Changed { version });
    assert_eq!(engine.pause_job_if("k", old).await.unwrap(), changed);
    assert_eq!(engine.pause_job_if("k", version).await.unwrap(), PauseJobOutcome::AlreadyPaused);
    assert_eq!(engine.resume_job_if("k", old).await.unwrap(), ResumeJobOutcome::Changed { version });
    let resumed = engine.resume_job_if("k", version).await.unwrap();
    assert!(
        matches!(resumed, ResumeJobOutcome::Resumed { version: now, .. } if now.0 == version.0 + 1),
        "{resumed:?}"
    );
    assert_eq!(fired_seconds(&engine.advance(SECOND).await), [13]);
    let late = engine.pause_job("k").await.unwrap();
    assert!(matches!(late, PauseJobOutcome::AlreadyFired { .. }), "{late:?}");
    assert_eq!(engine.pause_job("nobody").await.unwrap(), PauseJobOutcome::NotFound);
}

#[tokio::test]
async fn promise_8_a_week_of_downtime_under_each_policy() {
    const WEEK: u64 = 7 * 24 * 3600;
    let minutes = WEEK as i64 / 60;
    let all = Missed::All { max: NonZeroU32::new(3).unwrap() };
    for (missed, runs, last_passed) in [
        (Missed::One, vec![(minutes, minutes - 1)], Some((minutes as u64 - 1, Reason::Coalesced))),
        (
            all,
            vec![(minutes - 2, minutes - 3), (minutes - 1, 0), (minutes, 0)],
            Some((minutes as u64 - 3, Reason::Missed)),
        ),
        (Missed::None, vec![(minutes + 1, minutes)], Some((minutes as u64, Reason::Missed))),
    ] {
        let (told, store) = (Told::default(), Arc::new(MemoryStore::new()));
        let heard: Arc<Mutex<Vec<Passed>>> = Arc::default();
        let builder = |told: &Told| {
            let (told, heard) = (told.clone(), Arc::clone(&heard));
            let config = QueueConfig::new("q").concurrency(1).on_passed_over(move |key, passed| {
                assert_eq!(key, "k");
                heard.lock().unwrap().push(*passed);
            });
            Engine::builder().store(store.clone()).queue(config, move |job: Job| {
                told.tell(&job);
                async {}
            })
        };
        let engine = TestEngine::start(builder(&told), TEN_O_CLOCK).await.unwrap();
        upsert(&engine, every(60).missed(missed)).await.scheduled().unwrap();
        let engine = killed(engine, builder(&told), at_ms(WEEK as i64 * 1_000 + 30_000)).await;
        engine.advance(SECOND * 40).await;
        let expected: Vec<(i64, u64, u16)> =
            runs.iter().map(|&(minute, missed)| (minute * 60, missed as u64, 1)).collect();
        let found = told.take();
        assert_eq!(found[..expected.len()], expected, "{missed:?}");
        let last = heard.lock().unwrap().first().map(|passed| (passed.count, passed.reason));
        assert_eq!(last, last_passed, "{missed:?}");
        assert_eq!(engine.jobs(), 1);
    }
}

#[tokio::test]
async fn promise_2_a_crash_neither_loses_nor_doubles_an_occurrence() {
    let (told, store) = (Told::default(), Arc::new(MemoryStore::new()));
    let builder = || told.builder().store(store.clone());
    let mut engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    for round in 1..=6 {
        engine.advance(SECOND * 10).await;
        engine = killed(engine, builder(), at_ms(round * 10_000 + 1)).await;
        // As every replica does at its start.
        assert!(matches!(upsert(&engine, every(10)).await, ScheduleOutcome::Kept { .. }));
        engine = killed(engine, builder(), at_ms(round * 10_000 + 2)).await;
    }
    let expected: Vec<(i64, u64, u16)> = (1..=6).map(|round| (round * 10, 0, 1)).collect();
    assert_eq!(told.take(), expected);
}

#[tokio::test]
async fn promise_6_a_run_that_was_cut_short_runs_again_and_at_most_once_waits_for_the_next() {
    for at_most_once in [false, true] {
        let (told, permits, store) =
            (Told::default(), Arc::new(Semaphore::new(0)), Arc::new(MemoryStore::new()));
        let builder = || held(&told, &permits).store(store.clone());
        let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
        let schedule = engine.schedule_raw("q", "p").key("k");
        let schedule = if at_most_once { schedule.at_most_once() } else { schedule };
        schedule.recurring(every(10).missed(Missed::None)).await.unwrap().scheduled().unwrap();
        pass(&engine, 10);
        eventually("handlers have begun", || told.0.lock().unwrap().len() == 1).await;
        let engine = killed(engine, builder(), at_ms(25_000)).await;
        permits.add_permits(100);
        engine.advance(SECOND * 6).await;
        let expected: &[(i64, u64, u16)] = match at_most_once {
            true => &[(10, 0, 1), (30, 1, 1)],
            false => &[(10, 0, 1), (10, 0, 2), (30, 1, 1)],
        };
        assert_eq!(told.take(), expected, "at most once: {at_most_once}");
    }
}

/// What a queue says of late jobs is about occurrences here: the job goes on.
#[tokio::test]
async fn a_queue_that_skips_what_is_late_skips_occurrences_and_not_the_job() {
    let (told, store) = (Told::default(), Arc::new(MemoryStore::new()));
    let builder = || {
        let told = told.clone();
        let config = QueueConfig::new("q").misfire(Misfire::SkipAfter(SECOND));
        Engine::builder().store(store.clone()).queue(config, move |job: Job| {
            told.tell(&job);
            async {}
        })
    };
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    let engine = killed(engine, builder(), at_ms(35_000)).await;
    engine.advance(SECOND * 6).await;
    assert_eq!(told.take(), [(40, 3, 1)]);
    assert_eq!(engine.jobs(), 1);
}

#[tokio::test]
async fn a_handler_may_end_the_recurrence_of_its_own_job() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let builder = Engine::builder().queue("q", move |job: Job| {
        let count = Arc::clone(&count);
        async move {
            if count.fetch_add(1, SeqCst) == 2 {
                assert_eq!(job.engine().cancel_running(job.key()).await.unwrap(), CancelOutcome::Running);
            }
            JobResult::Done
        }
    });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    upsert(&engine, every(10)).await.scheduled().unwrap();
    engine.advance(SECOND * 200).await;
    assert_eq!((runs.load(SeqCst), engine.jobs()), (3, 0));
}

#[tokio::test]
async fn it_may_be_scheduled_at_a_time_of_its_own_and_runs_inline() {
    let told = Told::default();
    let sink = told.clone();
    let builder = Engine::builder().inline_queue("q", move |job: &Job| sink.tell(job));
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let options = reveille::job::JobOptions::default().with_recurrence(every(10));
    engine
        .schedule_raw("q", "p")
        .key("k")
        .options(options)
        .at(at_ms(3_000))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    engine.advance(SECOND * 15).await;
    assert_eq!(told.take(), [(3, 0, 1), (13, 0, 1)]);
}

#[cfg(feature = "cron")]
#[tokio::test]
async fn a_nightly_job_runs_once_in_every_night_whatever_clocks_do() {
    let told = Arc::new(Mutex::new(Vec::new()));
    for (begins, nights) in [
        ("2027-03-26T12:00:00Z", ["2027-03-27T01:30:00", "2027-03-28T01:00:00", "2027-03-29T00:30:00"]),
        ("2027-10-29T12:00:00Z", ["2027-10-30T00:30:00", "2027-10-31T00:30:00", "2027-11-01T01:30:00"]),
    ] {
        let sink = Arc::clone(&told);
        let builder = Engine::builder().queue("q", move |job: Job| {
            sink.lock().unwrap().push(job.fired_at().to_string()[..19].to_owned());
            async {}
        });
        let begins: Timestamp = begins.parse().unwrap();
        let engine = TestEngine::start(builder, begins).await.unwrap();
        let nightly = Recurrence::cron("30 2 * * *", "Europe/Berlin").unwrap();
        upsert(&engine, nightly).await.scheduled().unwrap();
        engine.advance(Duration::from_secs(3 * 24 * 3600)).await;
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), nights);
    }
}
