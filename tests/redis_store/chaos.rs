//! Whatever the line does: what was acknowledged is there, once, in order, and nobody is told that something was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use testkit::ms;
use testkit::random::Random;

use reveille::store::{Batch, Grant, RedisStore, Store, StoreError, StoreErrorClass};

use crate::support::{
    P0, acquire, append, assert_image, assert_records, assert_refused, batch, claim, jobs, load,
    persistently, sleep_ms, snapshot,
};
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{RedisServer, impatient};

/// Four batches under way, one behind the other; what is not taken is sent again in the same order.
async fn send(store: &RedisStore, batches: &[Batch]) -> u64 {
    let (mut done, mut again) = (0, 0);
    while done < batches.len() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| batches.get(done + n));
        let one = async |batch: Option<&Batch>| match batch {
            Some(batch) => store.append(batch).await,
            None => Err(StoreError::retry("there is none")),
        };
        let (a, b, c, d) = tokio::join!(one(a), one(b), one(c), one(d));
        for answer in [a, b, c, d].into_iter().take(batches.len() - done) {
            match answer {
                Ok(()) => done += 1,
                Err(error) => {
                    assert_eq!(error.class, StoreErrorClass::Retry, "{error}");
                    again += 1;
                    break;
                }
            }
        }
    }
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_fails_all_the_time() {
    let server = RedisServer::start(&[]);
    let proxy = Arc::new(Proxy::start(server.port()));
    let store = impatient(&proxy.url(), ms(150));
    let grant = acquire(&store, "me").await.grant;
    let is_over = Arc::new(AtomicBool::new(false));
    let (line, over) = (Arc::clone(&proxy), Arc::clone(&is_over));
    let failing = tokio::spawn(async move {
        let mut choices = Random::seeded(1);
        while !over.load(SeqCst) {
            let faults = [
                Fault::None,
                Fault::Delay(Duration::from_millis(3)),
                Fault::CutReplies,
                Fault::CutRequests,
                Fault::BlackHole,
                Fault::Refuse,
            ];
            line.set(faults[choices.below(6) as usize]);
            sleep_ms(choices.below(60)).await;
            line.set(Fault::None);
            sleep_ms(choices.below(40)).await;
        }
    });
    let mut choices = Random::seeded(2);
    let (mut tail, mut again, mut covered) = (0, 0, 0);
    while again < 25 {
        let batches: Vec<Batch> = (0..1 + choices.below(12))
            .map(|_| {
                let from = tail;
                tail += 1 + choices.below(60);
                batch(&grant, from..tail)
            })
            .collect();
        again += send(&store, &batches).await;
        if choices.below(20) == 0 {
            covered += choices.below(tail - covered);
            persistently(|| try_snapshot(&store, &grant, covered)).await.0.unwrap();
        }
        if choices.below(10) == 0 {
            persistently(|| async { store.renew(std::slice::from_ref(&grant)).await?.remove(0) })
                .await
                .0
                .unwrap();
        }
    }
    is_over.store(true, SeqCst);
    failing.await.unwrap();
    println!("{tail} records in spite of {again} failures, {} connections", proxy.connections());
    assert!(covered > 0);
    let loaded = persistently(|| load(&store, &grant)).await.0.unwrap();
    assert_eq!((loaded.covered, loaded.log_end()), (covered, tail));
    assert_records(&loaded.records, &batch(&grant, covered..tail).records);
    assert_image(&loaded.image, &jobs(0..covered));
}

/// Like an engine: one that did not come to its end is begun anew.
async fn try_snapshot(store: &RedisStore, grant: &Grant, covered: u64) -> Result<(), StoreError> {
    let begin = crate::support::begin(covered);
    let Some(mut writer) = store.snapshot(grant, begin).await? else { unreachable!() };
    writer.write(jobs(0..covered)).await?;
    writer.publish(covered).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_all_the_time() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = impatient(&server.url(), ms(150));
    let grant = acquire(&store, "me").await.grant;
    let mut tail = 0;
    for round in 0..6 {
        let batches: Vec<Batch> =
            (0..200).map(|n| batch(&grant, tail + n * 20..tail + n * 20 + 20)).collect();
        let sending = send(&store, &batches);
        let killing = async {
            sleep_ms(20 + round * 15).await;
            server.kill();
            sleep_ms(30).await;
            server.restart();
        };
        tokio::join!(sending, killing);
        tail += 4_000;
    }
    let loaded = persistently(|| load(&store, &grant)).await.0.unwrap();
    assert_records(&loaded.records, &batch(&grant, 0..tail).records);
}

/// The worst that a line can do: what an owner sent arrives after the next one has begun to write.
#[tokio::test]
async fn what_arrives_late_from_an_earlier_owner_changes_nothing() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port());
    let (old, new) = (impatient(&proxy.url(), ms(150)), server.store());
    let stale = acquire(&old, "old").await.grant;
    append(&old, &stale, 0..10).await.unwrap();
    snapshot(&old, &stale, 10, jobs(0..10)).await;
    let mut writer = crate::support::writer(&old, &stale, crate::support::begin(10)).await;
    proxy.set(Fault::BlackHole);
    assert_refused(append(&old, &stale, 10..20).await, StoreErrorClass::Retry, &["in time"]);
    assert!(old.renew(std::slice::from_ref(&stale)).await.is_err());
    let publishing = tokio::time::timeout(Duration::from_millis(50), writer.publish(10)).await;
    assert!(publishing.is_err());
    drop(writer);

    let grant = new.acquire(P0, &claim("new").by_force()).await.unwrap().grant;
    append(&new, &grant, 10..12).await.unwrap();
    let before = server.dump();
    proxy.set(Fault::None);
    sleep_ms(500).await;
    assert_eq!(server.dump(), before);
    append(&new, &grant, 12..13).await.unwrap();
    let loaded = load(&new, &grant).await.unwrap();
    assert_records(&loaded.records, &batch(&grant, 10..13).records);
    assert_refused(append(&old, &stale, 10..20).await, StoreErrorClass::Fenced, &["new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_for_a_lease_one_gets_it() {
    let server = RedisServer::start(&[]);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = server.store();
            tokio::spawn(async move { store.acquire(P0, &claim(&format!("owner {n}"))).await })
        })
        .collect();
    let mut given = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => given += 1,
            Err(error) => assert_eq!(error.class, StoreErrorClass::Held, "{error}"),
        }
    }
    assert_eq!(given, 1);
}
