//! What was told of the morning, over one life of the engine or two, held against the plan.
//!
//! # Rules
//! - Whatever was told as durable binds every later life.
//! - A job may fire in a second life although it has fired in the first one, unless the store was told to know of its end before:
//!   that is what at least once means. In one life no job fires twice.
//! - A change that was called and not answered before a kill may have taken effect or not. It is called again, and that answer
//!   counts. A cancel that finds no job then has taken effect before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use reveille::Timestamp;

use super::plan::{Fate, Plan};
use super::told::{Answer, Percentile, Told};

/// How many lives an engine has here at most: one before the kill, one after it.
const LIVES_MAX: usize = 2;

/// Everything that was told, for whoever tells and whoever looks.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<Book>);

/// The same, while nobody else looks.
#[derive(Debug)]
pub(super) struct Book {
    plan: Arc<Plan>,
    /// The instant of the first sale.
    begin_us: Option<i64>,
    /// Which life is told of, counting from 0.
    life: usize,
    entries: Vec<Entry>,
    pub(super) counts: Counts,
    /// When this life's engine had started.
    started: Option<Started>,
    /// How long the store took to confirm a change, by this life's engine.
    pub(super) commit_delay_us: [u64; Percentile::ALL.len()],
}

/// How often what was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: u64,
    pub(super) scheduled: u64,
    pub(super) rescheduled: u64,
    pub(super) cancelled: u64,
    /// Jobs that have fired, each counted once.
    pub(super) fired: u64,
    /// Moves and cancels that were answered.
    pub(super) answered: u64,
    pub(super) scheduling_us: u64,
    pub(super) acknowledging_us: u64,
}

/// The start of an engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// How many jobs it had then.
    pub(super) jobs: u32,
    pub(super) took_us: u64,
    /// By the ledger's own clock.
    pub(super) at: Timestamp,
}

/// What was told of one job.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    is_acknowledged: bool,
    /// A change was called, and not answered in that life.
    is_in_doubt: bool,
    is_moved: bool,
    /// In which life it was cancelled.
    cancelled_in: Option<u8>,
    /// How often it has fired, by life.
    fired: [u8; LIVES_MAX],
    /// The store knew in the first life that it had ended.
    has_ended: bool,
    /// It fired when nobody had moved it.
    has_fired_unmoved: bool,
    is_early: bool,
    /// It was due before the engine of the second life had started, and fired then.
    is_overdue: bool,
    /// How long after its due time its handler began for the first time, in microseconds; negative if before.
    lateness_us: i64,
}

/// What it all comes to.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) early: u64,
    pub(super) lost: u64,
    pub(super) fired_after_cancel: u64,
    pub(super) fired_twice: u64,
    /// Those of them that should not have.
    pub(super) fired_twice_wrongly: u64,
    pub(super) spread: Histogram<u64>,
    pub(super) burst: Histogram<u64>,
    /// Jobs that were due while no engine was there.
    pub(super) overdue: Histogram<u64>,
}

impl Ledger {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let entries = vec![Entry::default(); plan.jobs.len()];
        Ledger(Mutex::new(Book {
            plan,
            begin_us: None,
            life: 0,
            entries,
            counts: Counts::default(),
            started: None,
            commit_delay_us: Default::default(),
        }))
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, told: Told) {
        self.book().take(told);
    }
}

impl Book {
    /// Another engine goes on from here.
    pub(super) fn next_life(&mut self) {
        self.life += 1;
        self.started = None;
    }

    /// The instant of the first sale, once it is known.
    pub(super) fn begin_us(&self) -> Option<i64> {
        self.begin_us
    }

    /// The start of this life's engine.
    pub(super) fn started(&self) -> Option<Started> {
        self.started
    }

    /// How many jobs have fired or been cancelled.
    pub(super) fn settled(&self) -> u64 {
        self.counts.fired + self.counts.cancelled
    }

