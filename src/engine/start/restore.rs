//! From what the store holds to partitions that can go on: leases, loading, replay. All or nothing.
//!
//! Leases are taken in the order of the partitions, so of two engines that start at the same moment one gets the first
//! and, in time, all. Loading overlaps with building: the store reads one partition while another is built on a thread of
//! its own, so the leases go on being proved.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::told::{RestoreProgress, RestoreTold, Standby, StandbyTold};
use crate::clock::Clock;
use crate::engine::error::{QueueError, StartError};
use crate::engine::meters::Register;
use crate::engine::ownership::{Keeper, Ownership, Promise, Standing, keeper, new_owner};
use crate::engine::queues::{QUEUES_MAX, Queues};
use crate::engine::state::{Cell, KeyHasher, KeyIndex, LastSnapshot, Settings};
use crate::partition::{CatchUp, PartitionId, QueueName, QueuePause, Replay, ReplayError};
use crate::rt::{self, Io, Tasks};
use crate::store::{Claim, LoadProgress, Loaded, Needs, Store, StoreError, StoreErrorClass};

/// Partitions that are loaded or built at a time: what a small machine has cores for, and no more memory than they take.
const AT_A_TIME: usize = 2;

/// Half of what a script of Redis can count exactly.
const RECORDS_MAX: u64 = 1 << 52;

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// When the log first says that the start waits for the store, and how often after that.
const TELL_FIRST: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(30);
/// While a partition is not there that should be.
const RETRY_LOST: Duration = Duration::from_millis(100);

/// What partitions are built from, and what building fills.
pub(crate) struct Base {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) queues: Queues,
    pub(crate) hasher: KeyHasher,
    pub(crate) standby_told: Option<StandbyTold>,
}

/// A partition ready to go on.
pub(crate) struct Built {
    pub(crate) cell: Cell,
    pub(crate) jobs: usize,
    overdue: usize,
    skipped: usize,
    interrupted: usize,
    pauses: Vec<QueuePause>,
}

/// Asks again while the answer is that it may pass. All of it ends with the patience, however long a single answer takes.
async fn patiently<T, F>(patience: Duration, ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    unless_it_comes_on(patience, |_has_failed| false, ask).await
}

/// Whether the store has come on with what it is asked since this was last called, or made.
fn steps(store: &dyn Store) -> impl Fn(bool) -> bool {
    let last = AtomicU64::new(store.steps());
    move |_has_failed| {
        let now = store.steps();
        last.swap(now, Ordering::Relaxed) != now
    }
}

/// The same, but the patience begins anew whenever it `comes_on` has been seen. That is told whether an answer has failed.
async fn unless_it_comes_on<T, F>(
    patience: Duration,
    comes_on: impl Fn(bool) -> bool,
    mut ask: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let last = parking_lot::Mutex::new(None);
    let asking = async {
        let mut pause = RETRY_FIRST;
        loop {
            match ask().await {
                Err(error) if may_pass(&error) => *last.lock() = Some(error),
                end => return end,
            }
            rt::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        }
    };
    let mut asking = pin!(asking);
    let (mut waited, mut tell_at) = (Duration::ZERO, TELL_FIRST);
    loop {
        let wait = tell_at.min(patience).saturating_sub(waited);
        tokio::select! {
            biased;
            end = &mut asking => {
                if end.is_ok() && !waited.is_zero() {
                    tracing::warn!(waited_s = waited.as_secs(), "the store answers");
                }
                return end;
            }
            () = rt::sleep(wait) => waited += wait,
        }
        let error = last.lock().clone();
        if comes_on(error.is_some()) {
            (waited, tell_at) = (Duration::ZERO, TELL_FIRST);
            continue;
        }
        let error = error.unwrap_or_else(|| StoreError::retry("the store did not answer in time"));
        if waited >= patience {
            return Err(error);
        }
        tracing::warn!(waited_s = waited.as_secs(), %error, "waiting for the store");
        tell_at = waited.saturating_add(TELL_EVERY);
    }
}

