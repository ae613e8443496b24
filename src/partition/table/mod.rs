//! The job table: every job that a partition knows of, each in a slot of its own.
//!
//! How a job lies in memory is known here and nowhere else: what goes in is a [`NewJob`], and what comes out are values and
//! [`Job`]s, which read. The rest of the partition sets a job's due, state, version and attempt, and keeps none of its bytes.
//!
//! A job is one cache line (`line`); what most jobs do not have, and their payloads, lie out of line (`beside`). The wheels' lists run
//! through the lines: to a wheel, the table is the [`Home`] of its timers.
//!
//! # Invariants
//! - See `line` and `beside`.
//! - A job without rare options costs nothing for them: no byte, no look-up.

mod beside;
mod key;
mod line;
mod tags;

use std::collections::btree_set::Range;
use std::ops::Deref;

use super::job::{JobDue, State};
use super::rank::Rank;
use super::{
    End, FiredImage, JobId, Key, PartitionId, Payload, Priority, QueueId, RecordedDue, TimeBase, Timestamp,
    Version,
};
use crate::job::{History, JobOptions, Paused, Rare, Tags};
use crate::slab::{Index, Scan, Slab};
use crate::wheel::{Classes, Home, Linked, NIL};
use beside::{Beside, Far};
use key::LineKey;
use line::Line;

pub(crate) use line::QUEUES_MAX;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct JobTable {
    lines: Slab<Line>,
    beside: Beside,
    partition: PartitionId,
    /// Of the wheels whose timers these are.
    tick_us: u64,
}

/// A job, to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    table: &'a JobTable,
    slot: u32,
    line: &'a Line,
}

/// A job, to change.
#[derive(Debug)]
pub(super) struct JobMut<'a> {
    partition: PartitionId,
    beside: &'a mut Beside,
    slot: u32,
    line: &'a mut Line,
}

/// A job for the table.
pub(super) struct NewJob<'a> {
    pub(super) id: JobId,
    pub(super) key: &'a Key,
    pub(super) payload: &'a Payload,
    pub(super) due: JobDue,
    /// As it was written down.
    pub(super) wall: Timestamp,
    pub(super) state: State,
    pub(super) queue: QueueId,
    pub(super) options: &'a JobOptions,
}

impl JobTable {
    pub(super) const CAPACITY_MAX: usize = Slab::<Line>::CAPACITY_MAX;

