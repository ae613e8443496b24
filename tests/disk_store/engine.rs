//! Engines on a store on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use reveille::{Durability, Engine, LookupOutcome, StartError};
use testkit::{eventually, nothing};

use crate::folder::Folder;

const FAR: Duration = Duration::from_secs(3_600);

/// An engine that is dropped, and not shut down, leaves what the end of its process leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_each_of_many_ends() {
    let folder = Folder::new();
    for life in 0..6u64 {
        let level = if life % 2 == 0 { Durability::Logged } else { Durability::Fsync };
        let builder =
            Engine::builder().queue("q", nothing).durability(level).store(folder.store()).standby(true);
        let engine = builder.start().await.unwrap();
        assert_eq!(engine.jobs() as u64, life * 150);
        for n in 0..200 {
            let key = format!("{life}:{n}");
            engine.schedule_raw("q", key.clone()).key(key).after(FAR).await.unwrap().scheduled().unwrap();
        }
        for n in 0..50 {
            engine.cancel(format!("{life}:{n}")).await.unwrap().cancelled().unwrap();
        }
        for n in 50..100 {
            engine.reschedule(format!("{life}:{n}"), FAR * 2).await.unwrap().rescheduled().unwrap();
        }
        if life == 2 {
            let info = engine.snapshot().await.unwrap();
            assert_eq!(info.jobs, 450);
        }
        let LookupOutcome::Scheduled(view) = engine.lookup(format!("{life}:70")) else {
            panic!("it is pending")
        };
        assert_eq!(view.version.0, 2);
        assert_eq!(engine.lookup(format!("{life}:7")), LookupOutcome::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_goes_on_when_the_first_ends() {
    let folder = Folder::new();
    let fired = Arc::new(AtomicU64::new(0));
    let builder = |fired: &Arc<AtomicU64>| {
        let fired = Arc::clone(fired);
        let handler = move |_| {
            fired.fetch_add(1, SeqCst);
            async {}
        };
        Engine::builder().queue("q", handler).durability(Durability::Logged)
    };
    let first = builder(&fired).store(folder.store()).start().await.unwrap();
    first
        .schedule_raw("q", "x")
        .key("soon")
        .after(Duration::from_millis(300))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    let refused = builder(&fired).store(folder.store()).standby(false).start().await;
    assert!(matches!(refused, Err(StartError::Held(_))), "{:?}", refused.err());
    let second = tokio::spawn(builder(&fired).store(folder.store()).standby(true).start());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    let second = second.await.unwrap().unwrap();
    eventually("the job fires", || fired.load(SeqCst) == 1).await;
    second.shutdown(Duration::from_secs(5)).await;
    let third = builder(&fired).store(folder.store()).start().await.unwrap();
    assert_eq!(third.jobs(), 0);
}

/// The files are removed while an engine has them: it finds out, and writes all that it has anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_survives_the_removal_of_its_store() {
    let folder = Folder::new();
    let path = folder.path().join("store");
    let store = || reveille::store::DiskStore::new(reveille::store::DiskConfig::new(&path));
    let builder = || Engine::builder().partitions(2).queue("q", nothing).durability(Durability::Logged);
    let engine = builder().store(store()).start().await.unwrap();
    for n in 0..100 {
        engine.schedule_raw("q", "x").key(format!("{n}")).after(FAR).await.unwrap().scheduled().unwrap();
    }
    std::fs::remove_dir_all(&path).unwrap();
    eventually("both partitions are written anew", || {
        engine.stats().store.is_some_and(|store| store.incidents >= 2)
    })
    .await;
    engine.schedule_raw("q", "x").key("later").after(FAR).await.unwrap().scheduled().unwrap();
    drop(engine);
    let engine = builder().store(store()).standby(true).start().await.unwrap();
    assert_eq!(engine.jobs(), 101);
}
