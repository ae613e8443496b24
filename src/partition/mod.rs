//! The partition: the unit of ownership and order. A state machine over jobs, and all that Reveille promises of them.
//!
//! # Rules
//! - Sans-I/O. No clock, no thread, no randomness, no store: time comes in as [`Now`], effects go out as values
//!   ([`Record`]s, forgotten keys, queues whose backlog changed). The same inputs give the same outputs.
//! - Every change is made by a function of `apply`, beside a [`Record`] that says all of it. Replay takes the records through
//!   the same functions.
//! - One caller at a time (`&mut self`). Whoever holds the partition reads the clock while holding it where the answer
//!   decides whether a job may fire, so that the monotonic time that a partition sees never goes back.
//! - Work in one call is bounded: by the levels of a wheel, or by the budget that the caller gives.
//!
//! # How a job goes
//! ```text
//! schedule ──> Waiting ──(advance)──> Collected ──> Ready ──(start)──> Running ──(finish)──> Fired ──> forgotten
//!                 ^  └── Held <── the wall clock was set back ──┘
//! a restart ──> Overdue ──(advance, at a pace)──> Ready
//!                                       Running ──(retry)──> Waiting
//!                                       Running ──(die)──> Dead ──(revive)──> Waiting, ──(purge)──> forgotten
//! ```
//! `cancel` takes a job out anywhere before Running, at once and leaving nothing behind; `reschedule` puts it back to
//! Waiting. `start` is where cancel against fire is decided: both run under the same `&mut`.
//!
//! # How it outlives the process
//! The records are its log. [`Partition::scan`] reads an image of it in slices while it goes on, [`Replay`] makes a
//! partition again of such an image and the records since it was begun, and [`Replay::finish`] says what becomes of the
//! jobs that came due meanwhile.
//!
//! # Invariants (see `validate`)
//! - A job is in exactly one place, the one that its state names.
//! - A job with [`TimeBase::Wall`] that waits on the wheel has a tick after the wheel's, or was due when it was put there.
//! - No job starts before its due time, by the clock of its base, as it is read at the start.

mod apply;
mod batch;
mod by_due;
mod change;
mod dead;
mod due;
mod edit;
mod fired;
mod foresee;
mod job;
mod list;
mod overdue;
mod pace;
mod past;
mod pause;
mod priorities;
mod queue_pause;
mod rank;
mod ready;
mod record;
mod recur;
mod replay;
mod run;
mod table;
mod tagged;

#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use batch::TickBatch;
use dead::DeadSet;
use fired::FiredMemory;
use job::State;
use overdue::{Overdue, Restart};
use priorities::Priorities;
use ready::{Came, Ready, ReadyQueue};
use table::{Job, JobTable};

pub use crate::time::{Due, InvalidTimestamp, MonoTime, Now, NowSource, TimeBase, Timestamp};
pub(crate) use by_due::{DueWalk, Mark, Waits};
pub use change::Draft;
pub(crate) use dead::{Again, DEAD_FOR, DEAD_MAX, Stopped};
pub use due::{Gathering, Wake};
pub(crate) use list::{Glance, ViewSlice, Wanted};
pub(crate) use overdue::OverdueHead;
pub(crate) use pace::Pace;
pub use past::Behind;
pub(crate) use pause::PausedRule;
pub use queue_pause::QueuePause;
pub use rank::{Rank, RankKey};
pub use ready::QueueId;
pub(crate) use record::schedule_weight;
pub use record::{Predecessor, Record, ScheduledRecord};
pub(crate) use recur::Next;
pub use replay::{CatchUp, FiredImage, Image, JobImage, Replay, ReplayError, Restored, Slice};
pub(crate) use run::Begin;
pub use run::Started;

pub use crate::job::{
    AttemptError, CancelOutcome, Cause, Death, DeathReason, Delivery, Edit, EditOutcome, End, Fault, Handle,
    History, InvalidKey, JobId, JobOptions, JobSpec, JobView, KEY_BYTES_MAX, Key, LookupOutcome,
    NotCancelled, NotRescheduled, NotScheduled, Occurrence, OnConflict, PartitionId, Passed, Payload,
    Priority, PurgeOutcome, QUEUE_NAME_BYTES_MAX, QueueName, RecordedDue, Refusal, RescheduleOutcome, Retry,
    ReviveOutcome, ScheduleOutcome, Version,
};

