//! `reveille bench reading`: pages, counts and loads among millions of jobs, and how late others fire meanwhile.
//!
//! What is read follows after another, each for a few seconds, while jobs fire that measure their lateness. Beside them stands the same
//! without any reading.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reveille::read::LoadBuckets;
use reveille::{Engine, Job, JobFilter, JobPage, ListCursor, ListError, Profile, Timestamp};
use serde::Serialize;

use super::late::{Late, Seen};
use super::{Error, clock};
use crate::figures::grouped;

/// Jobs of a page.
const PAGE: usize = 100;

/// One job in so many is of the rare queue, and one is of the rare prefix; one in ten times as many has the tag.
const RARE: u64 = 1_000;

/// How far apart the jobs are that measure their lateness.
const EVERY: Duration = Duration::from_millis(3);

const LEAD: Duration = Duration::from_millis(50);

/// Over how long the jobs are spread, in microseconds, and when the first is due.
const SPREAD_US: u64 = 30 * 24 * 3_600 * 1_000_000;
const FIRST_US: u64 = 3_600 * 1_000_000;

/// The arguments of `reveille bench reading`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs are pending
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=20_000_000))]
    jobs: u32,

    /// For how long each way of reading is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    calls: usize,
    /// Jobs that a call gave, or counted.
    jobs: u64,
    p50_ms: f64,
    max_ms: f64,
    late: Late,
    /// The lateness at p99, as many times as without reading.
    late_to_quiet: f64,
}

/// A way of reading: returns how many jobs there were.
type Read = fn(&Engine, Timestamp) -> Result<u64, ListError>;

const WAYS: [(&str, Read); 12] = [
    ("a page", |engine, _| page(&JobFilter::default(), |filter, from, max| engine.list(filter, from, max))),
    ("a page of a rare queue", |engine, _| {
        page(&JobFilter::default().queue("rare"), |filter, from, max| engine.list(filter, from, max))
    }),
    ("a page of a rare prefix", |engine, _| {
        page(&JobFilter::default().key_prefix("rare:"), |filter, from, max| engine.list(filter, from, max))
    }),
    ("a page of a tag", |engine, _| {
        page(&JobFilter::default().tag("rare"), |filter, from, max| engine.list(filter, from, max))
    }),
    ("by due: the first page", |engine, _| by_due(engine, &JobFilter::default())),
    ("by due: a page of a day on", |engine, first| {
        by_due(engine, &JobFilter::default().due_from(first + Duration::from_secs(24 * 3_600)))
    }),
    ("by due: a page of 15 days on", |engine, first| {
        by_due(engine, &JobFilter::default().due_from(first + Duration::from_secs(15 * 24 * 3_600)))
    }),
    ("by due: of a rare queue", |engine, _| by_due(engine, &JobFilter::default().queue("rare"))),
    ("by due: of a rare prefix", |engine, _| by_due(engine, &JobFilter::default().key_prefix("rare:"))),
    ("by due: of a tag", |engine, _| by_due(engine, &JobFilter::default().tag("rare"))),
    ("the load of a tag, by day", |engine, _| {
        let load = engine.load(&JobFilter::default().tag("rare"), days());
        Ok(load.buckets.iter().sum())
    }),
    ("the load of all, by day", |engine, _| {
        Ok(engine.load(&JobFilter::default(), days()).buckets.iter().sum())
    }),
];

fn days() -> LoadBuckets {
    LoadBuckets { width: Duration::from_secs(24 * 3_600), count: 31 }
}

fn by_due(engine: &Engine, filter: &JobFilter) -> Result<u64, ListError> {
    page(filter, |filter, from, max| engine.list_by_due(filter, from, max))
}

