//! The checks of a run: at rest, after a process has begun, and at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use reveille::partition::Delivery;
use reveille::sim::{Image, JobImage, Now, Simulation as _, could_start, lease_left, left_undone, state};
use reveille::{Engine, Handle, PartitionId, StoreState};

use super::{App, Slot};
use crate::ledger::{PAUSED_QUEUE, Recurring};
use crate::plan::Queue;
use crate::process::Process;
use crate::shadow::difference;

/// A driver looks at its clocks this often, and a bit.
const LOOK_US: u64 = 150_000;

impl App {
    /// Work that an engine must not leave undone when nothing of it can run.
    pub(crate) fn at_rest(&self) {
        let rests = self.rests.fetch_add(1, Relaxed);
        for its in self.slots.lock().iter() {
            let (Some(process), Some((life, engine))) = (&its.process, &its.engine) else { continue };
            if process.is_frozen() {
                continue;
            }
            // A wall clock that was set wakes no task: the next look notices it.
            let is_noticed = self.world.now_us() > its.stepped_us + LOOK_US;
            if let Some(left) = left_undone(engine, !process.is_blocked()).filter(|_| is_noticed) {
                self.world.broken("8 late, never dropped", format!("life {life}: {left}"));
            }
            self.check_lease(engine, *life);
            if rests.is_multiple_of(64) {
                self.compare(engine, its, *life, process);
            }
        }
    }

    /// An owner with which nothing is wrong can prove its lease, whatever its handlers do.
    fn check_lease(&self, engine: &Engine, life: u64) {
        if self.is_untroubled() && lease_left(engine) == Some(Duration::ZERO) {
            self.world.broken("5 one owner", format!("life {life}: it is well, and cannot prove its lease"));
        }
    }

    /// If the store has all of a partition, replaying it ends in the engine's state.
    fn compare(&self, engine: &Engine, its: &Slot, life: u64, process: &Process) {
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            if let Some(key) = Recurring::doubled(&state.image) {
                self.world.broken("4 definite", format!("life {life}: there are two recurring jobs {key}"));
            }
            let (head, end) = self.shadow.head(partition);
            if head != its.owner || state.log_end != end || state.durable != end {
                continue;
            }
            let replayed = match self.shadow.replay(partition, process.now()) {
                Ok(replay) => replay.image(),
                Err(error) => return self.world.broken("7 replay = live", format!("life {life}: {error}")),
            };
            let live = state.image;
            if replayed != live {
                let differs = difference(&replayed, &live);
                let detail = format!("life {life}, partition {partition}: {differs}");
                self.world.broken("7 replay = live", detail);
            }
        }
    }

    /// A job of a queue starts: no more than may, and in its turn.
    pub(super) fn takes_turn(&self, life: u64, slot: usize, queue: &str, (handle, now): (Handle, Now)) {
        let Some(queue) = Queue::of_name(queue) else { return };
        let engine = self.slots.lock()[slot].engine.clone();
        // One that has lost its partitions, or shuts down, is asked no more.
        let Some((_, engine)) = engine.filter(|(its, _)| *its == life) else { return };
        let could_start = |queue: Queue| could_start(&engine, queue.name());
        let mono_us = now.mono.as_micros();
        let broken =
            self.ledger.with(life, |life, _| life.limits.started(queue, handle, mono_us, could_start));
        if let Some((promise, detail)) = broken.flatten() {
            self.world.broken(promise, format!("life {life}: {detail}"));
        }
    }

    /// A queue is paused if that is what was said of it last.
    fn check_pauses(&self, engine: &Engine, life: u64) {
        let images = self.images(engine);
        let queues = engine.stats().queues;
        for said in images.iter().flat_map(|image| &image.pauses) {
            let its = queues.iter().find(|queue| queue.name == said.queue.as_str());
            if its.is_none_or(|queue| queue.is_paused != said.is_paused) {
                self.world.broken("4 definite", format!("life {life}: {said:?} is not what {its:?} says"));
            }
        }
    }

    /// Whether a healthy engine has done everything that is due; if not, what is missing.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let slots = self.slots.lock();
        let owner = slots.iter().find_map(|its| Some((its.process.as_ref()?, its.engine.as_ref()?)));
        let Some((process, (life, engine))) = owner else { return Some("nobody owns the jobs".to_owned()) };
        let commit = engine.resume(PAUSED_QUEUE);
        if commit.outcome().is_ok() {
            let (at, level) = (process.now().wall, self.setting.durability);
            let _ = self.ledger.said(*life, false, at, level, || None);
        }
        let stats = engine.stats();
        let store = stats.store.as_ref();
        if store.is_none_or(|store| store.state != StoreState::Healthy) {
            return Some(format!("the store is not called healthy: {store:?}"));
        }
        if stats.ready > 0 || stats.running > 0 {
            return Some(format!("{} jobs are due, {} run", stats.ready, stats.running));
        }
        if let Some(waiting) = self.waiting.lock().get(life).filter(|waiting| **waiting > 0) {
            return Some(format!("{waiting} commits wait"));
        }
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            if state.is_due || state.durable != state.log_end {
                return Some(format!(
                    "partition {partition} is not done: {} of {}",
                    state.durable, state.log_end
                ));
            }
        }
        // Jobs that were overdue at the start go at a limited rate.
        late(&self.images(engine), process).map(|late| format!("it is still pending: {late:?}"))
    }

    /// The end: every promise was kept.
    pub(crate) fn settle(&self) {
        let slots = self.slots.lock();
        for its in slots.iter() {
            let (Some(process), Some((life, engine))) = (&its.process, &its.engine) else { continue };
            self.compare(engine, its, *life, process);
            let images: Vec<_> = self.images(engine);
            if let Some(late) = late(&images, process) {
                self.world
                    .broken("8 late, never dropped", format!("life {life}: it is still pending: {late:?}"));
            }
            self.ledger.settle(&images);
            return;
        }
    }

    fn images(&self, engine: &Engine) -> Vec<Image> {
        let partitions = 0..self.setting.partitions;
        partitions.map(|partition| state(engine, PartitionId(partition)).image).collect()
    }

    /// An engine has begun: its state is what replaying the store's records from the beginning gives.
    pub(super) fn restored(
        &self,
        life: u64,
        process: &Arc<Process>,
        engine: &Engine,
        losses: u64,
        begun_us: u64,
    ) {
        let now = process.now();
        let mut owner = String::new();
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            let (head, end) = self.shadow.head(partition);
            owner = head;
            if end != state.durable || losses != self.shadow.losses() {
                continue;
            }
            let (before, expected) = match self.shadow.replay(partition, now) {
                Ok(replay) => {
                    (replay.image(), replay.finish(false, &Default::default(), now).partition.image())
                }
                Err(error) => return self.world.broken("7 replay = live", format!("life {life}: {error}")),
            };
            let found = state.image;
            if let Some(detail) = miscounted(&before, &found) {
                self.world.broken("6 at least once", format!("life {life}: {detail}"));
            }
            let fired = |image: &Image| {
                let mut ids: Vec<_> = image.fired.iter().map(|fired| fired.id).collect();
                ids.sort_unstable();
                ids
            };
            // Of a recurring job a later occurrence may have come due since. When one that was cut short is tried again, counts from
            // then: see `miscounted`.
            let is_counted =
                |id| before.jobs.iter().any(|job| job.id == id && job.running_since.is_some() && counts(job));
            let once = |image: &Image| -> Vec<JobImage> {
                let once = image.jobs.iter().filter(|job| job.spec.options.recurrence().is_none());
                once.filter(|job| !is_counted(job.id)).cloned().collect()
            };
            let is_same = once(&expected) == once(&found)
                && fired(&expected) == fired(&found)
                && expected.pauses == found.pauses;
            if !is_same {
                let differs = difference(&expected, &found);
                let detail = format!("life {life}, partition {partition} as restored: {differs}");
                self.world.broken("7 replay = live", detail);
            }
        }
        self.check_pauses(engine, life);
        // Delays were turned into instants on the way, by a wall clock that was set meanwhile.
        let is_told_exactly = self.slots.lock()[process.slot].stepped_us < begun_us;
        let is_kept = losses == self.shadow.losses();
        self.ledger.restored(life, &owner, now, (is_told_exactly, is_kept), &self.images(engine));
        let its = &mut self.slots.lock()[process.slot];
        its.owner = owner;
        its.engine = Some((life, engine.clone()));
    }
}

