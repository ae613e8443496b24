//! From what the store holds to partitions that go on: leases, loading, replay. All or nothing.
//!
//! Leases are taken in the order of the partitions, so of two engines that start at the same moment one gets the first
//! and, in time, all. Loading overlaps with building: the store reads one partition while another is built, on a thread
//! where that holds up nobody.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::cell::Cell;
use super::error::StartError;
use super::keeper::{self, Keeper};
use super::keys::{KeyHasher, KeyIndex};
use super::ownership::{self, Ownership};
use super::queue::Queues;
use super::settings::Settings;
use super::snapshots::LastSnapshot;
use crate::clock::Clock;
use crate::partition::{CatchUp, PartitionId, QueueId, QueueName, Record, Replay};
use crate::rt::{self, Runtime, Tasks};
use crate::store::{Claim, LoadProgress, Loaded, Needs, Store, StoreError, StoreErrorClass};

/// Partitions that are loaded or built at a time: what a small machine has cores for, and no more memory than they take.
const AT_A_TIME: usize = 2;

/// Half of what a script of Redis can count exactly.
const RECORDS_MAX: u64 = 1 << 52;

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// While a partition is not there that should be.
const RETRY_LOST: Duration = Duration::from_millis(100);

/// How far a restore has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RestoreProgress {
    /// How many partitions there are.
    pub partitions: u16,
    /// How many of them are ready.
    pub partitions_done: u16,
    /// Jobs read from snapshots so far.
    pub jobs: u64,
    /// Records read from logs so far.
    pub records: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// Is told how far a restore has come.
pub(super) type RestoreTold = Arc<dyn Fn(RestoreProgress) + Send + Sync>;

/// What partitions are built from, and what building fills.
pub(super) struct Base {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) queues: Queues,
    pub(super) hasher: KeyHasher,
}

/// A partition ready to go on.
pub(super) struct Built {
    pub(super) cell: Cell,
    pub(super) jobs: usize,
    overdue: usize,
    skipped: usize,
}

/// Asks again while the answer is that it may pass, and the user has patience: an answer may take as long as that, and so
/// may a row of such answers.
async fn patiently<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let in_time = || {
        let asked = rt::timeout(patience, ask());
        async {
            match asked.await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(StoreError::retry("the store did not answer in time")),
            }
        }
    };
    again(patience, in_time).await
}

/// The same, where an answer takes as long as it takes.
async fn again<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut pause, mut waited) = (RETRY_FIRST, Duration::ZERO);
    loop {
        let error = match ask().await {
            Err(error) if error.class == StoreErrorClass::Retry && waited < patience => error,
            end => return end,
        };
        if waited.is_zero() {
            tracing::warn!(%error, "the store does not answer yet; it is asked again");
        }
        rt::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Opens the store, takes the leases, and builds the partitions. The leases are kept from the first on.
pub(super) async fn from(
    store: Arc<dyn Store>,
    base: &Arc<Base>,
    runtime: &Runtime,
    told: Option<RestoreTold>,
) -> Result<(Vec<Built>, Arc<Ownership>, Keeper), StartError> {
    let settings = &base.settings;
    let durability = settings.durability.unwrap_or_default();
    let needs = Needs { partitions: settings.partitions, durability };
    let opened = patiently(settings.start_patience, || store.open(&needs)).await?;
    if durability > opened.durability_max {
        return Err(StartError::NoSuchDurability { asked: durability, max: opened.durability_max });
    }
    let claim = Claim {
        owner: ownership::new_owner(),
        partitions: settings.partitions,
        term: settings.lease,
        epoch_after: 0,
        by_force: settings.takes_over,
    };
    let ownership = Ownership::new(store, base.clock.clone(), claim, opened, settings.is_single_owner);
    let ownership = Arc::new(ownership);
    let keeper = keeper::start(&ownership, runtime);
    let restoring = async {
        acquire(&ownership, settings.is_standby, settings.start_patience).await?;
        load(base, &ownership, runtime, told).await
    };
    let claimed = Claimed { ownership: Arc::clone(&ownership), runtime: runtime.clone(), is_kept: false };
    let built = tokio::select! {
        biased;
        built = restoring => built?,
        error = ownership.until_lost() => return Err(StartError::Store(error)),
    };
    claimed.keep();
    Ok((built, ownership, keeper))
}

/// Gives the leases back unless they are kept: after an error, or a start that was given up, whoever comes next need not
/// wait for their end.
struct Claimed {
    ownership: Arc<Ownership>,
    runtime: Runtime,
    is_kept: bool,
}

impl Claimed {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let ownership = Arc::clone(&self.ownership);
        self.runtime.spawn(async move {
            let grants = ownership.grants();
            let released = ownership.store.release(&grants);
            let _ = rt::timeout(ownership.claim.term, released).await;
        });
    }
}

