//! Jobs that are paused and resumed.

use super::input::Bytes;
use super::oracle::{Life, MJob, Oracle};
use super::world::World;
use crate::job::{PauseJobOutcome, ResumeJobOutcome};
use crate::partition::Version;

impl World {
    pub(super) fn pause_or_resume(&mut self, bytes: &mut Bytes<'_>) {
        let kind = bytes.byte();
        let paused: Vec<usize> =
            self.oracle.pending().filter(|(_, job)| job.is_paused()).map(|(n, _)| n).collect();
        let (handle, picked, _) = self.pick(bytes);
        match paused.get(usize::from(kind / 3) % paused.len().max(1)) {
            Some(&job) if kind.is_multiple_of(3) => self.resume(job),
            _ if kind % 3 == 1 => match picked {
                Some(job) => self.resume(job),
                None => {
                    let outcome = self.partition.resume_job(handle, None, None, self.now);
                    assert_eq!(outcome, ResumeJobOutcome::NotFound);
                }
            },
            _ => match picked {
                Some(job) => self.pause(job),
                None => {
                    assert_eq!(self.partition.pause_job(handle, None, self.now), PauseJobOutcome::NotFound)
                }
            },
        }
    }

    fn pause(&mut self, job: usize) {
        let now = self.now;
        let outcome = self.partition.pause_job(self.oracle.jobs[job].handle, None, now);
        self.note();
        let job = &mut self.oracle.jobs[job];
        let expected = match job.life {
            Life::Running(_) => PauseJobOutcome::Running,
            Life::Fired(at, _) => PauseJobOutcome::AlreadyFired { at },
            Life::Dead(at) => PauseJobOutcome::Dead { at },
            Life::Gone => PauseJobOutcome::NotFound,
            Life::Pending if job.is_paused() => PauseJobOutcome::AlreadyPaused,
            Life::Pending => {
                (job.paused, job.version) = (Some(now.wall), Version(job.version.0 + 1));
                PauseJobOutcome::Paused { version: job.version }
            }
        };
        assert_eq!(outcome, expected);
    }

    pub(super) fn resume(&mut self, job: usize) {
        let now = self.now;
        let outcome = self.partition.resume_job(self.oracle.jobs[job].handle, None, None, now);
        self.note();
        let job = &mut self.oracle.jobs[job];
        let expected = match job.life {
            Life::Running(_) => ResumeJobOutcome::Running,
            Life::Fired(at, _) => ResumeJobOutcome::AlreadyFired { at },
            Life::Dead(at) => ResumeJobOutcome::Dead { at },
            Life::Gone => ResumeJobOutcome::NotFound,
            Life::Pending if !job.is_paused() => ResumeJobOutcome::NotPaused,
            Life::Pending => {
                (job.paused, job.version) = (None, Version(job.version.0 + 1));
                job.is_fresh = !job.due.is_tick_reached(now);
                ResumeJobOutcome::Resumed { version: job.version, due: job.due.told(now) }
            }
        };
        assert_eq!(outcome, expected);
    }
}

impl MJob {
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}

impl Oracle {
    /// Those that start when they are due.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (usize, &MJob)> {
        self.pending().filter(|(_, job)| !job.is_paused())
    }
}
