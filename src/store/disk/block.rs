//! Blocks: what every file of the store is made of, one behind the other. A head of [`HEAD_BYTES`], then a body.
//!
//! `docs/format.md` describes every byte.
//!
//! # Rules
//! - Bytes are judged, not trusted: nothing is allocated by a number that a file claims before its checksum has been seen.
//! - The head has a checksum of its own, so that heads can be followed without reading bodies.
//! - What a format means never changes. A new kind of block gets a new number, which an older program refuses by name.

use std::fmt;

use super::names::FORMAT;

/// How many bytes come before a body.
pub(super) const HEAD_BYTES: usize = 72;

/// How many of them the head's own checksum covers.
const CHECKED_BYTES: usize = 68;

pub(super) const MAGIC: [u8; 4] = *b"RVDB";

/// How many bytes a body may have: a batch is not larger.
pub(super) const BODY_BYTES_MAX: usize = crate::store::codec::FRAME_BYTES_MAX;

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// What the store knows of itself, as JSON: the only block of the file `meta`.
    Meta = 1,
    /// The first of a segment of the log. `lsn` is the first that the segment may have, `synced` as in a batch, and `epoch` the
    /// number of the segment that it follows, `first` the first LSN that that one may have, and `end` the one before which it
    /// ended. Its body says, as JSON, which parts of the log before it are not trusted.
    Segment = 2,
    /// A batch of records of one partition, from `first` up to `end`.
    Batch = 3,
    /// The first of a snapshot of one partition: what it is, as JSON. Its generation is in `lsn`, the record that it covers in
    /// `first`.
    Snapshot = 4,
    /// A chunk of a snapshot. Its number is in `first`.
    Chunk = 5,
}

/// The head of a block. What its numbers mean, its kind says; those that a kind does not name are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Its place among all blocks that were ever written to the log.
    pub(super) lsn: u64,
    /// When it was written, all before this LSN was on the disk.
    pub(super) synced: u64,
    pub(super) partition: u16,
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) body_bytes: u32,
    pub(super) body_crc: u32,
}

/// Why bytes are not a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// The file ends before it does.
    Short,
    /// It does not begin like one.
    NotOurs,
    /// A checksum does not fit.
    Corrupt,
    /// A newer program has written it.
    Newer { format: u16 },
    /// A newer program has written it: the kind is unknown.
    NewerKind { kind: u8 },
}

impl Head {
    pub(super) fn new(kind: Kind) -> Self {
        let [lsn, synced, epoch, first, end] = [0; 5];
        Head { kind, lsn, synced, partition: 0, epoch, first, end, body_bytes: 0, body_crc: 0 }
    }

    /// How many bytes the block has.
    pub(super) fn block_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// Appends the block with this head and body to `out`. `false` if the body is too long for one.
    pub(super) fn write(mut self, body: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(body_bytes) = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_BYTES_MAX) else {
            return false;
        };
        self.body_bytes = body_bytes;
        self.body_crc = crc32fast::hash(body);
        out.reserve(HEAD_BYTES + body.len());
        out.extend_from_slice(&self.bytes());
        out.extend_from_slice(body);
        true
    }

    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&[self.kind as u8, 0]);
        put(&self.body_bytes.to_le_bytes());
        put(&self.body_crc.to_le_bytes());
        for number in [self.lsn, self.synced, self.epoch, self.first, self.end] {
            put(&number.to_le_bytes());
        }
        put(&self.partition.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a head. The body is not looked at.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
            let begins = bytes.iter().zip(MAGIC).all(|(&byte, magic)| byte == magic);
            return Err(if begins { Flaw::Short } else { Flaw::NotOurs });
        };
        if head[..4] != MAGIC {
            return Err(Flaw::NotOurs);
        }
        let mut at = 4;
        let mut take = |count: usize| {
            let mut number = [0; 8];
            number[..count].copy_from_slice(&head[at..at + count]);
            at += count;
            u64::from_le_bytes(number)
        };
        let format = take(2) as u16;
        let kind = take(1) as u8;
        let _reserved = take(1);
        let (body_bytes, body_crc) = (take(4) as u32, take(4) as u32);
        let [lsn, synced, epoch, first, end] = std::array::from_fn(|_| take(8));
        let partition = take(2) as u16;
        // The layout up to here is the same in every format: what fits its checksum is newer, and not damaged.
        if crc32fast::hash(&head[..CHECKED_BYTES]).to_le_bytes() != head[CHECKED_BYTES..] {
            return Err(Flaw::Corrupt);
        }
        if format != FORMAT {
            return Err(Flaw::Newer { format });
        }
        let kind = Kind::of(kind).ok_or(Flaw::NewerKind { kind })?;
        if body_bytes as usize > BODY_BYTES_MAX {
            return Err(Flaw::Corrupt);
        }
        Ok(Head { kind, lsn, synced, partition, epoch, first, end, body_bytes, body_crc })
    }

    /// Whether this is the body that belongs to the head.
    pub(super) fn fits(&self, body: &[u8]) -> Result<(), Flaw> {
        if body.len() < self.body_bytes as usize {
            return Err(Flaw::Short);
        }
        if crc32fast::hash(body) != self.body_crc { Err(Flaw::Corrupt) } else { Ok(()) }
    }
}