/// A job that should have fired by its process's wall clock.
fn late<'a>(images: &'a [Image], process: &Process) -> Option<&'a JobImage> {
    let wall_us = process.now().wall.as_micros();
    // What is pending is still to come, by the clock that it follows.
    images.iter().flat_map(|image| &image.jobs).find(|job| {
        let is_dead = job.history.as_ref().is_some_and(|history| history.death.is_some());
        let is_paused = job.spec.options.paused().is_some();
        !is_dead
            && !is_paused
            && job.spec.due.base == reveille::partition::TimeBase::Wall
            && job.spec.due.wall.as_micros() + 1_000_000 < wall_us
    })
}

/// A job that was cut short by the end of its process, and whose policy was not followed.
fn miscounted(before: &Image, found: &Image) -> Option<String> {
    let failures = |job: &JobImage| job.history.as_ref().map_or(0, |history| history.failures);
    let is_dead = |job: &JobImage| job.history.as_ref().is_some_and(|history| history.death.is_some());
    let cut_short = before.jobs.iter().filter(|job| job.running_since.is_some());
    cut_short.filter(|job| job.spec.options.recurrence().is_none()).find_map(|job| {
        let retry = job.spec.options.retry()?;
        let Some(after) = found.jobs.iter().find(|after| after.id == job.id) else {
            let is_over = job.history.as_ref().is_some_and(|history| history.is_stopped)
                || job.spec.options.delivery() == Delivery::AtMostOnce;
            return (!is_over).then(|| format!("it was cut short, and is not there: {job:?}"));
        };
        let counted = failures(job) + u16::from(counts(job));
        let is_exhausted = counted >= retry.attempts_max() && counted > failures(job);
        let is_right = failures(after) == counted && (is_dead(after) || !is_exhausted);
        (!is_right).then(|| format!("{retry:?}: it was {job:?}, and is {after:?}"))
    })
}

/// Whether an attempt at a job counts when the end of its process cuts it short.
fn counts(job: &JobImage) -> bool {
    job.spec.options.retry().is_some_and(|retry| retry.counts_interrupted())
}
