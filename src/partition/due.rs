//! From pending to ready: what is due comes off the wheels, tick by tick, in order, within a budget.
//!
//! Three sources hold pending jobs: the two wheels, and the jobs held since the wall clock was set back. They are
//! compared by age, the number of ticks that a tick of theirs lies behind now; the oldest goes first. A tick is
//! collected whole, in as many slices as the budget asks for, before the first of its jobs is released: only then is
//! it known which comes first.
//!
//! Jobs that were overdue at a restart are a fourth, apart from the others: they come last, with what is left of the
//! budget, so that they hold up nobody. See `overdue`.

use super::batch::Entry;
use super::{Came, JobTable, MonoTime, Now, Partition, Priority, QueueId, Rank, State, TimeBase, Timestamp};

/// How far ahead of its release a job is fetched.
const JOB_AHEAD: usize = 12;

/// When a partition next has something to do, on each clock. The default: never.
///
/// Two words, since every call tells it: `i64::MAX` and `u64::MAX` for never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    wall: i64,
    mono: u64,
}

impl Default for Wake {
    fn default() -> Self {
        Wake { wall: i64::MAX, mono: u64::MAX }
    }
}

impl Wake {
    /// On each clock, or never. When the wall clock shows `wall` is never later than the earliest job; earlier when a wheel has to
    /// turn first.
    pub fn new(wall: Option<Timestamp>, mono: Option<MonoTime>) -> Self {
        Wake {
            wall: wall.map_or(i64::MAX, Timestamp::as_micros),
            mono: mono.map_or(u64::MAX, MonoTime::as_micros),
        }
    }

    /// When the wall clock shows this.
    pub fn wall(&self) -> Option<Timestamp> {
        (self.wall != i64::MAX).then_some(Timestamp::from_micros(self.wall))
    }

    /// When the monotonic clock shows this.
    pub fn mono(&self) -> Option<MonoTime> {
        (self.mono != u64::MAX).then_some(MonoTime::from_micros(self.mono))
    }

    /// As two words, to be published.
    #[inline]
    pub(crate) fn to_words(self) -> (i64, u64) {
        (self.wall, self.mono)
    }

    /// From the words of one that was published.
    #[inline]
    pub(crate) const fn from_words(wall: i64, mono: u64) -> Self {
        Wake { wall, mono }
    }

    /// The moment, by the monotonic clock, if nobody sets the wall clock until then.
    pub fn as_mono(&self, now: Now) -> Option<MonoTime> {
        let wall = self.wall().map(|wall| now.mono_at(wall));
        match (wall, self.mono()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether the moment has come.
    pub fn is_due(&self, now: Now) -> bool {
        self.wall().is_some_and(|wall| wall <= now.wall) || self.mono().is_some_and(|mono| mono <= now.mono)
    }
}

/// How far [`Partition::gather`] has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gathering {
    /// Nothing is due.
    Nothing,
    /// The budget ran out.
    Partly {
        /// The tick, by each of the clocks, with a priority below which it has none.
        at_least: [Rank; 2],
        /// How many jobs of it have been gathered so far.
        jobs: usize,
    },
    /// A tick is whole.
    Whole {
        /// The tick, with the lowest priority in it.
        first: Rank,
        /// How many jobs it has, those included that were cancelled or moved since they were gathered.
        jobs: usize,
    },
}

/// The current tick on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Ticks {
    pub(super) wall: u64,
    pub(super) mono: u64,
}

/// What came of a look for the oldest tick.
enum Step {
    Nothing,
    CutShort,
    Whole,
}

impl Partition {
    /// Moves what is due at `now` to the ready lists. `budget` bounds the work: a job that fires, one that moves down
    /// a level of a wheel and one that is released each count one. Returns whether nothing due is left, but for what was
    /// overdue at a restart and may not go yet; if not, call again, whenever convenient.
    pub fn advance(&mut self, now: Now, budget: usize) -> bool {
        let mut left = budget;
        let ticks = self.ticks(now);
        loop {
            // A tick whose release was cut short comes before anything else.
            let is_to_be_released = self.collecting_since.is_none() && !self.batch.is_empty();
            if is_to_be_released && !self.release(Priority::LAST, &mut left) {
                return false;
            }
            match self.gather_oldest(ticks, now, &mut left) {
                Step::CutShort => return false,
                Step::Nothing if self.batch.is_empty() => break,
                Step::Nothing | Step::Whole => {}
            }
        }
        self.catch_up_wheels(ticks);
        self.release_overdue(now, &mut left)
    }

