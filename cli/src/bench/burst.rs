//! `reveille bench burst`: many jobs due at one instant, beside as many tokio sleeps; and a job of another queue that is due
//! in the middle of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use reveille::{Engine, Job, Timestamp};
use serde::Serialize;

use super::late::{Late, Seen};
use super::{Error, clock};
use crate::figures::grouped;

/// Jobs of another queue, and how far apart they are after the instant. Only those due before the last job of the burst has
/// started count.
const OTHERS: u32 = 100;
const OTHERS_EVERY: Duration = Duration::from_millis(2);

/// The arguments of `reveille bench burst`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs are due at one instant; several numbers, one after the other
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    jobs: Vec<u32>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bursts: Vec<Burst>,
}

#[derive(Debug, Serialize)]
struct Burst {
    jobs: u32,
    /// The floor: as many sleeping tasks.
    tokio_sleep: Came,
    async_handler: Came,
    inline_handler: Came,
}

/// The result of one way of firing.
#[derive(Debug, Serialize)]
struct Came {
    /// How late they began.
    late: Late,
    /// How late the last one began.
    last_ms: f64,
    /// How many times as long as the floor took.
    to_floor: Option<f64>,
    /// Jobs of another queue that were due before that: how many, and how late they began.
    others: u32,
    others_late: Option<Late>,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let mut bursts = Vec::new();
    for &jobs in &args.jobs {
        let tokio_sleep = tokio_sleep(jobs).await?;
        let floor_ms = tokio_sleep.last_ms;
        let beside = |came: Came| Came { to_floor: Some(came.last_ms / floor_ms), ..came };
        let async_handler = beside(engine(jobs, false).await?);
        let inline_handler = beside(engine(jobs, true).await?);
        bursts.push(Burst { jobs, tokio_sleep, async_handler, inline_handler });
    }
    Ok(Report { bursts })
}

/// When each of them began, in nanoseconds of the wall clock; 0 if it has not.
#[derive(Debug)]
struct Begun(Box<[AtomicI64]>);

impl Begun {
    fn new(jobs: u32) -> Arc<Self> {
        Arc::new(Begun((0..jobs).map(|_| AtomicI64::new(0)).collect()))
    }

    fn now(&self, n: u32) {
        self.0[n as usize].store(clock::wall_ns(), Relaxed);
    }

    fn last_ns(&self) -> i64 {
        self.0.iter().map(|at| at.load(Relaxed)).max().unwrap_or(0)
    }

    fn has_all(&self) -> bool {
        self.0.iter().all(|at| at.load(Relaxed) != 0)
    }
}

/// An instant far enough ahead to prepare `jobs`. Doubled if it turns out to be too near.
fn lead(jobs: u32, attempt: u32) -> Duration {
    (Duration::from_millis(300) + Duration::from_micros(2) * jobs) * 2u32.pow(attempt)
}

const ATTEMPTS: u32 = 6;
const TOO_SLOW: &str = "the jobs could not be prepared in time";

/// When the burst is due, in nanoseconds of the wall clock: on a whole millisecond, for that is the wheel's tick.
fn instant_ns(jobs: u32, attempt: u32) -> i64 {
    (clock::wall_ns() + lead(jobs, attempt).as_nanos() as i64) / 1_000_000 * 1_000_000
}

fn other_ns(instant_ns: i64, n: u32) -> i64 {
    instant_ns + (OTHERS_EVERY * (n + 1)).as_nanos() as i64
}

async fn tokio_sleep(jobs: u32) -> Result<Came, Error> {
    for attempt in 0..ATTEMPTS {
        let (begun, others) = (Begun::new(jobs), Begun::new(OTHERS));
        let instant_ns = instant_ns(jobs, attempt);
        let until = |due_ns: i64| {
            let left = u64::try_from(due_ns - clock::wall_ns()).unwrap_or(0);
            tokio::time::Instant::now() + Duration::from_nanos(left)
        };
        let spawn = |begun: &Arc<Begun>, n, due| {
            let begun = Arc::clone(begun);
            tokio::spawn(async move {
                tokio::time::sleep_until(due).await;
                begun.now(n);
            })
        };
        let due = until(instant_ns);
        let mut tasks: Vec<_> = (0..jobs).map(|n| spawn(&begun, n, due)).collect();
        tasks.extend((0..OTHERS).map(|n| spawn(&others, n, until(other_ns(instant_ns, n)))));
        let is_in_time = clock::wall_ns() < instant_ns - 50_000_000;
        for task in tasks {
            task.await?;
        }
        if is_in_time {
            return Came::of(instant_ns, &begun, &others);
        }
    }
    Err(TOO_SLOW.into())
}

