//! Calls about all jobs that have a tag: which these are, the ledger knows.

use std::future::{Future, poll_fn};
use std::pin::pin;

use reveille::{CancelError, Due, Handle, JobFilter, JobState, JobView, ListCursor, RescheduleError};

use super::{Caller, Wish, is_refusal};
use crate::ledger::{Done, Fact, nonce};
use crate::plan::{Tagged, When};

/// A tag as the engine has it.
pub(crate) fn tag_name(tag: u8) -> String {
    format!("t{tag}")
}

impl Caller {
    pub(crate) async fn call_tagged(self, call: Tagged) {
        match call {
            Tagged::Schedule { key, tag, when, on_conflict, behave } => {
                let wish = Wish { on_conflict, tag: Some(tag), ..Wish::new(key, when, behave) };
                self.schedule(wish).await;
            }
            Tagged::Cancel { tag, by_engine: false } => self.cancel_tagged(tag).await,
            Tagged::Cancel { tag, by_engine: true } => self.cancel_by_tag(tag).await,
            Tagged::Reschedule { tag, when } => self.reschedule_tagged(tag, when).await,
        }
    }

    /// Cancels those that a list of the tag shows, before anything else happens: what it does is known at once, job by job.
    async fn cancel_tagged(self, tag: u8) {
        let jobs = self.of_tag(tag);
        let commit = self.engine.cancel_many(jobs.iter().map(|job| job.handle));
        let outcomes = match commit.outcome() {
            Ok(outcomes) => outcomes,
            Err(error) => return self.broken("4 definite", format!("cancel of t{tag}: {error}")),
        };
        self.note(|| format!("cancel t{tag}: {outcomes:?}"));
        let done: Vec<Done> = jobs
            .iter()
            .zip(outcomes.iter())
            .map(|(job, outcome)| match outcome {
                Ok(outcome) => self.taken_back(&job.key, Some(job.nonce), None, *outcome),
                Err(CancelError::Call(error)) if is_refusal(error) => Done::Nothing,
                Err(error) => {
                    self.broken("4 definite", format!("cancel of {}: {error}", job.key));
                    Done::Nothing
                }
            })
            .collect();
        self.waits(&tag_name(tag), &done, self.app.setting.durability, commit).await;
    }

    async fn reschedule_tagged(self, tag: u8, when: When) {
        let (due, jobs): (Due, _) = (self.due(when), self.of_tag(tag));
        let commit = self.engine.reschedule_many(jobs.iter().map(|job| (job.handle, due)));
        let outcomes = match commit.outcome() {
            Ok(outcomes) => outcomes,
            Err(error) => return self.broken("4 definite", format!("reschedule of t{tag}: {error}")),
        };
        self.note(|| format!("reschedule t{tag} {due:?}: {outcomes:?}"));
        let told = |(job, outcome): (&OfTag, &Result<_, RescheduleError>)| {
            self.moved(&job.key, Some(job.nonce), None, due, outcome.as_ref())
        };
        let done: Vec<Done> = jobs.iter().zip(outcomes.iter()).map(told).collect();
        self.waits(&tag_name(tag), &done, self.app.setting.durability, commit).await;
    }