    /// The first half of [`advance`](Self::advance), for whoever holds several partitions to one order: gathers the tick that
    /// is due first, and releases nothing of it. To be called again until it is whole, then
    /// [`release_tick`](Self::release_tick).
    pub fn gather(&mut self, now: Now, budget: usize) -> Gathering {
        let mut left = budget;
        let ticks = self.ticks(now);
        loop {
            if self.collecting_since.is_none()
                && let Some(first) = self.gathered()
            {
                return Gathering::Whole { first, jobs: self.batch.len() };
            }
            match self.gather_oldest(ticks, now, &mut left) {
                Step::CutShort => return self.partly(ticks, now),
                Step::Nothing if self.batch.is_empty() => break,
                Step::Nothing | Step::Whole => {}
            }
        }
        self.catch_up_wheels(ticks);
        Gathering::Nothing
    }

    /// The second half: moves jobs of the gathered tick to the ready lists, those whose priority is not above `up_to`.
    pub fn release_tick(&mut self, up_to: Priority, budget: usize) {
        debug_assert!(self.collecting_since.is_none(), "a tick is gathered whole before it is released");
        let mut left = budget;
        self.release(up_to, &mut left);
    }

    /// The tick that is gathered, with the lowest priority in it.
    fn gathered(&self) -> Option<Rank> {
        let priority = self.batch.first_priority()?;
        let (base, tick) = match self.batch.has_wall {
            true => (TimeBase::Wall, self.batch.wall_tick),
            false => (TimeBase::Mono, self.batch.mono_tick),
        };
        Some(Rank::new(base, tick, priority, 0))
    }

    /// The tick that is being gathered, or will be.
    fn partly(&self, ticks: Ticks, now: Now) -> Gathering {
        let (wall, mono) = match self.oldest_age(ticks, now) {
            Some(age) if self.batch.is_empty() => {
                (ticks.wall.saturating_sub(age), ticks.mono.saturating_sub(age))
            }
            _ => (self.batch.wall_tick, self.batch.mono_tick),
        };
        let priority = self.priorities.lowest(self.live());
        let of = |base, tick| Rank::new(base, tick, priority, 0);
        let (of_wall, of_mono) = (of(TimeBase::Wall, wall), of(TimeBase::Mono, mono));
        // By the wall if it has a job that follows it, as when it is whole; that may still come.
        let or_mono = if self.batch.has_wall { of_wall } else { of_mono };
        Gathering::Partly { at_least: [of_wall, or_mono], jobs: self.batch.len() }
    }

    pub(super) fn ticks(&self, now: Now) -> Ticks {
        let tick_us = self.config.tick_us;
        Ticks {
            wall: now.wall.ticks_floor(tick_us),
            // Should a caller read its clock before another that got here first, nothing is lost for it.
            mono: (now.mono.as_micros() / tick_us).max(self.mono.now()),
        }
    }

    /// Takes the oldest tick that is due off its sources, as far as the budget goes.
    // Once, so that the compiler takes the wheels' code in here, which it does not where there are two copies.
    #[inline(never)]
    fn gather_oldest(&mut self, ticks: Ticks, now: Now, left: &mut usize) -> Step {
        let age = self.oldest_age(ticks, now);
        match age {
            Some(_) if *left == 0 => return Step::CutShort,
            Some(age) => {
                let since = *self.collecting_since.get_or_insert(now);
                if self.collect(age, ticks, now, since, left) {
                    self.collecting_since = None;
                }
            }
            // The rest of a tick that was cut short was cancelled meanwhile.
            None => self.collecting_since = None,
        }
        self.batch.end_slice();
        match age {
            _ if self.collecting_since.is_some() => Step::CutShort,
            Some(_) => Step::Whole,
            None => Step::Nothing,
        }
    }

    /// Nothing is due: brings the wheels up to now, across an empty stretch, so that near jobs land on low levels.
    fn catch_up_wheels(&mut self, ticks: Ticks) {
        let wall = self.wall.advance(&mut self.jobs, ticks.wall, 0, |_, _| {});
        let mono = self.mono.advance(&mut self.jobs, ticks.mono, 0, |_, _| {});
        debug_assert!(wall.done && mono.done, "nothing was due");
    }

    /// Has the processor fetch the job that will be due first, by each of the clocks. Changes nothing.
    pub(crate) fn warm_next(&self) {
        for slot in [self.wall.first(), self.mono.first()].into_iter().flatten() {
            if let Some(job) = self.jobs.at(slot) {
                job.prefetch_beside();
            }
        }
    }

    /// When [`advance`](Self::advance) next has something to do. O(1).
    #[inline]
    pub fn next_wake(&self) -> Wake {
        if !self.batch.is_empty() {
            return Wake { mono: 0, ..Wake::default() };
        }
        let (tick_us, mut wake) = (self.config.tick_us, Wake::default());
        if let Some(tick) = self.wall.next_deadline() {
            // What lies in the wheel's present tick is due whatever the wall clock says now.
            let is_past = tick <= self.wall.now();
            wake.wall = if is_past { i64::MIN } else { Timestamp::from_ticks(tick, tick_us).as_micros() };
        }
        if let Some(tick) = self.mono.next_deadline() {
            wake.mono = tick.saturating_mul(tick_us);
        }
        if !self.held.is_empty() || self.overdue.is_some() {
            self.wake_for_rare(&mut wake);
        }
        wake
    }

