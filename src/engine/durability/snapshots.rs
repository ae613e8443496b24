//! Snapshots behind the live engine: by the length of the log, by age, and on demand.
//!
//! The job table is read in slices, each in a short hold of the partition's lock, while jobs come and go and fire. The
//! image is therefore fuzzy; `store::Loaded` says why that is enough. It is published once the store has every record
//! that came to be while it was read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::engine::ownership::{Ownership, Speaker};
use crate::engine::state::{Engine, LastSnapshot, Shared, Stage};
use crate::partition::MonoTime;
use crate::rt;
use crate::store::{SnapshotBegin, SnapshotInfo, SnapshotWriter, StoreError, StoreErrorClass};

/// Slots of the job table that are read in one hold of the lock: some tens of microseconds.
const SLICE: usize = 256;

/// How often it is looked whether a snapshot is due. Never under shuttle, where a sleep takes no time.
const LOOK_EVERY: Duration = if cfg!(reveille_shuttle) { Duration::MAX } else { Duration::from_millis(500) };

/// How often it is looked at one of the partitions whether all is there.
const CHECK_EVERY: Duration = if cfg!(reveille_shuttle) { Duration::MAX } else { Duration::from_secs(1) };

/// How often the store is asked how it does.
const DOUBTS_EVERY_US: u64 = 30_000_000;

/// After a failure: writing a partition is work, also for a store that then refuses it.
const REST_US: u64 = 5_000_000;

/// Starts to take snapshots where they are due.
pub(crate) fn start(shared: &Arc<Shared>, ownership: &Arc<Ownership>) {
    let runtime = ownership.io.runtime();
    let (shared, ownership) = (Arc::clone(shared), Arc::clone(ownership));
    runtime.spawn(async move {
        let stopping = shared.life.reached(Stage::Stopping);
        tokio::select! {
            biased;
            () = stopping => {}
            () = take_due(&shared, &ownership) => {}
            () = look_after(&shared, &ownership) => {}
        }
    });
}

/// Looks now and then whether the store still has what it acknowledged, one partition after the other.
async fn look_after(shared: &Arc<Shared>, ownership: &Arc<Ownership>) {
    let mut doubted_at = shared.clock.now().mono;
    for at in (0..shared.cells.len()).cycle() {
        rt::sleep(CHECK_EVERY).await;
        check(shared, ownership, at).await;
        let now = shared.clock.now().mono;
        if now.micros_since(doubted_at) >= DOUBTS_EVERY_US {
            doubted_at = now;
            // Whoever writes tells if it does not answer.
            if let Ok(doubts) = ownership.store.doubts().await {
                ownership.health.doubt(doubts);
            }
        }
    }
}

async fn check(shared: &Shared, ownership: &Ownership, at: usize) {
    // While a snapshot is taken, or all is written anew, things change that are looked at.
    let Ok(_only) = shared.cells[at].snapshots.try_lock() else { return };
    let Some(grant) = ownership.grant(at).filter(|grant| ownership.is_current(grant)) else { return };
    if ownership.is_behind(at) {
        return;
    }
    let Err(error) = ownership.store.check(&grant).await else { return };
    let is_lost = matches!(error.class, StoreErrorClass::Behind | StoreErrorClass::Blocked);
    if is_lost && ownership.is_current(&grant) && !ownership.is_behind(at) {
        ownership.found_behind(at, &error);
    }
}

async fn take_due(shared: &Arc<Shared>, ownership: &Arc<Ownership>) {
    // Where one has failed: when it may be tried again.
    let mut rests = vec![MonoTime::default(); shared.cells.len()];
    loop {
        rt::sleep(LOOK_EVERY).await;
        for (at, rest) in rests.iter_mut().enumerate() {
            if ownership.is_lost(at) || !is_due(shared, at) {
                // Whatever stood in the way of the last one: what it was for has been done, by a repair, say.
                ownership.health.recovers(Speaker::Snapshots(at));
                continue;
            }
            if shared.clock.now().mono < *rest {
                continue;
            }
            match take(shared, ownership, at).await {
                Ok(Some(info)) => {
                    tracing::debug!(partition = at, jobs = info.jobs, bytes = info.bytes, "snapshot");
                }
                // The store keeps its state in another way.
                Ok(None) => return std::future::pending().await,
                Err(error) => {
                    ownership.health.fails(Speaker::Snapshots(at), &error);
                    *rest = shared.clock.now().mono.saturating_add_micros(REST_US);
                }
            }
        }
    }
}

