//! A table of values by generational index, in pages.
//!
//! It holds the timers of a wheel and the jobs of a partition: up to billions of values that come and go, found by a small
//! index that is refused once it is stale. Three things set it apart from a `Vec` with a free list:
//!
//! - **Growth never copies a value.** Values live in pages of a fixed number of entries; a full table opens one more.
//!   Only the directory of pages doubles, at about 64 bytes a page. The first pages are small, the others huge pages.
//! - **Memory comes back.** An empty page is given back. One empty page is kept, so that a table whose size moves around a
//!   page's edge does not allocate each time. Insertion takes the lowest page with room, so that the high pages run empty
//!   after a burst.
//! - **A generation is never used twice for a slot.** It grows when a value leaves. A page given back leaves a floor
//!   behind, above every generation it has used. A slot whose generations are used up is retired, and so is, once it
//!   is empty, a page with such a slot: the table gets a little smaller, a stale index is never honoured.
//!
//! A value's drop is the only foreign code that runs in here, and it may panic. So values are taken out first and dropped
//! last, by the caller or by [`Slab::clear`], when all invariants hold again.
//!
//! Invariants, checked by `validate`:
//! - an entry is occupied, or on its page's list of free ones, or retired; never two of these;
//! - `page.ceiling` is above the generation of every index ever handed out for the page;
//! - the bit of a page in `room` is set if and only if the page is open and can take a value;
//! - a page without memory is on the list of closed pages, unless it is retired.

mod block;
mod bytes;
mod layout;
mod page;
mod room;
#[cfg(test)]
mod tests;
#[cfg(any(test, fuzzing))]
mod validate;

use block::Block;
#[cfg(feature = "_bench")]
pub(crate) use block::mapped_bytes;
pub(crate) use bytes::ByteStore;
use layout::Layout;
use page::{Entry, Page};
use room::Room;

/// No page.
const NIL: u32 = u32::MAX;

/// Names a value of a [`Slab`] for as long as it is there, and nothing afterwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Index {
    /// Where the value lies: stable while it is there, reused afterwards. Never `u32::MAX`.
    pub(crate) slot: u32,
    /// Tells the value from earlier ones in the same slot.
    pub(crate) generation: u32,
}

/// A table of values by generational index. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Page<T>>,
    room: Room,
    /// First of the closed pages that may be opened again, linked through the pages.
    closed: u32,
    /// The one open page that is empty, if there is one.
    spare: u32,
    len: usize,
}

impl<T> Slab<T> {
    /// Values that a table can hold at once.
    pub(crate) const CAPACITY_MAX: usize = Layout::<T>::SLOTS_MAX as usize;

