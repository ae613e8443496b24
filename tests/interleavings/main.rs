//! What a durable engine owes its callers while its store misbehaves at the worst moment: each test forces one interleaving.

mod on_redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::{Store, StoreErrorClass};
use reveille::{
    Builder, CallError, CancelOutcome, Commit, Durability, Engine, OnConflict, ScheduleError,
    ScheduleOutcome, StartError,
};
use testkit::hollow::Hollow;
use testkit::scripted::{Does, Scripted};
use testkit::wait::PATIENCE;
use testkit::{HOUR, Keys, SECOND, eventually, ms, nothing, real_now, until_idle, within};

pub(crate) fn builder(store: Arc<dyn Store>) -> Builder {
    Engine::builder().queue("q", nothing).partitions(1).store(store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_back_while_a_snapshot_waits_for_its_log_is_mended() {
    let store = Scripted::over(Hollow::new());
    let engine = builder(store.clone()).start().await.unwrap();
    store.append.set_in(0, Does::Stands);
    let commit = engine.schedule_raw("q", "x").key("k").after(HOUR);
    // Its slices are written, and it waits for the record above to be in the store.
    let taking = tokio::spawn({
        let engine = engine.clone();
        async move { engine.snapshot().await }
    });
    eventually("the slices are written", || store.write.calls() > 0).await;
    tokio::time::sleep(ms(50)).await;
    store.append.set_in(0, Does::Fails(StoreErrorClass::Behind));
    eventually("the engine has found out", || engine.stats().store.unwrap().incidents > 0).await;
    store.append.set_in(0, Does::Well);
    within("the commit", commit).await.unwrap().scheduled().unwrap();
    // It would be one of a log that is no more: the only one that is published is the repair's.
    let given_up = within("the snapshot", taking).await.unwrap().unwrap_err();
    assert_eq!(given_up.class, StoreErrorClass::Retry, "{given_up}");
    assert_eq!(store.inner.snapshots.lock().unwrap().get(&0), Some(&1));
}

/// An engine that knows that its store has lost what it had acknowledged, and cannot write it anew; and a call that waits.
async fn with_a_loss_found_out() -> (Arc<Scripted<Hollow>>, Engine, Commit<ScheduleOutcome, ScheduleError>) {
    let store = Scripted::over(Hollow::new());
    let engine = builder(store.clone()).start().await.unwrap();
    engine.schedule_raw("q", "x").key("k").after(HOUR).await.unwrap().scheduled().unwrap();
    store.acquire.set_in(0, Does::Stands);
    store.append.set_in(0, Does::Fails(StoreErrorClass::Behind));
    let commit = engine.schedule_raw("q", "x").key("l").after(HOUR);
    eventually("the engine has found out", || engine.stats().store.unwrap().incidents > 0).await;
    (store, engine, commit)
}

/// Seed 3248 of the simulator: everything had been acknowledged before the store lost it, so there was nothing to flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_does_not_call_flushed_what_the_store_has_lost() {
    let (_store, engine, commit) = with_a_loss_found_out().await;
    let report = engine.shutdown(ms(300)).await;
    assert!(!report.is_flushed, "the store has nothing: {report:?}");
    drop(commit);

    // Once it is written anew, it is.
    let (store, engine, commit) = with_a_loss_found_out().await;
    let shutting_down = tokio::spawn({
        let engine = engine.clone();
        async move { engine.shutdown(PATIENCE).await }
    });
    tokio::time::sleep(ms(50)).await;
    store.append.set_in(0, Does::Well);
    store.acquire.set_in(0, Does::Well);
    let report = within("the shutdown", shutting_down).await.unwrap();
    assert!(report.is_flushed, "it was written anew: {report:?}");
    assert_eq!(store.inner.snapshots.lock().unwrap().get(&0), Some(&1));
    drop(commit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_finds_another_when_it_claims_again_has_lost() {
    let store = Scripted::over(Hollow::with_leases());
    let engine = builder(store.clone()).lease(ms(400)).start().await.unwrap();
    engine.schedule_raw("q", "x").key("k").after(HOUR).await.unwrap().scheduled().unwrap();
    // The store is flushed, the owner finds out, and a standby claims before it does.
    store.acquire.set_in(0, Does::Fails(StoreErrorClass::Fenced));
    store.renew.set_in(0, Does::Fails(StoreErrorClass::Behind));
    eventually("the engine has found out", || engine.stats().store.unwrap().incidents > 0).await;
    store.renew.set_in(0, Does::Fails(StoreErrorClass::Fenced));
    within("it is told that it has lost", engine.lost()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_has_lost_mends_nothing_and_tells_who_waits() {
    let store = Scripted::over(Hollow::with_leases());
    let engine = builder(store.clone()).partitions(2).lease(ms(400)).start().await.unwrap();
    store.acquire.set_in(0, Does::Fails(StoreErrorClass::Retry));
    store.append.set_in(0, Does::Fails(StoreErrorClass::Behind));
    let commits: Vec<_> =
        (0..20).map(|n| engine.schedule_raw("q", "x").key(format!("k{n}")).after(HOUR)).collect();
    eventually("partition 0 is to be mended", || engine.stats().store.unwrap().incidents > 0).await;
    store.renew.set_in(1, Does::Fails(StoreErrorClass::Fenced));
    within("it is told that it has lost", engine.lost()).await;
    let epochs = store.inner.epoch.load(SeqCst);
    for commit in commits {
        let answer = within("a commit of an engine that has lost", commit).await;
        let is_told = matches!(answer, Ok(_) | Err(ScheduleError::Call(CallError::NotOwner { .. })));
        assert!(is_told, "it has lost, and says: {answer:?}");
    }
    store.acquire.set_in(0, Does::Well);
    tokio::time::sleep(SECOND).await;
    assert_eq!(store.inner.epoch.load(SeqCst), epochs, "it has claimed a partition after it had lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_more_is_not_called_healthy() {
    let store = Scripted::over(Hollow::new());
    let engine = builder(store.clone()).start().await.unwrap();
    store.append.set_in(0, Does::Fails(StoreErrorClass::Fatal));
    let answer = engine.schedule_raw("q", "x").key("k").after(HOUR).await;
    assert!(matches!(answer, Err(ScheduleError::Call(CallError::NotDurable(_)))), "{answer:?}");
    let stats = engine.stats().store.unwrap();
    assert!(stats.state != reveille::StoreState::Healthy && stats.last_error.is_some(), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_do_not_wait_for_the_syncs_of_others_that_fail() {
    let mut store = Hollow::new();
    store.fails_replicated = true;
    let engine = builder(Arc::new(store)).start().await.unwrap();
    let _asks = tokio::spawn({
        let engine = engine.clone();
        async move { engine.schedule_raw("q", "x").durability(Durability::Replicated).after(HOUR).await }
    });
    tokio::time::sleep(SECOND * 2).await;
    let begun = real_now();
    for _ in 0..20 {
        engine.schedule_raw("q", "x").after(HOUR).await.unwrap().scheduled().unwrap();
    }
    // Each would wait for half of a second.
    let took = real_now().since(begun);
    assert!(took < SECOND * 4, "commits of a healthy log took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_change_nothing_are_confirmed_by_a_healthy_store_however_long_it_was_idle() {
    let store = Scripted::over(Hollow::new());
    let engine = builder(store).durability(Durability::Fsync).commit_deadline(ms(160)).start().await.unwrap();
    // Fires, and leaves records that nobody waits for.
    engine.schedule_raw("q", "x").key("k").after(Duration::ZERO).await.unwrap().scheduled().unwrap();
    until_idle(&engine).await;
    tokio::time::sleep(ms(500)).await;
    let answer = engine.cancel("nobody").await;
    assert!(answer.is_ok(), "the store is healthy, and the answer is: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_awaited_late_is_confirmed_by_a_healthy_store() {
    let store = Scripted::over(Hollow::new());
    let engine = builder(store).commit_deadline(ms(160)).start().await.unwrap();
    let commit = engine.schedule_raw("q", "x").key("k").durability(Durability::Fsync).after(HOUR);
    tokio::time::sleep(ms(500)).await;
    let answer = commit.await;
    assert!(answer.is_ok(), "the store is healthy, and the answer is: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_the_higher_level_resolve_beside_those_of_the_lower() {
    let mut store = Hollow::new();
    store.sync_takes = ms(5);
    let engine = builder(Arc::new(store)).durability(Durability::Fsync).start().await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (engine, is_over) = (engine.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(SeqCst) {
                    engine.schedule_raw("q", "x").after(HOUR).await.unwrap().scheduled().unwrap();
                }
            })
        })
        .collect();
    tokio::time::sleep(ms(100)).await;
    let commit = engine.schedule_raw("q", "x").durability(Durability::Replicated).after(HOUR);
    let ended = tokio::time::timeout(SECOND * 3, commit).await;
    is_over.store(true, SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(ended.is_ok(), "600 syncs went by, and none was for the replicas");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_is_not_taken_to_be_on_the_disk() {
    // The engine before this one appended its records, and ended before it had them synced.
    let store = Scripted::over(Hollow::new());
    store.inner.tails.lock().unwrap().insert(0, 10);
    let engine = builder(store.clone()).durability(Durability::Fsync).start().await.unwrap();
    // Stands for a schedule that answers `Kept`: it changes nothing, and says that what is there will last.
    assert_eq!(engine.cancel("nobody").await.unwrap(), CancelOutcome::NotFound);
    assert_eq!(store.inner.syncs.load(SeqCst), 1, "acknowledged as synced, and nobody has asked the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_may_take_longer_than_the_patience_with_a_store_that_does_not_answer() {
    let store = Scripted::over(Hollow::new());
    *store.inner.load_takes.lock().unwrap() = ms(900);
    let started = builder(store).start_patience(ms(300)).start().await;
    assert!(started.is_ok(), "it told of its progress every 20 ms: {:?}", started.err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_waits_through_an_outage_of_the_store() {
    let store = Scripted::over(Hollow::with_leases());
    store.acquire.set_in(0, Does::Fails(StoreErrorClass::Held));
    let mut starting = tokio::spawn(builder(store.clone()).start_patience(ms(200)).start());
    tokio::time::sleep(ms(300)).await;
    store.acquire.set_in(0, Does::Fails(StoreErrorClass::Retry));
    let gave_up = tokio::time::timeout(SECOND * 3, &mut starting).await;
    assert!(gave_up.is_err(), "the standby is gone when it is needed: {gave_up:?}");
    store.acquire.set_in(0, Does::Well);
    within("the start", starting).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_snapshots_fail_does_not_keep_the_others_from_theirs() {
    let store = Scripted::over(Hollow::new());
    store.snapshot.set_in(0, Does::Fails(StoreErrorClass::Refused));
    let engine =
        builder(store.clone()).partitions(2).snapshot_every(ms(100), 1_000_000).start().await.unwrap();
    for n in 0..20 {
        engine.schedule_raw("q", "x").key(format!("k{n}")).after(HOUR).await.unwrap().scheduled().unwrap();
    }
    eventually("partition 1 has its snapshot", || store.inner.snapshots.lock().unwrap().contains_key(&1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mended_store_is_healthy() {
    let store = Scripted::over(Hollow::new());
    store.snapshot.set_in(0, Does::Fails(StoreErrorClass::Retry));
    let engine = builder(store.clone()).snapshot_every(ms(100), 1_000_000).start().await.unwrap();
    engine.schedule_raw("q", "x").key("k").after(HOUR).await.unwrap().scheduled().unwrap();
    eventually("a snapshot has failed", || !engine.stats().is_store_healthy).await;
    store.append.set_in(0, Does::Fails(StoreErrorClass::Behind));
    let commit = engine.schedule_raw("q", "x").key("l").after(HOUR);
    eventually("the engine has found out", || engine.stats().store.unwrap().incidents > 0).await;
    store.append.set_in(0, Does::Well);
    store.snapshot.set_in(0, Does::Well);
    within("the commit", commit).await.unwrap().scheduled().unwrap();
    eventually("it says so", || engine.stats().is_store_healthy).await;
}

#[test]
fn what_was_never_logged_is_not_acknowledged_by_asking_twice() {
    let inner = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let outer = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Scripted::over(Hollow::new());
    let engine = outer.block_on(builder(store).runtime(inner.handle().clone()).start()).unwrap();
    drop(inner);
    let schedule = || engine.schedule_raw("q", "x").key("k").on_conflict(OnConflict::Keep).after(HOUR);
    outer.block_on(async {
        let first = schedule().await;
        assert!(matches!(first, Err(ScheduleError::Call(CallError::RuntimeEnded))), "{first:?}");
        let second = schedule().await;
        assert!(second.is_err(), "no store has this job, and it is acknowledged: {second:?}");
    });
}

#[test]
fn an_engine_that_loses_its_leases_while_it_starts_does_not_run() {
    for _ in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Scripted::over(Hollow::with_leases());
            *store.inner.load_takes.lock().unwrap() = ms(60);
            store.renew.set_in(0, Does::Stands);
            let told = Arc::clone(&store);
            let fired = Keys::default();
            let fires = fired.clone();
            let builder = Engine::builder().queue("q", move |job: reveille::Job| {
                fires.push(job.key().as_str());
                async {}
            });
            let started = builder
                .partitions(2)
                .store(store)
                .lease(ms(200))
                .on_restore(move |progress| {
                    // The store's answer arrives as the last partition gets ready.
                    if progress.partitions_done == 2 {
                        told.renew.set_in(0, Does::Fails(StoreErrorClass::Fenced));
                    }
                })
                .start()
                .await;
            let engine = match started {
                Ok(engine) => engine,
                Err(StartError::Held(error) | StartError::Store(error)) => {
                    assert_eq!(error.class, StoreErrorClass::Fenced, "{error}");
                    return;
                }
                Err(other) => panic!("{other:?}"),
            };
            within("it is told that it has lost", engine.lost()).await;
            let mut taken = Vec::new();
            for n in 0..8 {
                let outcome = engine.schedule_raw("q", "x").key(format!("k{n}")).after(Duration::ZERO);
                taken.extend(outcome.into_outcome().ok());
            }
            tokio::time::sleep(ms(50)).await;
            assert!(taken.is_empty(), "calls are taken; fired after it was told: {:?}", fired.take());
        });
    }
}
