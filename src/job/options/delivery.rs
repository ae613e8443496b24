//! How often a job may run.

use serde::{Deserialize, Serialize};

use super::JobOption;

/// What a crash in the middle of a handler means for the job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[non_exhaustive]
pub enum Delivery {
    /// It runs again: the handler must be idempotent. The job is acknowledged when the handler ends.
    #[default]
    AtLeastOnce,
    /// It does not run again. The start is made durable before the handler begins.
    AtMostOnce,
}

impl TryFrom<String> for Delivery {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "at_least_once" => Ok(Delivery::AtLeastOnce),
            "at_most_once" => Ok(Delivery::AtMostOnce),
            _ => Err(Self::MUST_BE),
        }
    }
}

impl JobOption for Delivery {
    const NAME: &'static str = "delivery";
    const MUST_BE: &'static str = "\"at_least_once\" or \"at_most_once\"";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(match self {
            Delivery::AtLeastOnce => &[1],
            Delivery::AtMostOnce => &[2],
        });
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1] => Some(Delivery::AtLeastOnce),
            [2] => Some(Delivery::AtMostOnce),
            _ => None,
        }
    }
}
