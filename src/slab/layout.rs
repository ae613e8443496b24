//! How the slots of a slab are spread over its pages.
//!
//! The first pages are small, so that a small table is. All others fill a huge page of memory each, as far as they
//! can: so the directory of a table of ten million has a few hundred entries, which stay in the cache.
//!
//! The high bits of a slot are its page, the low bits its place in the page. The numbers above what a page holds name
//! nothing. They cost a part of 2<sup>32</sup>, and save a division, or a branch between small pages and others, at every
//! lookup.

use super::block::HUGE;
use super::page::Entry;

/// Entries of a small page. Few in tests, so that small tests cross many pages.
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

    /// Low bits of a slot.
    const OFFSET_BITS: u32 = Self::LARGE.next_power_of_two().ilog2();

    /// Pages of a full table: all that a slot can name but one. So `u32::MAX` is never a slot, and a list that links values by
    /// slot can use it for "none".
    pub(super) const PAGES_MAX: u32 = u32::MAX >> Self::OFFSET_BITS;

    /// Slots of a full table.
    pub(super) const SLOTS_MAX: u32 = SMALL_PAGES * SMALL + (Self::PAGES_MAX - SMALL_PAGES) * Self::LARGE;

    /// The page of a slot, and its place in the page.
    #[inline]
    pub(super) fn split(slot: u32) -> (usize, usize) {
        ((slot >> Self::OFFSET_BITS) as usize, (slot % (1 << Self::OFFSET_BITS)) as usize)
    }

    /// The first slot of a page, or of the page after the last.
    #[inline]
    pub(super) fn first(page: u32) -> u32 {
        page << Self::OFFSET_BITS
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
    fn a_slot_says_where_it_is() {
        let mut next = 0;
        for page in 0..SMALL_PAGES + 3 {
            let first = Layout::<u32>::first(page);
            assert!(first >= next, "pages share no slot");
            for offset in 0..Layout::<u32>::entries(page) {
                assert_eq!(Layout::<u32>::split(first + offset), (page as usize, offset as usize));
            }
            next = first + Layout::<u32>::entries(page);
        }
    }

    #[test]
    fn the_last_slot_is_below_the_one_for_none() {
        let pages = Layout::<u64>::PAGES_MAX;
        assert!(
            Layout::<u64>::first(pages - 1) + Layout::<u64>::entries(pages - 1)
                <= Layout::<u64>::first(pages)
        );
        assert!(Layout::<u64>::split(u32::MAX).0 as u32 >= pages);
    }
}
