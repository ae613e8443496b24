//! The pool: how many handlers run at a time over all queues that workers run, and which queue starts the next job.
//!
//! # Rules
//! - A job runs on a permit of the pool, from before it is started until its end is written down.
//! - Of the queues that could start a job now, those of the highest precedence come first; among these the one with the smallest
//!   pass. Each start adds a stride to the queue's pass, the inverse of its weight: stride scheduling (Waldspurger and Weihl,
//!   "Stride Scheduling: Deterministic Proportional-Share Resource Management", MIT 1995).
//! - A queue has no claim to what it missed while it could start nothing: its pass counts as no smaller than that of the last start
//!   of its precedence.
//! - Who comes first is decided, and the start is charged, in one step under the lock. It is the innermost lock: a partition may be
//!   held by whoever takes it, and nothing is locked under it.
//!
//! # No call is lost
//! Whatever may let a job start (a permit that is given back, a job that is due, a queue that goes on) is published first. Then a
//! worker of the queue that comes first is called. A worker that is called and finds that another queue comes first calls a worker
//! of that one before it sleeps, after it has said that it is idle. So while there is a permit, and a job that could start on it,
//! a worker is called or looks.

use std::sync::Arc;

use parking_lot::Mutex;

use super::queue::Queue;
use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// What a start of a queue of weight 1 adds to its pass.
const STRIDE: u128 = 1 << 32;

/// Where a queue stands among the others of its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Queues of a higher one come first.
    pub(crate) precedence: i8,
    /// How many starts it has for one of a queue of weight 1.
    pub(crate) weight: u16,
}

impl Default for Place {
    fn default() -> Self {
        Place { precedence: 0, weight: 1 }
    }
}

/// See the [module's documentation](self).
pub(crate) struct Pool {
    /// How many handlers may run at a time.
    limit: AtomicUsize,
    /// How many permits are taken. Changed under the lock, and read without it.
    in_use: AtomicUsize,
    turns: Mutex<Turns>,
}

/// The queues of a pool, by precedence, the highest first.
#[derive(Default)]
struct Turns {
    levels: Vec<Level>,
}

/// The queues of one precedence.
struct Level {
    precedence: i8,
    /// The pass of the queue that was started last, before it was charged. It never goes back.
    pass: u128,
    members: Vec<Member>,
}

struct Member {
    queue: Arc<Queue>,
    stride: u128,
    pass: u128,
    /// The pass of its level before it was charged last.
    level_before: u128,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Pool { limit: AtomicUsize::new(limit), in_use: AtomicUsize::new(0), turns: Mutex::default() }
    }

    /// How many handlers may run at a time.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Has so many handlers run at a time from here on. Those that run go on.
    pub(crate) fn set_limit(&self, handlers: usize) {
        self.limit.store(handlers, SeqCst);
    }

    /// How many permits are taken.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(SeqCst)
    }

    /// How many are left.
    pub(crate) fn free(&self) -> usize {
        self.limit().saturating_sub(self.in_use())
    }

    /// A queue takes part from here on.
    pub(crate) fn join(&self, queue: &Arc<Queue>) {
        let Place { precedence, weight } = queue.place();
        let mut turns = self.turns.lock();
        let levels = &mut turns.levels;
        let at = levels.partition_point(|level| level.precedence > precedence);
        if levels.get(at).is_none_or(|level| level.precedence != precedence) {
            levels.insert(at, Level { precedence, pass: 0, members: Vec::new() });
        }
        let stride = STRIDE / u128::from(weight.max(1));
        levels[at].members.push(Member { queue: Arc::clone(queue), stride, pass: 0, level_before: 0 });
    }

    /// Takes a permit for a job of `queue`, if there is one and it comes first of the queues that `could_start` one.
    pub(crate) fn take(&self, queue: &Queue, could_start: impl Fn(&Queue) -> bool) -> bool {
        // Without the lock: of a busy pool it is the cheapest thing to know.
        if self.free() == 0 {
            return false;
        }
        let mut turns = self.turns.lock();
        let is_taken = self.free() > 0 && turns.charge_if_first(queue, could_start);
        if is_taken {
            self.in_use.fetch_add(1, SeqCst);
        }
        is_taken
    }

    /// The same for a job that has just ended: the next one of `queue` takes its permit over.
    pub(crate) fn keep(&self, queue: &Queue, could_start: impl Fn(&Queue) -> bool) -> bool {
        let mut turns = self.turns.lock();
        self.in_use() <= self.limit() && turns.charge_if_first(queue, could_start)
    }

    /// Gives a permit back. The caller calls whoever comes [first](Self::first) now.
    pub(crate) fn give_back(&self) {
        let _turns = self.turns.lock();
        let before = self.in_use.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "what is given back was taken");
    }

    /// The start that was charged last to `queue` by the caller has not come about.
    pub(crate) fn refund(&self, queue: &Queue) {
        self.turns.lock().refund(queue);
    }

    /// The queue that comes first of those that `could_start` a job, if there is a permit for it.
    pub(crate) fn first(&self, could_start: impl Fn(&Queue) -> bool) -> Option<Arc<Queue>> {
        if self.free() == 0 {
            return None;
        }
        let turns = self.turns.lock();
        let (level, member) = turns.first(could_start)?;
        Some(Arc::clone(&turns.levels[level].members[member].queue))
    }
}

