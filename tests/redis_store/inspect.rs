//! Looking without a lease.

use std::sync::Arc;
use std::time::Duration;

use reveille::PartitionId;
use reveille::store::{PartitionReport, Store, StoreErrorClass};
use serde_json::json;

use crate::support::{
    P0, TERM, acquire, append, assert_image, assert_records, assert_refused, batch, claim, jobs, snapshot,
};
use testkit::redis::{RedisServer, key};

#[tokio::test]
async fn a_report_says_what_there_is() {
    let server = RedisServer::start(&[]);
    let store = server.store();
    assert_eq!((store.inspect().await.unwrap(), store.partitions().await.unwrap()), (Vec::new(), None));
    let grant = acquire(&store, "me").await.grant;
    store.acquire(PartitionId(2), &claim("else")).await.unwrap();
    append(&store, &grant, 0..3_000).await.unwrap();
    let info = snapshot(&store, &grant, 2_900, jobs(0..2_900)).await;
    append(&store, &grant, 3_000..3_010).await.unwrap();
    let before = server.dump();
    let reports = store.inspect().await.unwrap();
    assert_eq!(store.partitions().await.unwrap(), Some(4));
    assert_eq!(server.dump(), before);
    let [first, second] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((first.partition, second.partition), (P0, PartitionId(2)));
    assert_eq!((first.owner.owner.as_str(), first.owner.epoch), ("me", grant.epoch));
    assert!(first.owner.lease_left.is_some_and(|left| left <= TERM && left > TERM / 2));
    assert_eq!(
        (first.log_end, first.log_entries, first.log_records, first.chunks_beside),
        (3_010, 2, 110, 0)
    );
    let taken = first.snapshot.unwrap();
    assert_eq!(
        (taken.jobs, taken.chunks, taken.bytes, taken.covered),
        (2_900, info.chunks, info.bytes, 2_900)
    );
    assert!(taken.age < Duration::from_secs(60));
    let memory = first.memory_bytes.unwrap();
    // The batch that straddles the snapshot is still in the log.
    assert!((info.bytes * 2..info.bytes * 3).contains(&memory), "{memory} for {info:?}");
    assert_eq!((second.owner.owner.as_str(), second.log_end, second.snapshot), ("else", 0, None));
    check_json(first);
    store.release(&[grant]).await.unwrap();
    assert_eq!(store.inspect().await.unwrap()[0].owner.lease_left, None);
    server.run(&["SET", &key("m"), "value"]);
    assert_refused(store.inspect().await, StoreErrorClass::Fatal, &[&key("m")]);
}

/// Its shape; the values are those of the report.
fn check_json(report: &PartitionReport) {
    let taken = report.snapshot.unwrap();
    let expected = json!({
        "partition": 0,
        "owner": "me",
        "epoch": report.owner.epoch,
        "lease_left_ms": report.owner.lease_left.unwrap().as_millis() as u64,
        "log_end": 3_010,
        "log_entries": 2,
        "log_records": 110,
        "snapshot": {
            "generation": taken.generation,
            "age_ms": taken.age.as_millis() as u64,
            "covered": 2_900,
            "chunks": taken.chunks,
            "jobs": 2_900,
            "fired": taken.fired,
            "bytes": taken.bytes,
        },
        "chunks_beside": 0,
        "memory_bytes": report.memory_bytes,
    });
    assert_eq!(serde_json::to_value(report).unwrap(), expected);
}

/// An export beside an engine that goes on writing and taking snapshots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_can_be_read_beside_its_owner() {
    let server = RedisServer::start(&[]);
    let writing = server.store();
    let grant = acquire(&writing, "me").await.grant;
    append(&writing, &grant, 0..2_000).await.unwrap();
    snapshot(&writing, &grant, 2_000, jobs(0..2_000)).await;
    let (owner, is_over) = (grant.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let task = tokio::spawn(async move {
        let mut tail = 2_000;
        let mut snapshots = 0;
        while !over.load(std::sync::atomic::Ordering::SeqCst) {
            append(&writing, &owner, tail..tail + 20).await.unwrap();
            tail += 20;
            if tail % 60 == 0 {
                snapshot(&writing, &owner, tail, jobs(0..tail)).await;
                snapshots += 1;
            }
        }
        snapshots
    });
    let reading = server.store();
    let mut seen = 0;
    for _ in 0..60 {
        let read = match reading.read(P0).await {
            Ok(read) => read.unwrap(),
            // Replaced faster than it can be read, again and again.
            Err(error) => {
                assert!(error.to_string().contains("missing"), "{error}");
                continue;
            }
        };
        let loaded = read.loaded;
        assert_eq!(read.owner.owner.as_str(), "me");
        assert!(loaded.log_end() >= seen, "{} after {seen}", loaded.log_end());
        seen = loaded.log_end();
        assert_image(&loaded.image, &jobs(0..loaded.covered));
        assert_records(&loaded.records, &batch(&grant, loaded.covered..seen).records);
    }
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    let snapshots = task.await.unwrap();
    println!("read up to {seen} beside {snapshots} snapshots");
    assert!(seen > 2_000 && snapshots > 2);
}
