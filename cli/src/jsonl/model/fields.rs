//! The fields of a line, whatever they are called, as often as they stand there.

use std::fmt;

use reveille::job::JobOptions;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields that are text, if they are there.
const TEXTS: [&str; 10] =
    ["op", "key", "tag", "queue", "payload_base64", "on_conflict", "prefix", "cursor", "order", "bucket"];

const TIMES: [&str; 5] = ["at", "in", "by", "within", "spread"];

/// Anything may stand there, right or wrong.
fn is_any(name: &str) -> bool {
    const OF_RULE: [&str; 10] =
        ["every", "cron", "zone", "anchor", "from", "until", "count", "missed", "missed_max", "overlap"];
    const OF_READING: [&str; 3] = ["to", "state", "limit"];
    name == "payload"
        || OF_RULE.contains(&name)
        || OF_READING.contains(&name)
        || JobOptions::names().any(|option| option == name)
}

/// Names and values in the line's order.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// `None` if the line is no JSON object.
    pub(super) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// The value as it stands in the line, unless it is `null`, which is as good as none.
    pub(super) fn json(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(other, _)| other == name)?.1.get();
        (value != "null").then_some(value)
    }

    /// The value, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.json(name)?).ok()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.json(name).is_some()
    }

    /// Whether every field is one of those that a line can have, once, and text where it must be that.
    pub(super) fn are_known(&self) -> bool {
        let is_once = |name| self.names().filter(|other| *other == name).count() == 1;
        // A text may not be read: one in which an escape stands for half a character.
        let is_text = |name| self.json(name).is_none_or(|_| self.text(name).is_some());
        let is_number = |name| self.json(name).is_some_and(|json| !json.starts_with('"'));
        self.names().all(|name| {
            let is_flag = name == "and_after" && matches!(self.json(name), None | Some("true" | "false"));
            let is_version =
                name == "if_version" && self.json(name).is_none_or(|json| json.parse::<u32>().is_ok());
            let is_known = is_flag
                || is_version
                || TEXTS.contains(&name) && is_text(name)
                || TIMES.contains(&name) && (is_number(name) || is_text(name))
                || is_any(name);
            is_known && is_once(name)
        })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
