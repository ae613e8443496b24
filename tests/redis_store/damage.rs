//! Data that is damaged, foreign or newer: refused by name, never half loaded, and nothing is written over.

use reveille::store::{Grant, RedisStore, StoreErrorClass};

use crate::support::{P0, acquire, append, assert_refused, jobs, load, snapshot};
use testkit::redis::{RedisServer, key};

/// A partition with a snapshot of a few chunks, covering 2,000 records, and a log of five batches after it.
async fn filled(server: &RedisServer) -> (RedisStore, Grant) {
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..2_000).await.unwrap();
    snapshot(&store, &grant, 2_000, jobs(0..2_000)).await;
    for from in (2_000..2_050).step_by(10) {
        append(&store, &grant, from..from + 10).await.unwrap();
    }
    (store, grant)
}

fn bytes(server: &RedisServer, key: &str) -> Vec<u8> {
    server.ask(&["GET", key])
}

fn set(server: &RedisServer, key: &str, bytes: &[u8]) {
    let _: () = redis::cmd("SET").arg(key).arg(bytes).query(&mut server.connect()).unwrap();
}

async fn is_refused(server: &RedisServer, store: &RedisStore, grant: &Grant, case: &str, words: &[&str]) {
    println!("{case}");
    let before = server.dump();
    assert_refused(load(store, grant).await, StoreErrorClass::Fatal, words);
    assert_refused(store.read(P0).await, StoreErrorClass::Fatal, words);
    assert_eq!(server.dump(), before, "{case}");
}

#[tokio::test]
async fn chunks_that_do_not_fit_are_refused() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    let generation = server.field("gen").unwrap();
    let chunk = |n: u64| key(&format!("s:{generation}:{n}"));
    let (first, second) = (bytes(&server, &chunk(0)), bytes(&server, &chunk(1)));
    let check = async |case: &str, words: &[&str]| {
        is_refused(&server, &store, &grant, case, &[&[chunk(1).as_str()], words].concat()).await;
    };
    server.run(&["DEL", &chunk(1)]);
    check("missing", &["missing", "Restore", "redis-cli"]).await;
    set(&server, &chunk(1), &second[..second.len() / 2]);
    check("cut short", &["cut short", "backup"]).await;
    for at in [4, 40, second.len() - 1] {
        let mut changed = second.clone();
        changed[at] ^= 1;
        set(&server, &chunk(1), &changed);
        check("a bit is changed", &[]).await;
    }
    set(&server, &chunk(1), b"");
    check("empty", &[]).await;
    set(&server, &chunk(1), b"something else");
    check("foreign", &["not a snapshot chunk"]).await;
    set(&server, &chunk(1), &first);
    check("another chunk of the same snapshot", &["another snapshot"]).await;
    server.run(&["DEL", &chunk(1)]);
    server.run(&["RPUSH", &chunk(1), "value"]);
    check("another type", &["namespace"]).await;
    server.run(&["DEL", &chunk(1)]);

    // One of an earlier snapshot, and one of another partition.
    set(&server, &chunk(1), &second);
    snapshot(&store, &grant, 2_050, jobs(0..2_000)).await;
    let generation = server.field("gen").unwrap();
    set(&server, &key(&format!("s:{generation}:1")), &second);
    is_refused(&server, &store, &grant, "of another generation", &["another snapshot"]).await;
    let other = reveille::PartitionId(1);
    // As one who owned it: nothing is there of it, while there is of others.
    let claim = crate::support::claim("me").epoch_after(1);
    let elsewhere = reveille::store::Store::acquire(&store, other, &claim).await.unwrap().grant;
    let to = |name: &str| format!("{{rv:test:1}}:{name}");
    server.run(&["COPY", &key("m"), &to("m"), "REPLACE"]);
    server.run(&["HSET", &to("m"), "epoch", &elsewhere.epoch.to_string()]);
    for n in 0..server.field("chunks").unwrap().parse::<u64>().unwrap() {
        server.run(&["COPY", &key(&format!("s:{generation}:{n}")), &to(&format!("s:{generation}:{n}"))]);
    }
    assert_refused(
        load(&store, &elsewhere).await,
        StoreErrorClass::Fatal,
        &[&to(&format!("s:{generation}:0"))],
    );
}

