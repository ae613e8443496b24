//! The one place where jobs change: a record, applied by a call or by replay, and what it does to the table and to the
//! places where jobs wait.

use super::job::{JobDue, State};
use super::table::NewJob;
use super::{
    End, JobId, JobSpec, NowSource, Partition, QueueId, Record, RecordedDue, TimeBase, Timestamp, Version,
};
use crate::slab::Index;
use crate::wheel::Timers;

/// The job that a new one takes the place of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    None,
    /// It is pending, and goes.
    Replaced(Index),
    /// It runs, and recurs no more.
    Detached(Index),
}

impl Partition {
    /// Keeps a record of what was just done, for the log.
    // Inlined, with the record made in place: moving one takes as long as some of the changes.
    #[inline(always)]
    pub(super) fn note(&mut self, record: impl FnOnce() -> Record) {
        if self.config.is_logged {
            self.records.push(record());
        }
    }

    /// [Applies](Self::apply) `record`, and keeps it for the log.
    pub(super) fn commit(&mut self, record: Record, index: Index, now: impl NowSource) {
        self.apply(&record, index, now);
        self.note(|| record);
    }

    /// The one place where jobs come from, for calls and for replay: the job of a record, in place of the one `before`.
    /// `queue` is the number that this process has for its queue. Returns where it lies; `None` if there is no slot left.
    #[inline]
    pub(super) fn take<D>(
        &mut self,
        id: JobId,
        spec: &JobSpec<D>,
        due: RecordedDue,
        queue: QueueId,
        before: Before,
        now: impl NowSource,
    ) -> Option<Index> {
        match before {
            Before::None => {}
            Before::Replaced(index) => self.take_back(index),
            Before::Detached(index) => self.detach(index),
        }
        self.counts.scheduled += 1;
        self.add(id, spec, due, queue, now)
    }

    /// A record about the job at `index`, by replay. Each kind is one of the changes below, and calls make the same.
    pub(super) fn apply(&mut self, record: &Record, index: Index, now: impl NowSource) {
        match *record {
            Record::Scheduled(_) => debug_assert!(false, "a job that is there is not taken again"),
            Record::PauseSet(_) => debug_assert!(false, "it is about no job"),
            Record::Rescheduled { version, due, .. } => self.change_due(index, version, due, now),
            Record::Cancelled { .. } => self.take_back(index),
            // One that names a queue comes with its number: see `Replay::change`.
            Record::Edited { version, ref edit, .. } => {
                let _has_room = self.change_parts(index, version, edit, None, now);
            }
            Record::Paused { at, version, .. } => self.lay_aside(index, at, version),
            Record::Resumed { version, .. } => self.take_up(index, version, now),
            Record::Skipped { .. } => {
                self.remove(index);
                self.counts.skipped += 1;
            }
            Record::Started { at, attempt, .. } | Record::StartedAs { at, attempt, .. } => {
                self.hand_out(index, at, attempt);
            }
            Record::Recurred { at, version, end, ref fault, due, occurrence, passed, .. } => {
                self.ran(index, at, end, fault.as_ref());
                self.go_on(index, version, due, occurrence, passed, now);
            }
            Record::PassedOver { version, due, occurrence, passed, .. } => {
                self.go_on(index, version, due, occurrence, Some(passed), now);
            }
            Record::Interrupted { .. } => {
                self.unplace(index);
                self.place_again(index, now);
            }
            Record::Finished { at, end, .. } => self.end(index, at, end),
            Record::Retried { at, version, due, ref fault, is_counted, .. } => {
                self.remember(index, at, fault.as_ref(), is_counted);
                self.unplace(index);
                if let Some(mut job) = self.jobs.get_mut(index) {
                    job.set_version(version);
                }
                self.set_due_and_place(index, due, now);
                self.counts.retried += 1;
            }
            Record::Died { at, version, reason, ref fault, .. } => {
                self.bury(index, at, version, reason, fault.as_ref());
            }
            Record::Revived { version, due, .. } => self.raise(index, version, due, now),
            Record::Purged { .. } => self.unbury(index),
            Record::Stopped { .. } => self.stop(index),
        }
    }

