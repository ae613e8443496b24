//! Who owns a store: one process, which the lock proves, and in it one engine.

use reveille::store::{Claim, Durability, Needs, Owner, ReadStore, Store, StoreErrorClass};

use crate::folder::Folder;
use crate::support::{
    P0, acquire, append, assert_records, assert_refused, batch, begin, claim, jobs, load, writer,
};
use reveille::PartitionId;

#[tokio::test]
async fn a_second_store_is_told_who_has_it_until_the_first_ends() {
    let folder = Folder::new();
    let first = folder.store();
    acquire(&first, "the first").await;
    let second = folder.store();
    let refused = second.acquire(P0, &claim("the second")).await;
    assert_refused(refused, StoreErrorClass::Held, &["another process", "the first", "stop it first"]);
    let by_force = second.acquire(P0, &claim("the second").by_force()).await;
    assert_refused(by_force, StoreErrorClass::Held, &["cannot be taken"]);
    drop(first);
    assert!(second.acquire(P0, &claim("the second")).await.is_ok());
}

#[tokio::test]
async fn a_store_that_is_given_back_is_free_at_once() {
    let folder = Folder::new();
    let (first, second) = (folder.store(), folder.store());
    let grant = acquire(&first, "the first").await.grant;
    append(&first, &grant, 0..10).await.unwrap();
    first.release(std::slice::from_ref(&grant)).await.unwrap();
    let lease = acquire(&second, "the second").await;
    assert_eq!(lease.log_end, 10);
    assert_refused(append(&first, &grant, 10..20).await, StoreErrorClass::Fenced, &["taken the store over"]);
}

#[tokio::test]
async fn an_epoch_is_higher_than_all_before_it() {
    let folder = Folder::new();
    let mut last = 0;
    for life in 0..4 {
        let store = folder.store();
        for _ in 0..3 {
            let epoch = acquire(&store, &format!("life {life}")).await.grant.epoch;
            assert!(epoch > last, "{epoch} after {last}");
            last = epoch;
        }
        let after =
            Claim::new(Owner::new(format!("life {life}")), 4, crate::support::TERM).epoch_after(last + 10);
        let epoch = store.acquire(P0, &after).await.unwrap().grant.epoch;
        assert!(epoch > last + 10);
        last = epoch;
        let other = store.acquire(PartitionId(1), &after).await.unwrap().grant.epoch;
        assert!(other >= last, "all partitions share a row of epochs");
        last = other;
    }
}

#[tokio::test]
async fn an_owner_that_was_followed_writes_no_more() {
    let folder = Folder::new();
    let store = folder.store();
    let old = acquire(&store, "old").await.grant;
    append(&store, &old, 0..10).await.unwrap();
    let mut late = writer(&store, &old, begin(10)).await;
    late.write(jobs(0..5)).await.unwrap();
    assert_refused(store.acquire(P0, &claim("new")).await, StoreErrorClass::Held, &["old"]);
    let new = store.acquire(P0, &claim("new").by_force()).await.unwrap().grant;
    assert_refused(append(&store, &old, 10..20).await, StoreErrorClass::Fenced, &["taken the store over"]);
    assert_refused(late.publish(10).await, StoreErrorClass::Fenced, &["taken the store over"]);
    assert_refused(store.sync(&old, Durability::Fsync).await, StoreErrorClass::Fenced, &["taken"]);
    drop(late);
    assert_records(&load(&store, &new).await.unwrap().records, &batch(&new, 0..10).records);
}

#[tokio::test]
async fn what_cannot_be_had_is_said_at_once() {
    let folder = Folder::new();
    let store = folder.store();
    let needs = |partitions, durability| Needs::new(partitions, durability);
    let opened = store.open(&needs(4, Durability::Fsync)).await.unwrap();
    assert_eq!((opened.durability_max, opened.has_lease), (Durability::Fsync, false));
    let refused = store.open(&needs(4, Durability::Replicated)).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["replicated", "no replicas"]);
    acquire(&store, "me").await;
    let refused = store.open(&needs(5, Durability::Logged)).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["4 partitions", "has 5"]);
}

#[tokio::test]
async fn a_file_in_the_way_is_told_from_a_store() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    for path in [file.clone(), file.join("below")] {
        let store = reveille::store::DiskStore::new(reveille::store::DiskConfig::new(&path));
        let refused = store.open(&Needs::new(4, Durability::Logged)).await;
        assert_refused(refused, StoreErrorClass::Fatal, &["is a directory", "name another path"]);
        let refused = store.acquire(P0, &claim("me")).await;
        assert_refused(refused, StoreErrorClass::Fatal, &["is a directory", "name another path"]);
    }
}

#[tokio::test]
async fn a_store_that_was_removed_is_noticed_and_written_anew() {
    let folder = Folder::new();
    let path = folder.path().join("store");
    let store = reveille::store::DiskStore::new(reveille::store::DiskConfig::new(&path));
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    store.check(&grant).await.unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert_refused(store.check(&grant).await, StoreErrorClass::Behind, &["removed or replaced"]);
    assert_refused(append(&store, &grant, 10..20).await, StoreErrorClass::Behind, &["removed or replaced"]);

    let again = Claim::new(Owner::new("me"), 4, crate::support::TERM).epoch_after(grant.epoch);
    let grant = store.acquire(P0, &again).await.unwrap().grant;
    let begin = reveille::store::SnapshotBegin::new(10, 10).replacing_log();
    let mut writer = writer(&store, &grant, begin).await;
    writer.write(jobs(0..10)).await.unwrap();
    writer.publish(10).await.unwrap();
    drop(writer);
    store.check(&grant).await.unwrap();
    append(&store, &grant, 10..20).await.unwrap();
    drop(store);
    let store = reveille::store::DiskStore::new(reveille::store::DiskConfig::new(&path));
    let lease = acquire(&store, "me").await;
    let loaded = load(&store, &lease.grant).await.unwrap();
    assert_eq!((loaded.image.jobs.len(), loaded.records.len()), (10, 10));
}

#[tokio::test]
async fn whoever_looks_disturbs_nobody() {
    let folder = Folder::new();
    assert_eq!(folder.store().partitions().await.unwrap(), None);
    let store = folder.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    let looking = folder.store();
    assert_eq!(ReadStore::partitions(&looking).await.unwrap(), Some(4));
    let read = ReadStore::read(&looking, P0).await.unwrap().unwrap();
    assert_records(&read.loaded.records, &batch(&grant, 0..10).records);
    assert_eq!(read.owner.owner.as_str(), "me");
    assert!(read.owner.lease_left.is_some());
    append(&store, &grant, 10..20).await.unwrap();
    let reports = looking.inspect().await.unwrap();
    let first = &reports[0];
    assert_eq!((reports.len(), first.log_end, first.log_records, first.log_entries), (4, 20, 20, 2));
    assert!(first.memory_bytes.unwrap() > 1_000);
    store.release(std::slice::from_ref(&grant)).await.unwrap();
    assert_eq!(ReadStore::read(&looking, P0).await.unwrap().unwrap().owner.lease_left, None);
}
