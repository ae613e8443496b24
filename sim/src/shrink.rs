//! The shortest history: of a plan that breaks a promise, the fewest calls and faults that still break the same one.

use crate::plan::{Item, Setting};
use crate::run::{Outcome, run};

/// Runs that a search may take.
const RUNS_MAX: usize = 400;

/// Leaves out as much as possible, in ever smaller parts (delta debugging, after Zeller and Hildebrandt 2002). `None` if the
/// plan breaks no promise.
pub fn shrink(setting: &Setting, plan: &[Item]) -> Option<(Vec<Item>, Outcome)> {
    let mut outcome = run(setting, plan, true);
    let promise = outcome.violation.as_ref()?.promise;
    let mut plan = plan.to_vec();
    let (mut parts, mut runs) = (2, 0);
    while plan.len() > 1 && runs < RUNS_MAX {
        let size = plan.len().div_ceil(parts);
        let mut is_shorter = false;
        for from in (0..plan.len()).step_by(size) {
            let mut rest = plan.clone();
            rest.drain(from..(from + size).min(rest.len()));
            runs += 1;
            let tried = run(setting, &rest, true);
            if tried.violation.as_ref().is_some_and(|violation| violation.promise == promise) {
                (plan, outcome, is_shorter) = (rest, tried, true);
                break;
            }
        }
        if is_shorter {
            parts = parts.saturating_sub(1).max(2);
        } else if size == 1 {
            break;
        } else {
            parts = (parts * 2).min(plan.len());
        }
    }
    Some((plan, outcome))
}
