//! What Redis holds of the long-lived engine's jobs, held against the ledger: by `reveille export` while the engine runs, by
//! another engine that is restored from it at the end.

use std::collections::HashMap;
use std::time::Duration;

use reveille::{CancelOutcome, Engine, LookupOutcome, Timestamp};
use serde_json::Value;

use crate::handlers::NAMESPACE;
use crate::ledger::{Ledger, now};
use testkit::program::{Run, micros, text};

/// Jobs that are due in so long, or later, stay what they are while they are read.
const AHEAD: Duration = Duration::from_secs(600);

/// Reads every job with another process, and compares those that nothing moves at the moment. Returns how many.
pub(crate) fn compare(url: &str, ledger: &Ledger) -> usize {
    let expected: HashMap<u64, _> = ledger.ahead(AHEAD).into_iter().collect();
    let ends_us = now().wall.as_micros() + AHEAD.as_micros() as i64;
    let export = Run::program(&["export", "--force", "--store", url, "--namespace", NAMESPACE]).finish("");
    if !export.status.success() {
        ledger.breaks(format!("Redis cannot be read: {}", export.stderr));
        return 0;
    }
    let mut missing = expected.clone();
    for line in export.stdout.lines() {
        let job: Value = serde_json::from_str(line).unwrap();
        // What was said of queues comes before the jobs.
        if matches!(job["op"].as_str(), Some("pause" | "resume")) {
            continue;
        }
        let (number, at_us) = (job["payload"].as_u64().unwrap_or(0), micros(&job, "at"));
        let due = Timestamp::from_micros(at_us);
        match missing.remove(&number) {
            Some(entry) if &*entry.key == text(&job, "key") && entry.start.is_told_as(due, now()) => {}
            Some(entry) => ledger.breaks(format!("Redis has {job}, and it is job {number}: {entry:?}")),
            // A little more, since the ledger was read first.
            None if at_us > ends_us + 5_000_000 => {
                ledger.breaks(format!("Redis has {job}, which is not pending: {:?}", ledger.entry(number)));
            }
            None => {}
        }
    }
    for (number, entry) in &missing {
        ledger.breaks(format!("Redis has lost job {number}: {entry:?}"));
    }
    expected.len()
}

/// Holds an engine that fires nothing yet against the ledger: it has all that is pending and nothing else.
pub(crate) fn compare_restored(engine: &Engine, ledger: &Ledger) -> usize {
    let expected = ledger.pending();
    for (number, entry) in &expected {
        match engine.lookup(&*entry.key) {
            LookupOutcome::Scheduled(view) if entry.is_seen_as(*number, &view) => {}
            found => ledger.breaks(format!("restored: {found:?}, and it was job {number}: {entry:?}")),
        }
    }
    if engine.jobs() != expected.len() {
        ledger.breaks(format!("{} jobs were restored of {}", engine.jobs(), expected.len()));
    }
    expected.len()
}

/// Cancels what is far ahead, so that the rest can fire and nothing be left.
pub(crate) async fn cancel_far(engine: &Engine, ledger: &Ledger) {
    for (number, entry) in ledger.ahead(AHEAD) {
        match engine.cancel(&*entry.key).await {
            Ok(answer @ CancelOutcome::Cancelled) => ledger.cancelled(number, None, answer),
            answer => {
                ledger.breaks(format!("job {number} was restored, and its cancellation answered {answer:?}"))
            }
        }
    }
}