/// As many calls as it takes to get a page.
fn page(
    filter: &JobFilter,
    list: impl Fn(&JobFilter, ListCursor, usize) -> Result<JobPage, ListError>,
) -> Result<u64, ListError> {
    let (mut jobs, mut next) = (0, Some(ListCursor::default()));
    while let Some(from) = next.filter(|_| jobs < PAGE) {
        let page = list(filter, from, PAGE - jobs)?;
        jobs += page.jobs.len();
        next = page.next;
    }
    Ok(jobs as u64)
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let late_ns: Arc<Mutex<Vec<i64>>> = Arc::default();
    let sink = Arc::clone(&late_ns);
    let engine = Engine::builder()
        .profile(Profile::Precise)
        .queue("often", |_: Job| async {})
        .queue("rare", |_: Job| async {})
        .inline_queue("measure", move |job: &Job| {
            let late_ns = clock::wall_ns() - job.due().as_micros() * 1_000;
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(late_ns);
        })
        .start()
        .await?;
    let first = engine.now() + Duration::from_micros(FIRST_US);
    fill(&engine, args.jobs, first)?;
    let measure = |read: Option<Read>| measure(&engine, &late_ns, args.seconds, first, read);
    let quiet = measure(None).await?;
    let mut rows = Vec::new();
    for (name, read) in WAYS {
        let row = measure(Some(read)).await?;
        rows.push(Row { name, late_to_quiet: row.late.p99_us / quiet.late.p99_us, ..row });
    }
    rows.insert(0, Row { name: "nothing is read", late_to_quiet: 1.0, ..quiet });
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(Report { jobs: args.jobs, rows })
}

/// Jobs in no order, spread evenly.
fn fill(engine: &Engine, jobs: u32, first: Timestamp) -> Result<(), Error> {
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..u64::from(jobs) {
        let due = first + Duration::from_micros(random.u64(..SPREAD_US));
        let is_rare = n % RARE == 0;
        let (queue, prefix) = if is_rare { ("rare", "rare") } else { ("often", "job") };
        let job = engine.schedule_raw(queue, "").key(format!("{prefix}:{n}"));
        let job = if n % (10 * RARE) == 0 { job.tag("rare") } else { job };
        job.at(due).into_outcome()?.scheduled()?;
    }
    Ok(())
}

/// Reads for so many seconds, while jobs fire.
async fn measure(
    engine: &Engine,
    late_ns: &Mutex<Vec<i64>>,
    seconds: u32,
    first: Timestamp,
    read: Option<Read>,
) -> Result<Row, Error> {
    late_ns.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let count = seconds * 1_000 / EVERY.as_millis() as u32;
    let begin_us = (clock::wall_ns() / 1_000 + LEAD.as_micros() as i64 + 999) / 1_000 * 1_000;
    for n in 0..count {
        let due = Timestamp::from_micros(begin_us) + EVERY * n;
        engine.schedule_raw("measure", "").at(due).into_outcome()?.scheduled()?;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (engine, is_over) = (engine.clone(), Arc::clone(&is_over));
        tokio::task::spawn_blocking(move || {
            let (mut took, mut jobs) = (Vec::new(), 0);
            while let Some(read) = read.filter(|_| !is_over.load(Relaxed)) {
                let begun = Instant::now();
                jobs = read(&engine, first)?;
                took.push(begun.elapsed());
                // As a page that is looked at now and then does, and a processor has others to serve.
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, ListError>((took, jobs))
        })
    };
    tokio::time::sleep(LEAD + EVERY * count + Duration::from_millis(20)).await;
    is_over.store(true, Relaxed);
    let (mut took, jobs) = reader.await??;
    took.sort_unstable();
    let mut seen = Seen::new()?;
    late_ns.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|&late_ns| seen.record(late_ns));
    if seen.len() != u64::from(count) || seen.early() > 0 {
        return Err(format!("{} of {count} have fired, {} early", seen.len(), seen.early()).into());
    }
    let ms = |took: Option<&Duration>| took.map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let (p50_ms, max_ms) = (ms(took.get(took.len() / 2)), ms(took.last()));
    Ok(Row { name: "", calls: took.len(), jobs, p50_ms, max_ms, late: seen.late(), late_to_quiet: 0.0 })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nReading among {} pending jobs, and how late others fire meanwhile\n",
            grouped(self.jobs.into())
        )?;
        writeln!(
            f,
            "  {:<30}{:>8}{:>12}{:>10}{:>10}{:>14}{:>14}{:>10}",
            "", "calls", "jobs", "p50, ms", "max, ms", "late p50, µs", "late p99, µs", "p99 as"
        )?;
        for Row { name, calls, jobs, p50_ms, max_ms, late, late_to_quiet } in &self.rows {
            let Late { p50_us, p99_us, .. } = late;
            writeln!(
                f,
                "  {name:<30}{calls:>8}{:>12}{p50_ms:>10.2}{max_ms:>10.2}{p50_us:>14.1}{p99_us:>14.1}{late_to_quiet:>10.2}",
                grouped(*jobs)
            )?;
        }
        Ok(())
    }
}
