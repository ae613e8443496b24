//! `reveille bench restore`: how long it takes until all jobs are back, from a snapshot and from the log alone.

use std::fmt;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use reveille::{Durability, Engine};
use serde::Serialize;

use super::server::Redis;
use super::subject::Subject;
use super::{Common, Error, key, median, payload};
use crate::figures::grouped;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Schedules between two waits for the store.
const WAIT_EVERY: u64 = 10_000;

/// Restores of which the median is reported.
const REPEATS: usize = 3;

/// The arguments of `reveille bench restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,

    /// How many jobs to restore
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    jobs: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u64,
    from_snapshot: Restore,
    from_log: Restore,
    snapshot_seconds: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Restore {
    seconds: f64,
    /// The same bytes, read and thrown away.
    raw_read_seconds: f64,
    to_raw_read: f64,
    megabytes: f64,
    /// In the memory of a Redis, or in files.
    bytes_per_job: f64,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let subject = args.common.subject().await?;
    let engine = start(&subject).await?;
    fill(&engine, args.jobs).await?;
    engine.shutdown(Duration::from_secs(60)).await;
    drop(engine);
    let from_log = measure(&subject, args.jobs).await?;

    let engine = start(&subject).await?;
    let began = Instant::now();
    engine.snapshot().await?;
    let snapshot_seconds = began.elapsed().as_secs_f64();
    engine.shutdown(Duration::from_secs(60)).await;
    drop(engine);
    let from_snapshot = measure(&subject, args.jobs).await?;
    subject.clear().await?;
    Ok(Report { jobs: args.jobs, from_snapshot, from_log, snapshot_seconds })
}

async fn start(subject: &Subject) -> Result<Engine, Error> {
    // Only the restore is measured, so no snapshot is taken by itself.
    let engine = Engine::builder()
        .queue("q", |_| async {})
        .store(subject.store()?)
        .durability(Durability::Logged)
        .snapshot_every(DAY, u64::MAX)
        .start()
        .await?;
    Ok(engine)
}

pub(super) async fn fill(engine: &Engine, jobs: u64) -> Result<(), Error> {
    for n in 0..jobs {
        let due = DAY + Duration::from_millis(fastrand::u64(0..24 * 3600 * 1000));
        let commit = engine.schedule_raw("q", payload(n)).key(key(n)).after(due);
        if n % WAIT_EVERY == 0 {
            commit.await?.scheduled()?;
        } else {
            commit.into_outcome()?.scheduled()?;
        }
    }
    Ok(())
}

async fn measure(subject: &Subject, jobs: u64) -> Result<Restore, Error> {
    let kept_bytes = subject.bytes().await?.unwrap_or_default();
    let (mut restores, mut reads, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..REPEATS {
        let began = Instant::now();
        bytes = read_raw(subject).await?;
        reads.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let engine = start(subject).await?;
        restores.push(began.elapsed().as_secs_f64());
        if engine.jobs() as u64 != jobs {
            return Err(format!("{} jobs came back of {jobs}", engine.jobs()).into());
        }
        engine.shutdown(Duration::from_secs(60)).await;
    }
    let (seconds, raw_read_seconds) = (median(&mut restores), median(&mut reads));
    Ok(Restore {
        seconds,
        raw_read_seconds,
        to_raw_read: seconds / raw_read_seconds,
        megabytes: bytes as f64 / 1e6,
        bytes_per_job: kept_bytes as f64 / jobs as f64,
    })
}

/// Reads what a restore has to read, and throws it away. Returns how many bytes that was.
async fn read_raw(subject: &Subject) -> Result<usize, Error> {
    match subject {
        Subject::Redis(redis) => read_redis(redis, &mut redis.connect().await?).await,
        Subject::Disk(folder) => folder.read_raw(),
        Subject::Memory(_) => Err("there is nothing to read in memory; name a directory or a Redis".into()),
    }
}

/// Every chunk and every batch, a few at a time.
async fn read_redis(redis: &Redis, connection: &mut MultiplexedConnection) -> Result<usize, Error> {
    const AT_A_TIME: usize = 16;
    let keys = redis.keys(connection).await?;
    let (logs, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.ends_with(":l"));
    let chunks: Vec<_> = others.into_iter().filter(|key| key.contains(":s:")).collect();
    let mut bytes = 0;
    for keys in chunks.chunks(AT_A_TIME) {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.get(key);
        }
        let values: Vec<redis::Value> = pipeline.query_async(connection).await?;
        bytes += values.iter().map(bytes_of).sum::<usize>();
    }
    for log in logs {
        let mut from = "-".to_owned();
        loop {
            let page: redis::Value = redis::cmd("XRANGE")
                .arg(&log)
                .arg(&from)
                .arg("+")
                .arg("COUNT")
                .arg(AT_A_TIME)
                .query_async(connection)
                .await?;
            bytes += bytes_of(&page);
            match last_id(&page) {
                Some(id) => from = format!("({id}"),
                None => break,
            }
        }
    }
    Ok(bytes)
}

fn bytes_of(value: &redis::Value) -> usize {
    match value {
        redis::Value::BulkString(bytes) => bytes.len(),
        redis::Value::Array(values) => values.iter().map(bytes_of).sum(),
        _ => 0,
    }
}

/// The id of the last entry of a page of a stream.
fn last_id(page: &redis::Value) -> Option<String> {
    let redis::Value::Array(entries) = page else { return None };
    let redis::Value::Array(entry) = entries.last()? else { return None };
    let redis::Value::BulkString(id) = entry.first()? else { return None };
    String::from_utf8(id.clone()).ok()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nRestore of {} jobs, 20-byte keys and 64-byte payloads\n", grouped(self.jobs))?;
        let columns = ["seconds", "raw read", "ratio", "MB", "kept B/job"];
        let [a, b, c, d, e] = columns;
        writeln!(f, "  {:<16} {a:>9} {b:>9} {c:>7} {d:>8} {e:>12}", "")?;
        for (name, restore) in [("from a snapshot", self.from_snapshot), ("from the log", self.from_log)] {
            let Restore { seconds, raw_read_seconds, to_raw_read, megabytes, bytes_per_job } = restore;
            writeln!(
                f,
                "  {name:<16} {seconds:>9.3} {raw_read_seconds:>9.3} {to_raw_read:>7.1} {megabytes:>8.1} {bytes_per_job:>12.1}"
            )?;
        }
        writeln!(f, "\n  the snapshot itself took {:.3} s", self.snapshot_seconds)
    }
}
