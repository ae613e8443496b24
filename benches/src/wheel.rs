//! The wheel beside its peers, on the same workload: `cargo bench --bench wheel`.
//!
//! Ticks are milliseconds, values are `u32`, deadlines are uniform over a day, the same in every run and for every
//! subject. `REVEILLE_BENCH_SIZES=1k,1M,10M` selects how many are pending; the arguments of criterion select benchmarks,
//! which are called `wheel/<size>/<subject>/<operation>`. Ten million take up to 3 GB.
//!
//! Handles, deadlines and random choices are at hand before the clock runs, so that the structures are timed and not the
//! workload.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod subjects;
mod support;

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

use subjects::check::check;
use subjects::passes::{Pass, Passes};
use subjects::{BTree, Delays, HashWheel, Nexus, Reveille, Subject};
use support::alloc::bytes_kept;
use support::random::Random;
use support::report::{Report, Samples};
use support::sizes::{self, Size};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Operations timed in one go: enough that reading the clock is nothing, few enough to stay in the first cache.
const BATCH: usize = 256;

const COLUMNS: [&str; 8] =
    ["fill", "insert", "reschedule", "cancel+insert", "drain", "burst", "timeouts", "B/timer"];

fn main() {
    check::<Reveille>();
    check::<Delays>();
    check::<Nexus>();
    check::<HashWheel>();
    check::<BTree>();

    let mut criterion = support::criterion();
    let mut report = Report::new("ns per operation", Delays::NAME, &COLUMNS);
    for size in sizes::selected() {
        bench::<Reveille>(&mut criterion, &mut report, size);
        bench::<Delays>(&mut criterion, &mut report, size);
        bench::<Nexus>(&mut criterion, &mut report, size);
        bench::<HashWheel>(&mut criterion, &mut report, size);
        bench::<BTree>(&mut criterion, &mut report, size);
    }
    criterion.final_summary();
    report.print();
}

fn bench<S: Subject>(criterion: &mut Criterion, report: &mut Report, size: Size) {
    let mut group = criterion.benchmark_group(format!("wheel/{size}/{}", S::NAME));
    group.sampling_mode(SamplingMode::Flat);

    // Built when first used, and kept for all the operations that leave its size as it is.
    let mut steady = None;
    // The one that moves time comes last: the others are then timed at the same instant for every subject.
    let operations: [(&'static str, Operation<S>); 4] = [
        ("insert", Steady::insert),
        ("reschedule", Steady::reschedule),
        ("cancel+insert", Steady::cancel_insert),
        ("timeouts", Steady::timeouts),
    ];
    for (name, operation) in operations {
        let mut samples = Samples::default();
        group.bench_function(name, |bencher| {
            let steady = steady.get_or_insert_with(|| Steady::<S>::filled(size));
            bencher.iter_custom(|iterations| {
                let elapsed = operation(steady, iterations);
                samples.push(iterations, elapsed);
                elapsed
            });
        });
        report.add(size, S::NAME, name, samples.median_ns());
    }
    if let Some(steady) = steady {
        report.add(size, S::NAME, "B/timer", Some(steady.bytes as f64 / size.0 as f64));
        steady.release();
    }

    let uniform = bench_passes(&mut group, "drain", size, || fill_and_fire::<S>(size, DAY, day));
    let burst = bench_passes(&mut group, "burst", size, || fill_and_fire::<S>(size, HOUR, |_| HOUR));
    let per_timer = |ns: Option<f64>| ns.map(|ns| ns / size.0 as f64);
    report.add(size, S::NAME, "fill", per_timer(uniform.median_ns(|pass| pass.build)));
    report.add(size, S::NAME, "drain", per_timer(uniform.median_ns(|pass| pass.run)));
    report.add(size, S::NAME, "burst", per_timer(burst.median_ns(|pass| pass.run)));
}

/// One iteration is a pass over all timers.
fn bench_passes(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    size: Size,
    pass: impl Fn() -> Pass,
) -> Passes {
    let mut passes = Passes::default();
    // A pass warms up nothing that the next one would use.
    group.warm_up_time(Duration::from_nanos(1));
    group.throughput(Throughput::Elements(size.0 as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| passes.sample(iterations, &pass));
    });
    passes
}

/// A deadline within a day.
fn day(random: &mut Random) -> u64 {
    1 + random.below(DAY)
}

