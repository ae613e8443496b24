//! More than Redis' word: on its disk, on its replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reveille::PartitionId;
use reveille::store::{Durability, Grant, Needs, RedisStore, Store, StoreErrorClass};

use crate::fake;
use crate::support::{
    P0, acquire, append, append_persistently, assert_refused, batch, claim, persistently, sleep_ms,
};
use testkit::redis::{ALWAYS, EVERYSEC, RedisServer, config, key};

async fn synced(
    store: &RedisStore,
    grant: &Grant,
    level: Durability,
) -> Result<(), reveille::store::StoreError> {
    persistently(|| store.sync(grant, level)).await.0
}

#[tokio::test]
async fn a_server_that_answers_after_the_sync_needs_nothing_more() {
    let server = RedisServer::start(&ALWAYS);
    let store = server.store();
    store.open(&Needs::new(4, Durability::Fsync)).await.unwrap();
    let grant = acquire(&store, "me").await.grant;
    // What was there before is not known to be on the disk.
    store.sync(&grant, Durability::Fsync).await.unwrap();
    for from in 0..20 {
        append(&store, &grant, from..from + 1).await.unwrap();
        store.sync(&grant, Durability::Fsync).await.unwrap();
    }
    assert_eq!(server.ask::<String>(&["HGET", &key("m"), "synced"]), "0");
    // One that is sent again was perhaps taken by a server that did not sync it.
    append(&store, &grant, 19..20).await.unwrap();
    store.sync(&grant, Durability::Fsync).await.unwrap();
    assert_eq!(server.ask::<String>(&["HGET", &key("m"), "synced"]), "20");
    assert!(store.sync(&grant, Durability::Logged).await.is_ok());
}

/// What was true of a server need not be true of the next, or of the same after a restart.
#[tokio::test]
async fn each_connection_has_a_verdict_of_its_own() {
    let mut server = RedisServer::start(&ALWAYS);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    store.sync(&grant, Durability::Fsync).await.unwrap();

    server.restart_with(&EVERYSEC);
    append_persistently(&store, &grant, 10..20).await;
    assert_refused(
        synced(&store, &grant, Durability::Fsync).await,
        StoreErrorClass::Refused,
        &["appendfsync always"],
    );

    server.restart_with(&ALWAYS);
    // Nothing was appended since, and yet there is something to prove.
    synced(&store, &grant, Durability::Fsync).await.unwrap();
    assert_eq!(server.ask::<String>(&["HGET", &key("m"), "synced"]), "20");
    append_persistently(&store, &grant, 20..30).await;
    store.sync(&grant, Durability::Fsync).await.unwrap();
}

/// A real Redis, but for what it says of itself and of WAITAOF, which is not in the one that is installed.
struct Waitaof {
    url: String,
    disks: Arc<AtomicI64>,
    asked: Arc<AtomicUsize>,
}

fn waitaof(server: &RedisServer, takes: Duration) -> Waitaof {
    let (disks, asked) = (Arc::new(AtomicI64::new(1)), Arc::new(AtomicUsize::new(0)));
    let (on_disks, count) = (Arc::clone(&disks), Arc::clone(&asked));
    let url = fake::start(server.port(), move |words| match words[0].as_str() {
        "INFO" => Some(fake::info("7.2.4", "")),
        "COMMAND" => Some("*1\r\n*1\r\n$7\r\nwaitaof\r\n".to_owned()),
        "WAITAOF" => {
            assert_eq!((&words[1..3], words.len()), (&["1".to_owned(), "0".to_owned()][..], 4));
            assert!(words[3].parse::<u64>().unwrap() >= 1_000);
            count.fetch_add(1, SeqCst);
            std::thread::sleep(takes);
            Some(format!("*2\r\n:{}\r\n:0\r\n", on_disks.load(SeqCst)))
        }
        _ => None,
    });
    Waitaof { url, disks, asked }
}

