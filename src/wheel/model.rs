//! The wheel against a model: plain bytes are read as a sequence of calls, made on a wheel and on a `BTreeMap`.
//!
//! For tests and fuzzing only: the property test and the fuzz target share this reading, so that what one of them
//! finds the other can replay. Any bytes are a valid sequence; after the last of them everything is fired.
//!
//! The model knows deadlines and the order of insertion and nothing of levels. Where a budget lets time stop is the
//! wheel's to choose; the model checks that the choice is allowed and goes on from it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::{Fired, TimerHandle, Wheel};

/// Makes the calls that `bytes` stand for. Panics where the wheel departs from the model.
pub fn run(bytes: &[u8]) {
    // Longer sequences find nothing that shorter ones do not, and every call is checked against all timers.
    let mut bytes = Bytes(&bytes[..bytes.len().min(1024)]);
    let start = bytes.tick(0);
    let mut pair = Pair::new(start);
    while let Some(op) = bytes.next() {
        pair.step(op, &mut bytes);
        pair.check();
    }
    pair.finish();
}

/// Calls that one timer may lead to: moves from the top level to the lowest.
const MOVES_MAX: usize = 10;

/// A wheel and its model. A timer's value is its place in `timers`.
struct Pair {
    wheel: Wheel<Value>,
    /// Which value panics when it is dropped.
    armed: Rc<Cell<Option<usize>>>,
    now: u64,
    /// What is pending, in the order in which it must fire: by effective tick, then by insertion.
    queue: BTreeMap<(u64, u64), usize>,
    timers: Vec<Timer>,
    sequence: u64,
    /// Moves that all insertions and reschedules so far can account for.
    moves_left: usize,
}

struct Timer {
    handle: TimerHandle,
    deadline: u64,
    /// Where it waits in `queue`; `None` once it is gone.
    key: Option<(u64, u64)>,
}

struct Value {
    id: usize,
    armed: Rc<Cell<Option<usize>>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        if self.armed.get() == Some(self.id) {
            self.armed.set(None);
            unwind();
        }
    }
}

/// As a panic, but for the hook: that of a fuzzer would end the process.
fn unwind() -> ! {
    resume_unwind(Box::new("on purpose"))
}

fn unwinds(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err_and(|panic| panic.is::<&str>())
}

impl Pair {
    fn new(now: u64) -> Pair {
        let (wheel, armed, queue, timers) = (Wheel::new(now), Rc::default(), BTreeMap::new(), Vec::new());
        Pair { wheel, armed, now, queue, timers, sequence: 0, moves_left: 0 }
    }

    fn step(&mut self, op: u8, bytes: &mut Bytes<'_>) {
        match op % 16 {
            0..=3 => {
                let deadline = self.deadline(bytes);
                self.insert(deadline);
            }
            4 => {
                let (deadline, count) = (self.deadline(bytes), bytes.byte());
                for _ in 0..count {
                    self.insert(deadline);
                }
            }
            5 => {
                let (deadline, count, stride) = (self.deadline(bytes), bytes.byte(), bytes.byte());
                for i in 0..u64::from(count) {
                    self.insert(deadline.saturating_add(i * u64::from(stride)));
                }
            }
            6 | 7 => {
                if let Some(id) = self.pick(bytes) {
                    self.cancel(id);
                }
            }
            8 | 9 => {
                let deadline = self.deadline(bytes);
                if let Some(id) = self.pick(bytes) {
                    self.reschedule(id, deadline);
                }
            }
            10 => {
                let deadline = self.deadline(bytes);
                let budget = bytes.budget();
                self.advance(deadline, budget);
            }
            11 | 12 => {
                let to = self.now.saturating_add(u64::from(bytes.byte()));
                let budget = bytes.budget();
                self.advance(to, budget);
            }
            13 => {
                let (steps, budget) = (bytes.byte() % 8, bytes.budget());
                for _ in 0..steps {
                    self.drive(budget);
                }
            }
            14 => {
                // One slot over and over, so that its generations are used up.
                let (deadline, count) = (self.deadline(bytes), bytes.byte());
                for _ in 0..count {
                    self.insert(deadline);
                    self.cancel(self.timers.len() - 1);
                }
            }
            _ => match bytes.byte() {
                0..8 => self.clear(),
                8..16 => {
                    self.armed.set(self.pick(bytes).filter(|&id| self.timers[id].key.is_some()));
                    self.clear();
                }
                16..64 => {
                    // Leave gaps: every third stays.
                    for id in (0..self.timers.len()).filter(|id| id % 3 != 0) {
                        self.cancel(id);
                    }
                }
                64..128 => {
                    let deadline = self.deadline(bytes);
                    self.advance_and_unwind(deadline);
                }
                _ => {
                    if let Some(id) = self.pick(bytes) {
                        self.cancel(id);
                        self.cancel(id);
                    }
                }
            },
        }
    }

