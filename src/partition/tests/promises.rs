//! Promises of the contract that no other file here has for its theme.

use std::collections::BTreeSet;

use super::{MAIL, MS, Rig, SECOND, config};
use crate::job::JobState;
use crate::partition::{Config, Due, End, LookupOutcome, RescheduleOutcome, Version};

#[test]
fn promise_1_never_early_and_within_a_tick_whatever_the_phase() {
    for tick_us in [1, 7, 1_000, 16_667] {
        let mut rig = Rig::with(Config { tick_us, ..config() });
        rig.pass_us(333);
        for n in 0..200u64 {
            let us = n * n * 11 % 70_000;
            let due = if n % 2 == 0 {
                Due::At(rig.now.wall.saturating_add_micros(us))
            } else {
                Due::In(std::time::Duration::from_micros(us))
            };
            rig.take(super::draft(&format!("{n}"), due));
        }
        let mut started = 0;
        while let Some(wake) = rig.partition.next_wake().as_mono(rig.now) {
            rig.pass_us(wake.micros_since(rig.now.mono));
            rig.settle();
            while let Some(job) = rig.start() {
                assert!(job.fired_at >= job.due);
                assert!(job.lateness_us < tick_us, "{job:?}");
                started += 1;
            }
        }
        assert_eq!(started, 200);
    }
}

#[test]
fn promise_1_an_insert_during_catch_up_does_not_fire_early() {
    let mut rig = Rig::new();
    for n in 0..100 {
        rig.at(&format!("{n}"), n * 64);
    }
    rig.pass_ms(6_400);
    assert!(!rig.partition.advance(rig.now, 20), "half way");
    rig.at("next", 6_401);
    rig.after("soon", 1);
    assert_eq!(rig.fire().len(), 100);
    rig.pass_ms(1);
    assert_eq!(rig.fire(), ["next", "soon"]);
}

#[test]
fn exact_multiples_of_the_wheel_s_turns_fire_at_their_tick() {
    let mut rig = Rig::new();
    let mut expected = BTreeSet::new();
    for turn in [64, 64 * 64, 64 * 64 * 64, 64 * 64 * 64 * 64i64] {
        for ms in [turn - 1, turn, turn + 1, 2 * turn, 3 * turn - 1] {
            rig.at(&format!("{ms}"), ms);
            expected.insert((format!("{ms}"), ms));
        }
    }
    assert_eq!(rig.drive().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn promise_4_a_fired_job_is_never_brought_back() {
    let mut rig = Rig::new();
    let job = rig.at("a", 0);
    let at = rig.now.wall;
    assert_eq!(rig.fire(), ["a"]);
    for version in [None, Some(Version(1)), Some(Version(2))] {
        let due = rig.wall_ms(100);
        let outcome = rig.partition.reschedule(job, due, version, rig.now);
        assert_eq!(outcome, Ok(RescheduleOutcome::AlreadyFired { at }));
    }
    rig.pass_ms(200);
    assert_eq!(rig.fire(), [""; 0]);
    assert_eq!(rig.partition.live(), 0);
}

#[test]
fn promise_6_a_handler_gets_what_it_needs_to_be_idempotent() {
    let mut rig = Rig::new();
    let handle = rig.at("a", 10);
    let due = rig.wall_ms(20);
    rig.partition.reschedule(handle, due, None, rig.now).unwrap().rescheduled().unwrap();
    rig.pass_us(25 * MS + 7);
    rig.settle();
    let job = rig.start().unwrap();
    assert_eq!((job.handle, job.id.sequence(), job.key.as_str()), (handle, 0, "a"));
    assert_eq!((job.version, job.attempt, Due::At(job.due)), (Version(2), 1, due));
    assert_eq!((job.fired_at, job.lateness_us), (rig.now.wall, 5 * MS + 7));
    let LookupOutcome::Running(view) = rig.partition.lookup(handle, rig.now) else { panic!("not running") };
    assert_eq!((view.attempt, view.state), (1, JobState::Running));
    assert!(rig.partition.finish(handle, End::Failed, rig.now));
    assert_eq!(rig.partition.counts().failed, 1);
}

#[test]
fn a_job_earlier_than_the_wake_moves_it_and_a_later_one_does_not() {
    let mut rig = Rig::new();
    let wake_ms =
        |rig: &Rig| rig.partition.next_wake().as_mono(rig.now).map(|at| at.micros_since(rig.now.mono) / MS);
    assert_eq!(wake_ms(&rig), None);
    rig.at("a", 40);
    assert_eq!(wake_ms(&rig), Some(40));
    let b = rig.after("b", 30);
    assert_eq!(wake_ms(&rig), Some(30));
    let c = rig.at("c", 50);
    assert_eq!(wake_ms(&rig), Some(30));
    rig.partition.cancel(b, None).cancelled().unwrap();
    assert_eq!(wake_ms(&rig), Some(40));
    rig.partition.cancel(c, None).cancelled().unwrap();
    let a = rig.at("a", 5);
    assert_eq!(wake_ms(&rig), Some(5));
    rig.partition.cancel(a, None).cancelled().unwrap();
    assert_eq!(rig.drive(), [("a".to_string(), 40)]);
    assert_eq!(wake_ms(&rig), None, "the last one has gone");
}

#[test]
fn promise_8_a_paused_queue_keeps_its_jobs_and_they_fire_late() {
    let mut rig = Rig::new();
    for n in 0..100 {
        rig.at(&format!("{n:02}"), n);
    }
    rig.pass_us(3_600 * SECOND as u64);
    rig.settle();
    assert_eq!(rig.partition.ready(MAIL), 100);
    assert!(!rig.partition.next_wake().is_due(rig.now), "a backlog that waits for its queue is no work");
    let fired = rig.run_ready();
    assert!(fired.len() == 100 && fired.is_sorted());
}
