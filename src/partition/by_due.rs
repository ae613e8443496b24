//! Jobs that wait for their due, the earliest first, read in slices.
//!
//! Nothing is kept in order for it. The slots of a wheel follow each other in time, so the earliest jobs are gathered slot by slot, and
//! sorted within one. Readers pay for that, and a job that nobody reads does not.
//!
//! # Rules
//! - A [`DueWalk`] is of one clock. The order is that of [`Mark`]s: by due, then by id.
//! - A slice looks at a bounded number of jobs. Between two of them the partition changes: a walk through a slot goes on if the job at
//!   which it stopped is as it was, and begins again otherwise. If that happens too often, the whole table is read instead, which
//!   nothing disturbs.
//! - A job that does not change is found if it is among the first, and is found once. One that changes meanwhile is found as it was, as
//!   it is, or not at all.
//! - Where a tag is wanted, only the jobs that have it are looked at.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::job::{JobDue, State};
use super::list::Wanted;
use super::table::{Job, Walk};
use super::{JobId, MonoTime, Now, Partition, TimeBase, Timestamp, Version};
use crate::job::JobView;
use crate::slab::Index;
use crate::wheel::{Span, Timers};

/// How often a walk begins again before the table is read instead.
const RESTARTS_MAX: usize = 8;

/// How far the clocks may go apart while a page is read.
const SLACK_US: i64 = 1_000_000;

/// Where a job stands among those of its clock: microseconds of its due, then its id.
pub(crate) type Mark = (i64, u64);

/// A job that waits, as it was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Waits {
    pub(crate) mark: Mark,
    index: Index,
}

/// The first jobs of one clock after a mark, as far as they have been gathered.
#[derive(Debug)]
pub(crate) struct DueWalk {
    base: TimeBase,
    after: Mark,
    /// Nothing that is due then or later matches.
    until_us: i64,
    jobs_max: usize,
    looks_left: usize,
    step: Step,
    restarts: usize,
    /// Of slots that have been read.
    found: Vec<Waits>,
    /// Of those that a wheel has let go too early.
    held: Vec<Waits>,
    /// The first of the slot that is being read.
    here: BTreeSet<Waits>,
    reached: Option<Mark>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Among the held jobs, after this one.
    Held(Mark),
    /// At the slot that reaches this tick.
    Slot(u64),
    /// Within a slot, entered for a tick.
    Within {
        from: u64,
        span: Span,
        next: Next,
    },
    /// Through the table, from this slot of it on.
    Table(u32),
    End,
}

/// The job to go on with, as it was.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Next {
    index: Index,
    due: JobDue,
    version: Version,
    attempt: u16,
}

