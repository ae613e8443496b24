//! Two `Timers` whose lists run through one foreign table, as a partition's do: entries that hold other things, tell their
//! ticks by a scale, move between the two, leave and have their slots used again. Against a map for each of the two.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use crate::slab::{Index, Slab};
use crate::wheel::Timers;
use crate::wheel::home::{Classes, Home, Linked, Links, NIL};

const DUE_PER_TICK: u64 = 10;

struct Job {
    id: usize,
    due: u64,
    prev: u32,
    next: u32,
    flags: u8,
}

const MARK: u8 = 1;
/// A flag that is not the lists': it must stay.
const OTHER: u8 = 2;

impl Linked for Job {
    fn prev(&self) -> u32 {
        self.prev
    }

    fn next(&self) -> u32 {
        self.next
    }

    fn is_marked(&self) -> bool {
        self.flags & MARK != 0
    }

    fn set_prev(&mut self, slot: u32) {
        self.prev = slot;
    }

    fn set_next(&mut self, slot: u32) {
        self.next = slot;
    }

    fn set_marked(&mut self, is_marked: bool) {
        self.flags = (self.flags & !MARK) | u8::from(is_marked);
    }
}

struct Jobs(Slab<Job>);

impl Home for Jobs {
    type Node = Job;
    type Scale = u64;

    fn at(&self, slot: u32) -> Option<&Job> {
        self.0.at(slot)
    }

    fn at_mut(&mut self, slot: u32) -> Option<&mut Job> {
        self.0.at_mut(slot)
    }

    #[allow(unsafe_code, reason = "as said where it is declared")]
    unsafe fn known_mut(&mut self, slot: u32) -> Option<&mut Job> {
        assert!(slot == NIL || self.0.at(slot).is_some(), "the lists know of a job that is gone");
        // SAFETY: as promised by the caller, and just looked at.
        unsafe { self.0.known_mut(slot) }
    }

    fn prefetch(&self, slot: u32) {
        self.0.prefetch(slot);
    }

    fn scale(&self) -> u64 {
        DUE_PER_TICK
    }

    fn deadline(job: &Job, scale: u64) -> u64 {
        job.due / scale
    }

    fn class(job: &Job) -> Classes {
        Classes::of(job.id as u16)
    }
}

/// Effective tick, then sequence: what decides the order.
type Key = (u64, u64);

/// One of the two, and its model.
struct Side {
    timers: Timers,
    queue: BTreeMap<Key, usize>,
}

struct Pair {
    jobs: Jobs,
    sides: [Side; 2],
    /// By number: where the job lies, and on which side and where in the queue it waits.
    known: Vec<(Index, Option<(usize, Key)>)>,
    sequence: u64,
}

impl Pair {
    #[allow(unsafe_code, reason = "see `Timers::new`")]
    fn new(now: u64) -> Pair {
        // SAFETY: both get `jobs` alone, and a job leaves it only when it is on no list, or is unlinked at once.
        let side = || Side { timers: unsafe { Timers::new(now) }, queue: BTreeMap::new() };
        Pair { jobs: Jobs(Slab::new()), sides: [side(), side()], known: Vec::new(), sequence: 0 }
    }

    /// Where a job of this due time must wait on a side from now on.
    fn key(&mut self, side: usize, due: u64) -> Key {
        self.sequence += 1;
        ((due / DUE_PER_TICK).max(self.sides[side].timers.now()), self.sequence)
    }

    fn enqueue(&mut self, id: usize, side: usize, due: u64) {
        let key = self.key(side, due);
        self.sides[side].queue.insert(key, id);
        self.known[id].1 = Some((side, key));
    }

    /// A new job: linked as it is made, or afterwards.
    fn insert(&mut self, side: usize, due: u64, is_made_linked: bool) {
        let (id, tick) = (self.known.len(), due / DUE_PER_TICK);
        let timers = &mut self.sides[side].timers;
        let tail = timers.tail(tick);
        let prev = if is_made_linked { tail.slot } else { 12_345 };
        let next = if is_made_linked { NIL } else { 54_321 };
        let flags = OTHER | if is_made_linked { 0 } else { MARK };
        let Ok(index) = self.jobs.0.insert(Job { id, due, prev, next, flags }) else { panic!("room") };
        if is_made_linked {
            timers.append(&mut self.jobs, index.slot, tick, tail);
        } else {
            timers.insert(&mut self.jobs, index.slot, tick);
        }
        self.known.push((index, None));
        self.enqueue(id, side, due);
    }

