//! The engine, as it is built by default.

#![allow(clippy::disallowed_methods, reason = "due times are instants of the wall clock")]

use std::time::{Duration, SystemTime};

use reveille::{
    CancelOutcome, Engine, Handle, Job, JobView, LookupOutcome, RescheduleOutcome, ScheduleOutcome, Timestamp,
};
use tokio::runtime::Runtime;

use super::{Keyed, Payload};

const QUEUE: &str = "expire_order";

pub(crate) struct Reveille {
    engine: Engine,
    /// A day from the start.
    first_due: Timestamp,
    runtime: Runtime,
}

/// Without this the driver's thread would be the last to let go of the jobs, and would free them while whoever is next is
/// measured.
impl Drop for Reveille {
    fn drop(&mut self) {
        self.runtime.block_on(self.engine.shutdown(Duration::from_secs(10)));
    }
}

impl Reveille {
    fn due(&self, due: u64) -> Timestamp {
        self.first_due.saturating_add_micros(due * 1_000)
    }
}

fn digest(outcome: LookupOutcome) -> u64 {
    match outcome {
        LookupOutcome::Scheduled(JobView { payload, due, .. }) => {
            due.as_micros() as u64 ^ u64::from(payload.as_bytes()[0])
        }
        other => panic!("the job is pending, not {other:?}"),
    }
}

impl Keyed for Reveille {
    const NAME: &'static str = "reveille";

    type Handle = Handle;

    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let builder = Engine::builder().queue(QUEUE, |_: Job| async {});
        let engine = runtime.block_on(builder.start()).expect("an engine with default settings");
        let first_due = Timestamp::from(SystemTime::now() + Duration::from_secs(24 * 3600));
        Reveille { engine, first_due, runtime }
    }

    fn schedule(&self, key: &str, payload: &Payload, due: u64) -> Handle {
        let commit = self.engine.schedule_raw(QUEUE, payload).key(key).at(self.due(due));
        match commit.into_outcome() {
            Ok(ScheduleOutcome::Scheduled { handle }) => handle,
            other => panic!("the key is free, not {other:?}"),
        }
    }

    fn reschedule(&self, key: &str, due: u64) {
        let outcome = self.engine.reschedule(key, self.due(due)).into_outcome();
        assert!(matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. })), "{outcome:?}");
    }

    fn cancel(&self, key: &str) {
        let outcome = self.engine.cancel(key).into_outcome();
        assert!(matches!(outcome, Ok(CancelOutcome::Cancelled)), "{outcome:?}");
    }

    fn schedule_many<'a>(&self, jobs: impl Iterator<Item = (&'a str, &'a Payload, u64)>) {
        let plan = |(key, payload, due)| {
            let schedule = self.engine.schedule_raw(QUEUE, payload as &Payload);
            schedule.key(key as &str).planned(self.due(due))
        };
        let outcomes = self.engine.schedule_many(jobs.map(plan)).into_outcome();
        let outcomes = outcomes.expect("each job has an outcome of its own");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(ScheduleOutcome::Scheduled { .. }))));
    }

    fn reschedule_many<'a>(&self, moves: impl Iterator<Item = (&'a str, u64)>) {
        let outcomes =
            self.engine.reschedule_many(moves.map(|(key, due)| (key, self.due(due)))).into_outcome();
        let outcomes = outcomes.expect("each job has an outcome of its own");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. }))));
    }

    fn cancel_many<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        let outcomes = self.engine.cancel_many(keys).into_outcome();
        let outcomes = outcomes.expect("each job has an outcome of its own");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(CancelOutcome::Cancelled))));
    }

    fn lookup(&self, key: &str) -> u64 {
        digest(self.engine.lookup(key))
    }

    fn lookup_by_handle(&self, handle: Handle) -> u64 {
        digest(self.engine.lookup(handle))
    }
}
