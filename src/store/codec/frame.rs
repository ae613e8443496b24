//! The frame around every body: what it is, of which format, how long, and a checksum over all of it.
//!
//! The order of the checks decides what is said. The checksum comes before the format, which works because the header
//! is the same in every format: a frame that says it is newer and fits its checksum is newer, and not damaged.

use std::fmt;

use super::{CodecError, FORMAT, FRAME_BYTES_MAX};

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// Records, one after the other.
    LogBatch,
    /// A part of the jobs of a partition.
    SnapshotChunk,
}

impl FrameKind {
    const fn magic(self) -> [u8; 4] {
        match self {
            FrameKind::LogBatch => *b"RVLB",
            FrameKind::SnapshotChunk => *b"RVSC",
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FrameKind::LogBatch => "log batch",
            FrameKind::SnapshotChunk => "snapshot chunk",
        })
    }
}

/// How many bytes come before the body.
pub(super) const HEADER_BYTES: usize = 16;

/// How many of them the checksum covers.
const CHECKED_BYTES: usize = 12;

/// Empties `out` and leaves room for the header. The body follows, then [`seal`].
pub(super) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.resize(HEADER_BYTES, 0);
}

/// Writes the header of the frame whose body is in `out`.
pub(super) fn seal(kind: FrameKind, out: &mut [u8]) -> Result<(), CodecError> {
    let bytes = out.len();
    let too_large = || CodecError::TooLarge { bytes, max: FRAME_BYTES_MAX };
    let Some((header, body)) = out.split_first_chunk_mut::<HEADER_BYTES>() else {
        return Err(CodecError::Truncated { found: bytes, expected: HEADER_BYTES });
    };
    if bytes > FRAME_BYTES_MAX {
        return Err(too_large());
    }
    let body_bytes = u32::try_from(body.len()).map_err(|_| too_large())?;
    header[..4].copy_from_slice(&kind.magic());
    header[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    header[6..8].copy_from_slice(&0u16.to_le_bytes());
    header[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    let crc = checksum(&header[..CHECKED_BYTES], body);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The body of the frame that `bytes` are, if they are one of `kind` and as it was written.
pub(super) fn open(kind: FrameKind, bytes: &[u8]) -> Result<&[u8], CodecError> {
    let magic = kind.magic();
    if !bytes.starts_with(&magic[..bytes.len().min(magic.len())]) {
        return Err(CodecError::NotOurs { expected: kind });
    }
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(CodecError::Truncated { found: bytes.len(), expected: HEADER_BYTES });
    };
    let &[_, _, _, _, v0, v1, f0, f1, l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let claimed = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if body.len() < claimed {
        let expected = claimed.saturating_add(HEADER_BYTES);
        return Err(CodecError::Truncated { found: bytes.len(), expected });
    }
    if body.len() > claimed {
        return Err(CodecError::invalid("it goes on after its end"));
    }
    if checksum(&header[..CHECKED_BYTES], body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(CodecError::Corrupt);
    }
    check_format(u16::from_le_bytes([v0, v1]), u16::from_le_bytes([f0, f1]))?;
    Ok(body)
}

fn check_format(format: u16, flags: u16) -> Result<(), CodecError> {
    match (format, flags) {
        (FORMAT, 0) => Ok(()),
        (FORMAT, flags) => Err(CodecError::NewerPart { part: "flags", tag: flags.into() }),
        (0, _) => Err(CodecError::invalid("its format is 0")),
        (found, _) if found < FORMAT => Err(CodecError::Older { found, known: FORMAT }),
        (found, _) => Err(CodecError::Newer { found, known: FORMAT }),
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}