    /// How many acknowledged jobs have not.
    pub(super) fn pending(&self) -> u64 {
        self.counts.acknowledged.saturating_sub(self.settled())
    }

    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::Begins { at_us } => self.begin_us = Some(at_us),
            Told::Started { jobs, took_us } => {
                self.started = Some(Started { jobs, took_us: took_us.unsigned_abs(), at: now() });
            }
            Told::Scheduled { n, answer } => self.scheduled(n, answer),
            Told::AllScheduled { took_us } => self.counts.scheduling_us = took_us.unsigned_abs(),
            Told::AllAcknowledged { took_us } => self.counts.acknowledging_us = took_us.unsigned_abs(),
            Told::Asks { n } => self.entry(n).is_in_doubt |= self.life == 0,
            Told::Moved { n, answer } => self.moved(n, answer),
            Told::CalledOff { n, answer } => self.called_off(n, answer),
            Told::Fired { n, at_us, is_moved } => self.fired(n, at_us, is_moved),
            Told::Ended { n } => self.entry(n).has_ended |= self.life == 0,
            Told::CommitDelay { percentile, us } => {
                self.commit_delay_us[percentile as usize] = us.unsigned_abs();
            }
        }
    }

    fn entry(&mut self, n: u32) -> &mut Entry {
        &mut self.entries[n as usize]
    }

    fn scheduled(&mut self, n: u32, answer: Answer) {
        self.entry(n).is_acknowledged = true;
        self.counts.acknowledged += 1;
        self.counts.scheduled += u64::from(answer == Answer::Done);
    }

    fn moved(&mut self, n: u32, answer: Answer) {
        let is_moved = answer == Answer::Done;
        let entry = self.entry(n);
        entry.is_in_doubt = false;
        entry.is_moved |= is_moved;
        self.counts.answered += 1;
        self.counts.rescheduled += u64::from(is_moved);
    }

    fn called_off(&mut self, n: u32, answer: Answer) {
        let life = u8::try_from(self.life).unwrap_or(u8::MAX);
        let entry = self.entry(n);
        let was_in_doubt = std::mem::take(&mut entry.is_in_doubt);
        let is_cancelled = match answer {
            Answer::Done => true,
            // By the call before the kill.
            Answer::NotFound => was_in_doubt,
            Answer::Other => false,
        };
        if is_cancelled {
            entry.cancelled_in = Some(life);
        }
        // One that had fired before the kill, and would have again, is counted as fired.
        let is_first = is_cancelled && entry.fired == [0; LIVES_MAX];
        self.counts.answered += 1;
        self.counts.cancelled += u64::from(is_first);
    }

    fn fired(&mut self, n: u32, at_us: i64, is_moved: bool) {
        let (life, begin_us) = (self.life, self.begin_us.unwrap_or_default());
        let planned = self.plan.jobs[n as usize];
        // Its due time is taken from the plan. The job itself tells only whether it was moved.
        let due_ms = match planned.fate {
            Fate::Moves { due_ms, .. } if is_moved => due_ms,
            _ => planned.due_ms,
        };
        let due_us = begin_us + 1_000 * i64::try_from(due_ms).unwrap_or(i64::MAX / 2_000);
        let started_us = self.started.map_or(i64::MAX, |started| started.at.as_micros());
        let entry = self.entry(n);
        let is_first = entry.fired == [0; LIVES_MAX];
        entry.fired[life] = entry.fired[life].saturating_add(1);
        entry.has_fired_unmoved |= !is_moved;
        entry.is_early |= at_us < due_us;
        if is_first {
            entry.lateness_us = at_us - due_us;
            entry.is_overdue = life > 0 && due_us < started_us;
            self.counts.fired += 1;
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::new();
        for (job, entry) in self.plan.jobs.iter().zip(&self.entries) {
            verdict.add(entry, job.fate);
        }
        verdict
    }
}

impl Entry {
    /// Whether it went off before it was due. A move that was acknowledged holds in every life.
    fn is_early(&self) -> bool {
        self.is_early || (self.is_moved && self.has_fired_unmoved)
    }

    /// A job that was cancelled has not fired before in that life, and never does again.
    fn has_fired_after_cancel(&self) -> bool {
        let from = self.cancelled_in.map_or(LIVES_MAX, usize::from);
        self.fired.iter().skip(from).any(|&times| times > 0)
    }

    fn times_fired(&self) -> u32 {
        self.fired.iter().map(|&times| u32::from(times)).sum()
    }

    /// Twice in one life, or in the second one although the store knew in the first one that it had ended.
    fn is_wrong_to_fire_twice(&self) -> bool {
        self.fired.iter().any(|&times| times > 1) || (self.has_ended && self.fired[1] > 0)
    }
}

impl Verdict {
    fn new() -> Self {
        let [spread, burst, overdue] = [histogram(), histogram(), histogram()];
        Verdict {
            early: 0,
            lost: 0,
            fired_after_cancel: 0,
            fired_twice: 0,
            fired_twice_wrongly: 0,
            spread,
            burst,
            overdue,
        }
    }

    fn add(&mut self, entry: &Entry, fate: Fate) {
        let times = entry.times_fired();
        self.lost += u64::from(entry.is_acknowledged && times == 0 && entry.cancelled_in.is_none());
        self.fired_after_cancel += u64::from(entry.has_fired_after_cancel());
        self.fired_twice += u64::from(times > 1);
        self.fired_twice_wrongly += u64::from(entry.is_wrong_to_fire_twice());
        if times == 0 {
            return;
        }
        self.early += u64::from(entry.is_early());
        let of = match fate {
            _ if entry.is_overdue => &mut self.overdue,
            Fate::Burst => &mut self.burst,
            _ => &mut self.spread,
        };
        of.saturating_record(entry.lateness_us.max(0).unsigned_abs());
    }
}

pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .expect("the bounds are constants within hdrhistogram's limits")
}

