//! Promise 7 over partitions: of the ready jobs of a queue the first starts by tick, priority and due, whichever partitions
//! they are in. One worker, or the driver, and eight partitions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{Builder, Engine, Job, Priority, QueueConfig, Timestamp};
use testkit::random::Random;
use testkit::{Keys, TEN_O_CLOCK, at_ms, eventually, ms, real_now, until_idle};

const PARTITIONS: u16 = 8;

/// A job, and where it belongs: tick, priority, due, all told by its key.
#[derive(Clone, Debug)]
struct Planned {
    priority: u8,
    us: i64,
    key: String,
}

/// Jobs due at microseconds of their own, within `ticks` ticks from the one that ends at `from_ms` on.
fn planned(seed: u64, count: usize, from_ms: i64, ticks: u64, priorities: u64) -> Vec<Planned> {
    let mut random = Random::seeded(seed);
    let mut dues = std::collections::BTreeSet::new();
    while dues.len() < count {
        dues.insert((from_ms - 1) * 1_000 + 1 + random.below(ticks * 1_000) as i64);
    }
    let mut jobs: Vec<Planned> = dues
        .into_iter()
        .map(|us| {
            let priority = random.below(priorities) as u8;
            Planned { priority, us, key: format!("{us} {priority} of {seed}") }
        })
        .collect();
    for at in (1..jobs.len()).rev() {
        jobs.swap(at, random.below(at as u64 + 1) as usize);
    }
    jobs
}

/// In the order in which they must start.
fn in_order(mut jobs: Vec<Planned>) -> Vec<String> {
    jobs.sort_by_key(|job| ((job.us + 999).div_euclid(1_000), job.priority, job.us));
    jobs.into_iter().map(|job| job.key).collect()
}

async fn schedule(engine: &Engine, queue: &str, base: Timestamp, jobs: &[Planned]) {
    for job in jobs {
        let due = Timestamp::from_micros(base.as_micros() + job.us);
        let call = engine.schedule_raw(queue, "").key(&job.key).priority(Priority(job.priority));
        call.at(due).await.unwrap().scheduled().unwrap();
    }
}

fn one_worker(order: &Keys, config: QueueConfig) -> Builder {
    Engine::builder().partitions(PARTITIONS).queue(config.concurrency(1), order.handler())
}

fn the_driver(order: &Keys) -> Builder {
    Engine::builder().partitions(PARTITIONS).inline_queue("q", order.inline_handler())
}

#[track_caller]
fn assert_order(order: &Keys, jobs: Vec<Planned>) {
    let (started, expected) = (order.take(), in_order(jobs));
    let first = started.iter().zip(&expected).position(|(started, expected)| started != expected);
    assert_eq!(first.map(|at| (at, &started[at], &expected[at])), None);
    assert_eq!(started.len(), expected.len());
}

#[tokio::test]
async fn the_jobs_of_a_tick_start_in_order_over_all_partitions() {
    for seed in 0..10 {
        for inline in [false, true] {
            let order = Keys::default();
            let builder = if inline { the_driver(&order) } else { one_worker(&order, QueueConfig::new("q")) };
            let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
            let jobs = planned(seed, 300, 10, 1, 5);
            schedule(&engine, "q", TEN_O_CLOCK, &jobs).await;
            engine.advance(ms(20)).await;
            assert_order(&order, jobs);
        }
    }
}

/// The clock jumps over hundreds of ticks, so that all are due at once.
#[tokio::test]
async fn the_ticks_of_a_catch_up_start_in_order_over_all_partitions() {
    for seed in 0..10 {
        for inline in [false, true] {
            let order = Keys::default();
            let builder = if inline { the_driver(&order) } else { one_worker(&order, QueueConfig::new("q")) };
            let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
            let jobs = planned(seed, 1_000, 10, 300, 3);
            schedule(&engine, "q", TEN_O_CLOCK, &jobs).await;
            engine.clock().advance(Duration::from_secs(1));
            engine.settle().await;
            assert_order(&order, jobs);
        }
    }
}

