//! `reveille bench snapshot`: what a snapshot of many jobs does to the lateness of jobs that fire meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use reveille::{Durability, Engine, Job};
use serde::Serialize;

use super::restore::fill;
use super::{Common, Error};
use crate::figures::grouped;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Between two jobs that fire.
const EVERY: Duration = Duration::from_millis(1);

/// The arguments of `reveille bench snapshot`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,

    /// How many jobs are pending, far away
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    jobs: u64,

    /// How many fire, a millisecond apart, with snapshots and without
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    firing: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u64,
    without: Late,
    with_snapshots: Late,
    /// The 99th percentiles.
    with_to_without: f64,
    snapshots: u64,
}

/// Lateness in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Late {
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

type Seen = Arc<Mutex<Histogram<u64>>>;

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let subject = args.common.subject().await?;
    let seen: Seen = Arc::new(Mutex::new(Histogram::new(3)?));
    let sink = Arc::clone(&seen);
    let engine = Engine::builder()
        .queue("q", |_| async {})
        .queue("fires", move |job: Job| {
            if let Ok(mut seen) = sink.lock() {
                seen.saturating_record(u64::try_from(job.lateness().as_micros()).unwrap_or(u64::MAX));
            }
            async {}
        })
        .store(subject.store()?)
        .durability(Durability::Logged)
        .snapshot_every(DAY, u64::MAX)
        .start()
        .await?;
    fill(&engine, args.jobs).await?;
    // Filling it made the log long; measuring begins after that log is gone.
    engine.snapshot().await?;

    let without = fire(&engine, args.firing, &seen).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let snapshots = tokio::spawn(again_and_again(engine.clone(), Arc::clone(&is_over)));
    let with_snapshots = fire(&engine, args.firing, &seen).await?;
    is_over.store(true, SeqCst);
    let snapshots = snapshots.await??;
    engine.shutdown(Duration::from_secs(10)).await;
    subject.clear().await?;
    let with_to_without = with_snapshots.p99_us as f64 / without.p99_us.max(1) as f64;
    Ok(Report { jobs: args.jobs, without, with_snapshots, with_to_without, snapshots })
}

/// Has jobs fire, one after another, and returns how late they were.
async fn fire(engine: &Engine, jobs: u32, seen: &Seen) -> Result<Late, Error> {
    seen.lock().map_err(|_| "a handler panicked")?.clear();
    for n in 0..jobs {
        // A second ahead, so that scheduling them is over when the first is due.
        engine
            .schedule_raw("fires", "")
            .after(Duration::from_secs(1) + EVERY * n)
            .into_outcome()?
            .scheduled()?;
    }
    tokio::time::sleep(Duration::from_secs(2) + EVERY * jobs).await;
    let seen = seen.lock().map_err(|_| "a handler panicked")?;
    if seen.len() != u64::from(jobs) {
        return Err(format!("{} of {jobs} jobs have fired", seen.len()).into());
    }
    Ok(Late { p50_us: seen.value_at_quantile(0.5), p99_us: seen.value_at_quantile(0.99), max_us: seen.max() })
}

async fn again_and_again(
    engine: Engine,
    is_over: Arc<AtomicBool>,
) -> Result<u64, reveille::store::StoreError> {
    let mut snapshots = 0;
    while !is_over.load(SeqCst) {
        engine.snapshot().await?;
        snapshots += 1;
    }
    Ok(snapshots)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nJobs that fire while {} others are written to a snapshot\n", grouped(self.jobs))?;
        writeln!(f, "  {:<28} {:>9} {:>9} {:>9}", "how late, in µs", "p50", "p99", "max")?;
        let snapshots = format!("{} snapshots at that time", self.snapshots);
        for (name, late) in [("no snapshot", self.without), (snapshots.as_str(), self.with_snapshots)] {
            writeln!(f, "  {name:<28} {:>9} {:>9} {:>9}", late.p50_us, late.p99_us, late.max_us)?;
        }
        writeln!(f, "  {:<28} {:>9} {:>9.2}", "with to without", "", self.with_to_without)
    }
}