    pub(super) fn new(partition: PartitionId, tick_us: u64) -> Self {
        JobTable { lines: Slab::new(), beside: Beside::new(), partition, tick_us }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds a job of the first version, not begun. `None` when every slot is in use.
    #[inline]
    pub(super) fn insert(&mut self, new: &NewJob<'_>) -> Option<Index> {
        let NewJob { id, key, payload, due, wall, state, queue, options } = *new;
        let text = key.as_str().as_bytes();
        let key = LineKey::of(text);
        let block = self.beside.put(key, due.base(), wall, text, payload.as_bytes())?;
        let line = Line::new(id.sequence(), key, due, state, queue, options.common(), block);
        let index = self.add(line)?;
        if let Some(rare) = options.rare() {
            self.set_rare(index, rare);
        }
        Some(index)
    }

    #[inline]
    fn add(&mut self, line: Line) -> Option<Index> {
        match self.lines.insert(line) {
            Ok(index) => Some(index),
            Err(mut line) => {
                self.beside.remove(&mut line);
                None
            }
        }
    }

    #[cold]
    fn set_rare(&mut self, index: Index, rare: &Rare) {
        if let Some(mut job) = self.get_mut(index) {
            job.far().rare = Some(Box::new(rare.clone()));
        }
        if let Some(tags) = rare.tags() {
            self.beside.tags.insert(tags, index.slot);
        }
    }

    /// Adds a job that has ended.
    pub(super) fn insert_fired(&mut self, fired: &FiredImage) -> Option<Index> {
        let FiredImage { id, ref key, fired_at, ended_at, end } = *fired;
        let index = self.insert(&NewJob {
            id,
            key,
            payload: &Payload::default(),
            due: JobDue::Wall(ended_at),
            wall: ended_at,
            state: State::Fired(fired_at, end),
            queue: QueueId(0),
            options: &JobOptions::default(),
        })?;
        self.get_mut(index)?.set_attempt(1);
        Some(index)
    }

    #[inline]
    pub(super) fn get(&self, index: Index) -> Option<Job<'_>> {
        Some(Job { table: self, slot: index.slot, line: self.lines.get(index)? })
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: Index) -> Option<JobMut<'_>> {
        let line = self.lines.get_mut(index)?;
        Some(JobMut { partition: self.partition, beside: &mut self.beside, slot: index.slot, line })
    }

    /// The job in `slot`.
    #[inline]
    pub(super) fn at(&self, slot: u32) -> Option<Job<'_>> {
        Some(Job { table: self, slot, line: self.lines.at(slot)? })
    }

    #[inline]
    pub(super) fn at_mut(&mut self, slot: u32) -> Option<JobMut<'_>> {
        let line = self.lines.at_mut(slot)?;
        Some(JobMut { partition: self.partition, beside: &mut self.beside, slot, line })
    }

    #[inline]
    pub(super) fn index_of(&self, slot: u32) -> Option<Index> {
        self.lines.index_of(slot)
    }

    /// Whether there is a job in `slot`, and its key is `key`.
    #[inline]
    pub(super) fn is_of_key(&self, slot: u32, key: &str) -> bool {
        let text = key.as_bytes();
        let key = LineKey::of(text);
        self.lines
            .at(slot)
            .is_some_and(|line| line.key == key && (!key.is_long() || self.beside.long_key(line) == text))
    }

    /// Takes a job out. Returns whether it was there.
    #[inline]
    pub(super) fn remove(&mut self, index: Index) -> bool {
        let Some(mut line) = self.lines.remove(index) else { return false };
        self.beside.remove(&mut line);
        self.beside.forget(index.slot, &mut line);
        true
    }

    /// Makes a job that began at `fired_at` a tombstone: what remembers that it has ended, and takes little.
    #[inline]
    pub(super) fn entomb(&mut self, index: Index, fired_at: Timestamp, ended_at: Timestamp, end: End) {
        let Some(line) = self.lines.get_mut(index) else { return };
        line.set_state(State::Fired(fired_at, end));
        if line.key.is_long() {
            let key = self.beside.long_key(line).to_vec();
            self.beside.remove(line);
            line.set_due(JobDue::Wall(ended_at));
            self.beside.put_anew(line, ended_at, &key, &[]);
        } else {
            self.beside.remove(line);
            line.set_due(JobDue::Wall(ended_at));
        }
        self.beside.forget(index.slot, line);
    }

    /// Every job, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Index, Job<'_>)> {
        self.scan(0, usize::MAX)
    }

    /// Reads slot after slot: see [`Slab::scan`].
    pub(super) fn scan(&self, from: u32, slots_max: usize) -> JobScan<'_> {
        JobScan { table: self, lines: self.lines.scan(from, slots_max) }
    }

    /// Reads the jobs that have `tag`, by slot, as [`scan`](Self::scan) reads all: `jobs_max` of them at most.
    pub(super) fn tagged(&self, tag: &str, from: u32, jobs_max: usize) -> TagScan<'_> {
        TagScan { table: self, slots: self.beside.tags.slots(tag, from), left: jobs_max }
    }

    /// Has the processor fetch the job in `slot`.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        self.lines.prefetch(slot);
    }

    /// Bytes held for jobs, whether or not one is in them; those of rare options are not counted.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.lines.allocated_bytes() + self.beside.bytes.allocated_bytes()
    }

    /// How many jobs have rare options.
    #[cfg(test)]
    pub(super) fn with_rare(&self) -> usize {
        self.beside.far.len()
    }

    /// Checks the invariants, and panics where one is broken.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        self.beside.validate(self.lines.iter().map(|(index, line)| (index.slot, line)));
    }
}

impl Home for JobTable {
    type Node = Line;

    /// Microseconds of a tick.
    type Scale = u64;

    #[inline]
    fn at(&self, slot: u32) -> Option<&Line> {
        self.lines.at(slot)
    }

    #[inline]
    fn at_mut(&mut self, slot: u32) -> Option<&mut Line> {
        self.lines.at_mut(slot)
    }

    #[allow(unsafe_code, reason = "as said where it is declared")]
    #[inline]
    unsafe fn known_mut(&mut self, slot: u32) -> Option<&mut Line> {
        // SAFETY: as promised by the caller. `NIL` is a slot of no slab.
        unsafe { self.lines.known_mut(slot) }
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        self.lines.prefetch(slot);
    }

    #[inline]
    fn scale(&self) -> u64 {
        self.tick_us
    }

