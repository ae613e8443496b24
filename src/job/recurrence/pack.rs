//! A rule as bytes, as a store keeps it. What they mean, they mean for ever.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | 1: an interval; 2: a cron expression |
//! | 8 | an interval: its microseconds |
//! | 1 + n, 1 + n | a cron expression: its length and text, the zone's length and name |
//! | 1 | bits for what follows: 1 anchor, 2 from, 4 until, 8 count |
//! | 8 each | those |
//! | 1 | missed: 1 one; 2 all, and 4 more bytes: at most so many; 3 none |
//! | 1 | overlap: 1 skip, 2 allow, 3 after |
//!
//! Numbers are little-endian, instants microseconds since 1970. A rule that nobody could have made is none.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{CronText, Missed, Overlap, Recurrence, Rule};
use crate::time::Timestamp;

const ANCHOR: u8 = 1;
const FROM: u8 = 2;
const UNTIL: u8 = 4;
const COUNT: u8 = 8;

/// Gives the bytes to `out`, in pieces.
pub(crate) fn write(recurrence: &Recurrence, out: &mut dyn FnMut(&[u8])) {
    let anchor = match &recurrence.rule {
        Rule::Every { interval_us, anchor } => {
            out(&[1]);
            out(&interval_us.to_le_bytes());
            *anchor
        }
        Rule::Cron(CronText { expression, zone }) => {
            out(&[2]);
            for text in [expression, zone] {
                // Neither is longer than 255 bytes.
                out(&[text.len() as u8]);
                out(text.as_bytes());
            }
            None
        }
    };
    let Recurrence { from, until, count, .. } = recurrence;
    let bits = [
        (ANCHOR, anchor.is_some()),
        (FROM, from.is_some()),
        (UNTIL, until.is_some()),
        (COUNT, count.is_some()),
    ];
    out(&[bits.into_iter().filter(|bit| bit.1).fold(0, |bits, bit| bits | bit.0)]);
    for instant in [anchor, *from, *until].into_iter().flatten() {
        out(&instant.as_micros().to_le_bytes());
    }
    if let Some(count) = count {
        out(&count.to_le_bytes());
    }
    match recurrence.missed {
        Missed::One => out(&[1]),
        Missed::All { max } => {
            out(&[2]);
            out(&max.get().to_le_bytes());
        }
        Missed::None => out(&[3]),
    }
    out(&[match recurrence.overlap {
        Overlap::Skip => 1,
        Overlap::Allow => 2,
        Overlap::After => 3,
    }]);
}

/// The rule that was written as `bytes`; `None` if none was.
#[cfg_attr(not(feature = "codec"), allow(dead_code))]
pub(crate) fn read(bytes: &[u8]) -> Option<Recurrence> {
    let mut bytes = Bytes(bytes);
    let mut recurrence = match bytes.byte()? {
        1 => Recurrence::every(Duration::from_micros(u64::from_le_bytes(bytes.array()?))).ok()?,
        2 => {
            let [expression, zone] = [bytes.text()?, bytes.text()?];
            let text = CronText::new(expression, zone).ok()?;
            // It is kept single-spaced.
            (text.expression == expression).then(|| Recurrence::of(Rule::Cron(text)))?
        }
        _ => return None,
    };
    let bits = bytes.byte().filter(|bits| *bits < 16)?;
    if bits & ANCHOR != 0 {
        recurrence = recurrence.anchor(bytes.instant()?).ok()?;
    }
    if bits & FROM != 0 {
        recurrence = recurrence.from(bytes.instant()?).ok()?;
    }
    if bits & UNTIL != 0 {
        recurrence = recurrence.until(bytes.instant()?).ok()?;
    }
    if bits & COUNT != 0 {
        recurrence = recurrence.count(u64::from_le_bytes(bytes.array()?)).ok()?;
    }
    recurrence.missed = match bytes.byte()? {
        1 => Missed::One,
        2 => Missed::All { max: NonZeroU32::new(u32::from_le_bytes(bytes.array()?))? },
        3 => Missed::None,
        _ => return None,
    };
    recurrence.overlap = match bytes.byte()? {
        1 => Overlap::Skip,
        2 => Overlap::Allow,
        3 => Overlap::After,
        _ => return None,
    };
    bytes.0.is_empty().then_some(recurrence)
}

/// What is left of bytes that are being read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn instant(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp::from_micros)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}