/// Reads the block that `bytes` begin with: its head and its body.
pub(super) fn read(bytes: &[u8]) -> Result<(Head, &[u8]), Flaw> {
    let head = Head::read(bytes)?;
    let rest = &bytes[HEAD_BYTES..];
    let body = rest.get(..head.body_bytes as usize).ok_or(Flaw::Short)?;
    head.fits(body)?;
    Ok((head, body))
}

/// The heads that can be found anywhere in `bytes`, whatever lies between them.
pub(super) fn find(bytes: &[u8]) -> impl Iterator<Item = Head> {
    (0..bytes.len().saturating_sub(HEAD_BYTES - 1)).filter_map(|at| Head::read(&bytes[at..]).ok())
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        use Kind::{Batch, Chunk, Meta, Segment, Snapshot};
        [Meta, Segment, Batch, Snapshot, Chunk].into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Short => f.write_str("it ends in the middle of a block"),
            Flaw::NotOurs => f.write_str("no block of Reveille begins there"),
            Flaw::Corrupt => f.write_str("a checksum does not fit"),
            Flaw::Newer { format } => {
                write!(
                    f,
                    "it has the format {format}, and this program knows {FORMAT}: use the program that wrote it"
                )
            }
            Flaw::NewerKind { kind } => {
                write!(
                    f,
                    "it has a block of the kind {kind}, which this program does not know: use the program that wrote it"
                )
            }
        }
    }
}

impl Flaw {
    /// Whether the end of the process, or of the power, can have left it: at the end of a file only.
    pub(super) fn may_be_torn(self) -> bool {
        matches!(self, Flaw::Short | Flaw::NotOurs | Flaw::Corrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> (Head, Vec<u8>) {
        let head = Head {
            lsn: 7,
            synced: 5,
            partition: 3,
            epoch: 9,
            first: 100,
            end: 110,
            ..Head::new(Kind::Batch)
        };
        let mut bytes = Vec::new();
        assert!(head.write(b"the body", &mut bytes));
        (Head { body_bytes: 8, body_crc: crc32fast::hash(b"the body"), ..head }, bytes)
    }

    #[test]
    fn what_was_written_is_read() {
        let (head, bytes) = block();
        assert_eq!(read(&bytes), Ok((head, &b"the body"[..])));
        assert_eq!(head.block_bytes(), bytes.len() as u64);
    }

    #[test]
    fn a_block_with_one_byte_changed_or_cut_short_anywhere_is_refused() {
        let (_, bytes) = block();
        for at in 0..bytes.len() {
            assert!(matches!(read(&bytes[..at]), Err(Flaw::Short)), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(read(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_newer_block_is_told_from_a_damaged_one() {
        let (_, bytes) = block();
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            let crc = crc32fast::hash(&bytes[..CHECKED_BYTES]);
            bytes[CHECKED_BYTES..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
            read(&bytes).map(drop)
        };
        assert_eq!(changed(4, 9), Err(Flaw::Newer { format: 9 }));
        assert_eq!(changed(6, 99), Err(Flaw::NewerKind { kind: 99 }));
    }

    #[test]
    fn heads_are_found_behind_what_is_none() {
        let (head, bytes) = block();
        let all = [&b"RVDBRV"[..], &bytes, b"RVDB", &bytes[..40]].concat();
        assert_eq!(find(&all).collect::<Vec<_>>(), [head]);
    }
}
