//! What a driver and the workers do: advance, start, end, and sleep in between.

use super::input::Bytes;
use super::oracle::{Life, TICK_US};
use super::world::{QUEUES, World, name};
use crate::job::JobState;
use crate::partition::{End, LookupOutcome, QueueId, TimeBase, Timestamp};

impl World {
    /// One slice of work. What `next_wake` and `advance` say of one moment must agree, or a driver spins or sleeps on.
    pub(super) fn advance(&mut self, budget: usize) -> bool {
        let ready = self.ready();
        let was_due = self.partition.next_wake().is_due(self.now);
        let held = self.held_overdue();
        let done = self.partition.advance(self.now, budget);
        self.note();
        self.check_paced(held, done);
        assert!(self.ready() - ready <= budget, "over the budget");
        assert!(done || was_due, "work was left that no wake announced");
        assert_eq!(
            self.partition.next_wake().is_due(self.now),
            !done,
            "a wake for what is done, or none for the rest"
        );
        if !done && budget % 2 == 1 {
            let (ready, passed) = (self.ready(), self.release_past());
            assert_eq!(self.ready() - ready, passed, "as many have gone past as it says");
            assert!(self.partition.next_wake().is_due(self.now), "what they went past is still due");
        }
        self.oracle.was_pulled(self.now);
        if done {
            self.check_waiting();
        }
        done
    }

    fn release_past(&mut self) -> usize {
        let behind = self.partition.behind(self.now, false);
        self.partition.release_past(self.now, behind, false)
    }

    /// When `advance` is done: all that is due is ready, and the next wake is not later than the rest.
    fn check_waiting(&self) {
        let wake = self.partition.next_wake();
        for (_, job) in self.oracle.waiting().filter(|(_, job)| !self.is_held_overdue(job)) {
            match self.partition.lookup(job.handle, self.now) {
                LookupOutcome::Scheduled(view) if view.state == JobState::Ready => continue,
                LookupOutcome::Scheduled(_) => {}
                odd => panic!("{job:?}: {odd:?}"),
            }
            assert!(!job.due.is_tick_reached(self.now), "{job:?} is due, and not ready at {:?}", self.now);
            let wake = match job.due.base {
                TimeBase::Wall => wake.wall().map(|wall| i128::from(wall.as_micros())),
                TimeBase::Mono => wake.mono().map(|mono| i128::from(mono.as_micros())),
            };
            assert!(wake.is_some_and(|wake| wake <= job.due.tick_start()), "{job:?} would be slept over");
        }
    }

    pub(super) fn start(&mut self, queue: QueueId) -> Option<usize> {
        let started = self.partition.start(queue, self.now);
        self.note();
        let started = started?;
        let job = self.oracle.by_handle(started.handle).expect("only what was scheduled starts");
        let of = &mut self.oracle.jobs[job];
        assert_eq!(of.life, Life::Pending, "cancelled, or started twice: {of:?}");
        assert!(!of.is_paused(), "{of:?} is paused");
        assert!(of.due.is_reached(self.now), "early: {of:?} at {:?}", self.now);
        of.life = Life::Running(self.now.wall);
        of.attempt += 1;
        assert_eq!((started.id, started.key, of.queue), (of.id, name(of.key), queue));
        assert_eq!((started.version, started.attempt), (of.version, of.attempt));
        assert_eq!((&started.options, started.fired_at), (&of.options, self.now.wall));
        assert_eq!(started.due, of.due.told(self.now));
        assert_eq!(i128::from(started.lateness_us), of.due.lateness_us(self.now));
        Some(job)
    }

    /// Ends jobs that run, or tries to end any.
    pub(super) fn end(&mut self, bytes: &mut Bytes<'_>) {
        let is_running = |job: &usize| matches!(self.oracle.jobs[*job].life, Life::Running(_));
        let running: Vec<usize> = (0..self.oracle.jobs.len()).filter(is_running).collect();
        let (how, count) = (bytes.byte(), bytes.byte() % 8);
        let end = if how.is_multiple_of(4) { End::Failed } else { End::Done };
        if how.is_multiple_of(3) || running.is_empty() {
            if let (_, Some(job), _) = self.pick(bytes) {
                self.end_job(job, end);
            }
            return;
        }
        for &job in running.iter().cycle().skip(usize::from(how)).take(running.len().min(count.into())) {
            self.end_job(job, end);
        }
    }

