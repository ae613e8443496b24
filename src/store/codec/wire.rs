//! The values of a body, as `bincode` is to write them. The tables in the [codec's documentation](super) are these
//! types.
//!
//! The names of the enums are told to users: they say what it is whose tag is not known.
//!
//! What reads a value is inlined from here to the vector that it ends in. As calls, each with a hundred bytes to hand
//! over, reading takes a third longer.

use std::borrow::Cow;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::BorrowDecoder;
use bincode::de::read::Reader;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{AllowedEnumVariants, DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

use super::{CodecError, FRAME_BYTES_MAX};

/// At the beginning of a batch.
#[derive(Encode, Decode)]
pub(super) struct BatchHead {
    pub(super) partition: u16,
    pub(super) epoch: u64,
    pub(super) first_record: u64,
    /// What the ids of the batch are distances from.
    pub(super) near: u64,
    pub(super) records: u32,
}

/// At the beginning of a chunk.
#[derive(Encode, Decode)]
pub(super) struct ChunkHead {
    pub(super) partition: u16,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) number: u32,
    pub(super) covered: u64,
    /// Also what the ids of the chunk are distances from.
    pub(super) next_sequence: u64,
    pub(super) jobs: u32,
    pub(super) fired: u32,
}

/// An enum with the tags by which its variants are known in the bytes. What `bincode` derives for an enum are the places
/// of its variants, whatever numbers they are given: moving one would change what is written.
macro_rules! tagged {
    (enum $name:ident $(<$life:lifetime>)? {
        $($tag:literal => $variant:ident $({ $($field:ident: $type:ty),* })?,)*
    }) => {
        pub(super) enum $name $(<$life>)? {
            $($variant $({ $($field: $type),* })?,)*
        }

        impl $(<$life>)? Encode for $name $(<$life>)? {
            #[inline(always)]
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        let tag: u8 = $tag;
                        tag.encode(encoder)?;
                        $($($field.encode(encoder)?;)*)?
                    })*
                }
                Ok(())
            }
        }

        impl<$($life,)? 'de $(: $life)?, C> BorrowDecode<'de, C> for $name $(<$life>)? {
            #[inline(always)]
            fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Ok(match u8::decode(decoder)? {
                    $($tag => Self::$variant $({ $($field: BorrowDecode::borrow_decode(decoder)?),* })?,)*
                    tag => return Err(DecodeError::UnexpectedVariant {
                        type_name: stringify!($name),
                        allowed: &AllowedEnumVariants::Allowed(&[$($tag),*]),
                        found: tag.into(),
                    }),
                })
            }
        }
    };
}

tagged! {
    enum Record<'a> {
        1 => Scheduled { job: Job<'a> },
        2 => Replacing { job: Job<'a>, replaced: i64 },
        3 => Rescheduled { id: i64, version: u32, due: Due },
        4 => Cancelled { id: i64 },
        5 => Started { id: i64, at: i64 },
        6 => StartedAgain { id: i64, at: i64, attempt: u16 },
        7 => Interrupted { id: i64, at: i64, attempt: u16 },
        8 => Finished { id: i64, at: i64, end: End },
        9 => Skipped { id: i64, at: i64 },
        10 => Retried { id: i64, at: i64, attempt: u16, version: u32, due: Due, is_counted: bool, fault: Fault<'a> },
        11 => Died { id: i64, at: i64, version: u32, reason: Reason, fault: Fault<'a> },
        12 => Revived { id: i64, version: u32, due: Due },
        13 => Purged { id: i64 },
        14 => Stopped { id: i64 },
        15 => Detaching { job: Job<'a>, detached: i64 },
        16 => StartedAs { id: i64, at: i64, attempt: u16, version: u32 },
        17 => Recurred { id: i64, at: i64, version: u32, end: End, fault: Fault<'a>, next: Occurrence, passed: Passed },
        18 => PassedOver { id: i64, version: u32, next: Occurrence, passed: Passed },
        19 => Edited { id: i64, version: u32, payload: Option<&'a [u8]>, priority: Option<u8>, queue: Option<u32> },
        20 => PauseSet { queue: u32, is_paused: bool, at: i64, version: u32 },
        22 => Paused { id: i64, at: i64, version: u32 },
        23 => Resumed { id: i64, version: u32 },
        24 => EditedTags { id: i64, version: u32, payload: Option<&'a [u8]>, priority: Option<u8>, queue: Option<u32>, tags: Cow<'a, [u8]> },
    }
}

/// [`Record::Scheduled`] by itself: the same bytes, without the size of the other records.
pub(super) struct Taken<'a>(pub(super) Job<'a>);

impl Taken<'_> {
    pub(super) const TAG: u8 = 1;
}

impl Encode for Taken<'_> {
    #[inline(always)]
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        Self::TAG.encode(encoder)?;
        self.0.encode(encoder)
    }
}

/// The tag was looked at before.
impl<'a, 'de: 'a, C> BorrowDecode<'de, C> for Taken<'a> {
    #[inline(always)]
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        u8::decode(decoder)?;
        BorrowDecode::borrow_decode(decoder).map(Taken)
    }
}

