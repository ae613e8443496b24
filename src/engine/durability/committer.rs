//! The committers: a task for each partition that takes what was logged to the store, in batches, and tells those who wait.
//!
//! An idle log is flushed at once. While a batch is on its way the next gathers, and goes when it is full, or when it is
//! alone: so batches grow with the load, and a few are under way one behind the other. They resolve in order. A partition
//! whose batch the store refuses for now does not hold up the others.
//!
//! # When the store does not take a batch
//! All that is under way is sent again, the same batches in the same order: the store takes each once. If the store says
//! that it lacks records which it had acknowledged, everything is written anew ([`repair`]).
//!
//! # The end
//! A committer ends when the engine stops and no job is running, after a last flush; or when the engine is abandoned,
//! whatever is left. However it ends, by a panic of the store or with its runtime too, it says so to all who wait or will.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::repair;
use crate::engine::error::CallError;
use crate::engine::log::Pending;
use crate::engine::ownership::{Ownership, Speaker};
use crate::engine::state::{Shared, Stage, Taken};
use crate::partition::MonoTime;
use crate::rt::{self, Boxed};
use crate::store::{Batch, Durability, StoreError, StoreErrorClass};

/// Batches under way at a time. More than hide a round trip would only take memory.
const UNDER_WAY_MAX: usize = 4;

const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Between two repairs.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);

/// How long a flush may take once the engine was dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a committer for every partition.
pub(crate) fn start(shared: &Arc<Shared>, ownership: &Arc<Ownership>) {
    for at in 0..shared.cells.len() {
        // Made here, so that it is dropped, and speaks, even if the runtime does not take the task.
        let ending = Ending { shared: Arc::clone(shared), at };
        let runtime = ownership.io.runtime();
        let ownership = Arc::clone(ownership);
        runtime.spawn(async move {
            let shared = Arc::clone(&ending.shared);
            Committer::new(shared, ownership, at).run().await;
        });
    }
}

/// Tells those who wait that nothing more will come.
struct Ending {
    shared: Arc<Shared>,
    at: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let lost = self.shared.ownership.as_ref().and_then(|ownership| ownership.lost(self.at));
        let error = lost.map_or(CallError::Interrupted, CallError::disowned);
        self.shared.cells[self.at].progress.end(error);
        self.shared.unblock_log(self.at, None);
        self.shared.life.store_settles();
    }
}

struct Committer {
    shared: Arc<Shared>,
    ownership: Arc<Ownership>,
    at: usize,
    /// The batches under way, in order.
    window: VecDeque<Sent>,
    syncing: Option<Syncing>,
    /// The level that was asked for last: the other one has its turn next.
    last_level: Option<Durability>,
    retry: Option<Retry>,
    /// Commits that want no more than the store's word do not wait for those that do.
    sync_retry: Option<Retry>,
    last_repair: Option<MonoTime>,
}

type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// A batch under way.
struct Sent {
    batch: Arc<Batch>,
    bytes: usize,
    since: MonoTime,
    /// `None` while the committer rests: a request that nobody drives could hold up others in the store.
    answer: Option<Answer>,
    answered: Option<Result<(), StoreError>>,
}

/// A wish for more than the store's word, under way.
struct Syncing {
    level: Durability,
    end: u64,
    answer: Answer,
}

/// The store did not take something.
struct Retry {
    pause: Duration,
    /// Until it is sent again; `None` once it has been.
    rest: Option<Boxed>,
}

impl Retry {
    /// A rest after a refusal, twice as long as the one before it.
    fn after(last: Option<Retry>) -> Self {
        let pause = last.map_or(RETRY_FIRST, |last| (last.pause * 2).min(RETRY_LAST));
        Retry { pause, rest: Some(Box::pin(rt::sleep(pause))) }
    }
}

impl Committer {
    fn new(shared: Arc<Shared>, ownership: Arc<Ownership>, at: usize) -> Self {
        Committer {
            shared,
            ownership,
            at,
            window: VecDeque::new(),
            syncing: None,
            last_level: None,
            retry: None,
            sync_retry: None,
            last_repair: None,
        }
    }

