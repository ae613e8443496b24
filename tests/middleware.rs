//! Layers of tower around handlers, and what the application asks of jobs before they are scheduled.
#![cfg(feature = "tower")]
#![allow(clippy::disallowed_methods, reason = "real time is what a rate limit goes by")]

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{
    BoxError, Cause, Change, Edit, Engine, InvalidHeader, Job, JobResult, JobService, JobView, LookupOutcome,
    OnConflict, Priority, QueueConfig, QueueError, Recurrence, Retry, ScheduleError, StartError, Timestamp,
};
use testkit::{HOUR, MINUTE, SECOND, TEN_O_CLOCK, at_ms, eventually, ms, nothing, until_idle, within};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceBuilder};

/// What was seen, in order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn push(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A layer as a user writes one: notes when a job comes by, and how it ended.
#[derive(Clone)]
struct Records(&'static str, Notes);

struct Recording<S>(S, Records);

impl<S> Layer<S> for Records {
    type Service = Recording<S>;

    fn layer(&self, inner: S) -> Recording<S> {
        Recording(inner, self.clone())
    }
}

impl<S> Service<Job> for Recording<S>
where
    S: Service<Job, Response = JobResult, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = JobResult;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<JobResult, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let Records(name, notes) = self.1.clone();
        notes.push(format!("{name}: {} {}", job.key(), job.attempt()));
        let called = self.0.call(job);
        Box::pin(async move {
            let ended = called.await;
            notes.push(format!("{name}: {ended:?}"));
            ended
        })
    }
}

/// A service that does as it is told.
#[derive(Clone, Default)]
struct Told {
    refuses: Arc<AtomicBool>,
    panics_in_ready: Arc<AtomicBool>,
    panics_in_call: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
    opens: Arc<Notify>,
}

struct Telling(JobService, Told, Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Layer<JobService> for Told {
    type Service = Telling;

    fn layer(&self, inner: JobService) -> Telling {
        Telling(inner, self.clone(), None)
    }
}

impl Service<Job> for Telling {
    type Response = JobResult;
    type Error = BoxError;
    type Future = <JobService as Service<Job>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert!(!self.1.panics_in_ready.swap(false, SeqCst), "not ready, on purpose");
        if self.1.refuses.swap(false, SeqCst) {
            return Poll::Ready(Err("the bank is closed".into()));
        }
        while self.1.is_closed.load(SeqCst) {
            let opens = Arc::clone(&self.1.opens);
            let wait = self.2.get_or_insert_with(|| Box::pin(async move { opens.notified().await }));
            if wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.2 = None;
        }
        self.0.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        assert!(!self.1.panics_in_call.swap(false, SeqCst), "called, on purpose");
        self.0.call(job)
    }
}

async fn schedule_some(engine: &Engine, keys: &[&str]) {
    for &key in keys {
        engine.schedule_raw("q", "").key(key).after(ms(1)).await.unwrap().scheduled().unwrap();
    }
}

