//! Every state in which Redis takes no writes, or not now: told by its class, nothing half written, and all is well when
//! it is over.

use std::time::Duration;

use reveille::store::{Durability, Grant, Needs, RedisStore, Store, StoreErrorClass};

use crate::support::{
    P0, acquire, append, assert_image, assert_records, assert_refused, batch, begin, claim, jobs, load,
    sleep_ms, snapshot, writer,
};
use testkit::redis::{RedisServer, config, key};
use testkit::{eventually, within};

const NEEDS: Needs = Needs::new(4, Durability::Logged);

async fn filled(server: &RedisServer) -> (RedisStore, Grant) {
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..500).await.unwrap();
    snapshot(&store, &grant, 500, jobs(0..500)).await;
    append(&store, &grant, 500..600).await.unwrap();
    (store, grant)
}

/// Every request that writes, once.
async fn every_write(store: &RedisStore, grant: &Grant) -> Vec<(&'static str, Option<StoreErrorClass>)> {
    let class = |result: Result<(), _>| result.err().map(|error: reveille::store::StoreError| error.class);
    let mut all = Vec::new();
    all.push(("append", class(append(store, grant, 600..601).await)));
    all.push(("renew", class(store.renew(std::slice::from_ref(grant)).await.unwrap().remove(0).map(|_| ()))));
    all.push(("acquire", class(store.acquire(grant.partition, &claim("me")).await.map(|_| ()))));
    all.push(("sync", class(store.sync(grant, Durability::Fsync).await)));
    all.push(("begin", class(store.snapshot(grant, begin(600)).await.map(std::mem::forget))));
    all.push(("release", class(store.release(std::slice::from_ref(grant)).await)));
    all
}

/// That everything that writes is refused, nothing has changed, and all is well again after `cure`.
async fn nothing_is_written_until(server: &RedisServer, store: &RedisStore, grant: &Grant, cure: &[&str]) {
    let before = server.dump();
    for (request, class) in every_write(store, grant).await {
        assert_eq!(class, Some(StoreErrorClass::Refused), "{request}");
    }
    assert_eq!(server.dump(), before);
    // What it has can be had.
    assert_eq!(load(store, grant).await.unwrap().log_end(), 600);
    server.run(cure);
    append(store, grant, 600..601).await.unwrap();
    snapshot(store, grant, 601, jobs(0..601)).await;
    assert_image(&load(store, grant).await.unwrap().image, &jobs(0..601));
}

#[tokio::test]
async fn out_of_memory_refuses_what_grows_and_lets_leases_live() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    // A snapshot that was begun in time and is written too late.
    let mut late = writer(&store, &grant, begin(600)).await;
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = server.dump();
    let refused = append(&store, &grant, 600..601).await;
    assert_refused(refused, StoreErrorClass::Refused, &["maxmemory", &key("l")]);
    late.write(jobs(0..600)).await.unwrap();
    assert_refused(late.publish(600).await, StoreErrorClass::Refused, &["maxmemory"]);
    assert_eq!(server.dump(), before);
    std::mem::forget(late);
    // A lease can be kept, taken over and given back, and what lies about can be removed.
    store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0).unwrap();
    store.release(&[grant]).await.unwrap();
    let grant = acquire(&store, "other").await.grant;
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 600);
    let mut empty = writer(&store, &grant, begin(600)).await;
    empty.publish(600).await.unwrap();
    drop(empty);
    assert_refused(append(&store, &grant, 600..601).await, StoreErrorClass::Refused, &["maxmemory"]);
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    append(&store, &grant, 600..601).await.unwrap();
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 601);
}

#[tokio::test]
async fn a_replica_takes_nothing_and_its_connection_is_given_up() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_refused(append(&store, &grant, 600..601).await, StoreErrorClass::Refused, &["replica", "master"]);
    // The next connection finds out before anything is sent.
    assert_refused(
        append(&store, &grant, 600..601).await,
        StoreErrorClass::Refused,
        &["connecting to", "replica"],
    );
    let renewed = store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0);
    assert_refused(renewed, StoreErrorClass::Refused, &["replica"]);
    assert_refused(store.open(&NEEDS).await, StoreErrorClass::Refused, &["replica"]);
    server.run(&["REPLICAOF", "NO", "ONE"]);
    append(&store, &grant, 600..601).await.unwrap();
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 601);
}

