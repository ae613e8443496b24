//! The end of a replay: from a state to a partition that goes on.
//!
//! In this order, and each by records, so that who reads them later need not decide it again:
//! 1. Of two pending jobs of one key the earlier goes: see [`Replay::cancel_superseded`].
//! 2. Jobs that were with a handler were cut short. They become pending again, or have ended.
//! 3. Of recurring jobs, occurrences that came due meanwhile are passed over as their rules say.
//! 4. Jobs that are overdue are skipped, held to a pace, or left to fire at once: see [`CatchUp`].

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use super::{FixedState, Replay};
use crate::job::{History, LateCause, Missed, Rare, Step, Verdict, draw};
use crate::partition::job::State;
use crate::partition::overdue::Restart;
use crate::partition::table::Job;
use crate::partition::{
    Cause, DeathReason, Delivery, Due, End, Fault, Handle, JobId, Key, Now, Partition, Passed, QueueId,
    Record, RecordedDue, Retry, TimeBase,
};
use crate::slab::Index;

/// What becomes of jobs that came due while nobody was there to fire them. The default: all fire, as fast as they can.
#[derive(Clone, Copy)]
pub struct CatchUp<'a> {
    /// How many of them may fire in a second. They then go in the order in which they were due; those that are held back
    /// hold up none that comes due meanwhile.
    pub per_second_max: Option<NonZeroU32>,
    /// By queue, by how many microseconds a job may be overdue and still fire; one that is overdue by more never does.
    pub skip_after_us: &'a dyn Fn(QueueId) -> Option<u64>,
    /// By queue, how often a job may fail that does not say so itself: for those whose handlers were cut short.
    pub retry: &'a dyn Fn(QueueId) -> Option<Retry>,
}

impl Default for CatchUp<'_> {
    fn default() -> Self {
        CatchUp { per_second_max: None, skip_after_us: &|_| None, retry: &|_| None }
    }
}

impl fmt::Debug for CatchUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUp").field("per_second_max", &self.per_second_max).finish_non_exhaustive()
    }
}

/// A partition to go on with.
#[derive(Debug)]
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// The keys that it knows, each with a handle: an index that takes them in this order ends with the right ones.
    pub keys: Vec<(Key, Handle)>,
    /// How many jobs are overdue and will fire.
    pub overdue: usize,
    /// How many jobs were too overdue to fire.
    pub skipped: usize,
    /// How many jobs were with a handler when the record ends.
    pub interrupted: usize,
    /// How many jobs gave way to a later one of the same key. None, unless the log has lost records.
    pub superseded: usize,
    /// The occurrences of recurring jobs that were passed over, and why, by job.
    pub passed: Vec<(QueueId, Key, Passed)>,
}

impl Replay<'_> {
    /// Ends the replay.
    ///
    /// Jobs that were with a handler when the record ends were cut short. Those delivered at least once become pending
    /// again, due as before; those delivered at most once end here, as [interrupted](End::Interrupted). `catch_up` says what becomes of jobs,
    /// those included, whose due has been reached. With `is_logged` the partition keeps records from here on, those of
    /// this step included.
    pub fn finish(mut self, is_logged: bool, catch_up: &CatchUp<'_>, now: Now) -> Restored {
        self.partition.config.is_logged = is_logged;
        let superseded = self.settle(now);
        let mut passed = Vec::new();
        let interrupted = self.partition.end_cut_short(catch_up.retry, &mut passed, now);
        self.partition.restart = Restart::new(self.partition.next_sequence, now);
        let gone = self.partition.pass_over_missed(catch_up, &mut passed, now);
        let (overdue, skipped) = self.partition.catch_up(catch_up, now);
        let skipped = skipped + gone;
        self.partition.forgotten.clear();
        let keys = self.partition.keys();
        Restored { partition: self.partition, keys, overdue, skipped, interrupted, superseded, passed }
    }

    /// Ends the replay for whoever only reads: the partition as the records leave it. It keeps no records. Jobs that were
    /// with a handler when they end stay so, and nothing is done about what is overdue.
    pub(crate) fn into_read_only(mut self, now: Now) -> Partition {
        self.settle(now);
        self.partition.forgotten.clear();
        self.partition
    }

    fn settle(&mut self, now: Now) -> usize {
        self.partition.settle_fired();
        self.cancel_superseded(now)
    }

    /// Cancels jobs in whose place the image has a later one. Returns how many.
    ///
    /// That is needed only if the log ends among the records that came to be while the image was read: the later job is
    /// in the image, the record which says that it replaced the earlier, or that this was cancelled before, is lost. A
    /// key names one pending job, so one has to go. The later one is what its caller was told of last, and it was taken
    /// because the earlier no longer was to fire.
    ///
    /// Jobs that run do not count: their keys are free, and a handler may have scheduled its own anew.
    fn cancel_superseded(&mut self, now: Now) -> usize {
        if self.partition.next_sequence <= self.next_taken {
            // Every job of the image has been told of: no record is missing.
            return 0;
        }
        // One that has begun before has given its key up, unless it recurs.
        let recurs = |job: Job<'_>| job.rare().is_some_and(|rare| rare.recurrence().is_some());
        let is_new = |job: Job<'_>| match job.state() {
            State::Running(_) => recurs(job),
            state => state.is_pending() && (job.attempt() == 0 || recurs(job)),
        };
        let pending = || self.partition.jobs.iter().filter(|&(_, job)| is_new(job));
        let mut latest: HashMap<&str, JobId, FixedState> = HashMap::default();
        for (_, job) in pending().filter(|(_, job)| job.id().sequence() >= self.next_taken) {
            let latest = latest.entry(job.key()).or_insert(job.id());
            *latest = job.id().max(*latest);
        }
        let is_superseded = |id: JobId, key: &str| latest.get(key).is_some_and(|&latest| id < latest);
        let superseded = pending().filter(|(_, job)| is_superseded(job.id(), job.key()));
        let mut superseded: Vec<(JobId, Index)> = superseded.map(|(index, job)| (job.id(), index)).collect();
        superseded.sort_unstable();
        for &(id, index) in &superseded {
            let runs = self.partition.jobs.get(index).is_some_and(|job| !job.state().is_pending());
            let record = if runs { Record::Stopped { id } } else { Record::Cancelled { id } };
            self.partition.commit(record, index, now);
        }
        superseded.len()
    }
}

