//! Handlers that reach back into their engine, typed tasks, queues that come later.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::testing::TestEngine;
use reveille::{
    BoxError, CancelOutcome, Engine, Job, OnConflict, PauseError, Priority, QueueConfig, QueueError,
    RescheduleOutcome, ScheduleOutcome, StartError, Task,
};
use testkit::{Keys, TEN_O_CLOCK, at_ms, ms, nothing};

/// Bug 5 of the field notes: a handler that cancels, moves or inserts siblings of its own tick, with delay zero too.
#[tokio::test]
async fn a_handler_may_cancel_move_and_insert_siblings_of_its_tick() {
    for is_inline in [false, true] {
        let order = Keys::default();
        let log = order.clone();
        let handle = move |job: &Job| {
            log.push(job.key().as_str());
            let engine = job.engine();
            if job.key().as_str() == "first" {
                assert_eq!(engine.cancel("victim").into_outcome().unwrap(), CancelOutcome::Cancelled);
                let moved = engine.reschedule("mover", ms(5)).into_outcome().unwrap();
                assert!(matches!(moved, RescheduleOutcome::Rescheduled { .. }));
                let zero = engine.schedule_raw("q", "").key("zero").after(Duration::ZERO).into_outcome();
                assert!(matches!(zero.unwrap(), ScheduleOutcome::Scheduled { .. }));
                let past = engine.schedule_raw("q", "").key("past").at(at_ms(-99)).into_outcome();
                assert!(matches!(past.unwrap(), ScheduleOutcome::Scheduled { .. }));
            }
        };
        let builder = Engine::builder().partitions(1);
        let builder = if is_inline {
            builder.inline_queue("q", handle)
        } else {
            builder.queue(QueueConfig::new("q").concurrency(1), move |job: Job| {
                handle(&job);
                async {}
            })
        };
        let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
        for (n, key) in ["first", "victim", "mover", "last"].iter().enumerate() {
            engine
                .schedule_raw("q", "")
                .key(key)
                .priority(Priority(n as u8))
                .at(at_ms(10))
                .await
                .unwrap()
                .scheduled()
                .unwrap();
        }
        let fired = engine.advance(ms(10)).await;
        assert_eq!(fired.len(), 4);
        let mut order = order.take();
        if !is_inline {
            // The driver may take up the one while the worker has yet to schedule the other.
            order[2..].sort();
        }
        assert_eq!(order, ["first", "last", "past", "zero"]);
        assert_eq!(engine.advance(ms(5)).await[0].key.as_str(), "mover");
        assert_eq!(engine.jobs(), 0);
    }
}

/// Bug 5 again: a handler and its own job.
#[tokio::test]
async fn a_handler_may_schedule_its_own_key_again_but_not_take_itself_back() {
    let rounds = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rounds);
    let handler = move |job: Job| {
        let round = count.fetch_add(1, SeqCst);
        async move {
            let engine = job.engine();
            assert_eq!(engine.cancel(job.handle()).await.unwrap(), CancelOutcome::Running);
            assert_eq!(engine.reschedule(job.key(), ms(1)).await.unwrap(), RescheduleOutcome::Running);
            if round < 4 {
                // Anchored to its schedule, not to now: the next instant after its own.
                let next = job.due().saturating_add_micros(60_000_000);
                let again = engine.schedule_raw("q", "").key(job.key().as_str()).at(next).await.unwrap();
                assert!(matches!(again, ScheduleOutcome::Scheduled { .. }));
            }
        }
    };
    let engine = TestEngine::start(Engine::builder().queue("q", handler), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("q", "").key("tick").at(at_ms(0)).await.unwrap().scheduled().unwrap();
    let fired = engine.advance(Duration::from_secs(3_600)).await;
    let instants: Vec<_> = fired.iter().map(|job| job.fired_at).collect();
    assert_eq!(instants, [0, 1, 2, 3, 4].map(|minute| at_ms(minute * 60_000)));
}

