//! The log: what was appended is there, once and in order; a torn end is cut off, and damage is refused.

use reveille::store::{Durability, Store, StoreErrorClass};

use crate::folder::{Folder, bytes, cut, flip};
use crate::support::{P0, acquire, append, assert_records, assert_refused, batch, claim, load};
use reveille::PartitionId;

#[tokio::test]
async fn what_was_appended_is_there_when_the_process_has_ended() {
    let folder = Folder::new();
    for life in 0..5u64 {
        let store = folder.store();
        let lease = acquire(&store, "me").await;
        assert_eq!(lease.log_end, life * 100);
        let loaded = load(&store, &lease.grant).await.unwrap();
        assert_records(&loaded.records, &batch(&lease.grant, 0..life * 100).records);
        for from in (life * 100..(life + 1) * 100).step_by(10) {
            append(&store, &lease.grant, from..from + 10).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_batch_is_taken_once_and_none_is_left_out() {
    let folder = Folder::new();
    let store = folder.store();
    let grant = acquire(&store, "me").await.grant;
    append(&store, &grant, 0..10).await.unwrap();
    append(&store, &grant, 0..10).await.unwrap();
    assert_refused(append(&store, &grant, 20..30).await, StoreErrorClass::Retry, &["records 10 to 20"]);
    append(&store, &grant, 5..20).await.unwrap();
    let loaded = load(&store, &grant).await.unwrap();
    assert_records(&loaded.records, &batch(&grant, 0..20).records);
}

#[tokio::test]
async fn partitions_share_segments_and_each_finds_its_own() {
    let folder = Folder::new();
    let partitions: Vec<PartitionId> = (0..4).map(PartitionId).collect();
    {
        let store = folder.store_of_small_segments();
        let mut grants = Vec::new();
        for &partition in &partitions {
            grants.push(store.acquire(partition, &claim("me")).await.unwrap().grant);
        }
        for from in (0..2_000).step_by(20) {
            for grant in &grants {
                append(&store, grant, from..from + 20).await.unwrap();
            }
        }
    }
    assert!(folder.files("log-").len() > 5, "{:?}", folder.files("log-"));
    let store = folder.store();
    for &partition in &partitions {
        let lease = store.acquire(partition, &claim("me")).await.unwrap();
        assert_eq!(lease.log_end, 2_000);
        let loaded = load(&store, &lease.grant).await.unwrap();
        assert_records(&loaded.records, &batch(&lease.grant, 0..2_000).records);
    }
}

/// Wherever the end was torn: everything before it is there, and the log goes on from there.
#[tokio::test]
async fn a_torn_end_is_cut_off_and_the_log_goes_on() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..10).await.unwrap();
        append(&store, &grant, 10..20).await.unwrap();
    }
    let (segment, whole) = (folder.last_segment(), bytes(&folder.last_segment()));
    let content = std::fs::read(&segment).unwrap();
    for torn in 1..whole {
        std::fs::write(&segment, &content).unwrap();
        cut(&segment, whole - torn);
        let read = folder.store().read(P0).await.unwrap().unwrap();
        let end = read.loaded.log_end();
        assert!(end == 10 || end == 0, "{torn} bytes torn off, and it ends before {end}");
        if torn % 97 != 1 {
            continue;
        }
        let store = folder.store();
        let lease = acquire(&store, "me").await;
        assert_eq!(lease.log_end, end);
        append(&store, &lease.grant, end..end + 5).await.unwrap();
        drop(store);
        let store = folder.store();
        let lease = acquire(&store, "me").await;
        let loaded = load(&store, &lease.grant).await.unwrap();
        assert_records(&loaded.records, &batch(&lease.grant, 0..end + 5).records);
        drop(store);
        folder.files("log-").iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}

/// What was on the disk when a later batch was written was promised: it is never cut off.
#[tokio::test]
async fn damage_before_the_end_is_refused_with_the_file_and_the_place() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..10).await.unwrap();
        store.sync(&grant, Durability::Fsync).await.unwrap();
        append(&store, &grant, 10..20).await.unwrap();
    }
    let segment = folder.last_segment();
    let content = std::fs::read(&segment).unwrap();
    let promised = (bytes(&segment) / 2 - 100) as usize;
    for at in (0..promised).step_by(37) {
        flip(&segment, at as u64);
        let name = segment.file_name().unwrap().to_str().unwrap();
        let store = folder.store();
        let refused = store.acquire(P0, &claim("me")).await;
        assert_refused(refused, StoreErrorClass::Fatal, &[name, "at byte", "Nothing was loaded or changed"]);
        drop(store);
        std::fs::write(&segment, &content).unwrap();
    }
    let store = folder.store();
    assert_eq!(acquire(&store, "me").await.log_end, 20, "nothing was changed");
}

#[tokio::test]
async fn a_segment_that_is_missing_is_not_overlooked() {
    let folder = Folder::new();
    {
        let store = folder.store_of_small_segments();
        let grant = acquire(&store, "me").await.grant;
        for from in (0..3_000).step_by(100) {
            append(&store, &grant, from..from + 100).await.unwrap();
        }
    }
    let segments = folder.files("log-");
    std::fs::remove_file(&segments[1]).unwrap();
    let store = folder.store();
    let lease = acquire(&store, "me").await;
    let refused = load(&store, &lease.grant).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["are missing", "log-"]);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let folder = Folder::new();
    {
        let store = folder.store();
        let grant = acquire(&store, "me").await.grant;
        append(&store, &grant, 0..10).await.unwrap();
    }
    let segment = folder.last_segment();
    let mut content = std::fs::read(&segment).unwrap();
    content[4] = 9;
    let crc = crc32fast::hash(&content[..68]);
    content[68..72].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&segment, content).unwrap();
    let refused = folder.store().acquire(P0, &claim("me")).await;
    assert_refused(refused, StoreErrorClass::Fatal, &["format 9", "use the program that wrote it"]);
}
