//! What the contract says of each job: the simplest thing that can be said.

use std::collections::{BTreeMap, VecDeque};

use crate::partition::{
    Due, End, Handle, JobId, JobOptions, Now, OnConflict, QueueId, Refusal, TimeBase, Timestamp, Version,
};

pub(super) const TICK_US: i128 = 1_000;
pub(super) const HORIZON_US: u64 = 100 * 86_400 * 1_000_000;
pub(super) const PAYLOAD_BYTES_MAX: usize = 8;
/// No more than an end may forget, so that nothing grows too old faster than it is forgotten.
pub(super) const FIRED_MAX: [usize; 5] = [5, 0, 1, 2, 16];
pub(super) const FIRED_FOR_US: u64 = 3_000_000;

/// A due time, read against both clocks where the job was scheduled.
#[derive(Clone, Copy, Debug)]
pub(super) struct MDue {
    pub(super) base: TimeBase,
    pub(super) us: i128,
    /// What is written down: an instant of the wall clock.
    recorded: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Pending,
    Running(Timestamp),
    Fired(Timestamp, End),
    Dead(Timestamp),
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct MJob {
    pub(super) handle: Handle,
    pub(super) id: JobId,
    pub(super) key: u8,
    pub(super) queue: QueueId,
    pub(super) options: JobOptions,
    pub(super) due: MDue,
    pub(super) version: Version,
    pub(super) attempt: u16,
    pub(super) life: Life,
    /// Whether nothing is to come after the attempt that runs.
    pub(super) is_stopped: bool,
    /// Since when it is paused.
    pub(super) paused: Option<Timestamp>,
    /// Not due when it was put in, nor at any `advance` since: so it becomes ready when its tick is pulled.
    pub(super) is_fresh: bool,
}

/// What a call of `schedule` must answer, but for the handle of a new job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expected {
    New,
    InPlaceOf(usize),
    Kept(usize),
    Updated(usize),
    Rejected(usize),
}

#[derive(Default)]
pub(super) struct Oracle {
    /// By the order in which they were taken.
    pub(super) jobs: Vec<MJob>,
    /// The newest job of each key.
    pub(super) by_key: BTreeMap<u8, usize>,
    /// Remembered fired jobs, each with when it ended.
    pub(super) fired: VecDeque<(usize, Timestamp)>,
    pub(super) fired_max: usize,
}

impl Oracle {
    /// Where the wall clock was set back, the wheel stands where it was before, and half a horizon from there is let pass too.
    pub(super) fn read_due(due: Due, now: Now, wheel: Timestamp) -> Result<MDue, Refusal> {
        let wall = i128::from(now.wall.as_micros());
        let (due, ahead) = match due {
            Due::At(at) => {
                let us = i128::from(at.as_micros());
                let by_wheel = us - i128::from(wheel.as_micros());
                let ahead = if by_wheel <= i128::from(HORIZON_US / 2) { 0 } else { us - wall };
                (MDue { base: TimeBase::Wall, us, recorded: at }, ahead)
            }
            Due::In(delay) => {
                let us = delay.as_nanos().div_ceil(1_000) as i128;
                let recorded = now.wall.saturating_add_micros(u64::try_from(us).unwrap_or(u64::MAX));
                (MDue { base: TimeBase::Mono, us: i128::from(now.mono.as_micros()) + us, recorded }, us)
            }
        };
        let horizon_s = HORIZON_US / 1_000_000;
        if ahead > i128::from(HORIZON_US) { Err(Refusal::PastHorizon { horizon_s }) } else { Ok(due) }
    }

    /// The due of a job whose next attempt would be past the horizon.
    pub(super) fn latest(now: Now) -> MDue {
        let recorded = now.wall.saturating_add_micros(HORIZON_US / 2);
        MDue { base: TimeBase::Wall, us: recorded.as_micros().into(), recorded }
    }

