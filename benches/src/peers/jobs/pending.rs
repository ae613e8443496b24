//! A subject with as many jobs pending after each round as before.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::draw::Draw;
use super::operation::{Call, Operation, make, payload};
use crate::alloc::bytes_kept;
use crate::args::Size;
use crate::keyed::{Keyed, key_text};
use crate::spread::DAY;
use testkit::random::Random;

/// A subject that takes its turn at calls.
pub(super) trait Turn {
    /// Makes the calls, each list of them on a thread of its own, and says how long they took. Then undoes what changes the
    /// number of jobs. Of several threads it is always the wall clock that tells.
    fn take(&mut self, operation: Operation, drawn: &[Vec<Draw>], clock: Clock) -> Duration;
}

pub(super) struct Pending<K: Keyed> {
    jobs: K,
    /// By number: the handle of each pending job.
    handles: Vec<K::Handle>,
}

impl<K: Keyed> Pending<K> {
    /// With so many jobs, and how many bytes they take.
    pub(super) fn filled(size: Size) -> (Self, usize) {
        let mut random = Random::seeded(4);
        let mut handles = Vec::with_capacity(size.0);
        let (jobs, bytes) = bytes_kept(|| {
            let jobs = K::start();
            jobs.with_thread(|| {
                for number in 0..size.0 as u32 {
                    let key = key_text(number.into());
                    let key = std::str::from_utf8(&key).expect("letters and digits");
                    handles.push(jobs.schedule(key, payload(number), random.below(DAY)));
                }
            });
            jobs
        });
        (Pending { jobs, handles }, bytes)
    }

    fn calls<'a>(&self, drawn: &'a [Draw]) -> Vec<Call<'a, K::Handle>> {
        let call = |draw: &'a Draw| Call {
            key: draw.key(),
            handle: self.handles[draw.number as usize],
            payload: payload(draw.number),
            due: draw.due,
        };
        drawn.iter().map(call).collect()
    }

    /// On a thread for each list. All begin together; the time is from the first begin to the last end.
    fn timed(&self, operation: Operation, calls: &[Vec<Call<'_, K::Handle>>], clock: Clock) -> Duration {
        let jobs = &self.jobs;
        if let [calls] = calls {
            return jobs.with_thread(|| clock.time(|| make(jobs, operation, calls)));
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

    fn restore(&mut self, operation: Operation, drawn: &[Vec<Draw>]) {
        let Pending { jobs, handles } = self;
        jobs.with_thread(|| {
            for draw in drawn.iter().flatten() {
                if operation.schedules() {
                    jobs.cancel(draw.key());
                } else if operation.cancels() {
                    handles[draw.number as usize] = jobs.schedule(draw.key(), payload(draw.number), draw.due);
                }
            }
        });
    }
}

impl<K: Keyed> Turn for Pending<K> {
    fn take(&mut self, operation: Operation, drawn: &[Vec<Draw>], clock: Clock) -> Duration {
        let calls: Vec<_> = drawn.iter().map(|drawn| self.calls(drawn)).collect();
        let took = self.timed(operation, &calls, clock);
        self.restore(operation, drawn);
        took
    }
}
