//! The wheel and the engine beside their peers, on the same workload, in one table: `cargo bench --bench peers`.
//!
//! ```text
//! cargo bench --bench peers                                 # 100 k, 1 M and 10 M pending; half an hour, up to 7 GB
//! cargo bench --bench peers -- --sizes 1k,100k --seconds 0.1
//! cargo bench --bench peers -- wheel/10M/day 'insert|drain' # what has both in its name, the one or the other of the second
//! cargo bench --bench peers -- keyed/1M/afresh              # calls by key about jobs drawn afresh each round
//! cargo bench --bench peers -- keyed/1M --cpu               # the same on a busy machine: see `--cpu` below
//! cargo bench --bench peers -- --json
//! ```
//!
//! Figures are called `wheel/<pending>/<spread>/<subject>/<operation>` and `keyed/<pending>/<order>/<subject>/<operation>`;
//! spreads are `day`, `short` and `hour`, orders are `cycle` and `afresh`; the memory of a job has no order. Each is the median of some rounds, so what a structure puts off and does in one go now and then
//! is not in it: a `BinaryHeap` that throws out what was cancelled, a hash map that grows.
//!
//! # The workload
//! - The wheel: ticks are milliseconds, values are `u32`, deadlines are the same in every run and for every subject.
//!   Handles, deadlines and random choices are at hand before the clock runs, so that the structures are timed and not the
//!   workload. `fill` puts all timers into a new structure; all else happens to one that is full. `told ahead`: 256 timers a call
//!   (`reschedule_many`, `cancel_many`), beside as many single calls of the peer.
//! - By key: keys of 20 bytes, payloads of 64, due at random within a day, a day ahead, so that nothing fires. With two
//!   threads the time is that of both together: were there no contention, and a core for each, it would be half of what
//!   one thread needs. The engine and its peer are there at once and take turns. In a `cycle` jobs are called about in the
//!   same random order again and again, so that what lies beside a job was touched a moment ago; `afresh` draws other jobs
//!   for each round. `by 16` is a call about 16 jobs, beside 16 single calls of the peer; `many` is one about 1,000, and
//!   the peer then takes its lock once.
//! - `--cpu` times calls by key on one thread by its processor time and not by the wall clock. Ratios hold on a busy machine
//!   then. What two threads do is timed by the wall clock all the same.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod alloc;
mod args;
mod jobs;
mod keyed;
mod meter;
mod passes;
mod report;
mod spread;
mod steady;
mod subjects;
mod timers;

use std::process::ExitCode;

use args::Args;
use report::Report;
use subjects::check::check;
use subjects::{BTree, Delays, HashWheel, Heap, Nexus, Reveille};

fn main() -> ExitCode {
    let args = match Args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::from(2);
        }
    };
    check::<Reveille>();
    check::<Delays>();
    check::<Nexus>();
    check::<HashWheel>();
    check::<BTree>();
    check::<Heap>();

    let mut report = Report::default();
    for &size in &args.sizes {
        timers::measure(&args, &mut report, size);
    }
    for &size in &args.sizes {
        jobs::measure(&args, &mut report, size);
    }
    if report.is_empty() {
        eprintln!("peers: no figure has all of {:?} in its name", args.filters);
        return ExitCode::from(2);
    }
    let told = match args.json {
        _ if args.is_test => "everything runs; what it took means nothing\n".into(),
        true => report.json(),
        false => report.table(),
    };
    print!("{told}");
    ExitCode::SUCCESS
}
