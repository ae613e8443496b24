//! An option that few jobs have, for tests: it goes the whole way, so that the way is open for those to come.

use serde::{Deserialize, Serialize};

use super::JobOption;

/// Some text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trial(
    /// The text.
    pub String,
);

impl JobOption for Trial {
    const NAME: &'static str = "trial";
    const MUST_BE: &'static str = "a text";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(self.0.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Trial)
    }
}
