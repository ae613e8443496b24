//! `reveille bench`: the engine on this machine, each figure beside its floor in the same run.
//!
//! # Rules
//! - A figure without its floor says nothing. In memory: the same bytes reached in an array, a plain map behind a lock. In
//!   time: a bare sleep, sleep and spin, tokio's. With a Redis: the same connection's bare round trip, the same bytes read
//!   raw.
//! - Without `--store` the benchmark starts a `redis-server` of its own, on a free port of 127.0.0.1 and in a temporary
//!   folder, and stops it at the end.
//! - With `--store` it uses a namespace with a random name, and removes it at the end; it touches nothing else.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod beside;
mod burst;
mod clock;
mod durable;
mod engine;
mod idle;
mod late;
mod lateness;
mod limit;
mod memory;
mod reading;
mod restore;
mod server;
mod snapshot;
mod subject;
mod wheel;

use std::fmt::Display;
use std::process::ExitCode;

use reveille::Profile;
use serde::Serialize;

use crate::complain;
use subject::Subject;

/// The arguments of `reveille bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The timing wheel by itself: insert, move, cancel, fire; beside reaching the same bytes in an array
    Wheel(wheel::Args),
    /// Calls by key, on one thread and on several; beside a plain map behind a lock
    Engine(engine::Args),
    /// How late jobs spread in time fire, by profile; beside a bare sleep, sleep and spin, and tokio's sleep
    Lateness(lateness::Args),
    /// Jobs due at one instant: when the last one starts; beside as many tokio sleeps
    Burst(burst::Args),
    /// A queue with a rate and many more jobs due than it lets go: the rate, and how late another queue's jobs are beside it
    Limit(limit::Args),
    /// Pages, counts and loads among millions of jobs, and how late others fire meanwhile
    Reading(reading::Args),
    /// The processor time of an engine whose jobs are far away; beside a thread that wakes now and then
    Idle(idle::Args),
    /// Acknowledged schedules per second with many callers, and the latency of one alone; beside a bare round trip, and a bare
    /// write and sync of a disk
    Durable(durable::Args),
    /// How long a restore takes, and the bytes kept per job; beside reading the same bytes raw
    Restore(restore::Args),
    /// How late jobs fire while a million others are written to a snapshot, and without a snapshot
    Snapshot(snapshot::Args),
}

/// Arguments of the benchmarks with a Redis.
#[derive(Debug, clap::Args)]
struct Common {
    /// Measure this store instead of starting a Redis: its address, or a directory, as file:PATH. `durable` and `snapshot` also
    /// take memory:, which leaves the engine's own part
    #[arg(long, value_name = "STORE", env = "REVEILLE_STORE", hide_env_values = true)]
    store: Option<String>,

    /// When the benchmark's own Redis syncs its log to disk: always, everysec or no
    #[arg(long, value_name = "POLICY", default_value = "everysec", value_parser = ["always", "everysec", "no"], conflicts_with = "store")]
    appendfsync: String,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Measures.
pub(crate) fn execute(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the runtime cannot be started: {error}"));
            return ExitCode::from(2);
        }
    };
    let measured = runtime.block_on(async {
        match args.what {
            What::Wheel(args) => wheel::run(&args).map(|report| print(&report, args.json)),
            What::Engine(args) => engine::run(&args).await.map(|report| print(&report, args.json)),
            What::Lateness(args) => lateness::run(&args).await.map(|report| print(&report, args.json)),
            What::Burst(args) => burst::run(&args).await.map(|report| print(&report, args.json)),
            What::Limit(args) => limit::run(&args).await.map(|report| print(&report, args.json)),
            What::Reading(args) => reading::run(&args).await.map(|report| print(&report, args.json)),
            What::Idle(args) => idle::run(&args).await.map(|report| print(&report, args.json)),
            What::Durable(args) => durable::run(&args).await.map(|report| print(&report, args.common.json)),
            What::Restore(args) => restore::run(&args).await.map(|report| print(&report, args.common.json)),
            What::Snapshot(args) => snapshot::run(&args).await.map(|report| print(&report, args.common.json)),
        }
    });
    match measured {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(format_args!("the result cannot be written: {error}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(format_args!("the benchmark broke off: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

fn print(report: &(impl Serialize + Display), as_json: bool) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    if as_json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)
    } else {
        write!(out, "{report}")
    }
}

impl Common {
    /// The store to measure.
    async fn subject(&self) -> Result<Subject, Error> {
        Subject::of(self.store.as_deref(), &self.appendfsync).await
    }
}

/// Every profile, and its name.
fn profiles() -> [(Profile, &'static str); 3] {
    [(Profile::Eco, "eco"), (Profile::Precise, "precise"), (Profile::DEDICATED, "dedicated")]
}

/// A number from the command line as a size in memory.
fn fits(number: u32) -> Result<usize, Error> {
    Ok(usize::try_from(number)?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Keys of 20 bytes.
fn key(n: u64) -> String {
    format!("job:{n:016}")
}

/// Payloads of 64 bytes, no two the same.
fn payload(n: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    (0..64).map(|_| random.u8(..)).collect()
}
