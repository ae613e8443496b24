//! The wheel and its peers: which operations on which populations, and those that use a population up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::args::{Args, Size};
use crate::meter::median_ns;
use crate::passes::{Pass, Passes};
use crate::report::{Group, Report, Unit};
use crate::spread::{DAY, HOUR, MINUTE, Spread};
use crate::steady::Steady;
use crate::subjects::{BTree, Delays, HashWheel, Heap, Nexus, Reveille, Subject};
use testkit::random::Random;

pub(crate) fn measure(args: &Args, report: &mut Report, size: Size) {
    for spread in Spread::ALL {
        let title = format!("{size} pending, {}", spread.description());
        let name = format!("wheel/{size}/{}", spread.name());
        let group = report.group(name, title, Delays::NAME);
        Measurement { args, group, size, spread }.all();
    }
}

struct Measurement<'a> {
    args: &'a Args,
    group: Group<'a>,
    size: Size,
    spread: Spread,
}

impl Measurement<'_> {
    fn all(&mut self) {
        self.subject::<Reveille>();
        self.subject::<Delays>();
        self.subject::<Nexus>();
        self.subject::<HashWheel>();
        self.subject::<BTree>();
        self.subject::<Heap>();
    }

    fn subject<S: Subject>(&mut self) {
        self.steady::<S>();
        self.used_up::<S>();
    }

    fn wants<S: Subject>(&self, operation: &str) -> bool {
        self.args.wants(&self.group.figure_name(S::NAME, operation))
    }

    /// What leaves as many timers as it found.
    fn steady<S: Subject>(&mut self) {
        type Operation<S> = fn(&mut Steady<S>, u64) -> Duration;
        // The one that moves time comes last: the others are then timed at the same instant for every subject. It is of
        // interest with few others due meanwhile.
        let mut operations: Vec<(&str, Operation<S>)> = vec![
            ("insert", Steady::insert),
            ("reschedule", Steady::reschedule),
            ("cancel + insert", Steady::cancel_insert),
        ];
        // The peer has no such calls, and stands beside with single ones.
        if S::HAS_MANY || S::NAME == Delays::NAME {
            operations.push(("reschedule, told ahead", Steady::reschedule_many));
            operations.push(("cancel + insert, told ahead", Steady::replace_many));
        }
        if self.spread == Spread::Day {
            operations.push(("timeouts churn", Steady::timeouts));
        }
        operations.retain(|(operation, _)| self.wants::<S>(operation));
        let wants_bytes = self.spread == Spread::Day && self.wants::<S>("memory");
        if operations.is_empty() && !wants_bytes {
            return;
        }
        let mut steady = Steady::<S>::filled(self.size, self.spread);
        for (operation, run) in operations {
            let ns = median_ns(self.args.time, |times| run(&mut steady, times));
            self.group.add(S::NAME, operation, Unit::Ns, ns);
        }
        if wants_bytes {
            self.group.add(S::NAME, "memory", Unit::Bytes, steady.bytes as f64 / self.size.0 as f64);
        }
        steady.release();
    }

    /// What fires them.
    fn used_up<S: Subject>(&mut self) {
        let (size, spread) = (self.size, self.spread);
        let per_timer = |ns: f64| ns / size.0 as f64;
        let (wants_fill, wants_drain) = (self.wants::<S>("fill"), self.wants::<S>("drain"));
        if wants_fill || wants_drain {
            let passes = Passes::make(self.args.time, || drain::<S>(size, spread.end(), |r| spread.delay(r)));
            if wants_fill {
                self.group.add(S::NAME, "fill", Unit::Ns, per_timer(passes.median_ns(|pass| pass.build)));
            }
            if wants_drain {
                self.group.add(S::NAME, "drain", Unit::Ns, per_timer(passes.median_ns(|pass| pass.run)));
            }
        }
        if spread == Spread::Day && self.wants::<S>("burst on one tick") {
            let passes = Passes::make(self.args.time, || drain::<S>(size, HOUR, |_| HOUR));
            self.group.add(
                S::NAME,
                "burst on one tick",
                Unit::Ns,
                per_timer(passes.median_ns(|pass| pass.run)),
            );
        }
        if self.wants::<S>("1 ms tick") || self.wants::<S>("worst tick") {
            let ticks = if self.args.is_test { MINUTE } else { HOUR };
            let (mean, worst) = tick_by_tick::<S>(size, spread, ticks);
            self.group.add(S::NAME, "1 ms tick", Unit::Ns, mean);
            self.group.add(S::NAME, "worst tick", Unit::Us, worst.as_nanos() as f64 / 1e3);
        }
    }
}

/// A new subject with `size` timers, and how long it took to put them in.
fn filled<S: Subject>(size: Size, mut tick: impl FnMut(&mut Random) -> u64) -> (S, Duration) {
    let mut random = Random::seeded(2);
    let deadlines: Vec<u64> = (0..size.0).map(|_| tick(&mut random)).collect();
    let mut handles = Vec::with_capacity(size.0);
    let mut subject = S::with_capacity(size.0);
    let start = Instant::now();
    for (value, &deadline) in deadlines.iter().enumerate() {
        handles.push(subject.insert(deadline, value as u32));
    }
    let took = start.elapsed();
    // Nobody will cancel: so nobody has to give a handle back for each that fires.
    handles.into_iter().for_each(|handle| subject.release(handle));
    (subject, took)
}

/// Puts in `size` timers for ticks up to `end`, and then has it be `end`.
fn drain<S: Subject>(size: Size, end: u64, tick: impl FnMut(&mut Random) -> u64) -> Pass {
    let (mut subject, build) = filled::<S>(size, tick);
    subject.set_clock(end);
    let (mut fired, mut sum) = (0, 0);
    let start = Instant::now();
    subject.fire(end, |value| {
        fired += 1;
        sum += u64::from(value);
    });
    let run = start.elapsed();
    assert_eq!(fired, size.0, "{}: all of them fire", S::NAME);
    black_box(sum);
    Pass { build, run }
}

/// Time passes, a millisecond at a time: how long a tick takes in nanoseconds, with what it fires, and how long the worst
/// takes. The clock is read once before and once after each tick, some 50 ns together; that is in it for every subject.
fn tick_by_tick<S: Subject>(size: Size, spread: Spread, ticks: u64) -> (f64, Duration) {
    let (mut subject, _) = filled::<S>(size, |random| spread.delay(random));
    let (mut sum, mut total, mut worst) = (0, Duration::ZERO, Duration::ZERO);
    for now in 1..=ticks {
        subject.set_clock(now);
        let start = Instant::now();
        subject.fire(now, |value| sum += u64::from(value));
        let took = start.elapsed();
        total += took;
        worst = worst.max(took);
    }
    black_box(sum);
    debug_assert!(ticks <= DAY);
    (total.as_nanos() as f64 / ticks as f64, worst)
}
