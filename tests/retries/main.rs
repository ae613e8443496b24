//! Jobs that live more than once: attempts, retries, the dead, and cancels that come while a handler runs.

mod crashes;
mod dead;
mod ends;
mod policies;

use reveille::testing::FiredJob;
use reveille::{Engine, Job, JobFilter, JobState, JobView, ListCursor, QueueConfig, Retry};
use testkit::{SECOND, TEN_O_CLOCK, at_ms};

/// Fails as often as its payload says, then succeeds.
async fn fails(job: Job) -> Result<(), String> {
    let times: u16 = job.json().unwrap();
    if job.attempt() > times { Ok(()) } else { Err(format!("no. {}", job.attempt())) }
}

fn queue(retry: Retry) -> QueueConfig {
    QueueConfig::new("q").retry(retry)
}

fn every_second(attempts: u16) -> Retry {
    Retry::attempts(attempts).fixed(SECOND)
}

async fn schedule(engine: &Engine, key: &str, payload: &str) {
    engine.schedule_raw("q", payload.to_owned()).key(key).at(at_ms(10)).await.unwrap().scheduled().unwrap();
}

fn times(fired: &[FiredJob]) -> Vec<(u16, i64)> {
    let ms = |job: &FiredJob| (job.fired_at.as_micros() - TEN_O_CLOCK.as_micros()) / 1_000;
    fired.iter().map(|job| (job.attempt, ms(job))).collect()
}

fn dead(engine: &Engine) -> Vec<JobView> {
    engine.list(&JobFilter::default().states([JobState::Dead]), ListCursor::default(), 100).unwrap().jobs
}
