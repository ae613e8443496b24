//! The ledger: every job of the long-lived engine, by a number that its payload bears, from before it is asked for until
//! it is settled. It knows nothing of the engine but what the engine answers and what its handlers see.
//!
//! Rules, by promise:
//! 1. a job starts at or after the due time of the version that starts;
//! 2. a job that was taken stays pending until it starts, or is cancelled or replaced: what is overdue when it need not be
//!    is lost;
//! 3. a job starts once (the engine does not die here), never after its cancellation, and not if it was not taken;
//! 4. an answer fits what was known before the call and what was seen by its end;
//! 5. a job of a paused queue does not start.
//!
//! What is settled is forgotten after [`SETTLED_MAX`] others, so that the ledger does not grow; a job that nobody knows and
//! that starts is a broken promise too.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use reveille::partition::Now;
use reveille::{CancelOutcome, Clock, Due, JobView, LookupOutcome, RescheduleOutcome, Timestamp, Version};

/// Settled jobs that are remembered.
const SETTLED_MAX: usize = 5_000;

/// Broken promises that are told.
const BROKEN_MAX: usize = 20;

/// By how much the two clocks may come apart while a delay is written down and read back by another engine.
const APART_US: u64 = 2_000;

pub(crate) fn now() -> Now {
    Clock::System.now()
}

/// When a job must start, by the clock that it follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Wall(Timestamp),
    /// A delay, counted from before the call.
    Mono(u64),
}

impl Start {
    pub(crate) fn of(due: Due, now: Now) -> Self {
        match due {
            Due::At(instant) => Start::Wall(instant),
            Due::In(delay) => Start::Mono(now.mono.as_micros() + delay.as_micros() as u64),
        }
    }

    /// How long it has been due; negative while it is ahead.
    fn late_us(self, now: Now) -> i64 {
        match self {
            Start::Wall(at) => now.wall.as_micros() - at.as_micros(),
            Start::Mono(us) => now.mono.as_micros() as i64 - us as i64,
        }
    }

