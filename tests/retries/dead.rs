//! The dead: who is among them, who comes back, and who is told.

use std::sync::Arc;
use std::sync::Mutex;

use reveille::testing::{FiredEnd, TestEngine};
use reveille::{
    BoxError, CancelOutcome, DeathReason, Engine, Job, JobFilter, JobState, JobView, LookupOutcome,
    PurgeOutcome, QueueConfig, RescheduleOutcome, Retry, ReviveOutcome, Version,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, eventually, ms};

use crate::{dead, every_second, fails, queue, schedule, times};

#[tokio::test]
async fn a_job_that_has_failed_as_often_as_it_may_is_dead_and_told_of() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(every_second(3)).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), reason));
    });
    let engine = TestEngine::start(Engine::builder().queue(config, fails), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    assert_eq!(engine.advance(ms(100_000)).await.len(), 3);
    assert_eq!(*told.lock().unwrap(), [("k".to_owned(), DeathReason::Exhausted)]);
    let LookupOutcome::Dead(view) = engine.lookup("k") else { panic!("{:?}", engine.lookup("k")) };
    assert_eq!((view.state, view.attempt, view.payload.as_bytes()), (JobState::Dead, 3, &b"9"[..]));
    let history = view.history.as_ref().unwrap();
    assert_eq!(history.death.unwrap().at, at_ms(2_010));
    assert_eq!(history.errors.iter().map(|error| error.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(dead(&engine), [view]);

    // It is no longer there to be moved or cancelled, takes no room, and its key is free.
    assert_eq!((engine.jobs(), engine.stats().dead), (0, 1));
    assert!(
        matches!(engine.cancel("k").await.unwrap(), CancelOutcome::Dead { at, .. } if at == at_ms(2_010))
    );
    let moved = engine.reschedule("k", SECOND).await.unwrap();
    assert!(matches!(moved, RescheduleOutcome::Dead { .. }), "{moved:?}");
    engine.idle().await;
    schedule(&engine, "k", "0").await;
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
}

#[tokio::test]
async fn a_dead_job_comes_back_once_and_has_all_its_attempts_again() {
    let engine = Engine::builder().queue(queue(every_second(2)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "3").await;
    assert_eq!(engine.advance(ms(5_000)).await.len(), 2);
    let handle = dead(&engine)[0].handle;
    let outcome = engine.revive("k", at_ms(6_000)).await.unwrap();
    assert!(matches!(outcome, ReviveOutcome::Revived { .. }), "{outcome:?}");
    assert_eq!(engine.revive(handle, at_ms(6_000)).await.unwrap(), ReviveOutcome::NotDead);
    let fired = engine.advance(ms(10_000)).await;
    assert_eq!(times(&fired), [(3, 6_000), (4, 7_000)]);
    assert_eq!(fired[1].end, FiredEnd::Succeeded);
    assert_eq!(engine.revive("k", SECOND).await.unwrap(), ReviveOutcome::NotDead);
    assert_eq!(engine.revive("unknown", SECOND).await.unwrap(), ReviveOutcome::NotFound);
    assert!(dead(&engine).is_empty());
}

#[tokio::test]
async fn a_dead_job_whose_key_is_taken_says_so_and_a_purged_one_is_gone() {
    let engine = Engine::builder().queue(queue(every_second(1)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    engine.advance(ms(100)).await;
    let handle = dead(&engine)[0].handle;
    let newer = engine.schedule_raw("q", "0").key("k").at(at_ms(5_000)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.revive(handle, SECOND).await.unwrap(), ReviveOutcome::KeyTaken { handle: newer });
    assert_eq!(engine.purge("k").await.unwrap(), PurgeOutcome::NotDead, "the newer one is meant");
    assert_eq!(engine.purge(handle).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(engine.purge(handle).await.unwrap(), PurgeOutcome::NotFound);
    assert_eq!(engine.revive(handle, SECOND).await.unwrap(), ReviveOutcome::NotFound);
    assert!(matches!(engine.lookup("k"), LookupOutcome::Scheduled(view) if view.handle == newer));
    assert_eq!(engine.advance(ms(6_000)).await.len(), 1);
}

#[tokio::test]
async fn the_dead_are_bounded_by_number_and_age() {
    let builder = Engine::builder().queue(queue(every_second(1)), fails).partitions(1);
    let engine = TestEngine::start(builder.keep_dead(3, 3600 * SECOND), TEN_O_CLOCK).await.unwrap();
    for n in 0..10 {
        let key = format!("k{n}");
        engine.schedule_raw("q", "9").key(key).at(at_ms(n * 100)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(2_000)).await;
    let mut keys: Vec<String> = dead(&engine).iter().map(|job| job.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["k7", "k8", "k9"]);
    assert_eq!(engine.lookup("k0"), LookupOutcome::NotFound);
    engine.advance(3601 * SECOND).await;
    schedule(&engine, "late", "9").await;
    engine.advance(ms(10)).await;
    let keys: Vec<String> = dead(&engine).iter().map(|job| job.key.to_string()).collect();
    assert_eq!(keys, ["late"]);
}

/// Fewer are kept than die at one instant: each is told of all the same, as it was then.
#[tokio::test]
async fn a_death_is_told_of_also_if_the_job_is_purged_at_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let config = queue(every_second(1)).on_death(move |job, reason| {
        tell.lock().unwrap().push((job.key.to_string(), job.payload.clone(), reason));
    });
    for kept in [0, 2] {
        told.lock().unwrap().clear();
        let engine =
            Engine::builder().queue(config.clone(), fails).keep_dead(kept, 60 * SECOND).partitions(1);
        let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
        for n in 0..50 {
            let job = engine.schedule_raw("q", "9").key(format!("{n:02}"));
            let job = if n % 2 == 0 { job.expires(at_ms(5)) } else { job };
            job.at(at_ms(10)).await.unwrap().scheduled().unwrap();
        }
        assert_eq!(engine.advance(ms(20)).await.len(), 25);
        engine.idle().await;
        let mut told = std::mem::take(&mut *told.lock().unwrap());
        told.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(told.len(), 50);
        for (n, (key, payload, reason)) in told.iter().enumerate() {
            let why = if n % 2 == 0 { DeathReason::Expired } else { DeathReason::Exhausted };
            assert_eq!((key.as_str(), payload.as_bytes(), *reason), (&*format!("{n:02}"), &b"9"[..], why));
        }
        assert_eq!((engine.stats().queues[0].died, dead(&engine).len()), (50, kept));
    }
}

/// A start leaves the version as it is; each failure makes it one more.
#[tokio::test]
async fn what_runs_or_is_dead_is_changed_only_in_the_version_that_the_caller_knows() {
    let runs = Arc::new(Mutex::new(0));
    let count = Arc::clone(&runs);
    let handler = move |job: Job| {
        *count.lock().unwrap() += 1;
        async move {
            job.cancellation().cancelled().await;
            Err::<(), BoxError>("it was cut off".into())
        }
    };
    let engine = Engine::builder().queue(queue(every_second(99)), handler).start().await.unwrap();
    engine.schedule_raw("q", "").key("k").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("it runs", || engine.stats().running == 1).await;
    let changed = CancelOutcome::Changed { version: Version(1) };
    assert_eq!(engine.cancel_running_if("k", Version(2)).await.unwrap(), changed);
    assert_eq!(engine.stats().running, 1, "nothing was done");
    assert_eq!(engine.cancel_running_if("k", Version(1)).await.unwrap(), CancelOutcome::Running);
    eventually("it ends", || engine.jobs() == 0).await;
    engine.schedule_raw("q", "").key("p").after(60 * SECOND).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.cancel_running_if("p", Version(2)).await.unwrap(), changed);
    assert_eq!(engine.cancel_running_if("p", Version(1)).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(*runs.lock().unwrap(), 1);

    let engine = Engine::builder().queue(queue(Retry::attempts(1)), fails);
    let engine = TestEngine::start(engine, TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "k", "9").await;
    engine.advance(ms(20)).await;
    let LookupOutcome::Dead(JobView { version, handle, .. }) = engine.lookup("k") else {
        panic!("it is dead")
    };
    let old = Version(version.0 - 1);
    assert_eq!(engine.revive_if("k", old, SECOND).await.unwrap(), ReviveOutcome::Changed { version });
    assert_eq!(engine.purge_if("k", old).await.unwrap(), PurgeOutcome::Changed { version });
    let revived = ReviveOutcome::Revived { version: Version(version.0 + 1) };
    assert_eq!(engine.revive_if("k", version, SECOND).await.unwrap(), revived);
    assert_eq!(engine.revive_if("k", version, SECOND).await.unwrap(), ReviveOutcome::NotDead);
    // It dies again. Whoever saw it dead before would take another death away.
    engine.advance(ms(2_000)).await;
    let died_again = Version(version.0 + 2);
    assert_eq!(
        engine.purge_if(handle, version).await.unwrap(),
        PurgeOutcome::Changed { version: died_again }
    );
    assert_eq!(engine.purge_if(handle, died_again).await.unwrap(), PurgeOutcome::Purged);
    assert_eq!(engine.purge_if(handle, died_again).await.unwrap(), PurgeOutcome::NotFound);
}

#[tokio::test]
async fn the_dead_come_back_or_go_by_a_filter() {
    let builder = Engine::builder()
        .queue(queue(every_second(1)), fails)
        .queue(QueueConfig::new("other").retry(every_second(1)), |_: Job| async { Err::<(), _>("never") });
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for n in 0..700 {
        let (queue, key) = if n % 7 == 0 { ("other", format!("o{n}")) } else { ("q", format!("k{n}")) };
        let payload = if n % 2 == 0 { "9" } else { "1" };
        let job = engine.schedule_raw(queue, payload).key(key);
        job.at(at_ms(10)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(100)).await;
    assert_eq!(engine.stats().dead, 700);
    let all = JobFilter::default();
    assert_eq!(engine.count(&all).jobs, 0, "the dead are not to fire");
    assert_eq!(engine.count(&all.clone().states([JobState::Dead])).jobs, 700);
    assert_eq!(engine.purge_all(&all.clone().queue("other")).await.unwrap().purged, 100);
    engine.schedule_raw("q", "1").key("k1").at(at_ms(90_000)).await.unwrap().scheduled().unwrap();
    let revived = engine.revive_all(&all.queue("q"), at_ms(60_500)).await.unwrap();
    assert_eq!((revived.revived, revived.key_taken, revived.gone), (599, 1, 0));
    let load = engine.load(&JobFilter::default(), reveille::read::LoadBuckets::default());
    assert_eq!((load.before, &load.buckets[..3], load.after), (0, &[0, 600, 0][..], 0));
    engine.advance(ms(70_000)).await;
    assert_eq!(engine.stats().dead, 301, "those that fail twice, and the one whose key was taken");
}
