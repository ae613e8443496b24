//! Jobs, batches and images to write, and a store to write them to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::partition::{
    Config, Draft, Due, End, FiredImage, Image, JobImage, JobSpec, MonoTime, Now, OnConflict, Partition,
    QueueId, QueueName, Record,
};
use reveille::store::{
    Batch, Claim, Grant, Lease, LoadProgress, Loaded, Owner, SnapshotBegin, SnapshotInfo, SnapshotWriter,
    Store, StoreError, StoreErrorClass,
};
use reveille::{Key, PartitionId, Payload, Timestamp, Version};
use testkit::within;

pub const TERM: Duration = Duration::from_secs(30);
pub const P0: PartitionId = PartitionId(0);

pub fn claim(owner: &str) -> Claim {
    Claim::new(Owner::new(owner), 4, TERM)
}

pub async fn acquire(store: &impl Store, owner: &str) -> Lease {
    store.acquire(P0, &claim(owner)).await.unwrap()
}

/// A partition that takes jobs one after another, and what it recorded of each: what a store is sent by an engine.
struct Source {
    partition: Partition,
    records: Vec<Record>,
}

impl Source {
    fn new(id: PartitionId) -> Self {
        let config = Config {
            tick_us: 1_000,
            horizon_us: 1 << 40,
            payload_bytes_max: 64,
            fired_max: 0,
            fired_for_us: 0,
            dead_max: 10,
            dead_for_us: u64::MAX,
            engine: 0,
            is_logged: true,
        };
        Source { partition: Partition::new(id, config, NOW), records: Vec::new() }
    }

    fn record(&mut self, sequence: u64) -> Record {
        while self.records.len() as u64 <= sequence {
            self.take_next();
        }
        self.records[sequence as usize].clone()
    }

    /// A key of 20 bytes, a payload of 64; by the one clock or the other.
    fn take_next(&mut self) {
        let sequence = self.records.len() as u64;
        let key = Key::new(format!("product:{sequence:012}")).unwrap();
        let queue = sequence as usize % 2;
        let name = QueueName::new(["mail", "sale"][queue]).unwrap();
        let due = match sequence % 3 {
            0 => Due::In(Duration::from_micros(sequence)),
            _ => Due::At(NOW.wall.saturating_add_micros(sequence)),
        };
        let spec = JobSpec::new(key, name, Payload::from(vec![sequence as u8; 64]), due);
        let draft = Draft { spec, queue: QueueId(queue as u16), on_conflict: OnConflict::Reject };
        let taken = self.partition.schedule(None, draft, NOW).unwrap().scheduled().unwrap();
        self.records.extend(self.partition.drain_records());
        // Only its record is wanted.
        self.partition.cancel(taken, None).cancelled().unwrap();
        self.partition.drain_records().for_each(drop);
    }
}

const NOW: Now =
    Now { wall: Timestamp::from_micros(1_796_119_200_000_000), mono: MonoTime::from_micros(1_000_000) };

/// What a partition records of its job of this number.
pub fn scheduled(partition: PartitionId, sequence: u64) -> Record {
    static SOURCES: Mutex<BTreeMap<PartitionId, Source>> = Mutex::new(BTreeMap::new());
    let mut sources = SOURCES.lock().unwrap();
    sources.entry(partition).or_insert_with(|| Source::new(partition)).record(sequence)
}

pub fn job(partition: PartitionId, sequence: u64) -> JobImage {
    let Record::Scheduled(job) = scheduled(partition, sequence) else { unreachable!() };
    JobImage {
        id: job.id,
        spec: job.spec,
        version: Version(2),
        attempt: 1,
        running_since: None,
        history: None,
    }
}

pub fn fired(partition: PartitionId, sequence: u64) -> FiredImage {
    FiredImage {
        id: scheduled(partition, sequence).id().unwrap(),
        key: Key::new(format!("fired:{sequence}")).unwrap(),
        fired_at: Timestamp::from_micros(1_000),
        ended_at: Timestamp::from_micros(2_000),
        end: if sequence.is_multiple_of(2) { End::Done } else { End::Failed },
    }
}

/// Jobs from one sequence up to another.
pub fn jobs(sequences: std::ops::Range<u64>) -> Image {
    let next_sequence = sequences.end;
    Image { jobs: sequences.map(|sequence| job(P0, sequence)).collect(), next_sequence, ..Image::default() }
}

/// Records from one to another, of which the record n takes job n.
pub fn batch(grant: &Grant, records: std::ops::Range<u64>) -> Batch {
    let first_record = records.start;
    let records = records.map(|sequence| scheduled(grant.partition, sequence)).collect();
    Batch::new(grant.clone(), first_record, records)
}

pub async fn append(
    store: &impl Store,
    grant: &Grant,
    records: std::ops::Range<u64>,
) -> Result<(), StoreError> {
    store.append(&batch(grant, records)).await
}

