//! The ways of having many things begin at one instant.

use std::sync::Arc;
use std::time::Duration;

use reveille::{Engine, Job, Timestamp};

use super::super::{Error, clock};
use super::begun::Begun;

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    TokioSleep,
    Async,
    Inline,
}

/// What one turn of a way has brought.
pub(super) struct Fired {
    /// When the burst was due, in nanoseconds of the wall clock.
    pub(super) instant_ns: i64,
    pub(super) burst: Arc<Begun>,
    pub(super) others: Arc<Begun>,
}

impl Way {
    pub(super) const ALL: [Way; 3] = [Way::TokioSleep, Way::Async, Way::Inline];

    /// Has `jobs` be due at one instant, and those of the other queue after it.
    pub(super) async fn fire(self, jobs: u32) -> Result<Fired, Error> {
        for attempt in 0..ATTEMPTS {
            let lead = lead(jobs, attempt);
            // On a whole millisecond, for that is the wheel's tick.
            let instant_ns = (clock::wall_ns() + lead.as_nanos() as i64) / 1_000_000 * 1_000_000;
            let fired = Fired { instant_ns, burst: Begun::new(jobs), others: Begun::new(others(jobs)) };
            let is_in_time = match self {
                Way::TokioSleep => tokio_sleep(jobs, &fired).await?,
                Way::Async => engine(jobs, lead, &fired, false).await?,
                Way::Inline => engine(jobs, lead, &fired, true).await?,
            };
            if is_in_time {
                return Ok(fired);
            }
        }
        Err("the jobs could not be prepared in time".into())
    }
}

const ATTEMPTS: u32 = 6;

/// Time to prepare `jobs`. Doubled if it turns out to be too little.
fn lead(jobs: u32, attempt: u32) -> Duration {
    (Duration::from_millis(300) + Duration::from_micros(2) * jobs) * 2u32.pow(attempt)
}

/// So much before the instant all has to be prepared.
const SPARE: Duration = Duration::from_millis(50);

impl Fired {
    /// Whether it was not due yet when all was prepared.
    fn is_ahead(&self) -> bool {
        clock::wall_ns() < self.instant_ns - SPARE.as_nanos() as i64
    }
}

/// Jobs of another queue that are due in each millisecond after the instant: many enough for a p99 of what is due during a
/// burst of some tens of milliseconds, and nothing beside the thousand or more that begin in each.
const OTHERS_A_MS: u32 = 4;

/// How many of them there are: until a slow burst is over. Those due after the last of the burst has begun do not count.
fn others(jobs: u32) -> u32 {
    (50 + jobs / 500) * OTHERS_A_MS
}

/// When the other queue's job of this number is due.
pub(super) fn other_ns(instant_ns: i64, n: u32) -> i64 {
    instant_ns + i64::from(n / OTHERS_A_MS + 1) * 1_000_000
}

/// Returns whether all slept in time.
async fn tokio_sleep(jobs: u32, fired: &Fired) -> Result<bool, Error> {
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
    let due = until(fired.instant_ns);
    let mut tasks: Vec<_> = (0..jobs).map(|n| spawn(&fired.burst, n, due)).collect();
    tasks.extend((0..others(jobs)).map(|n| spawn(&fired.others, n, until(other_ns(fired.instant_ns, n)))));
    let is_in_time = fired.is_ahead();
    for task in tasks {
        task.await?;
    }
    Ok(is_in_time)
}

/// Returns whether all were scheduled in time.
async fn engine(jobs: u32, lead: Duration, fired: &Fired, is_inline: bool) -> Result<bool, Error> {
    let (of_burst, of_others) = (handler(&fired.burst), handler(&fired.others));
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
    let schedule = |queue: &'static str, n: u32, due_ns: i64| -> Result<(), Error> {
        let due = Timestamp::from_micros(due_ns / 1_000);
        engine.schedule_raw(queue, &n.to_le_bytes()).at(due).into_outcome()?.scheduled()?;
        Ok(())
    };
    for n in 0..jobs {
        schedule("burst", n, fired.instant_ns)?;
    }
    for n in 0..others(jobs) {
        schedule("others", n, other_ns(fired.instant_ns, n))?;
    }
    let is_in_time = fired.is_ahead();
    let patience = lead + Duration::from_secs(60) + Duration::from_micros(20) * jobs;
    let _ = tokio::time::timeout(patience, engine.idle()).await;
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(is_in_time)
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
