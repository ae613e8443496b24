//! That the ledger sees what it is there to see.

use super::*;

const SOON: Duration = Duration::from_secs(1);

fn pending(ledger: &Ledger, due: impl Into<Due>) -> u64 {
    let number = ledger.asks(&"key".into(), "q", due.into());
    ledger.taken(number);
    number
}

fn starts(ledger: &Ledger, number: u64, version: u32, at: Now) {
    ledger.started(number, version, at.wall, at);
}

fn later(now: Now, by: Duration) -> Now {
    let us = by.as_micros() as u64;
    Now { wall: now.wall.saturating_add_micros(us), mono: now.mono.saturating_add_micros(us) }
}

/// What one more start of a job breaks, in a word.
#[track_caller]
fn assert_broken(ledger: &Ledger, by: &str) {
    let broken = ledger.broken();
    assert!(broken.len() == 1 && broken[0].contains(by), "{by:?}: {broken:?}");
}

#[test]
fn what_the_contract_allows_is_not_broken() {
    let (ledger, began) = (Ledger::default(), now());
    let [one, two, three] =
        [began.wall.into(), Due::In(SOON), Due::In(SOON)].map(|due| pending(&ledger, due));
    starts(&ledger, one, 1, now());
    ledger.cancelled(two, Some(Version(1)), CancelOutcome::Cancelled);
    ledger.moves(three, Due::In(2 * SOON));
    let was = began.wall;
    ledger.moved(three, None, Some(RescheduleOutcome::Rescheduled { was, version: Version(2) }));
    starts(&ledger, three, 2, later(now(), 2 * SOON));
    assert_eq!((ledger.broken(), ledger.pending().len()), (Vec::new(), 0));
}

#[test]
fn an_early_a_second_and_a_forbidden_start_are_broken() {
    let ledger = Ledger::default();
    let early = pending(&ledger, SOON);
    starts(&ledger, early, 1, now());
    assert_broken(&ledger, "early");
    starts(&ledger, early, 1, now());
    assert_broken(&ledger, "starts");
    let cancelled = pending(&ledger, SOON);
    ledger.cancelled(cancelled, None, CancelOutcome::Cancelled);
    starts(&ledger, cancelled, 1, later(now(), SOON));
    assert_broken(&ledger, "starts");
    starts(&ledger, 99, 1, now());
    assert_broken(&ledger, "never asked for");
    let paused = pending(&ledger, now().wall);
    ledger.pauses("q", Some(now().wall));
    starts(&ledger, paused, 1, later(now(), SOON));
    assert_broken(&ledger, "paused");
}

#[test]
fn a_start_of_an_old_version_is_broken() {
    let ledger = Ledger::default();
    let number = pending(&ledger, now().wall);
    ledger.moves(number, Due::In(SOON));
    starts(&ledger, number, 1, later(now(), SOON));
    let answer = RescheduleOutcome::Rescheduled { was: now().wall, version: Version(2) };
    ledger.moved(number, None, Some(answer));
    assert_broken(&ledger, "as it was before");
}

#[test]
fn an_answer_that_cannot_be_is_broken() {
    let ledger = Ledger::default();
    let number = pending(&ledger, SOON);
    ledger.cancelled(number, None, CancelOutcome::Running);
    assert_broken(&ledger, "Running");
    ledger.looked_up(number, Stand::Pending, &LookupOutcome::NotFound);
    assert_broken(&ledger, "NotFound");
    ledger.has_begun(number, "its key was free");
    assert_broken(&ledger, "its key was free");
    ledger.cancelled(number, Some(Version(2)), CancelOutcome::Cancelled);
    assert_broken(&ledger, "Cancelled");
}

#[test]
fn what_does_not_start_is_overdue() {
    let ledger = Ledger::default();
    let number = pending(&ledger, now().wall.saturating_sub_micros(2_000_000));
    pending(&ledger, SOON);
    let overdue: Vec<u64> = ledger.overdue(SOON).into_iter().map(|(number, _)| number).collect();
    assert_eq!(overdue, [number]);
}
