//! Cancel, reschedule and schedule against a job in every state that it can be in.

use super::{MAIL, MS, Rig, draft};
use crate::partition::{
    CancelOutcome, Draft, Due, End, Handle, LookupOutcome, OnConflict, RescheduleOutcome, ScheduleOutcome,
    Timestamp, Version,
};

/// Three jobs due at one tick, taken off the wheel but not yet released: the budget ended in the middle.
fn collected() -> (Rig, [Handle; 3]) {
    let mut rig = Rig::new();
    let jobs = ["a", "b", "c"].map(|key| rig.at(key, 10));
    rig.pass_ms(10);
    assert!(!rig.partition.advance(rig.now, 2));
    assert_eq!(rig.partition.ready(MAIL), 0);
    assert!(rig.is_ready(jobs[0]) && rig.is_ready(jobs[1]) && !rig.is_ready(jobs[2]));
    (rig, jobs)
}

/// The same, all released.
fn ready() -> (Rig, [Handle; 3]) {
    let (mut rig, jobs) = collected();
    rig.settle();
    assert_eq!(rig.partition.ready(MAIL), 3);
    (rig, jobs)
}

#[test]
fn promise_3_cancel_wins_over_a_job_that_is_due_and_not_yet_delivered() {
    for (mut rig, [a, b, c]) in [collected(), ready()] {
        assert_eq!(rig.partition.cancel(b, None), CancelOutcome::Cancelled);
        assert_eq!(rig.partition.cancel(b, None), CancelOutcome::NotFound);
        rig.partition.validate();
        assert_eq!(rig.fire(), ["a", "c"]);
        assert!(matches!(rig.partition.cancel(a, None), CancelOutcome::AlreadyFired { .. }));
        assert!(matches!(rig.partition.cancel(c, None), CancelOutcome::AlreadyFired { .. }));
    }
}

#[test]
fn promise_3_cancel_against_fire_has_one_winner() {
    let (mut rig, [a, ..]) = ready();
    let at = rig.now.wall;
    assert_eq!(rig.start().unwrap().handle, a);
    rig.pass_ms(5);
    assert_eq!(rig.partition.cancel(a, None), CancelOutcome::Running);
    let later = Due::In(std::time::Duration::from_secs(1));
    assert_eq!(rig.partition.reschedule(a, later, None, rig.now), Ok(RescheduleOutcome::Running));
    assert!(rig.partition.finish(a, End::Done, rig.now));
    assert!(!rig.partition.finish(a, End::Done, rig.now));
    assert_eq!(rig.partition.cancel(a, None), CancelOutcome::AlreadyFired { at });
}

#[test]
fn cancelling_all_that_was_collected_leaves_nothing_to_do() {
    let (mut rig, jobs) = collected();
    for job in jobs {
        assert_eq!(rig.partition.cancel(job, None), CancelOutcome::Cancelled);
    }
    assert_eq!(rig.fire(), [""; 0]);
    assert_eq!((rig.partition.live(), rig.partition.next_wake()), (0, Default::default()));
}

#[test]
fn a_reschedule_of_a_due_job_takes_it_back() {
    for (mut rig, [_, b, _]) in [collected(), ready()] {
        let due = rig.wall_ms(500);
        let outcome = rig.partition.reschedule(b, due, None, rig.now).unwrap();
        assert!(matches!(outcome, RescheduleOutcome::Rescheduled { version: Version(2), .. }));
        assert!(!rig.is_ready(b));
        assert_eq!(rig.fire(), ["a", "c"]);
        assert_eq!(rig.drive(), [("b".to_string(), 500)]);
    }
}

#[test]
fn a_reschedule_into_the_past_is_due_at_once_in_its_new_place() {
    for (mut rig, [a, ..]) in [collected(), ready()] {
        let yesterday = Due::At(Timestamp::from_micros(0));
        rig.partition.reschedule(a, yesterday, None, rig.now).unwrap().rescheduled().unwrap();
        assert!(rig.partition.next_wake().is_due(rig.now), "the sleeper must wake");
        assert_eq!(rig.fire().len(), 3);
    }
    // From afar, with the sleeper's wake far off.
    let mut rig = Rig::new();
    let handle = rig.at("a", 100_000);
    rig.settle();
    assert!(!rig.partition.next_wake().is_due(rig.now));
    rig.partition.reschedule(handle, Due::At(rig.now.wall), None, rig.now).unwrap().rescheduled().unwrap();
    assert!(rig.partition.next_wake().is_due(rig.now));
    assert_eq!(rig.fire(), ["a"]);
}

