//! Limits of queues: how many jobs start in a time, and how many run, while the engine runs. Bounds that hold on a busy machine.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::testing::TestEngine;
use reveille::{Engine, Job, QueueConfig, QueueError, Rate};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms, nothing, real_now};

fn rate(starts: u32, period: Duration) -> Rate {
    Rate::new(NonZeroU32::new(starts).unwrap(), period)
}

/// On a clock that a test moves, to the microsecond.
#[tokio::test]
async fn a_rate_is_kept_in_any_time_and_in_order() {
    for (starts, period_ms) in [(10, 1_000), (1, 250), (1_000, 1_000), (3, 7_000)] {
        let config = QueueConfig::new("q").rate(rate(starts, ms(period_ms)).burst(NonZeroU32::MIN));
        let engine = TestEngine::start(Engine::builder().queue(config, nothing), TEN_O_CLOCK).await.unwrap();
        for n in 0..300u64 {
            engine
                .schedule_raw("q", "")
                .key(format!("{n:03}"))
                .at(at_ms(1))
                .await
                .unwrap()
                .scheduled()
                .unwrap();
        }
        let fired = engine.advance(ms(period_ms * 301 / u64::from(starts) + 10)).await;
        assert_eq!(fired.len(), 300, "{starts} in {period_ms} ms");
        let apart_us = i64::try_from(period_ms * 1_000 / u64::from(starts)).unwrap();
        for (n, job) in fired.iter().enumerate() {
            let after = job.fired_at.as_micros() - at_ms(1).as_micros();
            let even = apart_us * n as i64;
            assert!(after >= even && after <= even + 2 * n as i64 + 1_000, "{n}: {after} µs, evenly {even}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_in_real_time_and_holds_up_no_other_queue() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (seen, others) = (Arc::clone(&starts), Arc::new(AtomicUsize::new(0)));
    let other = Arc::clone(&others);
    let engine = Engine::builder()
        .queue(QueueConfig::new("slow").rate(rate(1_000, SECOND)), move |job: Job| {
            seen.lock().unwrap().push(job.fired_at());
            async {}
        })
        .queue("fast", move |_: Job| {
            other.fetch_add(1, SeqCst);
            async {}
        })
        .start()
        .await
        .unwrap();
    let due = real_now().saturating_add_micros(300_000);
    for n in 0..20_000 {
        engine.schedule_raw("slow", "").key(format!("s{n}")).at(due).await.unwrap().scheduled().unwrap();
    }
    for n in 0..2_000 {
        engine.schedule_raw("fast", "").key(format!("f{n}")).at(due).await.unwrap().scheduled().unwrap();
    }
    eventually("the other queue is done", || others.load(SeqCst) == 2_000).await;
    assert!(starts.lock().unwrap().len() < 15_000, "the slow one is not");
    tokio::time::sleep(3 * SECOND).await;
    engine.shutdown(SECOND).await;
    let starts = starts.lock().unwrap();
    // Over every second: the rate and a burst, however busy the machine is.
    let us: Vec<i64> = starts.iter().map(|at| at.as_micros()).collect();
    for (n, &from) in us.iter().enumerate().step_by(97) {
        let within = us[n..].partition_point(|&at| at < from + 1_000_000);
        assert!(within <= 1_020, "{within} in a second");
    }
    // And not much less, as far as a busy machine lets it.
    let seconds = (us[us.len() - 1] - us[0]) as f64 / 1e6;
    assert!(us.len() as f64 > 900.0 * seconds, "{} in {seconds} s", us.len());
}

#[tokio::test]
async fn a_rate_is_changed_while_jobs_wait() {
    let config = QueueConfig::new("q").rate(rate(1, 3_600 * SECOND));
    let engine = TestEngine::start(Engine::builder().queue(config, nothing), TEN_O_CLOCK).await.unwrap();
    for _ in 0..20 {
        engine.schedule_raw("q", "").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    }
    assert_eq!(engine.advance(ms(10_000)).await.len(), 1);
    engine.set_rate("q", Some(rate(10, SECOND).burst(NonZeroU32::MIN))).unwrap();
    let fired = engine.advance(3_601 * SECOND).await;
    assert_eq!(fired.len(), 19, "what was used of the old rate counts, and then the new one holds");
    for _ in 0..20 {
        engine.schedule_raw("q", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    }
    engine.set_rate("q", None).unwrap();
    assert_eq!(engine.settle().await.len(), 20);
    assert!(matches!(engine.set_rate("nobody", None), Err(QueueError::Unknown { .. })));
}

/// An inline queue, and one that is paused besides.
#[tokio::test]
async fn inline_and_paused_queues_keep_their_rates() {
    let config = QueueConfig::new("q").rate(rate(10, SECOND).burst(NonZeroU32::MIN));
    let builder = Engine::builder().inline_queue(config, |_: &Job| {});
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for _ in 0..20 {
        engine.schedule_raw("q", "").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    }
    assert_eq!(engine.advance(ms(500)).await.len(), 5);
    engine.pause("q").into_outcome().unwrap();
    assert_eq!(engine.advance(ms(5_000)).await.len(), 0);
    engine.resume("q").into_outcome().unwrap();
    assert_eq!(engine.advance(ms(1_000)).await.len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrency_is_changed_while_jobs_run() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, high) = (Arc::clone(&running), Arc::clone(&most));
    let handler = move |_: Job| {
        let (now, high) = (Arc::clone(&now), Arc::clone(&high));
        async move {
            high.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(ms(5)).await;
            now.fetch_sub(1, SeqCst);
        }
    };
    let engine =
        Engine::builder().queue(QueueConfig::new("q").concurrency(2), handler).start().await.unwrap();
    let fill = async |jobs: usize| {
        for _ in 0..jobs {
            engine.schedule_raw("q", "").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
        }
    };
    fill(100).await;
    engine.idle().await;
    assert_eq!(most.swap(0, SeqCst), 2);
    engine.set_concurrency("q", 12).unwrap();
    fill(300).await;
    engine.idle().await;
    let grown = most.load(SeqCst);
    assert!((3..=12).contains(&grown), "{grown}");
    engine.set_concurrency("q", 1).unwrap();
    fill(40).await;
    // Those that ran on have ended by then.
    tokio::time::sleep(ms(50)).await;
    most.store(0, SeqCst);
    engine.idle().await;
    assert!(most.load(SeqCst) <= 1, "{} at a time", most.load(SeqCst));
    assert!(matches!(engine.set_concurrency("q", 0), Err(QueueError::NoConcurrency { .. })));
}