    #[inline]
    fn deadline(line: &Line, tick_us: u64) -> u64 {
        line.due().tick(tick_us)
    }

    #[inline]
    fn class(line: &Line) -> Classes {
        line.queue().class()
    }
}

/// See [`JobTable::scan`].
pub(super) struct JobScan<'a> {
    table: &'a JobTable,
    lines: Scan<'a, Line>,
}

/// See [`JobTable::tagged`].
pub(super) struct TagScan<'a> {
    table: &'a JobTable,
    slots: Range<'a, u32>,
    left: usize,
}

/// Reads jobs by slot, and says where it stands.
pub(super) trait Walk<'a>: Iterator<Item = (Index, Job<'a>)> {
    /// The slot to go on from; `None` when all have been seen.
    fn cursor(&self) -> Option<u32>;
}

impl<'a> Walk<'a> for JobScan<'a> {
    fn cursor(&self) -> Option<u32> {
        self.lines.cursor()
    }
}

impl<'a> Walk<'a> for TagScan<'a> {
    fn cursor(&self) -> Option<u32> {
        self.slots.clone().next().copied()
    }
}

impl<'a> Iterator for TagScan<'a> {
    type Item = (Index, Job<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let &slot = self.slots.next()?;
        Some((self.table.index_of(slot)?, self.table.at(slot)?))
    }
}

impl<'a> Iterator for JobScan<'a> {
    type Item = (Index, Job<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (index, line) = self.lines.next()?;
        Some((index, Job { table: self.table, slot: index.slot, line }))
    }
}

impl<'a> Job<'a> {
    #[inline]
    /// The job after it in its list of a wheel, if it is on one and not the last.
    pub(super) fn next_on_wheel(&self) -> Option<u32> {
        let next = self.line.next();
        (next != NIL).then_some(next)
    }

    pub(super) fn id(&self) -> JobId {
        JobId::new(self.table.partition, self.line.sequence())
    }

    #[inline]
    pub(super) fn key(&self) -> &'a str {
        let Some(text) = self.line.key.short() else { return self.long_key() };
        debug_assert!(std::str::from_utf8(text).is_ok(), "a key is text");
        // SAFETY: these are the bytes of a `Key`: a line is given its key when it is made, and it is never changed.
        #[allow(unsafe_code, reason = "to check it takes a tenth of a look-up")]
        unsafe {
            std::str::from_utf8_unchecked(text)
        }
    }

    #[cold]
    fn long_key(&self) -> &'a str {
        let text = std::str::from_utf8(self.table.beside.long_key(self.line));
        debug_assert!(text.is_ok(), "a key is text");
        text.unwrap_or_default()
    }

    #[inline]
    pub(super) fn payload(&self) -> &'a [u8] {
        self.table.beside.payload(self.line)
    }

    /// As it was written down. Reads what lies beside the line, of a job that follows the monotonic clock.
    pub(super) fn recorded_due(&self) -> RecordedDue {
        match self.line.due() {
            JobDue::Wall(wall) => RecordedDue { base: TimeBase::Wall, wall },
            JobDue::Mono(_) => RecordedDue { base: TimeBase::Mono, wall: self.table.beside.wall(self.line) },
        }
    }

    #[inline]
    pub(super) fn attempt(&self) -> u16 {
        self.line.attempt().unwrap_or_else(|| self.table.beside.attempt(self.slot))
    }

    /// All of its options.
    #[inline]
    pub(super) fn options(&self) -> JobOptions {
        let rare = self.far().and_then(|far| far.rare.clone());
        JobOptions::from_parts(self.line.common(), rare)
    }

    #[inline]
    fn far(&self) -> Option<&'a Far> {
        if self.line.has_far() { self.table.beside.far.get(&self.slot) } else { None }
    }

    /// Whether it has rare options, or a history.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.line.has_far()
    }

    /// What is remembered of its attempts.
    #[inline]
    pub(super) fn history(&self) -> Option<&'a History> {
        self.far()?.history.as_deref()
    }

    /// Its rare options.
    #[inline]
    pub(super) fn rare(&self) -> Option<&'a Rare> {
        self.far()?.rare.as_deref()
    }

    /// Whether it is to rest.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.has_more() && self.rare().is_some_and(|rare| rare.paused().is_some())
    }

    /// Where it stands as one of `tick`.
    #[inline]
    pub(super) fn rank(&self, tick: u64, tick_us: u64) -> Rank {
        self.due().rank(self.priority(), tick, tick_us)
    }

    /// Has the processor fetch what lies beside the line.
    #[inline]
    pub(super) fn prefetch_beside(&self) {
        self.table.beside.prefetch(self.line);
    }
}

