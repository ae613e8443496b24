//! The rehearsal: a driver that has woken a little early runs the code that is about to fire a job, before it spins to the
//! instant. A sleep empties the caches of that code and its memory, and fetching them only at the instant would be a third of
//! the lateness.
//!
//! # Rules
//! - Nothing changes: what is due meanwhile stays where it is, and no user's code runs.
//! - Where it needs a job, it fires one of its own, in a partition of its own.
//! - It takes a few microseconds; the driver wakes that much earlier for it.

use std::sync::Arc;
use std::time::Duration;

use super::handler::Seat;
use crate::engine::state::Shared;
use crate::partition::{
    Config, Draft, Due, End, JobSpec, Key, MonoTime, Now, OnConflict, Partition, PartitionId, Payload,
    QueueId, QueueName, Timestamp,
};

/// Inline queues that are rehearsed.
const REHEARSED_MAX: usize = 2;

/// The one queue of the dummy.
const QUEUE: QueueId = QueueId(0);

/// From one rehearsal to the next, on the clocks of the dummy.
const STEP_US: u64 = 1_000_000;

pub(crate) struct Rehearsal {
    /// `None` if its names are none, which cannot be.
    dummy: Option<Dummy>,
}

/// A partition of its own, with clocks of its own.
struct Dummy {
    partition: Partition,
    queue: QueueName,
    key: Key,
    now: Now,
}

impl Rehearsal {
    pub(crate) fn new() -> Self {
        Rehearsal { dummy: Dummy::new() }
    }

    /// Rehearses the next turn, as seen at `now`.
    pub(crate) fn run<'a>(
        &mut self,
        shared: &Arc<Shared>,
        inline: impl Iterator<Item = &'a Arc<Seat>>,
        now: Now,
    ) {
        if let Some(dummy) = &mut self.dummy {
            dummy.fire_one();
        }
        let Some(at) = shared.next_partition(now) else { return };
        shared.enter(at, None, |owned, now| {
            // No budget: what is due stays where it is.
            owned.partition.advance(now, 0);
            owned.partition.warm_next();
        });
        for seat in inline.take(REHEARSED_MAX) {
            shared.could_start(&seat.queue);
        }
    }
}

impl Dummy {
    fn new() -> Option<Self> {
        let config = Config {
            tick_us: 1_000,
            horizon_us: u64::MAX,
            payload_bytes_max: usize::MAX,
            fired_max: 0,
            fired_for_us: 0,
            dead_max: 0,
            dead_for_us: 0,
            engine: 0,
            is_logged: false,
        };
        let now = Now { wall: Timestamp::from_micros(0), mono: MonoTime::from_micros(0) };
        Some(Dummy {
            partition: Partition::new(PartitionId(0), config, now),
            queue: QueueName::new("rehearsal").ok()?,
            key: Key::new("rehearsal").ok()?,
            now,
        })
    }

    /// Takes a job and fires it.
    fn fire_one(&mut self) {
        let due = Due::In(Duration::from_micros(STEP_US / 2));
        let spec = JobSpec::new(self.key.clone(), self.queue.clone(), Payload::default(), due);
        let draft = Draft { spec, queue: QUEUE, on_conflict: OnConflict::Reject };
        let taken = self.partition.schedule(None, draft, self.now);
        debug_assert!(taken.is_ok(), "{taken:?}");
        self.now = Now {
            wall: self.now.wall.saturating_add_micros(STEP_US),
            mono: self.now.mono.saturating_add_micros(STEP_US),
        };
        let is_done = self.partition.advance(self.now, usize::MAX);
        debug_assert!(is_done);
        let started = self.partition.start(QUEUE, self.now);
        debug_assert!(started.is_some(), "what was due starts");
        if let Some(started) = started {
            self.partition.finish(started.handle, End::Done, self.now);
        }
        self.partition.drain_forgotten();
        while self.partition.take_touched().is_some() {}
        self.partition.next_wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_as_empty_after_a_rehearsal_as_before() {
        let mut dummy = Dummy::new().unwrap();
        for _ in 0..10_000 {
            dummy.fire_one();
            assert_eq!((dummy.partition.live(), dummy.partition.fired_remembered()), (0, 0));
            assert_eq!(dummy.partition.next_wake().mono(), None);
        }
    }
}
