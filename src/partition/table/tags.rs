//! Which jobs have a tag: found without a look at any other job.
//!
//! # Rules
//! - A job is here from the moment its rare options are put beside its line until they are forgotten: when the job leaves the table, or
//!   has fired. In between only an edit changes its tags, so nothing that moves a job from one place to another touches this.
//! - What is here is sorted by slot, the order of a scan of the table, and a job keeps its slot. So whoever reads in slices, and goes on
//!   after the slot that was last, meets a job that stays exactly once.
//! - Texts are a caller's. A tree has no bad ones among them, as a table of hashes might.
//!
//! # Invariant
//! A slot is under a tag if, and only if, the job in it has the tag among its rare options.

use std::collections::btree_set::Range;
use std::collections::{BTreeMap, BTreeSet};

use crate::job::Tags;

/// See the [module's documentation](self).
#[derive(Debug, Default)]
pub(super) struct TagIndex {
    slots: BTreeMap<Box<str>, BTreeSet<u32>>,
}

impl TagIndex {
    pub(super) fn insert(&mut self, tags: &Tags, slot: u32) {
        for tag in tags.iter() {
            match self.slots.get_mut(tag) {
                Some(slots) => drop(slots.insert(slot)),
                None => drop(self.slots.insert(tag.into(), BTreeSet::from([slot]))),
            }
        }
    }

    pub(super) fn remove(&mut self, tags: &Tags, slot: u32) {
        for tag in tags.iter() {
            let Some(slots) = self.slots.get_mut(tag) else { continue };
            slots.remove(&slot);
            if slots.is_empty() {
                self.slots.remove(tag);
            }
        }
    }

    /// Where the jobs lie that have `tag`, from slot `from` on.
    pub(super) fn slots(&self, tag: &str, from: u32) -> Range<'_, u32> {
        self.slots.get(tag).map(|slots| slots.range(from..)).unwrap_or_default()
    }

    /// Panics if this is not what `tagged`, which are all jobs that have tags, says.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate<'a>(&self, tagged: impl Iterator<Item = (u32, &'a Tags)>) {
        let mut expected = TagIndex::default();
        tagged.for_each(|(slot, tags)| expected.insert(tags, slot));
        assert_eq!(self.slots, expected.slots, "jobs by tag");
    }
}
