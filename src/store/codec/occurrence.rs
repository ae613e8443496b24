//! Occurrences of recurring jobs. One is due at its instant, by the wall clock: that is not written twice.

use super::{CodecError, wire};
use crate::job::Reason;
use crate::partition::{Occurrence, Passed, RecordedDue, TimeBase, Timestamp};

impl From<&Occurrence> for wire::Occurrence {
    fn from(occurrence: &Occurrence) -> Self {
        let Occurrence { scheduled_for, number, missed } = *occurrence;
        wire::Occurrence { scheduled_for: scheduled_for.as_micros(), number, missed }
    }
}

impl wire::Occurrence {
    pub(super) fn read(self) -> (Occurrence, RecordedDue) {
        let scheduled_for = Timestamp::from_micros(self.scheduled_for);
        let occurrence = Occurrence { scheduled_for, number: self.number, missed: self.missed };
        (occurrence, RecordedDue { base: TimeBase::Wall, wall: scheduled_for })
    }
}

impl From<Option<&Passed>> for wire::Passed {
    fn from(passed: Option<&Passed>) -> Self {
        let Some(&Passed { count, reason, first, last }) = passed else { return wire::Passed::None };
        let [first, last] = [first, last].map(Timestamp::as_micros);
        match reason {
            Reason::Coalesced => wire::Passed::Coalesced { count, first, last },
            Reason::Missed => wire::Passed::Missed { count, first, last },
            Reason::Overlap => wire::Passed::Overlap { count, first, last },
            Reason::Paused => wire::Passed::Paused { count, first, last },
        }
    }
}

impl wire::Passed {
    pub(super) fn read(self) -> Result<Option<Passed>, CodecError> {
        let (reason, count, first, last) = match self {
            wire::Passed::None => return Ok(None),
            wire::Passed::Coalesced { count, first, last } => (Reason::Coalesced, count, first, last),
            wire::Passed::Missed { count, first, last } => (Reason::Missed, count, first, last),
            wire::Passed::Overlap { count, first, last } => (Reason::Overlap, count, first, last),
            wire::Passed::Paused { count, first, last } => (Reason::Paused, count, first, last),
        };
        if count == 0 {
            return Err(CodecError::invalid("no occurrence was passed over"));
        }
        let [first, last] = [first, last].map(Timestamp::from_micros);
        Ok(Some(Passed { count, reason, first, last }))
    }
}
