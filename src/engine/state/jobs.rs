//! How many jobs there are, and whether there is room for one more: both by partition, so that calls in two partitions write
//! nothing in common.
//!
//! # The count
//! On the way out of a partition its holder publishes how many jobs it has ([`JobCount`]), as two numbers that only grow:
//! taken and gone. [`jobs`] reads what is gone in all partitions, then what was taken. If the sums are equal there was a
//! moment without a job. One number by partition would not do: a handler that schedules the next job in another
//! partition, and then ends, could be missed in both.
//!
//! # The bound
//! A partition takes room from the engine's ([`Room`]) for [`BLOCK`] jobs at a time, and keeps some of what is idle. When
//! little is left, room is *tight*: it is had one by one, and idle room goes back at the end of each stay. What partitions kept
//! from before is fetched back (`Shared::gather_room`), one partition at a time. After that no room is idle, so a refusal is
//! exact: every place has a job, or a call that is taking one.
//!
//! # Invariants
//! - A partition has no more jobs than it holds room for, but for those that a restore found.
//! - Partitions hold no more room than the engine has, but for that of restored jobs.

use crate::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, Release, SeqCst},
};

/// How much room a partition takes at a time, while there is plenty.
const BLOCK: usize = 64;

/// The jobs of a partition, pending or running, as its holder last published them.
#[derive(Debug)]
pub(crate) struct JobCount {
    taken: AtomicUsize,
    gone: AtomicUsize,
}

impl JobCount {
    pub(crate) fn new(jobs: usize) -> Self {
        JobCount { taken: AtomicUsize::new(jobs), gone: AtomicUsize::new(0) }
    }

    /// There are `jobs` now. Returns whether there were some, and there are none. Under the partition's lock.
    #[inline]
    pub(crate) fn publish(&self, jobs: usize) -> bool {
        // Written under the lock only, so nobody writes between load and store.
        let (taken, gone) = (self.taken.load(Relaxed), self.gone.load(Relaxed));
        let before = taken.wrapping_sub(gone);
        if jobs > before {
            self.taken.store(taken.wrapping_add(jobs - before), Release);
        } else if jobs < before {
            // Whoever takes the last job away looks next at who waits for that (`Life::one_is_empty`), and whoever
            // waits looks at the count.
            let order = if jobs == 0 { SeqCst } else { Release };
            self.gone.store(gone.wrapping_add(before - jobs), order);
        }
        jobs == 0 && before > 0
    }
}

/// The jobs of all partitions. Exact while nothing changes, and 0 only if there was a moment without a job.
pub(crate) fn jobs<'a>(counts: impl Iterator<Item = &'a JobCount> + Clone) -> usize {
    let gone = counts.clone().fold(0usize, |sum, count| sum.wrapping_add(count.gone.load(SeqCst)));
    let taken = counts.fold(0usize, |sum, count| sum.wrapping_add(count.taken.load(SeqCst)));
    taken.wrapping_sub(gone)
}

/// What an engine has room for, and how much of it partitions hold. Apart from its neighbours: it is written now and then,
/// and every call reads those.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Room {
    max: usize,
    /// Held by partitions, with a job or without.
    held: AtomicUsize,
    /// How often room became tight or stopped being so: odd while it is.
    turns: AtomicU64,
    /// The turn in which all idle room was fetched back.
    gathered_in: AtomicU64,
    block: usize,
    /// Room is tight when less than this is left, and is no longer when twice as much is. At least 1: of a full engine room
    /// is tight.
    near: usize,
}

impl Room {
    /// For `max` jobs, of which there are `jobs`, in so many partitions.
    pub(crate) fn new(max: usize, partitions: usize, jobs: usize) -> Self {
        Room::with_blocks(max, jobs, BLOCK, BLOCK * partitions)
    }

