//! The engine's calls beside the obvious construction, by key and by handle.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::alloc::bytes_kept;
use crate::args::{Args, Size};
use crate::keyed::{Baseline, KeyText, Keyed, Reveille, key_text};
use crate::meter::median_ns;
use crate::report::{Group, Report, Unit};
use crate::spread::DAY;
use testkit::random::Random;

/// The operations, and what they are called on one thread and on two.
const OPERATIONS: [(Operation, [&str; 2]); 7] = [
    (Operation::Schedule, ["schedule", "schedule, two threads"]),
    (Operation::Reschedule, ["reschedule", "reschedule, two threads"]),
    (Operation::Cancel, ["cancel", "cancel, two threads"]),
    (Operation::ScheduleMany, ["schedule many", "schedule many, two threads"]),
    (Operation::CancelMany, ["cancel many", "cancel many, two threads"]),
    (Operation::Lookup, ["look up", "look up, two threads"]),
    (Operation::LookupByHandle, ["look up by handle", "look up by handle, two threads"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Schedule,
    Reschedule,
    Cancel,
    ScheduleMany,
    CancelMany,
    Lookup,
    LookupByHandle,
}

impl Operation {
    /// Whether it takes new jobs.
    fn schedules(self) -> bool {
        matches!(self, Operation::Schedule | Operation::ScheduleMany)
    }
}

/// Jobs in one call about many.
const MANY: usize = 1_000;

pub(crate) fn measure(args: &Args, report: &mut Report, size: Size) {
    let title = format!("{size} jobs by key");
    let mut group = report.group(format!("keyed/{size}"), title, Baseline::NAME);
    subject::<Reveille>(args, &mut group, size);
    subject::<Baseline>(args, &mut group, size);
}

fn subject<K: Keyed>(args: &Args, group: &mut Group<'_>, size: Size) {
    let mut operations = Vec::new();
    for (operation, names) in OPERATIONS {
        operations.extend(names.into_iter().zip(1..).map(|(name, threads)| (operation, name, threads)));
    }
    operations.retain(|(_, name, _)| args.wants(&group.figure_name(K::NAME, name)));
    let wants_bytes = args.wants(&group.figure_name(K::NAME, "memory"));
    if operations.is_empty() && !wants_bytes {
        return;
    }
    let mut steady = Steady::<K>::filled(size);
    for (operation, name, threads) in operations {
        let ns = median_ns(args.time, |times| steady.run(operation, threads, times));
        group.add(K::NAME, name, Unit::Ns, ns);
    }
    if wants_bytes {
        group.add(K::NAME, "memory", Unit::Bytes, steady.bytes as f64 / size.0 as f64);
    }
}

/// A subject with as many jobs pending after each operation as before.
struct Steady<K: Keyed> {
    jobs: K,
    /// By number: the handle of each pending job.
    handles: Vec<K::Handle>,
    /// Their numbers, shuffled; each thread goes round its own part.
    order: Vec<u32>,
    /// How far the threads have come in theirs.
    cursor: usize,
    random: Random,
    /// What the subject took for the jobs.
    bytes: usize,
}

/// One call with all that it needs, ready before the clock runs.
struct Call<H> {
    number: u32,
    key: KeyText,
    handle: H,
    due: u64,
}

impl<H> Call<H> {
    fn key(&self) -> &str {
        std::str::from_utf8(&self.key).expect("letters and digits")
    }
}

/// Calls a thread makes in one go: long enough for two threads to meet, short enough to be made ready in no time.
const CALLS_MAX: usize = 50_000;

impl<K: Keyed> Steady<K> {
    fn filled(size: Size) -> Self {
        let mut random = Random::seeded(4);
        let mut handles = Vec::with_capacity(size.0);
        let (jobs, bytes) = bytes_kept(|| {
            let jobs = K::start();
            jobs.with_thread(|| {
                for number in 0..size.0 as u64 {
                    let key = key_text(number);
                    let key = std::str::from_utf8(&key).expect("letters and digits");
                    handles.push(jobs.schedule(key, &[number as u8; 64], random.below(DAY)));
                }
            });
            jobs
        });
        let mut order: Vec<u32> = (0..size.0 as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        Steady { jobs, handles, order, cursor: 0, random, bytes }
    }

    /// Makes `iterations` calls on so many threads. Times the calls alone.
    fn run(&mut self, operation: Operation, threads: usize, iterations: u64) -> Duration {
        let share = (self.order.len() / threads).min(CALLS_MAX);
        let mut elapsed = Duration::ZERO;
        let mut made = 0;
        while made < iterations {
            // As many for each, so that all are busy to the end.
            let left = usize::try_from(iterations - made).unwrap_or(usize::MAX);
            let count = left.div_ceil(threads).min(share);
            let calls: Vec<_> =
                (0..threads).map(|thread| self.calls(operation, thread, threads, count)).collect();
            self.cursor += count;
            let round = self.timed(operation, &calls);
            self.restore(operation, &calls);
            // The last round may make one too many.
            let counted = (count * threads).min(left);
            elapsed += round.mul_f64(counted as f64 / (count * threads) as f64);
            made += counted as u64;
        }
        elapsed
    }

    /// What one thread is to do: never to a job twice, nor to another thread's.
    fn calls(
        &mut self,
        operation: Operation,
        thread: usize,
        threads: usize,
        count: usize,
    ) -> Vec<Call<K::Handle>> {
        let part = self.order.len() / threads;
        let calls = (self.cursor..self.cursor + count).map(|at| {
            let number = self.order[thread * part + at % part];
            // What is scheduled is new: it has numbers after all others.
            let is_new = operation.schedules();
            let key_number = u64::from(number) + if is_new { self.order.len() as u64 } else { 0 };
            Call {
                number,
                key: key_text(key_number),
                handle: self.handles[number as usize],
                due: self.random.below(DAY),
            }
        });
        calls.collect()
    }

    fn timed(&self, operation: Operation, calls: &[Vec<Call<K::Handle>>]) -> Duration {
        let jobs = &self.jobs;
        if let [calls] = calls {
            return jobs.with_thread(|| {
                let start = Instant::now();
                make(jobs, operation, calls);
                start.elapsed()
            });
        }
        let barrier = Barrier::new(calls.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = calls
                .iter()
                .map(|calls| {
                    let thread = || {
                        jobs.with_thread(|| {
                            barrier.wait();
                            let start = Instant::now();
                            make(jobs, operation, calls);
                            (start, Instant::now())
                        })
                    };
                    scope.spawn(thread)
                })
                .collect();
            let times = threads.into_iter().map(|thread| thread.join().expect("no call panics"));
            let (start, end) = times
                .reduce(|(start, end), (other_start, other_end)| (start.min(other_start), end.max(other_end)))
                .expect("one thread at least");
            end - start
        })
    }

    /// Undoes what changes the number of jobs.
    fn restore(&mut self, operation: Operation, calls: &[Vec<Call<K::Handle>>]) {
        let Steady { jobs, handles, .. } = self;
        jobs.with_thread(|| {
            for call in calls.iter().flatten() {
                match operation {
                    Operation::Schedule | Operation::ScheduleMany => jobs.cancel(call.key()),
                    Operation::Cancel | Operation::CancelMany => {
                        handles[call.number as usize] =
                            jobs.schedule(call.key(), &[call.number as u8; 64], call.due);
                    }
                    Operation::Reschedule | Operation::Lookup | Operation::LookupByHandle => {}
                }
            }
        });
    }
}

/// The calls themselves: all that is timed.
fn make<K: Keyed>(jobs: &K, operation: Operation, calls: &[Call<K::Handle>]) {
    match operation {
        Operation::Schedule => calls.iter().for_each(|call| {
            black_box(jobs.schedule(call.key(), &[call.number as u8; 64], call.due));
        }),
        Operation::Reschedule => calls.iter().for_each(|call| jobs.reschedule(call.key(), call.due)),
        Operation::Cancel => calls.iter().for_each(|call| jobs.cancel(call.key())),
        Operation::ScheduleMany => calls.chunks(MANY).for_each(|calls| {
            let payloads: Vec<_> = calls.iter().map(|call| [call.number as u8; 64]).collect();
            let drafts = calls.iter().zip(&payloads).map(|(call, payload)| (call.key(), payload, call.due));
            jobs.schedule_many(drafts);
        }),
        Operation::CancelMany => {
            calls.chunks(MANY).for_each(|calls| jobs.cancel_many(calls.iter().map(Call::key)));
        }
        Operation::Lookup => calls.iter().for_each(|call| {
            black_box(jobs.lookup(call.key()));
        }),
        Operation::LookupByHandle => calls.iter().for_each(|call| {
            black_box(jobs.lookup_by_handle(call.handle));
        }),
    }
}
