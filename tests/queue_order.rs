//! Order between queues that share a pool of handlers: strict, weighted, and never idle while a job could start.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use std::num::NonZeroU32;

use reveille::testing::TestEngine;
use reveille::{Builder, Engine, Job, PoolError, QueueConfig, QueueError, Rate, Retry, StartError};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms, nothing, real_now};
use tokio::sync::Semaphore;

/// The names of queues, in the order in which their jobs began.
type Starts = Arc<Mutex<Vec<String>>>;

/// A handler that notes its start, and yields before it ends.
fn noting(starts: &Starts) -> impl Fn(Job) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let starts = Arc::clone(starts);
    move |job| {
        starts.lock().unwrap().push(job.queue().to_owned());
        Box::pin(tokio::task::yield_now())
    }
}

/// Counts how many run, and the most that ever did.
#[derive(Clone, Default)]
struct Gauge {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    ran: Arc<AtomicUsize>,
}

impl Gauge {
    fn begin(&self) {
        self.most.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn end(&self) {
        self.running.fetch_sub(1, SeqCst);
        self.ran.fetch_add(1, SeqCst);
    }
}

async fn fill(engine: &Engine, queue: &str, jobs: usize) {
    for n in 0..jobs {
        let job = engine.schedule_raw(queue, "").key(format!("{queue}:{n}"));
        job.at(at_ms(1)).await.unwrap().scheduled().unwrap();
    }
}

fn count(starts: &[String], queue: &str) -> usize {
    starts.iter().filter(|name| *name == queue).count()
}

/// On one thread, with a clock that the test moves: the order is exact.
#[tokio::test]
async fn no_job_of_a_lower_precedence_starts_while_one_of_a_higher_is_ready() {
    for pool in [1, 2, 7] {
        let starts = Starts::default();
        let builder = Engine::builder()
            .pool(pool)
            .queue(QueueConfig::new("low").precedence(-1), noting(&starts))
            .queue("middle", noting(&starts))
            .queue(QueueConfig::new("high").precedence(3), noting(&starts));
        let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
        for queue in ["low", "middle", "high"] {
            fill(&engine, queue, 400).await;
        }
        assert_eq!(engine.advance(ms(5)).await.len(), 1_200);
        let starts = starts.lock().unwrap();
        let expected = ["high", "middle", "low"].map(|name| vec![name; 400]).concat();
        assert!(*starts == expected, "a pool of {pool}: {starts:?}");
    }
}

#[tokio::test]
async fn weights_are_shares_at_any_time_and_what_one_leaves_is_the_others() {
    for pool in [1, 3] {
        let starts = Starts::default();
        let builder = Engine::builder()
            .pool(pool)
            .queue(QueueConfig::new("a").weight(3), noting(&starts))
            .queue(QueueConfig::new("b").weight(1), noting(&starts));
        let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
        fill(&engine, "a", 3_000).await;
        fill(&engine, "b", 2_000).await;
        assert_eq!(engine.advance(ms(5)).await.len(), 5_000);
        let starts = starts.lock().unwrap();
        for n in (0..=4_000).step_by(40) {
            let (a, b) = (count(&starts[..n], "a") as i64, count(&starts[..n], "b") as i64);
            assert!((a - 3 * b).abs() <= 8, "a pool of {pool}: {a} and {b} of the first {n}");
        }
        assert!(starts[4_010..].iter().all(|name| name == "b"), "nobody waits for a queue that is empty");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn weights_hold_on_several_threads_in_real_time() {
    let starts = Starts::default();
    let engine = Engine::builder()
        .pool(4)
        .queue(QueueConfig::new("a").weight(3), noting(&starts))
        .queue(QueueConfig::new("b").weight(1), noting(&starts))
        .start()
        .await
        .unwrap();
    let due = real_now().saturating_add_micros(500_000);
    for n in 0..8_000 {
        let queue = if n % 4 == 0 { "b" } else { "a" };
        engine.schedule_raw(queue, "").key(format!("{n}")).at(due).await.unwrap().scheduled().unwrap();
    }
    for n in 0..2_000 {
        engine.schedule_raw("b", "").key(format!("b{n}")).at(due).await.unwrap().scheduled().unwrap();
    }
    engine.idle().await;
    let starts = starts.lock().unwrap();
    // What is noted may be off by what begins at the same time.
    for n in (1_000..8_000).step_by(500) {
        let a = count(&starts[..n], "a");
        assert!((a as f64 / n as f64 - 0.75).abs() < 0.02, "{a} of the first {n}");
    }
    assert_eq!(starts.len(), 10_000);
}

/// A queue that cannot start holds up none below it: paused, held by its rate, at its own limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_may_not_start_holds_up_no_other() {
    let (gate, low) = (Arc::new(Semaphore::new(0)), Gauge::default());
    let (waits, counts) = (Arc::clone(&gate), low.clone());
    let hour = Rate::new(NonZeroU32::MIN, 3_600 * SECOND);
    let high = |name: &str| QueueConfig::new(name).precedence(9);
    let engine = Engine::builder()
        .pool(2)
        .queue(high("paused").paused(), nothing)
        .queue(high("held").rate(hour), nothing)
        .queue(high("full").concurrency(1), move |_: Job| {
            let waits = Arc::clone(&waits);
            async move { waits.acquire().await.unwrap().forget() }
        })
        .queue("low", move |_: Job| {
            counts.begin();
            counts.end();
            async {}
        })
        .start()
        .await
        .unwrap();
    for queue in ["paused", "held", "full", "low"] {
        for _ in 0..200 {
            engine.schedule_raw(queue, "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
    }
    eventually("the lower one is done", || low.ran.load(SeqCst) == 200).await;
    let ready = |name: &str| engine.stats().queues.iter().find(|queue| queue.name == name).unwrap().ready;
    eventually("and the others are not", || {
        ready("paused") == 200 && ready("held") == 199 && ready("full") == 199
    })
    .await;
    assert_eq!(engine.stats().pool.map(|pool| (pool.limit, pool.in_use)), Some((2, 1)));
    engine.resume("paused").await.unwrap();
    eventually("it goes on", || ready("paused") == 0).await;
    engine.set_rate("held", None).unwrap();
    gate.add_permits(200);
    engine.idle().await;
    eventually("all permits are back", || engine.stats().pool.unwrap().in_use == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_run_than_the_pool_lets_and_that_is_changed_while_they_do() {
    let gauge = Gauge::default();
    let handler = || {
        let gauge = gauge.clone();
        move |_: Job| {
            let gauge = gauge.clone();
            async move {
                gauge.begin();
                tokio::time::sleep(ms(2)).await;
                gauge.end();
            }
        }
    };
    let blocks = gauge.clone();
    let engine = Engine::builder()
        .pool(3)
        .queue("a", handler())
        .queue(QueueConfig::new("b").weight(2), handler())
        .blocking_queue(QueueConfig::new("blocks").concurrency(2), move |_: &Job| {
            blocks.begin();
            std::thread::sleep(ms(2));
            blocks.end();
        })
        .start()
        .await
        .unwrap();
    let fill = async |jobs: usize| {
        for n in 0..jobs {
            let queue = ["a", "b", "blocks"][n % 3];
            engine.schedule_raw(queue, "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
        engine.idle().await;
        gauge.most.swap(0, SeqCst)
    };
    assert_eq!(fill(300).await, 3);
    engine.set_pool(9).unwrap();
    let most = fill(900).await;
    assert!((4..=9).contains(&most), "{most} at a time");
    engine.set_pool(1).unwrap();
    assert_eq!(fill(90).await, 1);
    assert_eq!(engine.set_pool(0), Err(PoolError::Empty));
    engine.set_pool(usize::MAX).unwrap();
    let most = fill(900).await;
    assert!(most > 3, "{most} at a time");
    assert_eq!(gauge.ran.load(SeqCst), 300 + 900 + 90 + 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_pool_starts_what_waits() {
    let (gate, gauge) = (Arc::new(Semaphore::new(0)), Gauge::default());
    let (waits, counts) = (Arc::clone(&gate), gauge.clone());
    let builder = Engine::builder().pool(1).queue("q", move |_: Job| {
        let (waits, counts) = (Arc::clone(&waits), counts.clone());
        async move {
            counts.begin();
            waits.acquire().await.unwrap().forget();
            counts.end();
        }
    });
    let engine = builder.start().await.unwrap();
    for _ in 0..20 {
        engine.schedule_raw("q", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    }
    for handlers in [1, 2, 5, 12] {
        engine.set_pool(handlers).unwrap();
        eventually("as many run as may", || gauge.running.load(SeqCst) == handlers).await;
    }
    engine.set_pool(3).unwrap();
    gate.add_permits(9);
    eventually("nine have ended", || gauge.ran.load(SeqCst) == 9).await;
    assert_eq!(gauge.running.load(SeqCst), 3, "and no other has begun");
    gate.add_permits(20);
    engine.idle().await;
}

/// However an attempt ends, its permit comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_panics_and_timeouts_give_their_permits_back() {
    let retry = Retry::attempts(2).fixed(ms(1));
    let engine = Engine::builder()
        .pool(1)
        .queue(QueueConfig::new("fails").retry(retry), async |_: Job| Err::<(), _>("no"))
        .queue(QueueConfig::new("panics").weight(2), |_: Job| async { panic!("on purpose") })
        .queue(QueueConfig::new("slow").timeout(ms(1)), |_: Job| tokio::time::sleep(3_600 * SECOND))
        .blocking_queue("panics_blocking", |_: &Job| panic!("on purpose"))
        .start()
        .await
        .unwrap();
    for queue in ["fails", "panics", "slow", "panics_blocking"] {
        for _ in 0..40 {
            engine.schedule_raw(queue, "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
    }
    engine.idle().await;
    eventually("all permits are back", || engine.stats().pool.unwrap().in_use == 0).await;
    assert_eq!(engine.stats().fired, 40 * 5);
}

/// Rounds of everything that starts jobs or keeps them from starting, from several threads. A call that is lost shows as a round that
/// does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_lost_in_random_rounds() {
    const QUEUES: usize = 6;
    let gauge = Gauge::default();
    let mut builder = Engine::builder().pool(2).partitions(3).jobs_max(100_000);
    for n in 0..QUEUES {
        let gauge = gauge.clone();
        let config = QueueConfig::new(format!("q{n}"))
            .precedence(n as i8 % 2)
            .weight(1 + n as u16)
            .concurrency([1, 2, 128][n % 3]);
        builder = builder.queue(config, move |job: Job| {
            let gauge = gauge.clone();
            async move {
                gauge.begin();
                for _ in 0..job.payload().as_bytes().len() {
                    tokio::task::yield_now().await;
                }
                gauge.end();
            }
        });
    }
    let engine = builder.start().await.unwrap();
    let mut scheduled = 0;
    for round in 0..2_000 {
        let threads = (0..3).map(|thread| {
            let engine = engine.clone();
            tokio::spawn(async move { disturb(&engine, QUEUES, round * 3 + thread).await })
        });
        for thread in threads.collect::<Vec<_>>() {
            scheduled += thread.await.unwrap();
        }
        for n in 0..QUEUES {
            engine.resume(format!("q{n}").as_str()).await.unwrap();
        }
        let is_idle = tokio::time::timeout(60 * SECOND, engine.idle()).await.is_ok();
        assert!(is_idle, "round {round} does not end: {:?}", engine.stats());
    }
    assert!(scheduled > 10_000, "{scheduled}");
    assert_eq!(gauge.ran.load(SeqCst), scheduled);
    eventually("all permits are back", || engine.stats().pool.unwrap().in_use == 0).await;
}

/// Returns how many jobs it has scheduled.
async fn disturb(engine: &Engine, queues: usize, seed: u64) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut scheduled = 0;
    for _ in 0..12 {
        let queue = format!("q{}", draw(queues as u64));
        match draw(10) {
            0 => drop(engine.pause(queue.as_str()).await.unwrap()),
            1 => drop(engine.resume(queue.as_str()).await.unwrap()),
            2 => engine.set_pool(1 + draw(4) as usize).unwrap(),
            3 => engine.set_concurrency(&queue, 1 + draw(3) as usize).unwrap(),
            4 => {
                let rate = Rate::new(NonZeroU32::new(20_000).unwrap(), SECOND).burst(NonZeroU32::MIN);
                engine.set_rate(&queue, (draw(2) == 0).then_some(rate)).unwrap();
            }
            _ => {
                let job = engine.schedule_raw(queue.as_str(), vec![0; draw(3) as usize]);
                job.after(Duration::from_micros(draw(900))).await.unwrap().scheduled().unwrap();
                scheduled += 1;
            }
        }
    }
    scheduled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_what_runs_and_starts_nothing_more() {
    let (has_begun, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (begun, runs) = (Arc::clone(&has_begun), Arc::clone(&ran));
    let engine = Engine::builder()
        .pool(1)
        .queue("a", move |_: Job| {
            begun.store(true, SeqCst);
            let runs = Arc::clone(&runs);
            async move {
                tokio::time::sleep(ms(50)).await;
                runs.fetch_add(1, SeqCst);
            }
        })
        .queue("b", nothing)
        .start()
        .await
        .unwrap();
    for _ in 0..10 {
        for queue in ["a", "b"] {
            engine.schedule_raw(queue, "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
    }
    eventually("one has begun", || has_begun.load(SeqCst)).await;
    let report = engine.shutdown(20 * SECOND).await;
    assert_eq!(report.still_running, 0);
    let ended = ran.load(SeqCst);
    tokio::time::sleep(ms(120)).await;
    assert_eq!(ran.load(SeqCst), ended);
}

/// The order within a queue is as without a pool.
#[tokio::test]
async fn within_a_queue_the_order_stays() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let builder = Engine::builder().pool(1).queue("q", move |job: Job| {
        seen.lock().unwrap().push(job.due());
        async {}
    });
    let engine = TestEngine::start(builder.queue(QueueConfig::new("other").weight(2), nothing), TEN_O_CLOCK)
        .await
        .unwrap();
    for n in 0..500_i64 {
        let due = at_ms(1 + n * 7_919 % 500);
        for queue in ["q", "other"] {
            engine.schedule_raw(queue, "").at(due).await.unwrap().scheduled().unwrap();
        }
    }
    assert_eq!(engine.advance(SECOND).await.len(), 1_000);
    assert!(starts.lock().unwrap().is_sorted());
}

/// A queue for each tenant: one that floods has all jobs due at once, and another's job comes after a bounded number of starts.
#[tokio::test]
async fn a_tenant_that_floods_delays_another_by_a_turn() {
    let starts = Starts::default();
    let mut builder = Engine::builder().pool(1).queue(QueueConfig::new("flood").weight(5), noting(&starts));
    for tenant in 0..40 {
        builder = builder.queue(format!("t{tenant}"), noting(&starts));
    }
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().patience(300 * SECOND);
    // As many as are released as one: of a larger tick a tenant's job may come out later.
    fill(&engine, "flood", 1_500).await;
    for tenant in 0..40 {
        fill(&engine, &format!("t{tenant}"), 2).await;
    }
    assert_eq!(engine.advance(ms(5)).await.len(), 1_580);
    let starts = starts.lock().unwrap();
    for tenant in 0..40 {
        let its: Vec<_> = (0..starts.len()).filter(|&n| starts[n] == format!("t{tenant}")).collect();
        assert!(its[0] < 45 + 1 && its[1] < 2 * 45 + 1, "t{tenant} at {its:?}");
    }
}

/// Layers that are not ready for a job keep nobody else from starting.
#[cfg(feature = "tower")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_whose_layers_are_not_ready_holds_up_no_other() {
    let limit =
        Arc::new(tower::limit::GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(Semaphore::new(0))));
    let config = QueueConfig::new("layered").precedence(5).layer((*limit).clone());
    let ran = Gauge::default();
    let counts = ran.clone();
    let builder = Engine::builder().pool(1).queue(config, nothing).queue("plain", move |_: Job| {
        counts.begin();
        counts.end();
        async {}
    });
    let engine = builder.start().await.unwrap();
    for queue in ["layered", "plain"] {
        for _ in 0..50 {
            engine.schedule_raw(queue, "").after(ms(20)).await.unwrap().scheduled().unwrap();
        }
    }
    eventually("the other is done", || ran.ran.load(SeqCst) == 50).await;
    engine.shutdown(SECOND).await;
}

#[tokio::test]
async fn what_means_nothing_is_refused() {
    let start = async |builder: Builder| builder.start().await.unwrap_err();
    let said = QueueConfig::new("q").weight(2);
    let error = start(Engine::builder().queue(said.clone(), nothing)).await;
    assert!(matches!(error, StartError::Queue(QueueError::NoPool { .. })), "{error}");
    let error = start(Engine::builder().pool(1).inline_queue(said.clone(), |_: &Job| {})).await;
    assert!(matches!(error, StartError::Queue(QueueError::NoPool { .. })), "{error}");
    let error = start(Engine::builder().pool(1).queue(QueueConfig::new("q").weight(0), nothing)).await;
    assert!(matches!(error, StartError::Queue(QueueError::NoWeight { .. })), "{error}");
    let error = start(Engine::builder().pool(0).queue("q", nothing)).await;
    assert!(matches!(error, StartError::InvalidSetting { setting: "pool", .. }), "{error}");
    let engine = Engine::builder().queue("q", nothing).start().await.unwrap();
    assert_eq!(engine.set_pool(3), Err(PoolError::NoPool));
    assert!(matches!(
        engine.add_queue(said, nothing),
        Err(QueueError::Duplicate { .. } | QueueError::NoPool { .. })
    ));
    assert!(engine.stats().pool.is_none());
}

/// Inline queues are in no pool, and one that is added later is.
#[tokio::test]
async fn inline_queues_go_on_and_added_ones_take_part() {
    let starts = Starts::default();
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let builder =
        Engine::builder().pool(1).inline_queue("inline", |_: &Job| {}).queue("waits", move |_: Job| {
            let waits = Arc::clone(&waits);
            async move { waits.acquire().await.unwrap().forget() }
        });
    let engine = builder.start().await.unwrap();
    engine.schedule_raw("waits", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    eventually("it has the only permit", || engine.stats().pool.unwrap().in_use == 1).await;
    engine.add_queue(QueueConfig::new("first").precedence(1), noting(&starts)).unwrap();
    engine.add_queue("last", noting(&starts)).unwrap();
    for queue in ["last", "first", "inline"] {
        engine.schedule_raw(queue, "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    }
    let fired = |name: &str| engine.stats().queues.iter().find(|queue| queue.name == name).unwrap().fired;
    eventually("the inline job has run", || fired("inline") == 1).await;
    eventually("both are due", || engine.stats().ready == 2).await;
    assert!(starts.lock().unwrap().is_empty());
    gate.add_permits(1);
    engine.idle().await;
    assert_eq!(*starts.lock().unwrap(), ["first", "last"]);
}
