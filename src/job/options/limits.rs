//! How long an attempt may take, and until when there may be one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobOption;
use crate::time::{Timestamp, span};

/// How long an attempt may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeout(#[serde(with = "span")] pub Duration);

/// The instant after which no attempt begins: the job is [dead](crate::DeathReason::Expired) then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expires(pub Timestamp);

impl JobOption for Timeout {
    const NAME: &'static str = "timeout";
    const MUST_BE: &'static str = "a length of time such as \"500ms\" or \"1h 30m\"";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(&u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Timeout(Duration::from_micros(u64::from_le_bytes(bytes.try_into().ok()?))))
    }
}

impl JobOption for Expires {
    const NAME: &'static str = "expires";
    const MUST_BE: &'static str = "an instant such as \"2026-11-29T10:00:00Z\"";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(&self.0.as_micros().to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Expires(Timestamp::from_micros(i64::from_le_bytes(bytes.try_into().ok()?))))
    }
}