    fn insert(&mut self, deadline: u64) {
        let value = Value { id: self.timers.len(), armed: Rc::clone(&self.armed) };
        let handle = self.wheel.insert(deadline, value);
        self.timers.push(Timer { handle, deadline, key: None });
        self.enqueue(self.timers.len() - 1, deadline);
    }

    fn enqueue(&mut self, id: usize, deadline: u64) {
        let key = (deadline.max(self.now), self.sequence);
        self.sequence += 1;
        self.moves_left += MOVES_MAX;
        self.queue.insert(key, id);
        self.timers[id].deadline = deadline;
        self.timers[id].key = Some(key);
    }

    fn cancel(&mut self, id: usize) {
        let timer = &mut self.timers[id];
        let pending = timer.key.take().and_then(|key| self.queue.remove(&key));
        assert_eq!(self.wheel.cancel(timer.handle).map(|value| value.id), pending, "cancel");
    }

    fn reschedule(&mut self, id: usize, deadline: u64) {
        let timer = &mut self.timers[id];
        let pending = timer.key.take().and_then(|key| self.queue.remove(&key));
        assert_eq!(self.wheel.reschedule(timer.handle, deadline), pending.is_some(), "reschedule");
        if pending.is_some() {
            self.enqueue(id, deadline);
        }
    }

    fn clear(&mut self) {
        let is_armed = self.armed.get().is_some();
        assert_eq!(unwinds(|| self.wheel.clear()), is_armed, "an armed value is dropped");
        self.queue.clear();
        for timer in &mut self.timers {
            timer.key = None;
        }
    }

    /// Does what a driver does: nothing before the next deadline, then one slice of work.
    fn drive(&mut self, budget: usize) {
        let Some(next) = self.wheel.next_deadline() else { return };
        if next > self.now {
            let idle = self.wheel.advance(next - 1, 0, |_| panic!("a timer before the next deadline"));
            assert!(idle.done, "work before the next deadline");
            self.now = next - 1;
        }
        let work = self.advance(next, budget);
        assert!(budget == 0 || work > 0, "the next deadline had nothing to do");
    }

    /// Advances both, and returns how much of the budget was used.
    fn advance(&mut self, to: u64, budget: usize) -> usize {
        let target = to.max(self.now);
        let (mut fired, mut effective) = (0, self.now);
        let progress = self.wheel.advance(to, budget, |Fired { deadline, value, handle }| {
            let Some((key, id)) = self.queue.pop_first() else { panic!("nothing is left to fire") };
            assert_eq!(value.id, id, "order");
            let timer = &mut self.timers[id];
            assert_eq!((deadline, handle), (timer.deadline, timer.handle));
            assert_eq!(timer.key.take(), Some(key));
            assert!(key.0 <= target, "early");
            (fired, effective) = (fired + 1, key.0);
        });
        let work = progress.fired + progress.moved;
        let first = self.queue.first_key_value().map(|(&(effective, _), _)| effective);
        assert_eq!(progress.fired, fired, "fired as many as it says");
        assert!(work <= budget, "{progress:?} over the budget of {budget}");
        let now = self.wheel.now();
        assert!(effective <= now && now <= target, "time is between the last fire and the target");
        assert!(first.is_none_or(|first| now <= first), "time has passed a pending timer");
        if progress.done {
            assert_eq!(now, target, "done means being there");
            assert!(first.is_none_or(|first| target < first), "done with a timer due");
        } else {
            assert_eq!(work, budget, "neither done nor out of budget");
            assert!(
                self.wheel.next_deadline().is_some_and(|next| next <= target),
                "not done with nothing to do"
            );
        }
        assert!(progress.moved <= self.moves_left, "timers are moved too often");
        self.moves_left -= progress.moved;
        self.now = now;
        work
    }

    /// Fires the first timer, if it is due by `to`, in a callback that panics.
    fn advance_and_unwind(&mut self, to: u64) {
        let Some((&(effective, sequence), &id)) = self.queue.first_key_value() else { return };
        if effective > to.max(self.now) {
            return;
        }
        let advance = || {
            let _ = self.wheel.advance(to, usize::MAX, |timer| {
                assert_eq!(timer.value.id, id, "order");
                unwind();
            });
        };
        assert!(unwinds(advance), "the first timer was due");
        self.queue.remove(&(effective, sequence));
        self.timers[id].key = None;
        self.now = self.wheel.now();
        assert_eq!(self.now, effective, "time stands where the timer fired");
    }

