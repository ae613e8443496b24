//! The one place where jobs change: a record, applied by a call or by replay, and what it does to the table and to the
//! places where jobs wait.

use super::job::{JobDue, State};
use super::table::NewJob;
use super::{End, JobId, JobSpec, Now, Partition, QueueId, Record, RecordedDue, ScheduledRecord, TimeBase};
use crate::slab::Index;
use crate::wheel::Wheel;

impl Partition {
    /// Keeps the record of a new job for the log, and [takes](Self::take) it.
    pub(super) fn commit_new(
        &mut self,
        record: ScheduledRecord,
        queue: QueueId,
        replaces: Option<Index>,
        now: Now,
    ) -> Option<Index> {
        if self.config.is_logged {
            self.records.push(Record::Scheduled(record.clone()));
        }
        self.take(record, queue, replaces, now)
    }

    /// [Applies](Self::apply) `record`, and keeps it for the log.
    pub(super) fn commit(&mut self, record: Record, index: Index, now: Now) {
        self.apply(&record, index, now);
        if self.config.is_logged {
            self.records.push(record);
        }
    }

    /// The one place where jobs come from, for calls and for replay: the job of a record, in place of the one at `replaces`.
    /// `queue` is the number that this process has for its queue. Returns where it lies; `None` if there is no slot left.
    #[inline]
    pub(super) fn take(
        &mut self,
        record: ScheduledRecord,
        queue: QueueId,
        replaces: Option<Index>,
        now: Now,
    ) -> Option<Index> {
        if let Some(replaced) = replaces {
            self.remove(replaced);
            self.counts.cancelled += 1;
        }
        self.counts.scheduled += 1;
        self.add(record.id, record.spec, queue, now)
    }

    /// The one place where jobs change, for calls and for replay: a record about the job at `index`.
    pub(super) fn apply(&mut self, record: &Record, index: Index, now: Now) {
        match *record {
            Record::Scheduled(_) => debug_assert!(false, "a job that is there is not taken again"),
            Record::Rescheduled { version, due, .. } => {
                let Some(job) = self.jobs.get_mut(index) else { return };
                job.set_version(version);
                self.move_to(index, resolve(due, now), now);
                self.counts.rescheduled += 1;
            }
            Record::Cancelled { .. } => {
                self.remove(index);
                self.counts.cancelled += 1;
            }
            Record::Skipped { .. } => {
                self.remove(index);
                self.counts.skipped += 1;
            }
            Record::Started { at, attempt, .. } => {
                self.unplace(index);
                let Some(job) = self.jobs.get_mut(index) else { return };
                job.set_state(State::Running(at));
                job.set_attempt(attempt);
                self.running += 1;
                self.counts.started += 1;
            }
            Record::Interrupted { .. } => {
                self.unplace(index);
                self.place(index, now);
            }
            Record::Finished { at, end, .. } => {
                self.entomb(index, at, end);
                if end == End::Done {
                    self.counts.succeeded += 1;
                } else {
                    self.counts.failed += 1;
                }
            }
        }
    }

    #[inline]
    pub(super) fn add(&mut self, id: JobId, spec: JobSpec, queue: QueueId, now: Now) -> Option<Index> {
        self.next_sequence = self.next_sequence.max(id.sequence() + 1);
        let JobSpec { key, queue: name, payload, due, options } = spec;
        self.know_queue(queue, name);
        let (due, state) = (resolve(due, now), State::Collected);
        let priority = options.priority();
        let index = self.jobs.insert(NewJob { id, key, payload, due, state, queue, options })?;
        self.priorities.add(priority);
        self.place(index, now);
        Some(index)
    }

    /// Takes a job out of the table, wherever it stands.
    fn remove(&mut self, index: Index) {
        self.unplace(index);
        if let Some(job) = self.jobs.get(index) {
            self.priorities.remove(job.priority());
        }
        self.jobs.remove(index);
    }

    /// Puts a job, which is nowhere, where its due time belongs.
    pub(super) fn place(&mut self, index: Index, now: Now) {
        let Some(job) = self.jobs.get(index) else { return };
        let (due, id) = (job.due(), job.id());
        let state = match self.tick_on_wheel(due, now) {
            Some(tick) => State::Waiting(self.wheel(due.base).insert(tick, index.slot)),
            None => {
                self.held.insert((due.wall, id), index.slot);
                State::Held
            }
        };
        if let Some(job) = self.jobs.get_mut(index) {
            job.set_state(state);
        }
    }

    /// Gives a pending job another due time, and the place that belongs to it.
    fn move_to(&mut self, index: Index, due: JobDue, now: Now) {
        let Some(job) = self.jobs.get(index) else { return };
        // The common case, and the cheapest: from one slot of its wheel to another.
        if let State::Waiting(timer) = job.state()
            && job.due().base == due.base
            && let Some(tick) = self.tick_on_wheel(due, now)
        {
            let is_moved = self.wheel(due.base).reschedule(timer, tick);
            debug_assert!(is_moved, "a waiting job is on its wheel");
            if let Some(job) = self.jobs.get_mut(index) {
                job.set_due(due);
            }
            return;
        }
        self.unplace(index);
        if let Some(job) = self.jobs.get_mut(index) {
            job.set_due(due);
        }
        self.place(index, now);
    }

    /// The tick for which a due time goes on the wheel of its base. `None` if it has to be held: the wheel would fire it
    /// at once, having been there before the wall clock was set back.
    fn tick_on_wheel(&self, due: JobDue, now: Now) -> Option<u64> {
        let tick_us = self.config.tick_us;
        match due.base {
            TimeBase::Mono => Some(due.mono.as_micros().div_ceil(tick_us)),
            TimeBase::Wall => {
                let tick = due.wall.ticks_ceil(tick_us);
                let is_due = tick <= now.wall.ticks_floor(tick_us) && due.is_reached(now);
                (tick > self.wall.now() || is_due).then_some(tick)
            }
        }
    }

    fn wheel(&mut self, base: TimeBase) -> &mut Wheel<u32> {
        match base {
            TimeBase::Wall => &mut self.wall,
            TimeBase::Mono => &mut self.mono,
        }
    }

    /// Takes a job out of the place that its state names, in O(1) ([`State::Held`]: O(log n)).
    pub(super) fn unplace(&mut self, index: Index) {
        let Some(job) = self.jobs.get(index) else { return };
        let (state, base, queue) = (job.state(), job.due().base, job.queue());
        let held = (job.due().wall, job.id());
        match state {
            State::Waiting(timer) => {
                let cancelled = self.wheel(base).cancel(timer);
                debug_assert_eq!(cancelled, Some(index.slot), "a waiting job is on its wheel");
            }
            State::Held => {
                self.held.remove(&held);
            }
            State::Overdue => self.leave_overdue(),
            State::Ready(place) => {
                if let Some(Some(ready)) = self.queues.get_mut(usize::from(queue.0)) {
                    ready.remove(&mut self.jobs, index.slot, place);
                }
                self.touch(queue);
            }
            State::Running(_) => self.running -= 1,
            // The batch passes over an entry whose job has gone or is no longer Collected.
            State::Collected | State::Fired(..) => {}
        }
    }
}

/// Reads a recorded due time against both clocks.
fn resolve(due: RecordedDue, now: Now) -> JobDue {
    JobDue { wall: due.wall, mono: now.mono_at(due.wall), base: due.base }
}
