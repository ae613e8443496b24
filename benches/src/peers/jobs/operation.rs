//! The calls themselves: all that is timed.

use std::hint::black_box;

use crate::keyed::{Keyed, Payload};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Schedule,
    Reschedule,
    Cancel,
    /// So many in a call.
    ScheduleMany(usize),
    RescheduleMany(usize),
    CancelMany(usize),
    Lookup,
    LookupByHandle,
}

impl Operation {
    /// Whether it takes new jobs.
    pub(super) const fn schedules(self) -> bool {
        matches!(self, Operation::Schedule | Operation::ScheduleMany(_))
    }

    /// Whether jobs are gone after it.
    pub(super) const fn cancels(self) -> bool {
        matches!(self, Operation::Cancel | Operation::CancelMany(_))
    }

    /// The same by one call for each job.
    pub(super) const fn single(self) -> Self {
        match self {
            Operation::ScheduleMany(_) => Operation::Schedule,
            Operation::RescheduleMany(_) => Operation::Reschedule,
            Operation::CancelMany(_) => Operation::Cancel,
            single => single,
        }
    }
}

/// One call with all that it needs, ready before the clock runs.
pub(super) struct Call<'a, H> {
    pub(super) key: &'a str,
    pub(super) handle: H,
    pub(super) payload: &'static Payload,
    pub(super) due: u64,
}

/// What the job of this number carries. Few enough of them to be in the first cache: a caller has its payload at hand.
pub(super) fn payload(number: u32) -> &'static Payload {
    static PAYLOADS: [Payload; 256] = {
        let mut payloads = [[0; size_of::<Payload>()]; 256];
        let mut number = 0;
        while number < payloads.len() {
            payloads[number] = [number as u8; size_of::<Payload>()];
            number += 1;
        }
        payloads
    };
    &PAYLOADS[number as usize % PAYLOADS.len()]
}

pub(super) fn make<K: Keyed>(jobs: &K, operation: Operation, calls: &[Call<'_, K::Handle>]) {
    match operation {
        Operation::Schedule => calls.iter().for_each(|call| {
            black_box(jobs.schedule(call.key, call.payload, call.due));
        }),
        Operation::Reschedule => calls.iter().for_each(|call| jobs.reschedule(call.key, call.due)),
        Operation::Cancel => calls.iter().for_each(|call| jobs.cancel(call.key)),
        Operation::ScheduleMany(count) => calls.chunks(count).for_each(|calls| {
            jobs.schedule_many(calls.iter().map(|call| (call.key, call.payload, call.due)));
        }),
        Operation::RescheduleMany(count) => calls.chunks(count).for_each(|calls| {
            jobs.reschedule_many(calls.iter().map(|call| (call.key, call.due)));
        }),
        Operation::CancelMany(count) => {
            calls.chunks(count).for_each(|calls| jobs.cancel_many(calls.iter().map(|call| call.key)));
        }
        Operation::Lookup => calls.iter().for_each(|call| {
            black_box(jobs.lookup(call.key));
        }),
        Operation::LookupByHandle => calls.iter().for_each(|call| {
            black_box(jobs.lookup_by_handle(call.handle));
        }),
    }
}
