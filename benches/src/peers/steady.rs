//! Operations after which as many timers are pending as before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::alloc::bytes_kept;
use crate::args::Size;
use crate::spread::{SECOND, Spread};
use crate::subjects::{Change, Subject};
use testkit::random::Random;

/// Operations timed in one go: enough that reading the clock is nothing, few enough to stay in the first cache.
const BATCH: usize = 256;

/// A subject with as many timers pending after each operation as before.
pub(crate) struct Steady<S: Subject> {
    subject: S,
    spread: Spread,
    now: u64,
    /// By value: the handle of each pending timer.
    handles: Vec<Option<S::Handle>>,
    random: Random,
    /// What the subject took for them.
    pub(crate) bytes: usize,
}

impl<S: Subject> Steady<S> {
    pub(crate) fn filled(size: Size, spread: Spread) -> Self {
        let mut random = Random::seeded(3);
        let mut handles = Vec::with_capacity(size.0);
        let (mut subject, bytes) = bytes_kept(|| {
            let mut subject = S::with_capacity(size.0);
            for value in 0..size.0 {
                handles.push(Some(subject.insert(spread.delay(&mut random), value as u32)));
            }
            subject
        });
        subject.reserve(Self::inserted_at_once(size.0).max(TIMEOUTS_WAITING * TIMEOUTS_A_TICK));
        Steady { subject, spread, now: 0, handles, random, bytes }
    }

    pub(crate) fn release(mut self) {
        for handle in self.handles.drain(..).flatten() {
            self.subject.release(handle);
        }
    }

    fn deadline(&mut self) -> u64 {
        self.now + self.spread.delay(&mut self.random)
    }

    /// Up to [`BATCH`] random ones, each once, and no more than a quarter of all.
    fn pick(&mut self, picked: &mut Vec<Change<S::Handle>>, at_most: u64) {
        let count = BATCH.min(self.handles.len() / 4 + 1).min(usize::try_from(at_most).unwrap_or(BATCH));
        while picked.len() < count {
            let value = self.random.below(self.handles.len() as u64) as usize;
            let deadline = self.deadline();
            let taken = self.handles[value].take();
            picked.extend(taken.map(|handle| Change { value: value as u32, handle, deadline }));
        }
    }

    /// Runs `change` on random timers, `iterations` of them in all, [`BATCH`] at a time. Times that alone. It empties the vector
    /// and hands on each timer's handle, in order.
    fn change_random(
        &mut self,
        iterations: u64,
        change: impl Fn(&mut S, &mut Vec<Change<S::Handle>>, &mut Vec<S::Handle>),
    ) -> Duration {
        let mut elapsed = Duration::ZERO;
        let (mut picked, mut values, mut changed) = (Vec::new(), Vec::new(), Vec::with_capacity(BATCH));
        let mut left = iterations;
        while left > 0 {
            self.pick(&mut picked, left);
            left -= picked.len() as u64;
            values.extend(picked.iter().map(|timer| timer.value));
            let start = Instant::now();
            change(&mut self.subject, &mut picked, &mut changed);
            elapsed += start.elapsed();
            assert!(picked.is_empty() && changed.len() == values.len());
            for (value, handle) in values.drain(..).zip(changed.drain(..)) {
                self.handles[value as usize] = Some(handle);
            }
        }
        elapsed
    }

    pub(crate) fn reschedule(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, |subject, picked, changed| {
            changed.extend(picked.drain(..).map(|timer| subject.reschedule(timer.handle, timer.deadline)));
        })
    }

    /// The same with a call about all timers of a batch, if there is one.
    pub(crate) fn reschedule_many(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, S::reschedule_many)
    }

    pub(crate) fn cancel_insert(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, |subject, picked, changed| {
            for timer in picked.drain(..) {
                assert!(subject.cancel(timer.handle), "{}: the timer is pending", S::NAME);
                changed.push(subject.insert(timer.deadline, timer.value));
            }
        })
    }

    /// The same with calls about all timers of a batch, if there are such.
    pub(crate) fn replace_many(&mut self, iterations: u64) -> Duration {
        self.change_random(iterations, S::replace_many)
    }

    /// A tenth of the population, so that it is not always the same few nodes that are given out again.
    fn inserted_at_once(pending: usize) -> usize {
        BATCH.max(pending / 10)
    }

    /// Inserts; what was inserted is cancelled again, which is not timed.
    pub(crate) fn insert(&mut self, iterations: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let count = left.min(Self::inserted_at_once(self.handles.len()) as u64);
            left -= count;
            let first = self.handles.len() as u32;
            let timers: Vec<_> = (0..count as u32).map(|number| (first + number, self.deadline())).collect();
            let mut handles = Vec::with_capacity(timers.len());
            let start = Instant::now();
            for &(value, deadline) in &timers {
                handles.push(self.subject.insert(deadline, value));
            }
            elapsed += start.elapsed();
            for handle in handles {
                assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
            }
        }
        elapsed
    }

    /// What most timers are for: each request has half a minute, and is answered long before. Every tick brings new
    /// requests and answers to those of some ticks ago. An iteration is one request: a timer in, and one out.
    pub(crate) fn timeouts(&mut self, iterations: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut waiting: VecDeque<Vec<S::Handle>> = VecDeque::new();
        let mut fired = Vec::new();
        let first = self.handles.len() as u32;
        let ticks = iterations.div_ceil(TIMEOUTS_A_TICK as u64);
        for tick in 0..ticks + TIMEOUTS_WAITING as u64 {
            self.now += 1;
            self.subject.set_clock(self.now);
            let answered = (waiting.len() == TIMEOUTS_WAITING).then(|| waiting.pop_front()).flatten();
            let is_timed = answered.is_some();
            let mut handles = Vec::with_capacity(TIMEOUTS_A_TICK);
            // No two that wait have the same value.
            let first = first + (tick % (TIMEOUTS_WAITING as u64 + 1)) as u32 * TIMEOUTS_A_TICK as u32;

            let start = Instant::now();
            self.subject.fire(self.now, |value| fired.push(value));
            for value in first..first + TIMEOUTS_A_TICK as u32 {
                handles.push(self.subject.insert(self.now + 30 * SECOND, value));
            }
            for handle in answered.into_iter().flatten() {
                assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
            }
            if is_timed {
                elapsed += start.elapsed();
            }
            waiting.push_back(handles);
            self.put_back(&mut fired);
        }
        for handle in waiting.into_iter().flatten() {
            assert!(self.subject.cancel(handle), "{}: the timer is pending", S::NAME);
        }
        elapsed.mul_f64(iterations as f64 / (ticks * TIMEOUTS_A_TICK as u64) as f64)
    }

    /// Puts those of the population that have fired in again.
    fn put_back(&mut self, fired: &mut Vec<u32>) {
        for value in fired.drain(..) {
            let deadline = self.deadline();
            let handle = self.subject.insert(deadline, value);
            if let Some(old) = self.handles[value as usize].replace(handle) {
                self.subject.release(old);
            }
        }
    }
}

/// New requests a tick.
const TIMEOUTS_A_TICK: usize = 200;
/// Ticks until a request is answered.
const TIMEOUTS_WAITING: usize = 5;
