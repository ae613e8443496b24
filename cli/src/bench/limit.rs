//! `reveille bench limit`: a queue with a rate and far more jobs due than it lets go, and another queue beside it.
//!
//! Quiet turns, of the other queue alone, and busy ones take turns, so that they meet the same conditions. The other queue's handler
//! measures its lateness by reading the clock first.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reveille::{Engine, Job, QueueConfig, Rate, Timestamp};
use serde::Serialize;

use super::late::{Late, Seen};
use super::{Error, clock};

/// From the beginning of a turn to the first due.
const LEAD: Duration = Duration::from_secs(1);

/// The first starts after a pause may come at once, as the burst allows: what is counted begins after them.
const SETTLES: Duration = Duration::from_millis(100);

/// The arguments of `reveille bench limit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs of the limited queue are due at one instant
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    jobs: u32,

    /// How many of them may start in a second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    per_second: u32,

    /// How many seconds a turn takes
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    seconds: u32,

    /// How far apart the other queue's jobs are, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    every_ms: u32,

    /// How many turns of each kind there are
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u32,
    per_second: u32,
    /// In each busy turn: how many started in a second.
    kept: Vec<f64>,
    /// The farthest from the limit of these, as a part of it.
    deviation: f64,
    /// The most that started within any second, as a part of the limit.
    busiest_second: f64,
    alone: Late,
    beside: Late,
    /// The other queue's p99 beside the limited queue, to that alone.
    p99_to_alone: f64,
    early: u64,
}

/// When jobs began, in nanoseconds of the monotonic clock.
type Starts = Arc<Mutex<Vec<u64>>>;

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let (mut alone, mut beside) = (Seen::new()?, Seen::new()?);
    let (mut kept, mut busiest) = (Vec::new(), 0);
    for _ in 0..args.turns {
        turn(args, 0, &mut alone).await?;
        let starts = turn(args, args.jobs, &mut beside).await?;
        kept.push(rate(&starts)?);
        busiest = busiest.max(busiest_second(&starts));
    }
    let limit = f64::from(args.per_second);
    let deviation = kept.iter().map(|kept| (kept / limit - 1.0).abs()).fold(0.0, f64::max);
    let (early, alone, beside) = (alone.early() + beside.early(), alone.late(), beside.late());
    Ok(Report {
        jobs: args.jobs,
        per_second: args.per_second,
        kept,
        deviation,
        busiest_second: busiest as f64 / limit,
        alone,
        beside,
        p99_to_alone: beside.p99_us / alone.p99_us,
        early,
    })
}

/// Has the other queue's jobs fire for some seconds, and `limited` jobs of the limited queue come due when that begins. Returns
/// when those of the limited queue began.
async fn turn(args: &Args, limited: u32, seen: &mut Seen) -> Result<Vec<u64>, Error> {
    let limit = NonZeroU32::new(args.per_second).ok_or("a rate is above zero")?;
    let config = QueueConfig::new("limited").rate(Rate::new(limit, Duration::from_secs(1)));
    let (starts, late) = (Starts::default(), Arc::new(Mutex::new(Seen::new()?)));
    let (began, told) = (Arc::clone(&starts), Arc::clone(&late));
    let engine = Engine::builder()
        .queue(config, move |_: Job| {
            began.lock().unwrap_or_else(PoisonError::into_inner).push(clock::now_ns());
            async {}
        })
        .queue("other", move |job: Job| {
            let late_ns = clock::wall_ns() - job.due().as_micros() * 1_000;
            told.lock().unwrap_or_else(PoisonError::into_inner).record(late_ns);
            async {}
        })
        .start()
        .await?;
    let begin = engine.now().saturating_add_micros(LEAD.as_micros() as u64);
    let payload = || reveille::Payload::from(&b""[..]);
    let jobs = (0..limited).map(|_| engine.schedule_raw("limited", payload()).planned(begin));
    engine.schedule_many(jobs).await?.scheduled()?;
    let others = args.seconds * 1_000 / args.every_ms;
    // Between two of the limiter's own wake-ups as well as on them.
    let at = |n: u32| begin.saturating_add_micros(u64::from(n) * u64::from(args.every_ms) * 1_000 + 137);
    let jobs = (0..others).map(|n| engine.schedule_raw("other", payload()).planned(at(n)));
    engine.schedule_many(jobs).await?.scheduled()?;
    if engine.now() >= begin {
        return Err("the jobs were scheduled too slowly to be due in the future".into());
    }
    // The last one may be late.
    until(&engine, at(others).saturating_add_micros(500_000)).await;
    let report = engine.shutdown(Duration::from_secs(5)).await;
    if report.still_running > 0 {
        return Err("handlers still run".into());
    }
    let late = late.lock().unwrap_or_else(PoisonError::into_inner);
    if late.len() != u64::from(others) {
        return Err(format!("{} of {others} jobs of the other queue have fired", late.len()).into());
    }
    seen.add(&late)?;
    let mut starts = std::mem::take(&mut *starts.lock().unwrap_or_else(PoisonError::into_inner));
    starts.sort_unstable();
    Ok(starts)
}

async fn until(engine: &Engine, instant: Timestamp) {
    let left_us = instant.as_micros() - engine.now().as_micros();
    tokio::time::sleep(Duration::from_micros(u64::try_from(left_us).unwrap_or(0))).await;
}

/// How many started in a second, from when the first burst was over to the last start.
fn rate(starts: &[u64]) -> Result<f64, Error> {
    let first = *starts.first().ok_or("no job of the limited queue has started")?;
    let counted = &starts[starts.partition_point(|&at| at < first + SETTLES.as_nanos() as u64)..];
    match counted {
        [first, .., last] => Ok((counted.len() - 1) as f64 / ((last - first) as f64 / 1e9)),
        _ => Err("too few jobs of the limited queue have started".into()),
    }
}

/// The most that started within a second, wherever it begins.
fn busiest_second(starts: &[u64]) -> usize {
    let in_a_second =
        |(n, &at): (usize, &u64)| starts.partition_point(|&other| other < at + 1_000_000_000) - n;
    starts.iter().enumerate().map(in_a_second).max().unwrap_or(0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} jobs due at one instant, {} of them a second", self.jobs, self.per_second)?;
        let kept: Vec<String> = self.kept.iter().map(|kept| format!("{kept:.1}")).collect();
        writeln!(f, "  started a second            {}", kept.join(", "))?;
        writeln!(f, "  farthest from the limit     {:.2} %", self.deviation * 100.0)?;
        writeln!(f, "  the busiest second          {:.1} % of the limit", self.busiest_second * 100.0)?;
        writeln!(f, "another queue's lateness in µs       p50       p99     p99.9       max")?;
        for (name, late) in [("alone", &self.alone), ("beside it", &self.beside)] {
            let Late { p50_us, p99_us, p999_us, max_us } = late;
            writeln!(f, "  {name:<29}{p50_us:>10.1}{p99_us:>10.1}{p999_us:>10.1}{max_us:>10.1}")?;
        }
        writeln!(f, "  p99 to alone                {:.2}x; {} early", self.p99_to_alone, self.early)
    }
}