#[tokio::test]
async fn a_log_that_does_not_fit_is_refused() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    let l = key("l");
    let entries: Vec<(String, (String, Vec<u8>))> = server.ask(&["XRANGE", &l, "-", "+"]);
    assert_eq!(entries.len(), 5);
    let add = |id: &str, field: &str, value: &[u8]| {
        let mut command = redis::cmd("XADD");
        command.arg(&l).arg(id).arg(field).arg(value);
        let _: String = command.query(&mut server.connect()).unwrap();
    };
    let rebuild = |with: &dyn Fn(usize) -> Option<(String, Vec<u8>)>| {
        server.run(&["DEL", &l]);
        for (at, (id, (_, batch))) in entries.iter().enumerate() {
            if let Some((field, value)) = with(at) {
                add(id, &field, if value.is_empty() { batch } else { &value });
            }
        }
    };
    let ours = || Some(("b".to_owned(), Vec::new()));
    let check = async |case: &str, words: &[&str]| {
        is_refused(&server, &store, &grant, case, &[&[l.as_str()], words].concat()).await;
    };

    rebuild(&|at| if at == 2 { None } else { ours() });
    check("a gap", &["records 2020 to 2030", &entries[3].0]).await;
    rebuild(&|at| if at == 0 { None } else { ours() });
    check("a gap after the snapshot", &["records 2000 to 2010"]).await;
    rebuild(&|at| if at == 4 { None } else { ours() });
    check("the end is missing", &["2040", "2050"]).await;
    server.run(&["DEL", &l]);
    check("no log", &["2000", "2050"]).await;
    rebuild(&|at| if at == 1 { Some(("x".to_owned(), Vec::new())) } else { ours() });
    check("another field", &["not a batch", &entries[1].0]).await;
    rebuild(&|at| if at == 1 { Some(("b".to_owned(), b"something else".to_vec())) } else { ours() });
    check("foreign", &["not a log batch", &entries[1].0]).await;
    let short = entries[1].1.1[..20].to_vec();
    rebuild(&|at| if at == 1 { Some(("b".to_owned(), short.clone())) } else { ours() });
    check("cut short", &["cut short", &entries[1].0]).await;
    let mut changed = entries[1].1.1.clone();
    *changed.last_mut().unwrap() ^= 1;
    rebuild(&|at| if at == 1 { Some(("b".to_owned(), changed.clone())) } else { ours() });
    check("a bit is changed", &[&entries[1].0]).await;
    let again = entries[0].1.1.clone();
    rebuild(&|at| if at == 1 { Some(("b".to_owned(), again.clone())) } else { ours() });
    check("a batch under the id of another", &["belongs elsewhere"]).await;
    rebuild(&|_| ours());
    add(&format!("{}-2060", grant.epoch), "b", &entries[0].1.1);
    let before = server.dump();
    assert_refused(load(&store, &grant).await, StoreErrorClass::Fatal, &["belongs elsewhere"]);
    // Without a lease, what comes after the tail is somebody's business who is writing it.
    assert!(store.read(P0).await.is_ok());
    assert_eq!(server.dump(), before);
    server.run(&["DEL", &l]);
    server.run(&["SET", &l, "value"]);
    check("another type", &["namespace"]).await;
    server.run(&["DEL", &l]);
    rebuild(&|_| ours());
    assert_eq!(load(&store, &grant).await.unwrap().log_end(), 2_050);
}

#[tokio::test]
async fn a_meta_that_does_not_fit_is_refused() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    let m = key("m");
    for (field, value, words) in [
        ("tail", "2051", &["2051"][..]),
        ("tail", "2049", &["2049"]),
        ("tail", "many", &["`tail`"]),
        ("chunks", "3", &["jobs"]),
        ("chunks", "9", &["missing"]),
        ("jobs", "1", &["jobs"]),
        ("covered", "1990", &["another snapshot"]),
        ("complete", "", &["`complete`"]),
        ("gen", "12", &["s:12:0"]),
        ("format", "reveille/3", &["reveille/3", "update"]),
        ("format", "else", &["namespace"]),
        ("partitions", "70000", &["`partitions`"]),
    ] {
        let good = server.field(field).unwrap();
        server.run(&["HSET", &m, field, value]);
        is_refused(&server, &store, &grant, &format!("{field} {value:?}"), words).await;
        server.run(&["HSET", &m, field, &good]);
    }
    server.run(&["RENAME", &m, "aside"]);
    server.run(&["SET", &m, "value"]);
    is_refused(&server, &store, &grant, "a string", &[&m, "namespace"]).await;
    server.run(&["DEL", &m]);
    assert_refused(load(&store, &grant).await, StoreErrorClass::Behind, &[&m, "gone"]);
    // Whoever reads without a lease must not take what is lost for nothing.
    assert_refused(store.read(P0).await, StoreErrorClass::Behind, &[&m, "gone", "redis-cli"]);
    server.run(&["RENAME", "aside", &m]);
    assert!(load(&store, &grant).await.is_ok());
}

/// It was taken over in the middle of a load: that is not damage.
#[tokio::test]
async fn a_load_by_one_who_is_no_longer_the_owner_says_so() {
    let server = RedisServer::start(&[]);
    let (store, grant) = filled(&server).await;
    let claim = crate::support::claim("other").by_force();
    reveille::store::Store::acquire(&store, P0, &claim).await.unwrap();
    server.run(&["DEL", &key("l")]);
    assert_refused(load(&store, &grant).await, StoreErrorClass::Fenced, &["other"]);
}
