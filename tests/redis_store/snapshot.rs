//! Snapshots: written behind a log that goes on, published in one step, and cleaned up after.

use std::time::Duration;

use reveille::partition::Image;
use reveille::store::{Grant, RedisStore, SnapshotBegin, Store, StoreErrorClass};

use crate::support::{
    P0, acquire, append, assert_image, assert_records, assert_refused, assert_restored, batch, begin, claim,
    jobs, load, sleep_ms, snapshot, snapshot_behind_the_log, writer,
};
use testkit::redis::{RedisServer, key};

/// The chunks that there are, in no order.
fn chunks(server: &RedisServer) -> Vec<String> {
    server.ask(&["KEYS", &key("s:*").replace('{', "\\{").replace('}', "\\}")])
}

#[tokio::test]
async fn a_restore_begins_with_the_snapshot_and_goes_on_with_the_log() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    let (info, image) = snapshot_behind_the_log(&store, &grant).await;
    assert_eq!(chunks(&server).len() as u64, info.chunks);
    assert_eq!(server.ask::<u64>(&["XLEN", &key("l")]), 2);
    assert_restored(&store, &grant, &info, &image).await;
}

#[tokio::test]
async fn a_batch_may_straddle_the_point_that_is_covered() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    append(&store, &grant, 10..30).await.unwrap();
    append(&store, &grant, 30..40).await.unwrap();
    snapshot(&store, &grant, 17, jobs(0..17)).await;
    let loaded = load(&store, &grant).await.unwrap();
    assert_eq!((loaded.covered, loaded.complete, loaded.log_end()), (17, 17, 40));
    assert_records(&loaded.records, &batch(&grant, 17..40).records);
    assert_eq!(server.ask::<u64>(&["XLEN", &key("l")]), 2);
    // The next snapshot covers all that there is.
    snapshot(&store, &grant, 40, jobs(0..40)).await;
    let loaded = load(&store, &grant).await.unwrap();
    assert_eq!((loaded.records.len(), loaded.log_end(), loaded.image.jobs.len()), (0, 40, 40));
    append(&store, &grant, 40..41).await.unwrap();
    assert_records(&load(&store, &grant).await.unwrap().records, &batch(&grant, 40..41).records);
}

#[tokio::test]
async fn an_empty_snapshot_keeps_the_number_of_the_next_job() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..5).await.unwrap();
    let begin = SnapshotBegin::new(5, 99);
    let mut writer = writer(&store, &grant, begin).await;
    writer.write(Image::default()).await.unwrap();
    assert_eq!(writer.publish(5).await.unwrap().chunks, 0);
    drop(writer);
    let loaded = load(&store, &grant).await.unwrap();
    assert_eq!(loaded.image, Image { next_sequence: 99, ..Image::default() });
    assert_eq!((loaded.covered, loaded.log_end()), (5, 5));
}

#[tokio::test]
async fn a_snapshot_removes_the_one_before_it() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..20_000).await.unwrap();
    let first = snapshot(&store, &grant, 20_000, jobs(0..20_000)).await;
    let generation = server.field("gen").unwrap_or_default();
    assert!(first.chunks > 20);
    let second = snapshot(&store, &grant, 20_000, jobs(0..700)).await;
    assert_eq!(chunks(&server).len() as u64, second.chunks);
    assert!(server.field("gen").unwrap_or_default().parse::<u64>().unwrap() > generation.parse().unwrap());
    assert_eq!(
        (server.field("old").unwrap_or_default(), server.field("open").unwrap_or_default()),
        (String::new(), String::new())
    );
    assert_image(&load(&store, &grant).await.unwrap().image, &jobs(0..700));
}

#[tokio::test]
async fn a_snapshot_that_is_not_published_is_not_seen_and_is_removed() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    snapshot(&store, &grant, 10, jobs(0..10)).await;
    let mut writer = writer(&store, &grant, begin(10)).await;
    writer.write(jobs(0..5_000)).await.unwrap();
    assert_image(&load(&store, &grant).await.unwrap().image, &jobs(0..10));
    drop(writer);
    // By a task that is left behind.
    for _ in 0..500 {
        if chunks(&server).len() == 1 && server.field("old").unwrap_or_default().is_empty() {
            break;
        }
        sleep_ms(10).await;
    }
    assert_eq!((chunks(&server).len(), server.field("open").unwrap_or_default()), (1, String::new()));
    assert_image(&load(&store, &grant).await.unwrap().image, &jobs(0..10));
}

