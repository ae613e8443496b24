//! Who has the lease next, and how soon: a lease that is given back, one that outlasts its term, one of the dead.
#![allow(clippy::disallowed_methods, reason = "how long it takes is the point")]

use std::sync::Arc;
use std::time::Duration;

use reveille::store::{Claim, Owner, Store};
use reveille::{Builder, Engine, Job, PartitionId, QueueConfig};
use testkit::MINUTE;
use testkit::redis::{RedisServer, key_in};
use testkit::{ms, nothing};
use tokio::time::{Instant, timeout};

const TERM: Duration = Duration::from_secs(1);

fn builder(server: &RedisServer) -> Builder {
    Engine::builder().queue("q", nothing).partitions(2).store(Arc::new(server.store()))
}

/// Takes the leases of one who will not be heard of again.
async fn die_as_owner(server: &RedisServer) {
    let store = server.store();
    let owner = Owner::new("elsewhere:1:0");
    let claim = Claim::new(owner, 2, TERM);
    for partition in 0..2 {
        store.acquire(PartitionId(partition), &claim).await.unwrap();
    }
}

/// As the clock of Redis leaves it that was ahead when the lease was proved, and was put right.
fn set_ahead(server: &RedisServer, by: Duration) {
    for partition in 0..2 {
        let meta = key_in(partition, "m");
        let until: u64 = server.ask(&["HGET", &meta, "lease_until"]);
        let until = until + by.as_millis() as u64;
        server.run(&["HSET", &meta, "lease_until", &until.to_string()]);
    }
}

/// Whoever comes next waits for a term at most, however far ahead the clock was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_never_lasts_longer_than_its_term() {
    let server = RedisServer::start(&[]);
    for is_single_owner in [false, true] {
        die_as_owner(&server).await;
        set_ahead(&server, MINUTE * 60);
        let report = server.store().inspect().await.unwrap();
        assert!(report.iter().all(|one| one.owner.lease_left.unwrap() <= TERM), "{report:?}");
        let begun = Instant::now();
        let next =
            timeout(MINUTE, builder(&server).single_owner(is_single_owner).start()).await.unwrap().unwrap();
        // Both partitions, one after the other at worst.
        assert!(begun.elapsed() < TERM * 6, "{:?}", begun.elapsed());
        assert!(
            begun.elapsed() >= TERM / 2,
            "it has waited for the owner that may live: {:?}",
            begun.elapsed()
        );
        next.shutdown(MINUTE).await;
    }
}

/// An owner that lives sets it right with its next proof, and keeps what it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_owner_keeps_its_lease_when_the_clock_is_set_back() {
    let server = RedisServer::start(&[]);
    let owner = builder(&server).lease(TERM).start().await.unwrap();
    let standby = tokio::spawn(builder(&server).lease(TERM).start());
    for _ in 0..5 {
        set_ahead(&server, MINUTE * 60);
        tokio::time::sleep(TERM / 2).await;
        assert!(!standby.is_finished());
        owner.schedule_raw("q", "").after(MINUTE).await.unwrap().scheduled().unwrap();
    }
    let report = server.store().inspect().await.unwrap();
    assert!(report.iter().all(|one| one.owner.lease_left.unwrap() <= TERM), "{report:?}");
    owner.shutdown(MINUTE).await;
    timeout(MINUTE, standby).await.unwrap().unwrap().unwrap();
}

/// From the end of a shutdown to the standby's first handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let server = RedisServer::start(&[]);
    let mut took = Vec::new();
    for _ in 0..7 {
        let (fired, mut first) = tokio::sync::mpsc::unbounded_channel();
        let fires = move |_: Job| {
            let _ = fired.send(Instant::now());
            async {}
        };
        // It stays for the next one, due long since.
        let stopped = QueueConfig::new("fires").paused();
        let owner = builder(&server).queue(stopped, nothing).start().await.unwrap();
        owner.schedule_raw("fires", "").after(ms(1)).await.unwrap().scheduled().unwrap();
        let standby = tokio::spawn(builder(&server).queue("fires", fires).start());
        tokio::time::sleep(ms(450)).await;
        owner.shutdown(MINUTE).await;
        let given_back = Instant::now();
        let at = timeout(MINUTE, first.recv()).await.unwrap().unwrap();
        took.push(at.saturating_duration_since(given_back));
        standby.await.unwrap().unwrap().shutdown(MINUTE).await;
    }
    took.sort_unstable();
    println!("from the release to the first job: {took:?}");
    assert!(took[3] < ms(200), "{took:?}");
}
