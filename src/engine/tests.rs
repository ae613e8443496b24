//! An engine that loses one of its partitions; and what nobody sees from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::ownership::OnLoss;
use super::{CallError, CancelError, Change, Engine, Job, QueueConfig, ScheduleError, StoreState};
use crate::job::{Handle, PartitionId};
use crate::store::{Claim, Lease, MemoryStore, Owner, Store};
use crate::testing::TestEngine;
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);

/// An engine with jobs in each of four partitions, due in an hour.
struct Rig {
    store: Arc<MemoryStore>,
    engine: TestEngine,
    begun: Arc<AtomicUsize>,
    /// By their keys.
    jobs: Vec<(String, Handle)>,
}

const JOBS: usize = 64;

impl Rig {
    async fn start(on_loss: OnLoss) -> Self {
        let (store, begun) = (Arc::new(MemoryStore::new()), Arc::<AtomicUsize>::default());
        let counts = Arc::clone(&begun);
        let builder = Engine::builder()
            .queue(QueueConfig::new("q"), move |_: Job| {
                counts.fetch_add(1, SeqCst);
                async {}
            })
            .partitions(4)
            .store(Arc::clone(&store) as Arc<dyn Store>)
            .on_loss(on_loss);
        let engine = TestEngine::start(builder, Timestamp::from_micros(0)).await.unwrap();
        let mut jobs = Vec::new();
        for n in 0..JOBS {
            let key = format!("job {n}");
            let commit = engine.schedule_raw("q", "").key(&key).after(HOUR);
            jobs.push((key, commit.await.unwrap().handle()));
        }
        Rig { store, engine, begun, jobs }
    }

    fn of(&self, partition: u16) -> impl Iterator<Item = Handle> {
        self.jobs.iter().map(|&(_, job)| job).filter(move |job| job.partition().0 == partition)
    }

    /// Another engine takes a partition, and this one finds out by a call to it.
    async fn lose(&self, partition: u16) -> Lease {
        let claim =
            Claim { owner: Owner::new("another"), partitions: 4, term: HOUR, epoch_after: 0, by_force: true };
        let lease = self.store.acquire(PartitionId(partition), &claim).await.unwrap();
        let job = self.of(partition).next().unwrap();
        let late = self.engine.reschedule(job, 2 * HOUR).await.unwrap_err();
        assert_eq!(late.change(), Change::Unknown, "made, and the store did not take it: {late}");
        lease
    }

    /// What a call to a partition is answered.
    async fn call(&self, partition: u16) -> Result<(), CallError> {
        let job = self.of(partition).last().unwrap();
        match self.engine.cancel(job).await {
            Ok(outcome) => {
                outcome.cancelled().unwrap();
                Ok(())
            }
            Err(CancelError::Call(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_partition_that_is_lost_takes_no_other_with_it_where_each_is_given_up_by_itself() {
    let rig = Rig::start(OnLoss::GiveUpOne).await;
    let gone = rig.of(1).count();
    assert!((1..JOBS).contains(&gone));
    assert_eq!(rig.engine.jobs(), JOBS);
    let lease = rig.lose(1).await;

    // It alone refuses calls, by all ways.
    let refused = rig.call(1).await.unwrap_err();
    assert!(matches!(refused, CallError::NotOwner { change: Change::None, .. }), "{refused}");
    let keys: Vec<String> = (0..JOBS).map(|n| format!("another {n}")).collect();
    let mut refusals = 0;
    let planned = keys.iter().map(|key| rig.engine.schedule_raw("q", "").key(key).planned(2 * HOUR));
    for outcome in rig.engine.schedule_many(planned).await.unwrap().iter() {
        match outcome {
            Ok(_) => {}
            Err(ScheduleError::Call(CallError::NotOwner { .. })) => refusals += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..JOBS).contains(&refusals), "{refusals}");
    for partition in [0, 2, 3] {
        rig.call(partition).await.unwrap();
    }
    let (cancelled, more) = (3, JOBS - refusals);

    // What is lost counts no more, and the store is well.
    let stats = rig.engine.stats();
    assert_eq!((rig.engine.jobs(), stats.pending), (JOBS - gone - cancelled + more, rig.engine.jobs()));
    let store = stats.store.unwrap();
    assert_eq!((store.state, store.partitions_lost, store.partitions_behind), (StoreState::Healthy, 1, 0));
    rig.engine.snapshot().await.unwrap();

    // The others fire, and nothing of it does.
    let fired = rig.engine.advance(HOUR).await;
    assert_eq!(fired.len(), JOBS - gone - cancelled);
    assert_eq!(rig.begun.load(SeqCst), fired.len());
    let is_of_the_lost = |key: &str| rig.jobs.iter().any(|(its, job)| its == key && job.partition().0 == 1);
    assert!(!fired.iter().any(|job| is_of_the_lost(job.key.as_str())), "{fired:?}");
    assert_eq!(rig.engine.advance(HOUR).await.len(), more);
    // Though jobs of it lie there, due.
    assert_eq!(rig.engine.jobs(), 0);
    tokio::time::timeout(Duration::from_secs(10), rig.engine.idle())
        .await
        .expect("nothing is left to wait for");

    // Nothing of it was written, and all of the others was.
    let loaded = rig.store.load(&lease.grant, &|_| {}).await.unwrap();
    assert_eq!(loaded.log_end(), lease.log_end);
    let report = rig.engine.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.pending, report.is_taken_over), (0, false), "{report:?}");
}

#[tokio::test]
async fn the_last_partition_that_is_lost_ends_the_engine() {
    let rig = Rig::start(OnLoss::GiveUpOne).await;
    for partition in [3, 0, 2] {
        rig.lose(partition).await;
    }
    rig.call(1).await.unwrap();
    rig.lose(1).await;
    rig.engine.lost().await;
    assert_eq!(rig.engine.stats().store.unwrap().state, StoreState::Lost);
    assert!(rig.engine.shutdown(Duration::from_secs(10)).await.is_taken_over);
    assert_eq!(rig.begun.load(SeqCst), 0);
}

#[tokio::test]
async fn an_only_owner_gives_up_all_with_one() {
    let rig = Rig::start(OnLoss::default()).await;
    rig.lose(1).await;
    rig.engine.lost().await;
    for partition in 0..4 {
        let refused = rig.call(partition).await.unwrap_err();
        assert!(matches!(refused, CallError::NotOwner { change: Change::None, .. }), "{refused}");
    }
    assert_eq!(rig.begun.load(SeqCst), 0);
    assert!(rig.engine.shutdown(Duration::from_secs(10)).await.is_taken_over);
}

/// Notes outlive their attempts, since a job that notes nothing is to pay nothing; but not for ever.
#[tokio::test]
async fn progress_notes_are_swept_out() {
    let says = |job: Job| async move { job.progress("half of it") };
    let builder = Engine::builder().queue("q", says);
    let engine = TestEngine::start(builder, Timestamp::from_micros(0)).await.unwrap();
    for _ in 0..10 {
        for n in 0..50 {
            engine
                .schedule_raw("q", "")
                .key(format!("job {n}"))
                .after(HOUR)
                .await
                .unwrap()
                .scheduled()
                .unwrap();
        }
        assert_eq!(engine.advance(HOUR).await.len(), 50);
        assert!(engine.engine().shared.notes.len() <= 128, "{}", engine.engine().shared.notes.len());
    }
}