    async fn run(mut self) {
        let (shared, ownership) = (Arc::clone(&self.shared), Arc::clone(&self.ownership));
        let (at, mut given_up) = (self.at, Box::pin(given_up(&shared)));
        loop {
            let is_last = shared.life.is_over();
            if self.ownership.is_behind(self.at) {
                tokio::select! {
                    biased;
                    () = &mut given_up => return,
                    () = ownership.until_lost(at) => return,
                    () = mend(&mut self) => {}
                }
            }
            self.fill();
            if is_last {
                // What nobody has asked for yet: a shutdown will.
                let end = shared.cells[self.at].lock().log.end();
                shared.cells[self.at].note_wish(shared.durability(), end);
            }
            self.sync();
            let is_idle = self.window.is_empty() && self.syncing.is_none();
            let cell = &shared.cells[self.at];
            if cell.progress.is_ended() || (is_idle && is_last) {
                return;
            }
            let rest = self.retry.as_mut().and_then(|retry| retry.rest.as_mut());
            let rests = rest.is_some();
            let sync_rest = self.sync_retry.as_mut().and_then(|retry| retry.rest.as_mut());
            tokio::select! {
                biased;
                // While there is nothing to write, a handler that still runs is waited for.
                () = &mut given_up, if !is_idle => return,
                () = shared.life.reached(Stage::Abandoned), if is_idle => return,
                () = ownership.until_lost(at) => return,
                () = rested(rest) => self.send_again(),
                () = rested(sync_rest) => self.sync_again(),
                answer = first_answer(&mut self.window), if !rests => self.take(answer),
                answer = synced(&mut self.syncing) => self.take_sync(answer),
                () = cell.flush.notified() => {}
            }
            if is_idle {
                // The patience counts from when there is something to flush.
                given_up = Box::pin(self::given_up(&shared));
            }
        }
    }

    /// Sends what there is to send.
    fn fill(&mut self) {
        while self.window.len() < UNDER_WAY_MAX {
            let cut = self.shared.cells[self.at].lock().log.cut(self.window.is_empty());
            let (Some(Pending { first_record, records, bytes, since }), Some(grant)) =
                (cut, self.ownership.grant(self.at))
            else {
                return;
            };
            let batch = Arc::new(Batch { grant, first_record, records });
            let answer = Some(self.append(&batch));
            self.window.push_back(Sent { batch, bytes, since, answer, answered: None });
        }
    }

    fn append(&self, batch: &Arc<Batch>) -> Answer {
        let (store, batch) = (Arc::clone(&self.ownership.store), Arc::clone(batch));
        Box::pin(async move { store.append(&batch).await })
    }

    /// Asks for more than the store's word, where somebody waits for that.
    fn sync(&mut self) {
        let cell = &self.shared.cells[self.at];
        let rests = self.sync_retry.as_ref().is_some_and(|retry| retry.rest.is_some());
        if self.syncing.is_some() || rests {
            return;
        }
        let Some(grant) = self.ownership.grant(self.at) else { return };
        let end = cell.progress.durable();
        let is_wanted = |level: &Durability| {
            let reached = cell.progress.at(*level);
            cell.wanted(*level) > reached && end > reached
        };
        let mut levels = [Durability::Fsync, Durability::Replicated];
        if self.last_level == Some(Durability::Fsync) {
            levels.reverse();
        }
        let Some(level) = levels.into_iter().find(is_wanted) else { return };
        self.last_level = Some(level);
        let store = Arc::clone(&self.ownership.store);
        let answer = Box::pin(async move { store.sync(&grant, level).await });
        self.syncing = Some(Syncing { level, end, answer });
    }

    /// The store has answered to the first batch under way.
    fn take(&mut self, answer: Result<(), StoreError>) {
        match answer {
            Ok(()) => {
                let Some(sent) = self.window.pop_front() else { return };
                let (cell, end) = (&self.shared.cells[self.at], sent.batch.end());
                let delay_us = self.shared.clock.now().mono.micros_since(sent.since);
                self.shared
                    .unblock_log(self.at, Some(Taken { end, batches: 1, bytes: sent.bytes, delay_us }));
                cell.progress.advance(Durability::Logged, end);
                self.recovered();
            }
            Err(error) => self.refused(&error),
        }
    }

