//! What lies beside the lines of jobs.
//!
//! - One block of bytes a job at most. In it are, one after the other, what the job has of: the instant at which it was due by the
//!   wall as it stood when it was scheduled, if it follows the monotonic clock; its key, if that is a long one; its payload. The line
//!   knows the number of the block and its length.
//! - What few jobs have ([`Far`]), and attempts that a line cannot count, by slot.
//!
//! # Invariant
//! A line that says that it has something beside it, has; no other slot is in there.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::key::LineKey;
use super::line::{Line, LineBlock};
use super::tags::TagIndex;
use crate::job::{History, Rare, Tags};
use crate::partition::{TimeBase, Timestamp};
use crate::slab::ByteStore;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) bytes: ByteStore,
    /// By slot.
    pub(super) far: HashMap<u32, Far, FixedState>,
    /// Of those in `far`.
    pub(super) tags: TagIndex,
    /// By slot.
    attempts: HashMap<u32, u16, FixedState>,
}

/// What few jobs have: rare options, and a history.
#[derive(Debug, Default)]
pub(super) struct Far {
    pub(super) rare: Option<Box<Rare>>,
    pub(super) history: Option<Box<History>>,
}

impl Far {
    pub(super) fn tags(&self) -> Option<&Tags> {
        self.rare.as_deref()?.tags()
    }
}

/// Of the instant at the beginning of a block.
const INSTANT_BYTES: usize = 8;

/// In a line, for a block that is longer than it can say.
const LONG: u8 = u8::MAX;

impl Beside {
    pub(super) fn new() -> Self {
        let (far, attempts) = (HashMap::default(), HashMap::default());
        Beside { bytes: ByteStore::new(), far, tags: TagIndex::default(), attempts }
    }

    /// Stores what lies beside a line with this key and base: see [`Line::block`]. `None` if there is no room.
    #[inline]
    pub(super) fn put(
        &mut self,
        key: LineKey,
        base: TimeBase,
        wall: Timestamp,
        text: &[u8],
        payload: &[u8],
    ) -> Option<LineBlock> {
        let len = instant_bytes(base) + key.bytes_beside() + payload.len();
        let number = if len == payload.len() {
            self.bytes.put(len, |block| block.copy_from_slice(payload))?
        } else {
            self.bytes.put(len, |block| fill(block, key, base, wall, text, payload))?
        };
        let len = if len > ByteStore::SMALL_MAX { LONG } else { len as u8 };
        Some(LineBlock { number, len })
    }

    /// Stores what lies beside a line whose block was freed just now.
    pub(super) fn put_anew(&mut self, line: &mut Line, wall: Timestamp, text: &[u8], payload: &[u8]) {
        let block = self.put(line.key, line.base(), wall, text, payload);
        debug_assert!(block.is_some(), "about as many bytes have just been freed");
        line.set_block(block.unwrap_or(LineBlock::NONE));
    }

    /// All that lies in the block of a line.
    #[inline]
    fn block(&self, line: &Line) -> &[u8] {
        match line.block().len {
            LONG => self.bytes.large(line.block().number),
            len => self.bytes.bytes(line.block().number, usize::from(len)),
        }
    }