#[tokio::test]
async fn a_paused_queue_s_backlog_starts_in_order_once_it_is_resumed() {
    for seed in 0..10 {
        let order = Keys::default();
        let engine =
            TestEngine::start(one_worker(&order, QueueConfig::new("q").paused()), TEN_O_CLOCK).await.unwrap();
        let jobs = planned(seed, 1_000, 10, 50, 4);
        schedule(&engine, "q", TEN_O_CLOCK, &jobs).await;
        engine.advance(ms(200)).await;
        assert_eq!(order.len(), 0);
        engine.resume("q").into_outcome().unwrap();
        engine.settle().await;
        assert_order(&order, jobs);
    }
}

/// Jobs after a delay follow the other clock, whose ticks do not begin with those of the wall.
#[tokio::test]
async fn jobs_after_a_delay_start_in_order_too() {
    for seed in 0..5 {
        let order = Keys::default();
        let engine = TestEngine::start(one_worker(&order, QueueConfig::new("q")), TEN_O_CLOCK).await.unwrap();
        let jobs = planned(seed, 500, 10, 3, 4);
        for job in &jobs {
            let after = Duration::from_micros(job.us as u64);
            let call = engine.schedule_raw("q", "").key(&job.key).priority(Priority(job.priority));
            call.after(after).await.unwrap().scheduled().unwrap();
        }
        let base_us = engine.clock().now().mono.as_micros() as i64 % 1_000;
        engine.clock().advance(ms(100));
        engine.settle().await;
        let key_of = |job: &Planned| ((job.us + base_us + 999).div_euclid(1_000), job.priority, job.us);
        let mut expected = jobs;
        expected.sort_by_key(key_of);
        assert_eq!(order.take(), expected.into_iter().map(|job| job.key).collect::<Vec<_>>());
    }
}

/// Real time, a real driver, and a worker on another thread that is busy with the first tick when the second is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ticks_start_in_order_in_real_time() {
    for seed in 0..5 {
        for inline in [false, true] {
            // All are to be there before the first is due: a busy machine gets more time for it.
            let mut ahead_us = 500_000;
            loop {
                let order = Keys::default();
                let builder =
                    if inline { the_driver(&order) } else { one_worker(&order, QueueConfig::new("q")) };
                let engine = builder.start().await.unwrap();
                let base = Timestamp::from_micros(real_now().as_micros() / 1_000 * 1_000 + ahead_us);
                let jobs = planned(seed, 1_500, 0, 2, 5);
                schedule(&engine, "q", base, &jobs).await;
                let was_in_time = real_now() < base;
                until_idle(&engine).await;
                if was_in_time {
                    assert_order(&order, jobs);
                    break;
                }
                ahead_us *= 2;
            }
        }
    }
}

