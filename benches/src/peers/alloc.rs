//! An allocator that counts while it is asked to, so that "bytes a timer" is measured and not computed. What the library maps
//! past the allocator counts too.
//!
//! It counts what is asked for, and leaves out the allocator's own overhead and rounding, which would add to
//! structures that allocate each timer by itself.

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Off but for the moments of [`bytes_kept`]: otherwise whoever allocates most would be slowed down most.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

/// Runs `build`. Returns how many bytes more are allocated after it, in all threads.
pub(crate) fn bytes_kept<T>(build: impl FnOnce() -> T) -> (T, usize) {
    let (before, mapped_before) = (BYTES.load(Relaxed), reveille::wheel::mapped_bytes() as isize);
    IS_COUNTING.store(true, Relaxed);
    let built = build();
    IS_COUNTING.store(false, Relaxed);
    let mapped = reveille::wheel::mapped_bytes() as isize - mapped_before;
    let bytes = usize::try_from(BYTES.load(Relaxed) - before + mapped);
    (built, bytes.expect("no other thread frees what was there before"))
}

struct Counting;

impl Counting {
    fn count(before: usize, after: usize) {
        if IS_COUNTING.load(Relaxed) {
            // No allocation is larger than `isize::MAX`.
            BYTES.fetch_add(after as isize - before as isize, Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting touches nothing but two atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(0, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(0, layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(layout.size(), 0);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::count(layout.size(), bytes);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