/// Bug 6 of the field notes: a cancel wins over a job that arms itself again, whenever it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_wins_over_a_job_that_repeats_itself() {
    let fired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fired);
    let handler = move |job: Job| {
        count.fetch_add(1, SeqCst);
        async move {
            let again = job
                .engine()
                .schedule_raw("q", "")
                .key(job.key().as_str())
                .after(Duration::ZERO)
                .into_outcome();
            assert!(matches!(again.unwrap(), ScheduleOutcome::Scheduled { .. }));
        }
    };
    let engine = Engine::builder().queue("q", handler).start().await.unwrap();
    for round in 0..200 {
        engine.schedule_raw("q", "").key("k").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        if round % 2 == 0 {
            tokio::time::sleep(ms(1)).await;
        }
        while engine.cancel("k").await.unwrap() != CancelOutcome::Cancelled {
            tokio::task::yield_now().await;
        }
        // What was cancelled is the end of the chain; a handler that armed it may have a moment to go.
        testkit::until_idle(&engine).await;
        let so_far = fired.load(SeqCst);
        tokio::task::yield_now().await;
        assert_eq!((fired.load(SeqCst), engine.jobs()), (so_far, 0), "round {round}");
    }
    assert_eq!(engine.stats().failed, 0);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct OpenSale {
    product: u64,
}

static OPENED: AtomicUsize = AtomicUsize::new(0);

impl Task for OpenSale {
    const NAME: &'static str = "open_sale";
    type Output = Result<(), BoxError>;

    async fn run(self, job: Job) -> Result<(), BoxError> {
        assert_eq!(job.key().as_str(), format!("product:{}", self.product));
        OPENED.fetch_add(self.product as usize, SeqCst);
        if self.product == 13 { Err("bad luck".into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn typed_tasks_carry_their_payload() {
    let builder = Engine::builder().task::<OpenSale>();
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for product in [42, 13] {
        let key = format!("product:{product}");
        engine.schedule(OpenSale { product }).key(key).at(at_ms(5)).await.unwrap().scheduled().unwrap();
    }
    // A payload that is no OpenSale is a failed attempt of that job.
    engine.schedule_raw("open_sale", "{}").key("broken").at(at_ms(5)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(5)).await.len(), 3);
    assert_eq!(OPENED.load(SeqCst), 55);
    let stats = engine.stats();
    assert_eq!((stats.succeeded, stats.failed), (1, 2));
}

#[tokio::test]
async fn queues_can_be_added_while_the_engine_runs_and_only_once() {
    let engine = TestEngine::start(Engine::builder().without_queues(), TEN_O_CLOCK).await.unwrap();
    let unknown = engine.schedule_raw("late", "").key("k").after(ms(1)).into_outcome();
    assert!(unknown.unwrap_err().to_string().contains("add_queue"));
    engine.add_queue("late", nothing).unwrap();
    engine.schedule_raw("late", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(1)).await.len(), 1);

    assert_eq!(engine.add_queue("late", nothing), Err(QueueError::Duplicate { name: "late".into() }));
    assert!(matches!(engine.add_queue("", nothing), Err(QueueError::InvalidName { .. })));
    assert!(matches!(engine.add_queue("x".repeat(129), nothing), Err(QueueError::InvalidName { .. })));
    let none = QueueConfig::new("none").concurrency(0);
    assert!(matches!(engine.add_queue(none, nothing), Err(QueueError::NoConcurrency { .. })));
    assert!(matches!(engine.pause("unknown").await, Err(PauseError::UnknownQueue { .. })));
    for n in 1..reveille::QUEUES_MAX {
        engine.add_queue(format!("q{n}"), nothing).unwrap();
    }
    assert_eq!(engine.add_queue("more", nothing), Err(QueueError::TooMany { max: reveille::QUEUES_MAX }));
    engine
        .schedule_raw("q1023", "")
        .key("k")
        .on_conflict(OnConflict::Replace)
        .after(ms(1))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
}

/// The concurrency of a queue is a limit, and one that is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_runs_as_many_jobs_at_a_time_as_it_may_and_no_more() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let handler = move |_: Job| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(ms(20)).await;
            now.fetch_sub(1, SeqCst);
        }
    };
    let queue = QueueConfig::new("q").concurrency(17);
    let engine = Engine::builder().queue(queue, handler).start().await.unwrap();
    for _ in 0..100 {
        engine.schedule_raw("q", "").after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    testkit::until_idle(&engine).await;
    assert_eq!(most.load(SeqCst), 17);
}

#[test]
fn starting_outside_a_runtime_is_a_typed_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut start = Box::pin(Engine::builder().queue("q", nothing).start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outside) = start.as_mut().poll(&mut context) else {
        panic!("it does not wait")
    };
    assert!(matches!(outside, Err(StartError::NoRuntime)));
    let inside = runtime.block_on(Engine::builder().queue("q", nothing).start());
    assert!(inside.is_ok());
}
