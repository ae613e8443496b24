//! What can be wrong with bytes that a store holds. Whoever asked adds where they were found.

use std::fmt;

use super::FrameKind;

/// Why bytes are no frame that this program can read, or why what it has cannot be written as one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The first bytes are not those of the frame that was expected.
    #[error(
        "it is not a {expected} of Reveille: something else writes here; give Reveille a namespace of its own"
    )]
    NotOurs {
        /// What it should have been.
        expected: FrameKind,
    },
    /// The whole frame is of an earlier format.
    #[error(
        "it was written by an earlier version (format {found}, this one reads {known}), before there was a first release: \
         go on with the version that wrote it, or export the jobs with that and import them with this one"
    )]
    Older {
        /// The frame's format.
        found: u16,
        /// The one that can be read.
        known: u16,
    },
    /// The whole frame is of a later format.
    #[error(
        "it was written by a newer version (format {found}, this one reads up to {known}): update this program"
    )]
    Newer {
        /// The frame's format.
        found: u16,
        /// The newest that can be read.
        known: u16,
    },
    /// The format is known, but not all that is in it.
    #[error("it was written by a newer version ({part} {tag} is not known to this one): update this program")]
    NewerPart {
        /// What it is that has the tag.
        part: &'static str,
        /// The tag that is not known.
        tag: u32,
    },
    /// The format is known, but not an option that its jobs have.
    #[error(
        "it was written by a newer version (its jobs have the option `{name}`, which is not known to this one): update this \
         program"
    )]
    NewerOption {
        /// The option.
        name: OptionName,
    },
    /// The value of an option is none.
    #[error(
        "a job has a value of the option `{name}` that cannot be: Reveille does not write such a thing; restore what the store \
         held from a backup, and report it"
    )]
    InvalidOption {
        /// The option.
        name: &'static str,
    },
    /// The frame ends too early.
    #[error("it is cut short ({found} of {expected} bytes): restore what the store held from a backup")]
    Truncated {
        /// How many bytes there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The checksum says that the bytes are not those that were written.
    #[error(
        "its checksum does not fit, it was changed since it was written: restore what the store held from a backup"
    )]
    Corrupt,
    /// The frame is whole, but what it says cannot be.
    #[error(
        "{what}: Reveille does not write such a thing; restore what the store held from a backup, and report it"
    )]
    Invalid {
        /// What cannot be.
        what: &'static str,
    },
    /// What was to be written does not fit into a frame.
    #[error("it would have {bytes} bytes, and a store takes {max}: lower `payload_bytes_max`")]
    TooLarge {
        /// How many bytes it would have.
        bytes: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// The name of an option that is not known: cut short, since anything may stand there.
#[derive(Clone, PartialEq, Eq)]
pub struct OptionName(Box<str>);

impl OptionName {
    const CHARS_MAX: usize = 64;

    pub(super) fn new(name: &str) -> Self {
        OptionName(name.chars().take(Self::CHARS_MAX).flat_map(char::escape_debug).collect::<String>().into())
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl CodecError {
    pub(super) const fn invalid(what: &'static str) -> Self {
        CodecError::Invalid { what }
    }
}