#[tokio::test]
async fn waitaof_is_asked_and_its_count_is_checked() {
    let server = RedisServer::start(&EVERYSEC);
    let fake = waitaof(&server, Duration::ZERO);
    let store = RedisStore::new(config(&fake.url));
    let opened = store.open(&Needs::new(4, Durability::Fsync)).await.unwrap();
    assert_eq!(opened.durability_max, Durability::Fsync);
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    store.sync(&grant, Durability::Fsync).await.unwrap();
    assert_eq!(fake.asked.load(SeqCst), 1);
    assert_eq!(server.ask::<String>(&["HGET", &key("m"), "synced"]), "10");
    // Nothing was appended since.
    store.sync(&grant, Durability::Fsync).await.unwrap();
    assert_eq!(fake.asked.load(SeqCst), 1);
    append(&store, &grant, 10..20).await.unwrap();
    fake.disks.store(0, SeqCst);
    assert_refused(store.sync(&grant, Durability::Fsync).await, StoreErrorClass::Retry, &["did not sync"]);
    fake.disks.store(1, SeqCst);
    store.sync(&grant, Durability::Fsync).await.unwrap();
    assert_eq!(fake.asked.load(SeqCst), 3);
}

/// With a sync once a second, partitions that took turns would wait for one second each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_share_an_answer() {
    let server = RedisServer::start(&EVERYSEC);
    let fake = waitaof(&server, Duration::from_millis(200));
    let store = Arc::new(RedisStore::new(config(&fake.url)));
    let (mut grants, mut tasks) = (Vec::new(), Vec::new());
    for partition in 0..4 {
        grants.push(store.acquire(PartitionId(partition), &claim("me")).await.unwrap().grant);
    }
    for grant in grants {
        store.append(&batch(&grant, 0..10)).await.unwrap();
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move { store.sync(&grant, Durability::Fsync).await }));
    }
    // One of them goes away while all wait.
    tasks[0].abort();
    for task in tasks.into_iter().skip(1) {
        task.await.unwrap().unwrap();
    }
    assert!(fake.asked.load(SeqCst) <= 3, "{:?}", fake.asked);
}

#[tokio::test]
async fn what_is_asked_for_is_fenced_and_has_to_be_there() {
    let server = RedisServer::start(&ALWAYS);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    server.run(&["HSET", &key("m"), "tail", "9"]);
    assert_refused(
        store.sync(&grant, Durability::Fsync).await,
        StoreErrorClass::Behind,
        &["up to 9", "up to 10"],
    );
    server.run(&["HSET", &key("m"), "tail", "10"]);
    store.acquire(P0, &claim("other").by_force()).await.unwrap();
    assert_refused(store.sync(&grant, Durability::Replicated).await, StoreErrorClass::Fenced, &["other"]);
    server.run(&["FLUSHALL"]);
    assert_refused(store.sync(&grant, Durability::Replicated).await, StoreErrorClass::Behind, &["gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated_counts_replicas_and_holds_up_no_append() {
    let server = RedisServer::start(&[]);
    let one = RedisStore::new(config(&server.url()).replicas(1));
    let grant = acquire(&one, "me").await.grant;
    append(&one, &grant, 0..10).await.unwrap();
    let waiting = one.sync(&grant, Durability::Replicated);
    let appending = async {
        sleep_ms(100).await;
        let appends = async {
            for from in 10..110 {
                append(&one, &grant, from..from + 1).await.unwrap();
            }
        };
        // Well before the wait for a replica ends.
        tokio::time::timeout(Duration::from_millis(1_500), appends).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, appending);
    assert_refused(waited, StoreErrorClass::Refused, &["0 of 1 replicas", "RedisConfig::replicas"]);

    let replica = RedisServer::start(&[]);
    replica.run(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    let linked = async { while one.sync(&grant, Durability::Replicated).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), linked).await.unwrap();
    append(&one, &grant, 110..111).await.unwrap();
    one.sync(&grant, Durability::Replicated).await.unwrap();
    assert_eq!(replica.ask::<String>(&["HGET", &key("m"), "tail"]), "111");
    let two = RedisStore::new(config(&server.url()).replicas(2));
    assert_refused(
        two.sync(&grant, Durability::Replicated).await,
        StoreErrorClass::Refused,
        &["1 of 2 replicas"],
    );
    // Nobody vouches for this disk, whatever the replicas have.
    assert_refused(
        one.sync(&grant, Durability::Fsync).await,
        StoreErrorClass::Refused,
        &["append-only file"],
    );
}
