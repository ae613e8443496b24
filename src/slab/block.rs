//! Memory for the entries of a page: a vector that never grows beyond what it was made for, so that it never moves.
//!
//! A large one is mapped by itself, at a huge page's boundary, and asks for a huge page: what lies scattered over
//! hundreds of megabytes is then found in less than half the time. And it goes back to the system when it is dropped:
//! an allocator would collect what is freed and give it back all at once, in one long pause.

#![allow(unsafe_code, reason = "there is no safe way to allocate aligned memory that lives on its own")]

use crate::prefetch::prefetch;
use std::alloc::{self, Layout};
use std::marker::PhantomData;
use std::mem::needs_drop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

/// Bytes of a huge page, and from how many on a block is mapped.
pub(super) const HUGE: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Block<E> {
    /// Dangling while `capacity` is 0.
    start: NonNull<E>,
    /// How many entries, from the first, are initialised.
    len: u32,
    capacity: u32,
    owns: PhantomData<E>,
}

// SAFETY: a block owns its entries, as a vector does, and shares nothing.
unsafe impl<E: Send> Send for Block<E> {}
// SAFETY: through a shared block its entries can only be read.
unsafe impl<E: Sync> Sync for Block<E> {}

impl<E> Block<E> {
    /// No memory and no room.
    pub(super) const EMPTY: Block<E> =
        Block { start: NonNull::dangling(), len: 0, capacity: 0, owns: PhantomData };

    /// Room for `capacity` entries, none of them initialised.
    pub(super) fn with_capacity(capacity: u32) -> Block<E> {
        const { assert!(size_of::<E>() > 0 && align_of::<E>() <= HUGE) };
        if capacity == 0 {
            return Block::EMPTY;
        }
        let start = allocate(layout::<E>(capacity)).cast();
        Block { start, len: 0, capacity, owns: PhantomData }
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Adds an entry at the end.
    ///
    /// # Panics
    /// If there is no room: the caller counts.
    #[inline]
    pub(super) fn push(&mut self, entry: E) {
        assert!(self.len < self.capacity, "a block never grows");
        // SAFETY: the place is within the allocation, and nothing is there yet.
        unsafe { self.start.as_ptr().add(self.len as usize).write(entry) };
        self.len += 1;
    }

    /// Fetches the memory of an entry ahead of its use: all cache lines that it touches.
    #[inline]
    pub(super) fn prefetch(&self, at: usize) {
        if let Some(entry) = self.get(at) {
            let first = ptr::from_ref(entry).cast::<u8>();
            for ahead in (0..size_of::<E>()).step_by(LINE) {
                prefetch(first.wrapping_add(ahead));
            }
        }
    }
}

impl<E> Deref for Block<E> {
    type Target = [E];