pub async fn load(store: &impl Store, grant: &Grant) -> Result<Loaded, StoreError> {
    store.load(grant, &|_| {}).await
}

pub fn begin(covered: u64) -> SnapshotBegin {
    SnapshotBegin::new(covered, covered)
}

pub async fn writer<'a>(
    store: &'a impl Store,
    grant: &'a Grant,
    begin: SnapshotBegin,
) -> Box<dyn SnapshotWriter + 'a> {
    store.snapshot(grant, begin).await.unwrap().expect("this store takes snapshots")
}

/// Takes a snapshot of these jobs that covers every record before `covered`.
pub async fn snapshot(store: &impl Store, grant: &Grant, covered: u64, image: Image) -> SnapshotInfo {
    let begin = SnapshotBegin::new(covered, image.next_sequence);
    let mut writer = writer(store, grant, begin).await;
    writer.write(image).await.unwrap();
    writer.publish(covered).await.unwrap()
}

/// Takes a snapshot of 3,000 jobs and 120 fired ones in slices, while the log goes on behind it: up to record 3,600, of which it may show
/// those before 3,200. Returns what was told, and what the image is.
pub async fn snapshot_behind_the_log(store: &impl Store, grant: &Grant) -> (SnapshotInfo, Image) {
    append(store, grant, 0..3_000).await.unwrap();
    let mut writer = writer(store, grant, begin(3_000)).await;
    let mut image = jobs(0..3_000);
    for from in (0..3_000).step_by(256) {
        let mut slice = jobs(from..(from + 256).min(3_000));
        slice.fired = (0..10).map(|n| fired(P0, 10_000 + from + n)).collect();
        image.fired.extend(slice.fired.iter().cloned());
        writer.write(slice).await.unwrap();
    }
    append(store, grant, 3_000..3_500).await.unwrap();
    let info = writer.publish(3_200).await.unwrap();
    drop(writer);
    append(store, grant, 3_500..3_600).await.unwrap();
    assert_eq!((info.jobs, info.fired), (3_000, 120));
    assert!(info.chunks > 3 && info.bytes > 3_000 * 90, "{info:?}");
    (info, image)
}

/// That a load finds what [`snapshot_behind_the_log`] has left, and tells how it comes on.
pub async fn assert_restored(store: &impl Store, grant: &Grant, info: &SnapshotInfo, image: &Image) {
    let told = Arc::new(Mutex::new((0, 0, 0)));
    let telling = Arc::clone(&told);
    let telling = move |more: LoadProgress| {
        let mut told = telling.lock().unwrap();
        *told = (told.0 + more.jobs, told.1 + more.records, told.2 + more.bytes);
    };
    let loaded = store.load(grant, &telling).await.unwrap();
    assert_image(&loaded.image, image);
    assert_records(&loaded.records, &batch(grant, 3_000..3_600).records);
    assert_eq!((loaded.covered, loaded.complete, loaded.log_end()), (3_000, 3_200, 3_600));
    let told = *told.lock().unwrap();
    assert_eq!((told.0, told.1), (3_000, 600));
    assert!(told.2 > info.bytes);
}

/// Asks until it is answered with anything but that it should ask again, as an engine does. Says how often it asked.
pub async fn persistently<T, F: Future<Output = Result<T, StoreError>>>(
    mut ask: impl FnMut() -> F,
) -> (Result<T, StoreError>, u32) {
    let asking = async {
        let mut attempts = 1;
        loop {
            match ask().await {
                Err(error) if error.class == StoreErrorClass::Retry => sleep_ms(10).await,
                end => return (end, attempts),
            }
            attempts += 1;
        }
    };
    within("an answer", asking).await
}

/// Sends a batch until it is taken, and says how often it was sent.
pub async fn append_persistently(store: &impl Store, grant: &Grant, records: std::ops::Range<u64>) -> u32 {
    let batch = batch(grant, records);
    let (appended, attempts) = persistently(|| store.append(&batch)).await;
    appended.unwrap();
    attempts
}

/// That it failed with this class, and what it says has these words.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, StoreError>,
    class: StoreErrorClass,
    words: &[&str],
) {
    let error = result.expect_err("it is refused");
    assert_eq!(error.class, class, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} in: {error}");
    }
}

/// Compares without printing thousands of jobs.
#[track_caller]
pub fn assert_image(found: &Image, expected: &Image) {
    let sizes = |image: &Image| (image.jobs.len(), image.fired.len(), image.next_sequence);
    assert_eq!(sizes(found), sizes(expected));
    let differs = found.jobs.iter().zip(&expected.jobs).find(|(found, expected)| found != expected);
    assert_eq!(differs, None);
    assert_eq!(found.fired, expected.fired);
}

#[track_caller]
pub fn assert_records(found: &[Record], expected: &[Record]) {
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.iter().zip(expected).find(|(found, expected)| found != expected), None);
}

pub async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
