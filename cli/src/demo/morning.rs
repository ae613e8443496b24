//! The morning as it happens: carrying out the plan on an engine, and telling what became of each job.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reveille::partition::Record;
use reveille::store::Batch;
use reveille::{
    CancelError, CancelOutcome, Clock, Commit, Engine, Job, JobId, RescheduleError, RescheduleOutcome,
    ScheduleError, ScheduleOutcome, Timestamp,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Error;
use super::plan::{Fate, Plan};
use super::told::{Answer, Percentile, Teller, Told};

/// The queue of the sales.
pub(super) const QUEUE: &str = "open_sale";

/// Calls that the store may not have yet. Without a store each call is awaited at once, which takes no time.
const UNDER_WAY_MAX: usize = 8192;

/// One engine's part of the morning.
#[derive(Debug)]
pub(super) struct Morning {
    plan: Arc<Plan>,
    /// The instant of the first sale; the plan's times count from here.
    begin_us: AtomicI64,
    teller: Teller,
    has_store: bool,
    /// The jobs of which the store does not know yet that they have ended.
    started: Mutex<BTreeMap<JobId, u32>>,
}

impl Morning {
    pub(super) fn new(plan: Arc<Plan>, teller: Teller, has_store: bool) -> Self {
        Morning { plan, begin_us: AtomicI64::new(0), teller, has_store, started: Mutex::default() }
    }

    /// How many jobs there are.
    pub(super) fn jobs(&self) -> u32 {
        u32::try_from(self.plan.jobs.len()).unwrap_or(u32::MAX)
    }

    fn instant(&self, ms: u64) -> Timestamp {
        Timestamp::from_micros(self.begin_us.load(SeqCst)).saturating_add_micros(ms * 1_000)
    }

    /// The engine has started, after so long. From here on its jobs fire.
    pub(super) fn begin(self: &Arc<Self>, engine: &Engine, took: Duration) -> Result<(), Error> {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        self.teller.tell(Told::Started { jobs: engine.jobs().try_into().unwrap_or(u32::MAX), took_us });
        let opening = Arc::clone(self);
        engine.add_queue(QUEUE, move |job| {
            opening.opens(&job);
            async {}
        })?;
        Ok(())
    }

    /// The first sale opened, or opens, at this instant.
    pub(super) fn begins_at(&self, us: i64) {
        self.begin_us.store(us, SeqCst);
    }

    /// Schedules every job for the time at which it is first planned, and waits until all are durable.
    pub(super) async fn schedule_all(&self, engine: &Engine) -> Result<(), Error> {
        let now = wall_us();
        self.begins_at((now + self.lead_us()).next_multiple_of_second());
        self.teller.tell(Told::Begins { at_us: self.begin_us.load(SeqCst) });
        let mut under_way = self.under_way();
        for (n, job) in (0u32..).zip(&self.plan.jobs) {
            let schedule = engine.schedule_raw(QUEUE, &n.to_le_bytes()).key(key(n));
            under_way.add(scheduled(n, schedule.at(self.instant(job.due_ms)))).await?;
        }
        let took_us = || (wall_us() - now).max(1);
        self.teller.tell(Told::AllScheduled { took_us: took_us() });
        under_way.finish().await?;
        self.teller.tell(Told::AllAcknowledged { took_us: took_us() });
        Ok(())
    }

    /// The first sale opens on a whole second, and not before all are scheduled: 4 µs a job is ample. With a store it is
    /// not the calls that take the time.
    fn lead_us(&self) -> i64 {
        let jobs = i64::from(self.jobs());
        if self.has_store { 1_000_000 + 20 * jobs } else { 500_000 + 4 * jobs }
    }

    /// Moves and cancels by key, each at its planned time, while the others fire: all but the first `done` of these changes.
    pub(super) async fn change_minds(&self, engine: &Engine, done: usize) -> Result<(), Error> {
        let mut under_way = self.under_way();
        for &n in self.plan.changes.iter().skip(done) {
            let fate = self.plan.jobs[n as usize].fate;
            let decided = self.instant(fate.decided_ms().unwrap_or_default());
            let wait = decided.since(Clock::System.now().wall);
            if wait > Duration::from_millis(1) {
                tokio::time::sleep(wait).await;
            }
            self.teller.tell(Told::Asks { n });
            let change: Change = match fate {
                Fate::Moves { due_ms, .. } => {
                    Box::pin(moved(n, engine.reschedule(key(n), self.instant(due_ms))))
                }
                Fate::CalledOff { .. } => Box::pin(called_off(n, engine.cancel(key(n)))),
                Fate::Stays | Fate::Burst => continue,
            };
            under_way.add(change).await?;
        }
        under_way.finish().await
    }

    /// Waits until everything due has fired. If jobs were lost the engine may never be idle: that is a result too.
    pub(super) async fn settles(&self, engine: &Engine) {
        let patience = Duration::from_secs(60) + Duration::from_micros(20) * self.jobs();
        let _ = tokio::time::timeout(patience, engine.idle()).await;
    }

    /// Cancels whatever is pending.
    pub(super) async fn call_off_all(&self, engine: &Engine) -> Result<(), Error> {
        let mut under_way = self.under_way();
        for n in 0..self.jobs() {
            under_way.add(called_off(n, engine.cancel(key(n)))).await?;
        }
        under_way.finish().await
    }

    fn under_way<F>(&self) -> UnderWay<F>
    where
        F: Future<Output = Result<Told, Error>> + Send + 'static,
    {
        UnderWay::new(self.teller.clone(), self.has_store)
    }

    /// The handler: a sale opens.
    fn opens(&self, job: &Job) {
        let now = Clock::System.now().wall;
        let Ok(n) = job.payload().as_bytes().try_into().map(u32::from_le_bytes) else { return };
        if self.has_store {
            self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id(), n);
        }
        self.teller.tell(Told::Fired { n, at_us: now.as_micros(), is_moved: job.version().0 > 1 });
    }

    /// The store has these records.
    pub(super) fn kept(&self, batch: &Batch) {
        for record in &batch.records {
            let Record::Finished { id, .. } = record else { continue };
            let ended = self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            if let Some(n) = ended {
                self.teller.tell(Told::Ended { n });
            }
        }
    }

    /// Tells how long the store takes to confirm a change, if there is one.
    pub(super) fn tell_commit_delay(&self, engine: &Engine) {
        let Some(store) = engine.stats().store else { return };
        let delay = store.commit_delay;
        for percentile in Percentile::ALL {
            let time = match percentile {
                Percentile::P50 => delay.p50,
                Percentile::P99 => delay.p99,
                Percentile::P999 => delay.p999,
                Percentile::Max => delay.max,
            };
            let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
            self.teller.tell(Told::CommitDelay { percentile, us });
        }
    }
}