/// The jobs of a tick of which more than is released as one: by priority in any case, whichever partition is gathered first.
async fn assert_large_tick_starts_by_priority(priorities: &[u8], is_inline: bool) {
    let log = Keys::default();
    let (sink, inline_sink) = (log.clone(), log.clone());
    let builder = Engine::builder().partitions(PARTITIONS);
    let builder = if is_inline {
        builder.inline_queue("q", move |job: &Job| inline_sink.push(job.priority().0.to_string()))
    } else {
        builder.queue(QueueConfig::new("q").concurrency(1), move |job: Job| {
            sink.push(job.priority().0.to_string());
            async {}
        })
    };
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let schedule = |key: String, priority: u8, ms: i64| {
        let call = engine.schedule_raw("q", "").key(key).priority(Priority(priority));
        call.at(at_ms(ms)).into_outcome().unwrap().scheduled().unwrap();
    };
    for (n, &priority) in priorities.iter().enumerate() {
        schedule(format!("{n}"), priority, 10);
    }
    // Those of another tick are later, and those that are taken back never.
    for n in 0..40 {
        schedule(format!("later {n}"), 0, 20);
        schedule(format!("never {n}"), 1, 10);
        engine.cancel(format!("never {n}").as_str()).await.unwrap().cancelled().unwrap();
    }
    engine.advance(ms(10)).await;
    let started: Vec<u8> = log.take().iter().map(|text| text.parse().unwrap()).collect();
    let mut expected = priorities.to_vec();
    expected.sort_unstable();
    assert_eq!(started, expected);
    engine.advance(ms(10)).await;
    assert_eq!(log.take(), vec!["0"; 40]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_tick_starts_by_priority_over_all_partitions() {
    let mut random = Random::seeded(7);
    let many: Vec<u8> = (0..30_000).map(|_| random.below(9) as u8).collect();
    assert_large_tick_starts_by_priority(&many, false).await;
    assert_large_tick_starts_by_priority(&many, true).await;
}

/// A few that are not like the others, in whichever partition: none may be passed while that is still being gathered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_tick_of_one_priority_waits_for_the_few_that_go_first() {
    for seed in 0..6 {
        let mut random = Random::seeded(seed);
        let mut priorities = vec![Priority::NORMAL.0; 30_000];
        for _ in 0..seed * 3 {
            let at = random.below(30_000) as usize;
            priorities[at] = random.below(200) as u8;
        }
        assert_large_tick_starts_by_priority(&priorities, seed % 2 == 1).await;
    }
}

/// What was overdue when the engine came goes in order over all partitions, at one pace, or as fast as it can.
#[tokio::test]
async fn overdue_jobs_start_in_order_after_a_restart() {
    for (per_second, inline) in [(200, false), (0, false), (100_000, false), (200, true), (3, false)] {
        let store = Arc::new(MemoryStore::new());
        let order = Keys::default();
        let engine =
            TestEngine::start(one_worker(&order, QueueConfig::new("q")).store(store.clone()), TEN_O_CLOCK)
                .await
                .unwrap();
        let count = if per_second == 3 { 30 } else { 600 };
        let jobs = planned(per_second.into(), count, 10, 100, 4);
        schedule(&engine, "q", TEN_O_CLOCK, &jobs).await;
        engine.shutdown(ms(5_000)).await;

        let builder = if inline { the_driver(&order) } else { one_worker(&order, QueueConfig::new("q")) };
        let builder = builder.store(store).catch_up_per_second(per_second);
        let engine = TestEngine::start(builder, at_ms(60_000)).await.unwrap();
        let first = engine.settle().await.len();
        match per_second {
            0 => assert_eq!(first, count, "as fast as they can"),
            _ => assert!(first <= (per_second as usize / 100).max(1), "{first} at once"),
        }
        for second in 1..=11 {
            engine.advance(Duration::from_secs(1)).await;
            let most = (second * per_second as usize + (per_second as usize / 100).max(1)).min(count);
            if per_second > 0 {
                assert_eq!(
                    order.len(),
                    most,
                    "after {second} s at {per_second} a second, over all partitions"
                );
            }
        }
        assert_order(&order, jobs);
    }
}

/// One that is late already when the others come due, and those that come due while overdue ones are let go.
#[tokio::test]
async fn what_was_overdue_starts_before_what_comes_due_while_both_wait() {
    let store = Arc::new(MemoryStore::new());
    let order = Keys::default();
    let engine =
        TestEngine::start(one_worker(&order, QueueConfig::new("q")).store(store.clone()), TEN_O_CLOCK)
            .await
            .unwrap();
    let mut jobs = planned(1, 200, 10, 100, 4);
    schedule(&engine, "q", TEN_O_CLOCK, &jobs).await;
    engine.shutdown(ms(5_000)).await;
    let builder = one_worker(&order, QueueConfig::new("q").paused()).store(store).catch_up_per_second(100);
    let engine = TestEngine::start(builder, at_ms(60_000)).await.unwrap();
    let later = planned(2, 200, 60_010, 100, 4);
    schedule(&engine, "q", TEN_O_CLOCK, &later).await;
    jobs.extend(later);
    engine.advance(Duration::from_secs(5)).await;
    engine.resume("q").into_outcome().unwrap();
    engine.settle().await;
    assert_order(&order, jobs);
}

/// Another queue's jobs do not wait until a burst has been gathered and released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_another_queue_start_while_a_burst_is_on_its_way() {
    const BURST: usize = 500_000;
    const OTHERS: usize = 8;
    // How many jobs of the burst had become ready when each of the others started.
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let others = {
        let seen = Arc::clone(&seen);
        move |job: &Job| seen.lock().unwrap().push(job.engine().stats().queues[0].ready)
    };
    let burst = QueueConfig::new("burst").paused();
    let builder = Engine::builder().partitions(PARTITIONS).queue(burst, |_: Job| async {});
    // On the thread that releases the burst, so that a busy machine does not come between.
    let engine = builder.inline_queue("others", others).start().await.unwrap();
    let instant = real_now().saturating_add_micros(6_000_000);
    for _ in 0..BURST {
        engine.schedule_raw("burst", "").at(instant).into_outcome().unwrap().scheduled().unwrap();
    }
    for n in 1..=OTHERS {
        let due = instant.saturating_add_micros(n as u64 * 1_000);
        engine.schedule_raw("others", "").at(due).into_outcome().unwrap().scheduled().unwrap();
    }
    assert!(real_now() < instant, "this machine is too slow to schedule that many in time");
    eventually("the burst is ready", || engine.stats().queues[0].ready == BURST).await;
    eventually("the others have started", || seen.lock().unwrap().len() == OTHERS).await;
    let early = seen.lock().unwrap().iter().filter(|&&ready| ready < BURST).count();
    // Without a way past it there would be none, however long they take to start.
    assert!(early > 0, "{:?} of {BURST} were ready", seen.lock().unwrap());
    engine.shutdown(Duration::ZERO).await;
}

