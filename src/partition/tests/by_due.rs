//! The jobs that wait, the earliest first, read in slices while nothing happens and while much does.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Due, Handle, LookupOutcome, MAIL, Rig, draft};
use crate::job::{JobFilter, JobState};
use crate::partition::{DueWalk, Mark, Waits, Wanted};
use crate::time::TimeBase;

const START: Mark = (i64::MIN, 0);

/// All that is found after a mark, with `between` called after each slice.
fn walk(
    rig: &mut Rig,
    base: TimeBase,
    after: Mark,
    (jobs_max, looks): (usize, usize),
    filter: &JobFilter,
    mut between: impl FnMut(&mut Rig),
) -> (Vec<Waits>, Option<Mark>) {
    let wanted = Wanted::of(filter, |_| Some(MAIL)).unwrap();
    let mut walk = DueWalk::new(base, after, jobs_max, usize::MAX, &wanted, rig.now);
    let mut slices = 0;
    while rig.partition.walk_by_due(&mut walk, looks, &wanted, rig.now) {
        slices += 1;
        assert!(slices < 100_000, "the walk does not end");
        between(rig);
    }
    let (found, reached) = walk.into_found();
    assert!(found.len() <= jobs_max && found.is_sorted_by(|one, next| one.mark < next.mark));
    (found, reached)
}

/// What must be found: the marks of the jobs of a clock that wait, in order.
fn waiting(rig: &Rig, jobs: &[(Handle, TimeBase, i64)], base: TimeBase) -> Vec<Mark> {
    let waits = |handle: Handle| match rig.partition.lookup(handle, rig.now) {
        LookupOutcome::Scheduled(view) if view.state == JobState::Pending => Some(view.id.as_u64()),
        _ => None,
    };
    let jobs = jobs.iter().filter(|&&(_, its, _)| its == base);
    let mut marks: Vec<Mark> = jobs.filter_map(|&(handle, _, us)| Some((us, waits(handle)?))).collect();
    marks.sort_unstable();
    marks
}

impl Rig {
    /// A job on either clock, so many milliseconds from the beginning, with its mark's microseconds.
    fn waits(&mut self, n: usize, base: TimeBase, ms: u64) -> (Handle, TimeBase, i64) {
        let (due, us) = match base {
            TimeBase::Wall => (self.wall_ms(ms as i64), self.began.as_micros() + ms as i64 * 1_000),
            TimeBase::Mono => {
                let us = self.now.mono.as_micros() as i64 + ms as i64 * 1_000;
                (Due::In(Duration::from_millis(ms)), us)
            }
        };
        (self.take(draft(&format!("{n}"), due)), base, us)
    }
}

/// From a millisecond to a year: on most levels of the wheel.
fn spread(n: u64) -> u64 {
    let least = 1 << (n % 35);
    least + n.wrapping_mul(2_654_435_761) % least
}

#[test]
fn pages_of_any_size_have_all_that_wait_in_order() {
    let mut rig = Rig::new();
    let jobs: Vec<_> = (0..600)
        .map(|n| rig.waits(n, if n % 3 == 0 { TimeBase::Mono } else { TimeBase::Wall }, spread(n as u64)))
        .collect();
    for (handle, ..) in jobs.iter().step_by(7) {
        rig.partition.cancel(*handle, None).cancelled().unwrap();
    }
    for passed_ms in [0, 3_000, 40_000_000] {
        rig.pass_ms(passed_ms);
        rig.fire();
        for base in [TimeBase::Wall, TimeBase::Mono] {
            let expected = waiting(&rig, &jobs, base);
            assert!(expected.len() > 20);
            for limits in [(1, 1), (7, 3), (100, 256), (1_000, 256)] {
                let (mut marks, mut after) = (Vec::new(), Some(START));
                while let Some(from) = after {
                    let (found, reached) = walk(&mut rig, base, from, limits, &JobFilter::default(), |_| {});
                    assert!(found.len() == limits.0 || reached.is_none(), "a page is full, or the last");
                    marks.extend(found.iter().map(|waits| waits.mark));
                    after = reached;
                }
                assert_eq!(marks, expected, "{limits:?} after {passed_ms} ms");
            }
        }
    }
}

