//! Bytes by size: what jobs carry, in blocks of a few sizes.
//!
//! A table of its own beside the allocator, for three reasons. What is free is known *beside* the blocks, so that to free one
//! touches no memory that no cache holds. A block is named by four bytes. And blocks lie in huge pages.
//!
//! - The length of what is stored says its class: multiples of 16 bytes, from 32 to 240. The caller keeps it, and tells it again.
//!   What is longer is an allocation of its own.
//! - A class has pages of blocks, the first ones small, the others of a huge page each. The lowest page with room is used first,
//!   and an empty page is given back but for one, so that memory comes back after a burst.
//!
//! Invariants, checked by `validate`: a block of an open page is in use, or on the page's list of free ones, or has not been used
//! yet; the bit of a page in `room` is set if and only if it is open and has a free block.

use super::Slab;
use super::block::{Block, HUGE, LINE};
use super::room::Room;

/// Blocks are multiples of this.
const UNIT: usize = 16;

/// Units of the smallest block, and of the largest.
const UNITS_MIN: usize = 2;
const UNITS_MAX: usize = 15;

const CLASSES: usize = UNITS_MAX - UNITS_MIN + 1;

/// Low bits of a number: a block's place in its page.
const OFFSET_BITS: u32 = 16;

/// Blocks of a small page, and how many pages are small. Few in tests, so that small stores cross many pages.
const SMALL: usize = if cfg!(any(test, fuzzing)) { 4 } else { 256 };
const SMALL_PAGES: usize = if cfg!(any(test, fuzzing)) { 4 } else { 64 };

/// Blocks of the other pages, at most.
const LARGE_MAX: usize = if cfg!(any(test, fuzzing)) { 64 } else { 1 << OFFSET_BITS };

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct ByteStore {
    classes: [Class; CLASSES],
    large: Slab<Box<[u8]>>,
}

/// What `len` bytes take.
#[derive(Clone, Copy)]
enum Size {
    None,
    Class(usize),
    Large,
}

impl Size {
    #[inline]
    fn of(len: usize) -> Size {
        match len.div_ceil(UNIT) {
            0 => Size::None,
            units @ 1..=UNITS_MAX => Size::Class(units.saturating_sub(UNITS_MIN)),
            _ => Size::Large,
        }
    }
}

impl ByteStore {
    /// The longest of which many share a page.
    pub(crate) const SMALL_MAX: usize = UNITS_MAX * UNIT;

    pub(crate) fn new() -> ByteStore {
        let class = |at| Class { units: at + UNITS_MIN, ..Class::default() };
        ByteStore { classes: std::array::from_fn(class), large: Slab::new() }
    }

    /// Stores `len` bytes, which `fill` writes over others. Returns the number to find them by, together with their length; `None`
    /// if there is no number left. Nothing takes no memory, and has number 0.
    #[inline]
    pub(crate) fn put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Option<u32> {
        match Size::of(len) {
            Size::None => Some(0),
            Size::Class(at) => {
                let (number, block) = self.classes[at].take()?;
                fill(block.get_mut(..len)?);
                Some(number)
            }
            Size::Large => {
                let mut bytes = vec![0; len];
                fill(&mut bytes);
                self.large.insert(bytes.into()).ok().map(|index| index.slot)
            }
        }
    }

    /// The `len` bytes that were stored under `number`; none if there are no such bytes.
    #[inline]
    pub(crate) fn bytes(&self, number: u32, len: usize) -> &[u8] {
        let found = match Size::of(len) {
            Size::None => Some(&[][..]),
            Size::Class(at) => self.classes[at].block(number).and_then(|block| block.get(..len)),
            Size::Large => self.large.at(number).map(|bytes| &**bytes),
        };
        debug_assert!(found.is_some_and(|bytes| bytes.len() == len), "{len} bytes as number {number}");
        found.unwrap_or_default()
    }

    /// As [`bytes`](Self::bytes), of some longer than [`SMALL_MAX`](Self::SMALL_MAX), however long they are.
    #[inline]
    pub(crate) fn large(&self, number: u32) -> &[u8] {
        let found = self.large.at(number);
        debug_assert!(found.is_some(), "no large bytes are number {number}");
        found.map_or(&[], |bytes| bytes)
    }

    /// To change bytes that stay as long as they are.
    pub(crate) fn bytes_mut(&mut self, number: u32, len: usize) -> &mut [u8] {
        let found = match Size::of(len) {
            Size::None => None,
            Size::Class(at) => self.classes[at].block_mut(number).and_then(|block| block.get_mut(..len)),
            Size::Large => self.large.at_mut(number).map(|bytes| &mut **bytes),
        };
        found.unwrap_or_default()
    }

    /// Frees what [`put`](Self::put) has stored.
    #[inline]
    pub(crate) fn remove(&mut self, number: u32, len: usize) {
        match Size::of(len) {
            Size::None => {}
            Size::Class(at) => self.classes[at].give(number),
            Size::Large => drop(self.large.take(number)),
        }
    }

