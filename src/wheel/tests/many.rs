//! Many timers in one call: the same as single calls in the same order, whatever is stale, doubled or panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use super::{ALL, TimerHandle, Wheel, drive, fire, insert_all};
use crate::wheel::many::FAR;

/// Two wheels to which the same has been done.
struct Twins {
    single: Wheel<u64>,
    many: Wheel<u64>,
    /// Of both wheels, stale ones too.
    handles: Vec<TimerHandle>,
}

impl Twins {
    fn new() -> Twins {
        Twins { single: Wheel::new(0), many: Wheel::new(0), handles: Vec::new() }
    }

    fn insert(&mut self, ahead: u64) {
        let (deadline, value) = (self.single.now().saturating_add(ahead), self.handles.len() as u64);
        let handle = self.single.insert(deadline, value);
        assert_eq!(self.many.insert(deadline, value), handle);
        self.handles.push(handle);
    }

    fn pick(&self, picks: &[usize]) -> Vec<TimerHandle> {
        picks.iter().filter_map(|pick| self.handles.get(pick % self.handles.len().max(1)).copied()).collect()
    }

    fn reschedule(&mut self, picks: &[usize], ahead: u64, stride: u64) {
        let deadline = |n: u64| self.single.now().saturating_add(ahead).wrapping_add(n * stride);
        let moves: Vec<_> = self.pick(picks).into_iter().zip((0..).map(deadline)).collect();
        let mut moved = 0;
        for &(handle, deadline) in &moves {
            moved += usize::from(self.single.reschedule(handle, deadline));
        }
        assert_eq!(self.many.reschedule_many(moves), moved);
    }

    fn cancel(&mut self, picks: &[usize]) {
        let handles = self.pick(picks);
        let gone: Vec<u64> = handles.iter().filter_map(|&handle| self.single.cancel(handle)).collect();
        let mut values = Vec::new();
        let cancelled = self.many.cancel_many(handles, |value| values.push(value));
        assert_eq!((cancelled, values), (gone.len(), gone));
    }

    fn advance(&mut self, ticks: u64, budget: usize) {
        let to = self.single.now().saturating_add(ticks);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let progress = self.single.advance(to, budget, |timer| left.push(timer));
        assert_eq!(self.many.advance(to, budget, |timer| right.push(timer)), progress);
        assert_eq!(left, right);
    }

    fn check(&self) {
        self.many.validate();
        assert_eq!(self.many.next_deadline(), self.single.next_deadline());
        for &handle in &self.handles {
            assert_eq!(self.many.deadline(handle), self.single.deadline(handle));
            assert_eq!(self.many.get(handle), self.single.get(handle));
        }
    }