/// Puts in `size` timers for ticks up to `end`, and then has it be `end`.
fn fill_and_fire<S: Subject>(size: Size, end: u64, mut tick: impl FnMut(&mut Random) -> u64) -> Pass {
    let mut random = Random::seeded(2);
    let deadlines: Vec<u64> = (0..size.0).map(|_| tick(&mut random)).collect();
    let mut handles = Vec::with_capacity(size.0);
    let mut subject = S::with_capacity(size.0);

    let start = Instant::now();
    for (value, &deadline) in deadlines.iter().enumerate() {
        handles.push(subject.insert(deadline, value as u32));
    }
    let build = start.elapsed();

    // Nobody will cancel: so nobody has to give a handle back for each that fires.
    handles.into_iter().for_each(|handle| subject.release(handle));
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

type Operation<S> = fn(&mut Steady<S>, u64) -> Duration;

/// A subject with as many timers pending after each operation as before.
struct Steady<S: Subject> {
    subject: S,
    now: u64,
    /// By value: the handle of each pending timer.
    handles: Vec<Option<S::Handle>>,
    random: Random,
    /// What the subject took for them.
    bytes: usize,
}

/// A timer with its handle taken out of the population, and a new deadline for it.
struct Picked<H> {
    value: u32,
    handle: H,
    deadline: u64,
}

impl<S: Subject> Steady<S> {
    fn filled(size: Size) -> Self {
        let mut random = Random::seeded(3);
        let mut handles = Vec::with_capacity(size.0);
        let (mut subject, bytes) = bytes_kept(|| {
            let mut subject = S::with_capacity(size.0);
            for value in 0..size.0 {
                handles.push(Some(subject.insert(day(&mut random), value as u32)));
            }
            subject
        });
        subject.reserve(Self::inserted_at_once(size.0).max(TIMEOUTS_WAITING * TIMEOUTS_A_TICK));
        Steady { subject, now: 0, handles, random, bytes }
    }

    fn release(mut self) {
        for handle in self.handles.drain(..).flatten() {
            self.subject.release(handle);
        }
    }

    fn deadline(&mut self) -> u64 {
        self.now + day(&mut self.random)
    }

    /// Up to [`BATCH`] random ones, each once, and no more than a quarter of all.
    fn pick(&mut self, picked: &mut Vec<Picked<S::Handle>>, at_most: u64) {
        let count = BATCH.min(self.handles.len() / 4 + 1).min(usize::try_from(at_most).unwrap_or(BATCH));
        while picked.len() < count {
            let value = self.random.below(self.handles.len() as u64) as usize;
            let deadline = self.deadline();
            let taken = self.handles[value].take();
            picked.extend(taken.map(|handle| Picked { value: value as u32, handle, deadline }));
        }
    }

    /// Runs `change` on random timers, `iterations` of them in all. Times that alone.
    fn change_random(
        &mut self,
        iterations: u64,
        change: impl Fn(&mut S, Picked<S::Handle>) -> S::Handle,
    ) -> Duration {
        let mut elapsed = Duration::ZERO;
        let (mut picked, mut changed) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut left = iterations;
        while left > 0 {
            self.pick(&mut picked, left);
            left -= picked.len() as u64;
            let start = Instant::now();
            for timer in picked.drain(..) {
                let value = timer.value;
                changed.push((value, change(&mut self.subject, timer)));
            }
            elapsed += start.elapsed();
            for (value, handle) in changed.drain(..) {
                self.handles[value as usize] = Some(handle);
            }
        }
        elapsed
    }

    fn reschedule(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, |subject, timer| subject.reschedule(timer.handle, timer.deadline))
    }

    fn cancel_insert(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, |subject, timer| {
            assert!(subject.cancel(timer.handle), "{}: the timer is pending", S::NAME);
            subject.insert(timer.deadline, timer.value)
        })
    }

    /// A tenth of the population, so that it is not always the same few nodes that are given out again.
    fn inserted_at_once(pending: usize) -> usize {
        BATCH.max(pending / 10)
    }

    /// Inserts; what was inserted is cancelled again, which is not timed.
    fn insert(&mut self, iterations: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let count = left.min(Self::inserted_at_once(self.handles.len()) as u64);
            left -= count;
            let first = self.handles.len() as u32;
            let timers: Vec<_> = (0..count as u32).map(|number| (first + number, self.deadline())).collect();
            let mut handles = Vec::with_capacity(timers.len());
            let start = Instant::now();
            for &(value, deadline) in &timers {
                handles.push(self.subject.insert(deadline, value));
            }
            elapsed += start.elapsed();
            for handle in handles {
                assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
            }
        }
        elapsed
    }

    /// What most timers are for: each request has half a minute, and is answered long before. Every tick brings new
    /// requests and answers to those of some ticks ago. An iteration is one request: a timer in, and one out.
    fn timeouts(&mut self, iterations: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut waiting: VecDeque<Vec<S::Handle>> = VecDeque::new();
        let mut fired = Vec::new();
        let first = self.handles.len() as u32;
        let ticks = iterations.div_ceil(TIMEOUTS_A_TICK as u64);
        for tick in 0..ticks + TIMEOUTS_WAITING as u64 {
            self.now += 1;
            self.subject.set_clock(self.now);
            let answered = (waiting.len() == TIMEOUTS_WAITING).then(|| waiting.pop_front()).flatten();
            let is_timed = answered.is_some();
            let mut handles = Vec::with_capacity(TIMEOUTS_A_TICK);
            // No two that wait have the same value.
            let first = first + (tick % (TIMEOUTS_WAITING as u64 + 1)) as u32 * TIMEOUTS_A_TICK as u32;

            let start = Instant::now();
            self.subject.fire(self.now, |value| fired.push(value));
            for value in first..first + TIMEOUTS_A_TICK as u32 {
                handles.push(self.subject.insert(self.now + 30 * SECOND, value));
            }
            for handle in answered.into_iter().flatten() {
                assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
            }
            if is_timed {
                elapsed += start.elapsed();
            }
            waiting.push_back(handles);
            self.put_back(&mut fired);
        }
        for handle in waiting.into_iter().flatten() {
            assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
        }
        elapsed.mul_f64(iterations as f64 / (ticks * TIMEOUTS_A_TICK as u64) as f64)
    }

    /// Gives those of the population that have fired another day.
    fn put_back(&mut self, fired: &mut Vec<u32>) {
        for value in fired.drain(..) {
            let deadline = self.deadline();
            let handle = self.subject.insert(deadline, value);
            if let Some(old) = self.handles[value as usize].replace(handle) {
                self.subject.release(old);
            }
        }
    }
}

/// New requests a tick.
const TIMEOUTS_A_TICK: usize = 200;
/// Ticks until a request is answered.
const TIMEOUTS_WAITING: usize = 5;