impl DueWalk {
    /// No more than `jobs_max` that match, and are after the mark. It ends at a slot's end, with fewer, when `looks_max` jobs were
    /// looked at.
    pub(crate) fn new(
        base: TimeBase,
        after: Mark,
        jobs_max: usize,
        looks_max: usize,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> Self {
        let until_us = wanted.due_to().map_or(i64::MAX, |to| match base {
            TimeBase::Wall => to.as_micros(),
            // The clocks may go apart while it walks.
            TimeBase::Mono => mark_us(now.mono_at(to)).saturating_add(SLACK_US),
        });
        let step = match wanted.tag() {
            Some(_) => Step::Table(0),
            None => Step::Held(after),
        };
        DueWalk {
            base,
            after,
            until_us,
            jobs_max: jobs_max.max(1),
            looks_left: looks_max.max(1),
            step,
            restarts: 0,
            found: Vec::new(),
            held: Vec::new(),
            here: BTreeSet::new(),
            reached: None,
        }
    }

    /// What was found, in order, and up to where that is all there is; `None` if it is all. To be called at the end.
    pub(crate) fn into_found(mut self) -> (Vec<Waits>, Option<Mark>) {
        if self.held.len() >= self.jobs_max {
            self.reaches(self.held.last().map(|waits| waits.mark));
        }
        let DueWalk { mut found, held, jobs_max, mut reached, .. } = self;
        found.extend(held);
        found.sort_unstable();
        found.dedup();
        found.retain(|waits| reached.is_none_or(|reached| waits.mark <= reached));
        if found.len() > jobs_max {
            found.truncate(jobs_max);
            reached = found.last().map(|waits| waits.mark);
        }
        (found, reached)
    }

    /// All has been found up to there, and not beyond.
    fn reaches(&mut self, mark: Option<Mark>) {
        self.reached = self.reached.into_iter().chain(mark).min();
    }

    /// Takes a job if it is among the first. One that was moved to the end of its list comes again.
    fn take(&mut self, waits: Waits) {
        self.here.insert(waits);
        if self.here.len() > self.jobs_max {
            self.here.pop_last();
        }
    }

    /// Of the slot, or of the table, the first have been found, and all up to the last of them if they are as many as are wanted.
    fn take_here(&mut self) {
        let last = self.here.last().map(|waits| waits.mark);
        if self.here.len() >= self.jobs_max {
            self.reaches(last);
        }
        self.found.extend(std::mem::take(&mut self.here));
    }

    /// What has been read of the slot is void.
    fn again(&mut self, from: u64) {
        self.here.clear();
        self.restarts += 1;
        self.step = if self.restarts <= RESTARTS_MAX {
            Step::Slot(from)
        } else {
            (self.found, self.held) = (Vec::new(), Vec::new());
            Step::Table(0)
        };
    }

    /// All of the slot has been read.
    fn slot_ends(&mut self, span: Span, tick_us: u64) {
        self.take_here();
        let last_us = i64::try_from(span.last().saturating_mul(tick_us)).unwrap_or(i64::MAX);
        self.step = match span.last().checked_add(1) {
            Some(_) if last_us >= self.until_us => Step::End,
            Some(next) if self.found.len() < self.jobs_max && self.looks_left > 0 => Step::Slot(next),
            Some(_) => {
                self.reaches(Some((last_us, u64::MAX)));
                Step::End
            }
            None => Step::End,
        };
    }
}

fn mark_us(mono: MonoTime) -> i64 {
    i64::try_from(mono.as_micros()).unwrap_or(i64::MAX)
}

impl Partition {
    /// Looks at no more than `looks` jobs. Returns whether there is more to be looked at.
    pub(crate) fn walk_by_due(
        &self,
        walk: &mut DueWalk,
        looks: usize,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> bool {
        let mut left = looks.max(1);
        while left > 0 {
            match walk.step {
                Step::Held(after) => self.walk_held(walk, after, &mut left, wanted, now),
                Step::Slot(from) => self.enter_slot(walk, from, &mut left),
                Step::Within { from, span, next } => {
                    if self.timers(walk.base).is_whole(span) && self.is_there(next) {
                        self.walk_slot(walk, from, span, next.index.slot, &mut left, wanted, now);
                    } else {
                        walk.again(from);
                    }
                }
                Step::Table(from) => self.walk_table(walk, from, &mut left, wanted, now),
                Step::End => return false,
            }
        }
        !matches!(walk.step, Step::End)
    }

    /// A job that was found, if it is as it was; `None` if it has moved or gone.
    pub(crate) fn found(&self, waits: Waits, now: Now) -> Option<JobView> {
        let job = self.jobs.get(waits.index).filter(|job| job.waits() && job.mark() == waits.mark)?;
        self.view(self.handle(waits.index), job, now)
    }

    fn timers(&self, base: TimeBase) -> &Timers {
        match base {
            TimeBase::Wall => &self.wall,
            TimeBase::Mono => &self.mono,
        }
    }

    fn walk_held(&self, walk: &mut DueWalk, after: Mark, left: &mut usize, wanted: &Wanted<'_>, now: Now) {
        // They follow the wall clock, by which the wheel was too early.
        if walk.base == TimeBase::Wall {
            let (due_us, id) = after;
            let after = (Timestamp::from_micros(due_us), JobId::from_u64(id));
            for (&(due, id), &slot) in self.held.range((Bound::Excluded(after), Bound::Unbounded)) {
                if *left == 0 || walk.held.len() >= walk.jobs_max {
                    break;
                }
                *left -= 1;
                walk.step = Step::Held((due.as_micros(), id.as_u64()));
                if let Some(found) = self.match_at(slot, walk, wanted, now) {
                    walk.held.push(found);
                }
            }
            if *left == 0 {
                return;
            }
        }
        let tick_us = self.config.tick_us;
        // After the last id of a due comes the next due.
        let (after_us, id) = walk.after;
        let due_us = after_us.saturating_add(i64::from(id == u64::MAX));
        walk.step = Step::Slot(u64::try_from(due_us).unwrap_or(0).div_ceil(tick_us));
    }

    fn enter_slot(&self, walk: &mut DueWalk, from: u64, left: &mut usize) {
        *left -= 1;
        match self.timers(walk.base).span(from) {
            Ok(None) => walk.step = Step::End,
            Ok(Some((span, head))) => match self.next_at(head) {
                Some(next) => walk.step = Step::Within { from, span, next },
                None => walk.again(from),
            },
            // Its end is near, if others get the lock.
            Err(_) => {
                walk.again(from);
                *left = 0;
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one walk")]
    fn walk_slot(
        &self,
        walk: &mut DueWalk,
        from: u64,
        span: Span,
        first: u32,
        left: &mut usize,
        wanted: &Wanted<'_>,
        now: Now,
    ) {
        let mut slot = first;
        while let Some(job) = self.jobs.at(slot) {
            let next = job.next_on_wheel();
            if let Some(next) = next {
                self.jobs.prefetch(next);
            }
            *left -= 1;
            walk.looks_left = walk.looks_left.saturating_sub(1);
            if let Some(found) = self.match_at(slot, walk, wanted, now) {
                walk.take(found);
            }
            let Some(next) = next else { return walk.slot_ends(span, self.config.tick_us) };
            if *left == 0 {
                match self.next_at(next) {
                    Some(next) => walk.step = Step::Within { from, span, next },
                    None => walk.again(from),
                }
                return;
            }
            slot = next;
        }
        walk.again(from);
    }

    fn walk_table(&self, walk: &mut DueWalk, from: u32, left: &mut usize, wanted: &Wanted<'_>, now: Now) {
        let looks = std::mem::take(left);
        let next = match wanted.tag() {
            Some(tag) => self.read_from(self.jobs.tagged(tag, from, looks), walk, wanted, now),
            None => self.read_from(self.jobs.scan(from, looks), walk, wanted, now),
        };
        walk.step = match next {
            Some(slot) => Step::Table(slot),
            None => {
                walk.take_here();
                Step::End
            }
        };
    }

    fn read_from<'a>(
        &'a self,
        mut jobs: impl Walk<'a>,
        walk: &mut DueWalk,
        wanted: &Wanted<'_>,
        now: Now,
    ) -> Option<u32> {
        for (index, job) in jobs.by_ref() {
            if job.waits()
                && job.due().base() == walk.base
                && let Some(found) = self.match_at(index.slot, walk, wanted, now)
            {
                walk.take(found);
            }
        }
        jobs.cursor()
    }

    fn match_at(&self, slot: u32, walk: &DueWalk, wanted: &Wanted<'_>, now: Now) -> Option<Waits> {
        let job = self.jobs.at(slot)?;
        let mark = job.mark();
        let is_wanted = mark > walk.after && wanted.matches(job, now);
        let index = is_wanted.then(|| self.jobs.index_of(slot)).flatten()?;
        Some(Waits { mark, index })
    }

    fn next_at(&self, slot: u32) -> Option<Next> {
        let (index, job) = (self.jobs.index_of(slot)?, self.jobs.at(slot)?);
        Some(Next { index, due: job.due(), version: job.version(), attempt: job.attempt() })
    }

    /// Whether the job has not moved in its list.
    fn is_there(&self, next: Next) -> bool {
        self.jobs.get(next.index).is_some_and(|job| job.state() == State::Waiting)
            && self.next_at(next.index.slot) == Some(next)
    }
}

impl Job<'_> {
    /// Whether it waits for its due. One that a restart found overdue does not.
    fn waits(&self) -> bool {
        matches!(self.state(), State::Waiting | State::Held)
    }

    fn mark(&self) -> Mark {
        let due_us = match self.due() {
            JobDue::Wall(wall) => wall.as_micros(),
            JobDue::Mono(mono) => mark_us(mono),
        };
        (due_us, self.id().as_u64())
    }
}
