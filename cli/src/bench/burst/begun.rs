//! When jobs began.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::super::clock;

/// When each of some jobs began, in nanoseconds of the wall clock; 0 if it has not.
#[derive(Debug)]
pub(super) struct Begun(Box<[AtomicI64]>);

impl Begun {
    pub(super) fn new(jobs: u32) -> Arc<Self> {
        Arc::new(Begun((0..jobs).map(|_| AtomicI64::new(0)).collect()))
    }

    /// The job of this number begins.
    pub(super) fn now(&self, n: u32) {
        self.0[n as usize].store(clock::wall_ns(), Relaxed);
    }

    /// When each began, by number; `None` if one has not.
    pub(super) fn all(&self) -> Option<Vec<i64>> {
        self.0.iter().map(|at| Some(at.load(Relaxed)).filter(|at| *at != 0)).collect()
    }
}