    pub(crate) fn new() -> Slab<T> {
        Slab { pages: Vec::new(), room: Room::default(), closed: NIL, spare: NIL, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    #[allow(dead_code, reason = "part of what a table is expected to answer")]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held for values and for the directory of pages, whether or not a value is in them.
    pub(crate) fn allocated_bytes(&self) -> usize {
        let values: usize = self.pages.iter().map(Page::allocated_bytes).sum();
        let directory = self.pages.capacity() * size_of::<Page<T>>();
        values + directory + self.room.allocated_bytes()
    }

    #[inline]
    pub(crate) fn get(&self, index: Index) -> Option<&T> {
        let (page, offset) = Layout::<T>::split(index.slot);
        self.pages.get(page)?.get(offset, index.generation)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: Index) -> Option<&mut T> {
        let (page, offset) = Layout::<T>::split(index.slot);
        self.pages.get_mut(page)?.get_mut(offset, index.generation)
    }

    #[inline]
    #[allow(dead_code, reason = "part of what a table is expected to answer")]
    pub(crate) fn contains(&self, index: Index) -> bool {
        self.get(index).is_some()
    }

    /// The value in a slot, whatever its generation: for links between values, which cannot be stale.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        let (page, offset) = Layout::<T>::split(slot);
        self.pages.get(page)?.at(offset)
    }

    /// Like [`at`](Self::at), to change the value.
    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, offset) = Layout::<T>::split(slot);
        self.pages.get_mut(page)?.at_mut(offset)
    }

    /// Like [`at_mut`](Self::at_mut), where the caller knows that a slot of the table holds a value. Checking that would wait for
    /// memory, and a caller who only writes need not wait.
    ///
    /// # Safety
    /// The slot must hold a value, or be none that [`insert`](Self::insert) has ever returned.
    #[allow(unsafe_code, reason = "measured to pay: see the slots of the wheel")]
    #[inline]
    pub(crate) unsafe fn known_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, offset) = Layout::<T>::split(slot);
        // SAFETY: as promised by the caller.
        unsafe { self.pages.get_mut(page)?.known_mut(offset) }
    }

    /// Fetches the memory of a slot ahead of its use.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        let (page, offset) = Layout::<T>::split(slot);
        if let Some(page) = self.pages.get(page) {
            page.prefetch(offset);
        }
    }

    /// The index of the value in a slot.
    #[inline]
    pub(crate) fn index_of(&self, slot: u32) -> Option<Index> {
        let (page, offset) = Layout::<T>::split(slot);
        let generation = self.pages.get(page)?.generation_at(offset)?;
        Some(Index { slot, generation })
    }

    /// Every value, by slot.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn iter(&self) -> Scan<'_, T> {
        self.scan(0, usize::MAX)
    }

    /// The values from slot `from` on, visiting at most `limit` slots, empty ones included. An empty page counts as one slot.
    /// [`Scan::cursor`] says where to go on, so a table can be walked in slices of bounded work. It may change between two
    /// slices; a value that stays in it throughout is visited exactly once.
    pub(crate) fn scan(&self, from: u32, limit: usize) -> Scan<'_, T> {
        Scan { pages: &self.pages, slot: from, limit }
    }

    /// Inserts a value; O(1). Gives it back if the table is full: see [`CAPACITY_MAX`](Self::CAPACITY_MAX).
    // If it is not inlined, the value goes through memory.
    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> Result<Index, T> {
        let Some(at) = self.page_with_room() else { return Err(value) };
        let page = &mut self.pages[at as usize];
        let (offset, generation) = page.insert(value);
        if !page.has_room() {
            self.room.unset(at as usize);
        }
        if self.spare == at {
            self.spare = NIL;
        }
        self.len += 1;
        Ok(Index { slot: Layout::<T>::first(at) + offset, generation })
    }

    /// Removes a value; O(1). `None` if it is no longer there.
    #[inline]
    pub(crate) fn remove(&mut self, index: Index) -> Option<T> {
        let (at, offset) = Layout::<T>::split(index.slot);
        let page = self.pages.get_mut(at)?;
        let had_room = page.has_room();
        let (_, value) = page.remove_if(offset, |generation| generation == index.generation)?;
        self.removed(at, had_room);
        Some(value)
    }

    /// Removes the value in a slot, whatever its generation; O(1).
    // If it is not inlined, the value goes through memory, and a burst fires at half the pace.
    #[inline(always)]
    pub(crate) fn take(&mut self, slot: u32) -> Option<(Index, T)> {
        let (at, offset) = Layout::<T>::split(slot);
        let page = self.pages.get_mut(at)?;
        let had_room = page.has_room();
        let (generation, value) = page.remove_if(offset, |_| true)?;
        self.removed(at, had_room);
        Some((Index { slot, generation }, value))
    }

    /// Drops every value and gives the memory back, but for the directory: about 64 bytes a page, which hold the
    /// floors that keep stale indices out. O(pages), and the drops. If a drop panics, the table is empty nevertheless.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.spare = NIL;
        // Dropped at the end, when no page holds anything any more.
        let mut blocks = Vec::with_capacity(self.pages.len());
        for at in 0..self.pages.len() as u32 {
            if self.pages[at as usize].is_open() {
                blocks.push(self.close(at));
            }
        }
    }

    /// Keeps count of a value that has left a page, which may have been full before.
    #[inline]
    fn removed(&mut self, at: usize, had_room: bool) {
        self.len -= 1;
        let page = &self.pages[at];
        if page.is_empty() {
            self.emptied(at as u32);
        } else if !had_room && page.has_room() {
            self.room.set(at);
        }
    }

    /// The lowest page with room, or one that is opened for it.
    #[inline]
    fn page_with_room(&mut self) -> Option<u32> {
        match self.room.first() {
            Some(at) => Some(at as u32),
            None => self.open(),
        }
    }

    /// Gives memory to a page: to one that was closed before, or to a new one.
    #[cold]
    fn open(&mut self) -> Option<u32> {
        let at = if self.closed != NIL {
            let at = self.closed;
            self.closed = self.pages[at as usize].reopen(Layout::<T>::entries(at));
            at
        } else {
            let at = self.pages.len() as u32;
            if at == Layout::<T>::PAGES_MAX {
                return None;
            }
            self.pages.push(Page::new(Layout::<T>::entries(at)));
            at
        };
        self.room.set(at as usize);
        Some(at)
    }

    /// Keeps the lower of two empty pages and gives back the other.
    #[cold]
    fn emptied(&mut self, at: u32) {
        if !self.pages[at as usize].has_room() {
            // All of its slots are retired, so keeping it would be useless.
            self.close(at);
            return;
        }
        self.room.set(at as usize);
        if self.spare == NIL {
            self.spare = at;
        } else {
            let high = self.spare.max(at);
            self.spare = self.spare.min(at);
            self.close(high);
        }
    }

    /// Takes the memory of a page, for the caller to drop when the table is in order.
    fn close(&mut self, at: u32) -> Block<Entry<T>> {
        self.room.unset(at as usize);
        let (block, may_reopen) = self.pages[at as usize].close(self.closed);
        if may_reopen {
            self.closed = at;
        }
        block
    }
}

/// The values of a [`Slab`] from a slot on. See [`Slab::scan`].
#[derive(Debug)]
pub(crate) struct Scan<'a, T> {
    pages: &'a [Page<T>],
    slot: u32,
    limit: usize,
}

impl<T> Scan<'_, T> {
    /// The slot to go on from; `None` when all have been seen.
    pub(crate) fn cursor(&self) -> Option<u32> {
        (Layout::<T>::split(self.slot).0 < self.pages.len()).then_some(self.slot)
    }
}

impl<'a, T> Iterator for Scan<'a, T> {
    type Item = (Index, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        while self.limit > 0 {
            let (at, offset) = Layout::<T>::split(self.slot);
            let page = self.pages.get(at)?;
            self.limit -= 1;
            if page.is_empty() || offset >= page.touched() {
                // Nothing more in this page. There are fewer than `u32::MAX` slots, so this stays in range.
                self.slot = Layout::<T>::first(at as u32 + 1);
                continue;
            }
            let slot = self.slot;
            self.slot += 1;
            if let (Some(generation), Some(value)) = (page.generation_at(offset), page.at(offset)) {
                return Some((Index { slot, generation }, value));
            }
        }
        None
    }
}

/// Bytes that a value takes in a table.
#[cfg(test)]
pub(crate) fn entry_bytes<T>() -> usize {
    size_of::<page::Entry<T>>()
}
