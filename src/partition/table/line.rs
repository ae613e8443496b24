//! A job in one cache line: all that a plain call about it reads or writes.
//!
//! The slab adds four bytes of generation, which makes 64. What most jobs do not have lies out of line: see
//! [`Beside`](super::beside::Beside).
//!
//! # Invariants
//! - `links` mean what `kind` says: neighbours in a wheel's list; the place among the ready jobs; the instant at which the handler
//!   began, or the job died. Nothing else is in them.
//! - `due` counts the microseconds of the clock that the job follows; of a job that has fired, those of the wall clock at its end.

use super::key::LineKey;
use crate::job::Common;
use crate::partition::job::{JobDue, State};
use crate::partition::ready::Place;
use crate::partition::{End, MonoTime, Priority, QueueId, TimeBase, Timestamp, Version};
use crate::wheel::Linked;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(in crate::partition) struct Line {
    links: [u32; 2],
    version: u32,
    due: Word,
    /// From below: queue, flags, attempts, sequence.
    rest: Word,
    pub(super) key: LineKey,
    block: u32,
    block_len: u8,
    kind: Kind,
    common: Common,
}

/// What lies beside a line in the store of bytes: the number and the length, as far as a line can say it. See
/// [`Beside`](super::beside::Beside).
#[derive(Clone, Copy, Debug)]
pub(super) struct LineBlock {
    pub(super) number: u32,
    pub(super) len: u8,
}

impl LineBlock {
    pub(super) const NONE: LineBlock = LineBlock { number: 0, len: 0 };
}

/// Eight bytes that may lie at any multiple of four.
#[derive(Clone, Copy, Debug)]
struct Word([u32; 2]);

impl Word {
    #[inline]
    fn new(word: u64) -> Self {
        Word([word as u32, (word >> 32) as u32])
    }

    #[inline]
    fn get(self) -> u64 {
        u64::from(self.0[1]) << 32 | u64::from(self.0[0])
    }
}

/// A [`State`] without what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Waiting,
    Held,
    Overdue,
    Paused,
    Collected,
    Ready,
    Running,
    Dead,
    Done,
    Failed,
    Panicked,
    Interrupted,
    TimedOut,
    Discarded,
    Cancelled,
}

/// So many queues a partition can tell apart.
pub(crate) const QUEUES_MAX: usize = 1 << QUEUE_BITS;

const QUEUE_BITS: u32 = 10;
const MONO: u64 = 1 << QUEUE_BITS;
const FAR: u64 = MONO << 1;
const MARK: u64 = MONO << 2;
const ATTEMPT_SHIFT: u32 = QUEUE_BITS + 3;
const ATTEMPT_MAX: u16 = 7;
const SEQUENCE_SHIFT: u32 = 16;

impl Line {
    /// Of a job of the first version, not begun.
    #[inline]
    pub(super) fn new(
        sequence: u64,
        key: LineKey,
        due: JobDue,
        state: State,
        queue: QueueId,
        common: Common,
        block: LineBlock,
    ) -> Self {
        debug_assert!(usize::from(queue.0) < QUEUES_MAX, "{queue:?} has no room in a line");
        let rest = sequence << SEQUENCE_SHIFT | u64::from(queue.0) & (MONO - 1);
        let mut line = Line {
            links: [0; 2],
            version: Version::FIRST.0,
            due: Word::new(0),
            rest: Word::new(rest),
            key,
            block: block.number,
            block_len: block.len,
            kind: Kind::Collected,
            common,
        };
        line.set_due(due);
        line.set_state(state);
        line
    }

    #[inline]
    pub(super) fn block(&self) -> LineBlock {
        LineBlock { number: self.block, len: self.block_len }
    }

    #[inline]
    pub(super) fn set_block(&mut self, block: LineBlock) {
        (self.block, self.block_len) = (block.number, block.len);
    }

    #[inline]
    pub(super) fn sequence(&self) -> u64 {
        self.rest.get() >> SEQUENCE_SHIFT
    }

    #[inline]
    pub(in crate::partition) fn queue(&self) -> QueueId {
        QueueId((self.rest.get() & (MONO - 1)) as u16)
    }

