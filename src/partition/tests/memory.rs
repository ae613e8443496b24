//! Memory comes back, and what has fired is remembered within bounds.

use super::{ALL, HOUR, MAIL, Rig, SECOND, config};
use crate::partition::{CancelOutcome, Config, End, LookupOutcome, RescheduleOutcome};

/// Bytes of the job table and of both wheels.
fn bytes(rig: &Rig) -> usize {
    let partition = &rig.partition;
    partition.jobs.allocated_bytes() + partition.wall.allocated_bytes() + partition.mono.allocated_bytes()
}

#[test]
fn memory_comes_back_after_a_burst() {
    let mut rig = Rig::with(Config { fired_max: 10, is_logged: true, ..config() });
    rig.at("k", 0);
    rig.fire();
    let before = bytes(&rig);
    for n in 0..200_000 {
        rig.at("k", 1_000 + n % 3);
    }
    let full = bytes(&rig);
    rig.pass_ms(2_000);
    assert_eq!(rig.fire().len(), 200_000);
    rig.partition.drain_records();
    rig.partition.drain_forgotten();
    assert_eq!((rig.partition.live(), rig.partition.fired_remembered()), (0, 10));
    // Most of what stays is the directories of pages, which are tiny in tests.
    assert!(bytes(&rig) < before + full / 12, "{before}, then {full}, then {}", bytes(&rig));
    assert!(rig.partition.batch.is_empty());
    // Buffers that effects leave by are given back a call later.
    rig.at("k", 0);
    rig.fire();
    assert_eq!(rig.partition.drain_records().len(), 3);
    assert_eq!(rig.partition.drain_forgotten().len(), 1);
    assert!(rig.partition.records.capacity() <= 4_096, "{}", rig.partition.records.capacity());
    assert!(rig.partition.forgotten.capacity() <= 4_096, "{}", rig.partition.forgotten.capacity());
}

#[test]
fn a_paused_backlog_that_is_moved_and_cancelled_leaves_no_garbage() {
    let mut rig = Rig::new();
    let jobs: Vec<_> = (0..1_000).map(|_| rig.at("k", 0)).collect();
    rig.settle();
    let before = bytes(&rig);
    for round in 0..50 {
        for &job in &jobs {
            let due = rig.wall_ms(round);
            assert!(matches!(
                rig.partition.reschedule(job, due, None, rig.now),
                Ok(RescheduleOutcome::Rescheduled { .. })
            ));
        }
        rig.pass_ms(1);
        rig.settle_by(100);
        assert_eq!(rig.partition.ready(MAIL), 1_000);
    }
    assert!(bytes(&rig) <= before * 2, "{before}, then {}", bytes(&rig));
    for job in jobs {
        assert_eq!(rig.partition.cancel(job, None), CancelOutcome::Cancelled);
    }
    rig.partition.validate();
    assert_eq!((rig.partition.ready(MAIL), rig.partition.live(), rig.start()), (0, 0, None));
}

#[test]
fn promise_4_fired_jobs_are_remembered_up_to_a_count() {
    let mut rig = Rig::with(Config { fired_max: 3, ..config() });
    let jobs: Vec<_> = (0..5).map(|n| rig.at(&format!("{n}"), 0)).collect();
    let at = rig.now.wall;
    assert_eq!(rig.fire().len(), 5);
    let known: Vec<_> = jobs.iter().map(|&job| rig.partition.lookup(job, rig.now)).collect();
    let fired = LookupOutcome::AlreadyFired { at, end: End::Done };
    assert_eq!(
        known,
        [LookupOutcome::NotFound, LookupOutcome::NotFound, fired.clone(), fired.clone(), fired]
    );
    assert_eq!(rig.partition.cancel(jobs[0], None), CancelOutcome::NotFound);
    assert_eq!(rig.partition.cancel(jobs[4], None), CancelOutcome::AlreadyFired { at });
    let gone: Vec<_> =
        rig.partition.drain_forgotten().map(|(key, handle)| (key.to_string(), handle)).collect();
    assert_eq!(gone, [("0".to_string(), jobs[0]), ("1".to_string(), jobs[1])]);
}

#[test]
fn promise_4_fired_jobs_are_remembered_up_to_an_age() {
    let mut rig = Rig::new();
    let old = rig.at("old", 0);
    rig.fire();
    rig.pass_us(HOUR as u64);
    let due = rig.now.wall.as_micros() - rig.began.as_micros();
    rig.at("young", due / 1_000);
    rig.fire();
    assert!(matches!(rig.partition.lookup(old, rig.now), LookupOutcome::AlreadyFired { .. }), "just in time");
    rig.pass_us(SECOND as u64);
    rig.after("younger", 0);
    rig.fire();
    assert_eq!(rig.partition.lookup(old, rig.now), LookupOutcome::NotFound);
    assert_eq!(rig.partition.fired_remembered(), 2);
}

#[test]
fn promise_9_a_burst_that_grows_old_at_once_is_forgotten_bit_by_bit() {
    let mut rig = Rig::with(Config { fired_max: ALL, ..config() });
    let old: Vec<_> = (0..5_000).map(|_| rig.at("k", 0)).collect();
    rig.fire();
    rig.pass_us(2 * HOUR as u64);
    let (mut most, mut ends) = (0, 0);
    while rig.partition.lookup(old[4_999], rig.now) != LookupOutcome::NotFound {
        rig.after("k", 0);
        rig.settle();
        let job = rig.start().unwrap();
        let before = rig.partition.fired_remembered();
        rig.partition.finish(job.handle, End::Done, rig.now);
        ends += 1;
        most = most.max(before + 1 - rig.partition.fired_remembered());
    }
    assert!((2..=16).contains(&most), "{most} in one call");
    assert_eq!(rig.partition.fired_remembered(), ends);
}