/// Empty partitions, that are kept nowhere.
pub(super) fn nothing(base: &Base) -> Result<Vec<Built>, StartError> {
    let partitions = 0..usize::from(base.settings.partitions);
    partitions.map(|at| build(base, at, Loaded::default(), false)).collect()
}

/// Takes the lease of every partition, in order.
async fn acquire(ownership: &Ownership, is_standby: bool, patience: Duration) -> Result<(), StartError> {
    let mut last_wait = None;
    for at in 0..usize::from(ownership.claim.partitions) {
        let mut awaited = Duration::ZERO;
        loop {
            match patiently(patience, || ownership.acquire(at)).await {
                Ok(_lease) => break,
                // A standby that has begun to wait goes on, whatever becomes of the store meanwhile.
                Err(error) if is_standby && is_passing(&error, last_wait.is_some()) => {
                    match last_wait.replace(error.class) {
                        last if last == Some(error.class) => {}
                        _ if error.class == StoreErrorClass::Held => {
                            tracing::info!(partition = at, %error, "waiting for another engine's lease to end");
                        }
                        _ => tracing::warn!(%error, "the store does not answer; it is waited for as well"),
                    }
                    let left = error.again_after.unwrap_or(RETRY_LAST);
                    let waited = match error.class {
                        StoreErrorClass::Held => {
                            ownership.store.until_free(PartitionId(at as u16), left).await
                        }
                        _ => Err(error),
                    };
                    if waited.is_err() {
                        rt::sleep(left.clamp(RETRY_FIRST, RETRY_LAST)).await;
                    }
                }
                // An owner that lives has it in memory, and finds out within a quarter of its term.
                Err(error) if error.class == StoreErrorClass::Behind && awaited < ownership.claim.term => {
                    if awaited.is_zero() {
                        tracing::warn!(
                            partition = at,
                            %error,
                            "the store has lost something; its owner has a term to write it again, if there is one"
                        );
                    }
                    rt::sleep(RETRY_LOST).await;
                    awaited += RETRY_LOST;
                }
                Err(error) if error.class == StoreErrorClass::Held => return Err(StartError::Held(error)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Whether a standby waits for this to pass.
fn is_passing(error: &StoreError, is_waiting: bool) -> bool {
    match error.class {
        StoreErrorClass::Held => true,
        StoreErrorClass::Retry | StoreErrorClass::Refused => is_waiting,
        _ => false,
    }
}

/// Loads and builds every partition.
async fn load(
    base: &Arc<Base>,
    ownership: &Arc<Ownership>,
    runtime: &Runtime,
    told: Option<RestoreTold>,
) -> Result<Vec<Built>, StartError> {
    let partitions = base.settings.partitions;
    let progress = Arc::new(Telling::new(partitions, told));
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks: Tasks<Result<_, StartError>> = Tasks::new();
    for at in 0..usize::from(partitions) {
        let (base, ownership, progress) = (Arc::clone(base), Arc::clone(ownership), Arc::clone(&progress));
        let (permits, blocking) = (Arc::clone(&permits), runtime.clone());
        tasks.spawn_on(runtime, async move {
            let _permit = permits.acquire().await;
            let loaded = fetch(&base, &ownership, at, &progress).await?;
            let built = blocking.run_blocking(move || build(&base, at, loaded, true)).await;
            let built = built.ok_or(StartError::Interrupted)??;
            progress.partition_done();
            Ok((at, built))
        });
    }
    let mut built = Vec::with_capacity(usize::from(partitions));
    while let Some(ended) = tasks.join_next().await {
        built.push(ended.ok_or(StartError::Interrupted)??);
    }
    built.sort_unstable_by_key(|&(at, _): &(usize, Built)| at);
    let built: Vec<Built> = built.into_iter().map(|(_, built)| built).collect();
    let (overdue, skipped) = built.iter().fold((0, 0), |sum, one| (sum.0 + one.overdue, sum.1 + one.skipped));
    if overdue + skipped > 0 {
        tracing::info!(overdue, skipped, "jobs came due while nobody was there");
    }
    Ok(built)
}

async fn fetch(
    base: &Base,
    ownership: &Ownership,
    at: usize,
    progress: &Arc<Telling>,
) -> Result<Loaded, StartError> {
    let Some(grant) = ownership.grant(at) else { return Err(StartError::Interrupted) };
    let telling = Arc::clone(progress);
    let told = move |more: LoadProgress| telling.more(more);
    Ok(again(base.settings.start_patience, || ownership.store.load(&grant, &told)).await?)
}

/// Builds a partition from what was loaded.
fn build(base: &Base, at: usize, loaded: Loaded, is_logged: bool) -> Result<Built, StartError> {
    let partition = at as u16;
    let next_record = loaded.next_record();
    if next_record > RECORDS_MAX {
        let message = format!("partition {partition} is at record {next_record}, which no log gets to");
        return Err(StoreError::fatal(message).into());
    }
    let Base { settings, clock, queues, hasher } = base;
    let Loaded { mut image, covered, complete, records } = loaded;
    let mut numbers = Numbers { queues, last: None };
    for job in &mut image.jobs {
        job.queue.id = numbers.number(&job.queue.name)?;
    }
    let misfit = |error| StartError::Restore { partition, error };
    let now = clock.now();
    let mut replay = Replay::new(PartitionId(partition), settings.partition(is_logged), now);
    replay.load(image, now).map_err(misfit)?;
    for (sequence, mut record) in (covered..).zip(records) {
        if let Record::Scheduled(job) = &mut record {
            job.queue.id = numbers.number(&job.queue.name)?;
        }
        let applied =
            if sequence < complete { replay.apply_fuzzy(record, now) } else { replay.apply(record, now) };
        applied.map_err(misfit)?;
    }
    let skip_after_us = |queue| queues.by_id(queue).and_then(|queue| queue.skip_after_us());
    let catch_up = CatchUp { per_second_max: per_partition(settings), skip_after_us: &skip_after_us };
    let restored = replay.finish(is_logged, &catch_up, clock.now());
    let mut keys = KeyIndex::new(usize::from(settings.partitions));
    for (key, handle) in restored.keys {
        let is_of_key = |slot| restored.partition.is_of_key(slot, key.as_str());
        keys.place(hasher.hash(key.as_str()), is_of_key).set(handle.slot());
    }
    if restored.superseded > 0 {
        tracing::warn!(
            partition,
            jobs = restored.superseded,
            "the log has lost records; jobs gave way to later ones of their keys"
        );
    }
    let jobs = restored.partition.live();
    let last = LastSnapshot { covered, at: now.mono, is_cut_off: next_record < complete };
    let cell = Cell::new(restored.partition, keys, next_record, last);
    Ok(Built { cell, jobs, overdue: restored.overdue, skipped: restored.skipped })
}

fn per_partition(settings: &Settings) -> Option<NonZeroU32> {
    let share = settings.catch_up_per_second?.get().div_ceil(u32::from(settings.partitions));
    NonZeroU32::new(share)
}

/// The numbers that this process has for queues, by name. Most jobs are of the queue of the job before them.
struct Numbers<'a> {
    queues: &'a Queues,
    last: Option<(QueueName, QueueId)>,
}

impl Numbers<'_> {
    fn number(&mut self, name: &QueueName) -> Result<QueueId, StartError> {
        if let Some((last, id)) = &self.last
            && last == name
        {
            return Ok(*id);
        }
        let id = self.queues.know(name)?.id;
        self.last = Some((name.clone(), id));
        Ok(id)
    }
}

/// Adds up what the partitions tell, and passes it on.
struct Telling {
    so_far: parking_lot::Mutex<RestoreProgress>,
    told: Option<RestoreTold>,
}

impl Telling {
    fn new(partitions: u16, told: Option<RestoreTold>) -> Self {
        let so_far = RestoreProgress { partitions, ..RestoreProgress::default() };
        Telling { so_far: parking_lot::Mutex::new(so_far), told }
    }

    fn more(&self, more: LoadProgress) {
        self.tell(|so_far| {
            so_far.jobs += more.jobs;
            so_far.records += more.records;
            so_far.bytes += more.bytes;
        });
    }

    fn partition_done(&self) {
        self.tell(|so_far| so_far.partitions_done += 1);
    }

    fn tell(&self, change: impl FnOnce(&mut RestoreProgress)) {
        let Some(told) = &self.told else { return };
        let so_far = {
            let mut so_far = self.so_far.lock();
            change(&mut so_far);
            *so_far
        };
        told(so_far);
    }
}