/// It is in the batch twice then, and only the later entry counts.
#[test]
fn a_job_collected_anew_in_its_own_tick_goes_by_its_new_due() {
    let mut rig = Rig::new();
    rig.pass_ms(20);
    rig.settle();
    let a = rig.at("a", 2);
    let (c, late) = (rig.at("c", 5), rig.wall_ms(8));
    rig.at("d", 6);
    rig.at("b", 10);
    // All in the past, so all of the wheel's present tick; one of them is collected, and moved behind the others.
    assert!(!rig.partition.advance(rig.now, 1));
    assert!(rig.is_ready(a) && !rig.is_ready(c));
    rig.partition.reschedule(a, late, None, rig.now).unwrap().rescheduled().unwrap();
    assert_eq!(rig.fire(), ["c", "d", "a", "b"]);
}

#[test]
fn promise_4_schedule_on_a_taken_key_follows_the_policy() {
    for (mut rig, [a, ..]) in [collected(), ready(), {
        let mut rig = Rig::new();
        let jobs = ["a", "b", "c"].map(|key| rig.at(key, 10));
        (rig, jobs)
    }] {
        let was = Timestamp::from_micros(rig.began.as_micros() + 10_000);
        let anew =
            |on_conflict| Draft { on_conflict, ..draft("a", Due::At(was.saturating_add_micros(90 * MS))) };
        let mut call = |on_conflict| rig.partition.schedule(Some(a), anew(on_conflict), rig.now).unwrap();
        assert_eq!(call(OnConflict::Reject), ScheduleOutcome::AlreadyScheduled { handle: a });
        assert_eq!(call(OnConflict::Keep), ScheduleOutcome::Kept { handle: a });
        let ScheduleOutcome::Replaced { handle, was: told } = call(OnConflict::Replace) else {
            panic!("not replaced")
        };
        assert_eq!(told, was);
        assert_eq!(rig.partition.lookup(a, rig.now), LookupOutcome::NotFound);
        rig.pass_ms(20);
        assert_eq!(rig.fire(), ["b", "c"]);
        rig.pass_ms(100);
        rig.settle();
        assert_eq!(rig.start().unwrap().handle, handle);
    }
}

#[test]
fn a_handler_may_schedule_its_own_key_again() {
    let (mut rig, [a, ..]) = ready();
    rig.start().unwrap();
    for policy in [OnConflict::Reject, OnConflict::Keep, OnConflict::Replace] {
        let due = rig.wall_ms(1_000);
        let again = Draft { on_conflict: policy, ..draft("a", due) };
        let outcome = rig.partition.schedule(Some(a), again, rig.now).unwrap();
        assert!(matches!(outcome, ScheduleOutcome::Scheduled { .. }));
        assert_eq!(rig.partition.cancel(outcome.handle(), None), CancelOutcome::Cancelled);
    }
    rig.at("a", 1_000);
    assert!(rig.partition.finish(a, End::Failed, rig.now));
    assert_eq!(rig.fire(), ["b", "c"]);
    assert_eq!(rig.drive(), [("a".to_string(), 1_000)]);
}

#[test]
fn a_stale_version_changes_nothing() {
    let mut rig = Rig::new();
    let a = rig.at("a", 10);
    let due = rig.wall_ms(20);
    let call =
        |rig: &mut Rig, version| rig.partition.reschedule(a, due, Some(Version(version)), rig.now).unwrap();
    assert!(matches!(call(&mut rig, 1), RescheduleOutcome::Rescheduled { version: Version(2), .. }));
    assert_eq!(call(&mut rig, 1), RescheduleOutcome::Changed { version: Version(2) });
    let outcome = rig.partition.cancel(a, Some(Version(1)));
    assert_eq!(outcome, CancelOutcome::Changed { version: Version(2) });
    assert_eq!(rig.drive(), [("a".to_string(), 20)]);
}

#[test]
fn a_stale_handle_finds_nothing_after_its_slot_is_used_again() {
    let mut rig = Rig::new();
    let old = rig.at("old", 10);
    rig.partition.cancel(old, None).cancelled().unwrap();
    let new = rig.at("new", 10);
    assert_eq!(old.index.slot, new.index.slot, "the point of the test");
    assert_eq!(rig.partition.cancel(old, None), CancelOutcome::NotFound);
    let due = rig.wall_ms(20);
    assert_eq!(rig.partition.reschedule(old, due, None, rig.now), Ok(RescheduleOutcome::NotFound));
    assert_eq!(rig.partition.lookup(old, rig.now), LookupOutcome::NotFound);
    assert!(!rig.partition.finish(old, End::Done, rig.now));
    assert_eq!(rig.drive(), [("new".to_string(), 10)]);
}