#[test]
fn a_walk_ends_at_the_end_of_a_slot_when_it_has_looked_enough() {
    let mut rig = Rig::new();
    for n in 0..1_000 {
        rig.waits(n, TimeBase::Wall, 1 + n as u64 * 10);
    }
    let filter = JobFilter::default().key_prefix("999");
    let wanted = Wanted::of(&filter, |_| Some(MAIL)).unwrap();
    let (mut after, mut found, mut walks) = (Some(START), 0, 0);
    while let Some(from) = after {
        let mut walk = DueWalk::new(TimeBase::Wall, from, 10, 50, &wanted, rig.now);
        while rig.partition.walk_by_due(&mut walk, 16, &wanted, rig.now) {}
        let (some, reached) = walk.into_found();
        assert!(reached.is_none_or(|reached| reached > from), "it goes on");
        (after, found, walks) = (reached, found + some.len(), walks + 1);
    }
    assert_eq!(found, 1);
    assert!((3..=20).contains(&walks), "{walks} walks of 50 jobs and what ends their slots");
}

#[test]
fn what_is_due_after_the_filter_ends_is_not_looked_at() {
    let mut rig = Rig::new();
    for n in 0..1_000 {
        rig.waits(n, TimeBase::Wall, 1 + n as u64 * 1_000);
    }
    let to = rig.began.saturating_add_micros(5_500_000);
    let mut slices = 0;
    let filter = JobFilter::default().due_to(to);
    let (found, reached) = walk(&mut rig, TimeBase::Wall, START, (100, 1), &filter, |_| slices += 1);
    assert_eq!((found.len(), reached), (6, None));
    assert!(slices < 150, "{slices} looks at a slot each, or a job");
}