    fn finish(mut self) {
        assert_eq!(drive(&mut self.many), drive(&mut self.single));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, usize),
    Reschedule(Vec<usize>, u64, u64),
    Cancel(Vec<usize>),
    Advance(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Few and many more than are known ahead; with so few timers, doubles and stale ones among them.
    let picks = || prop::collection::vec(any::<usize>(), 0..60);
    let ahead = || prop_oneof![0..200_u64, 0..6000_u64, any::<u64>()];
    prop_oneof![
        4 => (ahead(), 1..30_usize).prop_map(|(ahead, count)| Step::Insert(ahead, count)),
        4 => (picks(), ahead(), 0..100_u64).prop_map(|(picks, ahead, stride)| Step::Reschedule(picks, ahead, stride)),
        2 => picks().prop_map(Step::Cancel),
        3 => (0..3000_u64, 0..40_usize).prop_map(|(ticks, budget)| Step::Advance(ticks, budget)),
    ]
}

proptest! {
    #[test]
    fn many_at_once_do_what_single_calls_do(steps in prop::collection::vec(step(), 0..60)) {
        let mut twins = Twins::new();
        for step in steps {
            match step {
                Step::Insert(ahead, count) => (0..count).for_each(|n| twins.insert(ahead.saturating_add(n as u64 % 3))),
                Step::Reschedule(picks, ahead, stride) => twins.reschedule(&picks, ahead, stride),
                Step::Cancel(picks) => twins.cancel(&picks),
                Step::Advance(ticks, budget) => twins.advance(ticks, budget),
            }
            twins.check();
        }
        twins.finish();
    }
}

#[test]
fn any_number_of_timers_is_dealt_with() {
    for count in 0..70_usize {
        let mut wheel = Wheel::new(0);
        let handles = insert_all(&mut wheel, 0..count as u64);
        let moves = handles.iter().zip(100..).map(|(&handle, deadline)| (handle, deadline));
        assert_eq!(wheel.reschedule_many(moves), count);
        wheel.validate();
        assert!(
            handles.iter().zip(100..).all(|(&handle, deadline)| wheel.deadline(handle) == Some(deadline))
        );
        let mut values = Vec::new();
        assert_eq!(wheel.cancel_many(handles, |value| values.push(value)), count);
        assert!(wheel.is_empty() && values.into_iter().eq(0..count as u64));
    }
}

#[test]
fn the_last_of_several_moves_of_one_timer_counts() {
    let mut wheel = Wheel::new(0);
    let handles = insert_all(&mut wheel, [1, 2]);
    let moves = [(handles[0], 50), (handles[1], 30), (handles[0], 20), (handles[0], 30)];
    assert_eq!(wheel.reschedule_many(moves), 4);
    assert_eq!(wheel.deadline(handles[0]), Some(30));
    assert_eq!(fire(&mut wheel, 30), [2, 1], "a reschedule counts as a new insert");
}

#[test]
fn stale_handles_are_skipped() {
    let mut wheel = Wheel::new(0);
    let handles = insert_all(&mut wheel, 0..40);
    assert_eq!(fire(&mut wheel, 9).len(), 10);
    assert_eq!(wheel.cancel(handles[20]), Some(20));
    // Their slots have other timers now.
    let new = insert_all(&mut wheel, 100..105);
    assert_eq!(wheel.reschedule_many(handles.iter().map(|&handle| (handle, 50))), 29);
    let mut values = Vec::new();
    let all = handles.iter().chain(&handles).copied();
    assert_eq!(wheel.cancel_many(all, |value| values.push(value)), 29);
    assert!(values.into_iter().eq((10..20).chain(21..40)));
    wheel.validate();
    assert!(new.iter().zip(100..).all(|(&handle, deadline)| wheel.deadline(handle) == Some(deadline)));
}

#[test]
fn in_the_middle_of_a_cascade() {
    let mut wheel = Wheel::new(0);
    let handles = insert_all(&mut wheel, 100..120);
    assert!(!wheel.advance(100, 7, drop).done);
    assert_eq!(wheel.reschedule_many(handles.iter().rev().map(|&handle| (handle, 110))), 20);
    wheel.validate();
    assert_eq!(wheel.cancel_many(handles[..5].iter().copied(), drop), 5);
    wheel.validate();
    assert_eq!(fire(&mut wheel, 110), (105..120).rev().collect::<Vec<_>>());
}

/// Runs what panics on purpose, without a word on the tests' output.
fn unwinds<R>(run: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn a_panic_with_a_value_leaves_those_after_it_pending() {
    for bad in [0, 1, 7, 15, 16, 17, 38, 39] {
        let mut wheel = Wheel::new(0);
        let handles = insert_all(&mut wheel, 0..40);
        let seen = Cell::new(0);
        assert!(unwinds(|| wheel.cancel_many(handles.iter().copied(), |value| {
            assert_eq!(value, seen.get(), "in order");
            if value == bad {
                resume_unwind(Box::new("on purpose"));
            }
            seen.set(value + 1);
        })));
        wheel.validate();
        assert_eq!(seen.get(), bad);
        assert!(handles.iter().zip(0..).all(|(&handle, value)| wheel.get(handle).is_some() == (value > bad)));
        // As good as before.
        assert_eq!(wheel.cancel_many(handles.iter().copied(), drop), 39 - bad as usize);
        assert!(wheel.is_empty());
    }
}

#[test]
fn a_panic_of_the_items_costs_those_that_were_known_ahead_at_most() {
    let mut wheel = Wheel::new(0);
    let handles = insert_all(&mut wheel, 0..40);
    let bad_at_30 = |at: usize| if at == 30 { resume_unwind(Box::new("on purpose")) } else { handles[at] };
    assert!(unwinds(|| wheel.reschedule_many((0..40).map(|at| (bad_at_30(at), 1_000)))));
    wheel.validate();
    let moved = handles.iter().take_while(|&&handle| wheel.deadline(handle) == Some(1_000)).count();
    assert!((30 - FAR..=30).contains(&moved), "{moved} moved");
    assert!(
        handles[moved..].iter().zip(moved as u64..).all(|(&handle, old)| wheel.deadline(handle) == Some(old))
    );
    assert!(unwinds(|| wheel.cancel_many((0..40).map(bad_at_30), drop)));
    wheel.validate();
    assert_eq!(wheel.len(), 40 - moved, "as many are cancelled");
    assert!(wheel.advance(1_000, ALL, drop).done && wheel.is_empty());
}

#[test]
fn a_handle_of_another_wheel_does_no_harm() {
    let (mut wheel, mut other) = (Wheel::new(0), Wheel::new(0));
    let far = insert_all(&mut other, 0..1000);
    assert_eq!(wheel.reschedule_many(far.iter().map(|&handle| (handle, 5))), 0);
    assert_eq!(wheel.cancel_many(far, |_: u64| unreachable!("there is no timer")), 0);
    wheel.validate();
}