/// What happens to a backlog, in any order.
#[derive(Clone, Debug)]
enum Step {
    Schedule { ticks: i64, us: i64, priority: u8 },
    Cancel(usize),
    Move { which: usize, ticks: i64 },
    Pass(u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..8_i64, 0..1_000_i64, 0..4_u8).prop_map(|(ticks, us, priority)| Step::Schedule { ticks, us, priority }),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), 1..8_i64).prop_map(|(which, ticks)| Step::Move { which, ticks }),
        2 => (1..5_u64).prop_map(Step::Pass),
        1 => Just(Step::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A sorted list: what is due of it starts in its order, whatever was cancelled and moved before.
    #[test]
    fn a_backlog_is_a_sorted_list(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let order = Keys::default();
            let engine = TestEngine::start(one_worker(&order, QueueConfig::new("q").paused()), TEN_O_CLOCK).await.unwrap();
            let (mut pending, mut made, mut now_ms): (Vec<Planned>, _, i64) = (Vec::new(), 0, 0);
            for step in steps.into_iter().chain([Step::Pass(20), Step::Drain]) {
                match step {
                    Step::Schedule { ticks, us, priority } => {
                        // Sequence decides between equals in one partition; so that it need not, no two are equal.
                        let us = (now_ms + ticks) * 1_000 - us;
                        if us <= now_ms * 1_000 || pending.iter().any(|job| job.us == us) {
                            continue;
                        }
                        made += 1;
                        let job = Planned { priority, us, key: format!("{made}") };
                        schedule(&engine, "q", TEN_O_CLOCK, std::slice::from_ref(&job)).await;
                        pending.push(job);
                    }
                    Step::Cancel(which) if !pending.is_empty() => {
                        let job = pending.swap_remove(which % pending.len());
                        engine.cancel(job.key.as_str()).await.unwrap().cancelled().unwrap();
                    }
                    Step::Move { which, ticks } if !pending.is_empty() => {
                        let at = which % pending.len();
                        let us = (now_ms + ticks) * 1_000 - pending[at].us.rem_euclid(1_000);
                        if us <= now_ms * 1_000 || pending.iter().any(|job| job.us == us) {
                            continue;
                        }
                        pending[at].us = us;
                        let due = Timestamp::from_micros(TEN_O_CLOCK.as_micros() + us);
                        engine.reschedule(pending[at].key.as_str(), due).await.unwrap().rescheduled().unwrap();
                    }
                    Step::Pass(ticks) => {
                        engine.advance(ms(ticks)).await;
                        now_ms += ticks as i64;
                    }
                    Step::Drain => {
                        engine.resume("q").into_outcome().unwrap();
                        engine.settle().await;
                        engine.pause("q").into_outcome().unwrap();
                        let (due, left) = pending.into_iter().partition(|job| job.us <= now_ms * 1_000);
                        pending = left;
                        assert_order(&order, due);
                    }
                    Step::Cancel(_) | Step::Move { .. } => {}
                }
            }
        });
    }
}
