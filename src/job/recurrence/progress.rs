//! How far a recurring job has come: what of it is not said by its rule.

use serde::{Deserialize, Serialize};

use super::{Occurrence, Passed, Reason};
use crate::time::Timestamp;

/// How far a recurring job has come.
///
/// An option of the job, so that whoever carries options carries it: an export has it, and an import goes on with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The occurrence that it waits for, or that runs.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// How many occurrences were passed over in all.
    #[serde(default)]
    pub passed: u64,
    /// The last of those, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_passed: Option<Passed>,
}

impl Progress {
    /// Of a job whose first occurrence is due at `scheduled_for`.
    pub(crate) fn first(scheduled_for: Timestamp) -> Self {
        Progress::of(Occurrence { scheduled_for, number: 1, missed: 0 })
    }

    pub(crate) fn of(occurrence: Occurrence) -> Self {
        Progress { occurrence, passed: 0, last_passed: None }
    }

    /// After occurrences before `occurrence` were passed over, if any were.
    #[must_use]
    pub(crate) fn on(self, occurrence: Occurrence, passed: Option<Passed>) -> Self {
        Progress {
            occurrence,
            passed: self.passed.saturating_add(passed.map_or(0, |passed| passed.count)),
            last_passed: passed.or(self.last_passed),
        }
    }
}

/// Instants, numbers and counts, each of eight bytes, little-endian; then, if some were passed over, the reason and three more.
pub(crate) fn write(progress: &Progress, out: &mut dyn FnMut(&[u8])) {
    let Progress { occurrence: Occurrence { scheduled_for, number, missed }, passed, last_passed } = progress;
    out(&scheduled_for.as_micros().to_le_bytes());
    for number in [number, missed, passed] {
        out(&number.to_le_bytes());
    }
    if let Some(Passed { count, reason, first, last }) = last_passed {
        out(&[reason.number()]);
        out(&count.to_le_bytes());
        for instant in [first, last] {
            out(&instant.as_micros().to_le_bytes());
        }
    }
}

/// What was written as `bytes`; `None` if nothing was.
#[cfg_attr(not(feature = "codec"), allow(dead_code))]
pub(crate) fn read(bytes: &[u8]) -> Option<Progress> {
    let (scheduled_for, rest) = instant(bytes)?;
    let (number, rest) = count(rest)?;
    let (missed, rest) = count(rest)?;
    let (passed, rest) = count(rest)?;
    let last_passed = match rest {
        [] => None,
        [reason, rest @ ..] => {
            let (count, rest) = count(rest)?;
            let (first, rest) = instant(rest)?;
            let (last, rest) = instant(rest)?;
            let passed = Passed { count, reason: Reason::of_number(*reason)?, first, last };
            rest.is_empty().then_some(Some(passed))?
        }
    };
    Some(Progress { occurrence: Occurrence { scheduled_for, number, missed }, passed, last_passed })
}

fn count(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*count), rest))
}

fn instant(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (us, rest) = bytes.split_first_chunk()?;
    Some((Timestamp::from_micros(i64::from_le_bytes(*us)), rest))
}

impl Reason {
    /// As it is written down.
    pub(crate) fn number(self) -> u8 {
        match self {
            Reason::Coalesced => 1,
            Reason::Missed => 2,
            Reason::Overlap => 3,
            Reason::Paused => 4,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Reason::Coalesced,
            2 => Reason::Missed,
            3 => Reason::Overlap,
            4 => Reason::Paused,
            _ => return None,
        })
    }

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Coalesced => "coalesced",
            Reason::Missed => "missed",
            Reason::Overlap => "overlap",
            Reason::Paused => "paused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_comes_back_from_its_bytes_and_from_its_json() {
        let first = Progress::first(Timestamp::from_micros(-5));
        let passed = Passed {
            count: 3,
            reason: Reason::Overlap,
            first: Timestamp::MAX,
            last: Timestamp::from_micros(1),
        };
        let later = Occurrence { scheduled_for: Timestamp::from_micros(7), number: u64::MAX, missed: 3 };
        for progress in [first, first.on(later, Some(passed)), first.on(later, None)] {
            let mut bytes = Vec::new();
            write(&progress, &mut |piece| bytes.extend_from_slice(piece));
            assert_eq!(read(&bytes), Some(progress));
            for length in (0..bytes.len()).filter(|&length| length != 32) {
                assert_eq!(read(&bytes[..length]), None, "{length} bytes");
            }
            bytes.push(1);
            assert_eq!(read(&bytes), None);
            let json = serde_json::to_string(&progress).unwrap();
            assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress, "{json}");
        }
        assert_eq!(
            serde_json::to_string(&first).unwrap(),
            r#"{"scheduled_for":"1969-12-31T23:59:59.999995Z","number":1,"missed":0,"passed":0}"#
        );
    }
}