/// What lies in the line of a job is read there.
impl Deref for Job<'_> {
    type Target = Line;

    #[inline]
    fn deref(&self) -> &Line {
        self.line
    }
}

impl Deref for JobMut<'_> {
    type Target = Line;

    #[inline]
    fn deref(&self) -> &Line {
        self.line
    }
}

impl JobMut<'_> {
    #[inline]
    pub(super) fn attempt(&self) -> u16 {
        self.line.attempt().unwrap_or_else(|| self.beside.attempt(self.slot))
    }

    #[inline]
    pub(super) fn id(&self) -> JobId {
        JobId::new(self.partition, self.line.sequence())
    }

    /// Gives it another due time; `wall` is what was written down.
    #[inline]
    pub(super) fn set_due(&mut self, due: JobDue, wall: Timestamp) {
        if due.base() != self.line.base() {
            return self.set_base(due, wall);
        }
        self.line.set_due(due);
        if due.base() == TimeBase::Mono {
            self.beside.set_wall(self.line, wall);
        }
    }

    /// Only a job that follows the monotonic clock has an instant in its block.
    #[cold]
    fn set_base(&mut self, due: JobDue, wall: Timestamp) {
        let (key, payload) = (self.beside.key(self.line).to_vec(), self.beside.payload(self.line).to_vec());
        self.beside.remove(self.line);
        self.line.set_due(due);
        self.beside.put_anew(self.line, wall, &key, &payload);
    }

    /// Gives it another payload. `false` if there is no room for it: nothing was changed.
    #[cold]
    pub(super) fn set_payload(&mut self, payload: &[u8]) -> bool {
        let wall = match self.line.base() {
            TimeBase::Wall => Timestamp::from_micros(0),
            TimeBase::Mono => self.beside.wall(self.line),
        };
        let key = self.beside.key(self.line).to_vec();
        let Some(block) = self.beside.put(self.line.key, self.line.base(), wall, &key, payload) else {
            return false;
        };
        self.beside.remove(self.line);
        self.line.set_block(block);
        true
    }

    /// Has it rest since then, or rest no longer.
    #[cold]
    pub(super) fn set_paused(&mut self, since: Option<Timestamp>) {
        self.change_rare(|rare| rare.set_paused(since.map(Paused)));
    }

    /// Gives it these tags in place of all that it has.
    #[cold]
    pub(super) fn set_tags(&mut self, tags: &Tags) {
        if let Some(before) = self.change_rare(|rare| rare.set_tags(tags)) {
            self.beside.tags.remove(&before, self.slot);
        }
        self.beside.tags.insert(tags, self.slot);
    }

    pub(super) fn set_priority(&mut self, priority: Priority) {
        self.line.set_priority(priority);
    }

    pub(super) fn set_queue(&mut self, queue: QueueId) {
        self.line.set_queue(queue);
    }

    #[inline]
    pub(super) fn set_state(&mut self, state: State) {
        self.line.set_state(state);
    }

    #[inline]
    pub(super) fn set_version(&mut self, version: Version) {
        self.line.set_version(version);
    }

    #[cold]
    fn far(&mut self) -> &mut Far {
        self.line.set_has_far(true);
        self.beside.far.entry(self.slot).or_default()
    }

    /// Changes its rare options, of which there may be none before, and after.
    fn change_rare<R>(&mut self, change: impl FnOnce(&mut Rare) -> R) -> R {
        let far = self.far();
        let rare = far.rare.get_or_insert_default();
        let result = change(rare);
        // Equal options are equal: see `JobOptions`.
        if **rare == Rare::default() {
            far.rare = None;
        }
        result
    }

    /// Its rare options. From here on there are some.
    #[cold]
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.far().rare.get_or_insert_default()
    }

    /// What is remembered of its attempts, if anything is.
    pub(super) fn known_history_mut(&mut self) -> Option<&mut History> {
        if self.line.has_far() { self.far().history.as_deref_mut() } else { None }
    }

    /// What is remembered of its attempts. From here on there is something.
    #[cold]
    pub(super) fn history_mut(&mut self) -> &mut History {
        self.far().history.get_or_insert_default()
    }

    #[inline]
    pub(super) fn set_attempt(&mut self, attempt: u16) {
        self.beside.set_attempt(self.slot, self.line, attempt);
    }
}