#[tokio::test]
async fn a_disk_that_cannot_be_written() {
    let server = RedisServer::start(&["--save", "3600 1"]);
    let (store, grant) = filled(&server).await;
    // Root may write everywhere, but nobody can put a file in the place of a directory that is not empty.
    std::fs::create_dir_all(server.dir().join("dump.rdb/inside")).unwrap();
    server.run(&["BGSAVE"]);
    let has_failed = || server.ask::<String>(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err");
    eventually("it cannot save", has_failed).await;
    assert_refused(append(&store, &grant, 600..601).await, StoreErrorClass::Refused, &["disk", "MISCONF"]);
    nothing_is_written_until(
        &server,
        &store,
        &grant,
        &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"],
    )
    .await;
}

#[tokio::test]
async fn too_few_replicas() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    server.run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_refused(
        append(&store, &grant, 600..601).await,
        StoreErrorClass::Refused,
        &["min-replicas-to-write"],
    );
    nothing_is_written_until(&server, &store, &grant, &["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
}

#[tokio::test]
async fn somebody_else_keeps_redis_busy() {
    let server = RedisServer::start(&["--lua-time-limit", "1"]);
    let (store, grant) = filled(&server).await;
    let mut connection = server.connect();
    let busy = std::thread::spawn(move || {
        let _: Result<(), _> = redis::cmd("EVAL").arg("while true do end").arg(0).query(&mut connection);
    });
    sleep_ms(100).await;
    assert_refused(append(&store, &grant, 600..601).await, StoreErrorClass::Retry, &["busy"]);
    assert_refused(load(&store, &grant).await, StoreErrorClass::Retry, &["busy"]);
    // A connection that is made now finds out as well.
    assert_refused(store.open(&NEEDS).await, StoreErrorClass::Retry, &["busy"]);
    server.run(&["SCRIPT", "KILL"]);
    busy.join().unwrap();
    append(&store, &grant, 600..601).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_is_loading_is_waited_for() {
    let mut server = RedisServer::start(&["--save", "3600 1"]);
    let (store, grant) = filled(&server).await;
    for n in 0..200 {
        server.run(&["SET", &format!("filler:{n}"), "x"]);
    }
    server.run(&["SAVE"]);
    // Ten milliseconds for every key, and an answer now and then.
    server.restart_with(&[
        "--save",
        "3600 1",
        "--key-load-delay",
        "10000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    let mut loading = 0;
    let patience = async {
        loop {
            match append(&store, &grant, 600..601).await {
                Ok(()) => return,
                Err(error) => {
                    assert_eq!(error.class, StoreErrorClass::Retry, "{error}");
                    if error.to_string().contains("loading") {
                        assert!(error.again_after.is_some());
                        loading += 1;
                    }
                }
            }
            sleep_ms(50).await;
        }
    };
    within("it has loaded", patience).await;
    assert!(loading > 0, "it was loading while it was asked");
    // The other connection finds out by itself that the server was another one.
    assert_refused(load(&store, &grant).await, StoreErrorClass::Retry, &["connection"]);
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 601);
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    let mut open = writer(&store, &grant, begin(600)).await;
    server.run(&["SCRIPT", "FLUSH"]);
    append(&store, &grant, 600..700).await.unwrap();
    open.write(jobs(0..5_000)).await.unwrap();
    open.publish(600).await.unwrap();
    drop(open);
    server.run(&["SCRIPT", "FLUSH"]);
    store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0).unwrap();
    assert_records(&load(&store, &grant).await.unwrap().records, &batch(&grant, 600..700).records);
}

/// A user who may do less than all of it: told when the lease is taken, and never half done later.
#[tokio::test]
async fn a_user_who_may_not_write_everything() {
    let server = RedisServer::start(&[]);
    let acl = |rules: &[&str]| {
        server
            .run(&[&["ACL", "SETUSER", "bob", "reset", "on", ">pw", "~{rv:test:*", "+@all"], rules].concat());
    };
    acl(&[]);
    let store = RedisStore::new(config(&server.url().replace("redis://", "redis://bob:pw@")));
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    for (rule, word) in
        [("-hset", "HSET"), ("-xadd", "can't run"), ("-hmget", "can't run"), ("-evalsha", "evalsha")]
    {
        acl(&[rule]);
        let before = server.dump();
        assert_refused(
            append(&store, &grant, 10..20).await,
            StoreErrorClass::Refused,
            &["ACL SETUSER", word],
        );
        assert_eq!(server.dump(), before, "{rule}");
        acl(&[]);
    }
    for (rule, word) in [("-xtrim", "XTRIM"), ("-unlink", "UNLINK"), ("-set", "SET"), ("-hdel", "HDEL")] {
        acl(&[rule]);
        let before = server.dump();
        let refused = store.acquire(P0, &claim("me")).await;
        assert_refused(refused, StoreErrorClass::Refused, &["ACL SETUSER", word, &key("")]);
        assert_eq!(server.dump(), before, "{rule}");
        acl(&[]);
    }
    append(&store, &grant, 10..20).await.unwrap();
    // Keys of others are not for it.
    let elsewhere = RedisStore::new(
        config(&server.url().replace("redis://", "redis://bob:pw@")).namespace("elsewhere").unwrap(),
    );
    assert_refused(elsewhere.acquire(P0, &claim("me")).await, StoreErrorClass::Refused, &["ACL SETUSER"]);
}

/// All commands that the documentation names, and no other.
#[tokio::test]
async fn the_commands_that_are_named_are_enough() {
    let server = RedisServer::start(&[]);
    let named = "+evalsha +eval +hmget +hget +hset +hdel +exists +type +time +xadd +xrange +xtrim +xlen +get +set \
                 +strlen +unlink +info";
    let rules: Vec<&str> = ["ACL", "SETUSER", "bob", "reset", "on", ">pw", "~{rv:test:*"]
        .into_iter()
        .chain(named.split_whitespace())
        .collect();
    server.run(&rules);
    let store = RedisStore::new(config(&server.url().replace("redis://", "redis://bob:pw@")));
    store.open(&NEEDS).await.unwrap();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..500).await.unwrap();
    for _ in 0..2 {
        snapshot(&store, &grant, 500, jobs(0..500)).await;
    }
    append(&store, &grant, 500..501).await.unwrap();
    store.renew(std::slice::from_ref(&grant)).await.unwrap().remove(0).unwrap();
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 501);
    store.check(&grant).await.unwrap();
    store.until_free(grant.partition, Duration::from_millis(50)).await.unwrap();
    let report = store.inspect().await.unwrap().remove(0);
    assert_eq!((report.log_end, report.memory_bytes), (501, None));
    store.release(&[grant]).await.unwrap();
}

#[tokio::test]
async fn passwords_that_are_missing_wrong_or_not_wanted() {
    let server = RedisServer::start(&["--requirepass", "hunter2"]);
    let at = |credentials: &str| {
        RedisStore::new(config(&server.url().replace("redis://", &format!("redis://{credentials}"))))
    };
    let open = async |credentials: &str| at(credentials).open(&NEEDS).await;
    open(":hunter2@").await.unwrap();
    open("default:hunter2@").await.unwrap();
    server.run_as("hunter2", &["ACL", "SETUSER", "anyone", "on", "nopass", "~*", "+@all"]);
    open("anyone@").await.unwrap();
    for (credentials, words) in [
        ("", &["password", "NOAUTH"][..]),
        (":swordfish@", &["password", "WRONGPASS"]),
        ("bob:swordfish@", &["user", "WRONGPASS"]),
    ] {
        let refused = open(credentials).await;
        let shown = format!("{refused:?} {:?}", at(credentials));
        assert!(!shown.contains("swordfish"), "{shown}");
        assert_refused(refused, StoreErrorClass::Refused, words);
    }
    let open_to_all = RedisServer::start(&[]);
    let refused = RedisStore::new(config(&open_to_all.url().replace("redis://", "redis://:swordfish@")))
        .open(&NEEDS)
        .await;
    assert!(!format!("{refused:?}").contains("swordfish"), "{refused:?}");
    assert_refused(refused, StoreErrorClass::Refused, &["without any password"]);
    // One that does not know AUTH repeats its arguments.
    let renamed = RedisServer::start(&["--rename-command", "AUTH", ""]);
    let refused = RedisStore::new(config(&renamed.url().replace("redis://", "redis://bob:swordfish@")))
        .open(&NEEDS)
        .await;
    assert!(!format!("{refused:?}").contains("swordfish"), "{refused:?}");
    assert_refused(refused, StoreErrorClass::Refused, &["AUTH"]);
}

#[tokio::test]
async fn a_redis_that_is_full_of_connections_or_lacks_commands() {
    let server = RedisServer::start(&["--maxclients", "2"]);
    let (_one, _two) = (server.connect(), server.connect());
    let refused = server.store().open(&NEEDS).await;
    assert_refused(refused, StoreErrorClass::Retry, &["maxclients"]);
    let lacking = RedisServer::start(&["--rename-command", "EVALSHA", ""]);
    let refused = lacking.store().acquire(P0, &claim("me")).await;
    assert_refused(refused, StoreErrorClass::Refused, &["lacks a command", "EVALSHA"]);
    assert!(lacking.dump().is_empty());
}

#[tokio::test]
async fn by_force_does_not_mean_past_what_redis_refuses() {
    let server = RedisServer::start(&[]);
    let (store, _) = filled(&server).await;
    server.run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let before = server.dump();
    let forced = store.acquire(P0, &claim("other").by_force()).await;
    assert_refused(forced, StoreErrorClass::Refused, &[]);
    assert_eq!(server.dump(), before);
}
