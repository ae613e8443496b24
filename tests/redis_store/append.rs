//! Appending: each batch once, in order, and from its owner only.

use redis::Value;
use reveille::store::{Store, StoreErrorClass};

use crate::support::{P0, acquire, append, assert_records, assert_refused, batch, claim, load};
use testkit::redis::{RedisServer, key};

#[tokio::test]
async fn each_batch_is_taken_once_and_in_order() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..3).await.unwrap();
    append(&store, &grant, 3..4).await.unwrap();
    let before = server.dump();
    // Sent again after a lost answer.
    append(&store, &grant, 3..4).await.unwrap();
    append(&store, &grant, 0..3).await.unwrap();
    append(&store, &grant, 4..4).await.unwrap();
    assert_refused(append(&store, &grant, 3..6).await, StoreErrorClass::Fatal, &["otherwise"]);
    assert_refused(append(&store, &grant, 5..6).await, StoreErrorClass::Behind, &["records 4 to 5"]);
    assert_eq!(server.dump(), before);
    let loaded = load(&store, &grant).await.unwrap();
    assert_records(&loaded.records, &batch(&grant, 0..4).records);
    assert_eq!((loaded.covered, loaded.complete, loaded.log_end()), (0, 0, 4));
}

#[tokio::test]
async fn an_entry_has_the_epoch_and_the_end_in_its_id() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..3).await.unwrap();
    let entries: Vec<(String, Vec<(String, Value)>)> = server.ask(&["XRANGE", &key("l"), "-", "+"]);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, format!("{}-3", grant.epoch));
    assert_eq!(entries[0].1[0].0, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_under_way_one_behind_the_other_are_taken_in_order() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for round in 0..50 {
        if round % 5 == 0 {
            // All of them find that out at once.
            server.run(&["SCRIPT", "FLUSH"]);
        }
        let batches: Vec<_> =
            (0..4).map(|n| (round * 4 + n) * 10).map(|n| batch(&grant, n..n + 10)).collect();
        let [a, b, c, d] = &batches[..] else { unreachable!() };
        let all = tokio::join!(store.append(a), store.append(b), store.append(c), store.append(d));
        all.0.unwrap();
        for (later, batch) in [(all.1, b), (all.2, c), (all.3, d)] {
            // One that has overtaken another is sent again; nothing was lost.
            if let Err(error) = later {
                assert_eq!(error.class, StoreErrorClass::Retry, "{error}");
                store.append(batch).await.unwrap();
            }
        }
    }
    assert_eq!(load(&store, &grant).await.unwrap().records.len(), 2_000);
}

#[tokio::test]
async fn a_redis_that_has_lost_something_is_behind() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    // The log alone.
    server.run(&["DEL", &key("l")]);
    assert_refused(append(&store, &grant, 10..11).await, StoreErrorClass::Behind, &[&key("l"), "gone"]);
    assert_eq!(server.ask::<i64>(&["EXISTS", &key("l")]), 0);
    // The last records.
    server.run(&["HSET", &key("m"), "tail", "9"]);
    assert_refused(append(&store, &grant, 10..11).await, StoreErrorClass::Behind, &["records 9 to 10"]);
    // Everything.
    server.run(&["FLUSHALL"]);
    assert_refused(append(&store, &grant, 10..11).await, StoreErrorClass::Behind, &[&key("m"), "gone"]);
    assert!(server.dump().is_empty());
    let lease = store.acquire(P0, &claim("me").epoch_after(grant.epoch)).await.unwrap();
    assert!(lease.grant.epoch > grant.epoch && lease.log_end == 0);
}

#[tokio::test]
async fn a_log_that_is_something_else_is_named_and_left_alone() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for found in [["SET", &key("l"), "value"], ["RPUSH", &key("l"), "value"]] {
        server.run(&["DEL", &key("l")]);
        server.run(&found);
        let before = server.dump();
        assert_refused(
            append(&store, &grant, 0..1).await,
            StoreErrorClass::Blocked,
            &[&key("l"), "namespace"],
        );
        assert_eq!(server.dump(), before);
    }
    server.run(&["DEL", &key("l"), &key("m")]);
    server.run(&["SET", &key("m"), "value"]);
    assert_refused(append(&store, &grant, 0..1).await, StoreErrorClass::Blocked, &[&key("m"), "namespace"]);
    server.run(&["DEL", &key("m")]);
    server.run(&["HSET", &key("m"), "format", "reveille/7", "owner", "me", "epoch", "1", "tail", "0"]);
    assert_refused(append(&store, &grant, 0..1).await, StoreErrorClass::Blocked, &[&key("m"), "reveille/7"]);
}

#[tokio::test]
async fn an_entry_of_somebody_else_is_found_out() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..1).await.unwrap();
    server.run(&["XADD", &key("l"), "*", "b", "value"]);
    let before = server.dump();
    assert_refused(append(&store, &grant, 1..2).await, StoreErrorClass::Blocked, &[&key("l"), "namespace"]);
    assert_eq!(server.dump(), before);
}

/// A text goes over the line once, and after that its hash does.
#[tokio::test]
async fn scripts_are_called_by_their_hash() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for from in 0..20 {
        append(&store, &grant, from..from + 1).await.unwrap();
        store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0).unwrap();
    }
    let stats: String = server.ask(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((calls("eval"), calls("evalsha")), (3, 42));
}

#[tokio::test]
async fn sequences_past_what_a_script_can_count_are_not_sent() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    server.run(&["HSET", &key("m"), "tail", "9007199254740990", "covered", "9007199254740990"]);
    let mut high = batch(&grant, 0..1);
    high.first_record = 9_007_199_254_740_990;
    store.append(&high).await.unwrap();
    let tail: String = server.ask(&["HGET", &key("m"), "tail"]);
    assert_eq!(tail, "9007199254740991");
    high.first_record += 1;
    assert_refused(store.append(&high).await, StoreErrorClass::Fatal, &["2^53"]);
}
