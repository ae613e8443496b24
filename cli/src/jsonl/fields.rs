//! The fields of a line, of whichever op: each of them known, and there once.
//!
//! The options of a job are not named here: which there are, and how each is read, the library says.

use std::borrow::Cow;
use std::fmt;

use reveille::job::JobOptions;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rule;

/// `None` for a field that is not there, or is `null`.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) op: Option<String>,
    pub(super) key: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) at: Option<&'a RawValue>,
    pub(super) after: Option<&'a RawValue>,
    pub(super) by: Option<&'a RawValue>,
    pub(super) payload: Option<&'a RawValue>,
    pub(super) payload_base64: Option<String>,
    pub(super) on_conflict: Option<String>,
    pub(super) and_after: Option<bool>,
    pub(super) within: Option<&'a RawValue>,
    pub(super) spread: Option<&'a RawValue>,
    /// Whether the job recurs, as far as it was read.
    pub(super) recurs: bool,
    /// Of the rule of a recurring job.
    pub(super) rule: rule::Fields<'a>,
    /// By their names, in the order of the line.
    pub(super) options: Vec<(&'static str, &'a RawValue)>,
}

/// But for those of a rule, and for the options.
const NAMES: [&str; 13] = [
    "op",
    "key",
    "tag",
    "queue",
    "at",
    "in",
    "by",
    "payload",
    "payload_base64",
    "on_conflict",
    "and_after",
    "within",
    "spread",
];

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let (mut fields, mut seen) = (Fields::default(), Vec::new());
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let known = known_names().find(|known| *known == name);
            let name = known.ok_or_else(|| unknown(&name))?;
            if seen.contains(&name) {
                return Err(Error::duplicate_field(name));
            }
            seen.push(name);
            match name {
                "op" => fields.op = map.next_value()?,
                "key" => fields.key = map.next_value()?,
                "tag" => fields.tag = map.next_value()?,
                "queue" => fields.queue = map.next_value()?,
                "at" => fields.at = map.next_value()?,
                "in" => fields.after = map.next_value()?,
                "by" => fields.by = map.next_value()?,
                "payload" => fields.payload = map.next_value()?,
                "payload_base64" => fields.payload_base64 = map.next_value()?,
                "on_conflict" => fields.on_conflict = map.next_value()?,
                "and_after" => fields.and_after = map.next_value()?,
                "within" => fields.within = map.next_value()?,
                "spread" => fields.spread = map.next_value()?,
                of_rule if rule::NAMES.contains(&of_rule) => {
                    let value: Option<&RawValue> = map.next_value()?;
                    fields.rule.extend(value.map(|value| (of_rule, value)));
                }
                option => {
                    let value: Option<&RawValue> = map.next_value()?;
                    fields.options.extend(value.map(|value| (option, value)));
                }
            }
        }
        Ok(fields)
    }
}

fn known_names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(rule::NAMES).chain(JobOptions::names())
}

fn unknown<E: Error>(name: &str) -> E {
    let known: Vec<String> = known_names().map(|name| format!("`{name}`")).collect();
    E::custom(format_args!("unknown field `{name}`, expected one of {}", known.join(", ")))
}
