//! Labels by which jobs are found, cancelled and moved together.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::JobOption;

/// How many tags a job may have.
pub const TAGS_MAX: usize = 8;

/// How many bytes a tag may have.
pub const TAG_BYTES_MAX: usize = 64;

/// The tags of a job: up to 8 texts of 1 to 64 bytes, without control characters. A set: one that is given twice is there once.
///
/// ```
/// use reveille::job::Tags;
///
/// let tags = Tags::new(["tenant:7", "mail"])?;
/// assert!(tags.has("mail"));
/// assert_eq!(tags.iter().collect::<Vec<_>>(), ["mail", "tenant:7"]);
/// assert_eq!(Tags::new(["mail", ""]).unwrap_err().to_string(), "a tag is empty; give it 1 to 64 bytes");
/// # Ok::<(), reveille::job::InvalidTag>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Tags(
    /// In their order as texts, each once.
    Box<[Box<str>]>,
);

/// Why a text cannot be a tag of a job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTag {
    /// It has no character.
    #[error("a tag is empty; give it 1 to {TAG_BYTES_MAX} bytes")]
    Empty,
    /// It is too long.
    #[error("the tag that begins with {:?} has {bytes} bytes; it may have {TAG_BYTES_MAX}", beginning(tag))]
    #[non_exhaustive]
    TooLong {
        /// The tag.
        tag: String,
        /// How many bytes it has.
        bytes: usize,
    },
    /// It has a control character.
    #[error("the tag {tag:?} has a control character at byte {at}; take it out")]
    #[non_exhaustive]
    Control {
        /// The tag.
        tag: String,
        /// Where the character begins, counted from 0.
        at: usize,
    },
    /// The job has as many as it may.
    #[error("the tag {tag:?} is one too many: a job may have {TAGS_MAX}")]
    #[non_exhaustive]
    TooMany {
        /// The first that is too many.
        tag: String,
    },
}

impl Tags {
    /// These tags.
    ///
    /// # Errors
    /// The first that cannot be one, or is too many.
    pub fn new<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Result<Self, InvalidTag> {
        Tags::default().with(tags)
    }

    /// These tags, and those that are here.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Result<Self, InvalidTag> {
        let mut all: BTreeSet<Box<str>> = self.0.iter().cloned().collect();
        for tag in tags {
            let tag = tag.as_ref();
            Self::check(tag)?;
            if !all.contains(tag) && all.len() == TAGS_MAX {
                return Err(InvalidTag::TooMany { tag: tag.to_owned() });
            }
            all.insert(tag.into());
        }
        Ok(Tags(all.into_iter().collect()))
    }

    /// Whether a text can be a tag.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(tag: &str) -> Result<(), InvalidTag> {
        if tag.is_empty() {
            return Err(InvalidTag::Empty);
        }
        if tag.len() > TAG_BYTES_MAX {
            return Err(InvalidTag::TooLong { tag: tag.to_owned(), bytes: tag.len() });
        }
        match tag.find(char::is_control) {
            Some(at) => Err(InvalidTag::Control { tag: tag.to_owned(), at }),
            None => Ok(()),
        }
    }

    /// Each of them, in their order as texts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|tag| &**tag)
    }

    /// As they are written.
    #[cfg_attr(not(feature = "codec"), allow(dead_code))]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        self.write(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Those that were written as `bytes`; `None` if none were.
    #[cfg_attr(not(feature = "codec"), allow(dead_code))]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes)
    }

    /// How many bytes they take as they are written.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(|tag| 1 + tag.len()).sum()
    }

    /// Whether this is one of them.
    pub fn has(&self, tag: &str) -> bool {
        self.iter().any(|it| it == tag)
    }
}

impl TryFrom<Vec<String>> for Tags {
    type Error = InvalidTag;

    /// A list is no longer than a job may have tags, even if it has one twice.
    fn try_from(tags: Vec<String>) -> Result<Self, InvalidTag> {
        match tags.get(TAGS_MAX) {
            Some(tag) => Err(InvalidTag::TooMany { tag: tag.clone() }),
            None => Tags::new(tags),
        }
    }
}

/// One after the other, each after its length.
impl JobOption for Tags {
    const NAME: &'static str = "tags";
    const IS_LIST: bool = true;
    const MUST_BE: &'static str = "a list of up to 8 texts of 1 to 64 bytes, without control characters";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        for tag in self.iter() {
            out(&[tag.len() as u8]);
            out(tag.as_bytes());
        }
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut tags = Vec::new();
        while let Some((&len, rest)) = bytes.split_first() {
            let (tag, rest) = rest.split_at_checked(usize::from(len))?;
            tags.push(std::str::from_utf8(tag).ok()?);
            bytes = rest;
        }
        // As they are written: in order, each once.
        let is_in_order = tags.is_sorted_by(|one, next| one < next);
        Tags::new(tags).ok().filter(|_| is_in_order)
    }

    fn why_not(json: &str) -> Option<String> {
        let tags: Vec<String> = serde_json::from_str(json).ok()?;
        Tags::try_from(tags).err().map(|error| error.to_string())
    }
}

/// As much of a text as a message shows.
pub(super) fn beginning(text: &str) -> &str {
    const SHOWN: usize = 16;
    text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(tags: &Tags) -> Vec<u8> {
        let mut bytes = Vec::new();
        tags.write(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn what_cannot_be_a_tag_is_refused_by_name() {
        let nine: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
        let long = "é".repeat(33);
        for (tags, said) in [
            (vec!["a", ""], "a tag is empty; give it 1 to 64 bytes"),
            (vec![&*long], "the tag that begins with \"éééééééééééééééé\" has 66 bytes; it may have 64"),
            (vec!["a\nb"], "the tag \"a\\nb\" has a control character at byte 1; take it out"),
            (vec!["é\u{85}"], "the tag \"é\\u{85}\" has a control character at byte 2; take it out"),
            (vec!["\u{7f}"], "the tag \"\\u{7f}\" has a control character at byte 0; take it out"),
            (nine.iter().map(String::as_str).collect(), "the tag \"t8\" is one too many: a job may have 8"),
        ] {
            assert_eq!(Tags::new(tags).unwrap_err().to_string(), said);
        }
        let eight = Tags::new(&nine[..8]).unwrap();
        assert_eq!(eight.with(["t3", "t0"]), Ok(eight.clone()), "those are there");
        assert_eq!(Tags::new(["x".repeat(TAG_BYTES_MAX)]).unwrap().iter().len(), 1);
    }

    #[test]
    fn tags_have_these_bytes() {
        let tags = Tags::new(["b", "ä"]).unwrap();
        assert_eq!(bytes_of(&tags), [1, b'b', 2, 0xc3, 0xa4]);
        for wrong in [&[0][..], &[2, b'a'], &[1, b'b', 1, b'a'], &[1, b'a', 1, b'a'], &[1, 0xff], &[1, 7]] {
            assert_eq!(Tags::read(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn tags_come_back_from_their_bytes_and_from_json(texts in prop::collection::vec("[^\\p{Cc}]{1,16}", 0..=8)) {
            let tags = Tags::new(&texts).unwrap();
            prop_assert_eq!(Tags::read(&bytes_of(&tags)), Some(tags.clone()));
            let json = serde_json::to_string(&tags).unwrap();
            prop_assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), tags.clone());
            prop_assert!(texts.iter().all(|text| tags.has(text)));
        }

        #[test]
        fn any_bytes_are_refused_or_written_again(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(tags) = Tags::read(&bytes) {
                prop_assert_eq!(bytes_of(&tags), bytes);
            }
        }
    }
}
