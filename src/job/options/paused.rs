//! A job that rests.

use serde::{Deserialize, Serialize};

use super::JobOption;
use crate::time::Timestamp;

/// Since when a job is paused: it does not start, whatever its due, until it is resumed.
///
/// [`Engine::pause_job`](crate::Engine::pause_job) sets it, and [`resume_job`](crate::Engine::resume_job) takes it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Paused(pub Timestamp);

impl JobOption for Paused {
    const NAME: &'static str = "paused";
    const MUST_BE: &'static str = "an instant such as \"2026-11-29T10:00:00Z\"";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(&self.0.as_micros().to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Paused(Timestamp::from_micros(i64::from_le_bytes(bytes.try_into().ok()?))))
    }
}
