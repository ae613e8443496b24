//! Short pairs of texts that travel with a job beside its payload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::JobOption;
use super::tags::beginning;

/// How many headers a job may have.
pub const HEADERS_MAX: usize = 16;

/// How many bytes the name of a header may have.
pub const HEADER_NAME_BYTES_MAX: usize = 64;

/// How many bytes the value of a header may have.
pub const HEADER_VALUE_BYTES_MAX: usize = 256;

/// The headers of a job: up to 16, each a name of 1 to 64 visible ASCII characters, and a value of up to 256 bytes without control
/// characters. A name that is given twice has the value that came last.
///
/// ```
/// use reveille::job::Headers;
///
/// let headers = Headers::new([("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")])?;
/// assert!(headers.value("traceparent").unwrap().starts_with("00-"));
/// assert_eq!(headers.value("Traceparent"), None);
/// # Ok::<(), reveille::job::InvalidHeader>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Headers(
    /// In the order of their names.
    Box<[(Box<str>, Box<str>)]>,
);

/// Why a pair of texts cannot be a header of a job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name has no character.
    #[error("the name of a header is empty; give it 1 to {HEADER_NAME_BYTES_MAX} visible ASCII characters")]
    EmptyName,
    /// The name is too long.
    #[error(
        "the name of the header that begins with {:?} has {bytes} bytes; it may have {HEADER_NAME_BYTES_MAX}",
        beginning(name)
    )]
    #[non_exhaustive]
    LongName {
        /// The name.
        name: String,
        /// How many bytes it has.
        bytes: usize,
    },
    /// The name has something else than visible ASCII characters.
    #[error("the name of the header {name:?} has something else than visible ASCII characters at byte {at}")]
    #[non_exhaustive]
    NameCharacter {
        /// The name.
        name: String,
        /// Where, counted from 0.
        at: usize,
    },
    /// The value is too long.
    #[error("the value of the header {name:?} has {bytes} bytes; it may have {HEADER_VALUE_BYTES_MAX}")]
    #[non_exhaustive]
    LongValue {
        /// The name.
        name: String,
        /// How many bytes its value has.
        bytes: usize,
    },
    /// The value has a control character.
    #[error("the value of the header {name:?} has a control character at byte {at}; take it out")]
    #[non_exhaustive]
    ValueControl {
        /// The name.
        name: String,
        /// Where the character begins, counted from 0.
        at: usize,
    },
    /// The job has as many as it may.
    #[error("the header {name:?} is one too many: a job may have {HEADERS_MAX}")]
    #[non_exhaustive]
    TooMany {
        /// The first that is too many.
        name: String,
    },
}

impl Headers {
    /// These headers.
    ///
    /// # Errors
    /// The first that cannot be one, or is too many.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidHeader> {
        Headers::default().with(headers)
    }

    /// These headers, and those that are here.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with<N: AsRef<str>, V: AsRef<str>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidHeader> {
        let mut all: BTreeMap<Box<str>, Box<str>> = self.0.iter().cloned().collect();
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            check(name, value)?;
            if !all.contains_key(name) && all.len() == HEADERS_MAX {
                return Err(InvalidHeader::TooMany { name: name.to_owned() });
            }
            all.insert(name.into(), value.into());
        }
        Ok(Headers(all.into_iter().collect()))
    }

    /// Each of them, name and value, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of a name, which is told as it was given, capitals included.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|&(it, _)| it == name).map(|(_, value)| value)
    }
}

