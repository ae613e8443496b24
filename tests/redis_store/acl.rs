//! The rights that `docs/redis.md` names: they are enough, and none of them is too many.

use std::time::Duration;

use reveille::store::{Durability, Needs, RedisStore, SnapshotBegin, Store, StoreError, StoreErrorClass};

use crate::support::{P0, assert_image, batch, begin, claim, jobs, sleep_ms};
use testkit::redis::{RedisServer, config};
use testkit::{eventually, within};

const PAGE: &str = include_str!("../../docs/redis.md");
const NEEDS: Needs = Needs::new(4, Durability::Logged);

/// The rules of the line for this user, as they are to be sent.
fn rules(user: &str) -> Vec<String> {
    let start = format!("ACL SETUSER {user} ");
    let line = PAGE.lines().find_map(|line| line.strip_prefix(&start)).expect("the page has the line");
    let own = line.replace("PASSWORD", "pw").replace("NAMESPACE", "test");
    own.split_whitespace().map(str::to_owned).collect()
}

/// The rules that may be added: those at the head of an item.
fn optional() -> Vec<String> {
    let items = PAGE.lines().filter_map(|line| line.strip_prefix("- `+"));
    items.map(|item| format!("+{}", item.split('`').next().unwrap())).collect()
}

/// A user with these rules on a server, and nothing that it has done before.
fn store_as(server: &RedisServer, user: &str, rules: &[String], after: &str) -> RedisStore {
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    server.run(&[&["ACL", "SETUSER", user, "reset"], &rules[..]].concat());
    server.run(&["SCRIPT", "FLUSH"]);
    let address = server.url().replace("redis://", &format!("redis://{user}:pw@"));
    RedisStore::new(config(&format!("{address}{after}")))
}

/// All that an engine does with its store, from its beginning to that of the next.
async fn all_of_an_engine(store: &RedisStore) -> Result<(), StoreError> {
    store.open(&NEEDS).await?;
    let mut all = Vec::new();
    for partition in 0..4 {
        all.push(store.acquire(reveille::PartitionId(partition), &claim("me")).await?.grant);
    }
    let grant = &all[0];
    let loaded = store.load(grant, &|_| {}).await?;
    let from = loaded.log_end();
    // The second snapshot replaces the first, whose chunks are swept and whose log is trimmed.
    for covered in [from + 500, from + 1_000] {
        store.append(&batch(grant, covered - 500..covered)).await?;
        take_snapshot(store, covered, begin(covered), grant).await?;
    }
    for renewed in store.renew(&all).await? {
        renewed?;
    }
    store.sync(grant, Durability::Memory).await?;
    // A standby waits, and takes over what was given back.
    match store.acquire(P0, &claim("standby")).await {
        Err(error) if error.class == StoreErrorClass::Held => {}
        other => panic!("the lease is held: {other:?}"),
    }
    // The owner looks now and then whether all of it is still there.
    for grant in &all {
        store.check(grant).await?;
    }
    store.doubts().await?;
    store.release(&all).await?;
    store.until_free(P0, Duration::from_secs(1)).await?;
    let next = store.acquire(P0, &claim("standby")).await?.grant;
    let loaded = store.load(&next, &|_| {}).await?;
    assert_image(&loaded.image, &jobs(0..from + 1_000));
    // A repair writes the partition anew, in place of what the log has.
    let anew = begin(loaded.log_end()).replacing_log();
    take_snapshot(store, loaded.log_end(), anew, &next).await?;
    store.append(&batch(&next, loaded.log_end()..loaded.log_end() + 1)).await?;
    store.release(&[next]).await
}

async fn take_snapshot(
    store: &RedisStore,
    covered: u64,
    begin: SnapshotBegin,
    grant: &reveille::store::Grant,
) -> Result<(), StoreError> {
    let Some(mut writer) = store.snapshot(grant, begin).await? else { panic!("it takes snapshots") };
    writer.write(jobs(0..covered)).await?;
    writer.publish(covered).await.map(drop)
}