    /// Whether `told` is this instant: exactly, or for a delay about.
    pub(crate) fn is_told_as(self, told: Timestamp, now: Now) -> bool {
        match self {
            Start::Wall(at) => told == at,
            Start::Mono(_) => {
                let told_late_us = now.wall.as_micros() - told.as_micros();
                told_late_us.abs_diff(self.late_us(now)) < 1_000_000
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stand {
    /// The call is under way.
    Asked,
    Pending,
    Started,
    /// Cancelled or replaced.
    Cancelled,
    /// The engine did not take it.
    Refused,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Arc<str>,
    pub(crate) queue: &'static str,
    pub(crate) stand: Stand,
    pub(crate) version: u32,
    pub(crate) start: Start,
    /// A move under way: to when, by the next version.
    moving: Option<Start>,
    /// The version that started.
    started: Option<u32>,
}

#[derive(Default)]
struct Book {
    entries: HashMap<u64, Entry>,
    settled: VecDeque<u64>,
    /// Paused queues, and since when they start nothing.
    paused: HashMap<&'static str, Timestamp>,
    /// Since when nothing disturbs the engine.
    calm_since: Option<Now>,
    broken: Vec<String>,
    broken_more: u64,
    late_us_max: u64,
    /// Whether this is an engine that was restored from what the first one left.
    is_restored: bool,
}

/// What happened so often.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) unconfirmed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) started: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    last: AtomicU64,
    pub(crate) counts: Counts,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub(crate) fn breaks(&self, what: String) {
        self.book().breaks(what);
    }

    /// What was broken so far, and is told now.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut book = self.book();
        let more = book.broken_more;
        if more > 0 {
            book.broken.push(format!("and {more} more"));
        }
        std::mem::take(&mut book.broken)
    }

    /// A job is about to be asked for. Returns its number.
    pub(crate) fn asks(&self, key: &Arc<str>, queue: &'static str, due: Due) -> u64 {
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let start = Start::of(due, now());
        let key = Arc::clone(key);
        let (stand, version) = (Stand::Asked, Version::FIRST.0);
        let entry = Entry { key, queue, stand, version, start, moving: None, started: None };
        self.book().entries.insert(number, entry);
        number
    }

    pub(crate) fn taken(&self, number: u64) {
        self.counts.calls.fetch_add(1, Relaxed);
        let mut book = self.book();
        // It may have started, and even be forgotten, by now.
        if let Some(entry) = book.entries.get_mut(&number).filter(|entry| entry.stand == Stand::Asked) {
            entry.stand = Stand::Pending;
        }
    }

    /// The engine did not take it.
    pub(crate) fn not_taken(&self, number: u64) {
        self.counts.calls.fetch_add(1, Relaxed);
        let mut book = self.book();
        if book.stand(number) != Stand::Asked {
            book.breaks_of(number, "was not taken, and has started");
        }
        book.settle(number, Stand::Refused);
    }

    pub(crate) fn entry(&self, number: u64) -> Option<Entry> {
        self.book().entries.get(&number).cloned()
    }

    pub(crate) fn is_pending(&self, number: u64) -> bool {
        self.book().stand(number) == Stand::Pending
    }

    /// The key of a pending job was free, or a call by it found nothing: so it has begun.
    pub(crate) fn has_begun(&self, number: u64, why: &str) {
        let mut book = self.book();
        let is_ahead = |entry: &Entry| entry.stand == Stand::Pending && entry.start.late_us(now()) < 0;
        if book.entries.get(&number).is_some_and(is_ahead) {
            book.breaks_of(number, &format!("is gone before it is due: {why}"));
        }
    }

    pub(crate) fn replaced(&self, number: u64, was: Timestamp) {
        let mut book = self.book();
        if book.entries.get(&number).is_some_and(|entry| !entry.start.is_told_as(was, now())) {
            book.breaks_of(number, &format!("was replaced, and told to be due {was:?}"));
        }
        book.cancels(number, "was replaced");
    }

    pub(crate) fn moves(&self, number: u64, due: Due) {
        let start = Start::of(due, now());
        if let Some(entry) = self.book().entries.get_mut(&number) {
            entry.moving = Some(start);
        }
    }

    /// A move was answered; `None` if the call was refused.
    pub(crate) fn moved(&self, number: u64, expected: Option<Version>, answer: Option<RescheduleOutcome>) {
        self.counts.calls.fetch_add(1, Relaxed);
        let mut book = self.book();
        let Some(entry) = book.entries.get_mut(&number) else { return };
        let (was, to) = (entry.version, entry.moving.take());
        let is_current = expected.is_none_or(|expected| expected.0 == was);
        match answer {
            Some(RescheduleOutcome::Rescheduled { version, .. }) if is_current && version.0 == was + 1 => {
                self.counts.moved.fetch_add(1, Relaxed);
                entry.version = version.0;
                entry.start = to.unwrap_or(entry.start);
                if entry.started == Some(was) {
                    book.breaks_of(number, "was moved, and has started as it was before");
                }
            }
            Some(RescheduleOutcome::Changed { version }) if !is_current && version.0 == was => {}
            None => {}
            Some(answer) => book.too_late(number, &format!("{answer:?}"), late(&answer)),
        }
    }

    /// A cancellation was answered.
    pub(crate) fn cancelled(&self, number: u64, expected: Option<Version>, answer: CancelOutcome) {
        self.counts.calls.fetch_add(1, Relaxed);
        let mut book = self.book();
        let Some(entry) = book.entries.get(&number) else { return };
        let is_current = expected.is_none_or(|expected| expected.0 == entry.version);
        match answer {
            CancelOutcome::Cancelled if is_current => {
                self.counts.cancelled.fetch_add(1, Relaxed);
                book.cancels(number, "was cancelled");
            }
            CancelOutcome::Changed { version } if !is_current && version.0 == entry.version => {}
            answer => {
                let late = match answer {
                    CancelOutcome::Running => Late::Running,
                    CancelOutcome::AlreadyFired { .. } | CancelOutcome::NotFound => Late::Gone,
                    _ => Late::No,
                };
                book.too_late(number, &format!("{answer:?}"), late);
            }
        }
    }

    /// A job that stood so was looked up.
    pub(crate) fn looked_up(&self, number: u64, stood: Stand, found: &LookupOutcome) {
        self.counts.calls.fetch_add(1, Relaxed);
        let mut book = self.book();
        let Some(entry) = book.entries.get(&number) else { return };
        let fits = match found {
            // It may have started since.
            LookupOutcome::Scheduled(view) => stood != Stand::Started && entry.is_seen_as(number, view),
            LookupOutcome::Running(view) => view.payload.as_bytes() == number.to_string().as_bytes(),
            LookupOutcome::AlreadyFired { .. } | LookupOutcome::NotFound => entry.stand == Stand::Started,
        };
        if !fits {
            book.breaks_of(number, &format!("was looked up, and found {found:?}"));
        }
    }

    /// A handler has begun.
    pub(crate) fn starts(&self, job: &reveille::Job) {
        self.counts.started.fetch_add(1, Relaxed);
        let now = now();
        let number = number_of(job.payload().as_bytes());
        let mut book = self.book();
        let Some(entry) = book.entries.get_mut(&number) else {
            let what = format!("{} ({number:?}) starts, and was settled or never asked for", job.key());
            return book.breaks(what);
        };
        if !matches!(entry.stand, Stand::Asked | Stand::Pending) {
            return book.breaks_of(number, "starts");
        }
        let is_moved = entry.moving.is_some() && job.version().0 == entry.version + 1;
        entry.started = Some(job.version().0);
        let start = entry.moving.filter(|_| is_moved).unwrap_or(entry.start);
        let is_of_version = is_moved || job.version().0 == entry.version;
        if !is_of_version {
            book.breaks_of(number, &format!("starts with version {}", job.version().0));
        }
        let early_us = -start.late_us(now);
        if early_us > if book.is_restored { APART_US as i64 } else { 0 } {
            book.breaks_of(number, &format!("starts {early_us} us early"));
        }
        if book.paused.get(job.queue()).is_some_and(|&since| job.fired_at() > since) {
            book.breaks_of(number, "starts although its queue is paused");
        }
        if book.calm_since.is_some_and(|calm| start.late_us(calm) <= 0) {
            book.late_us_max = book.late_us_max.max(start.late_us(now).max(0) as u64);
        }
        book.settle(number, Stand::Started);
    }

    /// From here on a queue starts nothing; or again.
    pub(crate) fn pauses(&self, queue: &'static str, since: Option<Timestamp>) {
        let mut book = self.book();
        match since {
            Some(since) => book.paused.insert(queue, since),
            None => book.paused.remove(queue),
        };
    }

    /// From here on nothing disturbs the engine; or something does again.
    pub(crate) fn calm(&self, is_calm: bool) {
        self.book().calm_since = is_calm.then(now);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.book().calm_since.is_some()
    }

    /// The latest start of a job that became due while it was calm.
    pub(crate) fn late_us_max(&self) -> u64 {
        self.book().late_us_max
    }

    /// From here on another engine has the jobs.
    pub(crate) fn is_restored(&self) {
        self.book().is_restored = true;
    }

    /// Pending jobs that have been due for longer than this.
    pub(crate) fn overdue(&self, for_longer_than: Duration) -> Vec<(u64, Entry)> {
        self.pending_if(|late_us| late_us > for_longer_than.as_micros() as i64)
    }

    /// Pending jobs that are not due for so long.
    pub(crate) fn ahead(&self, for_longer_than: Duration) -> Vec<(u64, Entry)> {
        self.pending_if(|late_us| -late_us > for_longer_than.as_micros() as i64)
    }

    pub(crate) fn pending(&self) -> Vec<(u64, Entry)> {
        self.pending_if(|_| true)
    }

    fn pending_if(&self, is_asked: impl Fn(i64) -> bool) -> Vec<(u64, Entry)> {
        let now = now();
        let book = self.book();
        let open = book.entries.iter().filter(|(_, entry)| entry.stand == Stand::Pending);
        let asked = open.filter(|(_, entry)| is_asked(entry.start.late_us(now)));
        asked.map(|(&number, entry)| (number, entry.clone())).collect()
    }
}

/// What an answer other than the change that was asked for says of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    No,
    Running,
    Gone,
}

fn late(answer: &RescheduleOutcome) -> Late {
    match answer {
        RescheduleOutcome::Running => Late::Running,
        RescheduleOutcome::AlreadyFired { .. } | RescheduleOutcome::NotFound => Late::Gone,
        _ => Late::No,
    }
}

impl Entry {
    pub(crate) fn is_seen_as(&self, number: u64, view: &JobView) -> bool {
        view.version.0 == self.version
            && view.payload.as_bytes() == number.to_string().as_bytes()
            && view.queue.as_str() == self.queue
            && self.start.is_told_as(view.due, now())
    }
}

impl Book {
    fn stand(&self, number: u64) -> Stand {
        // What is forgotten was settled.
        self.entries.get(&number).map_or(Stand::Started, |entry| entry.stand)
    }

