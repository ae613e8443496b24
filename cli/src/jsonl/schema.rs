//! The parser against `docs/run.schema.json`, both ways: what the parser takes keeps the schema, and what keeps the schema the
//! parser takes, but for what no schema can say.

mod lines;

use std::collections::BTreeSet;

use jsonschema::Validator;
use reveille::{Recurrence, Timestamp};
use serde_json::{Map, Value};
use testkit::schema;

use super::op::{self, OpError};
use super::reading::STATES;
use super::{fields, payload, time};

/// The schema of a line, with the formats that it names.
fn input() -> Validator {
    let is_delay = |text: &str| time::parse_delay(text).is_ok();
    let is_shift = move |text: &str| is_delay(text.strip_prefix('-').unwrap_or(text));
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("instant", |text: &str| time::parse_instant(text).is_ok())
        .with_format("date-time", |text: &str| text.parse::<Timestamp>().is_ok())
        .with_format("delay", is_delay)
        .with_format("shift", is_shift)
        .with_format("base64", |text: &str| payload::from_base64(text).is_some())
        .with_format("cron", |text: &str| Recurrence::cron(text, "UTC").is_ok())
        .with_format("time-zone", |text: &str| Recurrence::cron("* * * * *", text).is_ok())
        .with_format("cursor", |text: &str| text.parse::<reveille::ListCursor>().is_ok())
        .build(&schema::of("input"))
        .unwrap()
}

/// What a line must be beyond what a schema says of it: bytes are counted, where it counts characters; two instants stand in an
/// order; numbers lie within what can be computed.
fn is_beyond_a_schema(error: &OpError, line: &Value) -> bool {
    match error {
        OpError::Key(_) | OpError::Tag(_) | OpError::Queue(_) => ["key", "tag", "queue"]
            .iter()
            .any(|name| line[name].as_str().is_some_and(|text| !text.is_ascii())),
        OpError::Option { field, .. } => {
            ["tags", "headers"].contains(field) && !line[field].to_string().is_ascii()
        }
        OpError::Rule { field, .. } => ["until", "every"].contains(field),
        OpError::Time { field, .. } => line[field].is_number(),
        OpError::WrongValue { field: "recurrence", .. } => {
            let every = &line["recurrence"]["every"];
            line["recurrence"]["until"].is_string() || every.is_number() || every.is_string()
        }
        _ => false,
    }
}

/// Lines held against both.
struct Checked {
    schema: Validator,
    taken: usize,
    refused: usize,
    faults: Vec<String>,
}

impl Checked {
    fn new() -> Self {
        Checked { schema: input(), taken: 0, refused: 0, faults: Vec::new() }
    }

    fn check(&mut self, line: &Value) {
        let text = line.to_string();
        let is_valid = self.schema.is_valid(line);
        match op::parse(&text) {
            Ok(_) => self.taken += 1,
            Err(_) => self.refused += 1,
        }
        match op::parse(&text) {
            Ok(_) if !is_valid => {
                let faults: Vec<_> = self.schema.iter_errors(line).map(|fault| fault.to_string()).collect();
                self.faults.push(format!("{text} is taken, and breaks the schema: {faults:?}"));
            }
            Err(error) if is_valid && !is_beyond_a_schema(&error, line) => {
                self.faults.push(format!("{text} keeps the schema, and is refused: {error}"));
            }
            _ => {}
        }
    }

    /// So many lines, at least, were to be taken, and so many refused.
    fn end(self, taken: usize, refused: usize) {
        let faults = &self.faults;
        let some = faults.iter().step_by(1 + faults.len() / 20).map(String::as_str).collect::<Vec<_>>();
        assert!(faults.is_empty(), "{} lines, of these kinds:\n{}", faults.len(), some.join("\n"));
        let counts = (self.taken, self.refused);
        assert!(counts.0 >= taken && counts.1 >= refused, "{counts:?} taken and refused");
    }
}

#[test]
fn the_parser_takes_what_keeps_the_schema_and_nothing_else() {
    let mut checked = Checked::new();
    let values = lines::values(&schema::document());
    for line in lines::samples() {
        op::parse(&line.to_string()).unwrap_or_else(|error| panic!("{line}: {error}"));
        checked.check(&line);
        lines::mutate(&line, &values, &mut |changed| checked.check(changed));
    }
    checked.end(1_000, 10_000);
}

#[test]
fn any_two_fields_stand_together_in_both_or_in_neither() {
    let mut checked = Checked::new();
    let fields: Vec<(&str, Value)> = lines::right_values().into_iter().collect();
    for op in op::OPS {
        for (at, (one, value)) in fields.iter().enumerate() {
            for (other, other_value) in &fields[at + 1..] {
                for key in [None, Some("key"), Some("tag")] {
                    let pair =
                        [("op", Value::from(op)), (*one, value.clone()), (*other, other_value.clone())];
                    let mut line: Map<String, Value> =
                        pair.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    if let Some(key) = key {
                        line.insert(key.to_owned(), "k".into());
                    }
                    checked.check(&line.into());
                }
            }
        }
    }
    checked.end(200, 5_000);
}

#[test]
fn the_fuzzer_s_lines_and_those_of_the_documents_agree_with_the_schema() {
    let mut checked = Checked::new();
    for line in lines::written_down() {
        // A number that JSON can write, and a `Value` cannot hold, is none of the schema's business.
        if let Ok(line @ Value::Object(_)) = serde_json::from_str::<Value>(&line) {
            checked.check(&line);
        }
    }
    checked.end(30, 30);
}

#[test]
fn the_schema_has_the_fields_and_words_that_the_parser_has() {
    let document = schema::document();
    let input = &document["$defs"]["input"]["properties"];
    let described: BTreeSet<&str> = input.as_object().unwrap().keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = fields::names().collect();
    assert_eq!(described, known);
    assert_eq!(
        lines::right_values().keys().copied().collect::<BTreeSet<_>>(),
        &known - &BTreeSet::from(["op"])
    );

    let words = |of: &Value| -> BTreeSet<String> {
        of.as_array().unwrap().iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let states: BTreeSet<String> = STATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(words(&input["state"]["anyOf"][0]["enum"]), states);
    assert_eq!(words(&input["state"]["anyOf"][1]["items"]["enum"]), states);
    assert_eq!(
        words(&input["on_conflict"]["enum"]),
        op::ON_CONFLICT.iter().map(|(name, _)| (*name).to_owned()).collect()
    );
    let ops = document["$defs"]["input"]["oneOf"].as_array().unwrap().iter().map(|op| {
        let definition = op["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        document["$defs"][definition]["properties"]["op"]["const"].as_str().unwrap()
    });
    assert_eq!(ops.collect::<BTreeSet<_>>(), BTreeSet::from(op::OPS));
}