use crate::slab::Index;
use crate::wheel::Timers;

/// The most queues that a partition can tell apart.
pub(crate) use table::QUEUES_MAX;

/// The limits and settings of a partition.
#[derive(Clone, Debug)]
pub struct Config {
    /// The wheel's resolution in microseconds; at least 1.
    pub tick_us: u64,
    /// How far ahead a job may be due, in microseconds.
    pub horizon_us: u64,
    /// How many bytes a payload may have.
    pub payload_bytes_max: usize,
    /// How many fired jobs are remembered.
    pub fired_max: usize,
    /// For how long a fired job is remembered, in microseconds.
    pub fired_for_us: u64,
    /// How many dead jobs of a queue are kept.
    pub dead_max: usize,
    /// For how long a dead job is kept, in microseconds.
    pub dead_for_us: u64,
    /// Tells the handles of this engine from those of others in the process.
    pub engine: u16,
    /// Whether records are kept for [`Partition::drain_records`].
    pub is_logged: bool,
}

/// The state machine. See the [module's documentation](self).
#[derive(Debug)]
pub struct Partition {
    id: PartitionId,
    config: Config,
    jobs: JobTable,
    priorities: Priorities,
    /// Jobs due at an instant of the wall clock, by ticks since the epoch. The table is the home of both wheels' timers.
    wall: Timers,
    /// Jobs due after a delay, by ticks of the monotonic clock.
    mono: Timers,
    /// Jobs whose tick the wall wheel has passed although the wall clock, set back, has not.
    held: BTreeMap<(Timestamp, JobId), u32>,
    /// Jobs that were due before a restart and wait for the pace of the catch-up. `None` once there are none.
    overdue: Option<Box<Overdue>>,
    restart: Restart,
    /// The tick that is being collected or released.
    batch: TickBatch,
    /// Since when the batch grows, if it still does. No job of it is released before it is whole.
    collecting_since: Option<Now>,
    /// By [`QueueId`]; `None` for a queue that no job of this partition has named.
    queues: Vec<Option<ReadyQueue>>,
    touched: Vec<QueueId>,
    running: usize,
    fired: FiredMemory,
    dead: DeadSet,
    pauses: BTreeMap<QueueName, QueuePause>,
    /// Those that have died since the last call of `take_died`.
    died: Vec<JobView>,
    next_sequence: u64,
    records: Vec<Record>,
    forgotten: Vec<(Key, Handle)>,
    counts: Counts,
}

/// What a partition has done since it began, replayed records included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Jobs taken.
    pub scheduled: u64,
    /// Jobs moved.
    pub rescheduled: u64,
    /// Jobs that were given another payload, priority, queue or tags.
    pub edited: u64,
    /// Jobs cancelled, those that another replaced included.
    pub cancelled: u64,
    /// Jobs that a restart found too overdue to fire.
    pub skipped: u64,
    /// Jobs handed to a handler.
    pub started: u64,
    /// Jobs whose handler succeeded.
    pub succeeded: u64,
    /// Jobs whose handler failed, and that were not tried again nor are dead.
    pub failed: u64,
    /// Runs of recurring jobs after which they wait for a later occurrence. They are also counted as succeeded or failed.
    pub recurred: u64,
    /// Occurrences of recurring jobs that were passed over.
    pub passed: u64,
    /// Attempts after which a job was to be tried again.
    pub retried: u64,
    /// Jobs that died.
    pub died: u64,
    /// Dead jobs that were brought back.
    pub revived: u64,
    /// Dead jobs that were taken away, by a call or because there were too many or they were too old.
    pub purged: u64,
}

