//! What lies beside the lines of jobs.
//!
//! - One block of bytes a job at most. In it are, one after the other, what the job has of: the instant at which it was due by the
//!   wall as it stood when it was scheduled, if it follows the monotonic clock; its key, if that is a long one; its payload. The line
//!   knows the number of the block and its length.
//! - Rare options, and attempts that a line cannot count, by slot.
//!
//! # Invariant
//! A line that says that it has something beside it, has; no other slot is in there.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::line::Line;
use crate::job::Rare;
use crate::partition::{TimeBase, Timestamp};
use crate::slab::ByteStore;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) bytes: ByteStore,
    /// By slot.
    pub(super) rare: HashMap<u32, Box<Rare>, FixedState>,
    /// By slot.
    attempts: HashMap<u32, u16, FixedState>,
}

/// Of the instant at the beginning of a block.
const INSTANT_BYTES: usize = 8;

/// In a line, for a block that is longer than it can say.
const LONG: u8 = u8::MAX;

impl Beside {
    pub(super) fn new() -> Self {
        Beside { bytes: ByteStore::new(), rare: HashMap::default(), attempts: HashMap::default() }
    }

    /// Stores what lies beside a line whose key and due are set. `false` if there is no room: it has nothing then.
    #[inline]
    pub(super) fn put(&mut self, line: &mut Line, wall: Timestamp, key: &[u8], payload: &[u8]) -> bool {
        let is_payload_alone = line.base() == TimeBase::Wall && !line.key.is_long();
        let len = instant_bytes(line) + line.key.bytes_beside() + payload.len();
        let number = if is_payload_alone {
            self.bytes.put(len, |block| block.copy_from_slice(payload))
        } else {
            self.bytes.put(len, |block| fill(block, line, wall, key, payload))
        };
        line.block = number.unwrap_or_default();
        line.block_len = match number {
            Some(_) if len > ByteStore::SMALL_MAX => LONG,
            Some(_) => len as u8,
            None => 0,
        };
        number.is_some()
    }

    /// All that lies in the block of a line.
    #[inline]
    fn block(&self, line: &Line) -> &[u8] {
        match line.block_len {
            LONG => self.bytes.large(line.block),
            len => self.bytes.bytes(line.block, usize::from(len)),
        }
    }

    #[inline]
    pub(super) fn payload(&self, line: &Line) -> &[u8] {
        let before = instant_bytes(line) + line.key.bytes_beside();
        self.block(line).get(before..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn key<'a>(&'a self, line: &'a Line) -> &'a [u8] {
        line.key.short().unwrap_or_else(|| self.long_key(line))
    }

    pub(super) fn long_key(&self, line: &Line) -> &[u8] {
        let before = instant_bytes(line);
        self.block(line).get(before..before + line.key.bytes_beside()).unwrap_or_default()
    }

    /// The instant at which a job that follows the monotonic clock was due, by the wall as it stood when that was said.
    pub(super) fn wall(&self, line: &Line) -> Timestamp {
        let instant = self.block(line).first_chunk().copied().unwrap_or_default();
        Timestamp::from_micros(i64::from_le_bytes(instant))
    }

    pub(super) fn set_wall(&mut self, line: &Line, wall: Timestamp) {
        let len = self.block(line).len();
        if let Some(instant) = self.bytes.bytes_mut(line.block, len).first_chunk_mut() {
            *instant = wall.as_micros().to_le_bytes();
        }
    }

    /// Frees the block of a line.
    #[inline]
    pub(super) fn remove(&mut self, line: &mut Line) {
        let len = match line.block_len {
            LONG => self.bytes.large(line.block).len(),
            len => usize::from(len),
        };
        self.bytes.remove(line.block, len);
        (line.block, line.block_len) = (0, 0);
    }

    #[inline]
    pub(super) fn prefetch(&self, line: &Line) {
        match line.block_len {
            LONG => self.bytes.prefetch(line.block, usize::MAX),
            len => self.bytes.prefetch(line.block, usize::from(len)),
        }
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

    #[cold]
    pub(super) fn remember_rare(&mut self, slot: u32, rare: Box<Rare>) {
        self.rare.insert(slot, rare);
    }

    /// Forgets what lies beside a line by its slot.
    #[inline]
    pub(super) fn forget(&mut self, slot: u32, line: &mut Line) {
        if line.has_rare() {
            self.forget_rare(slot);
            line.set_has_rare(false);
        }
        self.set_attempt(slot, line, 1);
    }

    #[cold]
    fn forget_rare(&mut self, slot: u32) {
        self.rare.remove(&slot);
        give_back(&mut self.rare);
    }

    /// Panics if `lines`, which are all, do not have beside them what they say.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate<'a>(&self, lines: impl Iterator<Item = (u32, &'a Line)>) {
        let (mut rare, mut attempts, mut blocks) = (0, 0, 0);
        for (slot, line) in lines {
            assert_eq!(line.has_rare(), self.rare.contains_key(&slot), "options of {line:?}");
            assert_eq!(line.attempt().is_none(), self.attempts.contains_key(&slot), "attempts of {line:?}");
            assert!(
                self.block(line).len() >= instant_bytes(line) + line.key.bytes_beside(),
                "block of {line:?}"
            );
            rare += usize::from(line.has_rare());
            attempts += usize::from(line.attempt().is_none());
            blocks += usize::from(line.block_len > 0);
        }
        assert_eq!((rare, attempts), (self.rare.len(), self.attempts.len()));
        assert_eq!(blocks, self.bytes.validate(), "blocks in use");
    }
}

/// Writes all that lies in the block of a line.
fn fill(block: &mut [u8], line: &Line, wall: Timestamp, key: &[u8], payload: &[u8]) {
    let wall = wall.as_micros().to_le_bytes();
    let parts = [&wall[..instant_bytes(line)], &key[..line.key.bytes_beside()], payload];
    let mut rest = block;
    for part in parts {
        let (to, after) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = after;
    }
}

#[inline]
fn instant_bytes(line: &Line) -> usize {
    if line.base() == TimeBase::Mono { INSTANT_BYTES } else { 0 }
}

/// Gives memory back once most of it is idle.
fn give_back<V>(map: &mut HashMap<u32, V, FixedState>) {
    if map.capacity() > 1024 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