    #[inline]
    pub(in crate::partition) fn version(&self) -> Version {
        Version(self.version)
    }

    #[inline]
    pub(super) fn set_version(&mut self, version: Version) {
        self.version = version.0;
    }

    #[inline]
    pub(super) fn common(&self) -> Common {
        self.common
    }

    #[inline]
    pub(in crate::partition) fn priority(&self) -> Priority {
        self.common.priority()
    }

    pub(super) fn set_priority(&mut self, priority: Priority) {
        self.common.set_priority(priority);
    }

    pub(super) fn set_queue(&mut self, queue: QueueId) {
        debug_assert!(usize::from(queue.0) < QUEUES_MAX, "{queue:?} has no room in a line");
        let others = self.rest.get() & !(MONO - 1);
        self.rest = Word::new(others | u64::from(queue.0) & (MONO - 1));
    }

    #[inline]
    pub(super) fn base(&self) -> TimeBase {
        if self.has(MONO) { TimeBase::Mono } else { TimeBase::Wall }
    }

    #[inline]
    pub(in crate::partition) fn due(&self) -> JobDue {
        match self.base() {
            TimeBase::Wall => JobDue::Wall(Timestamp::from_micros(self.due.get().cast_signed())),
            TimeBase::Mono => JobDue::Mono(MonoTime::from_micros(self.due.get())),
        }
    }

    #[inline]
    pub(super) fn set_due(&mut self, due: JobDue) {
        let (is_mono, us) = match due {
            JobDue::Wall(wall) => (false, wall.as_micros().cast_unsigned()),
            JobDue::Mono(mono) => (true, mono.as_micros()),
        };
        self.due = Word::new(us);
        self.set(MONO, is_mono);
    }

    #[inline]
    pub(super) fn has_far(&self) -> bool {
        self.has(FAR)
    }

    pub(super) fn set_has_far(&mut self, has_far: bool) {
        self.set(FAR, has_far);
    }

    /// How often its handler has begun, as far as a line can count; `None` if it was more often.
    #[inline]
    pub(super) fn attempt(&self) -> Option<u16> {
        let attempt = (self.rest.get() >> ATTEMPT_SHIFT) as u16 & ATTEMPT_MAX;
        (attempt < ATTEMPT_MAX).then_some(attempt)
    }

    /// Returns whether a line cannot count so far.
    #[inline]
    pub(super) fn set_attempt(&mut self, attempt: u16) -> bool {
        let kept = u64::from(attempt.min(ATTEMPT_MAX));
        let others = self.rest.get() & !(u64::from(ATTEMPT_MAX) << ATTEMPT_SHIFT);
        self.rest = Word::new(others | kept << ATTEMPT_SHIFT);
        attempt >= ATTEMPT_MAX
    }

    #[inline]
    pub(in crate::partition) fn state(&self) -> State {
        let fired = |end| State::Fired(self.began(), end);
        match self.kind {
            Kind::Waiting => State::Waiting,
            Kind::Held => State::Held,
            Kind::Overdue => State::Overdue,
            Kind::Paused => State::Paused,
            Kind::Collected => State::Collected,
            Kind::Ready => State::Ready(Place(self.links[0])),
            Kind::Running => State::Running(self.began()),
            Kind::Done => fired(End::Done),
            Kind::Failed => fired(End::Failed),
            Kind::Panicked => fired(End::Panicked),
            Kind::Interrupted => fired(End::Interrupted),
            Kind::TimedOut => fired(End::TimedOut),
            Kind::Discarded => fired(End::Discarded),
            Kind::Cancelled => fired(End::Cancelled),
            Kind::Dead => State::Dead(self.began()),
        }
    }