    /// Has the engine find them. It goes on later with those that its log had no room for.
    async fn cancel_by_tag(self, tag: u8) {
        drop(self.of_tag(tag));
        let mut done = Vec::new();
        let mut call = pin!(self.engine.cancel_tagged(tag_name(tag)));
        let waits = self.app.wait_begins(self.life);
        let told = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            // Looked for before anything else happens: whatever is gone now, this call has cancelled.
            done.extend(self.gone_by_tag(tag));
            polled
        });
        let told = told.await;
        waits.ends();
        let told = match told {
            Ok(told) => told,
            Err(error) => return self.broken("4 definite", format!("cancel of t{tag}: {error}")),
        };
        self.note(|| format!("cancel by t{tag}: {told:?}"));
        let cancelled = told.cancelled();
        if cancelled > done.len() || (told.is_whole && cancelled < done.len()) {
            let detail = format!("cancel of t{tag} says {cancelled} of {} jobs: {told:?}", done.len());
            return self.broken("4 definite", detail);
        }
        for outcome in told.jobs.iter().map(|job| &job.outcome) {
            match outcome {
                Err(CancelError::Call(error)) if told.is_whole && !is_refusal(error) => {
                    self.broken("4 definite", format!("cancel of t{tag}: {error}"));
                }
                Ok(_) | Err(CancelError::Call(_)) => {}
                Err(error) => self.broken("4 definite", format!("cancel of t{tag}: {error}")),
            }
        }
        if told.is_whole {
            done.iter().for_each(|done| self.acknowledged(done, self.app.setting.durability));
        }
    }

    /// Those that the ledger has for pending, and the engine no longer has.
    fn gone_by_tag(&self, tag: u8) -> Vec<Done> {
        let there: Vec<usize> = self.listed(tag).iter().map(|job| job.nonce).collect();
        let level = self.app.setting.durability;
        let gone = self.app.ledger.with(self.life, |life, jobs| {
            let of_tag = life.all_pending().filter(|&nonce| jobs[nonce].tag == Some(tag));
            let gone: Vec<usize> = of_tag.filter(|nonce| !there.contains(nonce)).collect();
            let done = gone.iter().map(|&nonce| {
                life.gone(nonce);
                jobs[nonce].taken_back.push(Fact::new(self.life, level));
                Done::TakenBack { nonce, at: jobs[nonce].taken_back.len() - 1 }
            });
            done.collect()
        });
        gone.unwrap_or_default()
    }

    /// The jobs of a tag, as the engine has them: none without the tag, none twice, and none that is pending left out.
    fn of_tag(&self, tag: u8) -> Vec<OfTag> {
        let jobs = self.listed(tag);
        let amiss = self.app.ledger.with(self.life, |life, logs| {
            let strange = jobs.iter().find(|job| logs[job.nonce].tag != Some(tag)).map(|job| job.nonce);
            let is_missing = |nonce: &usize| jobs.iter().all(|job| job.nonce != *nonce);
            let mut of_tag = life.all_pending().filter(|&nonce| logs[nonce].tag == Some(tag));
            (strange, of_tag.find(is_missing))
        });
        if let Some((Some(nonce), _)) = amiss {
            self.broken("4 definite", format!("by t{tag} was found {nonce}, which does not have it"));
        }
        if let Some((_, Some(nonce))) = amiss {
            self.broken(
                "4 definite",
                format!("by t{tag} was not found {nonce}, which is pending and has it"),
            );
        }
        let mut nonces: Vec<usize> = jobs.iter().map(|job| job.nonce).collect();
        nonces.sort_unstable();
        if nonces.windows(2).any(|pair| pair[0] == pair[1]) {
            self.broken("4 definite", format!("by t{tag} a job was found twice: {nonces:?}"));
        }
        jobs
    }

    fn listed(&self, tag: u8) -> Vec<OfTag> {
        let states = [JobState::Pending, JobState::Retrying, JobState::Ready, JobState::Running];
        let filter = JobFilter::default().tag(tag_name(tag)).states(states);
        let (mut jobs, mut next) = (Vec::new(), Some(ListCursor::default()));
        while let Some(from) = next {
            let Ok(page) = self.engine.list(&filter, from, 3) else {
                self.broken("4 definite", format!("a list of t{tag} refused its own cursor"));
                return jobs;
            };
            jobs.extend(page.jobs.iter().filter_map(OfTag::of));
            next = page.next;
        }
        jobs
    }
}

/// A job that has a tag.
struct OfTag {
    nonce: usize,
    key: String,
    handle: Handle,
}

impl OfTag {
    /// A recurring job has no number, and no tag: the ledger of these would not know what became of it.
    fn of(view: &JobView) -> Option<Self> {
        let nonce = nonce(view.payload.as_bytes())?;
        Some(OfTag { nonce, key: view.key.to_string(), handle: view.handle })
    }
}
