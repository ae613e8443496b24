//! What a job carries.

use std::fmt;
use std::sync::Arc;

use crate::prefetch::prefetch_counts;

/// The bytes that a job carries to its handler. Cloning shares them. No bytes are shared with nobody: every job that has
/// ended has none, and would count itself in the same place otherwise.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Option<Arc<[u8]>>);

impl Payload {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Has the processor fetch what a clone will write.
    pub(crate) fn warm(&self) {
        prefetch_counts(self.as_bytes().as_ptr());
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Payload((!bytes.is_empty()).then(|| bytes.into()))
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
}