async fn all_of_a_look(store: &RedisStore) -> Result<u64, StoreError> {
    store.replica().await?;
    let reports = store.inspect().await?;
    assert_eq!((reports.len(), store.partitions().await?), (4, Some(4)));
    let read = store.read(P0).await?.expect("it is there").loaded;
    assert!(!read.image.jobs.is_empty() && !read.records.is_empty());
    Ok(read.log_end())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_needs_what_the_page_says_and_all_of_it() {
    let server = RedisServer::start(&[]);
    let rules = rules("reveille");
    for _ in 0..2 {
        let done = all_of_an_engine(&store_as(&server, "reveille", &rules, "")).await;
        done.unwrap_or_else(|error| panic!("the page says too little: {error}"));
    }
    for without in rules.iter().filter(|rule| rule.starts_with('+')) {
        let less: Vec<String> = rules.iter().filter(|rule| *rule != without).cloned().collect();
        let done = all_of_an_engine(&store_as(&server, "reveille", &less, "")).await;
        let error = done.expect_err(&format!("the page says too much: {without}"));
        assert_eq!(error.class, StoreErrorClass::Refused, "{without}: {error}");
        assert!(error.to_string().contains("ACL SETUSER"), "{without}: {error}");
        // What was half done is no hindrance once the right is there.
        server.run(&["FLUSHALL"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_optional_is_lost_and_nothing_else() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &server.port().to_string()]);
    let is_online = || server.ask::<String>(&["INFO", "replication"]).contains("state=online");
    eventually("the replica has everything", is_online).await;
    let (least, optional) = (rules("reveille"), optional());
    assert!(optional.len() >= 7, "the page lists them: {optional:?}");
    let needs = |durability| Needs::new(4, durability);
    // The server is one that does not know WAITAOF.
    let all: Vec<String> =
        least.iter().chain(optional.iter().filter(|rule| *rule != "+waitaof")).cloned().collect();
    let store = store_as(&server, "reveille", &all, "?db=3");
    all_of_an_engine(&store).await.unwrap();
    store.open(&needs(Durability::Fsync)).await.unwrap();
    let grant = store.acquire(P0, &claim("me")).await.unwrap().grant;
    store.sync(&grant, Durability::Replicated).await.unwrap();
    assert!(store.inspect().await.unwrap()[0].memory_bytes.is_some());
    let clients: String = server.ask(&["CLIENT", "LIST"]);
    assert!(clients.contains("name=reveille:test:control "), "{clients}");

    let store = store_as(&server, "reveille", &least, "?db=3");
    let refused = store.open(&NEEDS).await.unwrap_err();
    assert!(refused.to_string().contains("SELECT 3: ") && refused.class == StoreErrorClass::Refused);
    let store = store_as(&server, "reveille", &least, "");
    let refused = store.open(&needs(Durability::Fsync)).await.unwrap_err();
    assert!(refused.to_string().contains("+config|get"), "{refused}");
    all_of_an_engine(&store).await.unwrap();
    let grant = store.acquire(P0, &claim("me")).await.unwrap().grant;
    let refused = store.sync(&grant, Durability::Replicated).await.unwrap_err();
    assert!(refused.to_string().contains("ACL SETUSER"), "{refused}");
    drop(replica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_needs_what_the_page_says_and_all_of_it_on_a_replica_too() {
    let master = RedisServer::start(&[]);
    let store = RedisStore::new(config(&master.url()));
    all_of_an_engine(&store).await.unwrap();
    let tail = store.inspect().await.unwrap()[0].log_end;
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let rules = rules("reveille-reader");
    for server in [&master, &replica] {
        let store = store_as(server, "reveille-reader", &rules, "");
        let arriving = async {
            loop {
                match all_of_a_look(&store).await {
                    Ok(found) if found == tail => return,
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.class, StoreErrorClass::Retry, "{error}"),
                }
                sleep_ms(20).await;
            }
        };
        // An empty replica has nothing to look at yet.
        let is_there = || server.ask::<u64>(&["DBSIZE"]) >= master.ask(&["DBSIZE"]);
        eventually("it has the keys", is_there).await;
        within("what was written arrives", arriving).await;
        for without in rules.iter().filter(|rule| rule.starts_with('+')) {
            let less: Vec<String> = rules.iter().filter(|rule| *rule != without).cloned().collect();
            let looked = all_of_a_look(&store_as(server, "reveille-reader", &less, "")).await;
            let error = looked.expect_err(&format!("the page says too much: {without}"));
            assert_eq!(error.class, StoreErrorClass::Refused, "{without}: {error}");
        }
    }
    // It may not write, and a replica could not be written to by anybody.
    let reader = store_as(&master, "reveille-reader", &rules, "");
    assert_eq!(reader.acquire(P0, &claim("me")).await.unwrap_err().class, StoreErrorClass::Refused);
    let found = RedisStore::new(config(&replica.url())).replica().await.unwrap().expect("it is one");
    assert_eq!(found.master, format!("127.0.0.1:{}", master.port()));
    assert!(found.is_link_up && found.down_for.is_none(), "{found:?}");
    let json = serde_json::to_value(&found).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["down_for_ms", "heard_before_ms", "is_link_up", "master"]);
    assert_eq!(reader.replica().await.unwrap(), None);
    let engine = RedisStore::new(config(&replica.url())).open(&NEEDS).await.unwrap_err();
    assert!(engine.class == StoreErrorClass::Refused && engine.to_string().contains("master"), "{engine}");
}