    /// The change of [`Record::Rescheduled`].
    #[inline]
    pub(super) fn change_due(
        &mut self,
        index: Index,
        version: Version,
        due: RecordedDue,
        now: impl NowSource,
    ) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_version(version);
        self.move_to(index, due, now);
        self.counts.rescheduled += 1;
    }

    /// The change of [`Record::Cancelled`].
    #[inline]
    pub(super) fn take_back(&mut self, index: Index) {
        self.remove(index);
        self.counts.cancelled += 1;
    }

    /// The change of [`Record::Started`].
    #[inline]
    pub(super) fn hand_out(&mut self, index: Index, at: Timestamp, attempt: u16) {
        self.unplace(index);
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_state(State::Running(at));
        job.set_attempt(attempt);
        self.running += 1;
        self.counts.started += 1;
    }

    /// The change of [`Record::Finished`].
    #[inline]
    pub(super) fn end(&mut self, index: Index, at: Timestamp, end: End) {
        self.entomb(index, at, end);
        if end == End::Done {
            self.counts.succeeded += 1;
        } else {
            self.counts.failed += 1;
        }
    }

    #[inline]
    pub(super) fn add<D>(
        &mut self,
        id: JobId,
        spec: &JobSpec<D>,
        recorded: RecordedDue,
        queue: QueueId,
        mut now: impl NowSource,
    ) -> Option<Index> {
        self.next_sequence = self.next_sequence.max(id.sequence() + 1);
        let JobSpec { key, queue: name, payload, options, .. } = spec;
        self.know_queue(queue, name);
        let (due, wall) = (resolve(recorded, &mut now), recorded.wall);
        let state = State::Collected;
        let index = self.jobs.insert(&NewJob { id, key, payload, due, wall, state, queue, options })?;
        self.priorities.add(options.priority());
        if options.rare().is_none() {
            self.place(index, now);
        } else {
            self.place_again(index, now);
        }
        Some(index)
    }

    /// Takes a job out of the table, wherever it stands.
    #[inline]
    fn remove(&mut self, index: Index) {
        self.unplace(index);
        if let Some(job) = self.jobs.get(index) {
            self.priorities.remove(job.priority());
        }
        self.jobs.remove(index);
    }

    /// Puts a job, which is nowhere, where its due time belongs.
    #[inline]
    pub(super) fn place(&mut self, index: Index, now: impl NowSource) {
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        let due = job.due();
        match tick_on_wheel(due, &self.wall, self.config.tick_us, now) {
            Some(tick) => {
                job.set_state(State::Waiting);
                let (wheel, jobs) = self.wheel(due.base());
                wheel.insert(jobs, index.slot, tick);
            }
            None => self.hold(index, due),
        }
    }

    /// As [`place`](Self::place), for one that may have more to it: a paused job has no place.
    pub(super) fn place_again(&mut self, index: Index, now: impl NowSource) {
        let is_paused = self.jobs.get(index).is_some_and(|job| job.is_paused());
        if !is_paused {
            return self.place(index, now);
        }
        if let Some(mut job) = self.jobs.get_mut(index) {
            job.set_state(State::Paused);
        }
    }

    /// Keeps a job for which the wheel is too early: see [`held`](Partition::held).
    #[cold]
    fn hold(&mut self, index: Index, due: JobDue) {
        let JobDue::Wall(wall) = due else { return debug_assert!(false, "only the wall clock is set back") };
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        job.set_state(State::Held);
        let id = job.id();
        self.held.insert((wall, id), index.slot);
    }

    /// Gives a pending job another due time, and the place that belongs to it.
    #[inline]
    fn move_to(&mut self, index: Index, recorded: RecordedDue, mut now: impl NowSource) {
        let (due, wall) = (resolve(recorded, &mut now), recorded.wall);
        let Some(mut job) = self.jobs.get_mut(index) else { return };
        let old = job.due();
        // The common case, and the cheapest: from one slot of its wheel to another.
        if job.state() == State::Waiting
            && old.base() == due.base()
            && let Some(tick) = tick_on_wheel(due, &self.wall, self.config.tick_us, &mut now)
        {
            job.set_due(due, wall);
            let old = old.tick(self.config.tick_us);
            let (wheel, jobs) = self.wheel(due.base());
            wheel.relink(jobs, index.slot, old, tick);
            return;
        }
        self.unplace(index);
        self.set_due_and_place(index, recorded, now);
    }

    /// Gives a job, which is nowhere, a due time, and the place that belongs to it.
    pub(super) fn set_due_and_place(&mut self, index: Index, recorded: RecordedDue, mut now: impl NowSource) {
        let (due, wall) = (resolve(recorded, &mut now), recorded.wall);
        if let Some(mut job) = self.jobs.get_mut(index) {
            job.set_due(due, wall);
        }
        self.place_again(index, now);
    }

    #[inline]
    fn wheel(&mut self, base: TimeBase) -> (&mut Timers, &mut super::JobTable) {
        match base {
            TimeBase::Wall => (&mut self.wall, &mut self.jobs),
            TimeBase::Mono => (&mut self.mono, &mut self.jobs),
        }
    }

    /// Takes a job out of the place that its state names, in O(1) ([`State::Held`]: O(log n)).
    #[inline]
    pub(super) fn unplace(&mut self, index: Index) {
        let Some(job) = self.jobs.get(index) else { return };
        let (state, due) = (job.state(), job.due());
        match state {
            State::Waiting => {
                let tick = due.tick(self.config.tick_us);
                let (wheel, jobs) = self.wheel(due.base());
                wheel.remove(jobs, index.slot, tick);
            }
            State::Held => {
                let JobDue::Wall(wall) = due else { return };
                let held = (wall, job.id());
                self.held.remove(&held);
            }
            State::Overdue => self.leave_overdue(),
            State::Ready(place) => {
                let queue = job.queue();
                if let Some(Some(ready)) = self.queues.get_mut(usize::from(queue.0)) {
                    ready.remove(&mut self.jobs, index.slot, place);
                }
                self.touch(queue);
            }
            State::Running(_) => self.running -= 1,
            State::Dead(at) => self.leave_dead(index, at),
            // The batch passes over an entry whose job has gone or is no longer Collected.
            State::Collected | State::Paused | State::Fired(..) => {}
        }
    }
}

/// Reads a recorded due time against the clock that the job follows.
#[inline]
fn resolve(recorded: RecordedDue, mut now: impl NowSource) -> JobDue {
    match recorded.base {
        TimeBase::Wall => JobDue::Wall(recorded.wall),
        TimeBase::Mono => JobDue::Mono(now.now().mono_at(recorded.wall)),
    }
}

/// The tick for which a due time goes on the wheel of its base. `None` if it has to be held: the wheel would fire it
/// at once, having been there before the wall clock was set back.
#[inline]
fn tick_on_wheel(due: JobDue, wall: &Timers, tick_us: u64, mut now: impl NowSource) -> Option<u64> {
    let tick = due.tick(tick_us);
    match due {
        JobDue::Mono(_) => Some(tick),
        // Ahead of the wheel it waits there, whatever the clock shows.
        JobDue::Wall(_) if tick > wall.now() => Some(tick),
        JobDue::Wall(_) => {
            let now = now.now();
            let is_due = tick <= now.wall.ticks_floor(tick_us) && due.is_reached(now);
            is_due.then_some(tick)
        }
    }
}