/// Whether it is worth asking again: nothing answered, or the store itself says that it will pass.
fn may_pass(error: &StoreError) -> bool {
    match error.class {
        StoreErrorClass::Retry => true,
        StoreErrorClass::Refused => error.again_after.is_some(),
        _ => false,
    }
}

/// Opens the store, takes the leases, and builds the partitions. The leases are kept from the first on.
pub(crate) async fn from(
    store: Arc<dyn Store>,
    base: &Arc<Base>,
    io: Io,
    told: Option<RestoreTold>,
) -> Result<(Vec<Built>, Claimed, Keeper), StartError> {
    let settings = &base.settings;
    let durability = settings.durability.unwrap_or_default();
    let needs = Needs { partitions: settings.partitions, durability };
    let opened = patiently(settings.start_patience, || store.open(&needs)).await?;
    if durability > opened.durability_max {
        return Err(StartError::NoSuchDurability { asked: durability, max: opened.durability_max });
    }
    let claim = Claim {
        owner: new_owner(),
        partitions: settings.partitions,
        term: settings.lease,
        epoch_after: 0,
        by_force: settings.takes_over,
    };
    let register = Register::new(settings.name.as_deref());
    let clock = base.clock.clone();
    let promise = Promise { is_single_owner: settings.is_single_owner, on_loss: settings.on_loss };
    let ownership = Ownership::new(store, io, clock, claim, opened, promise, &register);
    let ownership = Arc::new(ownership);
    let keeper = keeper::start(&ownership);
    let restoring = async {
        acquire(&ownership, settings, base.standby_told.as_ref()).await?;
        load(base, &ownership, told).await
    };
    let claimed = Claimed { ownership: Arc::clone(&ownership), is_kept: false };
    let built = tokio::select! {
        biased;
        built = restoring => built?,
        error = ownership.until_all_lost() => return Err(StartError::Store(error)),
    };
    Ok((built, claimed, keeper))
}

/// Gives the leases back unless they are kept: after an error, or a start that was given up, the next engine need not wait
/// for their end.
pub(crate) struct Claimed {
    ownership: Arc<Ownership>,
    is_kept: bool,
}

impl Claimed {
    pub(crate) fn ownership(&self) -> Arc<Ownership> {
        Arc::clone(&self.ownership)
    }

    /// There is an engine that keeps them.
    pub(crate) fn keep(mut self) -> Arc<Ownership> {
        self.is_kept = true;
        self.ownership()
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.ownership.claim.owner.leaves();
        let ownership = Arc::clone(&self.ownership);
        self.ownership.io.runtime().spawn(async move {
            let released = async {
                ownership.hear_of_claims().await;
                ownership.store.release(&ownership.grants()).await
            };
            let _ = rt::timeout(ownership.claim.term, released).await;
        });
    }
}

/// Empty partitions, that are kept nowhere.
pub(crate) fn nothing(base: &Base) -> Result<Vec<Built>, StartError> {
    let partitions = 0..usize::from(base.settings.partitions);
    partitions.map(|at| build(base, at, Loaded::default(), false)).collect()
}