/// What a crash leaves at any moment: chunks of a snapshot that was being written, and some of one that was replaced.
#[tokio::test]
async fn what_a_crash_leaves_is_removed_by_the_next_owner() {
    let server = RedisServer::start(&[]);
    let grant = {
        let store = server.store();
        let grant = acquire(&store, "first").await.grant;
        append(&store, &grant, 0..9_000).await.unwrap();
        snapshot(&store, &grant, 9_000, jobs(0..9_000)).await;
        let mut writer = writer(&store, &grant, begin(9_000)).await;
        writer.write(jobs(0..9_000)).await.unwrap();
        // So that nothing is tidied up: as with a process that was killed.
        std::mem::forget(writer);
        grant
    };
    sleep_ms(100).await;
    let (published, open): (u64, u64) = (
        server.field("chunks").unwrap_or_default().parse().unwrap(),
        server.field("open_chunks").unwrap_or_default().parse().unwrap(),
    );
    assert!(open > 5);
    assert_eq!(chunks(&server).len() as u64, published + open);
    // The chunks before were being removed when the end came.
    let old = server.field("last_gen").unwrap_or_default().parse::<u64>().unwrap() - 1_000_000;
    for n in 0..200 {
        server.run(&["SET", &key(&format!("s:{old}:{n}")), "chunk"]);
    }
    server.run(&["HSET", &key("m"), "old", &old.to_string(), "old_end", "200"]);

    let second = server.store();
    let claim = claim("second").by_force();
    let new = second.acquire(P0, &claim).await.unwrap().grant;
    assert_image(&load(&second, &new).await.unwrap().image, &jobs(0..9_000));
    let info = snapshot(&second, &new, 9_000, jobs(0..500)).await;
    assert_eq!(chunks(&server).len() as u64, info.chunks);
    assert_image(&load(&second, &new).await.unwrap().image, &jobs(0..500));
    assert_refused(append(&second, &grant, 9_000..9_001).await, StoreErrorClass::Fenced, &["second"]);
}

#[tokio::test]
async fn one_snapshot_at_a_time() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..5).await.unwrap();
    let mut first = writer(&store, &grant, begin(5)).await;
    first.write(jobs(0..2_000)).await.unwrap();
    let mut second = writer(&store, &grant, SnapshotBegin::new(5, 3)).await;
    second.write(jobs(0..3)).await.unwrap();
    // The first finds out, and changes nothing any more.
    let late = async {
        first.write(jobs(0..9_000)).await?;
        first.publish(5).await
    };
    assert_refused(late.await, StoreErrorClass::Retry, &["another snapshot"]);
    assert_refused(first.publish(5).await, StoreErrorClass::Retry, &["begin another"]);
    drop(first);
    sleep_ms(100).await;
    second.publish(5).await.unwrap();
    assert_refused(second.publish(5).await, StoreErrorClass::Retry, &["begin another"]);
    drop(second);
    assert_image(&load(&store, &grant).await.unwrap().image, &jobs(0..3));
    assert_eq!(chunks(&server).len(), 1);
}

#[tokio::test]
async fn a_snapshot_is_published_once_the_log_is_there() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..5).await.unwrap();
    let mut early = writer(&store, &grant, begin(5)).await;
    assert_refused(early.publish(6).await, StoreErrorClass::Retry, &["records 5 to 6"]);
    drop(early);
    // Redis had them, and has them no more.
    let mut writer = writer(&store, &grant, begin(5)).await;
    server.run(&["HSET", &key("m"), "tail", "4"]);
    assert_refused(writer.publish(5).await, StoreErrorClass::Behind, &["back in time"]);
}

#[tokio::test]
async fn a_fenced_writer_publishes_nothing() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..5).await.unwrap();
    let mut open = writer(&store, &grant, begin(5)).await;
    open.write(jobs(0..3_000)).await.unwrap();
    let other = claim("other").by_force();
    store.acquire(P0, &other).await.unwrap();
    assert_refused(open.publish(5).await, StoreErrorClass::Fenced, &["other"]);
    drop(open);
    assert_refused(store.snapshot(&grant, begin(5)).await.map(|_| ()), StoreErrorClass::Fenced, &["other"]);
}

/// Some of the chunks were lost by a failover: what is there is not published.
#[tokio::test]
async fn a_snapshot_that_lacks_chunks_is_not_published() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    let mut open = writer(&store, &grant, begin(0)).await;
    open.write(jobs(0..3_000)).await.unwrap();
    sleep_ms(100).await;
    let written: u64 = server.field("open_chunks").unwrap_or_default().parse().unwrap();
    server.run(&["HSET", &key("m"), "open_chunks", &(written - 1).to_string()]);
    assert_refused(open.publish(0).await, StoreErrorClass::Retry, &["not all of them"]);
}

#[tokio::test]
async fn a_chunk_writes_over_nothing() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for found in [["SET", "value"], ["RPUSH", "value"]] {
        let mut open = writer(&store, &grant, begin(0)).await;
        let chunk = key(&format!("s:{}:0", server.field("open").unwrap_or_default()));
        server.run(&[found[0], &chunk, found[1]]);
        let before = server.dump();
        let written = async {
            open.write(jobs(0..3_000)).await?;
            open.publish(0).await
        };
        assert_refused(written.await, StoreErrorClass::Blocked, &[&chunk, "namespace"]);
        assert_eq!(server.dump().get(&chunk), before.get(&chunk));
        std::mem::forget(open);
        server.run(&["DEL", &chunk]);
    }
}

