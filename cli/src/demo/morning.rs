//! The morning as it happens: carrying out the plan, and what became of each job.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use reveille::{
    CancelError, CancelOutcome, Clock, Commit, Engine, Job, RescheduleError, RescheduleOutcome,
    ScheduleOutcome, Timestamp,
};

use super::Error;
use super::plan::{Fate, Plan};

/// Calls that the store may not have yet. Without a store each call is awaited at once, which takes no time.
const UNDER_WAY_MAX: usize = 8192;

/// The outcome of the whole morning.
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
    /// How long the calls took that scheduled them all.
    pub(super) scheduling_us: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// How long it took until all of them were durable.
    pub(super) acknowledging_us: AtomicU64,
    under_way_max: usize,
}

/// What was seen of one job.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) times_fired: AtomicU8,
    /// Whether the engine said that it was cancelled.
    pub(super) is_cancelled: AtomicU8,
    /// How long after its due time its handler began, in microseconds; negative if before.
    pub(super) lateness_us: AtomicI64,
}

impl Morning {
    pub(super) fn new(plan: Plan, has_store: bool) -> Self {
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
            acknowledged: AtomicU64::new(0),
            acknowledging_us: AtomicU64::new(0),
            under_way_max: if has_store { UNDER_WAY_MAX } else { 0 },
        }
    }

    /// How many jobs there are.
    pub(super) fn jobs(&self) -> u32 {
        u32::try_from(self.plan.jobs.len()).unwrap_or(u32::MAX)
    }

    /// How many jobs have fired or been cancelled.
    pub(super) fn settled(&self) -> u64 {
        self.fired.load(Relaxed) + self.cancelled.load(Relaxed)
    }

    fn instant(&self, ms: u64) -> Timestamp {
        Timestamp::from_micros(self.begin_us.load(SeqCst)).saturating_add_micros(ms * 1_000)
    }

    /// Schedules every job for the time at which it is first planned, and waits until all are durable.
    pub(super) async fn schedule_all(&self, engine: &Engine) -> Result<(), Error> {
        let now = Clock::System.now().wall.as_micros();
        self.begin_us.store((now + self.lead_us()).next_multiple_of_second(), SeqCst);
        let mut under_way = UnderWay::new(self.under_way_max);
        let durable = |outcome| {
            self.acknowledged.fetch_add(1, Relaxed);
            if matches!(outcome, ScheduleOutcome::Scheduled { .. }) {
                self.scheduled.fetch_add(1, Relaxed);
            }
        };
        for (n, job) in (0u32..).zip(&self.plan.jobs) {
            let schedule = engine.schedule_raw("open_sale", &n.to_le_bytes()).key(key(n));
            under_way.add(schedule.at(self.instant(job.due_ms)), durable).await?;
        }
        let took_us = || (Clock::System.now().wall.as_micros() - now).max(1).unsigned_abs();
        self.scheduling_us.store(took_us(), Relaxed);
        under_way.finish(durable).await?;
        self.acknowledging_us.store(took_us(), Relaxed);
        Ok(())
    }

    /// The first sale opens on a whole second, and not before all are scheduled: 4 µs a job is ample. With a store it is
    /// not the calls that take the time.
    fn lead_us(&self) -> i64 {
        let jobs = i64::from(self.jobs());
        if self.under_way_max == 0 { 500_000 + 4 * jobs } else { 1_000_000 + 20 * jobs }
    }

    /// Moves and cancels by key, each at its planned time, while the others fire.
    pub(super) async fn change_minds(&self, engine: &Engine) -> Result<(), Error> {
        let mut under_way = UnderWay::new(self.under_way_max);
        for &n in &self.plan.changes {
            let fate = self.plan.jobs[n as usize].fate;
            let decided = self.instant(fate.decided_ms().unwrap_or_default());
            let wait = decided.since(Clock::System.now().wall);
            if wait > Duration::from_millis(1) {
                tokio::time::sleep(wait).await;
            }
            match fate {
                Fate::Moves { due_ms, .. } => {
                    under_way
                        .add(self.moved(engine.reschedule(key(n), self.instant(due_ms))), |()| {})
                        .await?;
                }
                Fate::CalledOff { .. } => {
                    under_way.add(self.called_off(n, engine.cancel(key(n))), |()| {}).await?;
                }
                Fate::Stays | Fate::Burst => {}
            }
        }
        under_way.finish(|()| {}).await
    }

    fn moved(&self, commit: Commit<RescheduleOutcome, RescheduleError>) -> Change<'_> {
        Box::pin(async move {
            if matches!(commit.await?, RescheduleOutcome::Rescheduled { .. }) {
                self.rescheduled.fetch_add(1, Relaxed);
            }
            Ok(())
        })
    }

    fn called_off(&self, n: u32, commit: Commit<CancelOutcome, CancelError>) -> Change<'_> {
        Box::pin(async move {
            if commit.await? == CancelOutcome::Cancelled {
                self.seen[n as usize].is_cancelled.store(1, SeqCst);
                self.cancelled.fetch_add(1, Relaxed);
            }
            Ok(())
        })
    }

    /// Cancels whatever is pending.
    pub(super) async fn call_off_all(&self, engine: &Engine) -> Result<(), Error> {
        let mut under_way = UnderWay::new(self.under_way_max);
        for n in 0..self.jobs() {
            under_way.add(engine.cancel(key(n)), |_| {}).await?;
        }
        under_way.finish(|_| {}).await
    }

    /// The handler: a sale opens.
    pub(super) fn opens(&self, job: &Job) {
        let now = Clock::System.now().wall;
        let Ok(n) = job.payload().as_bytes().try_into().map(u32::from_le_bytes) else { return };
        let (planned, seen) = (&self.plan.jobs[n as usize], &self.seen[n as usize]);
        // Its due time is taken from the plan. The version tells whether it was moved.
        let due_ms = match planned.fate {
            Fate::Moves { due_ms, .. } if job.version().0 > 1 => due_ms,
            _ => planned.due_ms,
        };
        seen.lateness_us.store(now.as_micros() - self.instant(due_ms).as_micros(), Relaxed);
        seen.times_fired.fetch_add(1, SeqCst);
        self.fired.fetch_add(1, Relaxed);
    }
}

/// Calls made one after the other and awaited in that order, a bounded number of them behind.
struct UnderWay<F> {
    calls: VecDeque<F>,
    max: usize,
}

impl<F, T, E> UnderWay<F>
where
    F: Future<Output = Result<T, E>> + Unpin,
    E: Into<Error>,
{
    fn new(max: usize) -> Self {
        UnderWay { calls: VecDeque::with_capacity(max), max }
    }

    /// Adds a call, and waits for the first if there are too many.
    async fn add(&mut self, call: F, durable: impl Fn(T)) -> Result<(), Error> {
        self.calls.push_back(call);
        if self.calls.len() > self.max
            && let Some(first) = self.calls.pop_front()
        {
            durable(first.await.map_err(Into::into)?);
        }
        Ok(())
    }

    async fn finish(mut self, durable: impl Fn(T)) -> Result<(), Error> {
        while let Some(call) = self.calls.pop_front() {
            durable(call.await.map_err(Into::into)?);
        }
        Ok(())
    }
}

/// A change of plan; resolves when it is durable.
type Change<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

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