#[tokio::test]
async fn layers_go_around_each_other_in_order_and_see_each_attempt_and_its_end() {
    let notes = Notes::default();
    let records = |name| Records(name, notes.clone());
    // Two calls: the later goes around. Within a builder the first line goes around.
    let config = QueueConfig::new("q")
        .retry(Retry::attempts(2).fixed(ms(10)))
        .layer(ServiceBuilder::new().layer(records("b")).layer(records("c")))
        .layer(records("a"));
    let inner = notes.clone();
    let handler = move |job: Job| {
        inner.push(format!("handler: {}", job.attempt()));
        async move { if job.attempt() == 1 { Err("no") } else { Ok(JobResult::discarded("late")) } }
    };
    let engine = TestEngine::start(Engine::builder().queue(config, handler), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("k").at(at_ms(5)).await.unwrap().scheduled().unwrap();
    engine.advance(SECOND).await;
    let expected = [
        "a: k 1",
        "b: k 1",
        "c: k 1",
        "handler: 1",
        "c: Err(\"no\")",
        "b: Err(\"no\")",
        "a: Err(\"no\")",
        "a: k 2",
        "b: k 2",
        "c: k 2",
        "handler: 2",
        "c: Ok(Discarded(\"late\"))",
        "b: Ok(Discarded(\"late\"))",
        "a: Ok(Discarded(\"late\"))",
    ];
    assert_eq!(notes.all(), expected);
    assert_eq!(engine.stats().queues[0].failed, 1);
}

/// Also of a queue that is added later, and of a task.
#[tokio::test]
async fn an_error_of_a_layer_is_a_failed_attempt_with_its_text() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Hangs;
    impl reveille::Task for Hangs {
        const NAME: &'static str = "hangs";
        type Output = ();
        async fn run(self, _: Job) {
            std::future::pending().await
        }
    }
    let failed = Arc::new(Mutex::new(Vec::new()));
    let config = |name: &str| {
        let failed = Arc::clone(&failed);
        QueueConfig::new(name)
            .retry(Retry::attempts(2).fixed(ms(1)))
            .on_failure(move |attempt| {
                failed.lock().unwrap().push((
                    attempt.queue.as_str().to_owned(),
                    attempt.cause,
                    attempt.error.clone(),
                ))
            })
            .layer(tower::timeout::TimeoutLayer::new(ms(20)))
    };
    let engine = Engine::builder().task_with::<Hangs>(config("")).start().await.unwrap();
    let hangs_once = |job: Job| async move {
        if job.attempt() == 1 {
            std::future::pending::<()>().await;
        }
    };
    engine.add_queue(config("later"), hangs_once).unwrap();
    engine.schedule(Hangs).key("task").after(ms(1)).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("later", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    until_idle(&engine).await;
    let mut failed = failed.lock().unwrap().clone();
    failed.sort_by(|one, other| one.0.cmp(&other.0));
    let timed_out = |queue: &str| (queue.to_owned(), Cause::Failed, "request timed out".to_owned());
    assert_eq!(failed, [timed_out("hangs"), timed_out("hangs"), timed_out("later")]);
    let LookupOutcome::Dead(view) = engine.lookup("task") else { panic!("{:?}", engine.lookup("task")) };
    assert_eq!(&*view.history.unwrap().last_error().unwrap().message, "request timed out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_concurrency_limit_holds_and_those_behind_it_have_not_started() {
    let (now, most, go) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counts, seen, waits) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&go));
    let handler = move |_: Job| {
        let (counts, seen, waits) = (Arc::clone(&counts), Arc::clone(&seen), Arc::clone(&waits));
        async move {
            seen.fetch_max(counts.fetch_add(1, SeqCst) + 1, SeqCst);
            waits.notified().await;
            counts.fetch_sub(1, SeqCst);
        }
    };
    let config = QueueConfig::new("q").layer(tower::limit::ConcurrencyLimitLayer::new(2));
    let engine = Engine::builder().queue(config, handler).start().await.unwrap();
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    schedule_some(&engine, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("two run", || now.load(SeqCst) == 2 && engine.stats().ready == 8).await;
    assert_eq!(engine.stats().running, 2, "those that wait have not started");
    // So they can still be cancelled.
    let waiting: Vec<_> = keys
        .iter()
        .filter(|key| matches!(engine.lookup(key.as_str()), LookupOutcome::Scheduled(_)))
        .collect();
    assert_eq!(waiting.len(), 8);
    engine.cancel(waiting[0].as_str()).await.unwrap().cancelled().unwrap();
    eventually("all have run", || {
        go.notify_waiters();
        engine.stats().succeeded == 9
    })
    .await;
    until_idle(&engine).await;
    assert_eq!(most.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_holds_and_what_waits_for_it_survives_a_shutdown() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let handler = move |_: Job| {
        noted.lock().unwrap().push(tokio::time::Instant::now());
        async {}
    };
    // Not `Clone`.
    let config = |per| QueueConfig::new("q").layer(tower::limit::RateLimitLayer::new(2, per));
    let engine = Engine::builder().queue(config(ms(150)), handler.clone()).start().await.unwrap();
    schedule_some(&engine, &["1", "2", "3", "4", "5"]).await;
    until_idle(&engine).await;
    {
        let starts = starts.lock().unwrap();
        assert_eq!(starts.len(), 5);
        // Two in each period; it begins with its first.
        assert!(starts[2] - starts[0] >= ms(145) && starts[4] - starts[2] >= ms(145), "{starts:?}");
    }

    let store = Arc::new(MemoryStore::new());
    let builder = Engine::builder().queue(config(100 * MINUTE), handler).store(store.clone());
    let engine = builder.start().await.unwrap();
    schedule_some(&engine, &["1", "2", "3", "4", "5"]).await;
    eventually("two have run", || engine.stats().succeeded == 2).await;
    eventually("three wait", || engine.stats().ready == 3).await;
    assert_eq!(engine.stats().running, 0);
    let report = within("it need not wait", engine.shutdown(100 * MINUTE)).await;
    assert_eq!((report.still_running, report.pending_durable), (0, 3), "{report:?}");
    let engine = Engine::builder().queue("q", nothing).store(store).start().await.unwrap();
    until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_that_is_shed_is_a_failed_attempt() {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let handler = move |_: Job| {
        let waits = Arc::clone(&waits);
        async move { waits.notified().await }
    };
    let errors = Notes::default();
    let told = errors.clone();
    let config = QueueConfig::new("q")
        .retry(Retry::attempts(1))
        .on_failure(move |attempt| told.push(attempt.error.clone()))
        .layer(ServiceBuilder::new().load_shed().concurrency_limit(1));
    let engine = Engine::builder().queue(config, handler).start().await.unwrap();
    schedule_some(&engine, &["1", "2", "3"]).await;
    eventually("two are shed", || errors.all().len() == 2).await;
    assert_eq!(errors.all(), ["service overloaded", "service overloaded"]);
    go.notify_one();
    until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, 1);
}

/// A layer that spawns a task of its own, as the engine starts.
#[tokio::test]
async fn a_buffer_finds_the_runtime() {
    let layers = ServiceBuilder::new().buffer(4).concurrency_limit(1);
    let builder = Engine::builder().queue(QueueConfig::new("q").layer(layers), nothing);
    let engine = builder.start().await.unwrap();
    schedule_some(&engine, &["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, 8);
}

#[tokio::test]
async fn a_panic_in_a_layer_is_a_panic_of_the_handler_and_a_layer_that_fails_to_be_ready_fails_a_job() {
    let told = Told::default();
    let ends = Notes::default();
    let noted = ends.clone();
    let config = QueueConfig::new("q")
        .retry(Retry::attempts(5).fixed(ms(10)))
        .on_failure(move |attempt| noted.push(format!("{:?}: {}", attempt.cause, attempt.error)))
        .layer(told.clone());
    let engine = TestEngine::start(Engine::builder().queue(config, nothing), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("k").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    for flag in [&told.panics_in_ready, &told.panics_in_call, &told.refuses] {
        flag.store(true, SeqCst);
        engine.advance(ms(10)).await;
        assert!(!flag.load(SeqCst));
    }
    engine.advance(ms(10)).await;
    let expected = [
        "Panicked: the handler panicked: not ready, on purpose",
        "Panicked: the handler panicked: called, on purpose",
        "Failed: the bank is closed",
    ];
    assert_eq!(ends.all(), expected);
    let stats = engine.stats();
    assert_eq!((stats.succeeded, stats.failed, stats.queues[0].panicked), (1, 3, 2));
}

/// Jobs go through the layers in their order, by what comes first when these get ready; and one that was cancelled meanwhile keeps
/// nobody out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_first_is_decided_when_the_layers_are_ready() {
    let (told, notes) = (Told::default(), Notes::default());
    told.is_closed.store(true, SeqCst);
    let noted = notes.clone();
    let handler = move |job: Job| {
        noted.push(job.key().as_str());
        async {}
    };
    let config = QueueConfig::new("q").layer(told.clone()).layer(tower::limit::ConcurrencyLimitLayer::new(1));
    let engine = Engine::builder().partitions(2).queue(config, handler).start().await.unwrap();
    schedule_some(&engine, &["gone"]).await;
    eventually("it waits", || engine.stats().ready == 1).await;
    assert_eq!(engine.stats().running, 0);
    engine.cancel("gone").await.unwrap().cancelled().unwrap();
    let open = || {
        told.is_closed.store(false, SeqCst);
        told.opens.notify_one();
    };
    open();
    let soon = Timestamp::from(SystemTime::now() + ms(100));
    engine.pause("q").into_outcome().unwrap();
    for (key, priority) in [("last", 200), ("first", 1), ("second", 100)] {
        let job = engine.schedule_raw("q", "").key(key).priority(Priority(priority));
        job.at(soon).await.unwrap().scheduled().unwrap();
    }
    eventually("they are due", || engine.stats().ready == 3).await;
    engine.resume("q").into_outcome().unwrap();
    until_idle(&engine).await;
    assert_eq!(notes.all(), ["first", "second", "last"]);
}

/// Its start is in the store before a layer is called, and others do not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_at_most_once_goes_through_layers_once() {
    let notes = Notes::default();
    let store = Arc::new(MemoryStore::new());
    let config = || {
        let limit = ServiceBuilder::new().concurrency_limit(1).layer(Records("layer", notes.clone()));
        QueueConfig::new("q").layer(limit)
    };
    let hangs = |job: Job| async move {
        if job.key().as_str() == "once" {
            std::future::pending::<()>().await;
        }
    };
    let engine = Engine::builder().queue(config(), hangs).store(store.clone()).start().await.unwrap();
    let once = engine.schedule_raw("q", "").key("once").at_most_once();
    once.after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("it runs", || notes.all() == ["layer: once 1"]).await;
    schedule_some(&engine, &["more"]).await;
    engine.shutdown(ms(50)).await;
    drop(engine);
    let engine = Engine::builder().queue(config(), hangs).store(store).start().await.unwrap();
    until_idle(&engine).await;
    assert_eq!(notes.all(), ["layer: once 1", "layer: more 1", "layer: Ok(Done)"]);
}

/// Many at once on several threads: each runs once, and no more than the limit at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_goes_through_layers_once_each() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, seen) = (Arc::clone(&now), Arc::clone(&most));
    let handler = move |_: Job| {
        let (counts, seen) = (Arc::clone(&counts), Arc::clone(&seen));
        async move {
            seen.fetch_max(counts.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            counts.fetch_sub(1, SeqCst);
        }
    };
    let config = QueueConfig::new("q").layer(ServiceBuilder::new().concurrency_limit(5).timeout(MINUTE));
    let engine = Engine::builder().queue(config, handler).start().await.unwrap();
    let jobs = (0..5_000).map(|n| engine.schedule_raw("q", "").key(format!("k{n}")).planned(Duration::ZERO));
    assert!(engine.schedule_many(jobs).await.unwrap().iter().all(Result::is_ok));
    until_idle(&engine).await;
    let stats = engine.stats();
    assert_eq!((stats.fired, stats.succeeded, stats.failed), (5_000, 5_000, 0));
    assert!(most.load(SeqCst) <= 5, "{most:?}");
}

#[tokio::test]
async fn layers_want_an_async_handler() {
    let config = || QueueConfig::new("q").layer(Told::default());
    let blocking = Engine::builder().blocking_queue(config(), |_: &Job| {}).start().await;
    let inline = Engine::builder().inline_queue(config(), |_: &Job| {}).start().await;
    for refused in [blocking, inline] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StartError::Queue(QueueError::NotAsync { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn every_job_is_looked_at_before_it_is_scheduled() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let builder = Engine::builder()
        .queue(QueueConfig::new("q").retry(Retry::attempts(3).fixed(ms(10))), |job: Job| async move {
            if job.attempt() < 2 { Err("once more") } else { Ok(()) }
        })
        .before_schedule(move |job| {
            counts.fetch_add(1, SeqCst);
            if job.payload().is_empty() {
                return Err("it has no body".into());
            }
            assert!(job.retry(Retry::attempts(2).fixed(1_000_000 * HOUR)).is_err(), "past the horizon");
            job.header("traceparent", "00-1-2-01")?.tag("asked")?.priority(Priority(7));
            Ok(())
        })
        // Sees what the one before it has made of the job.
        .before_schedule(|job| {
            let traced = job.options().headers().and_then(|headers| headers.value("traceparent"));
            assert_eq!(traced, Some("00-1-2-01"));
            if job.key().as_str() == "bad" {
                job.header("bad name", "")?;
            }
            Ok(())
        });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let due = || at_ms(50);
    engine
        .schedule_raw("q", "x")
        .key("one")
        .header("of", "shop")
        .at(due())
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    let both = ["two", "none"]
        .map(|key| engine.schedule_raw("q", if key == "two" { "x" } else { "" }).key(key).planned(due()));
    let outcomes = engine.schedule_many(both).await.unwrap();
    assert!(outcomes[0].is_ok());
    let Err(ScheduleError::Declined(why)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(why.to_string(), "it has no body");
    let hourly = Recurrence::every(SECOND).unwrap().count(2).unwrap();
    engine.schedule_raw("q", "x").key("hourly").recurring(hourly).await.unwrap().scheduled().unwrap();
    let edit = |_: &JobView| Edit::payload("y");
    let _ = engine.schedule_raw("q", "x").key("one").merge(edit).at(due()).await.unwrap();
    let again = engine.schedule_raw("q", "x").key("two").on_conflict(OnConflict::Keep);
    let _ = again.at(due()).await.unwrap();
    assert_eq!(asked.load(SeqCst), 6);

    for key in ["one", "two", "hourly"] {
        let LookupOutcome::Scheduled(view) = engine.lookup(key) else { panic!("{key}") };
        let options = view.options;
        assert_eq!(options.headers().unwrap().value("traceparent"), Some("00-1-2-01"));
        assert!(options.tags().unwrap().iter().any(|tag| tag == "asked"));
        assert_eq!(options.priority(), Priority(7));
        assert_eq!(options.headers().unwrap().value("of"), (key == "one").then_some("shop"));
    }
    let bad = engine.schedule_raw("q", "x").key("bad").at(due()).await.unwrap_err();
    assert_eq!(bad.change(), Change::None);
    assert!(bad.source().is_some_and(|source| source.downcast_ref::<InvalidHeader>().is_some()), "{bad:?}");
    assert!(matches!(engine.lookup("bad"), LookupOutcome::NotFound));

    // Neither retries nor occurrences are new jobs.
    assert_eq!(engine.advance(MINUTE).await.len(), 8);
    assert_eq!(asked.load(SeqCst), 7);
}
