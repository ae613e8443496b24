//! What it costs. The ones that are ignored take long, and are for `cargo test --release -- --ignored --nocapture`.
#![allow(clippy::disallowed_methods, reason = "they measure real time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use reveille::PartitionId;
use reveille::store::Store;

use crate::common::redis::RedisServer;
use crate::support::{P0, acquire, append, batch, begin, claim, job, key, load, store, writer};
use reveille::partition::Image;

/// A payload of 64 bytes and a key of 20: at most 130 bytes of Redis a job.
#[tokio::test]
async fn a_job_takes_at_most_130_bytes_of_redis() {
    const JOBS: u64 = 20_000;
    let server = RedisServer::start(&[]);
    let store = store(&server);
    let grant = acquire(&store, "me").await.grant;
    for from in (0..JOBS).step_by(500) {
        append(&store, &grant, from..from + 500).await.unwrap();
    }
    let log: u64 = server.ask(&["MEMORY", "USAGE", &key("l"), "SAMPLES", "0"]);
    let mut open = writer(&store, &grant, begin(JOBS)).await;
    let jobs = (0..JOBS).map(|n| job(P0, n)).collect();
    open.write(Image { jobs, fired: Vec::new(), next_sequence: JOBS }).await.unwrap();
    let info = open.publish(JOBS).await.unwrap();
    drop(open);
    let generation: String = server.ask(&["HGET", &key("m"), "gen"]);
    let chunks = (0..info.chunks).map(|n| key(&format!("s:{generation}:{n}")));
    let snapshot: u64 = chunks.map(|chunk| server.ask::<u64>(&["MEMORY", "USAGE", &chunk])).sum();
    let (log, snapshot) = (log as f64 / JOBS as f64, snapshot as f64 / JOBS as f64);
    println!("bytes of Redis a job: {snapshot:.1} in a snapshot, {log:.1} in the log");
    assert!(snapshot <= 130.0 && log <= 130.0, "{snapshot} {log}");
}

/// Batches of 64 KB, eight partitions, one batch under way for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long"]
async fn append_throughput() {
    const BATCHES: u64 = 1_000;
    const RECORDS: u64 = 620;
    let server = RedisServer::start(&[]);
    let store = Arc::new(store(&server));
    let claim = reveille::store::Claim { partitions: 8, ..claim("me") };
    let mut all = Vec::new();
    for partition in 0..8 {
        let grant = store.acquire(PartitionId(partition), &claim).await.unwrap().grant;
        // The same records each time: what is measured is not the making of them.
        all.push((batch(&grant, 0..RECORDS), grant));
    }
    let began = Instant::now();
    let tasks: Vec<_> = all
        .into_iter()
        .map(|(mut batch, _)| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..BATCHES {
                    batch.first_record = n * RECORDS;
                    store.append(&batch).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let took = began.elapsed();
    let bytes: u64 = server.ask(&["MEMORY", "USAGE", "{rv:test:0}:l", "SAMPLES", "0"]);
    println!(
        "append: {:.0} batches/s of {} bytes, {:.0} MB/s, {:.0} records/s",
        8.0 * BATCHES as f64 / took.as_secs_f64(),
        bytes / BATCHES,
        8.0 * bytes as f64 / took.as_secs_f64() / 1e6,
        (8 * BATCHES * RECORDS) as f64 / took.as_secs_f64(),
    );
}

/// A million jobs from a snapshot, and from the log, against reading the same bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long"]
async fn load_against_reading() {
    const JOBS: u64 = 1_000_000;
    let server = RedisServer::start(&[]);
    let store = store(&server);
    let grant = acquire(&store, "me").await.grant;
    for from in (0..JOBS).step_by(500) {
        append(&store, &grant, from..from + 500).await.unwrap();
    }
    let from_log = time(&store, &grant).await;
    let began = Instant::now();
    let mut open = writer(&store, &grant, begin(JOBS)).await;
    for from in (0..JOBS).step_by(256) {
        let jobs = (from..(from + 256).min(JOBS)).map(|n| job(P0, n)).collect();
        open.write(Image { jobs, fired: Vec::new(), next_sequence: JOBS }).await.unwrap();
    }
    let info = open.publish(JOBS).await.unwrap();
    drop(open);
    println!("snapshot of a million jobs: {:?}, {info:?}", began.elapsed());
    let from_snapshot = time(&store, &grant).await;
    let generation: String = server.ask(&["HGET", &key("m"), "gen"]);
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut raw = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        for first in (0..info.chunks).step_by(16) {
            let mut pipeline = redis::pipe();
            for n in first..(first + 16).min(info.chunks) {
                pipeline.cmd("GET").arg(key(&format!("s:{generation}:{n}")));
            }
            let _: Vec<Vec<u8>> = pipeline.query_async(&mut connection).await.unwrap();
        }
        raw = raw.min(began.elapsed());
    }
    let ratio = |took: Duration| took.as_secs_f64() / raw.as_secs_f64();
    println!(
        "a million jobs, {} MB: raw GET {raw:?}, from a snapshot {from_snapshot:?} ({:.1}x), from the log {from_log:?} ({:.1}x)",
        info.bytes / 1_000_000,
        ratio(from_snapshot),
        ratio(from_log),
    );
}

async fn time(store: &reveille::store::RedisStore, grant: &reveille::store::Grant) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let loaded = load(store, grant).await.unwrap();
        best = best.min(began.elapsed());
        assert_eq!(loaded.next_record(), 1_000_000);
    }
    best
}