    /// What must hold between any two calls.
    fn check(&self) {
        self.wheel.validate();
        assert_eq!(self.wheel.now(), self.now);
        assert_eq!((self.wheel.len(), self.wheel.is_empty()), (self.queue.len(), self.queue.is_empty()));
        let first = self.queue.first_key_value().map(|(&(effective, _), _)| effective);
        match (self.wheel.next_deadline(), first) {
            (None, None) => {}
            // `now` means work at once: `drive` checks that there is some.
            (Some(next), Some(_)) if next == self.now => {}
            (Some(next), Some(first)) => {
                // From the highest base-64 digit in which it differs from `now`, the earliest timer is known.
                let mut unit = 1;
                while unit < 1 << 60 && first / unit / 64 != self.now / unit / 64 {
                    unit *= 64;
                }
                assert_eq!(next, first / unit * unit, "next deadline");
            }
            odd => panic!("next deadline {odd:?}"),
        }
        let newest = self.timers.len().saturating_sub(8);
        for timer in self.timers[..newest].iter().step_by(1 + newest / 8).chain(&self.timers[newest..]) {
            self.check_timer(timer);
        }
    }

    fn check_timer(&self, timer: &Timer) {
        let id = timer.key.map(|key| &self.queue[&key]);
        assert_eq!(self.wheel.get(timer.handle).map(|value| &value.id), id);
        assert_eq!(self.wheel.deadline(timer.handle), id.map(|_| timer.deadline));
    }

    /// Fires all that is left, and sees that nothing stays behind.
    fn finish(mut self) {
        for timer in &self.timers {
            self.check_timer(timer);
        }
        while !self.queue.is_empty() {
            self.advance(u64::MAX, 1 + self.timers.len() / 2);
        }
        assert_eq!((self.wheel.len(), self.wheel.next_deadline()), (0, None));
        self.wheel.validate();
        for timer in &self.timers {
            self.check_timer(timer);
        }
        assert_eq!(Rc::strong_count(&self.armed), 1, "every value was dropped, and once");
    }

    /// A timer, pending or gone; more often than not one of the newest.
    fn pick(&self, bytes: &mut Bytes<'_>) -> Option<usize> {
        let (kind, at) = (bytes.byte(), usize::from(bytes.byte()));
        match self.timers.len() {
            0 => None,
            len if kind.is_multiple_of(2) => Some(len - 1 - at % len),
            len => Some((usize::from(kind) * 256 + at) % len),
        }
    }

    /// A deadline of a kind that timers have had trouble with, as seen from now.
    fn deadline(&self, bytes: &mut Bytes<'_>) -> u64 {
        let (kind, offset) = (bytes.byte(), u64::from(bytes.byte()));
        let far = offset << (kind / 16 * 4 % 64);
        match kind % 16 {
            0..=2 => self.now.saturating_add(offset),
            3 => self.now.saturating_add(offset * 64),
            4 | 5 => self.now.saturating_add(far),
            // The first tick of a slot, or the last one before it.
            6 => self.now.saturating_add(far) & !63,
            7 => (self.now.saturating_add(far) & !4095).wrapping_sub(offset % 2),
            8 => self.now.saturating_sub(offset),
            9 => self.now,
            10 => bytes.tick(self.now),
            11 => u64::MAX - offset,
            12 => offset,
            // The same as another's.
            _ => match self.timers.len() {
                0 => self.now,
                len => self.timers[len - 1 - offset as usize % len].deadline,
            },
        }
    }
}

/// The rest of the input. What is missing reads as zero.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// A tick at or a little before or after one where something turns over.
    fn tick(&mut self, now: u64) -> u64 {
        let (kind, offset) = (self.byte(), u64::from(self.byte()));
        let turn = match kind % 16 {
            0 => now,
            k @ 1..=10 => 1 << (6 * k),
            11 => 1 << 36,
            12 => 1 << 42,
            13 => u64::MAX - 127,
            14 => u64::MAX / 2,
            _ => u64::from_le_bytes([0; 8].map(|_: u8| self.byte())),
        };
        turn.saturating_add(offset).saturating_sub(128)
    }

    fn budget(&mut self) -> usize {
        match self.byte() {
            small @ 0..128 => usize::from(small % 8),
            some @ 128..224 => usize::from(some - 128) * 3,
            _ => usize::MAX,
        }
    }
}
