//! A start on a store that is not there yet: it waits for as long as it was told to, and no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::{
    Claim, DelegatingStore, Lease, MemoryStore, RedisStore, Store, StoreErrorClass, StoreFuture,
};
use reveille::{Builder, Engine, PartitionId, StartError};
use testkit::MINUTE;
use testkit::port::Port;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::{RedisServer, config};
use testkit::time::timed_async;
use testkit::{ms, nothing};

/// On a store with the time-outs that it has by itself.
fn builder(url: &str) -> Builder {
    Engine::builder().queue("q", nothing).partitions(2).store(Arc::new(RedisStore::new(config(url))))
}

#[track_caller]
fn assert_refused(started: Result<Engine, StartError>, class: StoreErrorClass, words: &str) {
    match started {
        Err(StartError::Store(error)) => {
            assert_eq!(error.class, class, "{error}");
            assert!(error.to_string().contains(words), "{words:?} in: {error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patience_is_the_whole_of_it() {
    let server = RedisServer::start(&[]);
    let dead = Proxy::start(server.port());
    dead.set(Fault::BlackHole);
    let closed = Port::reserve();
    for url in [dead.url(), closed.url()] {
        for patience in [ms(300), ms(1_000), ms(2_500)] {
            let (started, took) = timed_async(builder(&url).start_patience(patience).start()).await;
            assert!(started.is_err());
            assert!(took >= patience && took < patience + ms(700), "{took:?} for {patience:?} on {url}");
        }
    }
}

/// The line dies after the store was opened: what comes then has the patience too, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patience_is_the_whole_of_it_for_the_leases_too() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port());
    let owner = builder(&server.url()).start().await.unwrap();
    let starting =
        tokio::spawn(timed_async(builder(&proxy.url()).standby(true).start_patience(ms(800)).start()));
    tokio::time::sleep(ms(500)).await;
    assert!(!starting.is_finished(), "it waits for the owner");
    proxy.set(Fault::Refuse);
    tokio::time::sleep(ms(1_500)).await;
    assert!(!starting.is_finished(), "a standby that waits goes on through an outage");
    starting.abort();
    drop(owner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_ever_is_for_as_long_as_it_takes() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let mut starting = tokio::spawn(builder(&server.url()).start_patience(Duration::MAX).start());
    assert!(tokio::time::timeout(ms(2_000), &mut starting).await.is_err(), "it has given up");
    server.restart();
    tokio::time::timeout(MINUTE, starting).await.expect("it starts").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_not_pass_fails_at_once_and_what_may_is_waited_for() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let at = |credentials: &str| server.url().replace("redis://", &format!("redis://{credentials}"));
    let start =
        |url: String| tokio::time::timeout(MINUTE, builder(&url).start_patience(Duration::MAX).start());
    server.run_as("right", &["ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-hset"]);
    for (credentials, words) in
        [("", "put one into the address"), (":wrong@", "AUTH: "), ("bob:pw@", "ACL SETUSER")]
    {
        let started = start(at(credentials)).await.expect("it fails at once");
        assert_refused(started, StoreErrorClass::Refused, words);
    }
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", "1"]);
    assert_refused(
        start(replica.url()).await.expect("it fails at once"),
        StoreErrorClass::Refused,
        "replica",
    );
    // A machine that comes up has its replicas a little later.
    server.run_as("right", &["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let mut starting = tokio::spawn(builder(&at(":right@")).start_patience(Duration::MAX).start());
    assert!(tokio::time::timeout(ms(1_500), &mut starting).await.is_err(), "it has given up");
    let refused = builder(&at(":right@")).start_patience(ms(500)).start().await;
    assert_refused(refused, StoreErrorClass::Refused, "min-replicas-to-write");
    server.run_as("right", &["CONFIG", "SET", "min-replicas-to-write", "0"]);
    tokio::time::timeout(MINUTE, starting).await.expect("it starts").unwrap().unwrap();
}

/// Opening a large store takes long, and comes on meanwhile.
#[derive(Debug)]
struct Large {
    inner: MemoryStore,
    steps: AtomicU64,
    comes_on: bool,
}

impl DelegatingStore for Large {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            for _ in 0..20 {
                tokio::time::sleep(ms(100)).await;
                self.steps.fetch_add(u64::from(self.comes_on), SeqCst);
            }
            self.inner.acquire(partition, claim).await
        })
    }

    fn steps(&self) -> u64 {
        self.steps.load(SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_on_is_waited_for() {
    for comes_on in [true, false] {
        let store = Large { inner: MemoryStore::new(), steps: AtomicU64::new(0), comes_on };
        let builder = Engine::builder().queue("q", nothing).partitions(1).store(store);
        let started = builder.start_patience(ms(1_000)).start().await;
        assert_eq!(started.is_ok(), comes_on, "{:?}", started.err());
    }
}
