//! How far the store has come with a log, for those who wait.

use std::future::poll_fn;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::waiters::{self, GROUP, Ticket, Waiters};
use crate::engine::error::CallError;
use crate::store::Durability;
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How far the store has come with a partition's log; commits wait on it.
#[derive(Debug)]
pub(crate) struct LogProgress {
    inner: Mutex<Inner>,
    /// Whether [`Progress::ended`] is set: every call looks.
    is_ended: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    progress: Progress,
    waiters: Waiters,
}

#[derive(Debug)]
struct Progress {
    /// The store has every record below this sequence.
    durable: u64,
    /// Every record below this is on the store's disk.
    synced: u64,
    /// Every record below this is with the store's replicas.
    replicated: u64,
    /// Records below this have waited for longer than calls are to wait.
    expired: u64,
    /// How often the log was begun anew, with a snapshot of everything.
    rewrites: u64,
    /// Set when it will take no more.
    ended: Option<CallError>,
}

impl Progress {
    fn at(&self, level: Durability) -> u64 {
        match level {
            Durability::Memory => u64::MAX,
            Durability::Logged => self.durable,
            Durability::Fsync => self.synced,
            Durability::Replicated => self.replicated,
        }
    }

    /// Whether the wait for records below `end` is over, and how.
    fn reached(&self, end: u64, level: Durability) -> Option<Result<(), CallError>> {
        if self.at(level) >= end { Some(Ok(())) } else { self.ended.clone().map(Err) }
    }
}

impl LogProgress {
    pub(crate) fn new(log_end: u64) -> Self {
        let progress = Progress {
            durable: log_end,
            // What was loaded is in the store. Whether it is more than that nobody has asked yet.
            synced: 0,
            replicated: 0,
            expired: 0,
            rewrites: 0,
            ended: None,
        };
        let inner = Mutex::new(Inner { progress, waiters: Waiters::default() });
        LogProgress { inner, is_ended: AtomicBool::new(false) }
    }

    pub(crate) fn durable(&self) -> u64 {
        self.at(Durability::Logged)
    }

    pub(crate) fn at(&self, level: Durability) -> u64 {
        self.inner.lock().progress.at(level)
    }

    pub(crate) fn advance(&self, level: Durability, end: u64) {
        self.change(
            |progress| {
                let at = match level {
                    Durability::Memory => return,
                    Durability::Logged => &mut progress.durable,
                    Durability::Fsync => &mut progress.synced,
                    Durability::Replicated => &mut progress.replicated,
                };
                *at = end.max(*at);
            },
            |waiters, group| waiters.take_below(level, end, group),
        );
    }

    /// What waits for records below `end` has waited for too long.
    pub(crate) fn expire(&self, end: u64) {
        self.change(
            |progress| progress.expired = end.max(progress.expired),
            |waiters, group| waiters.take_all_below(end, group),
        );
    }

    /// The store will take no more: what waits for it, and what will, gets `error`.
    pub(crate) fn end(&self, error: CallError) {
        self.change(
            |progress| {
                progress.ended.get_or_insert(error);
                self.is_ended.store(true, SeqCst);
            },
            |waiters, group| waiters.take_all_below(u64::MAX, group),
        );
    }

    /// The log is about to be begun anew.
    pub(crate) fn rewrite(&self) {
        self.change(
            |progress| progress.rewrites += 1,
            |waiters, group| waiters.take_all_below(u64::MAX, group),
        );
    }

    pub(crate) fn rewrites(&self) -> u64 {
        self.inner.lock().progress.rewrites
    }

    /// Resolves once the store has every record below `end`; `false` if the log was begun anew meanwhile, or ended.
    pub(crate) async fn reached_unless_rewritten(&self, end: u64, rewrites: u64) -> bool {
        let is_over = |at: &Progress| {
            let is_over = at.durable >= end || at.ended.is_some() || at.rewrites != rewrites;
            is_over.then_some(at.durable >= end && at.rewrites == rewrites)
        };
        self.until(Ticket::new(end, Durability::Logged), is_over).await
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.load(SeqCst)
    }

    /// Whether the store was found to take no more of it: what it had confirmed it may have lost.
    pub(crate) fn is_refused(&self) -> bool {
        let ended = &self.inner.lock().progress.ended;
        matches!(ended, Some(CallError::NotDurable(_) | CallError::NotOwner { .. }))
    }

    pub(crate) async fn ended(&self) {
        let never = Ticket::new(u64::MAX, Durability::Logged);
        self.until(never, |progress| progress.ended.is_some().then_some(())).await;
    }

    /// Whether what waits for records below `end` has waited for too long by now.
    pub(crate) fn is_expired(&self, end: u64) -> bool {
        self.inner.lock().progress.expired >= end
    }

    /// Ready once every record that `ticket` waits for is as durable as it wants, or has waited for longer than a call is
    /// to wait; if it `is_patient`, however long that takes. A caller that stops asking has to [`leave`](Self::leave).
    pub(crate) fn poll_reached(
        &self,
        ticket: &mut Ticket,
        is_patient: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        let (end, level) = (ticket.end, ticket.level);
        self.poll(ticket, context, |progress| {
            let is_enough = !is_patient && progress.expired >= end;
            progress.reached(end, level).or(is_enough.then_some(Err(CallError::Unconfirmed)))
        })
    }