    /// Has the processor fetch bytes.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32, len: usize) {
        match Size::of(len) {
            Size::None => {}
            Size::Class(at) => self.classes[at].prefetch(number),
            Size::Large => self.large.prefetch(number),
        }
    }

    /// Bytes held, whether or not something is in them.
    #[cfg(test)]
    pub(crate) fn allocated_bytes(&self) -> usize {
        let large: usize = self.large.iter().map(|(_, bytes)| bytes.len()).sum();
        self.classes.iter().map(Class::allocated_bytes).sum::<usize>() + self.large.allocated_bytes() + large
    }

    /// Panics if an invariant is broken. Returns how many blocks are in use.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) -> usize {
        self.classes.iter().map(Class::validate).sum::<usize>() + self.large.len()
    }
}

/// The blocks of one size.
#[derive(Debug, Default)]
struct Class {
    /// Of a block.
    units: usize,
    pages: Vec<Page>,
    room: Room,
    /// Pages that were given back.
    closed: Vec<u32>,
    /// The one open page that is empty, if there is one.
    spare: Option<u32>,
}

#[derive(Debug)]
struct Page {
    /// Those that have been used since the page was opened. No capacity while it is closed.
    units: Block<[u8; UNIT]>,
    /// Places of blocks that have been used and are free.
    free: Vec<u16>,
    live: usize,
}

impl Class {
    /// A free block, with its number.
    #[inline]
    fn take(&mut self) -> Option<(u32, &mut [u8])> {
        let at = match self.room.first() {
            Some(at) => at,
            None => self.open()?,
        };
        if self.spare == Some(at as u32) {
            self.spare = None;
        }
        let (units, page) = (self.units, &mut self.pages[at]);
        let offset = match page.free.pop() {
            Some(offset) => usize::from(offset),
            None => page.extend(units),
        };
        page.live += 1;
        if !page.has_room(units) {
            self.room.unset(at);
        }
        // The next one is written soon, and may be in no cache.
        if let Some(next) = self.pages[at].free.last().map(|&next| usize::from(next) * units) {
            for unit in (next..next + units).step_by(LINE / UNIT) {
                self.pages[at].units.prefetch(unit);
            }
        }
        let number = (at as u32) << OFFSET_BITS | offset as u32;
        let block = self.pages[at].units.get_mut(offset * units..(offset + 1) * units)?;
        Some((number, block.as_flattened_mut()))
    }

    #[inline]
    fn give(&mut self, number: u32) {
        let (at, offset) = Self::split(number);
        let units = self.units;
        let Some(page) = self.pages.get_mut(at) else { return };
        debug_assert!(page.live > 0 && (offset + 1) * units <= page.units.len(), "{number} is in use");
        let had_room = page.has_room(units);
        page.free.push(offset as u16);
        page.live -= 1;
        if page.live == 0 {
            self.emptied(at as u32);
        } else if !had_room {
            self.room.set(at);
        }
    }

    #[inline]
    fn block(&self, number: u32) -> Option<&[u8]> {
        let (at, offset) = Self::split(number);
        let units = self.pages.get(at)?.units.get(offset * self.units..(offset + 1) * self.units)?;
        Some(units.as_flattened())
    }

    fn block_mut(&mut self, number: u32) -> Option<&mut [u8]> {
        let (at, offset) = Self::split(number);
        let units = self.pages.get_mut(at)?.units.get_mut(offset * self.units..(offset + 1) * self.units)?;
        Some(units.as_flattened_mut())
    }

    #[inline]
    fn prefetch(&self, number: u32) {
        if let Some(block) = self.block(number) {
            for line in block.chunks(64) {
                crate::prefetch::prefetch(line.as_ptr());
            }
        }
    }

    #[inline]
    fn split(number: u32) -> (usize, usize) {
        ((number >> OFFSET_BITS) as usize, (number % (1 << OFFSET_BITS)) as usize)
    }

    /// Gives memory to a page: to one that was given back before, or to a new one.
    #[cold]
    fn open(&mut self) -> Option<usize> {
        let at = match self.closed.pop() {
            Some(at) => at as usize,
            None => {
                let at = self.pages.len();
                if at > usize::from(u16::MAX) {
                    return None;
                }
                self.pages.push(Page { units: Block::EMPTY, free: Vec::new(), live: 0 });
                at
            }
        };
        self.pages[at].units = Block::with_capacity(self.capacity(at) as u32);
        self.room.set(at);
        Some(at)
    }

    /// Units of a page: as many as make whole blocks.
    fn capacity(&self, at: usize) -> usize {
        let blocks = if at < SMALL_PAGES { SMALL } else { (HUGE / UNIT / self.units).min(LARGE_MAX) };
        blocks * self.units
    }

