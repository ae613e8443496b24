//! What follows an occurrence, against a list of all of them.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::{at, every, instants, occurrence};
use crate::job::recurrence::{
    LateCause, Missed, Occurrence, Overlap, Passed, Reason, Recurrence, RecurrenceError, Step,
};
use crate::time::Timestamp;

const NOON: &str = "2026-12-01T12:00:00Z";

fn after(seconds: u64) -> Timestamp {
    at(NOON).saturating_add_micros(seconds * 1_000_000)
}

fn passed(count: u64, reason: Reason, first: u64, last: u64) -> Option<Passed> {
    Some(Passed { count, reason, first: after(first), last: after(last) })
}

#[test]
fn an_interval_is_counted_from_the_call_the_beginning_or_the_anchor() {
    let noon = at(NOON);
    assert_eq!(instants(&every(60), noon, 2), [after(60), after(120)]);
    let from = every(60).from(after(7)).unwrap();
    assert_eq!(instants(&from, noon, 2), [after(7), after(67)]);
    // A beginning that has passed is counted from all the same: what each replica writes at its start is the same rule.
    assert_eq!(instants(&from, after(100), 2), [after(127), after(187)]);
    let anchored = every(60).anchor(after(7_013)).unwrap();
    assert_eq!(instants(&anchored, noon, 2), [after(53), after(113)]);
    assert_eq!(instants(&anchored.from(after(60)).unwrap(), noon, 1), [after(113)]);
}

#[test]
fn a_rule_ends_with_its_last_occurrence() {
    let noon = at(NOON);
    let until = every(60).until(after(120)).unwrap();
    assert_eq!(instants(&until, noon, 9), [after(60), after(120)]);
    assert_eq!(until.next_after(&occurrence(after(120), 2, 0)), Ok(None));
    let count = every(60).count(2).unwrap();
    assert_eq!(instants(&count, noon, 9), [after(60), after(120)]);
    assert_eq!(count.next_after(&occurrence(after(120), 2, 0)), Ok(None));
    assert_eq!(until.first(after(120)), Err(RecurrenceError::UntilPassed { until: after(120) }));
    assert_eq!(until.first(after(61)), Err(RecurrenceError::NoOccurrence { from: after(61) }));
}

#[test]
fn instants_that_cannot_be_named_end_it() {
    let last = Timestamp::MAX.saturating_sub_micros(1);
    assert_eq!(every(5).first(last), Err(RecurrenceError::NoOccurrence { from: last }));
    assert_eq!(every(5).next_after(&occurrence(last, 1, 0)), Ok(None));
    let first = every(5).anchor(Timestamp::MAX).unwrap().first(Timestamp::from_micros(i64::MIN)).unwrap();
    assert!(first.scheduled_for.as_micros() < i64::MIN + 5_000_000);
}

/// A restart, however late, does not begin an interval anew, and does not make run what is not due.
#[test]
fn what_is_next_does_not_depend_on_when_somebody_asks() {
    let rule = every(7 * 24 * 3600);
    let first = rule.first(at(NOON)).unwrap();
    for hours in 0..7 * 24 {
        let waits = Step { passed: None, next: Some(first) };
        assert_eq!(rule.late(&first, after(hours * 3600), LateCause::Down), Ok(waits));
    }
    // Whenever the handler ends, the next is a week after this one.
    for seconds in [0, 1, 3600, 6 * 24 * 3600] {
        let ended = rule
            .ended(
                &first,
                first.scheduled_for,
                first.scheduled_for.saturating_add_micros(seconds * 1_000_000),
            )
            .unwrap();
        let next = ended.next.unwrap();
        assert_eq!((ended.passed, next.number), (None, 2));
        assert_eq!(next.scheduled_for.micros_since(first.scheduled_for), 7 * 24 * 3600 * 1_000_000);
    }
}