    /// Gives up the place of a wait that was dropped.
    pub(crate) fn leave(&self, ticket: &mut Ticket) {
        if ticket.is_placed() {
            let _dropped_unlocked = self.inner.lock().waiters.leave(ticket);
        }
    }

    /// Resolves once every record below `end` is as durable as `level`, however long that takes.
    pub(crate) async fn reached_at_last(&self, end: u64, level: Durability) -> Result<(), CallError> {
        self.until(Ticket::new(end, level), |progress| progress.reached(end, level)).await
    }

    /// Waits until `is_over` says so. It is asked when what the ticket says has been reached, and when anything else than
    /// the store's progress has changed.
    async fn until<T>(&self, ticket: Ticket, is_over: impl Fn(&Progress) -> Option<T>) -> T {
        struct Waiting<'a>(&'a LogProgress, Ticket);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.leave(&mut self.1);
            }
        }
        let mut waiting = Waiting(self, ticket);
        poll_fn(|context| self.poll(&mut waiting.1, context, &is_over)).await
    }

    fn poll<T>(
        &self,
        ticket: &mut Ticket,
        context: &mut Context<'_>,
        is_over: impl FnOnce(&Progress) -> Option<T>,
    ) -> Poll<T> {
        // Before the lock, so that it is dropped after it.
        let _dropped_unlocked;
        let Inner { progress, waiters } = &mut *self.inner.lock();
        match is_over(progress) {
            Some(result) => {
                _dropped_unlocked = waiters.leave(ticket);
                Poll::Ready(result)
            }
            None => {
                _dropped_unlocked = waiters.wait(ticket, context.waker());
                Poll::Pending
            }
        }
    }

    /// Changes the progress, and wakes the commits that this concerns, in groups.
    fn change(
        &self,
        change: impl FnOnce(&mut Progress),
        take: impl Fn(&mut Waiters, &mut Vec<std::task::Waker>) -> bool,
    ) {
        let mut group = Vec::with_capacity(GROUP);
        let mut inner = self.inner.lock();
        change(&mut inner.progress);
        loop {
            let is_last = take(&mut inner.waiters, &mut group);
            drop(inner);
            waiters::wake(&mut group);
            if is_last {
                return;
            }
            inner = self.inner.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task's waker that counts its calls, panics if it is told to, and looks whether the lock is free when it goes.
    struct Task {
        progress: std::sync::Weak<LogProgress>,
        woken: AtomicUsize,
        panics: bool,
        dropped_unlocked: Arc<AtomicUsize>,
    }

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, SeqCst);
            if self.panics {
                std::panic::resume_unwind(Box::new("a waker"));
            }
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            let Some(progress) = self.progress.upgrade() else { return };
            let is_free = progress.inner.try_lock().is_some();
            self.dropped_unlocked.fetch_add(usize::from(is_free), SeqCst);
        }
    }

    /// A dropped task may drop commits of its own, which take the lock to leave.
    #[test]
    fn no_waker_is_dropped_under_the_lock() {
        let (progress, dropped) = (Arc::new(LogProgress::new(0)), Arc::<AtomicUsize>::default());
        let task = || Task {
            progress: Arc::downgrade(&progress),
            woken: AtomicUsize::new(0),
            panics: false,
            dropped_unlocked: Arc::clone(&dropped),
        };
        let mut tickets: Vec<_> = (1..=3).map(|end| Ticket::new(end, Durability::Logged)).collect();
        let poll = |ticket: &mut Ticket| {
            // The only reference but that of the row.
            let waker = Arc::new(task()).into();
            progress.poll_reached(ticket, false, &mut Context::from_waker(&waker))
        };
        for ticket in &mut tickets {
            assert!(poll(ticket).is_pending());
        }
        assert!(poll(&mut tickets[0]).is_pending());
        assert_eq!(dropped.load(SeqCst), 1, "the one before it is gone");
        progress.leave(&mut tickets[1]);
        assert_eq!(dropped.load(SeqCst), 2);
        progress.inner.lock().progress.durable = 3;
        assert!(poll(&mut tickets[2]).is_ready());
        assert_eq!(dropped.load(SeqCst), 4, "that of the row, and that of the call");
        progress.advance(Durability::Logged, 3);
        assert_eq!(dropped.load(SeqCst), 5);
    }

    #[test]
    fn a_waker_that_panics_robs_no_other_of_its_call() {
        let progress = LogProgress::new(0);
        let tasks: Vec<Arc<Task>> = (0..3 * GROUP)
            .map(|n| Task {
                progress: std::sync::Weak::new(),
                woken: AtomicUsize::new(0),
                panics: n % 50 == 3,
                dropped_unlocked: Arc::default(),
            })
            .map(Arc::new)
            .collect();
        for task in &tasks {
            let waker = Arc::clone(task).into();
            let mut ticket = Ticket::new(1, Durability::Logged);
            let polled = progress.poll_reached(&mut ticket, false, &mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        progress.advance(Durability::Logged, 1);
        assert!(tasks.iter().all(|task| task.woken.load(SeqCst) == 1));
    }
}
