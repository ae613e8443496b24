//! What a server is asked before anything is entrusted to it.

use reveille::store::{Durability, Needs, Opened, RedisStore, Store, StoreErrorClass};

use crate::fake;
use crate::support::{acquire, append, assert_refused};
use testkit::redis::{ALWAYS, RedisServer, config, key};

fn needs(durability: Durability) -> Needs {
    Needs::new(4, durability)
}

async fn max(store: &RedisStore, asked: Durability) -> Durability {
    let Opened { durability_max, has_lease, .. } = store.open(&needs(asked)).await.unwrap();
    assert!(has_lease);
    durability_max
}

#[tokio::test]
async fn opening_changes_nothing() {
    let server = RedisServer::start(&[]);
    assert_eq!(max(&server.store(), Durability::Logged).await, Durability::Logged);
    assert!(server.dump().is_empty());
}

#[tokio::test]
async fn servers_that_cannot_be_written_to_are_refused() {
    let server = RedisServer::start(&[]);
    for (info, class, words) in [
        (fake::info("6.0.16", ""), StoreErrorClass::Refused, &["6.0.16", "6.2.0", "update"][..]),
        (
            fake::info("7.0.15", "role:slave\r\n"),
            StoreErrorClass::Refused,
            &["replica", "master", "REPLICAOF"],
        ),
        (fake::info("7.0.15", "redis_mode:sentinel\r\n"), StoreErrorClass::Refused, &["sentinel", "master"]),
        (fake::info("7.0.15", "cluster_enabled:1\r\n"), StoreErrorClass::Refused, &["cluster", "single"]),
        (
            fake::info("7.0.15", "loading:1\r\nloading_eta_seconds:3\r\n"),
            StoreErrorClass::Retry,
            &["loading"],
        ),
        (fake::bulk("something else"), StoreErrorClass::Refused, &["0.0.0"]),
        ("+OK\r\n".to_owned(), StoreErrorClass::Retry, &["not Redis"]),
    ] {
        let url = fake::start(server.port(), move |words| (words[0] == "INFO").then(|| info.clone()));
        let opened = RedisStore::new(config(&url)).open(&needs(Durability::Logged)).await;
        assert_refused(opened, class, &[&["127.0.0.1"], words].concat());
    }
    let cluster = RedisServer::start(&["--cluster-enabled", "yes"]);
    let opened = cluster.store().open(&needs(Durability::Logged)).await;
    assert_refused(opened, StoreErrorClass::Refused, &["cluster"]);
}

#[tokio::test]
async fn a_replica_is_refused_until_it_is_promoted() {
    let server = RedisServer::start(&[]);
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let store = server.store();
    assert_refused(store.open(&needs(Durability::Logged)).await, StoreErrorClass::Refused, &["replica"]);
    server.run(&["REPLICAOF", "NO", "ONE"]);
    max(&store, Durability::Logged).await;
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused() {
    let server = RedisServer::start(&["--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru"]);
    let store = server.store();
    let refused = store.open(&needs(Durability::Logged)).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["allkeys-lru", "noeviction"]);
    // Without a limit nothing is evicted.
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    max(&store, Durability::Logged).await;
    server.run(&["CONFIG", "SET", "maxmemory", "200mb", "maxmemory-policy", "noeviction"]);
    max(&store, Durability::Logged).await;
}

#[tokio::test]
async fn the_number_of_partitions_is_for_ever() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..1).await.unwrap();
    let before = server.dump();
    let other = Needs::new(8, Durability::Logged);
    assert_refused(
        store.open(&other).await,
        StoreErrorClass::Fatal,
        &["4 partitions", "build the engine with 4"],
    );
    max(&store, Durability::Logged).await;
    assert_eq!(server.dump(), before);
    for (found, words) in [
        (vec!["SET", "value"], &["namespace"][..]),
        (vec!["HSET", "field", "value"], &["namespace"]),
        (vec!["HSET", "format", "reveille/9", "partitions", "4"], &["reveille/9", "update"]),
    ] {
        let m = key("m");
        server.run(&["DEL", &m]);
        server.run(&[&found[..1], &[m.as_str()], &found[1..]].concat());
        let before = server.dump();
        let refused = store.open(&needs(Durability::Logged)).await;
        assert_refused(refused, StoreErrorClass::Fatal, &[&[m.as_str()], words].concat());
        assert_eq!(server.dump(), before);
    }
}

