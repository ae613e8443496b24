//! A key as it lies in a job's line: the text itself, if it has up to 23 bytes.
//!
//! Of a longer one the line has its length and how it begins, and the whole text lies beside. So two short keys are compared in
//! three words, and two long ones that differ at the beginning are told apart without a look at what lies beside.

use std::fmt;

/// See the [module's documentation](self). The last byte says how long a short key is, or that it is a long one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct LineKey([u8; BYTES]);

const BYTES: usize = 24;
const LAST: usize = BYTES - 1;

/// The longest key that lies in the line.
pub(super) const SHORT_MAX: usize = LAST;

/// In the last byte of a long one.
const LONG: u8 = u8::MAX;

/// How much of a long one lies in the line, after two bytes of its length.
const BEGINNING: usize = LAST - 2;

impl LineKey {
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        let len = text.len();
        if len > SHORT_MAX {
            return Self::of_long(text);
        }
        // By words that overlap: copying a length that is not known takes a call.
        let [a, b, c] = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            let first = u128::from_le_bytes(*first);
            [first as u64, (first >> 64) as u64, upper(*last, len - 16)]
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            [u64::from_le_bytes(*first), upper(*last, len - 8), 0]
        } else {
            [text.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0, 0]
        };
        let mut key = [0; BYTES];
        key[..8].copy_from_slice(&a.to_le_bytes());
        key[8..16].copy_from_slice(&b.to_le_bytes());
        key[16..].copy_from_slice(&(c | (len as u64) << 56).to_le_bytes());
        LineKey(key)
    }

    #[cold]
    fn of_long(text: &[u8]) -> Self {
        let mut key = [LONG; BYTES];
        key[..2].copy_from_slice(&(text.len() as u16).to_le_bytes());
        key[2..LAST].copy_from_slice(&text[..BEGINNING]);
        LineKey(key)
    }

    #[inline]
    pub(super) fn is_long(&self) -> bool {
        self.0[LAST] == LONG
    }

    /// The text of a short one.
    #[inline]
    pub(super) fn short(&self) -> Option<&[u8]> {
        self.0.get(..usize::from(self.0[LAST]))
    }

    /// How many bytes of it lie beside the line: all of a long one, or none.
    #[inline]
    pub(super) fn bytes_beside(&self) -> usize {
        if self.is_long() { usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) } else { 0 }
    }
}

impl fmt::Debug for LineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.short().unwrap_or(&self.0[2..LAST]);
        write!(f, "{:?}", String::from_utf8_lossy(text))
    }
}

/// The last `bytes` bytes of `last`.
#[inline]
fn upper(last: [u8; 8], bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { u64::from_le_bytes(last) >> (64 - 8 * bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_keeps_its_text_and_a_long_one_its_length() {
        let text: Vec<u8> = (1..=255).collect();
        for len in 1..=255 {
            let key = LineKey::of(&text[..len]);
            assert_eq!(key.is_long(), len > 23);
            if key.is_long() {
                assert_eq!(key.bytes_beside(), len);
            } else {
                assert_eq!((key.short(), key.bytes_beside()), (Some(&text[..len]), 0));
            }
        }
        assert_eq!(LineKey::of(&[7; 512]).bytes_beside(), 512);
        assert_eq!(LineKey::of(b"").short(), Some(&[][..]));
    }

    #[test]
    fn equal_short_keys_are_those_of_equal_texts() {
        let texts: Vec<Vec<u8>> =
            (0..=23).flat_map(|len| [vec![0; len], vec![b'a'; len], vec![0xff; len]]).collect();
        for a in &texts {
            for b in &texts {
                assert_eq!(LineKey::of(a) == LineKey::of(b), a == b, "{a:?} {b:?}");
            }
        }
    }
}
