//! The simulator's command. `reveille-sim --help` says what it does.

mod planted;

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use clap::{Parser, Subcommand};
use reveille_sim::{StoreKind, Violation, draw, run, shrink};

/// Runs the whole engine under a simulator: one seed decides the calls, the faults, the network and which task runs next.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds, and stops at the first that breaks a promise, with the shortest history that breaks it.
    Run {
        /// The seeds, as `FIRST..END`, without the end.
        #[arg(long, default_value = "0..10000", value_parser = seeds)]
        seeds: Range<u64>,
        /// The number of threads.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Goes on after a broken promise, and reports all of them.
        #[arg(long)]
        all: bool,
        /// Where the store is, `redis` or `disk`; by default on disk in one seed of three.
        #[arg(long)]
        store: Option<StoreKind>,
    },
    /// Runs one seed, and prints what happened.
    Seed {
        /// The seed.
        seed: u64,
        /// Where the store is, `redis` or `disk`; by default as in a run of many seeds.
        #[arg(long)]
        store: Option<StoreKind>,
    },
    /// Plants bugs, each in a copy of the sources, and reports the seed that finds it.
    Planted {
        /// Only this one.
        #[arg(long)]
        only: Option<String>,
        /// How many seeds to try.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    // Handlers panic on purpose. A panic of the library ends a run, and is reported with it.
    reveille_sim::listen_to_panics();
    match Args::parse().command {
        Command::Run { seeds, threads, all, store } => many(seeds, threads, all, store),
        Command::Seed { seed, store } => one(seed, store.unwrap_or(StoreKind::of(seed))),
        Command::Planted { only, seeds } => planted::find_all(only.as_deref(), seeds),
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("write it as 0..1000")?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(first)?..number(end)?;
    if range.is_empty() { Err("there is no seed in it".to_owned()) } else { Ok(range) }
}

fn many(seeds: Range<u64>, threads: usize, all: bool, store: Option<StoreKind>) -> ExitCode {
    #[allow(clippy::disallowed_methods, reason = "it is told how long it took")]
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let (is_over, broken, done) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicU64::new(0));
    let (jobs, starts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while !is_over.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let store = store.unwrap_or(StoreKind::of(seed));
            let (setting, plan) = draw(seed, store);
            let outcome = run(&setting, &plan, false);
            jobs.fetch_add(outcome.jobs, Relaxed);
            starts.fetch_add(outcome.starts, Relaxed);
            done.fetch_add(1, Relaxed);
            let Some(violation) = outcome.violation else { continue };
            broken.fetch_add(1, Relaxed);
            if all {
                println!("{}", told(seed, &violation));
            } else if !is_over.swap(true, Relaxed) {
                report(seed, store);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    #[allow(clippy::disallowed_methods, reason = "it is told how long it took")]
    let took = began.elapsed();
    println!(
        "{} seeds of {}..{}, {} jobs, {} starts, {} broken, {:.1} s",
        done.load(Relaxed),
        seeds.start,
        seeds.end,
        jobs.load(Relaxed),
        starts.load(Relaxed),
        broken.load(Relaxed),
        took.as_secs_f64()
    );
    if broken.load(Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(seed: u64, violation: &Violation) -> String {
    let detail: String = violation.detail.chars().take(600).collect();
    format!("seed {seed} breaks promise {}: {detail}", violation.promise)
}

/// Reports a broken promise by the shortest history that breaks it.
fn report(seed: u64, store: StoreKind) {
    let (setting, plan) = draw(seed, store);
    let Some((shortest, outcome)) = shrink(&setting, &plan) else { return };
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("the shortest history has {} of {} calls and faults:", shortest.len(), plan.len());
    for item in &shortest {
        println!("  {:>10} µs {:?}", item.at_us, item.what);
    }
    if let Some(violation) = &outcome.violation {
        println!("{}", told(seed, violation));
    }
    println!("again: cargo run --release -p reveille-sim -- seed {seed} --store {store}");
}

fn one(seed: u64, store: StoreKind) -> ExitCode {
    let (setting, plan) = draw(seed, store);
    let outcome = run(&setting, &plan, true);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("seed {seed}: digest {:016x}, {} jobs, {} starts", outcome.digest, outcome.jobs, outcome.starts);
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{}", told(seed, &violation));
            ExitCode::FAILURE
        }
    }
}
