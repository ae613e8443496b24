//! The plan of the morning: what is scheduled for when, and what is moved or cancelled. It depends only on the number of
//! jobs and the instant at which it begins.

use fastrand::Rng;

/// How long the sales go on, in milliseconds.
const WINDOW_MS: u64 = 9_000;

/// When, in that window, a tenth of them opens at once.
const BURST_MS: u64 = 6_000;

/// What happens to one job. Times are milliseconds after the first sale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) due_ms: u64,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It opens when it was first due.
    Stays,
    /// It opens at the same instant as a tenth of all jobs.
    Burst,
    /// At `decided_ms` it is moved to `due_ms`.
    Moves { decided_ms: u64, due_ms: u64 },
    /// At `decided_ms` it is called off.
    CalledOff { decided_ms: u64 },
}

impl Fate {
    pub(super) fn decided_ms(self) -> Option<u64> {
        match self {
            Fate::Stays | Fate::Burst => None,
            Fate::Moves { decided_ms, .. } | Fate::CalledOff { decided_ms } => Some(decided_ms),
        }
    }
}

/// The plan of all jobs, by number.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Planned>,
    /// The jobs that are moved or cancelled, in order of time.
    pub(super) changes: Vec<u32>,
}

impl Plan {
    pub(super) fn new(jobs: u32) -> Self {
        let mut random = Rng::with_seed(42);
        let jobs: Vec<Planned> = (0..jobs).map(|n| planned(n, &mut random)).collect();
        let mut changes: Vec<u32> =
            (0u32..).zip(&jobs).filter(|(_, job)| job.fate.decided_ms().is_some()).map(|(n, _)| n).collect();
        changes.sort_by_key(|&n| jobs[n as usize].fate.decided_ms());
        Plan { jobs, changes }
    }
}

fn planned(n: u32, random: &mut Rng) -> Planned {
    // Changes come from two seconds to just before a sale would open.
    let changed = |random: &mut Rng| {
        let due_ms = random.u64(3_000..WINDOW_MS);
        (due_ms, due_ms - random.u64(5..2_000))
    };
    match n % 10 {
        0 => Planned { due_ms: BURST_MS, fate: Fate::Burst },
        1 => {
            let (due_ms, decided_ms) = changed(random);
            let later = random.u64(20..=WINDOW_MS - decided_ms + 20);
            Planned { due_ms, fate: Fate::Moves { decided_ms, due_ms: decided_ms + later } }
        }
        2 => {
            let (due_ms, decided_ms) = changed(random);
            Planned { due_ms, fate: Fate::CalledOff { decided_ms } }
        }
        _ => Planned { due_ms: random.u64(0..WINDOW_MS), fate: Fate::Stays },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_bursts_a_tenth_moves_a_tenth_is_called_off() {
        let plan = Plan::new(1_000);
        let count = |is: fn(Fate) -> bool| plan.jobs.iter().filter(|job| is(job.fate)).count();
        assert_eq!(count(|fate| fate == Fate::Burst), 100);
        assert_eq!(count(|fate| matches!(fate, Fate::Moves { .. })), 100);
        assert_eq!(count(|fate| matches!(fate, Fate::CalledOff { .. })), 100);
        assert_eq!(plan.changes.len(), 200);
        let decided: Vec<_> = plan.changes.iter().map(|&n| plan.jobs[n as usize].fate.decided_ms()).collect();
        assert!(decided.is_sorted());
        for job in &plan.jobs {
            assert!(job.fate.decided_ms().is_none_or(|decided_ms| decided_ms + 5 <= job.due_ms));
        }
    }
}
