//! Ready jobs in their places: whatever comes and goes, the order stands, and memory is bounded by the jobs that are there.

use std::collections::VecDeque;

use super::{ALL, MAIL, Rig, draft};
use crate::partition::{CancelOutcome, Due, Handle, State};

/// A queue of which jobs are cancelled anywhere, and nothing starts unless it is told to.
struct Backlog {
    rig: Rig,
    /// What is ready, in order.
    ready: VecDeque<Handle>,
    taken: usize,
    random: u64,
}

impl Backlog {
    fn new() -> Self {
        Backlog { rig: Rig::new(), ready: VecDeque::new(), taken: 0, random: 7 }
    }

    fn below(&mut self, n: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % n
    }

    /// So many more become ready.
    fn grow(&mut self, jobs: usize) {
        self.rig.pass_ms(1);
        for _ in 0..jobs {
            let due = Due::At(self.rig.now.wall);
            self.ready.push_back(self.rig.take(draft(&self.taken.to_string(), due)));
            self.taken += 1;
        }
        self.rig.pass_ms(1);
        assert!(self.rig.partition.advance(self.rig.now, ALL));
    }

    fn cancel(&mut self, at: usize) {
        let handle = self.ready.remove(at).unwrap();
        assert_eq!(self.rig.partition.cancel(handle, None), CancelOutcome::Cancelled);
    }

    fn start(&mut self) {
        let started = self.rig.start().map(|started| started.handle);
        assert_eq!(started, self.ready.pop_front());
    }

    fn bytes(&self) -> usize {
        self.rig.partition.ready_queue(MAIL).unwrap().allocated_bytes()
    }

    fn check(&self) {
        self.rig.partition.validate();
        let jobs = self.ready.len();
        assert_eq!(self.rig.partition.ready(MAIL), jobs);
        assert!(self.bytes() <= 64 * (jobs + 4_096), "{} bytes for {jobs} jobs", self.bytes());
    }

    fn drain(&mut self) {
        while !self.ready.is_empty() {
            self.start();
        }
        self.check();
        assert!(self.bytes() <= 4_096, "{} bytes for nothing", self.bytes());
    }
}

#[test]
fn a_queue_that_is_paused_while_a_million_come_and_go_is_as_large_as_its_jobs() {
    let mut backlog = Backlog::new();
    backlog.grow(1_000);
    for round in 0..1_000 {
        backlog.grow(1_000);
        // All that is new but one, and one that is old.
        for _ in 1..1_000 {
            let new = 1_000 + backlog.below(backlog.ready.len() - 1_000);
            backlog.cancel(new);
        }
        backlog.cancel(round % 1_000);
        if round % 100 == 0 {
            backlog.check();
        }
    }
    assert_eq!((backlog.taken, backlog.ready.len()), (1_001_000, 1_000));
    backlog.check();
    backlog.drain();
}

#[test]
fn what_is_left_of_a_large_backlog_moves_up_and_keeps_its_order() {
    for kept_every in [2, 7, 200, 5_000] {
        let mut backlog = Backlog::new();
        backlog.grow(40_000);
        let mut at = 0;
        while at < backlog.ready.len() {
            (1..kept_every.min(backlog.ready.len() - at)).for_each(|_| backlog.cancel(at + 1));
            at += 1;
        }
        backlog.check();
        backlog.grow(3_000);
        backlog.check();
        backlog.drain();
        backlog.grow(10);
        backlog.drain();
    }
}

#[test]
fn places_stand_whatever_comes_and_goes() {
    let mut backlog = Backlog::new();
    for phase in 0..60 {
        let (grows, cancels, starts) = [(30, 5, 5), (1, 60, 0), (1, 20, 60), (10, 10, 1)][phase % 4];
        for _ in 0..300 {
            let what = backlog.below(grows + cancels + starts);
            if what < grows {
                let jobs = 1 + backlog.below(40);
                backlog.grow(jobs);
            } else if backlog.ready.is_empty() {
                continue;
            } else if what < grows + cancels {
                let at = backlog.below(backlog.ready.len());
                backlog.cancel(at);
            } else {
                backlog.start();
            }
        }
        backlog.check();
    }
    backlog.drain();
}

/// Numbers of places are used again after four billion; a test that counted so far would take an hour.
#[test]
fn numbers_of_places_wrap_around() {
    let mut backlog = Backlog::new();
    backlog.grow(1);
    backlog.start();
    backlog.rig.partition.queues[0].as_mut().unwrap().count_places_from(u32::MAX - 3_000);
    backlog.grow(8_000);
    let places = backlog.ready.iter().map(|&handle| backlog.rig.partition.job(handle).unwrap().state());
    assert!(places.clone().any(|state| matches!(state, State::Ready(place) if place.0 < 5_000)));
    for at in (0..7_000).rev() {
        backlog.cancel(at);
    }
    backlog.check();
    backlog.drain();
}
