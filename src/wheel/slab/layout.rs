//! How the slots of a slab are dealt out to its pages.
//!
//! The first pages are small, so that a small table is. All others fill a huge page of memory each, as far as they
//! can: so the directory of a table of ten million has a few hundred entries, which stay in the cache.

use super::block::HUGE;
use super::page::Entry;

/// Entries of a small page. Few where it is tested, so that small tests cross many pages.
const SMALL: u32 = if cfg!(any(test, fuzzing)) { 16 } else { 1024 };

/// How many pages are small.
const SMALL_PAGES: u32 = if cfg!(any(test, fuzzing)) { 8 } else { 64 };

/// The layout of a table of `T`.
pub(super) struct Layout<T>(std::marker::PhantomData<T>);

impl<T> Layout<T> {
    /// Entries of a page that is not small. Not a power of two: what does not fit in two bytes is not left out.
    const LARGE: u32 = {
        let fitting = (HUGE / size_of::<Entry<T>>()) as u32;
        if cfg!(any(test, fuzzing)) {
            SMALL + 1
        } else if fitting < SMALL {
            SMALL
        } else {
            fitting
        }
    };

    /// Pages of a full table. Fewer than `u32` slots could address: so `u32::MAX` is never a slot, and whoever links
    /// values by slot can use it for "none".
    pub(super) const PAGES_MAX: u32 = SMALL_PAGES + (u32::MAX - SMALL_PAGES * SMALL) / Self::LARGE;

    /// Slots of a full table.
    pub(super) const SLOTS_MAX: u32 = SMALL_PAGES * SMALL + (Self::PAGES_MAX - SMALL_PAGES) * Self::LARGE;

    /// The page of a slot, and where it is in there.
    #[inline]
    pub(super) fn split(slot: u32) -> (usize, usize) {
        match slot.checked_sub(SMALL_PAGES * SMALL) {
            None => ((slot / SMALL) as usize, (slot % SMALL) as usize),
            Some(slot) => ((SMALL_PAGES + slot / Self::LARGE) as usize, (slot % Self::LARGE) as usize),
        }
    }

    /// The first slot of a page; of the page after the last one: how many there are.
    #[inline]
    pub(super) fn first(page: u32) -> u32 {
        match page.checked_sub(SMALL_PAGES) {
            None => page * SMALL,
            Some(page) => SMALL_PAGES * SMALL + page * Self::LARGE,
        }
    }

    /// Entries of a page.
    #[inline]
    pub(super) fn entries(page: u32) -> u32 {
        if page < SMALL_PAGES { SMALL } else { Self::LARGE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_dealt_out_without_gaps() {
        let mut slot = 0;
        for page in 0..SMALL_PAGES + 3 {
            assert_eq!(Layout::<u32>::first(page), slot);
            for offset in 0..Layout::<u32>::entries(page) {
                assert_eq!(Layout::<u32>::split(slot), (page as usize, offset as usize));
                slot += 1;
            }
        }
    }

    #[test]
    fn the_last_slot_is_below_the_one_for_none() {
        let last = Layout::<u64>::SLOTS_MAX - 1;
        let (page, offset) = Layout::<u64>::split(last);
        assert_eq!(page as u32, Layout::<u64>::PAGES_MAX - 1);
        assert_eq!(offset as u32, Layout::<u64>::entries(page as u32) - 1);
        assert!(Layout::<u64>::split(u32::MAX).0 as u32 >= Layout::<u64>::PAGES_MAX);
    }
}
