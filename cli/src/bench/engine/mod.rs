//! `reveille bench engine`: the engine's calls by key, in memory, beside a plain map behind a lock and beside what its memory
//! costs to reach.

mod subjects;

use std::fmt;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::beside::{Beside, median_ns};
use super::memory::Memory;
use super::{Error, fits, key};
use crate::figures::grouped;
use subjects::{Keyed, Map, Reveille};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The assumed size of a job if the system does not tell.
const BYTES_PER_JOB: usize = 320;

/// The arguments of `reveille bench engine`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs are pending, with keys of 20 bytes and payloads of 64, a day away
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    jobs: u32,

    /// On how many threads to make calls, besides one
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=64))]
    threads: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// The result. With several threads the time is that of all together.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u32,
    threads: u32,
    bytes_per_job: Option<f64>,
    operations: Vec<Beside>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Schedule,
    Reschedule,
    Cancel,
    Lookup,
}

impl Call {
    const ALL: [Call; 4] = [Call::Schedule, Call::Reschedule, Call::Cancel, Call::Lookup];

    fn name(self) -> &'static str {
        match self {
            Call::Schedule => "schedule",
            Call::Reschedule => "reschedule",
            Call::Cancel => "cancel",
            Call::Lookup => "look up",
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let (jobs, threads) = (fits(args.jobs)?, fits(args.threads)?);
    let before = resident_bytes();
    let engine = Filled::with(Reveille::start().await?, jobs);
    let bytes = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    let map = Filled::with(Map::default(), jobs);
    let memory = Memory::measured(bytes.unwrap_or(jobs * BYTES_PER_JOB));
    let mut operations = Vec::new();
    for call in Call::ALL {
        for threads in [1, threads] {
            let (ns, map_ns) = (engine.median_ns(call, threads), map.median_ns(call, threads));
            let floors = [
                ("a map behind a lock, no timers", map_ns),
                ("one cache miss", memory.chain_ns / threads as f64),
            ];
            let name =
                if threads == 1 { call.name().into() } else { format!("{}, {threads} threads", call.name()) };
            operations.push(Beside::new(name, ns, &floors));
        }
    }
    engine.subject.stop().await;
    let bytes_per_job = bytes.map(|bytes| bytes as f64 / jobs as f64);
    Ok(Report { jobs: args.jobs, threads: args.threads, bytes_per_job, operations })
}

/// A subject with as many jobs pending after each round as before.
struct Filled<K> {
    subject: K,
    jobs: usize,
}

/// Calls of one thread in one round.
const CALLS_MAX: usize = 50_000;

impl<K: Keyed> Filled<K> {
    fn with(subject: K, jobs: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(3);
        for n in 0..jobs {
            subject.schedule(&key(n as u64), random.u64(0..DAY_MS));
        }
        Filled { subject, jobs }
    }

    /// Nanoseconds a call, all threads together.
    fn median_ns(&self, call: Call, threads: usize) -> f64 {
        let mut random = fastrand::Rng::with_seed(4);
        let each = (self.jobs / threads / 2).min(CALLS_MAX);
        median_ns(|| {
            let calls: Vec<Vec<(String, u64)>> =
                (0..threads).map(|thread| self.calls(call, thread, threads, each, &mut random)).collect();
            let took = self.timed(call, &calls);
            for (key, due) in calls.iter().flatten() {
                match call {
                    Call::Schedule => self.subject.cancel(key),
                    Call::Cancel => self.subject.schedule(key, *due),
                    Call::Reschedule | Call::Lookup => {}
                }
            }
            took.as_nanos() as f64 / (each * threads) as f64
        })
    }

    /// Random jobs, each once and none for two threads; or new ones, to be scheduled.
    fn calls(
        &self,
        call: Call,
        thread: usize,
        threads: usize,
        each: usize,
        random: &mut fastrand::Rng,
    ) -> Vec<(String, u64)> {
        let part = self.jobs / threads;
        let (from, step) = (random.usize(0..part), coprime_step(part, random));
        let calls = (0..each).map(|n| {
            let number = thread * part + (from + n * step) % part;
            let number = if call == Call::Schedule { self.jobs + number } else { number };
            (key(number as u64), random.u64(0..DAY_MS))
        });
        calls.collect()
    }

    fn timed(&self, call: Call, calls: &[Vec<(String, u64)>]) -> Duration {
        let barrier = Barrier::new(calls.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = calls
                .iter()
                .map(|calls| {
                    scope.spawn(|| {
                        barrier.wait();
                        let begun = Instant::now();
                        self.make(call, calls);
                        (begun, Instant::now())
                    })
                })
                .collect();
            let times: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
            let begun = times.iter().map(|(begun, _)| *begun).min();
            let ended = times.iter().map(|(_, ended)| *ended).max();
            begun.zip(ended).map_or(Duration::ZERO, |(begun, ended)| ended - begun)
        })
    }

    fn make(&self, call: Call, calls: &[(String, u64)]) {
        match call {
            Call::Schedule => calls.iter().for_each(|(key, due)| self.subject.schedule(key, *due)),
            Call::Reschedule => calls.iter().for_each(|(key, due)| self.subject.reschedule(key, *due)),
            Call::Cancel => calls.iter().for_each(|(key, _)| self.subject.cancel(key)),
            Call::Lookup => calls.iter().for_each(|(key, _)| {
                black_box(self.subject.lookup(key));
            }),
        }
    }
}

/// A step that visits every number below `bound` once.
fn coprime_step(bound: usize, random: &mut fastrand::Rng) -> usize {
    let divides = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a > 1
    };
    let mut step = random.usize(1..bound.max(2));
    while divides(bound, step) {
        step += 1;
    }
    step
}

/// The memory of this process, if the system tells.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nCalls by key, {} jobs pending", grouped(u64::from(self.jobs)))?;
        if let Some(bytes) = self.bytes_per_job {
            write!(f, ", {bytes:.0} bytes each")?;
        }
        writeln!(f, "; beside their floors\n")?;
        self.operations.iter().try_for_each(|operation| write!(f, "{operation}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_comes_by_every_number() {
        let mut random = fastrand::Rng::with_seed(5);
        for bound in [1, 2, 12, 1_000, 65_536] {
            let step = coprime_step(bound, &mut random);
            let mut seen = vec![false; bound];
            (0..bound).for_each(|n| seen[n * step % bound] = true);
            assert!(seen.iter().all(|seen| *seen), "{step} of {bound}");
        }
    }
}
