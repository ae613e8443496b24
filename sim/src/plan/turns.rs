//! Queues that share a pool of handlers, and queues with rates: settings and calls, and how they come from a seed.

use std::num::NonZeroU32;
use std::time::Duration;

use reveille::{Priority, Rate};

use super::{Behave, Call, Item, Setting, What, When};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Keys of the jobs of bursts begin here: others have lower ones.
const FIRST_KEY: u8 = 20;

/// A queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Queue {
    /// The one that is paused at times.
    Work,
    /// Run by the driver.
    Inline,
    /// Of jobs that come in bursts, as the next.
    First,
    /// The other.
    Second,
}

impl Queue {
    /// All of them.
    pub(crate) const ALL: [Queue; 4] = [Queue::Work, Queue::Inline, Queue::First, Queue::Second];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Queue::Work => "work",
            Queue::Inline => "inline",
            Queue::First => "first",
            Queue::Second => "second",
        }
    }

    /// The one of this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Queue::ALL.into_iter().find(|queue| queue.name() == name)
    }

    /// Whether workers run it: such queues share the pool, if there is one.
    pub(crate) fn is_by_workers(self) -> bool {
        self != Queue::Inline
    }
}

/// A pool of handlers.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// How many run at a time.
    pub handlers: usize,
    /// Who comes first.
    pub order: Order,
}

/// How queues stand in a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// One before the other.
    Strict,
    /// By weights.
    Weighted,
    /// Two by weights before the third.
    Both,
}

impl Order {
    /// The precedence of a queue, and its weight.
    pub(crate) fn place(self, queue: Queue) -> (i8, u16) {
        match (self, queue) {
            (Order::Strict, Queue::First) => (1, 1),
            (Order::Strict, Queue::Second) => (-1, 1),
            (Order::Weighted, Queue::First) => (0, 3),
            (Order::Weighted, Queue::Second) => (0, 2),
            (Order::Both, Queue::First) => (1, 2),
            (Order::Both, Queue::Second) => (1, 1),
            _ => (0, 1),
        }
    }
}

/// A rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How many starts.
    pub starts: u32,
    /// In which time.
    pub period_us: u64,
    /// How many at once.
    pub burst: u32,
}

impl Pace {
    /// As the library has it.
    pub(crate) fn to_rate(self) -> Rate {
        let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Rate::new(number(self.starts), Duration::from_micros(self.period_us)).burst(number(self.burst))
    }
}

/// A call about queues that share handlers, or have rates.
#[derive(Clone, Copy, Debug)]
pub enum Turns {
    /// Of a job of a burst.
    Schedule {
        /// Its key.
        key: u8,
        /// Its queue.
        queue: Queue,
        /// When.
        when: When,
        /// Its place in its tick.
        priority: Priority,
        /// What its handler does.
        behave: Behave,
    },
    /// So many handlers run from here on.
    SetPool {
        /// How many.
        handlers: usize,
    },
    /// So many jobs of a queue run from here on.
    SetConcurrency {
        /// Which queue.
        queue: Queue,
        /// How many.
        jobs: usize,
    },
    /// A queue has this rate from here on.
    SetRate {
        /// Which queue.
        queue: Queue,
        /// `None` for none.
        pace: Option<Pace>,
    },
}

/// Draws a pool, in one run of four, and rates, in another. From a random stream of its own, so that the rest of a seed's setting does
/// not change.
pub(super) fn draw_setting(setting: &mut Setting) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x9001_9001);
    if rng.u8(..4) == 0 {
        let order = [Order::Strict, Order::Weighted, Order::Both][rng.usize(..3)];
        setting.pool = Some(Pool { handlers: [1, 1, 2, 3][rng.usize(..4)], order });
    }
    if rng.u8(..4) == 0 {
        let queues = Queue::ALL.into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
        setting.paces = queues.into_iter().map(|queue| (queue, draw_pace(&mut rng))).collect();
    }
}

/// None is so slow that it takes a run's jobs minutes.
fn draw_pace(rng: &mut fastrand::Rng) -> Pace {
    Pace {
        starts: rng.u32(3..30),
        period_us: [100, 300, 1_000][rng.usize(..3)] * MS,
        burst: [1, 1, 2, 5][rng.usize(..4)],
    }
}

/// Bursts of jobs that compete, and changes of limits, in runs that have a pool or a rate. From a random stream of its own too.
pub(super) fn draw_calls(setting: &Setting, plan: &mut Vec<Item>) {
    if setting.pool.is_none() && setting.paces.is_empty() {
        return;
    }
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0xb0_257b_0257);
    let mut key = FIRST_KEY;
    for _ in 0..rng.u8(1..4) {
        let burst_us = rng.u64(500 * MS..setting.active_us);
        let when = When::Round(rng.u64(..SECOND));
        for _ in 0..rng.u8(8..22) {
            let call = draw_job(&mut rng, key, when);
            key += 1;
            to_whoever_owns(setting, burst_us + rng.u64(..20 * MS), call, plan);
        }
    }
    for _ in 0..rng.u8(..4) {
        let queue = Queue::ALL[rng.usize(..4)];
        let call = match setting.pool {
            Some(_) if rng.bool() => Turns::SetPool { handlers: rng.usize(1..4) },
            _ if queue.is_by_workers() && rng.bool() => {
                Turns::SetConcurrency { queue, jobs: [1, 1, 2, 4][rng.usize(..4)] }
            }
            _ => Turns::SetRate { queue, pace: (rng.u8(..3) > 0).then(|| draw_pace(&mut rng)) },
        };
        to_whoever_owns(setting, rng.u64(500 * MS..setting.active_us), call, plan);
    }
    if setting.pool.is_some() {
        plan.iter_mut().for_each(ends_sooner);
    }
}

fn draw_job(rng: &mut fastrand::Rng, key: u8, when: When) -> Turns {
    Turns::Schedule {
        key,
        queue: [Queue::First, Queue::Second, Queue::First, Queue::Second, Queue::Work, Queue::Inline]
            [rng.usize(..6)],
        when,
        priority: Priority(rng.u8(99..102)),
        behave: match rng.u8(..10) {
            0..5 => Behave::Quick,
            5..8 => Behave::Slow(rng.u64(..200 * MS)),
            8 => Behave::Flaky(rng.u16(1..4), rng.u16(1..4), rng.u64(..SECOND)),
            _ => Behave::Fail,
        },
    }
}

/// Those that own nothing do not hear the call.
fn to_whoever_owns(setting: &Setting, at_us: u64, call: Turns, plan: &mut Vec<Item>) {
    plan.extend((0..setting.slots).map(|slot| Item { at_us, what: What::Call(slot, Call::Turns(call)) }));
}

/// Handlers that never end would keep a pool from all others for the rest of the run.
fn ends_sooner(item: &mut Item) {
    if let What::Call(_, Call::Schedule { behave, .. } | Call::Limited { behave, .. }) = &mut item.what
        && *behave == Behave::Hang
    {
        *behave = Behave::Slow(SECOND);
    }
}
