//! Restarts: the partition is made anew from what was written down, and what came due meanwhile is caught up with.

use std::num::NonZeroU32;

use super::input::Bytes;
use super::oracle::{Life, MJob};
use super::world::World;
use crate::partition::job::State;
use crate::partition::{CatchUp, Config, Delivery, End, Image, MonoTime, QueueId, Restored};

/// Where the monotonic clock of a new process stands: anywhere, but far enough from zero for what is long overdue.
const MONO_US: u64 = 3_600_000_000_000_000_000;

/// What a restart held to a pace.
pub(super) struct Caught {
    /// In the order in which they must go.
    jobs: Vec<usize>,
    per_second: u64,
    since: MonoTime,
    released: u64,
}

impl World {
    /// The process ends, and another begins, at another time and with another idea of it.
    pub(super) fn restart(&mut self, bytes: &mut Bytes<'_>) {
        if self.images.is_some() {
            return;
        }
        let (kind, rate, skip) = (bytes.byte(), u32::from(bytes.byte()), u64::from(bytes.byte()));
        self.move_clocks(bytes);
        self.now.mono = MonoTime::from_micros(MONO_US + u64::from(bytes.byte()) * 41);
        self.restarts += 1;
        self.config = Config { engine: self.restarts, ..self.config.clone() };
        self.scanning = None;

        let skip_after_us = move |queue: QueueId| match (queue.0, skip % 6) {
            (1, 0) => Some(0),
            (1, by @ 1..=3) => Some(skip * 10u64.pow(by as u32)),
            _ => None,
        };
        let per_second_max = if kind.is_multiple_of(4) { None } else { NonZeroU32::new(rate * rate) };
        let catch_up = CatchUp { per_second_max, skip_after_us: &skip_after_us, retry: &|_| None };
        let restored = self.read_back(kind % 3 > 0).finish(true, &catch_up, self.now);
        self.expect_restored(&restored, &skip_after_us, per_second_max);
        self.partition = restored.partition;
        self.records.extend(self.partition.drain_records());
        // All that the restart has decided is in its records.
        assert_eq!(self.read_back(false).image(), self.partition.image());
        for (index, job) in self.partition.jobs.iter() {
            self.oracle.jobs[job.id().sequence() as usize].handle = self.partition.handle(index);
        }
        for (key, handle) in restored.keys {
            assert_eq!(self.partition.key(handle), Some(key.as_str()));
        }
    }

    /// What a restart makes of the jobs.
    fn expect_restored(
        &mut self,
        restored: &Restored,
        skip_after_us: &dyn Fn(QueueId) -> Option<u64>,
        per_second_max: Option<NonZeroU32>,
    ) {
        let before = self.partition.image();
        self.oracle.begin_anew(self.now);
        for job in 0..self.oracle.jobs.len() {
            let Life::Running(began) = self.oracle.jobs[job].life else { continue };
            match self.oracle.jobs[job].options.delivery() {
                Delivery::AtLeastOnce if !self.oracle.jobs[job].is_stopped => {
                    self.oracle.jobs[job].life = Life::Pending;
                }
                _ => {
                    self.oracle.end(job, began, End::Interrupted, self.now.wall);
                }
            }
        }
        let (mut overdue, mut skipped) = (Vec::new(), 0);
        for n in 0..self.oracle.jobs.len() {
            let job = &mut self.oracle.jobs[n];
            if job.life != Life::Pending || job.is_paused() || !job.due.is_reached(self.now) {
                continue;
            }
            let late_us = job.due.lateness_us(self.now);
            if skip_after_us(job.queue).is_some_and(|after_us| late_us > i128::from(after_us)) {
                job.life = Life::Gone;
                skipped += 1;
            } else {
                overdue.push(n);
            }
        }
        assert_eq!((restored.overdue, restored.skipped, restored.superseded), (overdue.len(), skipped, 0));
        self.expect_jobs(&restored.partition.image(), before);
        self.caught = per_second_max.map(|per_second| self.catch_up(overdue, per_second));
    }

    fn expect_jobs(&self, after: &Image, before: Image) {
        let mut pending: Vec<u64> = self.oracle.pending().map(|(_, job)| job.id.as_u64()).collect();
        pending.extend(self.dead().map(|job| self.oracle.jobs[job].id.as_u64()));
        pending.sort_unstable();
        let mut jobs = before.jobs;
        jobs.retain(|job| pending.binary_search(&job.id.as_u64()).is_ok());
        jobs.iter_mut().for_each(|job| job.running_since = None);
        assert_eq!(after.jobs, jobs);
        let ended: Vec<_> = after.fired.iter().map(|fired| (fired.id, fired.ended_at)).collect();
        let fired = self.oracle.fired.iter().map(|&(job, ended)| (self.oracle.jobs[job].id, ended));
        assert_eq!(ended, fired.collect::<Vec<_>>());
        assert_eq!(after.next_sequence, before.next_sequence);
    }

    fn catch_up(&self, mut overdue: Vec<usize>, per_second: NonZeroU32) -> Caught {
        // One whose tick is not over is not late.
        overdue.retain(|&job| self.oracle.jobs[job].due.is_tick_reached(self.now));
        overdue.sort_by_key(|&n| {
            let job = &self.oracle.jobs[n];
            (-job.due.ticks_ago(self.now), job.options.priority(), job.due.told(self.now), job.id)
        });
        let per_second = per_second.get().into();
        Caught { jobs: overdue, per_second, since: self.now.mono, released: 0 }
    }

    pub(super) fn is_held_overdue(&self, job: &MJob) -> bool {
        self.is_in(job, |state| state == State::Overdue)
    }

    fn is_in(&self, job: &MJob, is: impl Fn(State) -> bool) -> bool {
        self.partition.job(job.handle).is_some_and(|held| is(held.state()))
    }

    /// Those that are held to the pace, in order.
    pub(super) fn held_overdue(&self) -> Vec<usize> {
        let Some(caught) = &self.caught else { return Vec::new() };
        let jobs = caught.jobs.iter().copied();
        jobs.filter(|&job| self.is_held_overdue(&self.oracle.jobs[job])).collect()
    }

    /// After an `advance`: no more have gone than may, in order, and no fewer than must.
    pub(super) fn check_paced(&mut self, held: Vec<usize>, done: bool) {
        let left = self.held_overdue();
        let Some(gone) = held.strip_suffix(left.as_slice()) else { panic!("of {held:?} stay {left:?}") };
        assert_eq!(self.partition.overdue(), left.len());
        let is_due = |job: &&usize| self.oracle.jobs[**job].due.is_reached(self.now);
        let is_ready =
            |job: &&usize| self.is_in(&self.oracle.jobs[**job], |state| matches!(state, State::Ready(_)));
        let released = gone.iter().filter(is_due).count() as u64;
        assert_eq!(gone.iter().filter(is_ready).count() as u64, released, "those that are early again wait");
        let now = self.now;
        let Some(caught) = &mut self.caught else { return };
        caught.released += released;
        let elapsed_us = now.mono.micros_since(caught.since);
        let earned = u128::from(elapsed_us) * u128::from(caught.per_second) / 1_000_000;
        let at_once = (caught.per_second / 100).max(1);
        assert!(u128::from(caught.released) <= earned + u128::from(at_once), "more than the pace allows");
        if done && !left.is_empty() {
            let wake = self.partition.next_wake().mono().expect("they are not forgotten");
            let ahead_us = wake.micros_since(now.mono);
            assert!(ahead_us > 0 && ahead_us <= 1_000_000 / caught.per_second + 1_000, "{ahead_us} us ahead");
        }
    }
}