    fn take_sync(&mut self, answer: Result<(), StoreError>) {
        let Some(syncing) = self.syncing.take() else { return };
        match answer {
            Ok(()) => {
                self.shared.cells[self.at].progress.advance(syncing.level, syncing.end);
                if self.sync_retry.take().is_some() {
                    self.ownership.health.recovers(Speaker::Sync(self.at));
                }
            }
            Err(error) => match error.class {
                StoreErrorClass::Retry | StoreErrorClass::Refused => {
                    self.ownership.health.fails(Speaker::Sync(self.at), &error);
                    self.sync_retry = Some(Retry::after(self.sync_retry.take()));
                }
                _ => self.refused(&error),
            },
        }
    }

    fn refused(&mut self, error: &StoreError) {
        let progress = &self.shared.cells[self.at].progress;
        match error.class {
            StoreErrorClass::Retry | StoreErrorClass::Refused => {
                self.ownership.health.fails(Speaker::Committer(self.at), error);
                self.retry = Some(Retry::after(self.retry.take()));
                for sent in &mut self.window {
                    (sent.answer, sent.answered) = (None, None);
                }
            }
            StoreErrorClass::Behind | StoreErrorClass::Blocked => self.ownership.found_behind(self.at, error),
            StoreErrorClass::Fenced => {
                self.ownership.lose(self.at, error);
                progress.end(CallError::disowned(error.clone()));
            }
            _ => {
                self.ownership.health.fails(Speaker::Committer(self.at), error);
                tracing::error!(partition = self.at, %error, "the store takes no more records; calls are no longer durable");
                progress.end(CallError::NotDurable(error.clone()));
            }
        }
    }

    fn recovered(&mut self) {
        if self.retry.take().is_some() {
            self.ownership.health.recovers(Speaker::Committer(self.at));
        }
    }

    /// Sends all that is under way once more, in order.
    fn send_again(&mut self) {
        let mut window = std::mem::take(&mut self.window);
        for sent in &mut window {
            sent.answer = Some(self.append(&sent.batch));
        }
        self.window = window;
        if let Some(retry) = &mut self.retry {
            retry.rest = None;
        }
    }

    /// The rest after a sync that was refused is over.
    fn sync_again(&mut self) {
        if let Some(retry) = &mut self.sync_retry {
            retry.rest = None;
        }
    }

    /// What is under way is of no use any more: it goes to a store that has lost what came before it.
    fn forget_sent(&mut self) {
        let batches = self.window.len();
        let bytes = self.window.drain(..).map(|sent| sent.bytes).sum();
        self.shared.cells[self.at].lock().log.acknowledge(0, batches, bytes);
        self.syncing = None;
    }
}

/// Has everything written anew; not at once if it has just been.
async fn mend(committer: &mut Committer) {
    committer.forget_sent();
    let (shared, at) = (Arc::clone(&committer.shared), committer.at);
    let now = || shared.clock.now().mono;
    if committer.last_repair.is_some_and(|last| now().micros_since(last) < REPAIR_PAUSE.as_micros() as u64) {
        rt::sleep(REPAIR_PAUSE).await;
    }
    repair::run(&shared, &Arc::clone(&committer.ownership), at).await;
    committer.last_repair = Some(now());
}

/// Resolves when a flush that has begun now has gone on for long enough.
async fn given_up(shared: &Shared) {
    shared.life.reached(Stage::Dropped).await;
    let abandoned = shared.life.reached(Stage::Abandoned);
    let _ = rt::timeout(PATIENCE, abandoned).await;
}

async fn rested(rest: Option<&mut Boxed>) {
    match rest {
        Some(rest) => rest.await,
        None => std::future::pending().await,
    }
}

/// Drives all that is under way, in order, so that it gets to the store in order; resolves with the answer to the first.
async fn first_answer(window: &mut VecDeque<Sent>) -> Result<(), StoreError> {
    poll_fn(|context| {
        for sent in window.iter_mut().filter(|sent| sent.answered.is_none()) {
            let polled = sent.answer.as_mut().map(|answer| answer.as_mut().poll(context));
            if let Some(Poll::Ready(answer)) = polled {
                (sent.answer, sent.answered) = (None, Some(answer));
            }
        }
        match window.front_mut().and_then(|first| first.answered.take()) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    })
    .await
}

async fn synced(syncing: &mut Option<Syncing>) -> Result<(), StoreError> {
    match syncing {
        Some(syncing) => syncing.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
