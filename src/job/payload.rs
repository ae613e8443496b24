//! What a job carries.

use std::fmt;
use std::sync::Arc;

/// The bytes that a job carries to its handler.
///
/// Up to 70 bytes lie in the value itself and take no memory beside it. Clones of longer ones share the bytes.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Shared(Arc<[u8]>),
}

/// With its length and what tells the two apart it makes nine words.
const INLINE_MAX: usize = 70;

impl Payload {
    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// How many bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline { len, .. } => usize::from(*len),
            Repr::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Payload {
    fn default() -> Self {
        Payload(Repr::Inline { len: 0, bytes: [0; INLINE_MAX] })
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Payload {}

impl From<&[u8]> for Payload {
    #[inline]
    fn from(from: &[u8]) -> Self {
        if from.len() > INLINE_MAX {
            return Payload(Repr::Shared(from.into()));
        }
        let mut bytes = [0; INLINE_MAX];
        bytes[..from.len()].copy_from_slice(from);
        Payload(Repr::Inline { len: from.len() as u8, bytes })
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_never_shows_its_bytes_in_debug() {
        assert_eq!(format!("{:?}", Payload::from("secret")), "Payload(6 bytes)");
    }

    #[test]
    fn a_payload_keeps_its_bytes_however_many() {
        for len in [0, 1, 69, 70, 71, 10_000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let payload = Payload::from(bytes.clone());
            assert_eq!((payload.as_bytes(), payload.len(), payload.is_empty()), (&*bytes, len, len == 0));
            assert_eq!(payload, payload.clone());
            assert_eq!(matches!(payload.0, Repr::Inline { .. }), len <= INLINE_MAX);
        }
        assert_eq!(Payload::default(), Payload::from(""));
        assert_ne!(Payload::from("a"), Payload::from("b"));
        assert!(size_of::<Payload>() <= 72, "{}", size_of::<Payload>());
    }
}
