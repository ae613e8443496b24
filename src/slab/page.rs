//! One page of a slab: a fixed number of entries, their generations and their free list.
//!
//! Entries are written when they are first used, not when the page is opened: opening a page costs one allocation,
//! and its memory is touched little by little.

use std::mem;

use super::block::Block;

/// The last generation of a slot. Low in tests, so that tests see slots and pages retire.
pub(super) const GENERATION_MAX: u32 = if cfg!(any(test, fuzzing)) { 255 } else { u32::MAX - 1 };

/// The generation of a slot that has used up all others; no index has it.
pub(super) const RETIRED: u32 = GENERATION_MAX + 1;

#[derive(Debug)]
pub(super) struct Page<T> {
    /// No capacity while the page is closed.
    pub(super) entries: Block<Entry<T>>,
    /// While the page is closed: the next closed page.
    next_closed: u32,
    /// Generation of an entry that has not been used since the page was opened.
    pub(super) floor: u32,
    /// Above every generation used so far.
    pub(super) ceiling: u32,
    /// Of the entries that have been used and are free. Not in them: to take one would wait for its memory, and to free one would
    /// too.
    pub(super) free: Vec<u32>,
    pub(super) live: u32,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    /// Of the value in this entry, or of the next one if it is empty.
    pub(super) generation: u32,
    pub(super) state: State<T>,
}

#[derive(Debug)]
pub(super) enum State<T> {
    Vacant,
    Occupied(T),
}

impl<T> Page<T> {
    pub(super) fn new(capacity: u32) -> Page<T> {
        let entries = Block::with_capacity(capacity);
        Page { entries, next_closed: u32::MAX, floor: 0, ceiling: 0, free: Vec::new(), live: 0 }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.entries.capacity() != 0
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether an open page can take a value.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.entries.len() < self.entries.capacity()
    }

    /// Entries that have been used since the page was opened: the first ones.
    #[inline]
    pub(super) fn touched(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>() + self.free.capacity() * size_of::<u32>()
    }

    #[inline]
    pub(super) fn get(&self, offset: usize, generation: u32) -> Option<&T> {
        match self.entries.get(offset)? {
            Entry { generation: own, state: State::Occupied(value) } if *own == generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, offset: usize, generation: u32) -> Option<&mut T> {
        match self.entries.get_mut(offset)? {
            Entry { generation: own, state: State::Occupied(value) } if *own == generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn at(&self, offset: usize) -> Option<&T> {
        match &self.entries.get(offset)?.state {
            State::Occupied(value) => Some(value),
            State::Vacant => None,
        }
    }

    #[inline]
    pub(super) fn at_mut(&mut self, offset: usize) -> Option<&mut T> {
        match &mut self.entries.get_mut(offset)?.state {
            State::Occupied(value) => Some(value),
            State::Vacant => None,
        }
    }

    /// Like [`at_mut`](Self::at_mut), without checking that there is a value.
    ///
    /// # Safety
    /// There must be one at `offset`, unless nothing has been there since the page was opened.
    #[allow(unsafe_code, reason = "measured to pay: see the slots of the wheel")]
    #[inline]
    pub(super) unsafe fn known_mut(&mut self, offset: usize) -> Option<&mut T> {
        match &mut self.entries.get_mut(offset)?.state {
            State::Occupied(value) => Some(value),
            State::Vacant => {
                debug_assert!(false, "no value at {offset}");
                // SAFETY: the caller promises that this is not so.
                unsafe { std::hint::unreachable_unchecked() }
            }
        }
    }

    #[inline]
    pub(super) fn prefetch(&self, offset: usize) {
        self.entries.prefetch(offset);
    }

    /// The generation of the value at `offset`, if there is one.
    #[inline]
    pub(super) fn generation_at(&self, offset: usize) -> Option<u32> {
        match self.entries.get(offset)? {
            Entry { generation, state: State::Occupied(_) } => Some(*generation),
            _ => None,
        }
    }

    /// Inserts a value and returns its place. The page must have room.
    #[inline]
    pub(super) fn insert(&mut self, value: T) -> (u32, u32) {
        debug_assert!(self.has_room());
        let free = self.free.pop();
        let (offset, generation) =
            match free.and_then(|offset| Some((offset, self.entries.get_mut(offset as usize)?))) {
                Some((offset, entry)) => {
                    let before = mem::replace(&mut entry.state, State::Occupied(value));
                    debug_assert!(matches!(before, State::Vacant));
                    // There is nothing to drop, and looking would wait for memory.
                    mem::forget(before);
                    let generation = entry.generation;
                    if let Some(&next) = self.free.last() {
                        self.entries.prefetch(next as usize);
                    }
                    (offset, generation)
                }
                None => {
                    let offset = self.entries.len() as u32;
                    self.entries.push(Entry { generation: self.floor, state: State::Occupied(value) });
                    (offset, self.floor)
                }
            };
        self.ceiling = self.ceiling.max(generation + 1);
        self.live += 1;
        (offset, generation)
    }

    /// Takes a value out if its generation `is_meant`, and retires its slot if that was the last one.
    #[inline]
    pub(super) fn remove_if(
        &mut self,
        offset: usize,
        is_meant: impl FnOnce(u32) -> bool,
    ) -> Option<(u32, T)> {
        let entry = self.entries.get_mut(offset)?;
        let generation = entry.generation;
        if !is_meant(generation) {
            return None;
        }
        match mem::replace(&mut entry.state, State::Vacant) {
            State::Occupied(value) => {
                entry.generation += 1;
                if entry.generation != RETIRED {
                    self.free.push(offset as u32);
                }
                self.live -= 1;
                Some((generation, value))
            }
            vacant => {
                entry.state = vacant;
                None
            }
        }
    }

    /// Gives up the memory with everything in it: the caller drops it once everything else is in order, because a value's
    /// drop may panic. `true` if the page may be opened again, and is now linked before `next_closed`; `false` if it is
    /// retired.
    pub(super) fn close(&mut self, next_closed: u32) -> (Block<Entry<T>>, bool) {
        self.live = 0;
        self.free = Vec::new();
        self.floor = self.ceiling;
        self.next_closed = next_closed;
        (mem::replace(&mut self.entries, Block::EMPTY), self.floor != RETIRED)
    }

    /// Takes memory again. Returns the closed page that was linked after this one.
    pub(super) fn reopen(&mut self, capacity: u32) -> u32 {
        self.entries = Block::with_capacity(capacity);
        mem::replace(&mut self.next_closed, u32::MAX)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn next_closed(&self) -> u32 {
        self.next_closed
    }
}
