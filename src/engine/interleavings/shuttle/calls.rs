//! Calls against the driver and the workers: who wins, and that nobody is forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::{Rig, TICK, check, thread};
use crate::partition::{CancelOutcome, OnConflict, RescheduleOutcome, ScheduleOutcome};

/// A job that comes due and one that is due at once, from threads of their own: both are to fire, with one worker or two.
#[test]
fn a_job_that_was_scheduled_fires() {
    async fn scenario(concurrency: usize) {
        let rig = Rig::start(concurrency, |builder| builder).await;
        let (engine, clock) = (rig.engine.clone(), Arc::clone(&rig.clock));
        let callers = [
            thread(move || {
                engine.schedule_raw("q", "").key("later").after(TICK).into_outcome().unwrap();
                clock.advance(TICK);
            }),
            {
                let engine = rig.engine.clone();
                thread(move || {
                    engine.schedule_raw("q", "").key("now").after(Duration::ZERO).into_outcome().unwrap();
                })
            },
        ];
        rig.schedule("first", Duration::ZERO);
        for caller in callers {
            caller.join().unwrap();
        }
        rig.engine.idle().await;
        assert_eq!(rig.fired.total(), 3);
        rig.end().await;
    }
    check(|| scenario(1));
    check(|| scenario(2));
}

/// By key and by handle, against the start: exactly one wins, and says so.
#[test]
fn cancel_against_fire_has_one_winner() {
    check(|| async {
        let rig = Rig::start(1, |builder| builder).await;
        let jobs = [rig.schedule("by key", TICK), rig.schedule("by handle", TICK)];
        let time = thread({
            let clock = Arc::clone(&rig.clock);
            move || clock.advance(TICK)
        });
        let by_key = thread({
            let engine = rig.engine.clone();
            move || engine.cancel("by key").into_outcome().unwrap()
        });
        let by_handle = rig.engine.cancel(jobs[1]).into_outcome().unwrap();
        let outcomes = [by_key.join().unwrap(), by_handle];
        time.join().unwrap();
        rig.engine.idle().await;
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let fires = usize::from(outcome != CancelOutcome::Cancelled);
            assert_eq!(rig.fired.of(job), fires, "{outcome:?}");
        }
        for key in ["by key", "by handle"] {
            assert_eq!(rig.find(key), None, "the handle map keeps {key}");
        }
        rig.end().await;
    });
}

/// Two move a job and a third cancels it while it comes due: it fires once, or not at all if it was cancelled.
#[test]
fn a_job_that_is_moved_as_it_fires_fires_once() {
    check(|| async {
        let rig = Rig::start(2, |builder| builder).await;
        let job = rig.schedule("k", TICK);
        let time = thread({
            let clock = Arc::clone(&rig.clock);
            move || clock.advance(TICK)
        });
        let movers = [Duration::ZERO, 2 * TICK].map(|after| {
            let engine = rig.engine.clone();
            thread(move || engine.reschedule("k", after).into_outcome().unwrap())
        });
        let cancelled = rig.engine.cancel("k").into_outcome().unwrap() == CancelOutcome::Cancelled;
        let moved = movers.map(|mover| mover.join().unwrap());
        time.join().unwrap();
        rig.clock.advance(3 * TICK);
        rig.engine.idle().await;
        assert_eq!(rig.fired.of(job), usize::from(!cancelled));
        let versions: Vec<_> = moved
            .iter()
            .filter_map(|outcome| match outcome {
                RescheduleOutcome::Rescheduled { version, .. } => Some(*version),
                _ => None,
            })
            .collect();
        assert!(versions.len() < 2 || versions[0] != versions[1], "two moves made one version");
        assert_eq!(rig.find("k"), None);
        rig.end().await;
    });
}

/// A key is scheduled again and again, in place of what it names, while that comes due, starts, ends and is forgotten.
#[test]
fn the_handle_map_is_exact_when_all_is_quiet() {
    check(|| async {
        let rig = Rig::start(2, |builder| builder).await;
        let first = rig.schedule("k", TICK);
        let time = thread({
            let clock = Arc::clone(&rig.clock);
            move || clock.advance(TICK)
        });
        let others = [OnConflict::Replace, OnConflict::Reject].map(|on_conflict| {
            let engine = rig.engine.clone();
            thread(move || {
                let schedule = engine.schedule_raw("q", "").key("k").on_conflict(on_conflict);
                schedule.after(3 * TICK).into_outcome().unwrap()
            })
        });
        let outcomes = others.map(|other| other.join().unwrap());
        time.join().unwrap();
        // Whatever the order, one job of the key is left, or none if the last call was refused before the first fired.
        while rig.engine.shared.life.running() > 0 || rig.engine.stats().ready > 0 {
            shuttle::future::yield_now().await;
        }
        let taken = 1 + outcomes.iter().filter(|outcome| outcome.is_taken()).count();
        let replaced =
            outcomes.iter().filter(|outcome| matches!(outcome, ScheduleOutcome::Replaced { .. })).count();
        let pending = rig.engine.jobs();
        assert!(pending <= 1);
        match rig.find("k") {
            Some(handle) => assert!(rig.engine.shared.cells[0].lock().partition.is_pending(handle)),
            None => assert_eq!(pending, 0),
        }
        rig.clock.advance(5 * TICK);
        rig.engine.idle().await;
        assert_eq!(rig.fired.total(), taken - replaced, "of {outcomes:?}");
        assert!(rig.fired.of(first) <= 1);
        assert_eq!(rig.find("k"), None);
        rig.end().await;
    });
}
