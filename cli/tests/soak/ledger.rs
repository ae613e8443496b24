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
//! What is settled is forgotten after some thousand others, so that the ledger does not grow; a job that nobody knows and
//! that starts is a broken promise too.

mod book;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use reveille::partition::Now;
use reveille::{CancelOutcome, Due, LookupOutcome, RescheduleOutcome, Timestamp, Version};

use book::{APART_US, Book, Late, Start, late};
pub(crate) use book::{Entry, Stand, now};

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
        let told = now();
        let (key, start) = (Arc::clone(key), Start::of(due, told));
        let (stand, version) = (Stand::Asked, Version::FIRST.0);
        let entry = Entry { key, queue, stand, version, start, told, moving: None, started: None };
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
        let told = now();
        let start = Start::of(due, told);
        if let Some(entry) = self.book().entries.get_mut(&number) {
            entry.moving = Some((start, told));
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
                (entry.start, entry.told) = to.unwrap_or((entry.start, entry.told));
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
            _ => false,
        };
        if !fits {
            book.breaks_of(number, &format!("was looked up, and found {found:?}"));
        }
    }

    /// A handler has begun.
    pub(crate) fn starts(&self, job: &reveille::Job) {
        let (number, version) = (number_of(job.payload().as_bytes()), job.version().0);
        self.started(number, version, job.fired_at(), now());
    }

    fn started(&self, number: u64, version: u32, fired_at: Timestamp, now: Now) {
        self.counts.started.fetch_add(1, Relaxed);
        let mut book = self.book();
        let is_restored = book.is_restored;
        let Some(entry) = book.entries.get_mut(&number) else {
            return book.breaks(format!("job {number} starts, and was settled or never asked for"));
        };
        if !matches!(entry.stand, Stand::Asked | Stand::Pending) {
            return book.breaks_of(number, "starts");
        }
        entry.started = Some(version);
        let is_moved = entry.moving.is_some() && version == entry.version + 1;
        let (start, told) = entry.moving.filter(|_| is_moved).unwrap_or((entry.start, entry.told));
        let (queue, is_of_version) = (entry.queue, is_moved || version == entry.version);
        if !is_of_version {
            book.breaks_of(number, &format!("starts with version {version}"));
        }
        let late_us = start.late_us(now);
        if late_us < if is_restored { -APART_US } else { 0 } {
            book.breaks_of(number, &format!("starts {} us early", -late_us));
        }
        if book.paused.get(queue).is_some_and(|&since| fired_at > since) {
            book.breaks_of(number, "starts although its queue is paused");
        }
        if book.calm_since.is_some_and(|calm| start.late_us(calm) <= 0) {
            let late_us = late_us.max(0).unsigned_abs().min(now.mono.micros_since(told.mono));
            book.late_us_max = book.late_us_max.max(late_us);
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

/// The number that a payload bears.
pub(crate) fn number_of(payload: &[u8]) -> u64 {
    std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