#[test]
fn a_week_of_downtime_under_each_policy() {
    let minutely = every(60);
    let (waiting, now) = (occurrence(after(60), 1, 0), after(7 * 24 * 3600 + 30));
    let count = 7 * 24 * 60;
    let last = count * 60;
    let late = |missed, cause| minutely.clone().missed(missed).late(&waiting, now, cause).unwrap();
    assert_eq!(
        late(Missed::One, LateCause::Down),
        Step {
            passed: passed(count - 1, Reason::Coalesced, 60, last - 60),
            next: Some(occurrence(after(last), count, count - 1)),
        }
    );
    let all = Missed::All { max: NonZeroU32::new(3).unwrap() };
    assert_eq!(
        late(all, LateCause::Down),
        Step {
            passed: passed(count - 3, Reason::Missed, 60, last - 180),
            next: Some(occurrence(after(last - 120), count - 2, count - 3)),
        }
    );
    assert_eq!(
        late(Missed::None, LateCause::Down),
        Step {
            passed: passed(count, Reason::Missed, 60, last),
            next: Some(occurrence(after(last + 60), count + 1, count)),
        }
    );
    assert_eq!(
        late(Missed::None, LateCause::Busy),
        Step {
            passed: passed(count - 1, Reason::Missed, 60, last - 60),
            next: Some(occurrence(after(last), count, count - 1)),
        }
    );
}

/// There is no grace within which it must start, or be dropped.
#[test]
fn being_a_little_late_drops_nothing() {
    for missed in [Missed::One, Missed::None, Missed::All { max: NonZeroU32::MIN }] {
        let rule = every(60).missed(missed);
        let waiting = occurrence(after(60), 1, 0);
        for late_us in [0, 1, 59_999_999] {
            let now = after(60).saturating_add_micros(late_us);
            let runs = Step { passed: None, next: Some(waiting) };
            assert_eq!(rule.late(&waiting, now, LateCause::Busy), Ok(runs), "{missed:?}");
        }
    }
}

#[test]
fn what_comes_due_during_a_run_is_told() {
    let ran = occurrence(after(60), 1, 5);
    let end = after(200);
    let ended = |overlap| every(60).overlap(overlap).ended(&ran, after(61), end).unwrap();
    assert_eq!(
        ended(Overlap::Skip),
        Step { passed: passed(2, Reason::Overlap, 120, 180), next: Some(occurrence(after(240), 4, 2)) }
    );
    let coalesced =
        Step { passed: passed(1, Reason::Coalesced, 120, 120), next: Some(occurrence(after(180), 3, 1)) };
    assert_eq!((ended(Overlap::After), ended(Overlap::Allow)), (coalesced, coalesced));
    let all = every(60).overlap(Overlap::After).missed(Missed::All { max: NonZeroU32::new(9).unwrap() });
    assert_eq!(
        all.ended(&ran, after(61), end),
        Ok(Step { passed: None, next: Some(occurrence(after(120), 2, 0)) })
    );
}

#[test]
fn a_backlog_that_is_to_run_is_not_taken_for_an_overlap() {
    let all = every(60).missed(Missed::All { max: NonZeroU32::new(9).unwrap() });
    // It began with two behind it, and a third came due while it ran.
    let step = all.ended(&occurrence(after(60), 1, 0), after(190), after(245)).unwrap();
    assert_eq!(step, Step { passed: None, next: Some(occurrence(after(120), 2, 0)) });
    let step = all.ended(&occurrence(after(180), 3, 0), after(190), after(245)).unwrap();
    assert_eq!(
        step,
        Step { passed: passed(1, Reason::Overlap, 240, 240), next: Some(occurrence(after(300), 5, 1)) }
    );
}

#[test]
fn what_came_due_during_a_pause_does_not_run() {
    let waiting = occurrence(after(60), 1, 4);
    let resumed =
        |at| every(60).missed(Missed::All { max: NonZeroU32::MAX }).after_pause(&waiting, at).unwrap();
    assert_eq!(resumed(after(59)), Step { passed: None, next: Some(waiting) });
    assert_eq!(
        resumed(after(180)),
        Step { passed: passed(3, Reason::Paused, 60, 180), next: Some(occurrence(after(240), 4, 7)) }
    );
    let over = every(60).count(2).unwrap().after_pause(&waiting, after(1_000)).unwrap();
    assert_eq!(over, Step { passed: passed(2, Reason::Paused, 60, 120), next: None });
}

