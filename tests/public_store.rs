//! A store as its author writes one outside this crate: by the public interface alone, with nothing but what a store has to
//! answer. It keeps a log and takes snapshots, and leaves to [`Store`] every method that has a default.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::partition::{Image, Record};
use reveille::store::{
    Batch, Claim, Grant, Lease, LoadProgress, LoadTold, Loaded, Needs, Opened, Owner, Renewed, SnapshotBegin,
    SnapshotInfo, SnapshotWriter, Store, StoreError, StoreErrorClass, StoreFuture,
};
use reveille::testing::TestEngine;
use reveille::{CancelOutcome, Durability, Engine, LookupOutcome, PartitionId, StartError};
use testkit::{Keys, TEN_O_CLOCK, at_ms, eventually, ms};

#[derive(Debug, Default)]
struct Journal {
    partitions: Mutex<BTreeMap<PartitionId, Kept>>,
    snapshots: AtomicU64,
    /// Records that were read by all loads so far.
    records_read: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    image: Image,
    covered: u64,
    complete: u64,
    records: Vec<Record>,
    epoch: u64,
    owner: Option<Owner>,
}

impl Kept {
    fn tail(&self) -> u64 {
        self.covered + self.records.len() as u64
    }
}

impl Journal {
    /// What `work` does to the partition of `grant`, unless another owner has come.
    fn owned<T>(&self, grant: &Grant, work: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        let mut partitions = self.partitions.lock().unwrap();
        match partitions.get_mut(&grant.partition) {
            Some(kept) if kept.epoch == grant.epoch => Ok(work(kept)),
            _ => Err(StoreError::fenced("another owner has the partition")),
        }
    }
}

impl Store for Journal {
    fn open<'a>(&'a self, needs: &'a Needs) -> StoreFuture<'a, Opened> {
        let is_too_much = needs.durability > Durability::Logged;
        Box::pin(async move {
            if is_too_much { Err(StoreError::fatal("too much")) } else { Ok(Opened::new(Durability::Logged)) }
        })
    }

    fn acquire<'a>(&'a self, partition: PartitionId, claim: &'a Claim) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let mut partitions = self.partitions.lock().unwrap();
            let kept = partitions.entry(partition).or_default();
            let other = kept.owner.as_ref().filter(|owner| **owner != claim.owner && !owner.has_left());
            if let Some(owner) = other
                && !claim.by_force
            {
                return Err(StoreError::held(format!("{owner} has it"), ms(10)));
            }
            kept.owner = Some(claim.owner.clone());
            kept.epoch = kept.epoch.max(claim.epoch_after) + 1;
            Ok(Lease::new(Grant::new(partition, claim, kept.epoch), kept.tail()))
        })
    }

    fn renew<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, Vec<Result<Renewed, StoreError>>> {
        let renew = |grant| self.owned(grant, |kept| Renewed::new(kept.tail()));
        Box::pin(async move { Ok(grants.iter().map(renew).collect()) })
    }

    fn release<'a>(&'a self, grants: &'a [Grant]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            for grant in grants {
                let _ = self.owned(grant, |kept| kept.owner = None);
            }
            Ok(())
        })
    }

    fn load<'a>(&'a self, grant: &'a Grant, told: &'a LoadTold) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let loaded = self.owned(grant, |kept| {
                let mut loaded = Loaded::default();
                loaded.image = kept.image.clone();
                (loaded.covered, loaded.complete) = (kept.covered, kept.complete);
                loaded.records = kept.records.clone();
                loaded
            })?;
            let mut progress = LoadProgress::default();
            progress.jobs = loaded.image.jobs.len() as u64;
            progress.records = loaded.records.len() as u64;
            told(progress);
            self.records_read.fetch_add(progress.records, SeqCst);
            Ok(loaded)
        })
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.owned(&batch.grant, |kept| {
                // What is there already was sent again.
                let known = kept.tail().checked_sub(batch.first_record).ok_or_else(|| {
                    StoreError::new(StoreErrorClass::Behind, "records before these are missing")
                })?;
                kept.records.extend(batch.records.iter().skip(known as usize).cloned());
                Ok(())
            })?
        })
    }

    fn sync<'a>(&'a self, _: &'a Grant, level: Durability) -> StoreFuture<'a, ()> {
        Box::pin(async move { Err(StoreError::fatal(format!("cannot give {level}"))) })
    }

    fn snapshot<'a>(
        &'a self,
        grant: &'a Grant,
        begin: SnapshotBegin,
    ) -> StoreFuture<'a, Option<Box<dyn SnapshotWriter + 'a>>> {
        let image = Image { next_sequence: begin.next_sequence, ..Image::default() };
        let writer: Box<dyn SnapshotWriter> = Box::new(Writing { journal: self, grant, begin, image });
        Box::pin(async move { Ok(Some(writer)) })
    }
}

