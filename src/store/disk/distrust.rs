//! What a failed sync leaves behind: parts of the log that may be lost, and count for nothing. Whoever had written there has written
//! anew, or will.
//!
//! # Rules
//! - Every file that tells how far the log is on the disk also tells which parts before that are not trusted: the heads of segments,
//!   and snapshots. So a part that may be bad is never taken for damage, whichever of the files outlive the machine's power.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// More than these are told as fewer, longer ones: what lies between two counts as not trusted then.
const RANGES_MAX: usize = 8;

/// Parts of the log, by LSN.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Distrust(Vec<Range<u64>>);

impl Distrust {
    pub(super) fn add(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end >= range.start || self.0.len() == RANGES_MAX => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    pub(super) fn contains(&self, lsn: u64) -> bool {
        self.0.iter().any(|range| range.contains(&lsn))
    }
}