    #[inline]
    fn deref(&self) -> &[E] {
        // SAFETY: the first `len` are initialised, and borrowed with the block.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl<E> DerefMut for Block<E> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len as usize) }
    }
}

impl<E> Drop for Block<E> {
    fn drop(&mut self) {
        /// Frees also if an entry's own drop panics.
        struct Memory(NonNull<u8>, Layout);
        impl Drop for Memory {
            fn drop(&mut self) {
                // SAFETY: it was allocated with this layout, and the block that is being dropped is its owner.
                unsafe { free(self.0, self.1) };
            }
        }
        if self.capacity == 0 {
            return;
        }
        let _memory = Memory(self.start.cast(), layout::<E>(self.capacity));
        if needs_drop::<E>() {
            // SAFETY: the first `len` are initialised, and nothing sees them again.
            unsafe { ptr::drop_in_place(&raw mut **self) };
        }
    }
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

fn layout<E>(capacity: u32) -> Layout {
    // Entries that fill whole lines do not straddle them.
    let align = if size_of::<E>().is_multiple_of(LINE) { LINE } else { align_of::<E>() };
    match Layout::array::<E>(capacity as usize).and_then(|layout| layout.align_to(align)) {
        Ok(layout) => layout,
        Err(_) => panic!("a block is larger than the address space"),
    }
}

/// Whether memory of this layout is mapped by itself.
fn is_mapped(layout: Layout) -> bool {
    // Only a block that fills a huge page as far as its entries can: otherwise the rest would be wasted.
    cfg!(all(target_os = "linux", not(miri))) && layout.size() > HUGE - HUGE / 64 && layout.size() <= HUGE
}

fn allocate(layout: Layout) -> NonNull<u8> {
    #[cfg(all(target_os = "linux", not(miri)))]
    if is_mapped(layout) {
        return mapped::allocate().unwrap_or_else(|| alloc::handle_alloc_error(layout));
    }
    debug_assert!(!is_mapped(layout));
    // SAFETY: the size is not zero: neither the capacity nor the size of an entry is.
    NonNull::new(unsafe { alloc::alloc(layout) }).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Bytes that are mapped for blocks of this process, which its allocator does not know of.
#[cfg(feature = "_bench")]
pub(crate) fn mapped_bytes() -> usize {
    #[cfg(all(target_os = "linux", not(miri)))]
    return mapped::BYTES.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(all(target_os = "linux", not(miri))))]
    0
}

/// # Safety
/// `start` must be from [`allocate`] with the same layout, and not be used again.
unsafe fn free(start: NonNull<u8>, layout: Layout) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if is_mapped(layout) {
        // SAFETY: as promised by the caller.
        return unsafe { mapped::free(start) };
    }
    // SAFETY: as promised by the caller.
    unsafe { alloc::dealloc(start.as_ptr(), layout) }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod mapped {
    use std::ptr::{self, NonNull};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    use super::HUGE;

    /// Bytes mapped at present, in the whole process: no allocator knows of them.
    pub(super) static BYTES: AtomicUsize = AtomicUsize::new(0);

    /// [`HUGE`] bytes, aligned to as many.
    pub(super) fn allocate() -> Option<NonNull<u8>> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a private mapping wherever the system likes harms nobody.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), 2 * HUGE, access, MapFlags::PRIVATE) }.ok()?;
        let start = start.cast::<u8>();
        // Of twice as much, the part that begins at a boundary is kept.
        let before = start.align_offset(HUGE) % HUGE;
        // SAFETY: both parts are within the mapping, which nothing else knows of yet, and are not used again. A boundary of
        // a huge page is one of a page. If a part stays mapped, only address space is lost.
        unsafe {
            if before > 0 {
                let _ = munmap(start.cast(), before);
            }
            let _ = munmap(start.add(before + HUGE).cast(), HUGE - before);
        }
        let start = start.wrapping_add(before);
        // SAFETY: the range is mapped, and the advice changes nothing that a program could see. Where it is not
        // followed, there are small pages.
        let _ = unsafe { madvise(start.cast(), HUGE, Advice::LinuxHugepage) };
        BYTES.fetch_add(HUGE, Relaxed);
        NonNull::new(start)
    }

    /// # Safety
    /// `start` must be from [`allocate`], and not be used again.
    pub(super) unsafe fn free(start: NonNull<u8>) {
        // SAFETY: as promised by the caller. It can only fail for want of memory for the system's own bookkeeping; then
        // the block stays mapped.
        let _ = unsafe { munmap(start.as_ptr().cast(), HUGE) };
        BYTES.fetch_sub(HUGE, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const LARGE: u32 = (HUGE / 24) as u32;

    #[test]
    fn a_large_block_is_at_a_huge_page_s_boundary_and_holds_what_it_is_given() {
        assert!(is_mapped(layout::<[u64; 3]>(LARGE)) || cfg!(any(miri, not(target_os = "linux"))));
        let mut blocks: Vec<Block<[u64; 3]>> = (0..5).map(|_| Block::with_capacity(LARGE)).collect();
        for round in 0..3 {
            let mut block = Block::with_capacity(LARGE);
            for i in 0..u64::from(LARGE) {
                block.push([round, i, 7]);
            }
            block[9][2] = 8;
            assert!(block.iter().zip(0..).all(|(entry, i)| entry[..2] == [round, i]));
            assert_eq!((block.len(), block.capacity(), block[9][2]), (LARGE as usize, LARGE as usize, 8));
            block.prefetch(9);
            block.prefetch(LARGE as usize);
            blocks[round as usize] = block;
        }
        if cfg!(all(target_os = "linux", not(miri))) {
            assert!(blocks.iter().all(|block| block.as_ptr().addr().is_multiple_of(HUGE)));
        }
        assert_eq!(blocks[1][LARGE as usize - 1], [1, u64::from(LARGE) - 1, 7]);
    }

    #[test]
    fn a_block_drops_what_was_put_in_and_no_more() {
        for capacity in [10, (HUGE / size_of::<Rc<()>>()) as u32] {
            let value = Rc::new(());
            let mut block = Block::with_capacity(capacity);
            for _ in 0..7 {
                block.push(value.clone());
            }
            assert_eq!(Rc::strong_count(&value), 8);
            drop(block);
            assert_eq!(Rc::strong_count(&value), 1);
        }
        drop(Block::<Rc<()>>::EMPTY);
    }

    #[test]
    fn entries_of_a_line_do_not_straddle_lines() {
        for capacity in [1, 7, 1024] {
            let mut block = Block::with_capacity(capacity);
            block.push([0_u32; 16]);
            assert!(block.as_ptr().addr().is_multiple_of(LINE));
        }
    }

    #[test]
    #[should_panic(expected = "never grows")]
    fn a_full_block_does_not_grow() {
        let mut block = Block::with_capacity(1);
        block.push(1_u8);
        block.push(2);
    }
}
