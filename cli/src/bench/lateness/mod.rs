//! `reveille bench lateness`: how late jobs fire that are spread in time, beside bare sleeps on the same machine.
//!
//! All ways take turns, so that they meet the same conditions. The handler measures the lateness of its job, by reading the
//! clock first, and not the engine.

mod load;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reveille::{Engine, Job, Profile, Timestamp};
use serde::Serialize;

use super::late::{Late, Seen};
use super::{Error, clock};
use load::Load;

/// How many turns each way takes.
const TURNS: u32 = 5;

/// From the beginning of a turn to the first due.
const LEAD: Duration = Duration::from_millis(20);

/// The arguments of `reveille bench lateness`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs fire in each way
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(5..=1_000_000))]
    jobs: u32,

    /// How far apart they are, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    every_ms: u32,

    /// How many other threads keep the processor busy meanwhile
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_024))]
    load: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    jobs: u32,
    every_ms: u32,
    load: u32,
    floors: Vec<Row>,
    engine: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    late: Late,
    /// 0, if it keeps its promise.
    early: u64,
    to_floor: Option<ToFloor>,
    /// Percentiles, and the lateness there in microseconds.
    curve: Vec<(f64, f64)>,
}

/// How many times as late as its floor.
#[derive(Debug, Serialize)]
struct ToFloor {
    floor: &'static str,
    p50: f64,
    p99: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Sleep,
    SleepAndSpin,
    TokioSleep,
    Inline(Profile),
    Async(Profile),
}

/// All ways: their names, and which of them is the floor of which.
fn ways() -> Vec<(Way, &'static str, Option<Way>)> {
    let mut ways = vec![
        (Way::Sleep, SLEEP, None),
        (Way::SleepAndSpin, "sleep and spin", None),
        (Way::TokioSleep, "tokio sleep", None),
    ];
    for (profile, _) in super::profiles() {
        let (inline, on_runtime, floor) = match profile {
            Profile::Eco => ("eco, inline handler", "eco, async handler", Way::Sleep),
            Profile::Precise => ("precise, inline handler", "precise, async handler", Way::SleepAndSpin),
            _ => ("dedicated, inline handler", "dedicated, async handler", Way::SleepAndSpin),
        };
        ways.push((Way::Inline(profile), inline, Some(floor)));
        ways.push((Way::Async(profile), on_runtime, Some(Way::TokioSleep)));
    }
    ways
}

const SLEEP: &str = if cfg!(target_os = "linux") { "absolute sleep" } else { "thread::sleep" };

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let _load = Load::of(args.load);
    let ways = ways();
    let mut seen = ways.iter().map(|_| Seen::new()).collect::<Result<Vec<_>, _>>()?;
    for turn in 0..TURNS {
        let jobs = args.jobs / TURNS + u32::from(turn < args.jobs % TURNS);
        for ((way, name, _), seen) in ways.iter().zip(&mut seen) {
            let before = seen.len();
            way.take_turn(jobs, Duration::from_millis(args.every_ms.into()), seen).await?;
            if seen.len() - before != u64::from(jobs) {
                return Err(format!("{name}: {} of {jobs} have fired", seen.len() - before).into());
            }
        }
    }
    let row = |((_, name, floor), seen_here): (&(Way, &'static str, Option<Way>), &Seen)| {
        let floor = ways.iter().zip(&seen).find(|((way, ..), _)| Some(*way) == *floor);
        let to_floor =
            floor.map(|((_, name, _), of_floor)| ToFloor::of(seen_here.late(), name, of_floor.late()));
        Row { name, late: seen_here.late(), early: seen_here.early(), to_floor, curve: seen_here.curve() }
    };
    let (engine, floors) = ways.iter().zip(&seen).map(row).partition(|row| row.to_floor.is_some());
    Ok(Report { jobs: args.jobs, every_ms: args.every_ms, load: args.load, floors, engine })
}

impl ToFloor {
    fn of(late: Late, floor: &'static str, of_floor: Late) -> Self {
        ToFloor { floor, p50: late.p50_us / of_floor.p50_us, p99: late.p99_us / of_floor.p99_us }
    }
}