    #[inline]
    pub(super) fn payload(&self, line: &Line) -> &[u8] {
        let before = instant_bytes(line.base()) + line.key.bytes_beside();
        self.block(line).get(before..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn key<'a>(&'a self, line: &'a Line) -> &'a [u8] {
        line.key.short().unwrap_or_else(|| self.long_key(line))
    }

    pub(super) fn long_key(&self, line: &Line) -> &[u8] {
        let before = instant_bytes(line.base());
        self.block(line).get(before..before + line.key.bytes_beside()).unwrap_or_default()
    }

    /// The instant at which a job that follows the monotonic clock was due, by the wall as it stood when that was said.
    pub(super) fn wall(&self, line: &Line) -> Timestamp {
        let instant = self.block(line).first_chunk().copied().unwrap_or_default();
        Timestamp::from_micros(i64::from_le_bytes(instant))
    }

    pub(super) fn set_wall(&mut self, line: &Line, wall: Timestamp) {
        let len = self.block(line).len();
        if let Some(instant) = self.bytes.bytes_mut(line.block().number, len).first_chunk_mut() {
            *instant = wall.as_micros().to_le_bytes();
        }
    }

    /// Frees the block of a line.
    #[inline]
    pub(super) fn remove(&mut self, line: &mut Line) {
        let LineBlock { number, len } = line.block();
        let len = if len == LONG { self.bytes.large(number).len() } else { usize::from(len) };
        self.bytes.remove(number, len);
        line.set_block(LineBlock::NONE);
    }

    #[inline]
    pub(super) fn prefetch(&self, line: &Line) {
        let LineBlock { number, len } = line.block();
        self.bytes.prefetch(number, if len == LONG { usize::MAX } else { usize::from(len) });
    }

    #[cold]
    pub(super) fn attempt(&self, slot: u32) -> u16 {
        self.attempts.get(&slot).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn set_attempt(&mut self, slot: u32, line: &mut Line, attempt: u16) {
        let was_beside = line.attempt().is_none();
        if line.set_attempt(attempt) || was_beside {
            self.set_attempt_beside(slot, line, attempt);
        }
    }

    #[cold]
    fn set_attempt_beside(&mut self, slot: u32, line: &Line, attempt: u16) {
        match line.attempt() {
            None => drop(self.attempts.insert(slot, attempt)),
            Some(_) => drop(self.attempts.remove(&slot)),
        }
        give_back(&mut self.attempts);
    }

    /// Forgets what lies beside a line by its slot.
    #[inline]
    pub(super) fn forget(&mut self, slot: u32, line: &mut Line) {
        if line.has_far() {
            self.forget_far(slot);
            line.set_has_far(false);
        }
        self.set_attempt(slot, line, 1);
    }

    #[cold]
    fn forget_far(&mut self, slot: u32) {
        let far = self.far.remove(&slot);
        if let Some(tags) = far.as_ref().and_then(Far::tags) {
            self.tags.remove(tags, slot);
        }
        give_back(&mut self.far);
    }

    /// Panics if `lines`, which are all, do not have beside them what they say.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate<'a>(&self, lines: impl Iterator<Item = (u32, &'a Line)>) {
        let (mut far, mut attempts, mut blocks) = (0, 0, 0);
        for (slot, line) in lines {
            assert_eq!(line.has_far(), self.far.contains_key(&slot), "what {line:?} has far away");
            assert_eq!(line.attempt().is_none(), self.attempts.contains_key(&slot), "attempts of {line:?}");
            assert!(
                self.block(line).len() >= instant_bytes(line.base()) + line.key.bytes_beside(),
                "block of {line:?}"
            );
            far += usize::from(line.has_far());
            attempts += usize::from(line.attempt().is_none());
            blocks += usize::from(line.block().len > 0);
        }
        self.tags.validate(self.far.iter().filter_map(|(&slot, far)| Some((slot, far.tags()?))));
        assert_eq!((far, attempts), (self.far.len(), self.attempts.len()));
        assert_eq!(blocks, self.bytes.validate(), "blocks in use");
    }
}

/// Writes all that lies in a block.
fn fill(block: &mut [u8], key: LineKey, base: TimeBase, wall: Timestamp, text: &[u8], payload: &[u8]) {
    let wall = wall.as_micros().to_le_bytes();
    let parts = [&wall[..instant_bytes(base)], &text[..key.bytes_beside()], payload];
    let mut rest = block;
    for part in parts {
        let (to, after) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = after;
    }
}

#[inline]
fn instant_bytes(base: TimeBase) -> usize {
    if base == TimeBase::Mono { INSTANT_BYTES } else { 0 }
}

/// Gives memory back once most of it is idle.
fn give_back<V>(map: &mut HashMap<u32, V, FixedState>) {
    if map.capacity() > 1024 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