tagged! {
    enum JobImage<'a> {
        1 => Pending { job: Job<'a>, version: u32, attempt: u16 },
        2 => Running { job: Job<'a>, version: u32, attempt: u16, since: i64 },
        3 => PendingAgain { job: Job<'a>, version: u32, attempt: u16, history: History<'a> },
        4 => RunningAgain { job: Job<'a>, version: u32, attempt: u16, since: i64, history: History<'a> },
        5 => Dead { job: Job<'a>, version: u32, attempt: u16, at: i64, reason: Reason, history: History<'a> },
    }
}

tagged! {
    enum QueueImage {
        6 => Pause { queue: u32, is_paused: bool, at: i64, version: u32 },
    }
}

impl QueueImage {
    /// No job begins with it.
    pub(super) const TAG: u8 = 6;
}

tagged! {
    enum Fault<'a> {
        0 => None,
        1 => Failed { message: &'a str },
        2 => Panicked { message: &'a str },
        3 => TimedOut { message: &'a str },
        4 => Interrupted { message: &'a str },
    }
}

/// Its due is its instant.
#[derive(Encode, Decode)]
pub(super) struct Occurrence {
    pub(super) scheduled_for: i64,
    pub(super) number: u64,
    pub(super) missed: u64,
}

tagged! {
    enum Passed {
        0 => None,
        1 => Coalesced { count: u64, first: i64, last: i64 },
        2 => Missed { count: u64, first: i64, last: i64 },
        3 => Overlap { count: u64, first: i64, last: i64 },
        4 => Paused { count: u64, first: i64, last: i64 },
    }
}

tagged! {
    enum Reason {
        1 => Exhausted,
        2 => Killed,
        3 => Expired,
    }
}

tagged! {
    enum End {
        1 => Done,
        2 => Failed,
        3 => Panicked,
        4 => Interrupted,
        5 => TimedOut,
        6 => Discarded,
        7 => Cancelled,
    }
}

tagged! {
    enum Due {
        1 => Wall { at: i64 },
        2 => Mono { at: i64 },
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct Job<'a> {
    pub(super) id: i64,
    pub(super) key: &'a str,
    /// Its place in the table of queues.
    pub(super) queue: u32,
    pub(super) payload: &'a [u8],
    pub(super) due: Due,
    pub(super) options: Block<'a>,
}

/// [`JobOption`]s, one after the other: those that a plain job has not. Written as any bytes are, but most are empty, and
/// those are a zero and no more.
pub(super) struct Block<'a>(pub(super) &'a [u8]);

impl Encode for Block<'_> {
    #[inline(always)]
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        if self.0.is_empty() { 0u8.encode(encoder) } else { self.0.encode(encoder) }
    }
}

impl<'a, 'de: 'a, C> BorrowDecode<'de, C> for Block<'a> {
    #[inline(always)]
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        // A length of one byte, as that of most bytes is, is that byte.
        if let Some([0]) = decoder.borrow_reader().peek_read(1) {
            decoder.borrow_reader().consume(1);
            return Ok(Block(&[]));
        }
        BorrowDecode::borrow_decode(decoder).map(Block)
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct JobOption<'a> {
    /// Its place in the table of options.
    pub(super) option: u32,
    pub(super) value: &'a [u8],
}

/// What is remembered of attempts. Its errors are [`AttemptError`]s, one after the other.
#[derive(Encode, BorrowDecode)]
pub(super) struct History<'a> {
    pub(super) failures: u16,
    pub(super) revivals: u16,
    pub(super) is_stopped: bool,
    pub(super) errors: Block<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct AttemptError<'a> {
    pub(super) attempt: u16,
    pub(super) at: i64,
    pub(super) fault: Fault<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct FiredImage<'a> {
    pub(super) end: End,
    pub(super) id: i64,
    pub(super) key: &'a str,
    pub(super) fired_at: i64,
    pub(super) ended_at: i64,
}

/// The fewest bytes that a value can have: no body holds more of them than that leaves room for.
pub(super) const RECORD_BYTES_MIN: usize = 2;
pub(super) const JOB_IMAGE_BYTES_MIN: usize = 11;
pub(super) const QUEUE_IMAGE_BYTES_MIN: usize = 5;
pub(super) const FIRED_IMAGE_BYTES_MIN: usize = 6;
pub(super) const NAME_BYTES_MIN: usize = 2;