fn is_due(shared: &Shared, at: usize) -> bool {
    let cell = &shared.cells[at];
    let LastSnapshot { covered, at: since, is_cut_off } = cell.last_snapshot();
    let (durable, live) = (cell.progress.durable(), cell.lock().partition.live() as u64);
    let policy = shared.settings.snapshots;
    let records = durable.saturating_sub(covered);
    let age_us = shared.clock.now().mono.micros_since(since);
    let is_old = u128::from(age_us) >= policy.every.as_micros();
    is_cut_off || records >= policy.records.max(live) || (records > 0 && is_old)
}

/// Takes a snapshot of a partition. `None` if the store keeps its state in another way.
pub(crate) async fn take(
    shared: &Arc<Shared>,
    ownership: &Ownership,
    at: usize,
) -> Result<Option<SnapshotInfo>, StoreError> {
    let cell = &shared.cells[at];
    let _only = cell.snapshots.lock().await;
    if let Some(error) = ownership.lost(at) {
        return Err(error);
    }
    let Some(grant) = ownership.grant(at) else { return Ok(None) };
    let rewrites = cell.progress.rewrites();
    let begin = {
        let owned = cell.lock();
        SnapshotBegin {
            covered: owned.log.end(),
            next_sequence: owned.partition.next_sequence(),
            replaces_log: false,
        }
    };
    let Some(mut writer) = ownership.store.snapshot(&grant, begin).await? else { return Ok(None) };
    let complete = write_slices(shared, at, &mut *writer).await?;
    // Whoever writes the log anew waits for this one to give way.
    if !cell.progress.reached_unless_rewritten(complete, rewrites).await {
        return Err(StoreError::retry("the log ended, or was begun anew, while a snapshot was taken"));
    }
    let info = writer.publish(complete).await?;
    cell.snapshotted(begin.covered, shared.clock.now().mono);
    ownership.health.recovers(Speaker::Snapshots(at));
    ownership.health.snapshots.fetch_add(1, Relaxed);
    Ok(Some(info))
}

/// Writes every job of a partition. Returns the sequence after the last record that had come to be by then.
pub(crate) async fn write_slices(
    shared: &Arc<Shared>,
    at: usize,
    writer: &mut dyn SnapshotWriter,
) -> Result<u64, StoreError> {
    let mut from = 0;
    loop {
        let (slice, end) = {
            let owned = shared.cells[at].lock();
            (owned.partition.scan(from, SLICE), owned.log.end())
        };
        writer.write(slice.image).await?;
        match slice.next {
            Some(next) => from = next,
            None => return Ok(end),
        }
        // Others have a turn: commits, and the leases.
        tokio::task::yield_now().await;
    }
}

impl Engine {
    /// Takes a snapshot of every partition now, one after another, while jobs go on firing: a restore from it has next to
    /// no log to replay. Snapshots are also taken by themselves; see
    /// [`Builder::snapshot_every`](crate::Builder::snapshot_every). O(jobs).
    ///
    /// Returns what was written, in all partitions; zeros without a store, or with one that keeps its state in another
    /// way.
    ///
    /// # Errors
    /// When the store did not take it. The one before it stays in force.
    pub async fn snapshot(&self) -> Result<SnapshotInfo, StoreError> {
        let Some(ownership) = &self.shared.ownership else { return Ok(SnapshotInfo::default()) };
        let (shared, its) = (Arc::clone(&self.shared), Arc::clone(ownership));
        let taking = ownership.io.runtime().spawn_scoped(async move { take_all(&shared, &its).await });
        let taken = taking.await;
        taken.unwrap_or_else(|| Err(StoreError::fatal("the store panicked while a snapshot was taken")))
    }
}

async fn take_all(shared: &Arc<Shared>, ownership: &Ownership) -> Result<SnapshotInfo, StoreError> {
    if let Some(error) = ownership.all_lost() {
        return Err(error);
    }
    let mut all = SnapshotInfo::default();
    // Those that are lost are for their owner to take.
    for at in (0..shared.cells.len()).filter(|&at| !ownership.is_lost(at)) {
        let info = take(shared, ownership, at).await?.unwrap_or_default();
        all.jobs += info.jobs;
        all.fired += info.fired;
        all.chunks += info.chunks;
        all.bytes += info.bytes;
    }
    Ok(all)
}
