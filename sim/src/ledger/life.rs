//! One life of an engine, as its user sees it: its jobs, so that every answer can be predicted.

use std::collections::{BTreeMap, BTreeSet};

use reveille::partition::QueuePause;
use reveille::sim::{Now, Started};
use reveille::{End, Priority, Version};

use super::{DueAt, Limits};

/// Where a job stands in a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stand {
    /// It waits.
    Pending(Pending),
    /// It was given to its handler.
    Running,
    /// Its handler has ended, like this.
    Ended(End),
    /// It is dead, and of this version.
    Dead(Version),
    /// There is no such job.
    Gone,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Nothing: the job has ended.
    Ended(End),
    /// Another, not before this time by the monotonic clock.
    Again(u64),
    /// The job is dead.
    Dead,
}

/// A job that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pending {
    /// Its version.
    pub version: Version,
    /// When it is due.
    pub due: DueAt,
    /// The wall clock when it got this due, and how often that had been set by then; `None` for a restored job.
    pub known: Option<(i64, u64)>,
}

/// A life.
#[derive(Debug)]
pub(crate) struct Life {
    /// How often its wall clock was set.
    pub steps: u64,
    /// Whether its answers still count.
    pub is_over: bool,
    /// Its engine's name in the store.
    pub(crate) owner: String,
    /// When it began, in the world's time.
    pub(crate) begun_us: u64,
    began_at: Now,
    /// What was said of the queue that is paused at times.
    pub(super) pause: Option<QueuePause>,
    /// How many may run and start, and do.
    pub(crate) limits: Limits,
    jobs: BTreeMap<usize, Stand>,
    /// Of those that run, or ran.
    versions: BTreeMap<usize, Version>,
    /// Those that were cancelled while they ran.
    stopped: BTreeSet<usize>,
    /// Whether a dead job may be purged for another.
    purges: bool,
    newest: BTreeMap<String, usize>,
    /// Keys of which a fired job may be remembered.
    fired: BTreeSet<String>,
    /// The last start by queue and partition that counts for the order.
    last: BTreeMap<(String, u16), StartRank>,
}

/// A place in the order of starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct StartRank {
    tick: i64,
    priority: Priority,
    due_us: i64,
    id: reveille::JobId,
    steps: u64,
}

impl Life {
    /// A life that begins with nothing.
    pub(crate) fn new(now: Now, owner: &str, begun_us: u64, purges: bool, limits: Limits) -> Self {
        Life {
            steps: 0,
            is_over: false,
            owner: owner.to_owned(),
            begun_us,
            began_at: now,
            pause: None,
            limits,
            jobs: BTreeMap::new(),
            versions: BTreeMap::new(),
            stopped: BTreeSet::new(),
            purges,
            newest: BTreeMap::new(),
            fired: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    /// Whether the queue that is paused at times is so now.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.as_ref().is_some_and(|said| said.is_paused)
    }

    /// A job waits from here on.
    pub(crate) fn pending(&mut self, key: &str, nonce: usize, pending: Pending) {
        self.jobs.insert(nonce, Stand::Pending(pending));
        self.newest.insert(key.to_owned(), nonce);
    }

    /// A job that waits was moved. Its key may name another.
    pub(crate) fn moved(&mut self, nonce: usize, pending: Pending) {
        self.jobs.insert(nonce, Stand::Pending(pending));
    }

    /// A job is dead from here on.
    pub(crate) fn dead(&mut self, key: &str, nonce: usize, version: Version) {
        self.jobs.insert(nonce, Stand::Dead(version));
        self.newest.insert(key.to_owned(), nonce);
    }

    /// A job that waited is dead from here on. Its key names it still.
    pub(crate) fn expired(&mut self, nonce: usize, version: Version) {
        self.jobs.insert(nonce, Stand::Dead(version));
    }

    /// A job that runs was cancelled: nothing comes after.
    pub(crate) fn stop(&mut self, nonce: usize) {
        self.stopped.insert(nonce);
    }

    /// Whether a dead job may have been purged for another.
    pub(crate) fn purges(&self) -> bool {
        self.purges
    }

    /// A fired job of this key is remembered from before.
    pub(crate) fn knew_fired(&mut self, key: &str) {
        self.fired.insert(key.to_owned());
    }

    /// The newest job of a key, and where it stands.
    pub(crate) fn of_key(&self, key: &str) -> Option<(usize, Stand)> {
        let nonce = *self.newest.get(key)?;
        Some((nonce, self.stand(nonce)))
    }

    /// Where a job stands.
    pub(crate) fn stand(&self, nonce: usize) -> Stand {
        self.jobs.get(&nonce).copied().unwrap_or(Stand::Gone)
    }

    /// The version of a job that runs, or ran.
    pub(crate) fn started_as(&self, nonce: usize) -> Option<Version> {
        self.versions.get(&nonce).copied()
    }

    /// Those that are pending.
    pub(crate) fn all_pending(&self) -> impl Iterator<Item = usize> + '_ {
        let pending = self.jobs.iter().filter(|(_, stand)| matches!(stand, Stand::Pending(_)));
        pending.map(|(&nonce, _)| nonce)
    }