async fn engine(jobs: u32, is_inline: bool) -> Result<Came, Error> {
    for attempt in 0..ATTEMPTS {
        let (begun, others) = (Begun::new(jobs), Begun::new(OTHERS));
        let (of_burst, of_others) = (handler(&begun), handler(&others));
        let builder = Engine::builder();
        let builder = if is_inline {
            builder.inline_queue("burst", of_burst)
        } else {
            builder.queue("burst", move |job: Job| {
                of_burst(&job);
                async {}
            })
        };
        let others_queue = move |job: Job| {
            of_others(&job);
            async {}
        };
        let engine = builder.queue("others", others_queue).start().await?;
        let instant_ns = instant_ns(jobs, attempt);
        for n in 0..jobs {
            let due = Timestamp::from_micros(instant_ns / 1_000);
            engine.schedule_raw("burst", &n.to_le_bytes()).at(due).into_outcome()?.scheduled()?;
        }
        for n in 0..OTHERS {
            let due = Timestamp::from_micros(other_ns(instant_ns, n) / 1_000);
            engine.schedule_raw("others", &n.to_le_bytes()).at(due).into_outcome()?.scheduled()?;
        }
        let is_in_time = clock::wall_ns() < instant_ns - 50_000_000;
        let patience = lead(jobs, attempt) + Duration::from_secs(60) + Duration::from_micros(20) * jobs;
        let _ = tokio::time::timeout(patience, engine.idle()).await;
        engine.shutdown(Duration::from_secs(10)).await;
        if is_in_time {
            return Came::of(instant_ns, &begun, &others);
        }
    }
    Err(TOO_SLOW.into())
}

/// Says when a job begins; its payload is its number.
fn handler(begun: &Arc<Begun>) -> impl Fn(&Job) + Send + Sync + 'static {
    let begun = Arc::clone(begun);
    move |job| {
        if let Ok(n) = job.payload().as_bytes().try_into().map(u32::from_le_bytes) {
            begun.now(n);
        }
    }
}

impl Came {
    fn of(instant_ns: i64, begun: &Begun, others: &Begun) -> Result<Self, Error> {
        if !begun.has_all() || !others.has_all() {
            return Err("not all jobs have fired".into());
        }
        let mut late = Seen::new()?;
        begun.0.iter().for_each(|at| late.record(at.load(Relaxed) - instant_ns));
        let last_ns = begun.last_ns();
        let mut others_late = Seen::new()?;
        for (n, at) in (0..).zip(&others.0) {
            let due_ns = other_ns(instant_ns, n);
            if due_ns < last_ns {
                others_late.record(at.load(Relaxed) - due_ns);
            }
        }
        if late.early() + others_late.early() > 0 {
            return Err("a job fired before its time".into());
        }
        let others = u32::try_from(others_late.len())?;
        Ok(Came {
            late: late.late(),
            last_ms: (last_ns - instant_ns) as f64 / 1e6,
            to_floor: None,
            others,
            others_late: (others > 0).then(|| others_late.late()),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nJobs due at one instant, in ms after it\n")?;
        let columns = ["first half", "last", "to tokio"].map(|column| format!("{column:>12}")).concat();
        writeln!(f, "  {:<36}{columns}   another queue's, due meanwhile", "")?;
        for Burst { jobs, tokio_sleep, async_handler, inline_handler } in &self.bursts {
            let jobs = grouped(u64::from(*jobs));
            let rows = [
                ("tokio sleeps", tokio_sleep),
                ("async handlers", async_handler),
                ("inline handlers", inline_handler),
            ];
            for (name, came) in rows {
                write!(
                    f,
                    "  {:<36}{:>12.1}{:>12.1}",
                    format!("{jobs} {name}"),
                    came.late.p50_us / 1e3,
                    came.last_ms
                )?;
                let to_floor = came.to_floor.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
                write!(f, "{to_floor:>12}")?;
                if let Some(late) = came.others_late {
                    let (p50, max) = (late.p50_us / 1e3, late.max_us / 1e3);
                    write!(f, "   {} of them, p50 {p50:.1} ms late, max {max:.1}", came.others)?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
