//! How far calls may push a job back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobOption;
use crate::time::{Timestamp, span};

/// How far calls under one key may push a job back: to this long after the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    #[serde(with = "span")]
    max: Duration,
    /// The latest due, once there was a first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Debounce {
    /// At most this long after the first call.
    pub fn new(max: Duration) -> Self {
        Debounce { max, until: None }
    }

    /// The same, in a row of calls that began at `first`, or that `before` is the last of.
    pub(crate) fn begun(self, first: Timestamp, before: Option<Debounce>) -> Self {
        let max_us = u64::try_from(self.max.as_micros()).unwrap_or(u64::MAX);
        let until = before.and_then(|before| before.until).or(self.until);
        Debounce { until: Some(until.unwrap_or_else(|| first.saturating_add_micros(max_us))), ..self }
    }

    /// The latest due that the job may have.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

impl JobOption for Debounce {
    const NAME: &'static str = "debounce";
    const MUST_BE: &'static str = "an object such as {\"max\":\"10s\"}";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(&u64::try_from(self.max.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
        if let Some(until) = self.until {
            out(&until.as_micros().to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (max, until) = bytes.split_first_chunk()?;
        let until = match until {
            [] => None,
            until => Some(Timestamp::from_micros(i64::from_le_bytes(until.try_into().ok()?))),
        };
        Some(Debounce { max: Duration::from_micros(u64::from_le_bytes(*max)), until })
    }
}