    /// Of a job that waits, the wheel sets the links.
    #[inline]
    pub(super) fn set_state(&mut self, state: State) {
        self.kind = match state {
            State::Waiting => Kind::Waiting,
            State::Held => Kind::Held,
            State::Overdue => Kind::Overdue,
            State::Paused => Kind::Paused,
            State::Collected => Kind::Collected,
            State::Ready(Place(place)) => {
                self.links[0] = place;
                Kind::Ready
            }
            State::Running(since) => {
                self.set_began(since);
                Kind::Running
            }
            State::Dead(at) => {
                self.set_began(at);
                Kind::Dead
            }
            State::Fired(since, end) => {
                self.set_began(since);
                match end {
                    End::Done => Kind::Done,
                    End::Failed => Kind::Failed,
                    End::Panicked => Kind::Panicked,
                    End::Interrupted => Kind::Interrupted,
                    End::TimedOut => Kind::TimedOut,
                    End::Discarded => Kind::Discarded,
                    End::Cancelled => Kind::Cancelled,
                }
            }
        };
    }

    #[inline]
    fn began(&self) -> Timestamp {
        Timestamp::from_micros(Word(self.links).get().cast_signed())
    }

    #[inline]
    fn set_began(&mut self, began: Timestamp) {
        self.links = Word::new(began.as_micros().cast_unsigned()).0;
    }

    #[inline]
    fn has(&self, flag: u64) -> bool {
        self.rest.get() & flag != 0
    }

    #[inline]
    fn set(&mut self, flag: u64, is_set: bool) {
        let others = self.rest.get() & !flag;
        self.rest = Word::new(if is_set { others | flag } else { others });
    }
}

impl Linked for Line {
    #[inline]
    fn prev(&self) -> u32 {
        self.links[0]
    }

    #[inline]
    fn next(&self) -> u32 {
        self.links[1]
    }

    #[inline]
    fn is_marked(&self) -> bool {
        self.has(MARK)
    }

    #[inline]
    fn set_prev(&mut self, slot: u32) {
        self.links[0] = slot;
    }

    #[inline]
    fn set_next(&mut self, slot: u32) {
        self.links[1] = slot;
    }

    #[inline]
    fn set_marked(&mut self, is_marked: bool) {
        self.set(MARK, is_marked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobOptions;
    use crate::slab::entry_bytes;

    #[test]
    fn a_job_takes_a_cache_line() {
        assert_eq!(entry_bytes::<Line>(), 64);
    }

    #[test]
    fn a_line_keeps_what_it_is_given_apart() {
        let common = JobOptions::default().with_priority(Priority(255)).common();
        let due = JobDue::Mono(MonoTime::from_micros(u64::MAX));
        let (sequence, queue) = ((1 << 48) - 1, QueueId(QUEUES_MAX as u16 - 1));
        let mut line =
            Line::new(sequence, LineKey::of(b"key"), due, State::Held, queue, common, LineBlock::NONE);
        let at = Timestamp::from_micros(-7);
        let ends = [
            End::Done,
            End::Failed,
            End::Panicked,
            End::Interrupted,
            End::TimedOut,
            End::Discarded,
            End::Cancelled,
        ];
        let states = [
            State::Waiting,
            State::Held,
            State::Overdue,
            State::Paused,
            State::Collected,
            State::Ready(Place(u32::MAX)),
            State::Running(at),
            State::Dead(at),
        ];
        for state in states.into_iter().chain(ends.map(|end| State::Fired(at, end))) {
            line.set_state(state);
            assert_eq!(line.state(), state);
        }
        for attempt in [0, 1, 6, 7, 8, u16::MAX] {
            assert_eq!(line.set_attempt(attempt), attempt > 6);
            assert_eq!(line.attempt(), (attempt < 7).then_some(attempt));
        }
        line.set_has_far(true);
        line.set_marked(true);
        line.set_due(JobDue::Wall(Timestamp::from_micros(i64::MIN)));
        line.set_version(Version(u32::MAX));
        assert_eq!((line.sequence(), line.queue(), line.version()), (sequence, queue, Version(u32::MAX)));
        assert_eq!((line.priority(), line.key.short()), (Priority(255), Some(&b"key"[..])));
        assert!(line.has_far() && line.is_marked() && line.base() == TimeBase::Wall);
        assert_eq!(line.due(), JobDue::Wall(Timestamp::from_micros(i64::MIN)));
        line.set_has_far(false);
        line.set_marked(false);
        line.set_attempt(0);
        assert_eq!((line.sequence(), line.queue(), line.attempt()), (sequence, queue, Some(0)));
    }
}
