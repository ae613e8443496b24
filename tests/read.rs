//! A namespace is read as a restart would read it, by whoever owns nothing in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use reveille::partition::Record;
use reveille::read::{Contents, Figures, Load, LoadBuckets, Namespace, ReadError};
use reveille::store::{
    LivingOwner, Loaded, MemoryStore, Owner, PartitionRead, ReadStore, StoreError, StoreFuture,
};
use reveille::testing::TestEngine;
use reveille::{
    Clock, Engine, Job, JobFilter, JobId, JobState, JobView, ListCursor, OnConflict, PartitionId, Priority,
};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

fn builder(store: &Arc<MemoryStore>) -> reveille::Builder {
    let held = |job: Job| async move {
        if job.key().as_str().starts_with("held") {
            std::future::pending::<()>().await;
        }
    };
    Engine::builder().queue("mails", nothing).queue("sales", held).store(Arc::clone(store))
}

async fn namespace(store: &Arc<MemoryStore>, engine: &TestEngine) -> Namespace {
    let namespace = Namespace::open(Arc::clone(store)).await.unwrap();
    namespace.clock(Clock::Manual(Arc::clone(engine.clock())))
}

async fn contents(namespace: &Namespace) -> Vec<Contents> {
    let mut all = Vec::new();
    for partition in namespace.partitions() {
        all.extend(namespace.read(partition).await.unwrap());
    }
    all
}

/// What lasts of a job: all but its handle and whether its queue has got to it.
type Lasting = (String, JobId, String, Vec<u8>, i64, String, u32, u16, Option<i64>);

fn lasting(jobs: impl IntoIterator<Item = JobView>) -> Vec<Lasting> {
    let lasting = |job: JobView| {
        let since = job.running_since().map(|since| since.as_micros());
        let (key, queue, payload) =
            (job.key.to_string(), job.queue.to_string(), job.payload.as_bytes().to_vec());
        let options = serde_json::to_string(&job.options).unwrap();
        (key, job.id, queue, payload, job.due.as_micros(), options, job.version.0, job.attempt, since)
    };
    let mut all: Vec<_> = jobs.into_iter().map(lasting).collect();
    all.sort_by_key(|job| job.1);
    all
}

fn listed(engine: &Engine) -> Vec<JobView> {
    let (mut jobs, mut next) = (Vec::new(), Some(ListCursor::default()));
    while let Some(from) = next {
        let page = engine.list(&JobFilter::default(), from, 100).unwrap();
        jobs.extend(page.jobs);
        next = page.next;
    }
    jobs
}

/// Jobs of every kind: pending, moved, replaced, cancelled, fired, and with a handler.
async fn busy(store: &Arc<MemoryStore>) -> TestEngine {
    let engine = TestEngine::start(builder(store), TEN_O_CLOCK).await.unwrap().go_on_after(ms(100));
    for n in 0..300_i64 {
        let queue = if n % 3 == 0 { "sales" } else { "mails" };
        let job = engine.schedule_raw(queue, format!("payload {n}")).key(format!("k{n}"));
        let job = job.priority(Priority(n as u8));
        let due = 1_000 + n * 1_000;
        let commit = if n % 2 == 0 { job.at(at_ms(due)) } else { job.after(ms(due as u64)) };
        commit.await.unwrap().scheduled().unwrap();
    }
    for n in 0..20 {
        engine.cancel(format!("k{}", 200 + n)).await.unwrap().cancelled().unwrap();
        engine.reschedule(format!("k{}", 250 + n), at_ms(900_000)).await.unwrap().rescheduled().unwrap();
    }
    let replacing = engine.schedule_raw("mails", "new").key("k299").on_conflict(OnConflict::Replace);
    replacing.at(at_ms(7_777_777)).await.unwrap().scheduled().unwrap();
    let held = engine.schedule_raw("sales", "").key("held twice");
    held.at(at_ms(50_400)).await.unwrap().scheduled().unwrap();
    let held = engine.schedule_raw("sales", "").key("held once").at_most_once();
    held.at(at_ms(50_400)).await.unwrap().scheduled().unwrap();
    engine.advance(ms(50_500)).await;
    engine
}

