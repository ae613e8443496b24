//! `reveille bench idle`: the processor time of an engine that only waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use reveille::{Engine, Job, Profile};
use serde::Serialize;

use super::{Error, clock, key, payload};
use crate::figures::grouped;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often the floor wakes: as often as the driver checks whether the clock was set.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The arguments of `reveille bench idle`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs are pending, a day away
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(0..=50_000_000))]
    jobs: u32,

    /// How long to watch each
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// The result: shares of one core, in percent.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u32,
    seconds: u32,
    floor: &'static str,
    floor_percent: f64,
    profiles: Vec<Idle>,
}

#[derive(Debug, Serialize)]
struct Idle {
    profile: &'static str,
    percent_of_a_core: f64,
    to_floor: f64,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let time = Duration::from_secs(args.seconds.into());
    let floor_percent = floor(time).await?;
    let mut profiles = Vec::new();
    for (profile, name) in super::profiles() {
        let percent_of_a_core = engine(profile, args.jobs, time).await?;
        profiles.push(Idle { profile: name, percent_of_a_core, to_floor: percent_of_a_core / floor_percent });
    }
    let floor = "a thread that wakes ten times a second";
    Ok(Report { jobs: args.jobs, seconds: args.seconds, floor, floor_percent, profiles })
}

async fn floor(time: Duration) -> Result<f64, Error> {
    let is_over = Arc::new(AtomicBool::new(false));
    let sleeper = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            while !is_over.load(SeqCst) {
                std::thread::sleep(LOOK_EVERY);
            }
        })
    };
    let percent = watched(time).await;
    is_over.store(true, SeqCst);
    sleeper.join().map_err(|_| "the floor's thread panicked")?;
    percent
}

async fn engine(profile: Profile, jobs: u32, time: Duration) -> Result<f64, Error> {
    let engine = Engine::builder().queue("q", |_: Job| async {}).profile(profile).start().await?;
    for n in 0..u64::from(jobs) {
        let due = DAY + Duration::from_millis(fastrand::u64(0..24 * 3600 * 1000));
        engine.schedule_raw("q", payload(n)).key(key(n)).after(due).into_outcome()?.scheduled()?;
    }
    // Work that scheduling left behind is over by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let percent = watched(time).await;
    engine.shutdown(Duration::from_secs(10)).await;
    percent
}

/// The processor time that this process takes in `time`, in percent of a core.
async fn watched(time: Duration) -> Result<f64, Error> {
    const MISSING: &str = "the processor time of a process can be told on Linux only";
    let (before, begun) = (clock::cpu_time().ok_or(MISSING)?, Instant::now());
    tokio::time::sleep(time).await;
    let (after, took) = (clock::cpu_time().ok_or(MISSING)?, begun.elapsed());
    Ok(after.saturating_sub(before).as_secs_f64() / took.as_secs_f64() * 100.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = grouped(u64::from(self.jobs));
        writeln!(
            f,
            "\nAn engine with {jobs} jobs a day away, over {} s; in percent of one core\n",
            self.seconds
        )?;
        writeln!(f, "  {:<40} {:>8.3} %", self.floor, self.floor_percent)?;
        for Idle { profile, percent_of_a_core, to_floor } in &self.profiles {
            writeln!(f, "  {profile:<40} {percent_of_a_core:>8.3} %   {to_floor:.1}x the floor")?;
        }
        Ok(())
    }
}
