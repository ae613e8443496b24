//! The fields of a line, of whichever op: each of them known, and there once.
//!
//! The options of a job are not named here: which there are, and how each is read, the library says.

use std::borrow::Cow;
use std::fmt;

use reveille::job::JobOptions;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rule;

/// From the list of a line's fields: where each lies, and how it is known by its name.
macro_rules! fields {
    ($($name:literal => $field:ident: $Type:ty;)*) => {
        /// `None` for a field that is not there, or is `null`.
        #[derive(Default)]
        pub(super) struct Fields<'a> {
            $(pub(super) $field: Option<$Type>,)*
            /// Whether the job recurs, as far as it was read.
            pub(super) recurs: bool,
            /// Of the rule of a recurring job; a `from` may also say which jobs to read.
            pub(super) rule: rule::Fields<'a>,
            /// By their names, in the order of the line.
            pub(super) options: Vec<(&'static str, &'a RawValue)>,
        }

        /// But for those of a rule, and for the options.
        const NAMES: &[&str] = &[$($name),*];

        impl<'de> Fields<'de> {
            /// Reads the value of a field.
            fn read<A: MapAccess<'de>>(&mut self, name: &'static str, map: &mut A) -> Result<(), A::Error> {
                match name {
                    $($name => self.$field = map.next_value()?,)*
                    other => {
                        let is_of_rule = rule::NAMES.contains(&other);
                        let all = if is_of_rule { &mut self.rule } else { &mut self.options };
                        let value: Option<&RawValue> = map.next_value()?;
                        all.extend(value.map(|value| (other, value)));
                    }
                }
                Ok(())
            }

            /// A field that was not used. Used fields have been taken out.
            pub(super) fn left_over(&self) -> Option<&'static str> {
                let fields = [$(($name, self.$field.is_some())),*];
                let options = self.rule.iter().chain(&self.options).map(|&(name, _)| (name, true));
                fields.into_iter().chain(options).find_map(|(name, is_there)| is_there.then_some(name))
            }
        }
    };
}

fields! {
    "op" => op: String;
    "key" => key: String;
    "tag" => tag: String;
    "queue" => queue: String;
    "at" => at: &'a RawValue;
    "in" => after: &'a RawValue;
    "by" => by: &'a RawValue;
    "payload" => payload: &'a RawValue;
    "payload_base64" => payload_base64: String;
    "on_conflict" => on_conflict: String;
    "and_after" => and_after: bool;
    "if_version" => if_version: u32;
    "within" => within: &'a RawValue;
    "spread" => spread: &'a RawValue;
    "prefix" => prefix: String;
    "to" => to: &'a RawValue;
    "state" => state: &'a RawValue;
    "limit" => limit: &'a RawValue;
    "cursor" => cursor: String;
    "order" => order: String;
    "bucket" => bucket: String;
}

/// All that a line can have.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied().chain(rule::NAMES).chain(JobOptions::names())
}

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
            let known = names().find(|known| *known == name);
            let name = known.ok_or_else(|| unknown(&name))?;
            if seen.contains(&name) {
                return Err(Error::duplicate_field(name));
            }
            seen.push(name);
            fields.read(name, &mut map)?;
        }
        Ok(fields)
    }
}

fn unknown<E: Error>(name: &str) -> E {
    let known: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    E::custom(format_args!("unknown field `{name}`, expected one of {}", known.join(", ")))
}
