//! From ready to fired: a queue takes a job, and says how its handler ended.

use super::job::State;
use super::{
    DeathReason, Delivery, End, Handle, JobId, JobOptions, Key, MonoTime, Now, Partition, Payload, QueueId,
    Record, Timestamp, Version,
};

use crate::job::History;
use crate::slab::Index;

/// How many jobs one call may find to be early, and put back, before it gives up for now.
const EARLY_MAX: usize = 64;

/// How far ahead of a start a job is fetched, and how far its key and payload, once the job itself is there.
const JOB_AHEAD: usize = 12;
const PARTS_AHEAD: usize = 6;

/// A job that has been handed to its handler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// Its handle.
    pub handle: Handle,
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// What its handler gets.
    pub payload: Payload,
    /// When it was due; for a job scheduled after a delay, as the wall clock stands now.
    pub due: Timestamp,
    /// When it was started: never before its due time.
    pub fired_at: Timestamp,
    /// The same instant by the monotonic clock.
    pub began: MonoTime,
    /// How long after its due time it was started, in microseconds, by the clock that it follows.
    pub lateness_us: u64,
    /// 1 for a new job, and 1 more for every change.
    pub version: Version,
    /// How often its handler has begun, this time included.
    pub attempt: u16,
    /// Which start in its partition this is, counted since that was made or loaded: each has a higher number than all before it.
    pub turn: u64,
    /// What else was said of it.
    pub options: JobOptions,
    /// Whether the last restart found it overdue: it may be what ended the process before.
    pub was_overdue: bool,
}

impl Started {
    /// When its handler may begin.
    #[inline]
    pub(crate) fn begin(&self) -> Begin {
        match self.options.delivery() {
            Delivery::AtMostOnce => Begin::OnceDurable,
            Delivery::AtLeastOnce if self.was_overdue => Begin::OnceSent,
            Delivery::AtLeastOnce => Begin::AtOnce,
        }
    }
}

/// When the handler of a job that was started may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    AtOnce,
    /// When the store has been sent the record of its start, if it takes it soon.
    OnceSent,
    /// When the record of its start is durable.
    OnceDurable,
}

impl Partition {
    /// Hands out the first ready job of `queue`: from here on it can no longer be cancelled. `now` must have been read
    /// while the caller held the partition.
    ///
    /// `None` when there is none. It may also be `None` while [`ready`](Self::ready) is not zero: when the wall clock
    /// was set back, jobs that were due no longer are, and a call puts back only so many of them.
    pub fn start(&mut self, queue: QueueId, now: Now) -> Option<Started> {
        for _ in 0..EARLY_MAX {
            let slot = self.ready_queue(queue)?.first()?.slot;
            let index = self.jobs.index_of(slot)?;
            let job = self.jobs.get(index)?;
            if !job.due().is_reached(now) {
                self.unplace(index);
                self.place(index, now);
                continue;
            }
            let mut recurs = false;
            if let Some(rare) = job.rare() {
                recurs = rare.recurrence().is_some();
                if self.has_expired(index, now) {
                    self.die(self.handle(index), DeathReason::Expired, None, now);
                    continue;
                }
            }
            let (id, due, version) = (job.id(), job.due(), job.version());
            let was_overdue = self.restart.was_overdue(id, due);
            let attempt = job.attempt().saturating_add(1);
            self.hand_out(index, now.wall, attempt);
            let at = now.wall;
            self.note(|| match recurs {
                false => Record::Started { id, at, attempt },
                true => Record::StartedAs { id, at, attempt, version },
            });
            self.warm_ahead(queue);
            let job = self.jobs.get(index)?;
            let lateness_us = due.lateness_us(now);
            return Some(Started {
                handle: self.handle(index),
                id,
                key: Key::known(job.key()),
                payload: job.payload().into(),
                due: due.as_told(now),
                fired_at: now.wall,
                began: now.mono,
                lateness_us,
                version: job.version(),
                attempt: job.attempt(),
                turn: self.counts.started,
                options: job.options(),
                was_overdue,
            });
        }
        None
    }

    /// Whether it is too late to begin with a job.
    #[cold]
    fn has_expired(&self, index: Index, now: Now) -> bool {
        let Some(job) = self.jobs.get(index) else { return false };
        let expires = job.rare().and_then(|rare| rare.expires());
        History::deadline(job.history(), expires).is_some_and(|deadline| now.wall > deadline)
    }

    /// Has the processor fetch what the starts after this one will need: in a burst the jobs are in nobody's cache, and waiting
    /// for their memory was a third of a worker's time. Changes nothing.
    #[inline]
    fn warm_ahead(&self, queue: QueueId) {
        let Some(ready) = self.ready_queue(queue) else { return };
        if let Some(slot) = ready.ahead(JOB_AHEAD) {
            self.jobs.prefetch(slot);
        }
        if let Some(job) = ready.ahead(PARTS_AHEAD).and_then(|slot| self.jobs.at(slot)) {
            job.prefetch_beside();
        }
    }

    /// Number and key of the job that `handle` names.
    pub fn names(&self, handle: Handle) -> Option<(JobId, Key)> {
        self.job(handle).map(|job| (job.id(), Key::known(job.key())))
    }

    /// Ends the job that [`start`](Self::start) handed out. `false` when it is not running: the call changed nothing.
    pub fn finish(&mut self, handle: Handle, end: End, now: Now) -> bool {
        let running = self.job(handle).filter(|job| matches!(job.state(), State::Running(_)));
        let Some(id) = running.map(|job| job.id()) else { return false };
        let at = self.end_at(now);
        self.end(handle.index, at, end);
        self.note(|| Record::Finished { id, at, end });
        true
    }
}