async fn scheduled(n: u32, commit: Commit<ScheduleOutcome, ScheduleError>) -> Result<Told, Error> {
    let answer = match commit.await? {
        ScheduleOutcome::Scheduled { .. } => Answer::Done,
        _ => Answer::Other,
    };
    Ok(Told::Scheduled { n, answer })
}

async fn moved(n: u32, commit: Commit<RescheduleOutcome, RescheduleError>) -> Result<Told, Error> {
    let answer = match commit.await? {
        RescheduleOutcome::Rescheduled { .. } => Answer::Done,
        RescheduleOutcome::NotFound => Answer::NotFound,
        _ => Answer::Other,
    };
    Ok(Told::Moved { n, answer })
}

async fn called_off(n: u32, commit: Commit<CancelOutcome, CancelError>) -> Result<Told, Error> {
    let answer = match commit.await? {
        CancelOutcome::Cancelled => Answer::Done,
        CancelOutcome::NotFound => Answer::NotFound,
        _ => Answer::Other,
    };
    Ok(Told::CalledOff { n, answer })
}

/// A change of plan; resolves when it is durable.
type Change = Pin<Box<dyn Future<Output = Result<Told, Error>> + Send>>;

/// Calls made one after the other, and awaited and told in that order: by a task of its own with a store, so that each answer is
/// told when it comes, and a bounded number of them behind; at once without one.
struct UnderWay<F> {
    teller: Teller,
    behind: Option<Behind<F>>,
}

/// Where calls are handed over, and the task that awaits them.
struct Behind<F> {
    calls: mpsc::Sender<F>,
    answers: JoinHandle<Result<(), Error>>,
}

impl<F> UnderWay<F>
where
    F: Future<Output = Result<Told, Error>> + Send + 'static,
{
    fn new(teller: Teller, has_store: bool) -> Self {
        let behind = has_store.then(|| {
            let (calls, called) = mpsc::channel(UNDER_WAY_MAX);
            Behind { calls, answers: tokio::spawn(answer(called, teller.clone())) }
        });
        UnderWay { teller, behind }
    }

    /// Adds a call, and waits while there are too many.
    async fn add(&mut self, call: F) -> Result<(), Error> {
        let Some(Behind { calls, answers }) = &mut self.behind else {
            self.teller.tell(call.await?);
            return Ok(());
        };
        if calls.send(call).await.is_err() {
            // Only an error ends it before its time.
            return answers.await?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<(), Error> {
        let Some(Behind { calls, answers }) = self.behind else { return Ok(()) };
        drop(calls);
        answers.await?
    }
}

async fn answer<F>(mut calls: mpsc::Receiver<F>, teller: Teller) -> Result<(), Error>
where
    F: Future<Output = Result<Told, Error>>,
{
    while let Some(call) = calls.recv().await {
        teller.tell(call.await?);
    }
    Ok(())
}

fn wall_us() -> i64 {
    Clock::System.now().wall.as_micros()
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
