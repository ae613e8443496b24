//! `reveille bench durable`: how many schedules are acknowledged a second, and how long one alone takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use redis::aio::MultiplexedConnection;
use reveille::{Durability, Engine};
use serde::Serialize;

use super::server::Redis;
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

    /// How long they do so
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    callers: u64,
    acknowledged: u64,
    acknowledged_per_second: f64,
    alone_us: Percentiles,
    bare_round_trip_us: Percentiles,
    /// The medians of one schedule alone and of a bare round trip.
    alone_to_bare: f64,
    redis_bytes_per_job: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let redis = args.common.redis().await?;
    let engine = Engine::builder()
        .queue("q", |_| async {})
        .store(Arc::new(redis.store()?))
        .durability(Durability::Logged)
        .start()
        .await?;
    let (alone_us, bare_round_trip_us) = alone(&redis, &engine).await?;
    let mut connection = redis.connect().await?;
    let bytes_before = redis.bytes(&mut connection).await?;
    let (acknowledged, took) = many(&engine, args.callers, Duration::from_secs(args.seconds)).await?;
    let bytes = redis.bytes(&mut connection).await? - bytes_before;
    engine.shutdown(Duration::from_secs(10)).await;
    redis.clear().await?;
    Ok(Report {
        callers: args.callers,
        acknowledged,
        acknowledged_per_second: acknowledged as f64 / took.as_secs_f64(),
        alone_us,
        bare_round_trip_us,
        alone_to_bare: alone_us.p50 / bare_round_trip_us.p50,
        redis_bytes_per_job: bytes as f64 / acknowledged as f64,
    })
}

/// One schedule after another, in turns with a bare write of as many bytes, so that both meet the same conditions.
async fn alone(redis: &Redis, engine: &Engine) -> Result<(Percentiles, Percentiles), Error> {
    const WARM: u64 = 200;
    const CALLS: u64 = 3000;
    let mut connection = redis.connect().await?;
    let (mut ours, mut bare) = (new_histogram()?, new_histogram()?);
    for n in 0..WARM + CALLS {
        let began = Instant::now();
        engine.schedule_raw("q", payload(n)).key(format!("alone:{n}")).after(DAY).await?.scheduled()?;
        let took = began.elapsed();
        let bare_took = round_trip(&mut connection, &payload(n)).await?;
        if n >= WARM {
            ours.record(took.as_nanos() as u64)?;
            bare.record(bare_took.as_nanos() as u64)?;
        }
    }
    let () = redis::cmd("UNLINK").arg(BARE_KEY).query_async(&mut connection).await?;
    Ok((Percentiles::of(&ours), Percentiles::of(&bare)))
}

const BARE_KEY: &str = "reveille-bench-bare";

async fn round_trip(connection: &mut MultiplexedConnection, bytes: &[u8]) -> Result<Duration, Error> {
    let began = Instant::now();
    let () = redis::cmd("SET").arg(BARE_KEY).arg(bytes).query_async(connection).await?;
    Ok(began.elapsed())
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99 } = self.alone_us;
        writeln!(f, "\nDurable schedules, 20-byte keys and 64-byte payloads\n")?;
        let many = format!("acknowledged a second, {} callers", self.callers);
        writeln!(f, "  {many:<44} {:>12}", grouped(self.acknowledged_per_second as u64))?;
        writeln!(f, "  {:<44} {p50:>12.0}   p99 {p99:.0}", "one alone, µs, p50")?;
        let bare = self.bare_round_trip_us;
        writeln!(f, "  {:<44} {:>12.0}   p99 {:.0}", "a bare round trip (SET), µs, p50", bare.p50, bare.p99)?;
        writeln!(f, "  {:<44} {:>12.2}", "one alone to a bare round trip", self.alone_to_bare)?;
        writeln!(f, "  {:<44} {:>12.0}", "Redis bytes a job, in the log", self.redis_bytes_per_job)
    }
}