impl Partition {
    /// An empty partition whose wheels stand at `now`.
    pub fn new(id: PartitionId, config: Config, now: Now) -> Self {
        debug_assert!(config.tick_us > 0, "a tick has a length");
        // SAFETY: a job's links are set by the timers alone while it is `State::Waiting`, on the wheel of its base; it leaves that
        // wheel before it leaves the table, is in another state, or has another due (see `apply`). No code of others runs between.
        #[allow(unsafe_code, reason = "see `Timers::new`")]
        let timers = |now| unsafe { Timers::new(now) };
        let wall = timers(now.wall.ticks_floor(config.tick_us));
        let mono = timers(now.mono.as_micros() / config.tick_us);
        Partition {
            id,
            jobs: JobTable::new(id, config.tick_us),
            priorities: Priorities::default(),
            wall,
            mono,
            held: BTreeMap::new(),
            overdue: None,
            restart: Restart::default(),
            batch: TickBatch::default(),
            collecting_since: None,
            queues: Vec::new(),
            touched: Vec::new(),
            running: 0,
            fired: FiredMemory::default(),
            dead: DeadSet::default(),
            pauses: BTreeMap::new(),
            died: Vec::new(),
            next_sequence: 0,
            records: Vec::new(),
            forgotten: Vec::new(),
            counts: Counts::default(),
            config,
        }
    }

    /// Which partition this is.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// How many jobs are pending or with a handler.
    pub fn live(&self) -> usize {
        self.jobs.len() - self.fired.len() - self.dead.len()
    }

    /// How many jobs are with a handler.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many jobs were overdue at a restart and still wait for the pace that [`CatchUp`] has set.
    pub fn overdue(&self) -> usize {
        self.overdue.as_ref().map_or(0, |overdue| overdue.len())
    }

    /// How many fired jobs are remembered.
    pub fn fired_remembered(&self) -> usize {
        self.fired.len()
    }

    /// The sequence that the next job will get.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// How many jobs of `queue` are due and wait to be started.
    pub fn ready(&self, queue: QueueId) -> usize {
        self.ready_queue(queue).map_or(0, ReadyQueue::len)
    }

    /// For how long the oldest of these has been due, in microseconds; 0 if there is none.
    pub fn oldest_ready_us(&self, queue: QueueId, now: Now) -> u64 {
        let heads = self.ready_queue(queue).into_iter().flat_map(ReadyQueue::heads);
        let jobs = heads.filter_map(|slot| self.jobs.at(slot));
        jobs.map(|job| job.due().lateness_us(now)).max().unwrap_or(0)
    }

    /// How many jobs of each queue are pending or with a handler. Looks at every job: O(jobs).
    pub fn live_by_queue(&self) -> BTreeMap<QueueId, usize> {
        let mut live = BTreeMap::new();
        for (_, job) in self.jobs.iter().filter(|(_, job)| job.state().is_live()) {
            *live.entry(job.queue()).or_default() += 1;
        }
        live
    }

    /// [`ready`](Self::ready) and [`first_ready`](Self::first_ready) in one.
    #[inline]
    pub(crate) fn backlog(&self, queue: QueueId) -> (usize, Option<Rank>) {
        let Some(ready) = self.ready_queue(queue) else { return (0, None) };
        (ready.len(), self.first_of(ready))
    }

    /// Where the first of those stands, whom [`start`](Self::start) would hand out.
    pub fn first_ready(&self, queue: QueueId) -> Option<Rank> {
        self.first_of(self.ready_queue(queue)?)
    }

    #[inline]
    fn first_of(&self, ready: &ReadyQueue) -> Option<Rank> {
        let Ready { slot, tick } = ready.first()?;
        Some(self.jobs.at(slot)?.rank(tick, self.config.tick_us))
    }

