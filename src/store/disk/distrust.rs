//! What is told beside how far the log is on the disk, so that a bad spot in it can be judged.
//!
//! A failed sync leaves this behind: parts of the log that may be lost, and count for nothing. Whoever had written there has written
//! anew, or will.
//!
//! # Rules
//! - Every file that tells how far the log is on the disk also tells which parts before that are not trusted: the heads of segments,
//!   and snapshots. So a part that may be bad is never taken for damage, whichever of the files outlive the machine's power.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A segment that was begun, and the first LSN that it may have. Whatever tells how far the log is on the disk also tells which
/// segment was the last then: of one whose own head is lost nothing else says where it belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) segment: u64,
    pub(super) lsn: u64,
}

/// More than these are told as fewer, longer ones: what lies between two counts as not trusted then.
const RANGES_MAX: usize = 8;

/// Parts of the log, by LSN.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Distrust(Vec<Range<u64>>);

impl Distrust {
    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let is_full = self.0.len() == RANGES_MAX;
        match self.0.last_mut() {
            Some(last) if is_full || last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    pub(super) fn contains(&self, lsn: u64) -> bool {
        self.0.iter().any(|range| range.contains(&lsn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_was_added_and_no_end_of_ranges() {
        let mut distrust = Distrust::default();
        distrust.add(3..3);
        assert_eq!(distrust, Distrust::default());
        distrust.add(3..5);
        distrust.add(5..6);
        distrust.add(10..12);
        assert_eq!(distrust.0, [3..6, 10..12]);
        assert!(
            distrust.contains(5) && !distrust.contains(6) && !distrust.contains(2) && distrust.contains(11)
        );
        (0..100).for_each(|at| distrust.add(20 + at * 10..21 + at * 10));
        assert!(distrust.0.len() <= RANGES_MAX && distrust.contains(1_010), "{distrust:?}");
    }
}