impl Queue {
    pub(super) fn place(&self) -> Place {
        self.place.get().copied().unwrap_or_default()
    }

    /// Only the first call counts: a queue is claimed once.
    pub(super) fn set_place(&self, place: Place) {
        let _ = self.place.set(place);
    }

    /// It has ready jobs, which are published.
    #[inline]
    pub(crate) fn note_ready(&self) {
        self.is_noted.store(true, SeqCst);
    }

    /// Whether it may have ready jobs.
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        self.is_noted.load(SeqCst)
    }

    /// Notes that it has no ready jobs, if that is so. Looks again after it has said so: one of the two sees the other, this or
    /// whoever publishes jobs meanwhile and notes them.
    #[cold]
    pub(crate) fn note_if_none(&self) {
        if self.ready() == 0 {
            self.is_noted.store(false, SeqCst);
            if self.ready() > 0 {
                self.note_ready();
            }
        }
    }
}

impl Turns {
    /// Where the queue is that comes first. O(queues) looks.
    fn first(&self, could_start: impl Fn(&Queue) -> bool) -> Option<(usize, usize)> {
        for (at, level) in self.levels.iter().enumerate() {
            let mut first: Option<(u128, usize)> = None;
            for (number, member) in level.members.iter().enumerate() {
                let pass = member.pass.max(level.pass);
                let is_before = first.is_none_or(|(lowest, _)| pass < lowest);
                if is_before && could_start(&member.queue) {
                    first = Some((pass, number));
                }
            }
            if let Some((_, number)) = first {
                return Some((at, number));
            }
        }
        None
    }

    fn charge_if_first(&mut self, queue: &Queue, could_start: impl Fn(&Queue) -> bool) -> bool {
        let Some((level, number)) = self.first(could_start) else { return false };
        let level = &mut self.levels[level];
        let member = &mut level.members[number];
        let is_it = member.queue.id == queue.id;
        if is_it {
            member.level_before = level.pass;
            level.pass = level.pass.max(member.pass);
            member.pass = level.pass + member.stride;
        }
        is_it
    }

    fn refund(&mut self, queue: &Queue) {
        for level in &mut self.levels {
            let Some(member) = level.members.iter_mut().find(|member| member.queue.id == queue.id) else {
                continue;
            };
            member.pass = member.pass.saturating_sub(member.stride);
            // Those that could not start either lose nothing by it, unless another start has gone further.
            if level.pass == member.pass {
                level.pass = member.level_before;
            }
        }
    }
}

#[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
mod tests {
    use super::*;
    use crate::engine::meters::Register;
    use crate::engine::queues::{QueueConfig, Queues};

    /// Queues of these places, named by their number, in a pool.
    fn pool(limit: usize, places: &[(i8, u16)]) -> (Pool, Vec<Arc<Queue>>) {
        let (pool, queues) = (Pool::new(limit), Queues::new(1, Register::default()));
        let queue = |(number, &(precedence, weight)): (usize, &(i8, u16))| {
            let config = QueueConfig::new(number.to_string()).precedence(precedence).weight(weight);
            let queue = queues.claim(config).unwrap();
            pool.join(&queue);
            queue
        };
        let queues = places.iter().enumerate().map(queue).collect();
        (pool, queues)
    }