/// Memory has what Redis has lost: everything is written anew, and what Redis had of it counts for nothing.
#[tokio::test]
async fn a_snapshot_replaces_a_log_that_lacks_records() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for from in (0..50).step_by(10) {
        append(&store, &grant, from..from + 10).await.unwrap();
    }
    // A failover that has lost the last two batches.
    let last: Vec<(String, redis::Value)> = server.ask(&["XREVRANGE", &key("l"), "+", "-", "COUNT", "2"]);
    server.run(&["XDEL", &key("l"), &last[0].0, &last[1].0]);
    server.run(&["HSET", &key("m"), "tail", "30"]);
    assert_refused(append(&store, &grant, 50..60).await, StoreErrorClass::Behind, &[]);
    let repaired = repair(&store, &grant, 60).await;
    assert_eq!(server.ask::<u64>(&["XLEN", &key("l")]), 0);
    append(&store, &repaired, 60..70).await.unwrap();
    let loaded = load(&store, &repaired).await.unwrap();
    assert_eq!((loaded.covered, loaded.log_end()), (60, 70));
    assert_image(&loaded.image, &jobs(0..60));
    assert_records(&loaded.records, &batch(&repaired, 60..70).records);

    // It has lost everything.
    server.run(&["FLUSHALL"]);
    let repaired = repair(&store, &repaired, 70).await;
    append(&store, &repaired, 70..71).await.unwrap();
    let loaded = load(&store, &repaired).await.unwrap();
    assert_eq!((loaded.covered, loaded.log_end(), loaded.image), (70, 71, jobs(0..70)));
    // One that would lose records of this log is refused.
    let mut behind = writer(&store, &repaired, begin(70).replacing_log()).await;
    assert_refused(behind.publish(70).await, StoreErrorClass::Fatal, &["71"]);
}

async fn repair(store: &RedisStore, grant: &Grant, covered: u64) -> Grant {
    let claim = claim("me").epoch_after(grant.epoch);
    let grant = store.acquire(P0, &claim).await.unwrap().grant;
    let mut writer = writer(store, &grant, begin(covered).replacing_log()).await;
    writer.write(jobs(0..covered)).await.unwrap();
    writer.publish(covered).await.unwrap();
    drop(writer);
    grant
}

/// The log of an earlier owner goes as a whole; a snapshot that would lose a part of it is refused.
#[tokio::test]
async fn a_snapshot_covers_all_of_the_log_that_its_owner_found() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let first = acquire(&store, "me").await.grant;
    append(&store, &first, 0..10).await.unwrap();
    let second = acquire(&store, "me").await.grant;
    append(&store, &second, 10..20).await.unwrap();
    assert_records(&load(&store, &second).await.unwrap().records, &batch(&second, 0..20).records);
    let mut early = writer(&store, &second, begin(5)).await;
    assert_refused(early.publish(5).await, StoreErrorClass::Fatal, &["before record 10"]);
    drop(early);
    assert_eq!(load(&store, &second).await.unwrap().records.len(), 20);
    snapshot(&store, &second, 10, jobs(0..10)).await;
    // Nor one that begins before the last: the log between is gone.
    snapshot(&store, &second, 15, jobs(0..15)).await;
    let mut early = writer(&store, &second, begin(12)).await;
    assert_refused(early.publish(12).await, StoreErrorClass::Fatal, &["before record 15"]);
    drop(early);
    let loaded = load(&store, &second).await.unwrap();
    assert_image(&loaded.image, &jobs(0..15));
    assert_records(&loaded.records, &batch(&second, 15..20).records);
}

/// Nobody waits long behind the removal of a large log and a large snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_answers_others_while_a_large_snapshot_is_removed() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for from in (0..100_000).step_by(500) {
        append(&store, &grant, from..from + 500).await.unwrap();
    }
    snapshot(&store, &grant, 0, jobs(0..100_000)).await;
    server.run(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    server.run(&["CONFIG", "SET", "slowlog-max-len", "10000"]);
    snapshot(&store, &grant, 100_000, jobs(0..10)).await;
    server.run(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
    let log: Vec<Vec<redis::Value>> = server.ask(&["SLOWLOG", "GET", "-1"]);
    let took = |entry: &Vec<redis::Value>| redis::from_redis_value_ref::<u64>(&entry[2]).unwrap();
    let slowest = log.iter().max_by_key(|entry| took(entry)).unwrap();
    println!(
        "the slowest of {} commands took {} µs: {:.200}",
        log.len(),
        took(slowest),
        format!("{:?}", slowest[3])
    );
    let slowest = took(slowest);
    assert!(Duration::from_micros(slowest) < Duration::from_millis(50), "{slowest} µs");
    assert_eq!((chunks(&server).len(), server.ask::<u64>(&["XLEN", &key("l")])), (1, 0));
}
