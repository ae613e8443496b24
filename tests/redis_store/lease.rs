//! Leases: who gets one, for how long, and what ends it.

use std::time::Duration;

use reveille::store::{Lease, Owner, Store, StoreErrorClass};

use crate::support::{P0, acquire, append, assert_refused, claim, sleep_ms};
use testkit::redis::{RedisServer, key};

fn redis_ms(server: &RedisServer) -> u64 {
    let (seconds, micros): (u64, u64) = server.ask(&["TIME"]);
    seconds * 1_000 + micros / 1_000
}

#[tokio::test]
async fn a_lease_is_given_under_an_epoch_of_redis_clock() {
    let server = RedisServer::start(&[]);
    let before = redis_ms(&server);
    let Lease { grant, log_end, .. } = acquire(&server.store(), "me").await;
    assert!((before..=redis_ms(&server)).contains(&grant.epoch), "{grant:?}");
    assert_eq!((log_end, grant.owner.as_str(), grant.partition), (0, "me", P0));
    let fields = |field: &str| server.ask::<String>(&["HGET", &key("m"), field]);
    assert_eq!(
        (fields("format"), fields("partitions"), fields("tail")),
        ("reveille/2".into(), "4".into(), "0".into())
    );
    assert_eq!(fields("epoch"), grant.epoch.to_string());
    let until: u64 = fields("lease_until").parse().unwrap();
    assert!((before + 30_000..=redis_ms(&server) + 30_000).contains(&until));
    assert_eq!(server.ask::<i64>(&["TTL", &key("m")]), -1);
}

#[tokio::test]
async fn a_second_owner_waits_for_the_end_of_the_first() {
    let server = RedisServer::start(&[]);
    let (first, second) = (server.store(), server.store());
    let mut short = claim("first");
    short.term = Duration::from_millis(250);
    let held = first.acquire(P0, &short).await.unwrap().grant;
    let refused = second.acquire(P0, &claim("second")).await;
    let again_after = refused.as_ref().unwrap_err().again_after.unwrap();
    assert!(again_after > Duration::from_millis(50) && again_after <= short.term, "{again_after:?}");
    assert_refused(refused, StoreErrorClass::Held, &["first", "partition 0"]);
    // By Redis' clock, whatever the owners think.
    sleep_ms(300).await;
    let taken = acquire(&second, "second").await.grant;
    assert!(taken.epoch > held.epoch);
    assert_refused(append(&first, &held, 0..1).await, StoreErrorClass::Fenced, &["second"]);
    assert_refused(first.renew(&[held]).await.unwrap().remove(0), StoreErrorClass::Fenced, &["second"]);
    append(&second, &taken, 0..1).await.unwrap();
}

#[tokio::test]
async fn force_fences_an_owner_whose_lease_lasts() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let first = acquire(&store, "first").await.grant;
    let second = store.acquire(P0, &claim("second").by_force()).await.unwrap().grant;
    assert_refused(append(&store, &first, 0..1).await, StoreErrorClass::Fenced, &["second"]);
    append(&store, &second, 0..1).await.unwrap();
}

/// As after a lost answer.
#[tokio::test]
async fn an_owner_that_asks_again_gets_a_fresh_epoch() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let first = acquire(&store, "me").await;
    append(&store, &first.grant, 0..3).await.unwrap();
    let second = acquire(&store, "me").await;
    assert!(second.grant.epoch > first.grant.epoch);
    assert_eq!(second.log_end, 3);
    // Nobody else owns it: a claim whose answer was lost does not end its owner. It has to claim again.
    assert_refused(append(&store, &first.grant, 3..4).await, StoreErrorClass::Behind, &["claimed again"]);
    let renewed = store.renew(std::slice::from_ref(&first.grant)).await.unwrap().remove(0);
    assert_refused(renewed, StoreErrorClass::Behind, &["claimed again"]);
    let loaded = store.load(&first.grant, &|_| {}).await;
    assert_refused(loaded, StoreErrorClass::Behind, &["claimed again"]);
    append(&store, &second.grant, 3..4).await.unwrap();
}

#[tokio::test]
async fn an_epoch_comes_after_all_that_are_known() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    // Of a Redis whose clock was ahead, for example.
    let after = 9_007_199_254_740_000;
    let lease = store.acquire(P0, &claim("me").epoch_after(after)).await.unwrap();
    assert_eq!(lease.grant.epoch, after + 1);
    assert_eq!(acquire(&store, "me").await.grant.epoch, after + 2);
    let past = store.acquire(P0, &claim("me").epoch_after(1 << 53)).await;
    assert_refused(past, StoreErrorClass::Fatal, &["2^53"]);
}

#[tokio::test]
async fn a_proof_prolongs_a_lease_also_one_that_ran_out() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let mut short = claim("me");
    short.term = Duration::from_millis(150);
    let grant = store.acquire(P0, &short).await.unwrap().grant;
    append(&store, &grant, 0..2).await.unwrap();
    sleep_ms(200).await;
    let renewed = store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0).unwrap();
    assert_eq!(renewed.log_end, 2);
    assert_refused(store.acquire(P0, &claim("other")).await, StoreErrorClass::Held, &["me"]);
    append(&store, &grant, 2..3).await.unwrap();
}