    /// Takes a job off its side, and out of the table before or after, if it `leaves`. What waits nowhere stays.
    fn remove(&mut self, id: usize, leaves: bool, is_first: bool) {
        let (index, Some((side, key))) = self.known[id] else { return };
        let Side { timers, queue } = &mut self.sides[side];
        let due = self.jobs.0.get(index).map(|job| job.due).expect("a pending job");
        if leaves && is_first {
            let job = self.jobs.0.remove(index).expect("a pending job");
            timers.unlink(&mut self.jobs, index.slot, due / DUE_PER_TICK, Links::of(&job));
        } else {
            timers.remove(&mut self.jobs, index.slot, due / DUE_PER_TICK);
            if leaves {
                self.jobs.0.remove(index);
            } else if let Some(job) = self.jobs.0.get_mut(index) {
                // On no list, so all of it is free for other things.
                (job.prev, job.next, job.due) = (7, 8, 9);
            }
        }
        queue.remove(&key);
        self.known[id].1 = None;
    }

    /// Another due time on its side, told to the table before or after.
    fn relink(&mut self, id: usize, due: u64, is_told_before: bool) {
        let (index, Some((side, key))) = self.known[id] else { return };
        let Side { timers, queue } = &mut self.sides[side];
        let old = self.jobs.0.get(index).map(|job| job.due).expect("a pending job");
        if is_told_before {
            self.jobs.0.get_mut(index).expect("a pending job").due = due;
        }
        timers.relink(&mut self.jobs, index.slot, old / DUE_PER_TICK, due / DUE_PER_TICK);
        self.jobs.0.get_mut(index).expect("a pending job").due = due;
        queue.remove(&key);
        self.enqueue(id, side, due);
    }

    /// From wherever it is to a side.
    fn move_to(&mut self, id: usize, side: usize, due: u64) {
        self.remove(id, false, false);
        let index = self.known[id].0;
        let Some(job) = self.jobs.0.get_mut(index) else { return };
        job.due = due;
        self.sides[side].timers.insert(&mut self.jobs, index.slot, due / DUE_PER_TICK);
        self.enqueue(id, side, due);
    }

    /// What fires leaves the table, or stays there for other things. The last of `unwind_at` is met by a panic.
    fn advance(&mut self, side: usize, ticks: u64, budget: usize, unwind_at: usize) {
        let Pair { jobs, sides, known, .. } = self;
        let Side { timers, queue } = &mut sides[side];
        let target = timers.now() + ticks;
        let mut fired = 0;
        let advance = || {
            timers.advance(jobs, target, budget, |jobs, slot| {
                let job = jobs.at_mut(slot).expect("the job is still there");
                let (key, id) = queue.pop_first().expect("something is pending");
                assert_eq!((job.id, job.flags & OTHER), (id, OTHER), "order");
                assert!(key.0 <= target, "early");
                known[id].1 = None;
                (job.prev, job.next, job.due) = (1, 2, 3);
                if id.is_multiple_of(2) {
                    jobs.0.take(slot);
                }
                fired += 1;
                if fired == unwind_at {
                    resume_unwind(Box::new("on purpose"));
                }
            })
        };
        let Ok(progress) = catch_unwind(AssertUnwindSafe(advance)) else { return };
        assert_eq!(progress.fired, fired);
        if progress.done {
            assert_eq!(timers.now(), target);
            assert!(queue.first_key_value().is_none_or(|(key, _)| key.0 > target), "all that was due");
        } else {
            assert_eq!(progress.fired + progress.moved, budget);
        }
    }

