//! A line that is slow, cut, refused or dead, and a server that stops or is killed.

use std::sync::Arc;
use std::time::Duration;
use testkit::ms;

use reveille::store::{Durability, Grant, Needs, RedisStore, SnapshotBegin, Store, StoreErrorClass};

use crate::support::{
    acquire, append, append_persistently, assert_image, assert_records, assert_refused, batch, load, sleep_ms,
};
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{RedisServer, impatient, key};

const NEEDS: Needs = Needs::new(4, Durability::Logged);

async fn through_a_proxy(server: &RedisServer) -> (Proxy, RedisStore, Grant) {
    let proxy = Proxy::start(server.port());
    let store = impatient(&proxy.url(), ms(300));
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    (proxy, store, grant)
}

fn entries(server: &RedisServer) -> u64 {
    server.ask(&["XLEN", &key("l")])
}

#[tokio::test]
async fn a_batch_whose_answer_was_cut_is_taken_once() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    proxy.set(Fault::CutReplies);
    assert_refused(append(&store, &grant, 10..20).await, StoreErrorClass::Retry, &["connection"]);
    assert_eq!(entries(&server), 2);
    proxy.set(Fault::None);
    append(&store, &grant, 10..20).await.unwrap();
    assert_eq!(entries(&server), 2);
    assert_records(&load(&store, &grant).await.unwrap().records, &batch(&grant, 0..20).records);
}

#[tokio::test]
async fn a_batch_that_was_cut_on_its_way_is_not_taken_in_part() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    proxy.set(Fault::CutRequests);
    assert_refused(append(&store, &grant, 10..500).await, StoreErrorClass::Retry, &["connection"]);
    assert_eq!(entries(&server), 1);
    proxy.set(Fault::None);
    append(&store, &grant, 10..500).await.unwrap();
    assert_eq!(entries(&server), 2);
}

#[tokio::test]
async fn a_dead_line_is_given_up_and_what_it_swallowed_arrives_late() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    proxy.set(Fault::BlackHole);
    assert_refused(append(&store, &grant, 10..20).await, StoreErrorClass::Retry, &["in time", &key("l")]);
    assert_refused(append(&store, &grant, 10..20).await, StoreErrorClass::Retry, &["connecting", "in time"]);
    proxy.set(Fault::None);
    append_persistently(&store, &grant, 10..20).await;
    append(&store, &grant, 20..30).await.unwrap();
    // Both attempts may have got there by now: one counts.
    sleep_ms(100).await;
    assert_eq!(entries(&server), 3);
    append(&store, &grant, 30..40).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_want_a_connection_share_the_attempt_to_make_it() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    proxy.set(Fault::Refuse);
    sleep_ms(20).await;
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (store, grant) = (Arc::clone(&store), grant.clone());
            tokio::spawn(async move { append_persistently(&store, &grant, 10..20).await })
        })
        .collect();
    sleep_ms(1_500).await;
    let before = proxy.connections();
    proxy.set(Fault::None);
    let mut attempts = 0;
    for task in tasks {
        attempts += task.await.unwrap();
    }
    assert_eq!(proxy.connections(), before + 1);
    // A pause of half a second at last: not a hundred callers every ten milliseconds.
    println!("{attempts} attempts of 100 callers in 1.5 s");
    assert!(attempts < 2_000, "{attempts}");
    assert_eq!(entries(&server), 2);
}

#[tokio::test]
async fn a_slow_line_is_only_slow() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    proxy.set(Fault::Delay(Duration::from_millis(50)));
    let before = proxy.connections();
    for from in (10..100).step_by(10) {
        append(&store, &grant, from..from + 10).await.unwrap();
    }
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 100);
    assert!(proxy.connections() <= before + 1);
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_has_what_it_answered_to() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = impatient(&server.url(), ms(300));
    let grant = acquire(&store, "me").await.grant;
    for round in 0..5 {
        append(&store, &grant, round * 20..round * 20 + 10).await.unwrap();
        server.kill();
        let from = round * 20 + 10;
        assert_refused(append(&store, &grant, from..from + 10).await, StoreErrorClass::Retry, &[]);
        server.restart();
        append_persistently(&store, &grant, from..from + 10).await;
    }
    let loaded = loop {
        match load(&store, &grant).await {
            Err(error) if error.class == StoreErrorClass::Retry => {}
            end => break end.unwrap(),
        }
    };
    assert_records(&loaded.records, &batch(&grant, 0..100).records);
}

#[tokio::test]
async fn a_server_that_stands_still_is_waited_for() {
    let server = RedisServer::start(&[]);
    let store = impatient(&server.url(), ms(300));
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    server.stop();
    assert_refused(append(&store, &grant, 10..20).await, StoreErrorClass::Retry, &["in time"]);
    server.go_on();
    append_persistently(&store, &grant, 10..20).await;
    assert_eq!(entries(&server), 2);
}

#[tokio::test]
async fn what_is_not_redis_is_told_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), [0; 1024]);
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let refused = impatient(&format!("redis://127.0.0.1:{port}"), ms(300)).open(&NEEDS).await;
    assert_refused(refused, StoreErrorClass::Retry, &["not Redis"]);
    let refused = impatient("redis://127.0.0.1:1", ms(300)).open(&NEEDS).await;
    assert_refused(refused, StoreErrorClass::Retry, &["127.0.0.1:1", "no connection"]);
    let refused = impatient("redis://no.such.host.invalid", ms(300)).open(&NEEDS).await;
    assert_refused(refused, StoreErrorClass::Retry, &["no.such.host.invalid"]);
}

/// What a snapshot sends is sent again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_outlives_a_line_that_is_cut() {
    let server = RedisServer::start(&[]);
    let (proxy, store, grant) = through_a_proxy(&server).await;
    let begin = SnapshotBegin::new(10, 15_000);
    let mut writer = crate::support::writer(&store, &grant, begin).await;
    for (n, fault) in [Fault::None, Fault::CutReplies, Fault::CutRequests, Fault::BlackHole, Fault::Refuse]
        .into_iter()
        .enumerate()
    {
        proxy.set(fault);
        let over = async {
            sleep_ms(100).await;
            proxy.set(Fault::None);
        };
        let from = n as u64 * 3_000;
        let (written, ()) = tokio::join!(writer.write(crate::support::jobs(from..from + 3_000)), over);
        written.unwrap();
    }
    writer.publish(10).await.unwrap();
    drop(writer);
    let loaded = load(&store, &grant).await.unwrap();
    assert_image(&loaded.image, &crate::support::jobs(0..15_000));
}
