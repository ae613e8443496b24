//! Interleavings that a real Redis has a part in.

use std::sync::Arc;

use reveille::store::{Batch, Claim, Owner, RedisStore, Store};
use reveille::{LookupOutcome, PartitionId};
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{RedisServer, config};
use testkit::scripted::{Does, Scripted};
use testkit::wait::PATIENCE;
use testkit::{HOUR, SECOND, eventually, ms, real_now, within};

use crate::builder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_claims_again_does_not_write_over_its_successor() {
    let server = RedisServer::start(&[]);
    let store = Scripted::over(server.store());
    let first = builder(store.clone()).lease(ms(800)).start().await.unwrap();
    for n in 0..10 {
        first.schedule_raw("q", "x").key(format!("old-{n}")).after(HOUR).await.unwrap().scheduled().unwrap();
    }
    // Redis loses everything; the owner finds out, and is held up before it claims again.
    store.acquire.set(Does::Stands);
    server.run(&["FLUSHALL"]);
    eventually("it claims again", || store.acquire.calls() == 2).await;
    // Meanwhile another takes over, acknowledges a job, and ends as it should.
    let second = builder(Arc::new(server.store())).start().await.unwrap();
    second.schedule_raw("q", "x").key("new").after(HOUR).await.unwrap().scheduled().unwrap();
    assert!(second.shutdown(PATIENCE).await.is_flushed);
    drop(second);
    store.acquire.set(Does::Well);
    let has_lost = tokio::time::timeout(SECOND * 3, first.lost()).await.is_ok();
    first.shutdown(SECOND).await;
    drop(first);
    let third = builder(Arc::new(server.store())).start().await.unwrap();
    let found = third.lookup("new");
    third.shutdown(PATIENCE).await;
    assert!(
        matches!(found, LookupOutcome::Scheduled(_)),
        "an acknowledged job is gone: {found:?} (the first owner was told that it has lost: {has_lost})"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_was_written_anew_can_be_restored_before_its_next_batch() {
    let server = RedisServer::start(&[]);
    let store = Scripted::over(server.store());
    let first = builder(store.clone()).lease(ms(800)).start().await.unwrap();
    // More than one slice of the job table has.
    for n in 0..400 {
        let _ = first.schedule_raw("q", "x").key(format!("old-{n}")).after(HOUR).into_outcome().unwrap();
    }
    first.schedule_raw("q", "x").key("old").after(HOUR).await.unwrap().scheduled().unwrap();
    store.write.set(Does::Stands);
    server.run(&["FLUSHALL"]);
    eventually("it is written anew", || store.write.calls() == 1).await;
    // A call comes in meanwhile, and the process ends before the store has it.
    store.append.set(Does::Stands);
    let _unconfirmed = first.schedule_raw("q", "x").key("new").after(HOUR).into_outcome().unwrap();
    store.write.set(Does::Well);
    let has_snapshot = || server.field("complete").is_some();
    eventually("the snapshot is published", has_snapshot).await;
    first.shutdown(ms(100)).await;
    drop(first);
    let second = within("a start", builder(Arc::new(server.store())).start()).await;
    let second = second.unwrap_or_else(|error| {
        panic!("everything acknowledged is in Redis, and none of it can be had: {error}")
    });
    assert!(matches!(second.lookup("old"), LookupOutcome::Scheduled(_)));
    // What comes after goes on after the log, and is not taken for what the snapshot shows already.
    second.schedule_raw("q", "x").key("later").after(HOUR).await.unwrap().scheduled().unwrap();
    second.cancel("old-0").await.unwrap().cancelled().unwrap();
    second.reschedule("old-1", HOUR * 2).await.unwrap().rescheduled().unwrap();
    second.shutdown(PATIENCE).await;
    drop(second);
    let third = within("a start", builder(Arc::new(server.store())).start()).await.unwrap();
    assert!(matches!(third.lookup("later"), LookupOutcome::Scheduled(_)));
    assert!(matches!(third.lookup("old-0"), LookupOutcome::NotFound));
    assert!(matches!(third.lookup("old-399"), LookupOutcome::Scheduled(_)));
    third.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_nobody_polls_does_not_keep_others_from_connecting() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port());
    let store = RedisStore::new(config(&proxy.url()));
    let claim = Claim::new(Owner::new("me"), 1, HOUR);
    let grant = store.acquire(PartitionId(0), &claim).await.unwrap().grant;
    proxy.set(Fault::Refuse);
    let batch = Batch::new(grant, 0, Vec::new());
    // One is polled until it waits before its next attempt to connect, and then left alone, as the second of two
    // batches is while its committer rests.
    let mut left_alone = store.append(&batch);
    for _ in 0..20 {
        match tokio::time::timeout(ms(5), &mut left_alone).await {
            Ok(_) => left_alone = store.append(&batch),
            Err(_) => break,
        }
    }
    proxy.set(Fault::None);
    let other = tokio::time::timeout(SECOND * 2, store.append(&batch)).await;
    assert!(other.is_ok(), "Redis can be reached, and a request waits for one that nobody polls");
    drop(left_alone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_resolve_soon_after_an_outage() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port());
    let store = RedisStore::new(config(&proxy.url()));
    let engine = builder(Arc::new(store)).partitions(16).single_owner(true).start().await.unwrap();
    proxy.set(Fault::Refuse);
    let payload = vec![7; 60_000];
    let mut commits = Vec::new();
    for _ in 0..200 {
        commits.push(engine.schedule_raw("q", payload.clone()).after(HOUR));
        tokio::time::sleep(ms(25)).await;
    }
    proxy.set(Fault::None);
    let begun = real_now();
    for commit in commits {
        commit.await.unwrap().scheduled().unwrap();
    }
    let took = real_now().since(begun);
    assert!(took < SECOND * 10, "it took {took:?}");
}