    pub(super) fn end_job(&mut self, job: usize, end: End) {
        let Life::Running(began) = self.oracle.jobs[job].life else {
            let handle = self.oracle.jobs[job].handle;
            return assert!(!self.partition.finish(handle, end, self.now), "only what runs can end");
        };
        assert!(self.partition.finish(self.oracle.jobs[job].handle, end, self.now));
        self.note();
        self.ended(job, began, end);
    }

    /// A job that began then has ended.
    pub(super) fn ended(&mut self, job: usize, began: Timestamp, end: End) {
        let gone = self.oracle.end(job, began, end, self.now.wall).into_iter();
        let gone: Vec<_> =
            gone.map(|job| (name(self.oracle.jobs[job].key), self.oracle.jobs[job].handle)).collect();
        assert_eq!(self.partition.drain_forgotten().collect::<Vec<_>>(), gone);
    }

    /// Pulls everything due while the clocks stand, and starts it: all of it, and in order.
    pub(super) fn drain(&mut self, budget: usize) {
        let fresh: Vec<bool> = self.oracle.jobs.iter().map(|job| job.is_fresh).collect();
        // Per job: ten moves on a wheel, a fire, a release; and what was cancelled or moved after it was collected.
        let mut calls_left = 16 + 16 * (self.records.len() + self.oracle.jobs.len()) / budget;
        while !self.advance(budget) {
            calls_left = calls_left.checked_sub(1).expect("advance ends");
        }
        for queue in (0..QUEUES).map(QueueId) {
            let mut order = Vec::new();
            while self.partition.ready(queue) > 0 {
                order.extend(self.start(queue));
            }
            self.check_order(&order, &fresh);
        }
        let mut pending = self.oracle.waiting().filter(|(_, job)| !self.is_held_overdue(job));
        let left = pending.find(|(_, job)| job.due.is_tick_reached(self.now));
        assert!(left.is_none(), "lost: {left:?}");
    }

    fn check_order(&self, order: &[usize], fresh: &[bool]) {
        for (at, &second) in order.iter().enumerate() {
            let b = &self.oracle.jobs[second];
            for &first in &order[..at] {
                let a = &self.oracle.jobs[first];
                let are_comparable = !a.due.is_before_epoch() && !b.due.is_before_epoch();
                if !fresh[first] || !fresh[second] || !are_comparable && a.due.base != b.due.base {
                    continue;
                }
                let (a_ago, b_ago) = (a.due.ticks_ago(self.now), b.due.ticks_ago(self.now));
                if a_ago == b_ago {
                    assert!(a.options.priority() <= b.options.priority(), "priority: {a:?} before {b:?}");
                }
                // What the wheel was past when it was put in, the wall having been set back, may share a batch with another tick.
                if a.options.priority() != b.options.priority() {
                    continue;
                }
                assert!(a_ago >= b_ago, "tick: {a:?} before {b:?}");
                if a_ago != b_ago {
                    continue;
                }
                if a.due.base == b.due.base {
                    assert!((a.due.us, a.id) < (b.due.us, b.id), "order: {a:?} before {b:?}");
                } else {
                    // The ticks of the two clocks do not begin together.
                    let ahead = a.due.told(self.now).micros_since(b.due.told(self.now));
                    assert!(i128::from(ahead) < TICK_US, "order: {a:?} before {b:?}");
                }
            }
        }
    }

    /// Sleeps until the next wake, as a driver does, and works.
    pub(super) fn jump_to_wake(&mut self, budget: usize) -> bool {
        let Some(wake) = self.partition.next_wake().as_mono(self.now) else { return false };
        self.pass(wake.micros_since(self.now.mono));
        assert!(self.partition.next_wake().is_due(self.now), "woken for nothing");
        self.advance(budget);
        true
    }
}
