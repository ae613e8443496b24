//! The JSON Schema of the lines of `reveille run`: `docs/run.schema.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// By the names of events.
static EVENTS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let document = document();
    let definitions = document["$defs"].as_object().expect("definitions");
    let events = definitions.keys().filter_map(|name| name.strip_prefix("event_"));
    events.map(|event| (event.to_owned(), definition(&format!("event_{event}")))).collect()
});

/// The whole document.
///
/// # Panics
/// When it is not there, or is no JSON.
pub fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run.schema.json");
    let text = fs::read_to_string(path).expect("the repository has the schema");
    serde_json::from_str(&text).expect("the schema is JSON")
}

/// One of the document's definitions as a schema of its own.
pub fn of(definition: &str) -> Value {
    let document = document();
    let [dialect, definitions] = ["$schema", "$defs"].map(|name| document[name].clone());
    json!({"$schema": dialect, "$ref": format!("#/$defs/{definition}"), "$defs": definitions})
}

/// Checks values against one of the document's definitions.
///
/// # Panics
/// When the document is no schema.
pub fn definition(name: &str) -> Validator {
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    options.build(&of(name)).unwrap_or_else(|error| panic!("the schema of {name}: {error}"))
}

/// Holds a line that the program has written against the schema.
///
/// # Panics
/// When it breaks it.
pub fn check_event(event: &Value) {
    if let Err(faults) = read_event(event) {
        panic!("{event} breaks docs/run.schema.json: {faults}");
    }
}

/// By the event's own definition: so it is said what is wrong with it, not that it is none of the others.
fn read_event(event: &Value) -> Result<(), String> {
    let kind = event["event"].as_str().ok_or("it does not say which event it is")?;
    let validator = EVENTS.get(kind).ok_or("there is no such event")?;
    if validator.is_valid(event) {
        return Ok(());
    }
    let faults = validator
        .iter_errors(event)
        .map(|fault| format!("{fault} at {:?}", fault.instance_path().to_string()));
    Err(faults.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_a_schema() {
        assert!(jsonschema::meta::validate(&document()).is_ok());
    }

    #[test]
    fn an_event_that_breaks_it_is_found() {
        let event = json!({"event": "error", "line": 7, "error": "`key` is missing"});
        check_event(&event);
        for (name, value) in
            [("line", json!(0)), ("line", json!("7")), ("event", json!("mistake")), ("more", json!(1))]
        {
            let mut wrong = event.clone();
            wrong[name] = value;
            assert!(read_event(&wrong).is_err(), "{wrong}");
            assert!(!definition("output").is_valid(&wrong), "{wrong}");
        }
    }
}