    pub(crate) fn with_blocks(max: usize, jobs: usize, block: usize, near: usize) -> Self {
        let (held, turns, gathered_in) = (AtomicUsize::new(jobs), AtomicU64::new(0), AtomicU64::new(0));
        Room { max, held, turns, gathered_in, block, near }
    }

    /// Makes sure that a partition with `jobs`, which holds room for `held`, has room for one more. Under the
    /// partition's lock. `false` if there is none, for all that can be seen from here.
    #[inline]
    pub(crate) fn make(&self, held: &mut usize, jobs: usize) -> bool {
        if *held > jobs {
            return true;
        }
        let more = self.take();
        *held += more;
        more > 0
    }

    /// As [`make`](Self::make), for so many more. What was taken in vain goes back at the end of the stay.
    pub(crate) fn make_for(&self, held: &mut usize, jobs: usize, more: usize) -> bool {
        while *held < jobs + more {
            match self.take() {
                0 => return false,
                taken => *held += taken,
            }
        }
        true
    }

    /// What a partition with `jobs` is to give back of the room that it holds. Under the partition's lock, at the end of
    /// every stay.
    #[inline]
    pub(crate) fn settle(&self, held: &mut usize, jobs: usize) {
        let idle = held.saturating_sub(jobs);
        if idle > 0 && (idle > 2 * self.block || self.is_tight()) {
            self.give_back(held, jobs);
        }
    }

    #[cold]
    fn give_back(&self, held: &mut usize, jobs: usize) {
        let kept = if self.is_tight() { jobs } else { jobs + self.block };
        let gone = held.saturating_sub(kept);
        *held -= gone;
        self.put_back(gone);
    }

    /// Takes all idle room of a partition with `jobs`. Under the partition's lock.
    pub(crate) fn fetch_back(&self, held: &mut usize, jobs: usize) {
        let idle = held.saturating_sub(jobs);
        *held -= idle;
        self.put_back(idle);
    }

    fn put_back(&self, room: usize) {
        if room == 0 {
            return;
        }
        let held = self.held.fetch_sub(room, SeqCst) - room;
        let turn = self.turns.load(SeqCst);
        if is_tight(turn) && self.max.saturating_sub(held) >= 2 * self.near {
            // If it has changed meanwhile, others have seen to it.
            let _ = self.turns.fetch_update(SeqCst, SeqCst, |now| (now == turn).then_some(turn + 1));
        }
    }

    #[cold]
    fn take(&self) -> usize {
        let left = self.max.saturating_sub(self.held.load(SeqCst));
        let block = if left < self.near || self.is_tight() {
            self.tighten();
            1
        } else {
            self.block
        };
        let taken = self.held.fetch_update(SeqCst, SeqCst, |held| {
            let held = held.checked_add(block)?;
            (held <= self.max).then_some(held)
        });
        if taken.is_ok() { block } else { 0 }
    }

    /// Whether idle room goes back at once.
    fn is_tight(&self) -> bool {
        is_tight(self.turns.load(Relaxed))
    }

    /// Has room be tight. Returns the turn in which it is.
    pub(crate) fn tighten(&self) -> u64 {
        match self.turns.fetch_update(SeqCst, SeqCst, |turn| (!is_tight(turn)).then_some(turn + 1)) {
            Ok(loose) => loose + 1,
            Err(tight) => tight,
        }
    }

    /// The turn since whose beginning all idle room has been fetched back, if it goes on. A refusal that begins and ends in
    /// it is exact.
    #[inline]
    pub(crate) fn exact_turn(&self) -> Option<u64> {
        let turn = self.turns.load(SeqCst);
        (is_tight(turn) && self.gathered_in.load(SeqCst) == turn).then_some(turn)
    }

    /// Since `turn` began, all idle room has been fetched back.
    pub(crate) fn is_gathered(&self, turn: u64) {
        self.gathered_in.fetch_max(turn, SeqCst);
    }
}

fn is_tight(turn: u64) -> bool {
    turn % 2 == 1
}