    pub(super) fn expect(&self, key: u8, on_conflict: OnConflict, due: MDue, now: Now) -> Expected {
        let is_later = |job: usize| self.jobs[job].due.told(now) > due.recorded;
        let is_earlier = |job: usize| self.jobs[job].due.told(now) < due.recorded;
        let current = self.by_key.get(&key).copied();
        match (current.filter(|&job| self.jobs[job].life == Life::Pending), on_conflict) {
            (None, _) => Expected::New,
            (Some(job), OnConflict::Replace | OnConflict::Update) => Expected::InPlaceOf(job),
            (Some(job), OnConflict::Keep) => Expected::Kept(job),
            (Some(job), OnConflict::Reject) => Expected::Rejected(job),
            (Some(job), OnConflict::KeepEarlier) if is_later(job) => Expected::InPlaceOf(job),
            (Some(job), OnConflict::KeepLater) if is_earlier(job) => Expected::InPlaceOf(job),
            (Some(job), OnConflict::KeepEarlier | OnConflict::KeepLater) => Expected::Kept(job),
            (Some(job), OnConflict::Payload) => Expected::Updated(job),
        }
    }

    /// The job that a handle given out by the partition names.
    pub(super) fn by_handle(&self, handle: Handle) -> Option<usize> {
        self.jobs.iter().rposition(|job| job.handle == handle)
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (usize, &MJob)> {
        self.jobs.iter().enumerate().filter(|(_, job)| job.life == Life::Pending)
    }

    /// Ends a job, and returns those that are forgotten for it.
    pub(super) fn end(&mut self, job: usize, began: Timestamp, end: End, now: Timestamp) -> Vec<usize> {
        self.jobs[job].life = Life::Fired(began, end);
        let newest = self.fired.back().map(|&(_, newest)| newest);
        let ended = newest.map_or(now, |newest| now.max(newest.saturating_add_micros(1)));
        self.fired.push_back((job, ended));
        let oldest = ended.saturating_sub_micros(FIRED_FOR_US);
        let mut forgotten = Vec::new();
        while let Some(&(job, ended)) = self.fired.front()
            && (self.fired.len() > self.fired_max || ended < oldest)
        {
            self.fired.pop_front();
            self.jobs[job].life = Life::Gone;
            forgotten.push(job);
        }
        forgotten
    }

    /// All that lasts is what was written down: a new process reads it against its own clocks.
    pub(super) fn begin_anew(&mut self, now: Now) {
        for job in &mut self.jobs {
            let recorded = i128::from(job.due.recorded.as_micros());
            job.due.us = match job.due.base {
                TimeBase::Wall => recorded,
                TimeBase::Mono => {
                    i128::from(now.mono.as_micros()) + recorded - i128::from(now.wall.as_micros())
                }
            };
            job.is_fresh = !job.due.is_tick_reached(now);
        }
    }

    /// What was due at an `advance` may be ready, collected or neither from then on.
    pub(super) fn was_pulled(&mut self, now: Now) {
        for job in &mut self.jobs {
            job.is_fresh &= !job.due.is_tick_reached(now);
        }
    }
}

impl MDue {
    fn clock(&self, now: Now) -> i128 {
        match self.base {
            TimeBase::Wall => now.wall.as_micros().into(),
            TimeBase::Mono => now.mono.as_micros().into(),
        }
    }

    /// Whether the job may start.
    pub(super) fn is_reached(&self, now: Now) -> bool {
        self.us <= self.clock(now)
    }

    /// Whether the job must become ready.
    pub(super) fn is_tick_reached(&self, now: Now) -> bool {
        self.tick_start() <= self.clock(now)
    }

    /// The end of the tick that the due time lies in, at which it fires. There are no ticks before the epoch.
    pub(super) fn tick_start(&self) -> i128 {
        if self.us <= 0 { self.us } else { (self.us + TICK_US - 1) / TICK_US * TICK_US }
    }

    /// There, the wall has no ticks by which its jobs could be compared with those of the other clock.
    pub(super) fn is_before_epoch(&self) -> bool {
        self.base == TimeBase::Wall && self.us <= 0
    }

    /// How many ticks ago the one was in which it fires.
    pub(super) fn ticks_ago(&self, now: Now) -> i128 {
        if self.is_before_epoch() {
            return self.clock(now).max(0) / TICK_US;
        }
        self.clock(now) / TICK_US - self.tick_start() / TICK_US
    }

    pub(super) fn told(&self, now: Now) -> Timestamp {
        let wall = self.us - self.clock(now) + i128::from(now.wall.as_micros());
        Timestamp::from_micros(wall.try_into().expect("the model stays within what can be named"))
    }

    pub(super) fn lateness_us(&self, now: Now) -> i128 {
        self.clock(now) - self.us
    }
}