    /// Whether a fired job of this key may be remembered.
    pub(crate) fn may_remember(&self, key: &str) -> bool {
        self.fired.contains(key)
    }

    /// A job was taken back.
    pub(crate) fn gone(&mut self, nonce: usize) {
        self.jobs.remove(&nonce);
        self.newest.retain(|_, newest| *newest != nonce);
    }

    /// A job is given to its handler. Returns where it stood.
    pub(crate) fn start(&mut self, nonce: usize, version: Version) -> Stand {
        let stood = self.stand(nonce);
        self.versions.insert(nonce, version);
        self.jobs.insert(nonce, Stand::Running);
        stood
    }

    /// An attempt ends. Returns whether it was the last.
    pub(crate) fn end(&mut self, key: &str, nonce: usize, next: Next) -> bool {
        let version = self.versions.get(&nonce).map_or(Version::FIRST, |version| Version(version.0 + 1));
        let end = match next {
            Next::Ended(end) => end,
            Next::Again(_) | Next::Dead if self.stopped.contains(&nonce) => End::Cancelled,
            Next::Again(at_us) => {
                let pending = Pending { version, due: DueAt::Mono(Some(at_us)), known: None };
                self.jobs.insert(nonce, Stand::Pending(pending));
                // Its key names it again, unless another job of the key is pending.
                let named = self.of_key(key);
                if !matches!(named, Some((_, Stand::Pending(_)))) {
                    self.newest.insert(key.to_owned(), nonce);
                }
                return false;
            }
            Next::Dead => {
                self.jobs.insert(nonce, Stand::Dead(version));
                return true;
            }
        };
        self.jobs.insert(nonce, Stand::Ended(end));
        if let Some((key, _)) = self.newest.iter().find(|(_, newest)| **newest == nonce) {
            self.fired.insert(key.clone());
        }
        true
    }

    /// Whether a start keeps to the order of its tick; if not, after which place it comes. Only jobs that were known before
    /// their tick, by a wall clock that was not set since, have a place in the order.
    pub(crate) fn in_order(
        &mut self,
        queue: &str,
        tick_us: u64,
        pending: &Pending,
        started: &Started,
        _now: Now,
    ) -> Option<String> {
        let DueAt::Wall(due_us) = pending.due else { return None };
        let tick_us = i64::try_from(tick_us).ok()?;
        let tick = due_us.div_euclid(tick_us) + i64::from(due_us.rem_euclid(tick_us) > 0);
        let (known_us, steps) = pending.known.unwrap_or((self.began_at.wall.as_micros(), 0));
        // A tick before, and with room for the time that a call takes.
        let is_early_enough = known_us < (tick - 1) * tick_us - 10_000;
        if !is_early_enough || steps != self.steps {
            return None;
        }
        let place = StartRank { tick, priority: started.options.priority(), due_us, id: started.id, steps };
        let lane = (queue.to_owned(), started.id.partition().0);
        let last = self.last.insert(lane, place)?;
        (last.tick == tick && last.steps == steps && last > place).then(|| format!("{last:?}"))
    }
}