struct Writing<'a> {
    journal: &'a Journal,
    grant: &'a Grant,
    begin: SnapshotBegin,
    image: Image,
}

impl SnapshotWriter for Writing<'_> {
    fn write(&mut self, slice: Image) -> StoreFuture<'_, ()> {
        self.image.add(slice);
        Box::pin(async { Ok(()) })
    }

    fn publish(&mut self, complete: u64) -> StoreFuture<'_, SnapshotInfo> {
        Box::pin(async move {
            let covered = self.begin.covered;
            let mut info = SnapshotInfo::default();
            info.jobs = self.image.jobs.len() as u64;
            info.fired = self.image.fired.len() as u64;
            let image = std::mem::take(&mut self.image);
            self.journal.owned(self.grant, |kept| {
                if self.begin.replaces_log {
                    kept.records.clear();
                } else {
                    kept.records.drain(..(covered - kept.covered) as usize);
                }
                kept.image = image;
                (kept.covered, kept.complete) = (covered, complete);
            })?;
            self.journal.snapshots.fetch_add(1, SeqCst);
            Ok(info)
        })
    }
}

#[tokio::test]
async fn a_store_from_outside_keeps_what_an_engine_tells_it() {
    let (journal, fired) = (Arc::new(Journal::default()), Keys::default());
    let builder = || {
        let handler = fired.handler();
        Engine::builder().queue("q", handler).partitions(2).store(journal.clone())
    };
    let every_20 = builder().snapshot_every(Duration::from_secs(3_600), 20);
    let engine = TestEngine::start(every_20, TEN_O_CLOCK).await.unwrap();
    for n in 0..100 {
        let job = engine.schedule_raw("q", "").key(format!("k{n}"));
        job.at(at_ms(1_000 + n)).await.unwrap().scheduled().unwrap();
    }
    assert_eq!(engine.cancel("k7").await.unwrap(), CancelOutcome::Cancelled);
    engine.reschedule("k8", at_ms(5_000)).await.unwrap().rescheduled().unwrap();
    eventually("both partitions have a snapshot", || journal.snapshots.load(SeqCst) >= 2).await;

    // Its owner lives.
    let second = builder().standby(false).start().await;
    assert!(matches!(second, Err(StartError::Held(_))), "{second:?}");
    engine.shutdown(Duration::from_secs(5)).await;

    let engine = TestEngine::start(builder(), at_ms(500)).await.unwrap();
    let read = journal.records_read.load(SeqCst);
    assert!(read < 102, "{read} records were read again, as if there were no snapshot");
    assert_eq!(engine.jobs(), 99);
    assert_eq!(engine.lookup("k7"), LookupOutcome::NotFound);
    engine.advance(ms(10_000)).await;
    let fired = fired.take();
    assert_eq!((fired.len(), fired.last().map(String::as_str)), (99, Some("k8")));
}

#[tokio::test]
async fn what_a_store_from_outside_cannot_give_is_refused() {
    let builder = Engine::builder().queue("q", testkit::nothing).store(Journal::default());
    let started = builder.durability(Durability::Fsync).start().await;
    assert!(matches!(&started, Err(StartError::Store(error)) if error.class == StoreErrorClass::Fatal));
}
