//! The job table: every job that a partition knows of, each in a slot of its own.
//!
//! How a job lies in memory is known here and nowhere else: what goes in is a [`NewJob`], and what comes out are values. The
//! rest of the partition sets a job's due, state, version and attempt, and keeps none of its bytes.
//!
//! # Invariants
//! - A job that has rare options says so, and `rare` has them under its slot; no other slot is in there.
//! - A job without rare options costs nothing for them: no byte, no look-up.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::job::{JobDue, State};
use super::rank::Rank;
use super::{End, FiredImage, JobId, Key, Payload, Priority, QueueId, Timestamp, Version};
use crate::job::{Common, JobOptions, Rare};
use crate::slab::{Index, Scan, Slab};

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct JobTable {
    slots: Slab<Job>,
    /// By slot.
    rare: HashMap<u32, Box<Rare>, FixedState>,
}

/// A job as it lies in memory.
#[derive(Debug)]
pub(super) struct Job {
    key: Key,
    payload: Payload,
    id: JobId,
    due: JobDue,
    state: State,
    version: Version,
    attempt: u16,
    queue: QueueId,
    common: Common,
    has_rare: bool,
}

/// A job for the table.
pub(super) struct NewJob {
    pub(super) id: JobId,
    pub(super) key: Key,
    pub(super) payload: Payload,
    pub(super) due: JobDue,
    pub(super) state: State,
    pub(super) queue: QueueId,
    pub(super) options: JobOptions,
}

impl JobTable {
    pub(super) const CAPACITY_MAX: usize = Slab::<Job>::CAPACITY_MAX;

    pub(super) fn new() -> Self {
        JobTable { slots: Slab::new(), rare: HashMap::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds a job of the first version, not begun. `None` when every slot is in use.
    #[inline(always)]
    pub(super) fn insert(&mut self, new: NewJob) -> Option<Index> {
        let NewJob { id, key, payload, due, state, queue, options } = new;
        let (version, attempt) = (Version::FIRST, 0);
        let (common, rare) = options.into_parts();
        let has_rare = rare.is_some();
        let job = Job { key, payload, id, due, state, version, attempt, queue, common, has_rare };
        let index = self.slots.insert(job).ok()?;
        if let Some(rare) = rare {
            self.remember_rare(index.slot, rare);
        }
        Some(index)
    }

    #[cold]
    fn remember_rare(&mut self, slot: u32, rare: Box<Rare>) {
        self.rare.insert(slot, rare);
    }

    /// Adds a job that has ended.
    pub(super) fn insert_fired(&mut self, fired: FiredImage) -> Option<Index> {
        let FiredImage { id, key, fired_at, ended_at, end } = fired;
        let index = self.insert(NewJob {
            id,
            key,
            payload: Payload::default(),
            due: JobDue::ended(ended_at),
            state: State::Fired(fired_at, end),
            queue: QueueId(0),
            options: JobOptions::default(),
        })?;
        self.get_mut(index)?.attempt = 1;
        Some(index)
    }

    #[inline]
    pub(super) fn get(&self, index: Index) -> Option<&Job> {
        self.slots.get(index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: Index) -> Option<&mut Job> {
        self.slots.get_mut(index)
    }

    /// The job in `slot`.
    #[inline]
    pub(super) fn at(&self, slot: u32) -> Option<&Job> {
        self.slots.at(slot)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Job> {
        self.slots.at_mut(slot)
    }

    #[inline]
    pub(super) fn index_of(&self, slot: u32) -> Option<Index> {
        self.slots.index_of(slot)
    }

    /// All options of `job`, which lies in `slot`.
    #[inline]
    pub(super) fn options(&self, slot: u32, job: &Job) -> JobOptions {
        let rare = if job.has_rare { self.rare_of(slot) } else { None };
        JobOptions::from_parts(job.common, rare)
    }

    #[cold]
    fn rare_of(&self, slot: u32) -> Option<Box<Rare>> {
        self.rare.get(&slot).cloned()
    }

    /// Takes a job out. Returns its key.
    #[inline]
    pub(super) fn remove(&mut self, index: Index) -> Option<Key> {
        let job = self.slots.remove(index)?;
        if job.has_rare {
            self.forget_rare(index.slot);
        }
        Some(job.key)
    }

    /// Makes a job that began at `fired_at` a tombstone: what remembers that it has ended, and takes little.
    #[inline]
    pub(super) fn entomb(&mut self, index: Index, fired_at: Timestamp, ended_at: Timestamp, end: End) {
        let Some(job) = self.slots.get_mut(index) else { return };
        job.state = State::Fired(fired_at, end);
        job.due = JobDue::ended(ended_at);
        job.payload = Payload::default();
        if std::mem::take(&mut job.has_rare) {
            self.forget_rare(index.slot);
        }
    }

    #[cold]
    fn forget_rare(&mut self, slot: u32) {
        self.rare.remove(&slot);
        // Give memory back once most of it is idle.
        if self.rare.capacity() > 1024 && self.rare.len() < self.rare.capacity() / 4 {
            self.rare.shrink_to(self.rare.len() * 2);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Index, &Job)> {
        self.slots.iter()
    }

    /// Reads slot after slot: see [`Slab::scan`].
    pub(super) fn scan(&self, from: u32, slots_max: usize) -> Scan<'_, Job> {
        self.slots.scan(from, slots_max)
    }

    /// Has the processor fetch the job in `slot`.
    pub(super) fn prefetch(&self, slot: u32) {
        self.slots.prefetch(slot);
    }

    /// Bytes held for jobs, whether or not one is in them; those of rare options are not counted.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.slots.allocated_bytes()
    }

    /// How many jobs have rare options.
    #[cfg(test)]
    pub(super) fn with_rare(&self) -> usize {
        self.rare.len()
    }

    /// Checks the invariants, and panics where one is broken.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let mut rare = 0;
        for (index, job) in self.iter().filter(|(_, job)| job.has_rare) {
            assert!(self.rare.contains_key(&index.slot), "{job:?} has options that are not there");
            rare += 1;
        }
        assert_eq!(rare, self.rare.len());
    }
}

impl Job {
    #[inline]
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    #[inline]
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    #[inline]
    pub(super) fn payload(&self) -> &Payload {
        &self.payload
    }

    #[inline]
    pub(super) fn due(&self) -> JobDue {
        self.due
    }

    #[inline]
    pub(super) fn set_due(&mut self, due: JobDue) {
        self.due = due;
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        self.state
    }

    #[inline]
    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
    }

    #[inline]
    pub(super) fn version(&self) -> Version {
        self.version
    }

    #[inline]
    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    #[inline]
    pub(super) fn attempt(&self) -> u16 {
        self.attempt
    }

    #[inline]
    pub(super) fn set_attempt(&mut self, attempt: u16) {
        self.attempt = attempt;
    }

    #[inline]
    pub(super) fn queue(&self) -> QueueId {
        self.queue
    }

    #[inline]
    pub(super) fn priority(&self) -> Priority {
        self.common.priority()
    }

    /// Where it stands as one of `tick`.
    #[inline]
    pub(super) fn rank(&self, tick: u64, tick_us: u64) -> Rank {
        self.due.rank(self.priority(), tick, tick_us)
    }

    /// Has the processor fetch what clones of key and payload will write.
    pub(super) fn warm_counts(&self) {
        self.key.warm();
        self.payload.warm();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_stays_small() {
        assert!(size_of::<Job>() <= 96, "Job has {} bytes", size_of::<Job>());
    }
}
