//! Which jobs are called about, and in which order.

use crate::args::Size;
use crate::keyed::{KeyText, key_text};
use crate::spread::DAY;
use testkit::random::Random;

/// The order in which jobs are called about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The same shuffled order, round and round. What was called about one after the other the last time is so again: so
    /// what lies beside a job, such as the one freed after it, was touched a moment ago.
    Cycle,
    /// Drawn afresh for each round: nothing that a call needs was touched by its neighbours.
    Afresh,
}

impl Order {
    /// A cycle first: it is none among jobs that others have mixed.
    pub(super) const ALL: [Order; 2] = [Order::Cycle, Order::Afresh];

    /// As it stands in the names of figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Cycle => "cycle",
            Order::Afresh => "afresh",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Order::Cycle => "in a fixed cycle",
            Order::Afresh => "drawn afresh each round",
        }
    }
}

/// A call to make: about which job, and for when.
pub(super) struct Draw {
    pub(super) number: u32,
    key: KeyText,
    pub(super) due: u64,
}

impl Draw {
    pub(super) fn key(&self) -> &str {
        std::str::from_utf8(&self.key).expect("letters and digits")
    }
}

/// Calls a thread makes in one go: long enough for two threads to meet, short enough to be made ready in no time.
const CALLS_MAX: usize = 50_000;

pub(super) struct Draws {
    /// The numbers of all jobs, shuffled. Each thread has its own part.
    order: Vec<u32>,
    /// How far a cycle has come in each.
    cursor: usize,
    random: Random,
}

impl Draws {
    pub(super) fn new(size: Size) -> Self {
        let mut draws = Draws { order: (0..size.0 as u32).collect(), cursor: 0, random: Random::seeded(4) };
        draws.shuffle(0, size.0, size.0);
        draws
    }

    /// Puts `count` random ones of the `len` that begin at `first` in front of the others.
    fn shuffle(&mut self, first: usize, len: usize, count: usize) {
        for at in 0..count {
            let other = at + self.random.below((len - at) as u64) as usize;
            self.order.swap(first + at, first + other);
        }
    }

    /// What each thread is to do in a round: no job twice, none of another thread's.
    pub(super) fn draw(&mut self, order: Order, threads: usize, is_new: bool) -> Vec<Vec<Draw>> {
        let part = self.order.len() / threads;
        let count = part.min(CALLS_MAX);
        let begin = if order == Order::Cycle { self.cursor } else { 0 };
        let drawn = (0..threads).map(|thread| {
            let first = thread * part;
            if order == Order::Afresh {
                self.shuffle(first, part, count);
            }
            (begin..begin + count).map(|at| self.call(self.order[first + at % part], is_new)).collect()
        });
        let drawn = drawn.collect();
        self.cursor += count;
        drawn
    }

    /// What is new has a number after all others.
    fn call(&mut self, number: u32, is_new: bool) -> Draw {
        let key = u64::from(number) + if is_new { self.order.len() as u64 } else { 0 };
        Draw { number, key: key_text(key), due: self.random.below(DAY) }
    }
}