/// What is passed over counts towards the end.
#[test]
fn a_rule_may_end_with_what_is_passed_over() {
    let rule = every(60).count(3).unwrap();
    let step = rule.ended(&occurrence(after(60), 1, 0), after(60), after(1_000)).unwrap();
    assert_eq!(step, Step { passed: passed(2, Reason::Overlap, 120, 180), next: None });
    let step = rule.late(&occurrence(after(60), 1, 0), after(1_000), LateCause::Down).unwrap();
    assert_eq!(
        step,
        Step { passed: passed(2, Reason::Coalesced, 60, 120), next: Some(occurrence(after(180), 3, 2)) }
    );
    let none = every(60).until(after(180)).unwrap().missed(Missed::None);
    let step = none.late(&occurrence(after(60), 1, 0), after(1_000), LateCause::Down).unwrap();
    assert_eq!(step, Step { passed: passed(3, Reason::Missed, 60, 180), next: None });
}

/// A step, by going through the occurrences one by one.
fn by_hand(
    rule: &Recurrence,
    all: &[Occurrence],
    from: usize,
    now: Timestamp,
    keep: usize,
    reason: Reason,
) -> Step {
    let due = all[from..].iter().take_while(|occurrence| occurrence.scheduled_for <= now).count();
    let skipped = &all[from..from + due - keep.min(due)];
    let passed = skipped.first().zip(skipped.last()).map(|(first, last)| Passed {
        count: skipped.len() as u64,
        reason,
        first: first.scheduled_for,
        last: last.scheduled_for,
    });
    let next = all.get(from + skipped.len()).map(|next| Occurrence { missed: skipped.len() as u64, ..*next });
    assert!(next.is_some() || rule.count.is_some() || rule.until.is_some());
    Step { passed, next }
}

fn rules() -> Vec<Recurrence> {
    let rules = vec![every(1), every(7), every(3600)];
    #[cfg(feature = "cron")]
    let rules = {
        let cron = |expression| Recurrence::cron(expression, "Europe/Berlin").unwrap();
        let more = ["*/7 * * * * *", "0 */5 * * * *", "5,6,59 1-3 * * * *", "30 0 2 * * *", "30 2 * * SUN"];
        rules.into_iter().chain(more.map(cron)).collect::<Vec<_>>()
    };
    rules
}

proptest! {
    #[test]
    fn every_step_is_as_by_hand(
        which in prop::sample::select((0..rules().len()).collect::<Vec<_>>()),
        // Around a change of clocks.
        called_at in 1_792_800_000_000_000..1_792_900_000_000_000_i64,
        from in 0..40_usize,
        ahead in 0..200_usize,
        beyond_us in 0..5_000_000_u64,
        max in 1..20_u32,
        end in prop::option::of(1..240_u64),
        ends_by_count: bool,
    ) {
        let mut rule = rules()[which].clone();
        let called_at = Timestamp::from_micros(called_at);
        let without_end: Vec<_> = rule.preview(called_at).unwrap().take(300).collect();
        match end {
            Some(end) if ends_by_count => rule = rule.count(end).unwrap(),
            Some(end) => rule = rule.until(without_end[end as usize - 1].scheduled_for).unwrap(),
            None => {}
        }
        let all: Vec<_> = rule.preview(called_at).unwrap().take(300).collect();
        prop_assert_eq!(&all[..], &without_end[..end.map_or(300, |end| end as usize)]);
        let from = from % all.len();
        let now = without_end[from + ahead].scheduled_for.saturating_add_micros(beyond_us);
        let late = |missed, cause| rule.clone().missed(missed).late(&all[from], now, cause).unwrap();
        let one = by_hand(&rule, &all, from, now, 1, Reason::Coalesced);
        prop_assert_eq!(late(Missed::One, LateCause::Down), one);
        prop_assert_eq!(late(Missed::One, LateCause::Busy), one);
        let some = by_hand(&rule, &all, from, now, max as usize, Reason::Missed);
        prop_assert_eq!(late(Missed::All { max: NonZeroU32::new(max).unwrap() }, LateCause::Down), some);
        prop_assert_eq!(late(Missed::None, LateCause::Down), by_hand(&rule, &all, from, now, 0, Reason::Missed));
        prop_assert_eq!(late(Missed::None, LateCause::Busy), by_hand(&rule, &all, from, now, 1, Reason::Missed));
        let ended = rule.clone().overlap(Overlap::Skip).ended(&all[from], all[from].scheduled_for, now).unwrap();
        prop_assert_eq!(ended, by_hand(&rule, &all, from + 1, now, 0, Reason::Overlap));
    }
}