fn check(name: &str, value: &str) -> Result<(), InvalidHeader> {
    if name.is_empty() {
        return Err(InvalidHeader::EmptyName);
    }
    let of_name = || name.to_owned();
    if name.len() > HEADER_NAME_BYTES_MAX {
        return Err(InvalidHeader::LongName { name: of_name(), bytes: name.len() });
    }
    if let Some(at) = name.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(InvalidHeader::NameCharacter { name: of_name(), at });
    }
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Err(InvalidHeader::LongValue { name: of_name(), bytes: value.len() });
    }
    match value.find(char::is_control) {
        Some(at) => Err(InvalidHeader::ValueControl { name: of_name(), at }),
        None => Ok(()),
    }
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = InvalidHeader;

    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, InvalidHeader> {
        Headers::new(headers)
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// One after the other: the length of the name, the name, the length of the value in two bytes, the value.
impl JobOption for Headers {
    const NAME: &'static str = "headers";
    const MUST_BE: &'static str =
        "an object of up to 16 texts of up to 256 bytes, with names of 1 to 64 visible ASCII characters";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        for (name, value) in self.iter() {
            out(&[name.len() as u8]);
            out(name.as_bytes());
            out(&(value.len() as u16).to_le_bytes());
            out(value.as_bytes());
        }
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut headers = Vec::new();
        while let Some((&len, rest)) = bytes.split_first() {
            let (name, rest) = rest.split_at_checked(usize::from(len))?;
            let (len, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            headers.push((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?));
            bytes = rest;
        }
        // As they are written: in order, each name once.
        let is_in_order = headers.is_sorted_by(|(one, _), (next, _)| one < next);
        Headers::new(headers).ok().filter(|_| is_in_order)
    }

    fn why_not(json: &str) -> Option<String> {
        let headers: BTreeMap<String, String> = serde_json::from_str(json).ok()?;
        Headers::new(headers).err().map(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(headers: &Headers) -> Vec<u8> {
        let mut bytes = Vec::new();
        headers.write(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_by_name() {
        let (long_name, long_value) = ("n".repeat(65), "v".repeat(257));
        for (name, value, said) in [
            ("", "v", "the name of a header is empty; give it 1 to 64 visible ASCII characters"),
            (
                &*long_name,
                "v",
                "the name of the header that begins with \"nnnnnnnnnnnnnnnn\" has 65 bytes; it may have 64",
            ),
            (
                "a b",
                "v",
                "the name of the header \"a b\" has something else than visible ASCII characters at byte 1",
            ),
            (
                "é",
                "v",
                "the name of the header \"é\" has something else than visible ASCII characters at byte 0",
            ),
            ("n", &*long_value, "the value of the header \"n\" has 257 bytes; it may have 256"),
            ("n", "a\tb", "the value of the header \"n\" has a control character at byte 1; take it out"),
        ] {
            assert_eq!(Headers::new([(name, value)]).unwrap_err().to_string(), said);
        }
        let sixteen = Headers::new((0..16).map(|n| (format!("h{n}"), String::new()))).unwrap();
        let error = sixteen.with([("h3", "3"), ("h16", "")]).unwrap_err();
        assert_eq!(error.to_string(), "the header \"h16\" is one too many: a job may have 16");
        assert_eq!(sixteen.with([("h3", "3")]).unwrap().value("h3"), Some("3"));
    }

    #[test]
    fn headers_have_these_bytes() {
        let headers = Headers::new([("b", ""), ("A", "ä")]).unwrap();
        assert_eq!(bytes_of(&headers), [1, b'A', 2, 0, 0xc3, 0xa4, 1, b'b', 0, 0]);
        for wrong in [&[0, 0, 0][..], &[1, b'a'], &[1, b'a', 1, 0], &[1, b'b', 0, 0, 1, b'a', 0, 0]] {
            assert_eq!(Headers::read(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn headers_come_back_from_their_bytes_and_from_json(
            pairs in prop::collection::vec(("[!-~]{1,64}", "[^\\p{Cc}]{0,64}"), 0..=16),
        ) {
            let headers = Headers::new(pairs).unwrap();
            prop_assert_eq!(Headers::read(&bytes_of(&headers)), Some(headers.clone()));
            let json = serde_json::to_string(&headers).unwrap();
            prop_assert_eq!(serde_json::from_str::<Headers>(&json).unwrap(), headers);
        }

        #[test]
        fn any_bytes_are_refused_or_written_again(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(headers) = Headers::read(&bytes) {
                prop_assert_eq!(bytes_of(&headers), bytes);
            }
        }
    }
}
