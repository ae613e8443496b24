//! The morning as it happens: the plan carried out, and what came of each job.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use reveille::{CancelOutcome, Clock, Engine, Job, RescheduleOutcome, ScheduleOutcome, Timestamp};

use super::plan::{Fate, Plan};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What came of everything.
#[derive(Debug)]
pub(super) struct Morning {
    pub(super) plan: Plan,
    /// The instant of the first sale; the plan's times count from here.
    begin_us: AtomicI64,
    pub(super) seen: Vec<Seen>,
    pub(super) scheduled: AtomicU64,
    pub(super) rescheduled: AtomicU64,
    pub(super) fired: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) scheduling_us: AtomicU64,
}

/// What was seen of one job.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) times_fired: AtomicU8,
    /// Whether the engine has said that it was cancelled.
    pub(super) is_cancelled: AtomicU8,
    /// How long after its due time its handler began, in microseconds; negative if before.
    pub(super) lateness_us: AtomicI64,
}

impl Morning {
    pub(super) fn new(plan: Plan) -> Self {
        let seen = plan.jobs.iter().map(|_| Seen::default()).collect();
        Morning {
            plan,
            begin_us: AtomicI64::new(0),
            seen,
            scheduled: AtomicU64::new(0),
            rescheduled: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            scheduling_us: AtomicU64::new(0),
        }
    }

    /// How many jobs have fired or been cancelled.
    pub(super) fn settled(&self) -> u64 {
        self.fired.load(Relaxed) + self.cancelled.load(Relaxed)
    }

    fn instant(&self, ms: u64) -> Timestamp {
        Timestamp::from_micros(self.begin_us.load(SeqCst)).saturating_add_micros(ms * 1_000)
    }

    /// Schedules every job for the time at which it is first planned.
    pub(super) fn schedule_all(&self, engine: &Engine) -> Result<(), Error> {
        let now = Clock::System.now().wall.as_micros();
        // The first sale opens on a whole second, and not before all are scheduled: 4 µs a job is ample.
        let lead_us = 500_000 + 4 * self.plan.jobs.len() as i64;
        self.begin_us.store((now + lead_us).next_multiple_of_second(), SeqCst);
        for (n, job) in (0u32..).zip(&self.plan.jobs) {
            let schedule = engine.schedule_raw("open_sale", &n.to_le_bytes()).key(key(n));
            let outcome = schedule.at(self.instant(job.due_ms)).into_outcome()?;
            if matches!(outcome, ScheduleOutcome::Scheduled { .. }) {
                self.scheduled.fetch_add(1, Relaxed);
            }
        }
        let took_us = Clock::System.now().wall.as_micros() - now;
        self.scheduling_us.store(took_us.max(1).unsigned_abs(), Relaxed);
        Ok(())
    }

    /// Moves and cancels by key, each at its planned time, while the others fire.
    pub(super) async fn change_minds(&self, engine: &Engine) -> Result<(), Error> {
        for &n in &self.plan.changes {
            let fate = self.plan.jobs[n as usize].fate;
            let decided = self.instant(fate.decided_ms().unwrap_or_default());
            let wait = decided.since(Clock::System.now().wall);
            if wait > Duration::from_millis(1) {
                tokio::time::sleep(wait).await;
            }
            match fate {
                Fate::Moves { due_ms, .. } => {
                    let outcome = engine.reschedule(key(n), self.instant(due_ms)).await?;
                    if matches!(outcome, RescheduleOutcome::Rescheduled { .. }) {
                        self.rescheduled.fetch_add(1, Relaxed);
                    }
                }
                Fate::CalledOff { .. } => {
                    if engine.cancel(key(n)).await? == CancelOutcome::Cancelled {
                        self.seen[n as usize].is_cancelled.store(1, SeqCst);
                        self.cancelled.fetch_add(1, Relaxed);
                    }
                }
                Fate::Stays | Fate::Burst => {}
            }
        }
        Ok(())
    }

    /// The handler: a sale opens.
    pub(super) fn opens(&self, job: &Job) {
        let now = Clock::System.now().wall;
        let Ok(n) = job.payload().as_bytes().try_into().map(u32::from_le_bytes) else { return };
        let (planned, seen) = (&self.plan.jobs[n as usize], &self.seen[n as usize]);
        // What it should have waited for is taken from the plan. The version tells whether it was moved.
        let due_ms = match planned.fate {
            Fate::Moves { due_ms, .. } if job.version().0 > 1 => due_ms,
            _ => planned.due_ms,
        };
        seen.lateness_us.store(now.as_micros() - self.instant(due_ms).as_micros(), Relaxed);
        seen.times_fired.fetch_add(1, SeqCst);
        self.fired.fetch_add(1, Relaxed);
    }
}

fn key(n: u32) -> String {
    format!("sale:{n}")
}

trait WholeSecond {
    fn next_multiple_of_second(self) -> Self;
}

impl WholeSecond for i64 {
    fn next_multiple_of_second(self) -> i64 {
        (self + 999_999).div_euclid(1_000_000) * 1_000_000
    }
}
