//! `reveille bench durable`: how many schedules are acknowledged a second, and how long one alone takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reveille::{Durability, Engine};
use serde::Serialize;

use super::subject::Floor;
use super::{Common, Error, key, payload};
use crate::figures::grouped;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The arguments of `reveille bench durable`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,

    /// How many callers schedule at the same time, each waiting for its acknowledgement
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    callers: u64,

    /// How long they do so, and one alone at most
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,

    /// When a schedule is acknowledged
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Logged)]
    durability: Level,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// Once the store has it
    Logged,
    /// Once it is on the store's disk
    Fsync,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    durability: Durability,
    callers: u64,
    acknowledged: u64,
    acknowledged_per_second: f64,
    alone_us: Percentiles,
    floors: Vec<Beside>,
    /// In the store's log, where it is known.
    bytes_per_job: Option<f64>,
}

/// A floor of one schedule alone.
#[derive(Debug, Serialize)]
struct Beside {
    name: &'static str,
    us: Percentiles,
    /// The medians of one schedule alone and of the floor.
    alone_to_floor: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let subject = args.common.subject().await?;
    let durability = args.level();
    let engine = Engine::builder()
        .queue("q", |_| async {})
        .store(subject.store()?)
        .durability(durability)
        .start()
        .await?;
    let (alone_us, floors) =
        alone(&engine, subject.floors(durability).await?, Duration::from_secs(args.seconds)).await?;
    let bytes_before = subject.bytes().await?;
    let (acknowledged, took) = many(&engine, args.callers, Duration::from_secs(args.seconds)).await?;
    let bytes = subject.bytes().await?.zip(bytes_before).map(|(after, before)| after.saturating_sub(before));
    engine.shutdown(Duration::from_secs(10)).await;
    subject.clear().await?;
    Ok(Report {
        durability,
        callers: args.callers,
        acknowledged,
        acknowledged_per_second: acknowledged as f64 / took.as_secs_f64(),
        alone_us,
        floors,
        bytes_per_job: bytes.map(|bytes| bytes as f64 / acknowledged as f64),
    })
}

/// One schedule after another, in turns with its first floor with as many bytes, so that both meet the same conditions. The
/// other floors come now and then: a sync takes so long that whatever follows it finds cold caches.
async fn alone(
    engine: &Engine,
    floors: Vec<Floor>,
    time: Duration,
) -> Result<(Percentiles, Vec<Beside>), Error> {
    const WARM: u64 = 200;
    const CALLS: u64 = 3000;
    const OTHERS_EVERY: u64 = 16;
    let mut ours = new_histogram()?;
    let mut floors: Vec<_> =
        floors.into_iter().map(|floor| Ok((floor, new_histogram()?))).collect::<Result<_, Error>>()?;
    let began = Instant::now();
    for n in 0..WARM + CALLS {
        let is_warm = n >= WARM;
        // A disk under load takes milliseconds for a sync.
        if is_warm && !ours.is_empty() && began.elapsed() > time {
            break;
        }
        let began = Instant::now();
        engine.schedule_raw("q", payload(n)).key(format!("alone:{n}")).after(DAY).await?.scheduled()?;
        let took = began.elapsed();
        if is_warm {
            ours.record(took.as_nanos() as u64)?;
        }
        let now = if n.is_multiple_of(OTHERS_EVERY) { floors.len() } else { 1 };
        for (floor, times) in floors.iter_mut().take(now) {
            let took = floor.take(&payload(n)).await?;
            if is_warm {
                times.record(took.as_nanos() as u64)?;
            }
        }
    }
    let ours = Percentiles::of(&ours);
    let mut beside = Vec::new();
    for (floor, times) in floors {
        let us = Percentiles::of(&times);
        beside.push(Beside { name: floor.name(), us, alone_to_floor: ours.p50 / us.p50 });
        floor.clear().await?;
    }
    Ok((ours, beside))
}

/// Many callers, each waiting for its acknowledgement before it goes on.
async fn many(engine: &Engine, callers: u64, time: Duration) -> Result<(u64, Duration), Error> {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (engine, stop, count) = (engine.clone(), Arc::clone(&stop), Arc::clone(&count));
            let payload = payload(caller);
            tokio::spawn(async move {
                let mut n = 0;
                while !stop.load(Relaxed) {
                    let key = key(caller << 32 | n);
                    engine.schedule_raw("q", payload.as_slice()).key(key).after(DAY).await?.scheduled()?;
                    count.fetch_add(1, Relaxed);
                    n += 1;
                }
                Ok::<_, reveille::BoxError>(())
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok((count.load(Relaxed), began.elapsed()))
}

fn new_histogram() -> Result<Histogram<u64>, Error> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

impl Percentiles {
    fn of(ns: &Histogram<u64>) -> Self {
        let us = |quantile| ns.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles { p50: us(0.5), p99: us(0.99) }
    }
}

impl Args {
    fn level(&self) -> Durability {
        match self.durability {
            Level::Logged => Durability::Logged,
            Level::Fsync => Durability::Fsync,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99 } = self.alone_us;
        let level = self.durability;
        writeln!(f, "\nDurable schedules, acknowledged once {level}, 20-byte keys and 64-byte payloads\n")?;
        let many = format!("acknowledged a second, {} callers", self.callers);
        writeln!(f, "  {many:<44} {:>12}", grouped(self.acknowledged_per_second as u64))?;
        writeln!(f, "  {:<44} {p50:>12.1}   p99 {p99:.1}", "one alone, µs, p50")?;
        for Beside { name, us, alone_to_floor } in &self.floors {
            let floor = format!("{name}, µs, p50");
            writeln!(
                f,
                "  {floor:<44} {:>12.1}   p99 {:.1}   one alone is {alone_to_floor:.2}x",
                us.p50, us.p99
            )?;
        }
        if let Some(bytes) = self.bytes_per_job {
            writeln!(f, "  {:<44} {bytes:>12.0}", "bytes a job, in the log")?;
        }
        Ok(())
    }
}
