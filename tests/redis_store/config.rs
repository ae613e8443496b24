//! Addresses: users, databases, sockets, names.

use reveille::store::{Durability, Needs, RedisConfig, RedisStore, Store, StoreErrorClass};

use crate::support::{acquire, append, assert_refused, load};
use testkit::redis::{RedisServer, config};

const NEEDS: Needs = Needs::new(4, Durability::Logged);

#[tokio::test]
async fn a_database_and_a_namespace_of_its_own() {
    let server = RedisServer::start(&[]);
    for (at, namespace) in [("/0", "one"), ("/3", "one"), ("?db=3", "two")] {
        let config = RedisConfig::new(format!("{}{at}", server.url())).unwrap().namespace(namespace).unwrap();
        let store = RedisStore::new(config);
        store.open(&NEEDS).await.unwrap();
        let lease = acquire(&store, "me").await;
        assert_eq!(lease.log_end, 0);
        append(&store, &lease.grant, 0..1).await.unwrap();
    }
    assert_eq!(server.ask::<u64>(&["DBSIZE"]), 2);
    let keyspace: String = server.ask(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db3:keys=4"), "{keyspace}");
    let past = RedisStore::new(config(&format!("{}/99", server.url())));
    assert_refused(
        past.open(&NEEDS).await,
        StoreErrorClass::Refused,
        &["SELECT 99: the server has no database", "out of range"],
    );
}

/// What is dropped in silence leads to another's jobs.
#[tokio::test]
async fn an_address_is_one_place_however_it_is_written() {
    let server = RedisServer::start(&["--requirepass", "p+@ss"]);
    server.run_as("p+@ss", &["ACL", "SETUSER", "bob", "on", ">a b/c", "~*", "+@all"]);
    let port = server.port();
    for (url, database) in [
        (format!("REDIS://:p+%40ss@127.0.0.1:{port}/2/"), 2),
        (format!("redis://:p+@ss@127.0.0.1:{port}?db=2"), 2),
        (format!("redis://127.0.0.1:{port}/?pass=p+@ss&db=2"), 2),
        (format!("redis://bob:a%20b%2Fc@127.0.0.1:{port}/1"), 1),
        (format!("redis://127.0.0.1:{port}?username=bob&password=a%20b/c&db=1"), 1),
    ] {
        let store = RedisStore::new(config(&url));
        store.open(&NEEDS).await.unwrap();
        let lease = acquire(&store, "me").await;
        append(&store, &lease.grant, lease.log_end..lease.log_end + 1).await.unwrap();
        let counted = server.run_as("p+@ss", &["INFO", "keyspace"]);
        let keyspace: String = redis::from_redis_value(counted).unwrap();
        assert!(
            keyspace.contains(&format!("db{database}:keys=2")) && !keyspace.contains("db0"),
            "{keyspace}"
        );
    }
    let refused =
        RedisStore::new(config(&format!("redis://bob:hunter2@127.0.0.1:{port}"))).open(&NEEDS).await;
    assert_refused(refused, StoreErrorClass::Refused, &["AUTH: ", "WRONGPASS"]);
}

/// It is understood everywhere, and led somewhere where this machine has IPv6.
#[tokio::test]
async fn an_ipv6_address_may_have_a_zone() {
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let bind: &[&str] = if has_ipv6 { &["--bind", "127.0.0.1", "::1"] } else { &[] };
    let server = RedisServer::start(bind);
    for host in ["[::1]", "[::1%251]", "[::1%1]"] {
        let opened = RedisStore::new(config(&format!("redis://{host}:{}", server.port()))).open(&NEEDS).await;
        if has_ipv6 {
            opened.unwrap_or_else(|error| panic!("{host}: {error}"));
        } else {
            assert_refused(opened, StoreErrorClass::Retry, &["[::1", "no connection"]);
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_is_an_address_too() {
    let dir = std::env::temp_dir().join(format!("reveille-socket-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let socket = dir.join("redis.sock");
    let server = RedisServer::start(&["--unixsocket", socket.to_str().unwrap(), "--requirepass", "hunter2"]);
    for scheme in ["unix", "redis+unix"] {
        let url = format!("{scheme}://{}?db=1&pass=hunter2", socket.display());
        let store = RedisStore::new(config(&url));
        store.open(&NEEDS).await.unwrap();
        let lease = acquire(&store, "me").await;
        append(&store, &lease.grant, lease.log_end..lease.log_end + 5).await.unwrap();
        assert_eq!(load(&store, &lease.grant).await.unwrap().log_end(), lease.log_end + 5);
    }
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn an_operator_finds_the_connections_by_name() {
    let server = RedisServer::start(&[]);
    let store = RedisStore::new(config(&server.url()));
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..1).await.unwrap();
    let clients: String = server.ask(&["CLIENT", "LIST"]);
    assert!(clients.contains("name=reveille:test:log "), "{clients}");
    assert!(clients.contains("name=reveille:test:control "), "{clients}");
    assert!(!clients.contains("name=reveille:test:sync "), "{clients}");
}

/// With a certificate that nobody vouches for.
#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn tls_is_spoken_and_certificates_are_checked() {
    let server = RedisServer::start_with_tls(&[]);
    let store = RedisStore::new(config(&server.tls_url()));
    assert_refused(store.open(&NEEDS).await, StoreErrorClass::Retry, &["certificate"]);
}
