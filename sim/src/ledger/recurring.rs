//! Recurring jobs, as their users see them: which occurrences ran, in which life, and what was said of those between.
//!
//! They have keys of their own, and are judged apart from the others: an occurrence is told by its job's id and its number.
//! Where the server has lost something nothing is asked of what was acknowledged before.

use std::collections::{BTreeMap, BTreeSet};

use reveille::sim::{Image, Started};
use reveille::{Job, JobId};

/// What is known of recurring jobs.
#[derive(Default)]
pub(crate) struct Recurring {
    /// The last occurrence that began, by life and job.
    last: BTreeMap<(u64, JobId), Last>,
    /// The last occurrence of which the store knows that it has ended, by job.
    ended: BTreeMap<JobId, u64>,
    /// Jobs whose end was acknowledged.
    cancelled: BTreeSet<JobId>,
    /// Keys that were acknowledged, and for whose end nobody has asked.
    wanted: BTreeSet<String>,
    unwanted: BTreeSet<String>,
    /// Keys whose pause was acknowledged, and that nobody has asked to resume or to end since it was asked for.
    paused: BTreeSet<String>,
    /// How often somebody has asked to resume or to end the job of a key.
    released: BTreeMap<String, u64>,
    has_lost: bool,
}

#[derive(Clone, Copy)]
struct Last {
    number: u64,
    attempt: u16,
    has_ended: bool,
}

/// Whether a payload is one of a recurring job.
pub(crate) fn is_recurring(payload: &[u8]) -> bool {
    payload.starts_with(b"R")
}

impl Recurring {
    /// A handler begins. Returns which promise is broken, and how.
    pub(crate) fn began(&mut self, life: u64, job: &Job) -> Option<(&'static str, String)> {
        let (id, attempt) = (job.id(), job.attempt());
        let number = job.options().occurrence().map_or(0, |progress| progress.occurrence.number);
        let told = |what: &str| format!("{} of {}, occurrence {number}: {what}", id, job.key());
        let began = Last { number, attempt, has_ended: false };
        let last = self.last.insert((life, id), began);
        if !self.has_lost && self.ended.get(&id).is_some_and(|&ended| number <= ended) {
            return Some(("6 each occurrence once", told("the store knew that it had ended")));
        }
        let Last { number: before, attempt: tries, has_ended } = last?;
        if number == before && (has_ended || attempt <= tries) {
            return Some(("6 each occurrence once", told("it has run in this life")));
        }
        if number < before {
            return Some(("7 order", told(&format!("it comes after {before}"))));
        }
        let between = number.saturating_sub(before + 1);
        if number > before && between != job.missed() {
            let said =
                format!("{between} were between it and {before}, and its handler was told {}", job.missed());
            return Some(("8 each occurrence is accounted for", told(&said)));
        }
        None
    }

    /// A handler is about to end.
    pub(crate) fn ended(&mut self, life: u64, job: &Job) {
        if let Some(last) = self.last.get_mut(&(life, job.id())) {
            last.has_ended = true;
        }
    }

    /// The store has everything that was done in a life.
    pub(crate) fn flushed(&mut self, life: u64) {
        for (&(_, id), last) in self.last.iter().filter(|((of, _), last)| *of == life && last.has_ended) {
            let ended = self.ended.entry(id).or_default();
            *ended = last.number.max(*ended);
        }
    }

    /// A job is given to its handler. Returns what was acknowledged before, so that it may not be: its handler may begin later.
    pub(crate) fn started(&self, started: &Started) -> Option<&'static str> {
        // One that recurs no more runs on beside the job that has its key.
        let recurs = started.options.recurrence().is_some();
        match self.has_lost {
            true => None,
            false if self.cancelled.contains(&started.id) => Some("its end"),
            false => (recurs && self.paused.contains(started.key.as_str())).then_some("its pause"),
        }
    }

    /// Somebody asks for the end of a job.
    pub(crate) fn ending(&mut self, key: &str) {
        self.unwanted.insert(key.to_owned());
        self.resuming(key);
    }

    /// Somebody asks to resume a job.
    pub(crate) fn resuming(&mut self, key: &str) {
        self.paused.remove(key);
        *self.released.entry(key.to_owned()).or_default() += 1;
    }

    /// Somebody asks to pause a job. Returns what [`paused`](Self::paused) is to be told.
    pub(crate) fn pausing(&self, key: &str) -> u64 {
        self.released.get(key).copied().unwrap_or_default()
    }

    /// The pause of a job was acknowledged.
    pub(crate) fn paused(&mut self, key: &str, asked: u64) {
        if self.pausing(key) == asked {
            self.paused.insert(key.to_owned());
        }
    }

    /// A job was acknowledged.
    pub(crate) fn scheduled(&mut self, key: &str) {
        self.wanted.insert(key.to_owned());
    }

    /// The end of a job was acknowledged.
    pub(crate) fn cancelled(&mut self, id: JobId) {
        self.cancelled.insert(id);
    }

    /// The server has lost something.
    pub(crate) fn lost(&mut self) {
        self.has_lost = true;
    }

    /// A key has one recurring job. Returns which has more.
    pub(crate) fn doubled(image: &Image) -> Option<String> {
        let mut keys = BTreeSet::new();
        let recurs = image.jobs.iter().filter(|job| {
            let is_stopped = job.history.as_ref().is_some_and(|history| history.is_stopped);
            job.spec.options.recurrence().is_some() && !is_stopped
        });
        recurs.map(|job| job.spec.key.as_str()).find(|key| !keys.insert(*key)).map(str::to_owned)
    }

    /// At the end: which job was acknowledged, and is not there.
    pub(crate) fn missing(&self, images: &[Image]) -> Option<&str> {
        if self.has_lost {
            return None;
        }
        let is_there = |key: &&String| {
            let mut jobs = images.iter().flat_map(|image| &image.jobs);
            jobs.any(|job| job.spec.key.as_str() == key.as_str() && job.spec.options.recurrence().is_some())
        };
        self.wanted.difference(&self.unwanted).find(|key| !is_there(key)).map(String::as_str)
    }
}
