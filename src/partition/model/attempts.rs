//! Attempts that do not do what they had to, and the dead.

use super::input::Bytes;
use super::oracle::{Life, Oracle};
use super::world::{KEYS, World, name};
use crate::partition::{
    Again, Cause, DeathReason, End, Fault, Handle, PurgeOutcome, ReviveOutcome, Stopped, Timestamp, Version,
};

/// How many dead of a queue are kept, where no image is wanted after each record.
pub(super) const DEAD_MAX: usize = 3;

impl World {
    /// An attempt asks for another, is the last, or is to be; or somebody says so of a job that does not run.
    pub(super) fn attempt(&mut self, bytes: &mut Bytes<'_>) {
        let kind = bytes.byte();
        let is_running = |job: &usize| matches!(self.oracle.jobs[*job].life, Life::Running(_));
        let running: Vec<usize> = (0..self.oracle.jobs.len()).filter(is_running).collect();
        let at = usize::from(bytes.byte());
        let job = match running.get(at % running.len().max(1)) {
            Some(&job) if !kind.is_multiple_of(9) => Some(job),
            _ => self.pick(bytes).1,
        };
        let Some(job) = job else { return };
        match kind % 5 {
            0 => self.stop(job),
            1 => self.die(job),
            _ => self.retry(job, bytes),
        }
    }

    fn stop(&mut self, job: usize) {
        let is_running = matches!(self.oracle.jobs[job].life, Life::Running(_));
        let expected = if is_running { Stopped::Yes } else { Stopped::NotRunning };
        assert_eq!(self.partition.stop_after(self.oracle.jobs[job].handle, None), expected);
        self.note();
        self.oracle.jobs[job].is_stopped |= is_running;
    }

    fn retry(&mut self, job: usize, bytes: &mut Bytes<'_>) {
        let (due, kind) = (self.due(bytes), bytes.byte());
        let fault = (kind % 3 > 0).then(|| Fault::new(Cause::Failed, "it failed"));
        let again = Again { due, is_counted: fault.is_some(), fault };
        let handle = self.oracle.jobs[job].handle;
        let Life::Running(began) = self.oracle.jobs[job].life else {
            return assert!(!self.partition.retry(handle, again, self.now), "only what runs is tried again");
        };
        let wheel = self.partition.wheel_wall();
        assert!(self.partition.retry(handle, again, self.now));
        self.note();
        if self.oracle.jobs[job].is_stopped {
            return self.ended(job, began, End::Cancelled);
        }
        let now = self.now;
        let due = Oracle::read_due(due, now, wheel).unwrap_or_else(|_| Oracle::latest(now));
        let job = &mut self.oracle.jobs[job];
        (job.due, job.life, job.version) = (due, Life::Pending, Version(job.version.0 + 1));
        job.is_fresh = !due.is_tick_reached(now);
    }

    fn die(&mut self, job: usize) {
        let (handle, life) = (self.oracle.jobs[job].handle, self.oracle.jobs[job].life);
        if life == Life::Pending {
            return;
        }
        let fault = Some(Fault::new(Cause::Panicked, "it panicked"));
        let Life::Running(began) = life else {
            return assert!(!self.partition.die(handle, DeathReason::Killed, fault, self.now));
        };
        assert!(self.partition.die(handle, DeathReason::Killed, fault, self.now));
        if self.oracle.jobs[job].is_stopped {
            self.note();
            return self.ended(job, began, End::Cancelled);
        }
        self.note_all();
        let at = self.now.wall;
        let (queue, max) = (self.oracle.jobs[job].queue, self.config.dead_max);
        let dead = &mut self.oracle.jobs[job];
        (dead.life, dead.version) = (Life::Dead(at), Version(dead.version.0 + 1));
        let mut of_queue: Vec<usize> =
            self.dead().filter(|&job| self.oracle.jobs[job].queue == queue).collect();
        of_queue.sort_by_key(|&job| (self.died_at(job), self.oracle.jobs[job].id));
        let too_many = of_queue.len().saturating_sub(max);
        let mut gone: Vec<_> = of_queue.into_iter().take(too_many).collect();
        gone.iter().for_each(|&job| self.oracle.jobs[job].life = Life::Gone);
        let mut told: Vec<Handle> = self.partition.drain_forgotten().map(|(_, handle)| handle).collect();
        let mut expected: Vec<Handle> = gone.drain(..).map(|job| self.oracle.jobs[job].handle).collect();
        told.sort_unstable_by_key(|handle| handle.index.slot);
        expected.sort_unstable_by_key(|handle| handle.index.slot);
        assert_eq!(told, expected, "what was purged");
    }

    /// Somebody brings a dead job back, takes it away, or tries to with one that is not dead.
    pub(super) fn raise_the_dead(&mut self, bytes: &mut Bytes<'_>) {
        let (kind, at) = (bytes.byte(), usize::from(bytes.byte()));
        let dead: Vec<usize> = self.dead().collect();
        let job = match dead.get(at % dead.len().max(1)) {
            Some(&job) if !kind.is_multiple_of(7) => Some(job),
            _ => self.pick(bytes).1,
        };
        let Some(job) = job else { return };
        let (handle, life) = (self.oracle.jobs[job].handle, self.oracle.jobs[job].life);
        if kind.is_multiple_of(3) {
            let outcome = self.partition.purge(handle, None);
            self.note();
            let expected = match life {
                Life::Dead(_) => PurgeOutcome::Purged,
                Life::Gone => PurgeOutcome::NotFound,
                _ => PurgeOutcome::NotDead,
            };
            assert_eq!(outcome, expected);
            if outcome == PurgeOutcome::Purged {
                self.oracle.jobs[job].life = Life::Gone;
                let key = name(self.oracle.jobs[job].key);
                assert_eq!(self.partition.drain_forgotten().collect::<Vec<_>>(), [(key, handle)]);
            }
            return;
        }
        let due = self.due(bytes);
        let wheel = self.partition.wheel_wall();
        let key = self.oracle.jobs[job].key;
        assert!(key < KEYS);
        let current = self.oracle.by_key.get(&key).copied();
        let holder = current.map(|job| self.oracle.jobs[job].handle);
        let outcome = self.partition.revive(handle, due, holder, None, self.now);
        self.note();
        let due = match Oracle::read_due(due, self.now, wheel) {
            Ok(due) => due,
            Err(refusal) => return assert_eq!(outcome, Err(refusal)),
        };
        let pending = current.filter(|&job| self.oracle.jobs[job].life == Life::Pending);
        let expected = match (life, pending) {
            (Life::Gone, _) => ReviveOutcome::NotFound,
            (Life::Dead(_), Some(other)) => {
                ReviveOutcome::KeyTaken { handle: self.oracle.jobs[other].handle }
            }
            (Life::Dead(_), None) => {
                self.oracle.by_key.insert(key, job);
                let now = self.now;
                let job = &mut self.oracle.jobs[job];
                (job.due, job.life, job.version) = (due, Life::Pending, Version(job.version.0 + 1));
                job.is_fresh = !due.is_tick_reached(now);
                ReviveOutcome::Revived { version: job.version }
            }
            _ => ReviveOutcome::NotDead,
        };
        assert_eq!(outcome, Ok(expected));
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.oracle.jobs.len()).filter(|&job| matches!(self.oracle.jobs[job].life, Life::Dead(_)))
    }

    fn died_at(&self, job: usize) -> Timestamp {
        match self.oracle.jobs[job].life {
            Life::Dead(at) => at,
            life => panic!("{life:?} is not dead"),
        }
    }
}