    #[cold]
    fn wake_for_rare(&self, wake: &mut Wake) {
        if let Some((&(due, _), _)) = self.held.first_key_value() {
            wake.wall = wake.wall.min(due.tick_start(self.config.tick_us).as_micros());
        }
        if let Some(next) = self.overdue.as_ref().and_then(|overdue| overdue.next_release()) {
            wake.mono = wake.mono.min(next.as_micros());
        }
    }

    /// How many ticks ago the earliest source had something to do; `None` when nothing is due.
    pub(super) fn oldest_age(&self, ticks: Ticks, now: Now) -> Option<u64> {
        let wall = self
            .wall
            .next_deadline()
            .filter(|&tick| tick <= ticks.wall.max(self.wall.now()))
            .map(|tick| ticks.wall.saturating_sub(tick));
        let mono = self.mono.next_deadline().filter(|&tick| tick <= ticks.mono).map(|tick| ticks.mono - tick);
        // Held jobs keep to the ticks as well: those of one tick must come in order.
        let held = self
            .held
            .first_key_value()
            .map(|(&(due, _), _)| (due, due.ticks_ceil(self.config.tick_us)))
            .filter(|&(due, tick)| due <= now.wall && tick <= ticks.wall)
            .map(|(_, tick)| ticks.wall - tick);
        // `None` is less than any age.
        wall.max(mono).max(held)
    }

    /// Takes everything of the tick `age` ticks ago off its source. All dues of a tick are told by the clocks as they stood
    /// at its first slice, `since`, so that those of one clock compare the same in every slice. Returns whether it got to the end.
    fn collect(&mut self, age: u64, ticks: Ticks, now: Now, since: Now, left: &mut usize) -> bool {
        let Partition { jobs, wall, mono, batch, held, .. } = self;
        batch.wall_tick = ticks.wall.saturating_sub(age);
        batch.mono_tick = ticks.mono.saturating_sub(age);
        let mut gather = |jobs: &mut JobTable, slot: u32| {
            let Some(mut job) = jobs.at_mut(slot) else { return };
            job.set_state(State::Collected);
            let due = job.due().as_told(since);
            batch.has_wall |= job.due().base() == TimeBase::Wall;
            batch.classes.add(job.queue().class());
            batch.gather(Entry::new(slot, &job, due));
        };
        let progress = wall.advance(jobs, ticks.wall.saturating_sub(age), *left, &mut gather);
        *left -= progress.fired + progress.moved;
        if !progress.done {
            return false;
        }
        let progress = mono.advance(jobs, ticks.mono.saturating_sub(age), *left, &mut gather);
        *left -= progress.fired + progress.moved;
        if !progress.done {
            return false;
        }
        let horizon =
            Timestamp::from_ticks(ticks.wall.saturating_sub(age), self.config.tick_us).min(now.wall);
        while let Some(first) = held.first_entry()
            && first.key().0 <= horizon
        {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            gather(jobs, first.remove());
        }
        true
    }

    /// Moves the collected tick to the ready lists, as far as `up_to` and the budget go. Returns whether it got to the end.
    #[inline(always)]
    fn release(&mut self, up_to: Priority, left: &mut usize) -> bool {
        let (wall_tick, mono_tick) = (self.batch.wall_tick, self.batch.mono_tick);
        while !self.batch.is_empty() {
            if *left == 0 {
                return false;
            }
            let Some(entry) = self.batch.take_first(up_to) else { return false };
            *left -= 1;
            if let Some(slot) = self.batch.ahead(JOB_AHEAD) {
                self.jobs.prefetch(slot);
            }
            let collected = self.jobs.at(entry.slot).filter(|job| entry.is_of(job));
            let Some((queue, base)) = collected.map(|job| (job.queue(), job.due().base())) else { continue };
            let tick = if base == TimeBase::Wall { wall_tick } else { mono_tick };
            self.come_in_time(entry.slot, queue, base, tick);
        }
        true
    }

    /// The job in `slot`, which is nowhere, comes due in `tick` of the clock of its base.
    #[inline]
    pub(super) fn come_in_time(&mut self, slot: u32, queue: QueueId, base: TimeBase, tick: u64) {
        let Some(ready) = self.ready_queue_mut(queue) else { return };
        let tick = ready.no_earlier(tick, base);
        self.make_ready(slot, queue, Came::InTime, tick);
    }

    /// Appends the job in `slot`, which is nowhere and came due in `tick`, to the ready list of its queue.
    pub(super) fn make_ready(&mut self, slot: u32, queue: QueueId, came: Came, tick: u64) {
        if let Some(Some(ready)) = self.queues.get_mut(usize::from(queue.0)) {
            ready.push(&mut self.jobs, slot, came, tick);
        }
        self.touch(queue);
    }
}