    /// Keeps the lower of two empty pages and gives back the other.
    #[cold]
    fn emptied(&mut self, at: u32) {
        self.room.set(at as usize);
        let high = match self.spare {
            None => {
                self.spare = Some(at);
                return;
            }
            Some(spare) => {
                self.spare = Some(spare.min(at));
                spare.max(at)
            }
        };
        self.room.unset(high as usize);
        self.pages[high as usize] = Page { units: Block::EMPTY, free: Vec::new(), live: 0 };
        self.closed.push(high);
    }

    #[cfg(test)]
    fn allocated_bytes(&self) -> usize {
        let pages = self.pages.iter().map(|page| page.units.capacity() * UNIT + page.free.capacity() * 2);
        pages.sum::<usize>() + self.pages.capacity() * size_of::<Page>() + self.room.allocated_bytes()
    }

    #[cfg(any(test, fuzzing))]
    fn validate(&self) -> usize {
        self.room.validate();
        for (at, page) in self.pages.iter().enumerate() {
            let used = page.units.len() / self.units;
            assert_eq!(used, page.live + page.free.len(), "blocks of page {at}");
            let free: std::collections::HashSet<_> = page.free.iter().collect();
            assert!(free.len() == page.free.len() && free.iter().all(|&&offset| usize::from(offset) < used));
            assert_eq!(self.room.has(at), page.has_room(self.units), "room in page {at}");
            assert_eq!(self.closed.contains(&(at as u32)), page.units.capacity() == 0);
            let is_empty = page.units.capacity() > 0 && page.live == 0;
            assert!(
                !is_empty || self.spare == Some(at as u32) || used == 0,
                "page {at} is kept though empty"
            );
        }
        self.pages.iter().map(|page| page.live).sum()
    }
}

impl Page {
    #[inline]
    fn has_room(&self, units: usize) -> bool {
        !self.free.is_empty() || self.units.len() + units <= self.units.capacity()
    }

    /// Begins to use a block that was not used yet. Returns its place.
    fn extend(&mut self, units: usize) -> usize {
        let offset = self.units.len() / units;
        for _ in 0..units {
            self.units.push([0; UNIT]);
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: usize, len: usize) -> Vec<u8> {
        (0..len).map(|at| (seed * 31 + at) as u8).collect()
    }

    fn put(store: &mut ByteStore, bytes: &[u8]) -> u32 {
        store.put(bytes.len(), |block| block.copy_from_slice(bytes)).unwrap()
    }

    #[test]
    fn what_was_stored_is_found_until_it_is_removed() {
        let mut store = ByteStore::new();
        let mut stored: Vec<(u32, usize, usize)> = Vec::new();
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % below as u64) as usize
        };
        for seed in 0..20_000 {
            if random(100) < 55 {
                let len = if random(10) == 0 { random(2_000) } else { random(260) };
                let number = put(&mut store, &bytes(seed, len));
                stored.push((number, seed, len));
            } else if !stored.is_empty() {
                let (number, seed, len) = stored.swap_remove(random(stored.len()));
                assert_eq!(store.bytes(number, len), bytes(seed, len));
                if len > ByteStore::SMALL_MAX {
                    assert_eq!(store.large(number), bytes(seed, len));
                }
                store.remove(number, len);
            }
            if seed % 500 == 0 {
                assert_eq!(store.validate(), stored.iter().filter(|(_, _, len)| *len > 0).count());
            }
        }
        for (number, seed, len) in stored {
            assert_eq!(store.bytes(number, len), bytes(seed, len));
        }
    }

    #[test]
    fn bytes_can_be_changed_where_they_are() {
        let mut store = ByteStore::new();
        for len in [1, 16, 33, 240, 241, 5_000] {
            let number = put(&mut store, &bytes(1, len));
            store.bytes_mut(number, len).copy_from_slice(&bytes(2, len));
            assert_eq!(store.bytes(number, len), bytes(2, len));
        }
        assert!(store.bytes(0, 0).is_empty() && store.bytes_mut(0, 0).is_empty());
    }

    /// Bug 13 of the field notes.
    #[test]
    fn memory_comes_back_after_a_burst() {
        let mut store = ByteStore::new();
        for len in [1, 64, 200, 1_000] {
            let before = store.allocated_bytes();
            let numbers: Vec<u32> = (0..10_000).map(|n| put(&mut store, &bytes(n, len))).collect();
            let full = store.allocated_bytes();
            assert!(full - before >= 10_000 * len);
            for (n, number) in numbers.into_iter().enumerate() {
                assert_eq!(store.bytes(number, len), bytes(n, len));
                store.remove(number, len);
            }
            let after = store.allocated_bytes();
            assert!(after - before < (full - before) / 4, "{before}, then {full}, then {after}");
            assert_eq!(store.validate(), 0);
        }
    }

    #[test]
    fn one_that_comes_and_goes_allocates_once() {
        let mut store = ByteStore::new();
        let first = put(&mut store, b"once");
        store.remove(first, 4);
        let allocated = store.allocated_bytes();
        for _ in 0..100 {
            let number = put(&mut store, b"more");
            assert_eq!(number, first);
            store.remove(number, 4);
        }
        assert_eq!(store.allocated_bytes(), allocated);
    }
}