fn now() -> Timestamp {
    reveille::Clock::System.now().wall
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first job of the plan with such a fate.
    fn job(plan: &Plan, is: fn(Fate) -> bool) -> (u32, i64) {
        let n = plan.jobs.iter().position(|job| is(job.fate)).unwrap();
        (n as u32, plan.jobs[n].due_ms as i64 * 1_000)
    }

    fn book() -> (Arc<Plan>, Book) {
        let plan = Arc::new(Plan::new(1_000));
        let mut book = Ledger::new(Arc::clone(&plan)).0.into_inner().unwrap();
        book.take(Told::Begins { at_us: 0 });
        (plan, book)
    }

    fn fired(n: u32, at_us: i64) -> Told {
        Told::Fired { n, at_us, is_moved: false }
    }

    const DONE: Answer = Answer::Done;

    #[test]
    fn what_was_acknowledged_and_did_not_fire_is_lost() {
        let (plan, mut book) = book();
        let (n, due_us) = job(&plan, |fate| fate == Fate::Stays);
        assert_eq!(book.verdict().lost, 0, "nothing was promised");
        book.take(Told::Scheduled { n, answer: DONE });
        assert_eq!((book.verdict().lost, book.pending()), (1, 1));
        book.next_life();
        book.take(fired(n, due_us + 5));
        let verdict = book.verdict();
        assert_eq!((verdict.lost, verdict.early, verdict.fired_twice, book.settled()), (0, 0, 0, 1));
        // There was no engine when it was due.
        assert_eq!((verdict.overdue.len(), verdict.overdue.max(), verdict.spread.len()), (1, 5, 0));
    }

    #[test]
    fn early_is_before_the_due_time_that_was_acknowledged_last() {
        let (plan, mut book) = book();
        let (n, due_us) = job(&plan, |fate| matches!(fate, Fate::Moves { .. }));
        let Fate::Moves { due_ms, .. } = plan.jobs[n as usize].fate else { unreachable!() };
        book.take(Told::Moved { n, answer: DONE });
        book.next_life();
        book.take(Told::Fired { n, at_us: due_ms as i64 * 1_000, is_moved: true });
        assert_eq!(book.verdict().early, 0);
        // As if it had never been moved.
        book.take(fired(n, due_us.max(due_ms as i64 * 1_000)));
        assert_eq!(book.verdict().early, 1);

        let (_, mut book) = self::book();
        book.take(Told::Fired { n, at_us: due_ms as i64 * 1_000 - 1, is_moved: true });
        assert_eq!(book.verdict().early, 1);
    }

    #[test]
    fn cancelled_jobs_do_not_fire_in_that_life_or_the_next() {
        let (plan, book) = book();
        let (n, due_us) = job(&plan, |fate| matches!(fate, Fate::CalledOff { .. }));
        let after = |events: &[Option<Told>]| {
            let (_, mut book) = self::book();
            book.take(Told::Scheduled { n, answer: DONE });
            for event in events {
                match event {
                    Some(told) => book.take(*told),
                    None => book.next_life(),
                }
            }
            let verdict = book.verdict();
            (verdict.fired_after_cancel, verdict.lost, book.counts.cancelled)
        };
        let (asks, fires) = (Some(Told::Asks { n }), Some(fired(n, due_us)));
        let answer = |answer| Some(Told::CalledOff { n, answer });
        let kill = None;
        assert_eq!(after(&[asks, answer(DONE)]), (0, 0, 1));
        assert_eq!(after(&[asks, answer(DONE), fires]), (1, 0, 1));
        assert_eq!(after(&[asks, answer(DONE), kill, fires]), (1, 0, 1));
        assert_eq!(after(&[fires, asks, answer(DONE)]), (1, 0, 0), "both cannot be");
        // It had not ended when the kill came, and would have fired again.
        assert_eq!(after(&[fires, kill, asks, answer(DONE)]), (0, 0, 0));
        // The answer to the first call was lost.
        assert_eq!(after(&[asks, kill, asks, answer(Answer::NotFound)]), (0, 0, 1));
        assert_eq!(after(&[kill, asks, answer(Answer::NotFound)]), (0, 1, 0), "nobody had cancelled it");
        drop(book);
    }

    #[test]
    fn a_job_fires_twice_only_if_its_end_was_not_known() {
        let (plan, _) = book();
        let (n, due_us) = job(&plan, |fate| fate == Fate::Burst);
        let after = |ended: bool, is_killed: bool| {
            let (_, mut book) = book();
            book.take(fired(n, due_us));
            if ended {
                book.take(Told::Ended { n });
            }
            if is_killed {
                book.next_life();
            }
            book.take(fired(n, due_us + 1));
            let verdict = book.verdict();
            assert_eq!((verdict.fired_twice, verdict.burst.len(), book.counts.fired), (1, 1, 1));
            verdict.fired_twice_wrongly
        };
        assert_eq!([after(false, true), after(true, true), after(false, false)], [0, 1, 1]);
    }
}