impl Way {
    /// Has `jobs` fire, `every` so far apart.
    async fn take_turn(self, jobs: u32, every: Duration, seen: &mut Seen) -> Result<(), Error> {
        match self {
            Way::Sleep => bare(jobs, every, seen, clock::sleep_until),
            Way::SleepAndSpin => bare(jobs, every, seen, clock::sleep_and_spin_until),
            Way::TokioSleep => {
                tokio_sleep(jobs, every, seen).await;
                Ok(())
            }
            Way::Inline(profile) => engine(profile, true, jobs, every, seen).await,
            Way::Async(profile) => engine(profile, false, jobs, every, seen).await,
        }
    }
}

/// One thread that waits with `wait`, as the engine's driver does.
fn bare(jobs: u32, every: Duration, seen: &mut Seen, wait: fn(u64)) -> Result<(), Error> {
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            clock::sharpen();
            let first_ns = clock::now_ns() + LEAD.as_nanos() as u64;
            for n in 0..jobs {
                let due_ns = first_ns + (every * n).as_nanos() as u64;
                wait(due_ns);
                seen.record(clock::now_ns() as i64 - due_ns as i64);
            }
        });
        waiting.join()
    });
    waited.map_err(|_| "a thread that sleeps panicked".into())
}

/// One task, on the runtime that async handlers run on.
async fn tokio_sleep(jobs: u32, every: Duration, seen: &mut Seen) {
    let first = tokio::time::Instant::now() + LEAD;
    for n in 0..jobs {
        let due = first + every * n;
        tokio::time::sleep_until(due).await;
        let now = tokio::time::Instant::now();
        // Never before its time, so that there is nothing negative.
        seen.record(now.duration_since(due).as_nanos() as i64);
    }
}

async fn engine(
    profile: Profile,
    is_inline: bool,
    jobs: u32,
    every: Duration,
    seen: &mut Seen,
) -> Result<(), Error> {
    let late_ns: Arc<Mutex<Vec<i64>>> = Arc::new(Mutex::new(Vec::with_capacity(jobs as usize)));
    let sink = Arc::clone(&late_ns);
    let record = move |job: &Job| {
        let late_ns = clock::wall_ns() - job.due().as_micros() * 1_000;
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(late_ns);
    };
    let builder = Engine::builder().profile(profile);
    let builder = if is_inline {
        builder.inline_queue("q", record)
    } else {
        let record = Arc::new(record);
        builder.queue("q", move |job: Job| {
            let record = Arc::clone(&record);
            async move { record(&job) }
        })
    };
    let engine = builder.start().await?;
    // On whole milliseconds: that is the wheel's tick, and a due time between two ticks waits for the next.
    let first_us = (clock::wall_ns() / 1_000 + LEAD.as_micros() as i64 + 999) / 1_000 * 1_000;
    for n in 0..jobs {
        let due = Timestamp::from_micros(first_us) + every * n;
        engine.schedule_raw("q", "").at(due).into_outcome()?.scheduled()?;
    }
    let patience = LEAD + every * jobs + Duration::from_secs(30);
    let _ = tokio::time::timeout(patience, engine.idle()).await;
    engine.shutdown(Duration::from_secs(10)).await;
    for &late_ns in late_ns.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        seen.record(late_ns);
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { jobs, every_ms, load, .. } = self;
        writeln!(
            f,
            "\nHow late {jobs} jobs are that are {every_ms} ms apart, in µs; {load} other threads busy\n"
        )?;
        let columns = ["p50", "p99", "p99.9", "max"].map(|column| format!("{column:>10}")).concat();
        writeln!(f, "  {:<28}{columns}   times as late, p50 and p99", "")?;
        for Row { name, late, early, to_floor, .. } in self.floors.iter().chain(&self.engine) {
            let Late { p50_us, p99_us, p999_us, max_us } = late;
            write!(f, "  {name:<28}{p50_us:>10.1}{p99_us:>10.1}{p999_us:>10.1}{max_us:>10.1}")?;
            if let Some(ToFloor { floor, p50, p99 }) = to_floor {
                write!(f, "   {p50:>8.2} {p99:>8.2}   as {floor}")?;
            }
            if *early > 0 {
                write!(f, "   {early} EARLY")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
