//! What a handler gets beside its job: a fencing token, the errors before it, a place for a note, and word of a shutdown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::testing::TestEngine;
use reveille::{
    Builder, Cause, Engine, FencingToken, Job, JobResult, LookupOutcome, QueueConfig, Recurrence, Retry,
};
use testkit::redis::RedisServer;
use testkit::{MINUTE, SECOND, TEN_O_CLOCK, at_ms, eventually, ms, until_idle, within};
use tokio::sync::Notify;

/// The tokens of starts, in order.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<FencingToken>>>);

impl Tokens {
    fn push(&self, job: &Job) {
        self.0.lock().unwrap().push(job.fencing_token());
    }

    fn all(&self) -> Vec<FencingToken> {
        self.0.lock().unwrap().clone()
    }
}

#[track_caller]
fn assert_grow(tokens: &[FencingToken]) {
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
}

/// Retries, a key scheduled anew by its own handler, a snooze, occurrences: each start of a key has a higher token.
#[tokio::test]
async fn each_start_of_a_key_has_a_higher_token() {
    let tokens = Tokens::default();
    let noted = tokens.clone();
    let handler = move |job: Job| {
        noted.push(&job);
        async move {
            let engine = job.engine();
            match (job.attempt(), job.payload().as_bytes()) {
                (1, b"old") => {
                    // Overtaken by another job of its key, whose id is higher, before it is tried again.
                    engine.schedule_raw("q", "new").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
                    JobResult::retry_in(ms(5), "once more")
                }
                (1, b"new") => JobResult::again_in(ms(1)),
                _ => JobResult::Done,
            }
        }
    };
    let builder = Engine::builder().queue(QueueConfig::new("q").retry(Retry::attempts(3)), handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "old").key("k").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    let fired = engine.advance(SECOND).await;
    assert_eq!(fired.len(), 4, "{fired:#?}");
    assert!(fired[3].id < fired[1].id, "the older job starts last: {fired:#?}");
    let hourly = Recurrence::every(SECOND).unwrap();
    engine.schedule_raw("q", "again").key("k").recurring(hourly).await.unwrap().scheduled().unwrap();
    engine.advance(3 * SECOND).await;
    assert_eq!(tokens.all().len(), 7);
    assert_grow(&tokens.all());
    assert!(tokens.all().iter().all(|token| token.epoch == 0), "there is no store");
}

fn durable(server: &RedisServer) -> Builder {
    Engine::builder().partitions(2).store(Arc::new(server.store()))
}

/// Two engines on one Redis: the one that is taken over goes on with its handler, and keeps its lower token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_takes_over_has_higher_tokens_than_the_one_before_it() {
    let server = RedisServer::start(&[]);
    let (tokens, late, go) = (Tokens::default(), Tokens::default(), Arc::new(Notify::new()));
    let (noted, noted_late, waits) = (tokens.clone(), late.clone(), Arc::clone(&go));
    let stale = move |job: Job| {
        noted.push(&job);
        let (late, waits) = (noted_late.clone(), Arc::clone(&waits));
        async move {
            waits.notified().await;
            late.push(&job);
        }
    };
    let first = durable(&server).queue("q", stale).start().await.unwrap();
    first.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("the first runs it", || tokens.all().len() == 1).await;

    let noted = tokens.clone();
    let note = move |job: Job| {
        noted.push(&job);
        async {}
    };
    let second = durable(&server).queue("q", note.clone()).take_over(true).start().await.unwrap();
    until_idle(&second).await;
    assert_eq!(tokens.all().len(), 2, "it runs again what the first is still running");
    go.notify_waiters();
    eventually("the stale handler goes on", || late.all().len() == 1).await;
    assert_eq!(late.all()[0], tokens.all()[0], "an attempt keeps its token");

    second.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&second).await;
    second.shutdown(MINUTE).await;
    let third = durable(&server).queue("q", note).start().await.unwrap();
    third.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&third).await;
    assert_eq!(tokens.all().len(), 4);
    assert_grow(&tokens.all());
    first.shutdown(ms(1)).await;
}

#[tokio::test]
async fn an_attempt_is_told_why_the_one_before_it_failed() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let handler = move |job: Job| {
        let failures = job.history().map_or(0, |history| history.failures);
        let last = job.last_error().map(|error| (error.attempt, error.cause, error.message.to_string()));
        notes.lock().unwrap().push((failures, last));
        async move { if job.attempt() < 3 { Err(format!("no {}", job.attempt())) } else { Ok(()) } }
    };
    let retry = Retry::attempts(3).fixed(SECOND);
    let builder = Engine::builder().queue(QueueConfig::new("q").retry(retry), handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("k").at(at_ms(0)).await.unwrap().scheduled().unwrap();
    engine.advance(10 * SECOND).await;
    let failed = |attempt, words: &str| Some((attempt, Cause::Failed, words.to_owned()));
    let expected = [(0, None), (1, failed(1, "no 1")), (2, failed(2, "no 2"))];
    assert_eq!(*told.lock().unwrap(), expected);
}

fn note_of(engine: &Engine, key: &str) -> Option<String> {
    engine.progress(key).map(|progress| progress.note.to_string())
}

#[tokio::test]
async fn a_progress_note_is_seen_while_its_attempt_runs_and_no_longer() {
    let step = Arc::new(Notify::new());
    let waits = Arc::clone(&step);
    let handler = move |job: Job| {
        let step = Arc::clone(&waits);
        async move {
            if job.attempt() == 1 {
                job.progress("1 of 7");
                step.notified().await;
                job.progress(format!("3 of 7: {}", "é".repeat(200)));
            }
            step.notified().await;
            if job.attempt() == 1 { Err("once more") } else { Ok(()) }
        }
    };
    let builder =
        Engine::builder().queue(QueueConfig::new("q").retry(Retry::attempts(2).fixed(SECOND)), handler);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().go_on_after(ms(5));
    engine.schedule_raw("q", "").key("k").at(at_ms(0)).await.unwrap().scheduled().unwrap();
    engine.settle().await;
    assert_eq!(note_of(&engine, "k").as_deref(), Some("1 of 7"));
    assert_eq!(engine.progress("k").unwrap().at, at_ms(0));
    assert_eq!(engine.progress("another"), None);

    step.notify_one();
    engine.settle().await;
    let long = note_of(&engine, "k").unwrap();
    assert!(long.starts_with("3 of 7: é") && (250..=256).contains(&long.len()), "{long}");

    step.notify_one();
    engine.settle().await;
    assert!(matches!(engine.lookup("k"), LookupOutcome::Scheduled(_)), "it waits for a retry");
    assert_eq!(note_of(&engine, "k"), None);
    engine.advance(SECOND).await;
    assert_eq!(note_of(&engine, "k"), None, "the second attempt has said nothing");
    step.notify_one();
    engine.settle().await;
}

/// Apart from its cancellation, by a flag and by a future that borrows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_hears_that_the_engine_shuts_down() {
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let handler = move |job: Job| {
        let begins = Arc::clone(&begins);
        async move {
            let stopping = job.stopping();
            assert!(!job.is_stopping());
            begins.notify_one();
            stopping.await;
            assert!(job.is_stopping());
            // A follow-up is taken all the same, and so is its own next attempt.
            job.engine().schedule_raw("q", "").key("after").after(MINUTE).await.unwrap().scheduled().unwrap();
            JobResult::again_in(Duration::ZERO)
        }
    };
    let engine = Engine::builder().queue("q", handler).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    within("it begins", begun.notified()).await;
    let report = engine.shutdown(MINUTE).await;
    assert_eq!((report.still_running, report.pending), (0, 2));
}
