//! Lengths of time in the options of jobs, as JSON has them: text such as `500ms`, `1h30m`, `2d`. For `#[serde(with)]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

use super::{DurationText, parse_duration};

pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    serializer.collect_str(&DurationText(us))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}
