//! All queues of an engine, by number and by name.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::config::{Misfire, QueueConfig};
use super::queue::Queue;
use crate::engine::error::QueueError;
use crate::engine::meters::Register;
use crate::partition::{Partition, QueueId, QueueName, QueuePause};

/// How many queues an engine may have.
pub const QUEUES_MAX: usize = crate::partition::QUEUES_MAX;

/// Places for their names: more than there are queues, so that a search ends.
const PLACES: usize = 2 * QUEUES_MAX;

/// All queues of an engine. Looked up by number and by name without a lock: every schedule does, and the word of a lock would
/// go from core to core with every call.
pub(crate) struct Queues {
    by_id: Box<[OnceLock<Arc<Queue>>]>,
    /// The numbers, from the place that the name's hash gives on to the first that is free. No queue ever goes.
    by_name: Box<[OnceLock<QueueId>; PLACES]>,
    hasher: foldhash::fast::RandomState,
    /// How many there are. Held while one is made.
    count: Mutex<usize>,
    partitions: usize,
    register: Register,
}

impl Queues {
    pub(crate) fn new(partitions: usize, register: Register) -> Self {
        Queues {
            by_id: (0..QUEUES_MAX).map(|_| OnceLock::new()).collect(),
            by_name: std::array::from_fn(|_| OnceLock::new()).into(),
            hasher: foldhash::fast::RandomState::default(),
            count: Mutex::new(0),
            partitions,
            register,
        }
    }

    pub(crate) fn by_id(&self, id: QueueId) -> Option<&Arc<Queue>> {
        self.by_id.get(usize::from(id.0))?.get()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Queue>> {
        let mut at = self.first_place(name);
        loop {
            let queue = self.by_id(*self.by_name[at].get()?)?;
            if queue.name.as_str() == name {
                return Some(queue);
            }
            at = (at + 1) % PLACES;
        }
    }

    #[inline]
    fn first_place(&self, name: &str) -> usize {
        self.hasher.hash_one(name) as usize % PLACES
    }

    /// The places in which a name may be, in order. Half of all are always free.
    fn places(&self, name: &str) -> impl Iterator<Item = &OnceLock<QueueId>> {
        let (before, from) = self.by_name.split_at(self.first_place(name));
        from.iter().chain(before)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.by_id.iter().map_while(OnceLock::get)
    }

    /// The queue of this name; made without a handler if there is none.
    pub(crate) fn know(&self, name: &QueueName) -> Result<&Arc<Queue>, QueueError> {
        let mut count = self.count.lock();
        if let Some(queue) = self.by_name(name.as_str()) {
            return Ok(queue);
        }
        if *count == QUEUES_MAX {
            return Err(QueueError::TooMany { max: QUEUES_MAX });
        }
        let id = QueueId(*count as u16);
        // The queue before its number, so that a reader who finds the number finds the queue.
        let make = || Arc::new(Queue::new(id, name, self.partitions, &self.register));
        let queue = self.by_id[usize::from(id.0)].get_or_init(make);
        let is_placed = self.places(name.as_str()).any(|place| place.set(id).is_ok());
        debug_assert!(is_placed, "there are more places than queues");
        *count += 1;
        Ok(queue)
    }

    /// Makes the queue of `config` for the caller, who will run its jobs. A queue is claimed once.
    pub(crate) fn claim(&self, config: QueueConfig) -> Result<Arc<Queue>, QueueError> {
        let QueueConfig { name, concurrency, is_paused, never_starts, misfire, policy, rate, place, layers } =
            config;
        if layers.are_idle() {
            return Err(QueueError::NotAsync { name });
        }
        if concurrency == 0 {
            return Err(QueueError::NoConcurrency { name });
        }
        let Ok(queue_name) = QueueName::new(&name) else { return Err(QueueError::InvalidName { name }) };
        let queue = self.know(&queue_name)?;
        let skip_after_us = match misfire {
            Misfire::FireNow => None,
            Misfire::SkipAfter(time) => Some(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        };
        if !queue.claim(concurrency, skip_after_us, policy) {
            return Err(QueueError::Duplicate { name });
        }
        queue.set_rate(rate);
        queue.set_place(place.unwrap_or_default());
        if is_paused {
            queue.pause_by_default();
        }
        if never_starts {
            queue.never_start();
        }
        Ok(Arc::clone(queue))
    }

    /// Applies what was said of queues before a restart. Those that there is no number left for have no job here either, and are told
    /// when they are added.
    pub(crate) fn restore_pauses(&self, pauses: impl Iterator<Item = QueuePause>) {
        for QueuePause { queue: name, is_paused, at, .. } in pauses {
            let Ok(queue) = self.know(&name) else { continue };
            queue.say_paused(is_paused, at);
            if is_paused {
                tracing::info!(queue = name.as_str(), since = %at, "the queue is paused, as it was before the start");
            }
        }
    }

    /// Counts the jobs of a restored partition that have no handler. Looks at jobs only if there may be some.
    pub(crate) fn count_unhandled(&self, partition: &Partition) {
        if self.iter().all(|queue| queue.is_claimed()) {
            return;
        }
        for (id, jobs) in partition.live_by_queue() {
            if let Some(queue) = self.by_id(id).filter(|queue| !queue.is_claimed()) {
                queue.unhandled.found(jobs);
            }
        }
    }

    /// Says which queues have jobs and no handler, unless that `is_expected`: then it is not said later either.
    pub(crate) fn tell_unhandled(&self, is_expected: bool) {
        for queue in self.iter().filter(|queue| !queue.is_claimed()) {
            let jobs = queue.unhandled.jobs();
            if is_expected {
                queue.unhandled.expect();
            } else if jobs > 0 {
                tracing::warn!(
                    queue = queue.name.as_str(),
                    jobs,
                    "the store has jobs of a queue that this engine was built without: they will not fire. Build it with the \
                     queue (`Builder::queue`), add it (`Engine::add_queue`), or cancel them"
                );
            }
        }
    }
}
