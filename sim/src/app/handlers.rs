//! The handlers of a run's jobs: each does what its job's payload says.

use std::sync::Arc;
use std::time::Duration;

use reveille::sim::Simulation;
use reveille::{End, Job, JobResult, LookupOutcome};

use super::App;
use crate::calls::{Caller, Wish};
use crate::ledger::{Next, is_recurring, nonce};
use crate::plan::{Behave, Queue, When};
use crate::process::Process;

/// What the handlers of one life share.
#[derive(Clone)]
pub(super) struct Handlers {
    pub app: Arc<App>,
    pub process: Arc<Process>,
    pub life: u64,
}

impl Handlers {
    pub(super) async fn handle(&self, job: Job) -> JobResult {
        if is_recurring(job.payload().as_bytes()) {
            self.begin_occurrence(&job);
            if number(&job) % 4 == 1 && !*self.app.is_healed.borrow() {
                self.process.sleep(Duration::from_millis(400 * (number(&job) % 7))).await;
            }
            return self.end_occurrence(&job);
        }
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return JobResult::Done };
        self.app.ledger.began(self.life, nonce);
        let behave = Behave::of_payload(job.payload().as_bytes());
        match behave {
            Behave::Slow(us) => self.process.sleep(Duration::from_micros(us)).await,
            Behave::Hang => {
                let mut healed = self.app.is_healed.subscribe();
                let _ = healed.wait_for(|is_healed| *is_healed).await;
            }
            // So that something may happen while it runs.
            Behave::Flaky(_, _, us) => self.process.sleep(Duration::from_micros(us / 4)).await,
            _ => {}
        }
        self.end(&job, nonce, behave)
    }

    fn begin_occurrence(&self, job: &Job) {
        let life = self.life;
        self.app.world.note(|| format!("life {life}: occurrence {} of {} begins", number(job), job.key()));
        if let Some((promise, detail)) = self.app.ledger.recurring(|recurring| recurring.began(life, job)) {
            self.app.world.broken(promise, format!("life {life}: {detail}"));
        }
    }

    fn end_occurrence(&self, job: &Job) -> JobResult {
        self.app.ledger.recurring(|recurring| recurring.ended(self.life, job));
        if number(job) % 5 == 3 { JobResult::Failed("it was told to".into()) } else { JobResult::Done }
    }

    pub(super) fn handle_inline(&self, job: &Job) -> JobResult {
        if is_recurring(job.payload().as_bytes()) {
            self.begin_occurrence(job);
            return self.end_occurrence(job);
        }
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return JobResult::Done };
        self.app.ledger.began(self.life, nonce);
        let behave = Behave::of_payload(job.payload().as_bytes());
        self.end(job, nonce, behave)
    }

    /// Ends an attempt, and tells the ledger what comes after.
    fn end(&self, job: &Job, nonce: usize, behave: Behave) -> JobResult {
        if let Behave::Repeat(us) = behave {
            self.repeat(job, us);
        }
        let now_us = self.process.now().mono.as_micros();
        let (result, next) = match behave {
            Behave::Fail => (JobResult::Failed("it was told to".into()), Next::Ended(End::Failed)),
            Behave::Panic => (JobResult::Done, Next::Ended(End::Panicked)),
            Behave::Flaky(fails, attempts, us) if job.attempt() <= fails => {
                let (failures, was_revived) = history(job);
                let again_us = self.process.now().wall.as_micros() + us as i64;
                let expires_us = self.app.ledger.expires_us(nonce).filter(|_| !was_revived);
                let is_last = failures + 1 >= attempts || expires_us.is_some_and(|at_us| again_us > at_us);
                let next = if is_last { Next::Dead } else { Next::Again(now_us + us) };
                (JobResult::Failed("not yet".into()), next)
            }
            Behave::Again(us) if job.attempt() == 1 => {
                (JobResult::again_in(Duration::from_micros(us)), Next::Again(now_us + us))
            }
            Behave::Dead => (JobResult::dead("it is of no use"), Next::Dead),
            Behave::Discard => (JobResult::discarded("there is nothing to do"), Next::Ended(End::Discarded)),
            _ => (JobResult::Done, Next::Ended(End::Done)),
        };
        self.app.ledger.ended(self.life, nonce, next);
        self.app.world.note(|| format!("life {}: end of {nonce}: {next:?}", self.life));
        if behave == Behave::Panic {
            panic!("it was told to");
        }
        result
    }

    fn repeat(&self, job: &Job, us: u64) {
        let caller = Caller {
            app: Arc::clone(&self.app),
            process: Arc::clone(&self.process),
            life: self.life,
            engine: job.engine(),
        };
        let wish = Wish {
            key: job.key().as_str().to_owned(),
            queue: Queue::of_name(job.queue()).unwrap_or(Queue::Work),
            priority: job.priority(),
            ..Wish::new(0, When::In(us), Behave::Quick)
        };
        self.process.spawn_task(caller.schedule(wish));
    }
}

/// Which occurrence of a recurring job it is.
fn number(job: &Job) -> u64 {
    job.options().occurrence().map_or(0, |progress| progress.occurrence.number)
}

/// How often a job that runs has failed before, and whether it was revived.
fn history(job: &Job) -> (u16, bool) {
    match job.engine().lookup(job.handle()) {
        LookupOutcome::Running(view) => {
            view.history.map_or((0, false), |history| (history.failures, history.revivals > 0))
        }
        _ => (0, false),
    }
}