#[test]
fn jobs_that_are_held_since_the_clock_was_set_back_are_in_their_place() {
    let mut rig = Rig::new();
    rig.pass_ms(10_000);
    rig.settle();
    rig.step_wall(-8_000_000);
    let jobs: Vec<_> = [9_000, 3_000, 20_000, 5_000, 12_000]
        .into_iter()
        .enumerate()
        .map(|(n, ms)| rig.waits(n, TimeBase::Wall, ms))
        .collect();
    rig.settle();
    let expected = waiting(&rig, &jobs, TimeBase::Wall);
    assert_eq!(expected.len(), 5);
    for limits in [(1, 1), (2, 1), (10, 100)] {
        let (mut marks, mut after) = (Vec::new(), Some(START));
        while let Some(from) = after {
            let (found, reached) =
                walk(&mut rig, TimeBase::Wall, from, limits, &JobFilter::default(), |_| {});
            marks.extend(found.iter().map(|waits| waits.mark));
            after = reached;
        }
        assert_eq!(marks, expected, "{limits:?}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Take(u64),
    Cancel(usize),
    Move(usize, u64),
    /// And back to where it was, at the end of its slot's list.
    Touch(usize),
    Pass(u64),
    /// Works with so small a budget that a slot stays half cascaded.
    Advance(usize),
    Nothing,
}

fn change() -> impl Strategy<Value = Change> {
    let ms = || (0u32..26, any::<u64>()).prop_map(|(bits, some)| 1 + some % (1 << bits));
    prop_oneof![
        2 => ms().prop_map(Change::Take),
        1 => any::<prop::sample::Index>().prop_map(|at| Change::Cancel(at.index(1_000))),
        2 => (any::<prop::sample::Index>(), ms()).prop_map(|(at, ms)| Change::Move(at.index(1_000), ms)),
        2 => any::<prop::sample::Index>().prop_map(|at| Change::Touch(at.index(1_000))),
        1 => ms().prop_map(|ms| Change::Pass(ms % 5_000)),
        2 => (1usize..20).prop_map(Change::Advance),
        3 => Just(Change::Nothing),
    ]
}

proptest! {
    /// Whatever others do between slices, a job that they leave alone is found once, if it is among the first.
    #[test]
    fn jobs_that_stay_are_found_once(
        dues in prop::collection::vec((0u32..26, any::<u64>()), 1..150),
        changes in prop::collection::vec(change(), 1..60),
        jobs_max in 1usize..60,
        looks in 1usize..12,
    ) {
        let mut rig = Rig::new();
        let mut jobs: Vec<(Handle, TimeBase, i64)> = Vec::new();
        for (n, (bits, some)) in dues.into_iter().enumerate() {
            let base = if n % 4 == 0 { TimeBase::Mono } else { TimeBase::Wall };
            jobs.push(rig.waits(n, base, 1 + some % (1 << bits)));
        }
        let before = [TimeBase::Wall, TimeBase::Mono].map(|base| waiting(&rig, &jobs, base));
        let mut touched = BTreeMap::new();
        let mut changes = changes.into_iter().cycle();
        let began = rig.began.as_micros();
        for (base, before) in [TimeBase::Wall, TimeBase::Mono].into_iter().zip(before) {
            let (mut marks, mut after) = (Vec::new(), Some(START));
            let mut page = 0;
            while let Some(from) = after {
                let (found, reached) = walk(&mut rig, base, from, (jobs_max, looks), &JobFilter::default(), |rig| {
                    match changes.next().unwrap_or(Change::Nothing) {
                        Change::Take(ms) if jobs.len() < 1_000 => {
                            let ms = ms + ((rig.now.wall.as_micros() - began) / 1_000) as u64;
                            let job = rig.waits(jobs.len(), TimeBase::Wall, ms);
                            jobs.push(job);
                        }
                        Change::Cancel(at) => {
                            let (handle, ..) = jobs[at % jobs.len()];
                            if rig.partition.cancel(handle, None).cancelled().is_ok() {
                                touched.insert(at % jobs.len(), ());
                            }
                        }
                        Change::Move(at, ms) => {
                            let at = at % jobs.len();
                            let due = rig.wall_ms(ms as i64);
                            let _ = rig.partition.reschedule(jobs[at].0, due, None, rig.now);
                            touched.insert(at, ());
                        }
                        Change::Touch(at) => {
                            let at = at % jobs.len();
                            if let LookupOutcome::Scheduled(view) = rig.partition.lookup(jobs[at].0, rig.now) {
                                let _ = rig.partition.reschedule(jobs[at].0, Due::At(view.due), None, rig.now);
                                touched.insert(at, ());
                            }
                        }
                        Change::Pass(ms) => rig.pass_ms(ms),
                        Change::Advance(budget) => {
                            rig.partition.advance(rig.now, budget);
                        }
                        _ => {}
                    }
                });
                marks.extend(found.iter().filter(|&&waits| rig.partition.found(waits, rig.now).is_some()).map(|waits| waits.mark));
                after = reached;
                page += 1;
                prop_assert!(page < 2_000, "the pages do not end");
            }
            rig.partition.validate();
            let touched: Vec<u64> = touched.keys().filter_map(|&at: &usize| match rig.partition.lookup(jobs[at].0, rig.now) {
                LookupOutcome::Scheduled(view) => Some(view.id.as_u64()),
                _ => None,
            }).collect();
            let after = waiting(&rig, &jobs, base);
            for mark in before.iter().filter(|mark| after.contains(mark) && !touched.contains(&mark.1)) {
                let times = marks.iter().filter(|found| *found == mark).count();
                prop_assert_eq!(times, 1, "{:?} was found {} times", mark, times);
            }
        }
    }
}