    /// What has been done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the records formed since the last call, in order. Empty unless [`Config::is_logged`].
    pub fn drain_records(&mut self) -> std::vec::Drain<'_, Record> {
        shrink_idle(&mut self.records);
        self.records.drain(..)
    }

    /// How many records [`drain_records`](Self::drain_records) would give.
    pub fn records_pending(&self) -> usize {
        self.records.len()
    }

    /// Takes the fired jobs forgotten since the last call: an index from key to handle should drop those entries that
    /// still name the handle.
    pub fn drain_forgotten(&mut self) -> std::vec::Drain<'_, (Key, Handle)> {
        shrink_idle(&mut self.forgotten);
        self.forgotten.drain(..)
    }

    /// Whether [`drain_forgotten`](Self::drain_forgotten) has anything to do: to give, or to give back.
    #[inline]
    pub(crate) fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty() || self.forgotten.capacity() > KEPT
    }

    /// Takes a queue whose [`ready`](Self::ready) count has changed since the last call.
    #[inline]
    pub fn take_touched(&mut self) -> Option<QueueId> {
        let queue = self.touched.pop()?;
        if let Some(ready) = self.ready_queue_mut(queue) {
            ready.is_touched = false;
        }
        Some(queue)
    }

    #[inline]
    fn handle(&self, index: Index) -> Handle {
        Handle { index, partition: self.id, engine: self.config.engine }
    }

    /// The live or remembered job that `handle` names.
    #[inline]
    fn job(&self, handle: Handle) -> Option<Job<'_>> {
        if handle.partition != self.id || handle.engine != self.config.engine {
            return None;
        }
        self.jobs.get(handle.index)
    }

    fn ready_queue(&self, queue: QueueId) -> Option<&ReadyQueue> {
        self.queues.get(usize::from(queue.0))?.as_ref()
    }

    fn ready_queue_mut(&mut self, queue: QueueId) -> Option<&mut ReadyQueue> {
        self.queues.get_mut(usize::from(queue.0))?.as_mut()
    }

    #[inline]
    fn know_queue(&mut self, queue: QueueId, name: &QueueName) {
        let at = usize::from(queue.0);
        if at >= self.queues.len() {
            self.queues.resize_with(at + 1, || None);
        }
        self.queues[at].get_or_insert_with(|| ReadyQueue::new(name.clone()));
    }

    fn touch(&mut self, queue: QueueId) {
        if let Some(ready) = self.ready_queue_mut(queue)
            && !std::mem::replace(&mut ready.is_touched, true)
        {
            self.touched.push(queue);
        }
    }

    /// Checks every invariant, and panics where one is broken.
    #[cfg(any(test, fuzzing))]
    pub fn validate(&self) {
        self.jobs.validate();
        self.wall.validate(&self.jobs);
        self.mono.validate(&self.jobs);
        let (mut waiting, mut held, mut overdue, mut ready, mut running, mut fired) = (0, 0, 0, 0, 0, 0);
        let mut dead = 0;
        for (index, job) in self.jobs.iter() {
            match job.state() {
                State::Waiting => waiting += 1,
                State::Held => {
                    assert_eq!(
                        self.held.get(&(job.due().as_told(Now::default()), job.id())),
                        Some(&index.slot)
                    );
                    held += 1;
                }
                State::Overdue => overdue += 1,
                State::Paused => assert!(job.is_paused(), "{job:?} is said to be paused"),
                State::Collected => assert!(!self.batch.is_empty(), "{job:?} is in the batch"),
                State::Ready(_) => ready += 1,
                State::Running(_) => running += 1,
                State::Dead(at) => {
                    assert!(
                        self.dead.has(job.queue(), at, job.id(), index.slot),
                        "{job:?} is among the dead"
                    );
                    assert!(job.history().is_some_and(|history| history.death.is_some()));
                    dead += 1;
                }
                State::Fired(..) => fired += 1,
            }
        }
        assert_eq!(overdue, self.overdue.as_ref().map_or(0, |overdue| overdue.validate(&self.jobs)));
        assert_eq!(dead, self.dead.len());
        let live = self.jobs.iter().filter(|(_, job)| job.state().is_live());
        self.priorities.validate(live.map(|(_, job)| job.priority()));
        let queues = self.queues.iter().flatten();
        assert_eq!(waiting, self.wall.len() + self.mono.len());
        assert_eq!(held, self.held.len());
        assert_eq!(ready, queues.clone().map(ReadyQueue::len).sum::<usize>());
        assert_eq!((running, fired), (self.running, self.fired.len()));
        for queue in queues {
            queue.validate(&self.jobs);
        }
    }
}

/// Entries of a buffer that is kept, however idle it is.
const KEPT: usize = 1024;

/// Gives memory back that a burst has left, once most of it is idle.
fn shrink_idle<T>(buffer: &mut Vec<T>) {
    if buffer.capacity() > KEPT && buffer.len() < buffer.capacity() / 4 {
        buffer.shrink_to(KEPT.max(buffer.len() * 2));
    }
}