impl Partition {
    /// Says what becomes of jobs whose handlers were cut short. Returns how many there were.
    pub(crate) fn end_cut_short(
        &mut self,
        retry: &dyn Fn(QueueId) -> Option<Retry>,
        passed: &mut Vec<(QueueId, Key, Passed)>,
        now: Now,
    ) -> usize {
        let running = self.jobs.iter().filter(|(_, job)| matches!(job.state(), State::Running(_)));
        let mut cut_short: Vec<(JobId, Index)> = running.map(|(index, job)| (job.id(), index)).collect();
        cut_short.sort_unstable();
        for &(id, index) in &cut_short {
            let Some(job) = self.jobs.get(index) else { continue };
            let (delivery, attempt) = (job.options().delivery(), job.attempt());
            let is_stopped = job.history().is_some_and(|history| history.is_stopped);
            let recurs = job.rare().is_some_and(|rare| rare.recurrence().is_some()) && !is_stopped;
            let record = match delivery {
                Delivery::AtLeastOnce if !is_stopped => {
                    let again = self.after_interruption(job, retry, now);
                    again.unwrap_or_else(|| match recurs {
                        false => Record::Interrupted { id, at: now.wall, attempt },
                        true => begins_again(job, now),
                    })
                }
                _ => Record::Finished { id, at: self.end_at(now), end: End::Interrupted },
            };
            let (record, over) = match record {
                Record::Finished { .. } if recurs => occurrence_after(job, record, None, now),
                Record::Died { ref fault, .. } if recurs => {
                    let fault = fault.clone();
                    occurrence_after(job, record, fault, now)
                }
                record => (record, None),
            };
            passed.extend(over.map(|over| (job.queue(), Key::known(job.key()), over)));
            let dies = matches!(record, Record::Died { .. });
            self.commit(record, index, now);
            if dies {
                self.note_death(self.handle(index), now);
            }
        }
        cut_short.len()
    }

    /// Says which occurrences of recurring jobs do not run of those that came due while nobody was there, by each job's own rule. A
    /// job that was cut short, or waits for a retry, is still about the occurrence that it had begun with. Returns how many jobs
    /// have no occurrence left.
    fn pass_over_missed(
        &mut self,
        policy: &CatchUp<'_>,
        passed: &mut Vec<(QueueId, Key, Passed)>,
        now: Now,
    ) -> usize {
        let mut due = Vec::new();
        for (index, job) in self.jobs.iter() {
            let is_due = waits(job) && job.attempt() == 0 && job.due().is_reached(now);
            let Some(rare) = job.rare().filter(|_| is_due) else { continue };
            let (Some(rule), Some(progress)) = (rare.recurrence(), rare.occurrence()) else { continue };
            let late_us = job.due().lateness_us(now);
            let is_too_late = (policy.skip_after_us)(job.queue()).is_some_and(|after_us| late_us > after_us);
            let step = match is_too_late {
                // The queue says that it is of no use by now.
                true => {
                    rule.clone().missed(Missed::None).late(&progress.occurrence, now.wall, LateCause::Down)
                }
                false => rule.late(&progress.occurrence, now.wall, LateCause::Down),
            };
            // One that cannot be worked out here runs, and says so after it.
            let Ok(Step { passed: Some(over), next }) = step else { continue };
            due.push((job.id(), index, over, next));
        }
        due.sort_unstable_by_key(|&(id, ..)| id);
        let mut gone = 0;
        for (id, index, over, next) in due {
            let Some(job) = self.jobs.get(index) else { continue };
            passed.push((job.queue(), Key::known(job.key()), over));
            match next {
                Some(next) => drop(self.pass_over(self.handle(index), next, over, now)),
                None => {
                    gone += 1;
                    self.commit(Record::Skipped { id, at: now.wall }, index, now);
                }
            }
        }
        gone
    }

