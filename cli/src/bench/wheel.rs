//! `reveille bench wheel`: the timing wheel by itself, beside the cost of reaching its memory.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use reveille::wheel::{TimerHandle, Wheel};
use serde::Serialize;

use super::beside::{Beside, median_ns};
use super::memory::Memory;
use super::{Error, fits, median};
use crate::figures::grouped;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The arguments of `reveille bench wheel`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many timers are pending, due within a day of ticks of a millisecond
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    timers: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    timers: u32,
    bytes_per_timer: f64,
    operations: Vec<Beside>,
}

pub(super) fn run(args: &Args) -> Result<Report, Error> {
    let timers = fits(args.timers)?;
    let mut it = Filled::new(timers);
    let bytes = it.wheel.allocated_bytes();
    let memory = Memory::measured(bytes);
    let random = [("change a random node", memory.random_ns)];
    let chain = [("follow a chain of nodes", memory.chain_ns)];
    let operations = vec![
        Beside::new("insert", it.insert(), &[("write the next node", memory.write_ns)]),
        Beside::new("reschedule a random one", it.reschedule(), &random),
        Beside::new("cancel one, insert one", it.cancel_insert(), &random),
        Beside::new("fire, all of a day", fire(timers, DAY_MS, |random| 1 + random.u64(0..DAY_MS)), &chain),
        Beside::new(
            "fire, all on one tick",
            fire(timers, DAY_MS, |_| DAY_MS),
            &[("read the next node", memory.read_ns)],
        ),
    ];
    Ok(Report { timers: args.timers, bytes_per_timer: bytes as f64 / timers as f64, operations })
}

struct Filled {
    wheel: Wheel<u32>,
    handles: Vec<TimerHandle>,
    /// All values, shuffled.
    order: Vec<u32>,
    next: usize,
    random: fastrand::Rng,
}

impl Filled {
    fn new(timers: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let mut wheel = Wheel::new(0);
        let handles =
            (0..timers).map(|value| wheel.insert(1 + random.u64(0..DAY_MS), value as u32)).collect();
        let mut order: Vec<u32> = (0..timers as u32).collect();
        random.shuffle(&mut order);
        Filled { wheel, handles, order, next: 0, random }
    }

    fn in_a_round(&self) -> usize {
        (self.handles.len() / 4).min(65_536)
    }

    /// Timers, each once, with a new deadline for each.
    fn picked(&mut self) -> Vec<(u32, TimerHandle, u64)> {
        let picked = (0..self.in_a_round()).map(|_| {
            self.next = (self.next + 1) % self.order.len();
            let value = self.order[self.next];
            (value, self.handles[value as usize], 1 + self.random.u64(0..DAY_MS))
        });
        picked.collect()
    }

    /// What is inserted is taken out again after each round.
    fn insert(&mut self) -> f64 {
        median_ns(|| {
            let dues: Vec<u64> = (0..self.in_a_round()).map(|_| 1 + self.random.u64(0..DAY_MS)).collect();
            let mut handles = Vec::with_capacity(dues.len());
            let begun = Instant::now();
            handles.extend(dues.iter().map(|&due| self.wheel.insert(due, 0)));
            let took = begun.elapsed();
            for handle in handles {
                self.wheel.cancel(handle);
            }
            took.as_nanos() as f64 / dues.len() as f64
        })
    }

    fn reschedule(&mut self) -> f64 {
        median_ns(|| {
            let picked = self.picked();
            let begun = Instant::now();
            for &(_, handle, due) in &picked {
                black_box(self.wheel.reschedule(handle, due));
            }
            begun.elapsed().as_nanos() as f64 / picked.len() as f64
        })
    }

    fn cancel_insert(&mut self) -> f64 {
        median_ns(|| {
            let picked = self.picked();
            let mut handles = Vec::with_capacity(picked.len());
            let begun = Instant::now();
            for &(value, handle, due) in &picked {
                black_box(self.wheel.cancel(handle));
                handles.push(self.wheel.insert(due, value));
            }
            let took = begun.elapsed();
            for ((value, ..), handle) in picked.iter().zip(handles) {
                self.handles[*value as usize] = handle;
            }
            took.as_nanos() as f64 / picked.len() as f64
        })
    }
}

/// Nanoseconds a timer, when time goes to `end` in one go.
fn fire(timers: usize, end: u64, due: impl Fn(&mut fastrand::Rng) -> u64) -> f64 {
    const REPEATS: usize = 3;
    let repeat = |seed| {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let mut wheel = Wheel::new(0);
        for value in 0..timers {
            wheel.insert(due(&mut random), value as u32);
        }
        let mut sum = 0u64;
        let begun = Instant::now();
        let progress = wheel.advance(end, usize::MAX, |timer| sum += u64::from(timer.value));
        black_box(sum);
        debug_assert!(progress.done, "the budget has no end");
        begun.elapsed().as_nanos() as f64 / timers as f64
    };
    let mut repeats: Vec<f64> = (0..REPEATS).map(repeat).collect();
    median(&mut repeats)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timers = grouped(u64::from(self.timers));
        writeln!(
            f,
            "\nThe wheel, {timers} timers pending, {:.1} bytes each; beside its floors\n",
            self.bytes_per_timer
        )?;
        self.operations.iter().try_for_each(|operation| write!(f, "{operation}"))
    }
}