    fn settle(&mut self, number: u64, stand: Stand) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.stand = stand;
        self.settled.push_back(number);
        if self.settled.len() > SETTLED_MAX
            && let Some(oldest) = self.settled.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    fn cancels(&mut self, number: u64, how: &str) {
        match self.stand(number) {
            Stand::Pending | Stand::Asked => self.settle(number, Stand::Cancelled),
            _ => self.breaks_of(number, how),
        }
    }

    /// A change came too late, says the answer.
    fn too_late(&mut self, number: u64, answer: &str, late: Late) {
        let stand = self.stand(number);
        let is_due = self.entries.get(&number).is_none_or(|entry| entry.start.late_us(now()) >= 0);
        let fits = match late {
            Late::No => false,
            Late::Gone => stand == Stand::Started,
            // Its handler has begun, or is about to.
            Late::Running => stand == Stand::Started || (stand == Stand::Pending && is_due),
        };
        if !fits {
            self.breaks_of(number, &format!("was answered {answer}"));
        }
    }

    fn breaks_of(&mut self, number: u64, what: &str) {
        let entry = self.entries.get(&number).cloned();
        self.breaks(format!("job {number} {what}: {entry:?}, now {:?}", now()));
    }

    fn breaks(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            eprintln!("broken: {what}");
            self.broken.push(what);
        } else {
            self.broken_more += 1;
        }
    }
}

/// The number that a payload bears.
pub(crate) fn number_of(payload: &[u8]) -> u64 {
    std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