    /// Starts a job of whichever of the queues `ready` comes first, and ends it. Returns its number.
    fn start_one(pool: &Pool, queues: &[Arc<Queue>], ready: &[usize]) -> usize {
        let could_start = |queue: &Queue| ready.iter().any(|&number| queues[number].id == queue.id);
        let first = pool.first(could_start).unwrap();
        for queue in queues.iter().filter(|queue| queue.id != first.id) {
            assert!(!pool.take(queue, could_start), "one is first");
        }
        assert!(pool.take(&first, could_start));
        assert_eq!(pool.in_use(), 1);
        pool.give_back();
        usize::from(first.id.0)
    }

    fn starts(pool: &Pool, queues: &[Arc<Queue>], ready: &[usize], times: usize) -> Vec<usize> {
        let mut starts = vec![0; queues.len()];
        (0..times).for_each(|_| starts[start_one(pool, queues, ready)] += 1);
        starts
    }

    #[test]
    fn starts_are_as_the_weights_are_and_even_at_any_time() {
        let (pool, queues) = pool(1, &[(0, 3), (0, 1), (0, 2)]);
        let ready = [0, 1, 2];
        let mut seen = [0_i64; 3];
        for n in 1..=6_000 {
            seen[start_one(&pool, &queues, &ready)] += 1;
            for (starts, weight) in seen.iter().zip([3, 1, 2]) {
                assert!((starts * 6 - n * weight).abs() <= 2 * 6, "after {n}: {seen:?}");
            }
        }
        assert_eq!(seen, [3_000, 1_000, 2_000]);
    }

    #[test]
    fn what_one_does_not_use_is_the_others_and_it_has_no_claim_to_it() {
        let (pool, queues) = pool(1, &[(0, 3), (0, 1)]);
        assert_eq!(starts(&pool, &queues, &[1], 10_000), [0, 10_000]);
        shares_are_kept(&pool, &queues);
        assert_eq!(starts(&pool, &queues, &[0], 10_000), [10_000, 0]);
        shares_are_kept(&pool, &queues);
    }

    /// Of two queues of the weights 3 and 1, to a start.
    fn shares_are_kept(pool: &Pool, queues: &[Arc<Queue>]) {
        let seen = starts(pool, queues, &[0, 1], 400);
        assert!((299..=301).contains(&seen[0]) && seen[0] + seen[1] == 400, "{seen:?}");
    }

    #[test]
    fn a_higher_precedence_goes_first_and_changes_no_shares_below_it() {
        let (pool, queues) = pool(1, &[(0, 3), (0, 1), (5, 1), (-3, 9)]);
        let mut seen = [0; 4];
        for n in 0..8_000 {
            let ready: &[usize] = if n % 2 == 0 { &[0, 1, 2, 3] } else { &[0, 1, 3] };
            seen[start_one(&pool, &queues, ready)] += 1;
        }
        assert_eq!(seen, [3_000, 1_000, 4_000, 0]);
        assert_eq!(starts(&pool, &queues, &[3], 10), [0, 0, 0, 10]);
    }

    #[test]
    fn a_start_that_does_not_come_about_takes_no_turn_from_those_that_could_not_start_either() {
        let (pool, queues) = pool(1, &[(0, 1), (0, 2)]);
        assert_eq!(starts(&pool, &queues, &[0], 3), [3, 0]);
        let (only_first, both) = (|queue: &Queue| queue.id == queues[0].id, |_: &Queue| true);
        for _ in 0..3 {
            assert!(pool.take(&queues[0], only_first));
            pool.refund(&queues[0]);
            pool.give_back();
        }
        assert!(!pool.take(&queues[0], both) && pool.take(&queues[1], both), "it has waited for longer");
    }

    #[test]
    fn permits_are_taken_up_to_the_limit_kept_by_the_first_and_fewer_later() {
        let (pool, queues) = pool(2, &[(0, 1), (0, 1)]);
        let all = |_: &Queue| true;
        assert!(pool.take(&queues[0], all) && !pool.take(&queues[0], all) && pool.take(&queues[1], all));
        assert!(pool.first(all).is_none() && !pool.take(&queues[0], all));
        assert!(pool.keep(&queues[0], all) && !pool.keep(&queues[0], all));
        pool.refund(&queues[0]);
        assert!(pool.keep(&queues[0], all), "what has not come about is not counted");
        pool.set_limit(1);
        assert!(!pool.keep(&queues[1], all), "there are more than there may be");
        pool.give_back();
        assert!(pool.keep(&queues[1], all) && pool.free() == 0);
    }
}
