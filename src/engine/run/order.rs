//! Who starts next: of all ready jobs of a queue, in whichever partition, the first by tick, priority and due.
//!
//! # Rules
//! - A partition's ready jobs are in order. Its holder publishes the rank of the first one of each queue. A worker that looks
//!   for a job takes the lowest of these, and checks it again under that partition's lock.
//! - A worker that has looked knows a bound: all other partitions begin later. It holds until jobs are released, because
//!   everything else only takes jobs away. So a worker stays in its partition, and looks nowhere else, while that is not behind
//!   the bound and nothing was released. Ties stay too: in a burst each worker keeps to a partition.
//! - A tick with jobs in several partitions is released as one ([`Releases`]): no worker looks meanwhile.

use std::mem;
use std::sync::Arc;

use crate::engine::queues::Queue;
use crate::engine::state::{Owned, Shared};
use crate::partition::{RankKey, Started};

/// How often to look at all partitions before a job is taken although something was released meanwhile.
pub(super) const LOOKS_MAX: usize = 16;

/// A count of releases that is never read when nothing is on its way: no such count is odd.
const NEVER: u64 = 1;

/// The partition from which a worker takes jobs of a queue, and why.
pub(crate) struct Lead {
    pub(crate) partition: usize,
    /// When all partitions were looked at; [`NEVER`] in a pool.
    releases: u64,
    /// The same in a pool.
    releases_in_pool: u64,
    /// No other partition began before this at that time, or since, unless something was released.
    bound: RankKey,
}

impl Lead {
    /// For a worker that has not looked yet. It begins with `partition` if several come first.
    pub(crate) fn from(partition: usize) -> Self {
        Lead { partition, releases: NEVER, releases_in_pool: NEVER, bound: (i64::MIN, 0) }
    }

    /// The queue is in a pool: before the next job starts the pool is asked. That is on the path of those who have to look again,
    /// so that it costs no other queue anything.
    pub(super) fn is_in_pool(&mut self) {
        self.releases_in_pool = mem::replace(&mut self.releases, NEVER);
    }
}

impl Shared {
    /// Takes the next due job of `queue`, which has its turn; `None` if there is none. If several come first, it takes the one in the partition that
    /// `lead` names, or the next after it: workers that each stay with a partition of their own do not meet at its
    /// lock.
    #[inline]
    pub(super) fn start_first(self: &Arc<Self>, queue: &Arc<Queue>, lead: &mut Lead) -> Option<Started> {
        let mut looks = 0;
        loop {
            lead.releases = self.releases.settled();
            let (at, bound) = self.first_partition(queue, lead.partition)?;
            lead.bound = bound;
            looks += 1;
            let releases = lead.releases;
            let comes_first = |_: &Owned| {
                let is_first = self.first_in(at, queue).is_some_and(|first| first <= bound);
                looks >= LOOKS_MAX || is_first && self.releases.are_still(releases)
            };
            if let Some(started) = self.start_in(at, queue, comes_first) {
                lead.partition = at;
                return Some(started);
            }
        }
    }

    /// The partition whose first job comes first of all, and the first of the others.
    fn first_partition(&self, queue: &Queue, from: usize) -> Option<(usize, RankKey)> {
        let (count, apart) = (self.cells.len(), self.releases.apart());
        let begin = from % count;
        let (mut first, mut bound) = (None, (i64::MAX, u64::MAX));
        for at in (begin..count).chain(0..begin) {
            if !self.could_start_in(at, queue) {
                continue;
            }
            let key = queue.first_in(at).key(apart);
            match first {
                Some((_, lowest)) if lowest <= key => bound = bound.min(key),
                _ => {
                    bound = first.map_or(bound, |(_, lowest)| lowest);
                    first = Some((at, key));
                }
            }
        }
        first.map(|(at, _)| (at, bound))
    }

    /// What the first ready job of a queue is compared by, in partition `at`: as was published, which is how it stands while
    /// the caller holds the partition and has changed nothing ready.
    #[inline]
    fn first_in(&self, at: usize, queue: &Queue) -> Option<RankKey> {
        (queue.ready_in(at) > 0).then(|| queue.first_in(at).key(self.releases.apart()))
    }

    /// Whether the first ready job of a queue in partition `at`, which is held, is the next to be started; in a pool, on the permit of the
    /// one that has ended. Waits for nothing.
    #[inline]
    pub(crate) fn stays_first(&self, at: usize, queue: &Queue, lead: &mut Lead) -> bool {
        let Some(first) = self.first_in(at, queue) else { return false };
        if first <= lead.bound && self.releases.are_still(lead.releases) {
            return true;
        }
        self.comes_first_again(at, queue, first, lead)
    }

    #[cold]
    fn comes_first_again(&self, at: usize, queue: &Queue, first: RankKey, lead: &mut Lead) -> bool {
        if queue.has_too_many_workers() {
            return false;
        }
        let Some(pool) = self.pool_of(queue) else { return self.is_first(at, queue, first, lead) };
        lead.releases = lead.releases_in_pool;
        let is_first = first <= lead.bound && self.releases.are_still(lead.releases)
            || self.is_first(at, queue, first, lead);
        lead.is_in_pool();
        is_first && self.keeps_permit(pool, queue)
    }

    /// The same after another look at all partitions.
    fn is_first(&self, at: usize, queue: &Queue, first: RankKey, lead: &mut Lead) -> bool {
        let releases = self.releases.count();
        if !releases.is_multiple_of(2) {
            return false;
        }
        let apart = self.releases.apart();
        let others = (0..self.cells.len()).filter(|&other| other != at && self.could_start_in(other, queue));
        let bound = others.map(|other| queue.first_in(other).key(apart)).min();
        let bound = bound.unwrap_or((i64::MAX, u64::MAX));
        *lead = Lead { partition: at, releases, bound, ..*lead };
        first <= lead.bound && self.releases.are_still(releases)
    }
}
