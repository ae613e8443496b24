//! An operation beside its floors: the cost that any implementation has.

use std::fmt;

use serde::Serialize;

/// A figure and its floors.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    pub(super) operation: String,
    pub(super) ns: f64,
    pub(super) floors: Vec<Floor>,
}

#[derive(Debug, Serialize)]
pub(super) struct Floor {
    pub(super) name: &'static str,
    pub(super) ns: f64,
    /// How many times as long as the floor the operation takes.
    pub(super) to_floor: f64,
}

impl Beside {
    pub(super) fn new(operation: impl Into<String>, ns: f64, floors: &[(&'static str, f64)]) -> Self {
        let floor =
            |&(name, floor_ns): &(&'static str, f64)| Floor { name, ns: floor_ns, to_floor: ns / floor_ns };
        Beside { operation: operation.into(), ns, floors: floors.iter().map(floor).collect() }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<28} {:>8.1} ns", self.operation, self.ns)?;
        for Floor { name, ns, to_floor } in &self.floors {
            write!(f, "   {to_floor:>6.1}x  {name} ({ns:.1} ns)")?;
        }
        writeln!(f)
    }
}

/// Rounds of which the median is reported.
pub(super) const ROUNDS: usize = 9;

/// The median of what some rounds say, in nanoseconds each time.
pub(super) fn median_ns(mut round: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    super::median(&mut rounds)
}
