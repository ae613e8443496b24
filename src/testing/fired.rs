//! What has fired, and how it ended, as the engine tells it.

use std::collections::HashMap;
use std::time::Duration;

use super::forced::Rule;
use crate::engine::{Failure, FailureKind, Probed};
use crate::partition::{Handle, JobId, Key, Payload, QueueName, Started, Timestamp, Version};

/// A job that has fired.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FiredJob {
    /// The caller's name for it.
    pub key: Key,
    /// The name of its queue.
    pub queue: String,
    /// Its number.
    pub id: JobId,
    /// 1 for a new job, and 1 more for every change.
    pub version: Version,
    /// How often its handler has begun.
    pub attempt: u16,
    /// When it was due.
    pub due: Timestamp,
    /// When it fired.
    pub fired_at: Timestamp,
    /// How long after its due time.
    pub lateness: Duration,
    /// What its handler got.
    pub payload: Payload,
    /// How its handler ended, if it has.
    pub end: FiredEnd,
}

/// How the handler of a fired job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FiredEnd {
    /// It still runs: see [`TestEngine::go_on_after`](super::TestEngine::go_on_after).
    Running,
    /// It succeeded.
    Succeeded,
    /// It returned an error with this message.
    Failed(String),
    /// It panicked with this message.
    Panicked(String),
    /// It asked to run again, and has not failed.
    Again,
    /// It said that there is nothing to do any more, for this reason.
    Discarded(String),
}

/// What the engine has told.
#[derive(Default)]
pub(super) struct Sink {
    /// What fired since the test last asked.
    fired: Vec<(Handle, FiredJob)>,
    /// Handlers that run: queue and key.
    running: HashMap<Handle, (String, Key)>,
    /// Attempts that are to fail.
    pub(super) rules: Vec<Rule>,
}

impl Sink {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Sink { rules, ..Sink::default() }
    }

    pub(super) fn take(&mut self, probed: Probed<'_>) {
        match probed {
            Probed::Started(queue, job) => {
                self.running.insert(job.handle, (queue.as_str().to_owned(), job.key.clone()));
                self.fired.push((job.handle, FiredJob::new(queue, job)));
            }
            Probed::Begins(handle, failure) => {
                let Some((queue, key)) = self.running.get(&handle) else { return };
                self.rules.retain(|rule| !rule.is_over());
                *failure = self.rules.iter_mut().find_map(|rule| rule.apply(queue, key));
            }
            #[cfg(feature = "_sim")]
            Probed::Expired(_) => {}
            Probed::Ended(handle, end) => {
                self.running.remove(&handle);
                // Searched from the end: if a job fires twice, the last time is meant.
                let fired = self.fired.iter_mut().rev().find(|(of, _)| *of == handle);
                let Some((_, fired)) = fired else { return };
                fired.end = match end {
                    Ok(()) => FiredEnd::Succeeded,
                    Err(failure) => FiredEnd::of(failure),
                };
            }
        }
    }

    /// How many have fired since the test last asked.
    pub(super) fn len(&self) -> usize {
        self.fired.len()
    }

    /// What fired since the test last asked, and `is_wanted`; the rest is for the next who asks.
    pub(super) fn take_fired(&mut self, is_wanted: impl Fn(&FiredJob) -> bool) -> Vec<FiredJob> {
        let (wanted, rest) = std::mem::take(&mut self.fired).into_iter().partition(|(_, job)| is_wanted(job));
        self.fired = rest;
        let wanted: Vec<(Handle, FiredJob)> = wanted;
        wanted.into_iter().map(|(_, job)| job).collect()
    }

    /// The jobs whose handlers run, in words.
    pub(super) fn running(&self) -> String {
        let mut running: Vec<String> =
            self.running.values().map(|(queue, key)| format!("{key} (queue {queue})")).collect();
        running.sort_unstable();
        running.join(", ")
    }
}

impl FiredEnd {
    fn of(failure: &Failure) -> Self {
        let message = failure.message.clone();
        match failure.kind {
            FailureKind::Panicked => FiredEnd::Panicked(message),
            FailureKind::Again(_) => FiredEnd::Again,
            FailureKind::Discarded => FiredEnd::Discarded(message),
            FailureKind::Failed | FailureKind::RetryIn(_) | FailureKind::TimedOut | FailureKind::Killed => {
                FiredEnd::Failed(message)
            }
        }
    }
}

impl FiredJob {
    fn new(queue: &QueueName, job: &Started) -> Self {
        FiredJob {
            key: job.key.clone(),
            queue: queue.as_str().to_owned(),
            id: job.id,
            version: job.version,
            attempt: job.attempt,
            due: job.due,
            fired_at: job.fired_at,
            lateness: Duration::from_micros(job.lateness_us),
            payload: job.payload.clone(),
            end: FiredEnd::Running,
        }
    }
}
