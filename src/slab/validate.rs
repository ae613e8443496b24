//! The slab's invariants, spelled out for tests and fuzzing.

use super::layout::Layout;
use super::page::{Page, RETIRED, State};
use super::{NIL, Slab};

impl<T> Slab<T> {
    /// Panics if an invariant is broken.
    pub(crate) fn validate(&self) {
        let live: usize = self.pages.iter().map(|page| page.live as usize).sum();
        assert_eq!(live, self.len, "length against the pages' own counts");
        self.room.validate();

        let mut closed = vec![false; self.pages.len()];
        let mut at = self.closed;
        while at != NIL {
            let page = &self.pages[at as usize];
            assert!(!page.is_open(), "an open page among the closed");
            assert!(!std::mem::replace(&mut closed[at as usize], true), "closed pages run in a circle");
            at = page.next_closed();
        }
        let mut empty = None;
        for (at, page) in self.pages.iter().enumerate() {
            page.validate(Layout::<T>::entries(at as u32));
            assert_eq!(self.room.has(at), page.is_open() && page.has_room(), "room of page {at}");
            assert_eq!(
                closed[at],
                !page.is_open() && page.floor != RETIRED,
                "page {at} open, closed or retired"
            );
            if page.is_open() && page.is_empty() {
                assert_eq!(empty.replace(at as u32), None, "more than one page kept empty");
            }
        }
        if self.spare != NIL {
            assert_eq!(empty, Some(self.spare), "the spare page is the empty one");
        }
    }
}

impl<T> Page<T> {
    fn validate(&self, capacity: u32) {
        assert!(self.floor <= self.ceiling && self.ceiling <= RETIRED);
        if !self.is_open() {
            assert_eq!(
                (self.live, self.free.capacity(), self.floor),
                (0, 0, self.ceiling),
                "a closed page holds nothing"
            );
            return;
        }
        assert_eq!(self.entries.capacity(), capacity as usize, "room of a page");
        let mut free = vec![false; self.entries.len()];
        for &at in &self.free {
            assert!(!std::mem::replace(&mut free[at as usize], true), "an entry is free twice");
            assert!(
                matches!(self.entries[at as usize].state, State::Vacant),
                "an occupied entry among the free"
            );
        }
        let mut live = 0;
        for (entry, free) in self.entries.iter().zip(free) {
            assert!(self.floor <= entry.generation && entry.generation <= self.ceiling);
            match entry.state {
                State::Vacant => assert_eq!(free, entry.generation != RETIRED, "free unless retired"),
                State::Occupied(_) => {
                    assert!(entry.generation < self.ceiling, "a generation above the ceiling");
                    live += 1;
                }
            }
        }
        assert_eq!(live, self.live, "values of a page");
    }
}
