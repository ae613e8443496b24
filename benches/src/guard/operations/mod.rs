//! The operations that are counted, each many times over with about 100,000 pending.
//!
//! What they need is made ready outside of what is counted: keys, payloads, dues, random choices. All is the same in
//! every run but for the hashes' seeds and the engine's clock.

mod codec;
mod engine;
mod partition;
mod still;
mod wheel;

use std::hint::black_box;

use testkit::random::Random;

/// How many are pending.
const PENDING: usize = 100_000;

/// How often an operation is counted.
const TIMES: usize = 10_000;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Runs all of them, and prints a line for each: its name, and how often it was done.
pub(crate) fn run() {
    // The engine first: the heap that others leave behind would be counted with it.
    engine::run();
    partition::run();
    wheel::run();
    codec::run();
}

/// Has `operations` counted, and says that they were `times` of `name`.
fn measure(name: &str, times: usize, mut operations: impl FnMut()) {
    reveille_guard_told(&mut operations);
    println!("{name}\t{times}");
}

/// At the end of this the count is written: `counts::TOLD` is its name. A function of its own, since callgrind takes one order
/// a function.
#[inline(never)]
fn reveille_guard_told(operations: &mut dyn FnMut()) {
    reveille_guard_measured(operations);
    // So that the call is none that ends the function, which would leave callgrind with no return to see.
    black_box(());
}

/// What happens in here is counted: `counts::MEASURED` is its name.
#[inline(never)]
fn reveille_guard_measured(operations: &mut dyn FnMut()) {
    operations();
    black_box(());
}

/// [`TIMES`] of the numbers below `bound`, each once, in random order.
fn picked(random: &mut Random, bound: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..bound).collect();
    for at in 0..TIMES {
        numbers.swap(at, at + random.below((bound - at) as u64) as usize);
    }
    numbers.truncate(TIMES);
    numbers
}

/// A delay within a day, in milliseconds.
fn delay_ms(random: &mut Random) -> u64 {
    1 + random.below(DAY_MS)
}

/// A key of 20 bytes.
fn key_text(number: usize) -> String {
    format!("order:{number:014}")
}
