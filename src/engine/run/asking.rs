//! Asking the runtime of the handlers whether it polls.
//!
//! While jobs run or wait, the driver spawns an empty task on it every half second. If that is not polled for a second, a
//! handler or another task blocks the runtime or computes: the log says so once for each pause, with the names of the queues.
//! Nothing is asked while nothing runs or waits, and no job pays for it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::queues::Queue;
use crate::engine::state::Shared;
use crate::partition::MonoTime;
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How often it is asked whether it polls.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long a runtime must have polled nothing before the log warns.
const STALL_US: u64 = 1_000_000;

/// Asks the runtime whether it polls. The driver's.
#[derive(Default)]
pub(crate) struct Asking {
    question: Option<Question>,
    last_asked: Option<MonoTime>,
}

struct Question {
    since: MonoTime,
    is_answered: Arc<AtomicBool>,
    is_told: bool,
}

impl Asking {
    /// To be called now and then. Returns whether there is a reason to come back within [`ASK_EVERY`].
    pub(crate) fn go_on(&mut self, shared: &Shared, now: MonoTime) -> bool {
        let is_answered = |question: &mut Question| question.is_answered.load(SeqCst);
        if let Some(question) = self.question.take_if(is_answered)
            && question.is_told
        {
            shared.handlers.pauses_for(0);
            let for_ms = now.micros_since(question.since) / 1_000;
            tracing::info!(for_ms, "the runtime that handlers run on polls again");
        }
        if let Some(question) = &mut self.question {
            question.wait(shared, now);
            return true;
        }
        let every_us = ASK_EVERY.as_micros() as u64;
        if self.last_asked.is_some_and(|last| now.micros_since(last) < every_us) {
            // Looking whether there is work reads what all workers write: not at every wait of a busy driver.
            return true;
        }
        if !has_work(shared) {
            return false;
        }
        self.last_asked = Some(now);
        let is_answered = Arc::new(AtomicBool::new(false));
        let answer = Arc::clone(&is_answered);
        shared.handlers.runtime().spawn(async move { answer.store(true, SeqCst) });
        self.question = Some(Question { since: now, is_answered, is_told: false });
        true
    }
}

impl Question {
    /// Still no answer.
    fn wait(&mut self, shared: &Shared, now: MonoTime) {
        let pause_us = now.micros_since(self.since);
        if pause_us < STALL_US || shared.is_stopping() {
            return;
        }
        shared.handlers.pauses_for(pause_us);
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let names = |is_one: &dyn Fn(&Queue) -> bool| {
            let queues = shared.queues.iter().filter(|queue| queue.is_by_workers() && is_one(queue));
            queues.map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        tracing::warn!(
            running = names(&|queue| queue.running() > 0),
            waiting = names(&|queue| queue.ready() > 0),
            for_ms = pause_us / 1_000,
            "the runtime that handlers run on polls nothing: something blocks it or computes; \
             what blocks belongs on a `Builder::blocking_queue` or in `spawn_blocking`"
        );
    }
}

/// Whether handlers run, or have jobs to run.
fn has_work(shared: &Shared) -> bool {
    let is_waiting = |queue: &&Arc<Queue>| queue.is_by_workers() && queue.is_open() && queue.ready() > 0;
    // In this order: a job that is ready no more is running, or has ended.
    shared.queues.iter().any(|queue| is_waiting(&queue)) || shared.life.running() > 0
}