/// Takes the lease of every partition, in order.
async fn acquire(
    ownership: &Ownership,
    settings: &Settings,
    told: Option<&StandbyTold>,
) -> Result<(), StartError> {
    let (is_standby, patience) = (settings.is_standby, settings.start_patience);
    let mut standing = Standing::new(&ownership.clock);
    for at in 0..usize::from(ownership.claim.partitions) {
        let mut awaited = Duration::ZERO;
        loop {
            match unless_it_comes_on(patience, steps(&*ownership.store), || ownership.acquire(at)).await {
                Ok(_lease) => break,
                // A standby that has begun to wait goes on, whatever becomes of the store meanwhile.
                Err(error) if is_standby && is_passing(&error, standing.has_begun()) => {
                    if error.class == StoreErrorClass::Held {
                        let standby = Standby { lease_left: error.again_after, owner: error.clone() };
                        told.iter().for_each(|told| told(standby.clone()));
                    }
                    standing.goes_on(at, &error);
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
    standing.ends();
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
    told: Option<RestoreTold>,
) -> Result<Vec<Built>, StartError> {
    let runtime = ownership.io.runtime();
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
    // Before anything can start. After all jobs: their queues come first, if there are too many.
    base.queues.restore_pauses(built.iter().flat_map(|one| one.pauses.clone()));
    let sum = |of: fn(&Built) -> usize| built.iter().map(of).sum::<usize>();
    let (overdue, skipped, interrupted) =
        (sum(|one| one.overdue), sum(|one| one.skipped), sum(|one| one.interrupted));
    if overdue + skipped > 0 {
        // Nobody may have been there, or an owner who was slow, or from whom they were taken.
        tracing::info!(overdue, skipped, "jobs were overdue at the start");
    }
    if interrupted > 0 {
        tracing::warn!(
            interrupted,
            "handlers were cut short when the engine before ended: their jobs run again, except those delivered at most once"
        );
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
    let (telling, has_told) = (Arc::clone(progress), Arc::new(AtomicBool::new(false)));
    let telling_so = Arc::clone(&has_told);
    let told = move |more: LoadProgress| {
        telling_so.store(true, Ordering::Relaxed);
        telling.more(more);
    };
    // One that goes on is not cut off.
    let comes_on = |has_failed: bool| has_told.swap(false, Ordering::Relaxed) || !has_failed;
    let load = || ownership.store.load(&grant, &told);
    Ok(unless_it_comes_on(base.settings.start_patience, comes_on, load).await?)
}

/// Builds a partition from what was loaded.
fn build(base: &Base, at: usize, loaded: Loaded, is_logged: bool) -> Result<Built, StartError> {
    let partition = at as u16;
    let log_end = loaded.log_end();
    if log_end > RECORDS_MAX {
        let message = format!("partition {partition} is at record {log_end}, which no log gets to");
        return Err(StoreError::fatal(message).into());
    }
    let Base { settings, clock, queues, hasher, .. } = base;
    let (covered, complete) = (loaded.covered, loaded.complete);
    let number = |name: &QueueName| queues.know(name).ok().map(|queue| queue.id);
    let now = clock.now();
    let replay = Replay::new(PartitionId(partition), settings.partition(is_logged), now);
    let mut replay = replay.with_queues(number);
    loaded.replay(&mut replay, now).map_err(|error| match error {
        ReplayError::TooManyQueues => QueueError::TooMany { max: QUEUES_MAX }.into(),
        error => StartError::Restore { partition, error },
    })?;
    let skip_after_us = |queue| queues.by_id(queue).and_then(|queue| queue.skip_after_us());
    // In order and apart from the others in any case. How many may go, and of which partition the next, the driver says.
    let retry = |queue| queues.by_id(queue).and_then(|queue| queue.policy().retry);
    let per_second_max = Some(NonZeroU32::MAX);
    let catch_up = CatchUp { per_second_max, skip_after_us: &skip_after_us, retry: &retry };
    let mut restored = replay.finish(is_logged, &catch_up, clock.now());
    restored.partition.hand_over_pace();
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
    for (queue, key, passed) in &restored.passed {
        if let Some(queue) = queues.by_id(*queue) {
            queue.tell_passed(key.as_str(), *passed);
        }
    }
    while let Some(job) = restored.partition.take_died() {
        if let Ok(queue) = queues.know(&job.queue) {
            queue.count_death();
            queue.tell_died(job);
        }
    }
    queues.count_unhandled(&restored.partition);
    let pauses = restored.partition.pauses().cloned().collect();
    let jobs = restored.partition.live();
    let last = LastSnapshot { covered, at: now.mono, is_cut_off: log_end < complete };
    let cell = Cell::new(restored.partition, keys, log_end, last);
    Ok(Built {
        cell,
        jobs,
        overdue: restored.overdue,
        skipped: restored.skipped,
        interrupted: restored.interrupted,
        pauses,
    })
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