    fn check(&self) {
        self.jobs.0.validate();
        for Side { timers, queue } in &self.sides {
            timers.validate(&self.jobs);
            assert_eq!(timers.len(), queue.len());
            let first = queue.first_key_value().map(|(key, _)| key.0);
            assert_eq!(timers.next_deadline().is_some(), first.is_some());
            assert!(timers.next_deadline() <= first, "the next deadline is never too late");
            let slot = timers.first();
            assert!(
                slot.is_some() == first.is_some() && slot.is_none_or(|slot| self.jobs.at(slot).is_some())
            );
            slot.into_iter().for_each(|slot| Timers::warm_neighbours(&self.jobs, slot));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, u64, bool),
    Many(usize, u64, u8, u64),
    Remove(usize, bool, bool),
    Relink(usize, u64, bool),
    MoveTo(usize, usize, u64),
    Advance(usize, u64, usize, usize),
    Clear(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![0..700_u64, 0..60_000_u64, 0..u64::from(u32::MAX)];
    let ticks = prop_oneof![0..70_u64, 0..6_000_u64];
    prop_oneof![
        60 => (0..2_usize, ahead.clone(), any::<bool>()).prop_map(|(a, b, c)| Step::Insert(a, b, c)),
        10 => (0..2_usize, ahead.clone(), any::<u8>(), 0..30_u64)
            .prop_map(|(a, b, c, d)| Step::Many(a, b, c, d)),
        30 => (any::<usize>(), any::<bool>(), any::<bool>()).prop_map(|(a, b, c)| Step::Remove(a, b, c)),
        30 => (any::<usize>(), ahead.clone(), any::<bool>()).prop_map(|(a, b, c)| Step::Relink(a, b, c)),
        30 => (any::<usize>(), 0..2_usize, ahead).prop_map(|(a, b, c)| Step::MoveTo(a, b, c)),
        20 => (0..2_usize, ticks, prop_oneof![0..40_usize, Just(usize::MAX)], 0..60_usize)
            .prop_map(|(a, b, c, d)| Step::Advance(a, b, c, d)),
        1 => (0..2_usize).prop_map(Step::Clear),
    ]
}

fn run(start: u64, steps: Vec<Step>) {
    let mut pair = Pair::new(start);
    // A due time on a side, a little in the past now and then.
    let due = |pair: &Pair, side: usize, ahead: u64| {
        (pair.sides[side].timers.now() * DUE_PER_TICK + ahead).saturating_sub(100)
    };
    for step in steps {
        let picked = |at: usize| (!pair.known.is_empty()).then(|| at % pair.known.len());
        match step {
            Step::Insert(side, ahead, is_made_linked) => {
                let due = due(&pair, side, ahead);
                pair.insert(side, due, is_made_linked);
            }
            Step::Many(side, ahead, count, stride) => {
                let due = due(&pair, side, ahead);
                (0..u64::from(count)).for_each(|n| pair.insert(side, due + n * stride, n % 2 == 0));
            }
            Step::Remove(at, leaves, is_first) => {
                picked(at).into_iter().for_each(|id| pair.remove(id, leaves, is_first));
            }
            Step::Relink(at, ahead, is_told_before) => {
                let Some(id) = picked(at) else { continue };
                let due = due(&pair, pair.known[id].1.map_or(0, |(side, _)| side), ahead);
                pair.relink(id, due, is_told_before);
            }
            Step::MoveTo(at, side, ahead) => {
                let Some(id) = picked(at) else { continue };
                let due = due(&pair, side, ahead);
                pair.move_to(id, side, due);
            }
            Step::Advance(side, ticks, budget, unwind_at) => pair.advance(side, ticks, budget, unwind_at),
            Step::Clear(side) => {
                pair.sides[side].timers.clear();
                pair.sides[side].queue.clear();
                for (_, place) in &mut pair.known {
                    *place = place.filter(|&(on, _)| on != side);
                }
            }
        }
        pair.check();
    }
    for side in 0..2 {
        while !pair.sides[side].queue.is_empty() {
            pair.advance(side, 1 << 40, 500, 0);
        }
    }
    pair.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn two_timers_share_a_home_and_agree_with_their_models(
        start in prop_oneof![Just(0), 60..70_u64, (1_u64 << 36) - 50..(1 << 36) + 50],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        run(start, steps);
    }
}