/// The most bytes that a value can have, but for its texts and bytes.
pub(super) const TAG_BYTES: usize = 1;
pub(super) const NUMBER_BYTES_MAX: usize = 9;
pub(super) const VERSION_BYTES_MAX: usize = 5;
pub(super) const ATTEMPT_BYTES_MAX: usize = 3;
pub(super) const QUEUE_BYTES_MAX: usize = 3;
pub(super) const DUE_BYTES_MAX: usize = TAG_BYTES + NUMBER_BYTES_MAX;
/// Of a job without its options: tag, id, queue and due.
pub(super) const JOB_BYTES_MAX: usize = TAG_BYTES + NUMBER_BYTES_MAX + QUEUE_BYTES_MAX + DUE_BYTES_MAX;
/// Of what was said of a queue.
pub(super) const PAUSE_BYTES_MAX: usize =
    TAG_BYTES + QUEUE_BYTES_MAX + 1 + NUMBER_BYTES_MAX + VERSION_BYTES_MAX;
/// Of a fault without its text.
pub(super) const FAULT_BYTES_MAX: usize = TAG_BYTES;
pub(super) const OCCURRENCE_BYTES_MAX: usize = 3 * NUMBER_BYTES_MAX;
pub(super) const PASSED_BYTES_MAX: usize = TAG_BYTES + 3 * NUMBER_BYTES_MAX;
/// Of a history without its errors, and of an error without its fault.
pub(super) const HISTORY_BYTES_MAX: usize = 2 * ATTEMPT_BYTES_MAX + 1;
pub(super) const ERROR_BYTES_MAX: usize = ATTEMPT_BYTES_MAX + NUMBER_BYTES_MAX;
/// Which option it is: there are fewer than 250.
pub(super) const OPTION_BYTES: usize = 1;

/// How many bytes a text or a payload of so many bytes takes.
pub(super) const fn bytes_of(bytes: usize) -> usize {
    let length = match bytes {
        0..=250 => 1,
        251..=0xFFFF => 3,
        _ => NUMBER_BYTES_MAX,
    };
    bytes.saturating_add(length)
}

/// More than any value in a frame counts for: its numbers count by their types, however few bytes they take.
const VALUE_BYTES_MAX: usize = FRAME_BYTES_MAX + 1024;

/// The one configuration.
const CONFIG: Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> = bincode::config::standard()
    .with_little_endian()
    .with_variable_int_encoding()
    .with_limit::<VALUE_BYTES_MAX>();

/// Appends a value.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Encode) -> Result<(), CodecError> {
    // Neither the types above nor a vector refuse anything.
    let refused = |_| CodecError::invalid("a value cannot be encoded");
    bincode::encode_into_writer(value, Sink(out), CONFIG).map_err(refused)
}

struct Sink<'a>(&'a mut Vec<u8>);

impl Writer for Sink<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// What is left of a body that is being read.
pub(super) struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Body(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The byte that the next value begins with.
    #[inline(always)]
    pub(super) fn next_byte(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value.
    #[inline(always)]
    pub(super) fn read<T: BorrowDecode<'a, ()>>(&mut self) -> Result<T, CodecError> {
        let (value, used) = bincode::borrow_decode_from_slice(self.0, CONFIG)?;
        self.0 = self.0.get(used..).unwrap_or_default();
        Ok(value)
    }

    /// How many values to reserve room for, if there are `count` to come. Fewer bytes than they need are an error, so
    /// what is reserved is bounded by what is there.
    pub(super) fn room_for(&self, count: u32, bytes_min: usize) -> Result<usize, CodecError> {
        match usize::try_from(count) {
            Ok(count) if count <= self.0.len() / bytes_min => Ok(count),
            _ => Err(CodecError::invalid("it counts more than it has bytes for")),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), CodecError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CodecError::invalid("its body holds more than it counts"))
        }
    }
}

/// The checksum fitted, so none of these is damage.
impl From<DecodeError> for CodecError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnexpectedVariant { type_name, found, .. } => {
                CodecError::NewerPart { part: type_name, tag: found }
            }
            DecodeError::UnexpectedEnd { .. } => CodecError::invalid("its body ends within a value"),
            DecodeError::InvalidIntegerType { .. } => CodecError::invalid("a number is out of its range"),
            DecodeError::LimitExceeded | DecodeError::OutsideUsizeRange(_) => {
                CodecError::invalid("a length is beyond all bounds")
            }
            DecodeError::Utf8 { .. } => CodecError::invalid("a text is not UTF-8"),
            _ => CodecError::invalid("a value cannot be decoded"),
        }
    }
}