#[tokio::test]
async fn what_is_read_is_what_the_owner_has_and_a_restart_will_have() {
    let store = Arc::new(MemoryStore::new());
    let engine = busy(&store).await;
    let namespace = namespace(&store, &engine).await;

    let all = contents(&namespace).await;
    let read = lasting(all.iter().flat_map(|contents| contents.jobs(&JobFilter::default())));
    assert_eq!(read, lasting(listed(&engine)), "while its owner lives");
    let running =
        all.iter().flat_map(|contents| contents.jobs(&JobFilter::default().states([JobState::Running])));
    assert_eq!(running.count(), 2);
    let mut fired: Vec<_> = all.iter().flat_map(|contents| contents.fired(&JobFilter::default())).collect();
    fired.sort_by_key(|job| job.fired_at);
    assert_eq!((fired.len(), fired[0].key.as_str(), fired[0].fired_at), (50, "k0", at_ms(1_000)));

    let left = lasting(
        all.into_iter()
            .flat_map(|contents| contents.after_restart().jobs(&JobFilter::default()).collect::<Vec<_>>()),
    );
    assert_eq!(left.len(), read.len() - 1, "one that runs once has failed");
    engine.shutdown(ms(1)).await;
    drop(engine);
    let queues = Engine::builder().queue("mails", nothing).queue("sales", nothing);
    let again = queues.store(Arc::clone(&store)).take_over(true);
    let again = TestEngine::start(again, at_ms(50_500)).await.unwrap();
    for queue in ["mails", "sales"] {
        again.pause(queue).into_outcome().unwrap();
    }
    // What was overdue at the restart is on its way, and is not in the list as it was.
    let is_left = |job: &Lasting| job.4 > at_ms(50_500).as_micros();
    let expected: Vec<_> = left.into_iter().filter(is_left).collect();
    let found: Vec<_> = lasting(listed(&again)).into_iter().filter(is_left).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn jobs_are_counted_by_queue_and_by_when_they_are_due() {
    let store = Arc::new(MemoryStore::new());
    let engine = busy(&store).await;
    let namespace = namespace(&store, &engine).await;
    let buckets = LoadBuckets { width: ms(60_000), count: 3 };
    let figures = namespace.figures(buckets).await.unwrap();
    assert_eq!((figures.partitions, figures.partitions_used, figures.partitions_owned), (8, 8, 8));

    let mut expected: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    let mut load = Load::new(at_ms(50_500), buckets);
    for job in listed(&engine) {
        let is_running = job.state == JobState::Running;
        expected.entry(job.queue.to_string()).or_default()[usize::from(is_running)] += 1;
        if !is_running {
            load.add(job.due);
        }
    }
    let counted: BTreeMap<_, _> =
        figures.jobs.queues.iter().map(|of| (of.queue.clone(), [of.pending, of.running])).collect();
    assert_eq!(counted, expected);
    assert_eq!((figures.jobs.fired, figures.jobs.running, figures.jobs.overdue), (50, 2, 0));
    assert_eq!(figures.jobs.pending, expected.values().map(|[pending, _]| pending).sum::<u64>());
    assert_eq!(figures.load, load);
    assert_eq!((figures.load.before, figures.load.buckets[0]), (0, 60));
    assert_eq!(figures.load.buckets.iter().sum::<u64>() + figures.load.after, figures.jobs.pending);

    // An hour in which nobody fires anything.
    engine.pause("mails").into_outcome().unwrap();
    let later = Arc::new(reveille::clock::ManualClock::new(at_ms(300_000_000)));
    let late = namespace.clock(Clock::Manual(later)).figures(buckets).await.unwrap();
    assert_eq!((late.jobs.overdue, late.load.before), (late.jobs.pending, late.jobs.pending));
}

#[tokio::test]
async fn to_read_takes_no_lease_and_says_who_has_it() {
    let store = Arc::new(MemoryStore::new());
    let nothing_yet = Namespace::open(Arc::clone(&store)).await.unwrap_err();
    assert!(matches!(nothing_yet, ReadError::Empty), "{nothing_yet:?}");
    let engine = TestEngine::start(builder(&store), TEN_O_CLOCK).await.unwrap();
    let namespace = namespace(&store, &engine).await;
    let owner = engine.stats().store.unwrap().owner;
    for contents in contents(&namespace).await {
        assert_eq!((contents.owner().owner.as_str(), contents.owner().epoch), (&*owner, 1));
        assert!(contents.owner().lease_left.is_some());
    }
    engine.schedule_raw("mails", "").key("k").at(at_ms(5)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.advance(ms(5)).await.len(), 1, "it goes on");
    engine.shutdown(ms(1_000)).await;
    assert!(contents(&namespace).await.iter().all(|contents| contents.owner().lease_left.is_none()));
}

/// A store that has been read before, and has had this.
#[derive(Debug)]
struct Canned(Result<Loaded, StoreError>);

impl ReadStore for Canned {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        Box::pin(async { Ok(Some(1)) })
    }

    fn read(&self, _: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        let read = self
            .0
            .clone()
            .map(|loaded| PartitionRead::new(loaded, LivingOwner::new(Owner::new("me"), 1, None)));
        Box::pin(async { read.map(Some) })
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let unknown: JobId = serde_json::from_str("7").unwrap();
    let mut loaded = Loaded::default();
    loaded.records = vec![Record::Cancelled { id: unknown }];
    let namespace = Namespace::open(Canned(Ok(loaded))).await.unwrap();
    let error = namespace.read(PartitionId(0)).await.unwrap_err();
    assert!(matches!(error, ReadError::Misfit { partition: PartitionId(0), .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("job 0-7"), "{source}");
    assert!(error.to_string().contains("restore the store from a copy"), "{error}");

    let namespace = Namespace::open(Canned(Err(StoreError::retry("not now")))).await.unwrap();
    let error = namespace.figures(LoadBuckets::default()).await.unwrap_err();
    assert!(matches!(&error, ReadError::Store(error) if error.to_string() == "not now"), "{error:?}");
}

#[tokio::test]
async fn nothing_is_nothing() {
    let namespace = Namespace::open(Canned(Ok(Loaded::default()))).await.unwrap();
    let contents = namespace.read(PartitionId(0)).await.unwrap().unwrap();
    assert_eq!(Figures::of(&contents), Figures::default());
    assert_eq!(
        contents.jobs(&JobFilter::default()).count() + contents.fired(&JobFilter::default()).count(),
        0
    );
}

#[test]
fn buckets_have_ends() {
    let mut load = Load::new(at_ms(0), LoadBuckets { width: ms(10), count: 2 });
    for due in [-1, 0, 9, 10, 19, 20, 1_000_000_000] {
        load.add(at_ms(due));
    }
    assert_eq!((load.before, &*load.buckets, load.after), (1, &[2, 2][..], 2));
    let narrow = Load::new(at_ms(0), LoadBuckets { width: ms(0), count: usize::MAX });
    assert_eq!((narrow.bucket, narrow.buckets.len()), (std::time::Duration::from_micros(1), 10_000));
}