#[tokio::test]
async fn each_grant_has_its_own_answer() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let mut grants = Vec::new();
    for partition in 0..4 {
        let lease = store.acquire(reveille::PartitionId(partition), &claim("me")).await.unwrap();
        grants.push(lease.grant);
    }
    store.acquire(grants[1].partition, &claim("other").by_force()).await.unwrap();
    server.run(&["DEL", "{rv:test:2}:m"]);
    server.run(&["SET", "{rv:test:3}:m", "something else"]);
    // The scripts are gone, too.
    server.run(&["SCRIPT", "FLUSH"]);
    let mut answers = store.renew(&grants).await.unwrap().into_iter();
    assert_eq!(answers.next().unwrap().unwrap().log_end, 0);
    assert_refused(answers.next().unwrap(), StoreErrorClass::Fenced, &["other"]);
    assert_refused(answers.next().unwrap(), StoreErrorClass::Behind, &["{rv:test:2}:m", "gone"]);
    assert_refused(answers.next().unwrap(), StoreErrorClass::Blocked, &["{rv:test:3}:m"]);
    assert_eq!(store.renew(&[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_was_given_back_is_there_for_the_next() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let first = acquire(&store, "first").await.grant;
    store.release(std::slice::from_ref(&first)).await.unwrap();
    // A proof that was on its way meanwhile does not take it again.
    assert_refused(
        store.renew(std::slice::from_ref(&first)).await.unwrap().remove(0),
        StoreErrorClass::Fenced,
        &[],
    );
    let second = acquire(&store, "second").await.grant;
    // Neither the late release of one that is over nor one of nothing does anything.
    store.release(&[first]).await.unwrap();
    store.renew(std::slice::from_ref(&second)).await.unwrap().remove(0).unwrap();
    server.run(&["FLUSHALL"]);
    store.release(&[second]).await.unwrap();
    assert!(server.dump().is_empty());
}

#[tokio::test]
async fn a_redis_that_went_back_in_time_is_told_from_another_owner() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let old = acquire(&store, "me").await.grant;
    let new = acquire(&store, "me").await.grant;
    append(&store, &new, 0..5).await.unwrap();
    // A failover to a replica that had not heard of the new epoch yet.
    server.run(&["HSET", &key("m"), "epoch", &old.epoch.to_string()]);
    assert_refused(append(&store, &new, 5..6).await, StoreErrorClass::Behind, &["back in time"]);
    let renewed = store.renew(std::slice::from_ref(&new)).await.unwrap().remove(0);
    assert_refused(renewed, StoreErrorClass::Behind, &["back in time"]);
    // Or not of the last records.
    server.run(&["HSET", &key("m"), "epoch", &new.epoch.to_string(), "tail", "3"]);
    let renewed = store.renew(std::slice::from_ref(&new)).await.unwrap().remove(0);
    assert_refused(renewed, StoreErrorClass::Behind, &["up to 3", "up to 5"]);
    // Whoever takes the lease anew comes after all that it knows.
    let lease = store.acquire(P0, &claim("me").epoch_after(new.epoch)).await.unwrap();
    assert!(lease.grant.epoch > new.epoch && lease.log_end == 3);
}

/// Redis' clock was ahead when an owner got its epoch, and is right again when Redis forgets that: whoever comes then gets a lower
/// one, and is not written over.
#[tokio::test]
async fn an_owner_with_a_lower_epoch_is_another_owner_too() {
    let server = RedisServer::start(&[]);
    let (store, other) = (server.store(), server.store());
    let before = acquire(&store, "before").await.grant;
    store.release(std::slice::from_ref(&before)).await.unwrap();
    let told = server.ask::<Vec<String>>(&["HGETALL", &key("m")]);
    let mine = acquire(&store, "me").await.grant;
    let ahead = store.acquire(P0, &claim("me").epoch_after(mine.epoch + 100_000)).await.unwrap().grant;

    let m = key("m");
    let forgotten: Vec<&str> = ["HSET", &m].into_iter().chain(told.iter().map(String::as_str)).collect();
    server.run(&forgotten);
    let lease = acquire(&other, "another").await;
    assert!(lease.grant.epoch < ahead.epoch);
    append(&other, &lease.grant, 0..5).await.unwrap();
    other.release(std::slice::from_ref(&lease.grant)).await.unwrap();
    let again = store.acquire(P0, &claim("me").epoch_after(ahead.epoch)).await;
    assert_refused(again, StoreErrorClass::Fenced, &["another"]);
    // Of what was there when it came, it is not in doubt.
    server.run(&forgotten);
    assert!(store.acquire(P0, &claim("me").epoch_after(ahead.epoch)).await.is_ok());
}

#[tokio::test]
async fn a_grant_with_the_epoch_of_another_owner_is_fenced() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    let mut stranger = grant;
    stranger.owner = Owner::new("stranger");
    assert_refused(append(&store, &stranger, 0..1).await, StoreErrorClass::Fenced, &["me"]);
}

#[tokio::test]
async fn what_is_not_ours_or_newer_is_refused_and_not_touched() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let (m, l) = (key("m"), key("l"));
    let cases: [(&[&str], &[&str]); 8] = [
        (&["SET", &m, "value"], &[&m, "namespace"]),
        (&["HSET", &m, "field", "value"], &[&m, "namespace"]),
        (&["HSET", &m, "format", "other/1"], &[&m, "namespace"]),
        (&["HSET", &m, "format", "reveille/3", "partitions", "4"], &[&m, "reveille/3", "update"]),
        (&["HSET", &m, "format", "reveille/1", "partitions", "4"], &[&m, "reveille/1", "export"]),
        (
            &["HSET", &m, "format", "reveille/2", "partitions", "8"],
            &["8 partitions", "build the engine with 8"],
        ),
        (&["RPUSH", &l, "value"], &[&l, "namespace"]),
        (&["LPUSH", &m, "value"], &[&m, "namespace"]),
    ];
    for (found, words) in cases {
        server.run(&["FLUSHALL"]);
        server.run(found);
        let before = server.dump();
        assert_refused(store.acquire(P0, &claim("me")).await, StoreErrorClass::Fatal, words);
        assert_eq!(server.dump(), before, "{found:?}");
    }
}
