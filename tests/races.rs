//! Races, in real time and on real threads: who wins is open, that exactly one does is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::{CancelOutcome, Engine, Job, OnConflict, QueueConfig, RescheduleOutcome, ScheduleOutcome};
use testkit::random::Random;
use testkit::{nothing, real_now, until_idle};

const WAVES: usize = 1_000;
const JOBS_PER_WAVE: usize = 1_000;

/// Promise 3: a million jobs, each cancelled by this thread while the driver fires it on its own. One of the two
/// wins, and the answer to the cancel says which.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn promise_3_cancel_against_fire_has_exactly_one_winner() {
    let fired: Arc<[AtomicU8]> = (0..JOBS_PER_WAVE).map(|_| AtomicU8::new(0)).collect();
    let record = Arc::clone(&fired);
    let handler = move |job: &Job| {
        let n = u32::from_le_bytes(job.payload().as_bytes().try_into().unwrap());
        record[n as usize].fetch_add(1, SeqCst);
    };
    let engine = Engine::builder().inline_queue("q", handler).start().await.unwrap();
    let keys: Vec<String> = (0..JOBS_PER_WAVE).map(|n| format!("job:{n}")).collect();
    let (mut cancelled, mut too_late) = (0usize, 0usize);
    for wave in 0..WAVES {
        let instant = real_now().saturating_add_micros(1_000);
        for (n, key) in keys.iter().enumerate() {
            let payload = (n as u32).to_le_bytes();
            let commit = engine.schedule_raw("q", &payload).key(key).at(instant);
            assert!(matches!(commit.into_outcome().unwrap(), ScheduleOutcome::Scheduled { .. }));
        }
        // Waves begin their cancelling at different moments around the instant, so that both sides win some.
        while real_now() < instant.saturating_sub_micros(100).saturating_add_micros((wave % 8) as u64 * 50) {
            std::hint::spin_loop();
        }
        let outcomes: Vec<_> = keys.iter().map(|key| engine.cancel(key).into_outcome().unwrap()).collect();
        engine.idle().await;
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let times = fired[n].swap(0, SeqCst);
            match outcome {
                CancelOutcome::Cancelled => assert_eq!(times, 0, "fired after an acknowledged cancel"),
                CancelOutcome::Running | CancelOutcome::AlreadyFired { .. } => {
                    assert_eq!(times, 1, "{outcome:?}, yet not fired exactly once");
                }
                other => panic!("{other:?} is no answer for a job that was scheduled"),
            }
            if outcome == CancelOutcome::Cancelled { cancelled += 1 } else { too_late += 1 }
        }
    }
    assert_eq!(cancelled + too_late, WAVES * JOBS_PER_WAVE);
    assert!(cancelled > 0 && too_late > 0, "{cancelled} cancelled, {too_late} fired: there was no race");
    let stats = engine.stats();
    assert_eq!((stats.fired, stats.cancelled), (too_late as u64, cancelled as u64));
}

/// Two threads schedule, move and cancel the same keys while they fire. At the end every job that was taken has
/// fired or was cancelled or replaced, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_4_the_outcomes_of_two_threads_on_the_same_keys_add_up() {
    let fired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fired);
    let handler = move |_: Job| {
        count.fetch_add(1, SeqCst);
        async {}
    };
    let engine = Engine::builder().queue("q", handler).start().await.unwrap();
    let callers: Vec<_> = (0..2u64)
        .map(|caller| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let (mut taken, mut gone) = (0usize, 0usize);
                let mut random = Random::seeded(caller);
                for _ in 0..100_000 {
                    let (dice, key) = (random.below(4), format!("k{}", random.below(500)));
                    let delay = Duration::from_micros(random.below(3_000));
                    match dice {
                        0 | 1 => {
                            let policy = if dice == 0 { OnConflict::Replace } else { OnConflict::Keep };
                            let schedule = engine.schedule_raw("q", "").key(key).on_conflict(policy);
                            let outcome = schedule.after(delay).into_outcome().unwrap();
                            taken += usize::from(outcome.is_taken());
                            gone += usize::from(matches!(outcome, ScheduleOutcome::Replaced { .. }));
                        }
                        2 => {
                            let outcome = engine.reschedule(&key, delay).into_outcome().unwrap();
                            assert!(!matches!(outcome, RescheduleOutcome::Changed { .. }));
                        }
                        _ => {
                            let outcome = engine.cancel(&key).into_outcome().unwrap();
                            gone += usize::from(outcome == CancelOutcome::Cancelled);
                        }
                    }
                }
                (taken, gone)
            })
        })
        .collect();
    let (mut taken, mut gone) = (0, 0);
    for caller in callers {
        let (more_taken, more_gone) = tokio::task::spawn_blocking(|| caller.join().unwrap()).await.unwrap();
        taken += more_taken;
        gone += more_gone;
    }
    until_idle(&engine).await;
    assert_eq!(taken, gone + fired.load(SeqCst));
    assert_eq!((engine.jobs(), engine.stats().pending), (0, 0));
}

/// Bug 3 of the field notes: an insert earlier than the present sleep ends it; a later one does not put it off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_insert_wakes_the_driver_and_a_later_one_does_not_delay_it() {
    let engine = Engine::builder().queue("q", nothing).start().await.unwrap();
    engine
        .schedule_raw("q", "")
        .key("far")
        .after(Duration::from_secs(3_600))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    for n in 0..200 {
        // The driver sleeps towards "far" or has just begun to.
        if n % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let key = format!("near{n}");
        engine
            .schedule_raw("q", "")
            .key(&key)
            .after(Duration::from_millis(2))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
        engine
            .schedule_raw("q", "")
            .key(format!("later{n}"))
            .after(Duration::from_secs(60))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
        let deadline = real_now().saturating_add_micros(20_000_000);
        while matches!(engine.lookup(&key), reveille::LookupOutcome::Scheduled(_)) {
            assert!(real_now() < deadline, "slept through {key}");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    assert_eq!(engine.stats().fired, 200);
}

/// Pause and resume, again and again, under load: no wake-up of a worker is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_under_load_loses_nothing() {
    let engine =
        Engine::builder().queue(QueueConfig::new("q").concurrency(3), nothing).start().await.unwrap();
    for round in 0..300u64 {
        for n in 0..50 {
            engine
                .schedule_raw("q", "")
                .after(Duration::from_micros(n * 20))
                .await
                .unwrap()
                .scheduled()
                .unwrap();
        }
        engine.pause("q").into_outcome().unwrap();
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_micros(round * 7)).await;
        }
        engine.resume("q").into_outcome().unwrap();
    }
    until_idle(&engine).await;
    assert_eq!(engine.stats().succeeded, 15_000);
}
