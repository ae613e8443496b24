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

/// Of more than these the oldest is not told any more: its segments were removed long ago, and their names with them.
const RANGES_MAX: usize = 8;

/// What is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Distrust {
    /// Parts of the log, by LSN.
    lsns: Vec<Range<u64>>,
    /// Segments of which nothing may be left, not even the head, by their numbers.
    #[serde(default)]
    segments: Vec<Range<u64>>,
}

impl Distrust {
    pub(super) fn add(&mut self, lsns: Range<u64>) {
        add(&mut self.lsns, lsns);
    }

    pub(super) fn add_segment(&mut self, number: u64) {
        add(&mut self.segments, number..number + 1);
    }

    pub(super) fn contains(&self, lsn: u64) -> bool {
        self.end_of(lsn).is_some()
    }

    /// Where the part ends that has this LSN.
    pub(super) fn end_of(&self, lsn: u64) -> Option<u64> {
        self.lsns.iter().filter(|range| range.contains(&lsn)).map(|range| range.end).max()
    }

    pub(super) fn has_segment(&self, number: u64) -> bool {
        self.segments.iter().any(|range| range.contains(&number))
    }
}

fn add(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    if range.is_empty() {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
    if ranges.len() > RANGES_MAX {
        ranges.remove(0);
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
        assert_eq!(distrust.lsns, [3..6, 10..12]);
        assert_eq!((distrust.end_of(4), distrust.end_of(6)), (Some(6), None));
        assert!(
            distrust.contains(5) && !distrust.contains(6) && !distrust.contains(2) && distrust.contains(11)
        );
        (0..100).for_each(|at| distrust.add(20 + at * 10..21 + at * 10));
        assert!(distrust.lsns.len() <= RANGES_MAX && distrust.contains(1_010), "{distrust:?}");
        distrust.add_segment(7);
        assert!(distrust.has_segment(7) && !distrust.has_segment(8) && !distrust.has_segment(6));
    }
}