    /// What becomes of a job that was cut short, if its policy counts that as a failure.
    fn after_interruption(
        &self,
        job: Job<'_>,
        retry: &dyn Fn(QueueId) -> Option<Retry>,
        now: Now,
    ) -> Option<Record> {
        let policy = job.rare().and_then(Rare::retry).or_else(|| retry(job.queue()))?;
        if !policy.counts(Cause::Interrupted) {
            return None;
        }
        let (id, at, attempt, version) = (job.id(), now.wall, job.attempt(), job.version().next());
        let failures = job.history().map_or(0, |history| history.failures);
        let deadline = History::deadline(job.history(), job.rare().and_then(Rare::expires));
        let fault = Some(Fault::new(Cause::Interrupted, "the process ended while the handler ran"));
        let verdict = Verdict::of(&policy, Cause::Interrupted, failures, draw(id, attempt), at, deadline);
        Some(match verdict {
            Verdict::Dies(reason) => Record::Died { id, at, version, reason, fault },
            Verdict::Again { after, is_counted } => {
                let due = self.record_due(Due::In(after), now).ok()?;
                Record::Retried { id, at, attempt, version, due, fault, is_counted }
            }
        })
    }

    /// Does what `policy` says with jobs whose due has been reached. Returns how many will fire, and how many never do.
    fn catch_up(&mut self, policy: &CatchUp<'_>, now: Now) -> (usize, usize) {
        let (mut overdue, mut skipped) = (Vec::new(), Vec::new());
        for (index, job) in self.jobs.iter() {
            if !waits(job) || !job.due().is_reached(now) {
                continue;
            }
            let late_us = job.due().lateness_us(now);
            // Of one that recurs only occurrences are skipped, and they have been.
            let recurs = job.rare().is_some_and(|rare| rare.recurrence().is_some());
            if !recurs && (policy.skip_after_us)(job.queue()).is_some_and(|after_us| late_us > after_us) {
                skipped.push((job.id(), index));
            } else {
                overdue.push(index);
            }
        }
        skipped.sort_unstable();
        for &(id, index) in &skipped {
            self.commit(Record::Skipped { id, at: now.wall }, index, now);
        }
        if let Some(per_second_max) = policy.per_second_max {
            self.hold_overdue(&overdue, per_second_max, now);
        }
        (overdue.len(), skipped.len())
    }
}

/// Whether a job is to start when it is due.
fn waits(job: Job<'_>) -> bool {
    job.state().is_pending() && job.state() != State::Paused
}

/// An occurrence whose handler was cut short: it runs again, due as before.
fn begins_again(job: Job<'_>, now: Now) -> Record {
    let (id, at, attempt, version) = (job.id(), now.wall, job.attempt(), job.version().next());
    Record::Retried { id, at, attempt, version, due: job.recorded_due(), fault: None, is_counted: false }
}

/// What a recurring job waits for after a run that was cut short, and does not run again, and what is passed over before that;
/// `last` if nothing comes after it. One whose rule cannot be worked out here is kept among the dead.
fn occurrence_after(job: Job<'_>, last: Record, fault: Option<Fault>, now: Now) -> (Record, Option<Passed>) {
    let rare = job.rare();
    let Some((rule, progress)) = rare.and_then(|rare| Some((rare.recurrence()?, rare.occurrence()?))) else {
        return (last, None);
    };
    let (id, at, version) = (job.id(), now.wall, job.version().next());
    let next = rule
        .next_after(&progress.occurrence)
        .and_then(|next| next.map_or(Ok(None), |next| rule.late(&next, at, LateCause::Down).map(Some)));
    match next {
        Ok(Some(Step { passed, next: Some(occurrence) })) => {
            let due = RecordedDue { base: TimeBase::Wall, wall: occurrence.scheduled_for };
            let end = End::Interrupted;
            (Record::Recurred { id, at, version, end, fault, due, occurrence, passed }, passed)
        }
        Ok(step) => (last, step.and_then(|step| step.passed)),
        Err(error) => {
            let fault = Some(Fault::new(Cause::Failed, &error.to_string()));
            (Record::Died { id, at, version, reason: DeathReason::Killed, fault }, None)
        }
    }
}
