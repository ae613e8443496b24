//! The engine's calls beside the obvious construction, by key and by handle.
//!
//! Both have the same jobs pending at once. They take turns at the same calls, and each goes first every other time: so
//! whatever else the machine does meets both, and a ratio holds better than the times it is made of.

mod clock;
mod draw;
mod operation;
mod pending;

use std::time::Duration;

use crate::args::{Args, Size};
use crate::keyed::{Baseline, Keyed, Reveille};
use crate::meter::median;
use crate::report::{Group, Report, Unit};
use clock::Clock;
use draw::{Draws, Order};
use operation::Operation;
use pending::{Pending, Turn};

/// Jobs in one call about many, and in one about a few.
const MANY: usize = 1_000;
const FEW: usize = 16;

/// A row of the table: what it is called on one thread and on two, what the engine does, and what its peer does.
type Row = ([&'static str; 2], Operation, Operation);

const ROWS: [Row; 11] = [
    row(["schedule", "schedule, two threads"], Operation::Schedule),
    row(["reschedule", "reschedule, two threads"], Operation::Reschedule),
    row(["cancel", "cancel, two threads"], Operation::Cancel),
    beside_single(["schedule by 16", "schedule by 16, two threads"], Operation::ScheduleMany(FEW)),
    beside_single(["reschedule by 16", "reschedule by 16, two threads"], Operation::RescheduleMany(FEW)),
    beside_single(["cancel by 16", "cancel by 16, two threads"], Operation::CancelMany(FEW)),
    row(["schedule many", "schedule many, two threads"], Operation::ScheduleMany(MANY)),
    row(["reschedule many", "reschedule many, two threads"], Operation::RescheduleMany(MANY)),
    row(["cancel many", "cancel many, two threads"], Operation::CancelMany(MANY)),
    row(["look up", "look up, two threads"], Operation::Lookup),
    row(["look up by handle", "look up by handle, two threads"], Operation::LookupByHandle),
];

const fn row(names: [&'static str; 2], operation: Operation) -> Row {
    (names, operation, operation)
}

/// A batch, beside as many single calls of the peer.
const fn beside_single(names: [&'static str; 2], operation: Operation) -> Row {
    (names, operation, operation.single())
}

/// Rounds of which the median is told, once there has been one to warm up.
const ROUNDS_MIN: usize = 5;
const ROUNDS_MAX: usize = 21;

pub(crate) fn measure(args: &Args, report: &mut Report, size: Size) {
    // Filled when the first figure wants it: two times ten million jobs are not made for nothing.
    let mut pair: Option<Pair> = None;
    let mut group = report.group(format!("keyed/{size}"), format!("{size} jobs by key"), Baseline::NAME);
    if SUBJECTS.iter().any(|name| args.wants(&group.figure_name(name, "memory"))) {
        let pair = pair.insert(Pair::filled(size));
        for subject in &pair.subjects {
            group.add(subject.name, "memory", Unit::Bytes, subject.bytes as f64 / size.0 as f64);
        }
    }
    for order in Order::ALL {
        let title = format!("{size} jobs by key, {}", order.description());
        let mut group = report.group(format!("keyed/{size}/{}", order.name()), title, Baseline::NAME);
        for (names, ours, peers) in ROWS {
            for (name, threads) in names.into_iter().zip(1..) {
                if SUBJECTS.iter().any(|subject| args.wants(&group.figure_name(subject, name))) {
                    let pair = pair.get_or_insert_with(|| Pair::filled(size));
                    pair.measure(args, &mut group, name, [ours, peers], order, threads);
                }
            }
        }
    }
}

const SUBJECTS: [&str; 2] = [Reveille::NAME, Baseline::NAME];

/// The engine and its peer, with the same jobs.
struct Pair {
    subjects: [Subject; 2],
    draws: Draws,
}

struct Subject {
    name: &'static str,
    jobs: Box<dyn Turn>,
    /// What it took for the jobs.
    bytes: usize,
}

impl Pair {
    fn filled(size: Size) -> Self {
        let subjects = [Subject::filled::<Reveille>(size), Subject::filled::<Baseline>(size)];
        Pair { subjects, draws: Draws::new(size) }
    }

    /// A figure for each: both or none, as they take turns.
    fn measure(
        &mut self,
        args: &Args,
        group: &mut Group<'_>,
        name: &'static str,
        operations: [Operation; 2],
        order: Order,
        threads: usize,
    ) {
        let Pair { subjects, draws } = self;
        let clock = if args.cpu && threads == 1 { Clock::Processor } else { Clock::Wall };
        let mut ns = [Vec::new(), Vec::new()];
        let mut elapsed = Duration::ZERO;
        for round in 0..=ROUNDS_MAX {
            if round > ROUNDS_MIN && elapsed >= args.time * 2 {
                break;
            }
            let drawn = draws.draw(order, threads, operations[0].schedules());
            let calls: usize = drawn.iter().map(Vec::len).sum();
            for turn in 0..2 {
                let at = (turn + round) % 2;
                let took = subjects[at].jobs.take(operations[at], &drawn, clock);
                elapsed += took;
                // The first one warms up.
                if round > 0 {
                    ns[at].push(took.as_nanos() as f64 / calls as f64);
                }
            }
        }
        for (subject, ns) in subjects.iter().zip(&mut ns) {
            group.add(subject.name, name, Unit::Ns, median(ns));
        }
    }
}

impl Subject {
    fn filled<K: Keyed + 'static>(size: Size) -> Self {
        let (jobs, bytes) = Pending::<K>::filled(size);
        Subject { name: K::NAME, jobs: Box::new(jobs), bytes }
    }
}
