//! Drives a store as an engine does: on one thread, four batches under way from each partition, one sync at a time beside them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use reveille::Durability;
use reveille::partition::PartitionId;
use reveille::store::{Batch, Grant, Needs, SnapshotBegin, Store, StoreError};

use super::Error;
use super::ways::Way;
use super::work::{PARTITIONS, Stock, Work, claim};

const UNDER_WAY_MAX: u64 = 4;

type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// A store with its leases taken.
pub(crate) struct Driven {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lanes: Vec<Lane>,
}

/// What is known of a partition.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) grant: Grant,
    pub(crate) log_end: u64,
}

/// What a partition had when it was loaded.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Found {
    pub(crate) jobs: u64,
    pub(crate) records: u64,
}

impl Driven {
    pub(crate) async fn open(way: &Way, folder: &Path) -> Result<Self, Error> {
        let store = (way.open)(folder)?;
        store.open(&Needs::new(PARTITIONS, Durability::Fsync)).await?;
        let mut lanes = Vec::new();
        for partition in 0..PARTITIONS {
            let lease = store.acquire(PartitionId(partition), &claim()).await?;
            lanes.push(Lane { grant: lease.grant, log_end: lease.log_end });
        }
        Ok(Driven { store, lanes })
    }

    /// Gives the leases back, as a shutdown does, and lets go of the store.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let grants: Vec<_> = self.lanes.into_iter().map(|lane| lane.grant).collect();
        Ok(self.store.release(&grants).await?)
    }

    /// Loads all partitions, at the same time.
    pub(crate) async fn load(&self) -> Result<Found, Error> {
        let tasks: Vec<_> = self
            .lanes
            .iter()
            .map(|lane| {
                let (store, grant) = (Arc::clone(&self.store), lane.grant.clone());
                tokio::spawn(async move { store.load(&grant, &|_| {}).await })
            })
            .collect();
        let mut found = Found::default();
        for task in tasks {
            let loaded = task.await??;
            found.jobs += loaded.image.jobs.len() as u64;
            found.records += loaded.records.len() as u64;
        }
        Ok(found)
    }

    /// Appends the stock of every partition, and returns how long that took.
    pub(crate) async fn append(&mut self, stock: &mut [Stock], level: Durability) -> Result<Duration, Error> {
        for (lane, stock) in self.lanes.iter_mut().zip(stock.iter_mut()) {
            lane.adopt(stock)?;
        }
        let began = Instant::now();
        let tasks: Vec<_> = self
            .lanes
            .iter()
            .zip(stock)
            .map(|(lane, stock)| {
                let (store, grant, batches) =
                    (Arc::clone(&self.store), lane.grant.clone(), stock.batches.clone());
                tokio::spawn(append(store, grant, batches, level))
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(began.elapsed())
    }

    /// Takes a snapshot of each partition, one after the other. Returns how long all took, and how much of that was the
    /// publishing: with the removal of what came before.
    pub(crate) async fn snapshot(&self, work: &[Work]) -> Result<(Duration, Duration), Error> {
        let (began, mut publishing) = (Instant::now(), Duration::ZERO);
        for (lane, work) in self.lanes.iter().zip(work) {
            publishing += lane.snapshot(&*self.store, work).await?;
        }
        Ok((began.elapsed(), publishing))
    }
}

impl Lane {
    /// Makes the stock follow what is in the log.
    fn adopt(&mut self, stock: &mut Stock) -> Result<(), Error> {
        for batch in &mut stock.batches {
            let batch = Arc::get_mut(batch).ok_or("a batch is still under way")?;
            self.take(batch);
        }
        Ok(())
    }

    /// Makes a batch the next one of the log.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        batch.grant = self.grant.clone();
        batch.first_record = self.log_end;
        self.log_end = batch.end();
    }

    pub(crate) async fn snapshot(&self, store: &dyn Store, work: &Work) -> Result<Duration, Error> {
        let begin = SnapshotBegin::new(self.log_end, work.next_sequence());
        let mut writer = store.snapshot(&self.grant, begin).await?.ok_or("the store takes no snapshots")?;
        for slice in work.slices() {
            writer.write(slice).await?;
        }
        let began = Instant::now();
        writer.publish(self.log_end).await?;
        Ok(began.elapsed())
    }
}

/// Has up to four batches under way that are not yet as durable as asked.
pub(crate) async fn append(
    store: Arc<dyn Store>,
    grant: Grant,
    batches: Vec<Arc<Batch>>,
    level: Durability,
) -> Result<(), StoreError> {
    let mut window: VecDeque<(Answer, bool)> = VecDeque::new();
    let mut syncing: Option<(Answer, u64)> = None;
    let (mut sent, mut logged, mut done) = (0, 0, 0);
    let mut batches = batches.into_iter().peekable();
    while batches.peek().is_some() || done < sent {
        while sent - done < UNDER_WAY_MAX
            && let Some(batch) = batches.next()
        {
            let store = Arc::clone(&store);
            window.push_back((Box::pin(async move { store.append(&batch).await }), false));
            sent += 1;
        }
        if level == Durability::Fsync && syncing.is_none() && done < logged {
            let (store, grant) = (Arc::clone(&store), grant.clone());
            syncing = Some((Box::pin(async move { store.sync(&grant, level).await }), logged));
        }
        let before = (logged, done);
        poll_fn(|cx| {
            for (answer, is_answered) in window.iter_mut().filter(|(_, is_answered)| !is_answered) {
                if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                    answered?;
                    *is_answered = true;
                }
            }
            while window.front().is_some_and(|(_, is_answered)| *is_answered) {
                window.pop_front();
                logged += 1;
            }
            if let Some((answer, end)) = &mut syncing
                && let Poll::Ready(answered) = answer.as_mut().poll(cx)
            {
                answered?;
                done = *end;
                syncing = None;
            }
            if level < Durability::Fsync {
                done = logged;
            }
            if (logged, done) == before { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await?;
    }
    Ok(())
}
