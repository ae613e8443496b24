//! Commits that have waited too long for the store: a task that ends their waiting.
//!
//! On a clock that stands still it goes by how often it has slept: a store that does not answer takes no time of a test's.
//!
//! It keeps marks of how far each log had come at a time, and gives up what is older than the deadline, to a sixteenth
//! of it. A timer for each commit would cost each of them; this costs nobody anything.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::state::{Shared, Stage};
use crate::partition::MonoTime;
use crate::rt::{self, Io};

/// Looks in the time of a deadline.
const LOOKS: u32 = 16;

pub(crate) fn start(shared: &Arc<Shared>, io: &Io) {
    let shared = Arc::clone(shared);
    io.runtime().spawn(async move {
        tokio::select! {
            biased;
            () = shared.life.reached(Stage::Abandoned) => {}
            () = watch(&shared) => {}
        }
    });
}

/// How far a log had come, and when.
struct Marks {
    last: u64,
    waiting: VecDeque<(MonoTime, u64)>,
}

async fn watch(shared: &Shared) {
    let deadline = shared.settings.commit_deadline;
    let deadline_us = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
    let mut logs: Vec<Marks> = shared
        .cells
        .iter()
        .map(|cell| Marks { last: cell.progress.durable(), waiting: VecDeque::new() })
        .collect();
    let mut slept = MonoTime::from_micros(0);
    loop {
        rt::sleep(deadline / LOOKS).await;
        slept = slept.saturating_add_micros((deadline_us / u64::from(LOOKS)).max(1));
        let now = if shared.clock.is_real() { shared.clock.mono() } else { slept };
        for (cell, marks) in shared.cells.iter().zip(&mut logs) {
            let end = cell.lock().log.end();
            if end > marks.last {
                marks.last = end;
                marks.waiting.push_back((now, end));
            }
            while let Some(&(since, end)) = marks.waiting.front() {
                if now.micros_since(since) < deadline_us {
                    break;
                }
                marks.waiting.pop_front();
                // What has been confirmed, at whatever level, is past caring.
                cell.progress.expire(end);
            }
        }
    }
}
