//! Snapshots: written behind a log that goes on, in force in one step, and nothing is kept that they stand for.

use reveille::store::{SnapshotBegin, Store, StoreErrorClass};

use crate::folder::{Folder, bytes, cut, flip};
use crate::support::{
    P0, acquire, append, assert_records, assert_refused, assert_restored, batch, begin, claim, jobs, load,
    snapshot, snapshot_behind_the_log, writer,
};
use reveille::PartitionId;

#[tokio::test]
async fn a_restore_begins_with_the_snapshot_and_goes_on_with_the_log() {
    let folder = Folder::new();
    let (info, image) = {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        snapshot_behind_the_log(&store, &grant).await
    };
    let store = folder.store();
    let lease = acquire(&store, "me").await;
    assert_eq!(lease.log_end, 3_600);
    assert_restored(&store, &lease.grant, &info, &image).await;
}

#[tokio::test]
async fn one_that_was_not_published_means_nothing_and_leaves_nothing() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..100).await.unwrap();
    }
    std::fs::write(folder.path().join("snapshot-p0000-0000000001.rvs.tmp"), "the beginning of one").unwrap();
    assert_eq!(folder.files("snapshot-").len(), 1);
    let store = folder.store();
    let lease = acquire(&store, "me").await;
    assert_eq!(folder.files("snapshot-").len(), 0, "it is removed when the store is opened");
    assert_records(&load(&store, &lease.grant).await.unwrap().records, &batch(&lease.grant, 0..100).records);
    let mut given_up = writer(&store, &lease.grant, begin(100)).await;
    given_up.write(jobs(0..50)).await.unwrap();
    drop(given_up);
    testkit::within("its removal", async {
        while !folder.files("snapshot-").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_comes_before_its_log_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    let mut writer = writer(&store, &grant, begin(10)).await;
    writer.write(jobs(0..10)).await.unwrap();
    assert_refused(writer.publish(11).await, StoreErrorClass::Retry, &["records 10 to 11"]);
}

#[tokio::test]
async fn one_that_replaces_the_log_begins_it_anew() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..10).await.unwrap();
        let begin = SnapshotBegin::new(500, 500).replacing_log();
        let mut writer = writer(&store, &grant, begin).await;
        writer.write(jobs(0..500)).await.unwrap();
        writer.publish(500).await.unwrap();
        drop(writer);
        append(&store, &grant, 500..510).await.unwrap();
    }
    let store = folder.store();
    let lease = acquire(&store, "me").await;
    let loaded = load(&store, &lease.grant).await.unwrap();
    assert_eq!((loaded.covered, loaded.log_end(), loaded.image.jobs.len()), (500, 510, 500));
}

/// However much is written: what is kept is what counts, twice at most, and a segment.
#[tokio::test]
async fn what_a_snapshot_covers_is_removed() {
    let folder = Folder::new();
    let store = folder.store_of_small_segments();
    let grant = acquire(&store, "me").await.grant;
    let idle = store.acquire(PartitionId(1), &claim("me")).await.unwrap().grant;
    let mut most = 0;
    for round in 0..40u64 {
        let records = round * 2_000..(round + 1) * 2_000;
        for from in records.clone().step_by(100) {
            append(&store, &grant, from..from + 100).await.unwrap();
        }
        // One that writes seldom does not keep what the others have written.
        append(&store, &idle, round..round + 1).await.unwrap();
        snapshot(&store, &grant, records.end, jobs(0..10)).await;
        most = most.max(folder.bytes());
        assert_eq!(folder.files("snapshot-").len(), 1);
    }
    assert!(most < 700_000, "{most} bytes: the log of one round, and no more");
    drop(store);
    let store = folder.store();
    let lease = store.acquire(PartitionId(1), &claim("me")).await.unwrap();
    assert_records(&load(&store, &lease.grant).await.unwrap().records, &batch(&lease.grant, 0..40).records);
    let lease = acquire(&store, "me").await;
    let loaded = load(&store, &lease.grant).await.unwrap();
    assert_eq!((loaded.image.jobs.len(), loaded.records.len(), loaded.log_end()), (10, 0, 80_000));
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_with_the_file_and_the_place() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..3_000).await.unwrap();
        snapshot(&store, &grant, 3_000, jobs(0..3_000)).await;
    }
    let file = folder.files("snapshot-").remove(0);
    let (content, length) = (std::fs::read(&file).unwrap(), bytes(&file));
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    for at in (0..length).step_by(9_973) {
        flip(&file, at);
        let store = folder.store();
        let loading = async {
            let lease = store.acquire(P0, &claim("me")).await?;
            store.load(&lease.grant, &|_| {}).await
        };
        assert_refused(loading.await, StoreErrorClass::Fatal, &[&name, "at byte"]);
        drop(store);
        std::fs::write(&file, &content).unwrap();
    }
    cut(&file, length - 1);
    assert_refused(folder.store().acquire(P0, &claim("me")).await, StoreErrorClass::Fatal, &[&name, "bytes"]);
}