#[tokio::test]
async fn fsync_is_given_only_where_it_can_be_known() {
    let server = RedisServer::start(&ALWAYS);
    let store = server.store();
    assert_eq!(max(&store, Durability::Fsync).await, Durability::Fsync);
    assert_eq!(max(&store, Durability::Logged).await, Durability::Fsync);
    for (setting, value, words) in [
        ("appendfsync", "everysec", &["appendfsync always", "7.2"][..]),
        ("appendfsync", "no", &["appendfsync always"]),
        ("no-appendfsync-on-rewrite", "yes", &["no-appendfsync-on-rewrite no"]),
        ("appendonly", "no", &["appendonly yes"]),
    ] {
        let good: (String, String) = server.ask(&["CONFIG", "GET", setting]);
        server.run(&["CONFIG", "SET", setting, value]);
        assert_refused(store.open(&needs(Durability::Fsync)).await, StoreErrorClass::Fatal, words);
        assert_eq!(max(&store, Durability::Logged).await, Durability::Logged);
        server.run(&["CONFIG", "SET", setting, &good.1]);
    }
    // With WAITAOF the server tells by itself.
    let answers = |words: &[String]| match words[0].as_str() {
        "INFO" => Some(fake::info("7.2.4", "")),
        "COMMAND" => Some("*1\r\n*1\r\n$7\r\nwaitaof\r\n".to_owned()),
        _ => None,
    };
    let url = fake::start(server.port(), answers);
    server.run(&["CONFIG", "SET", "appendfsync", "everysec"]);
    assert_eq!(max(&RedisStore::new(config(&url)), Durability::Fsync).await, Durability::Fsync);
    server.run(&["CONFIG", "SET", "appendfsync", "no"]);
    let refused = RedisStore::new(config(&url)).open(&needs(Durability::Fsync)).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["appendfsync always"]);
}

/// As with many that are rented.
#[tokio::test]
async fn a_server_that_does_not_tell_its_settings_gives_no_fsync() {
    let server = RedisServer::start(&ALWAYS);
    server.run(&["ACL", "SETUSER", "bob", "on", ">pw", "~{rv:test:*", "+@all", "-config", "-command"]);
    let url = server.url().replace("redis://", "redis://bob:pw@");
    let store = RedisStore::new(config(&url));
    assert_refused(
        store.open(&needs(Durability::Fsync)).await,
        StoreErrorClass::Fatal,
        &["+config|get", "7.2"],
    );
    assert_eq!(max(&store, Durability::Logged).await, Durability::Logged);
    let answers = |words: &[String]| (words[0] == "INFO").then(|| fake::info("7.2.4", ""));
    let url = fake::start(server.port(), answers).replace("redis://", "redis://bob:pw@");
    assert_eq!(max(&RedisStore::new(config(&url)), Durability::Fsync).await, Durability::Fsync);
}

#[tokio::test]
async fn replicated_is_given_where_there_are_replicas_or_will_be() {
    let server = RedisServer::start(&ALWAYS);
    let alone = server.store();
    let asked = RedisStore::new(config(&server.url()).replicas(2));
    assert_eq!(max(&alone, Durability::Logged).await, Durability::Fsync);
    assert_eq!(max(&alone, Durability::Replicated).await, Durability::Replicated);
    assert_eq!(max(&asked, Durability::Logged).await, Durability::Replicated);
    // Levels are a ladder: without the rung below there is none above, unless it is the one that is stood on.
    server.run(&["CONFIG", "SET", "appendfsync", "everysec"]);
    assert_eq!(max(&asked, Durability::Logged).await, Durability::Logged);
    assert_eq!(max(&asked, Durability::Replicated).await, Durability::Replicated);
    server.run(&["CONFIG", "SET", "appendfsync", "always"]);
    let replica = RedisServer::start(&[]);
    replica.run(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    while max(&alone, Durability::Logged).await != Durability::Replicated {
        crate::support::sleep_ms(20).await;
    }
}
