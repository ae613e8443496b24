//! Lines to hold against the schema: good ones, and what they become when one thing in them is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use reveille::job::{Debounce, Delivery, Expires, Headers, JobOptions, Paused, Tags, Timeout};
use reveille::{Jitter, Key, Missed, Overlap, Payload, Priority, Recurrence, Retry, Timestamp};
use serde_json::{Value, json};

use super::super::{fields, job};

const INSTANT: &str = "2026-12-01T10:00:00+01:00";

/// Good lines, which together have every op and every field.
pub(super) fn samples() -> Vec<Value> {
    let mut lines = vec![
        json!({"op": "schedule", "key": "k", "in": "1.5s", "queue": "mails", "payload": {"seats": 500}, "priority": 7,
            "delivery": "at_most_once", "timeout": "5s", "expires": INSTANT, "tags": ["tenant:7"], "headers": {"of": "shop"},
            "on_conflict": "keep_later", "debounce": {"max": "1m"}, "paused": INSTANT,
            "retry": {"attempts": 3, "backoff": "fixed", "base": "1s", "max": "1h", "jitter": "none", "uncounted": ["panicked"]}}),
        json!({"op": "schedule", "key": "k", "at": INSTANT, "payload_base64": "AP8="}),
        json!({"op": "schedule", "key": "k", "at": 1_796_115_600.5}),
        json!({"op": "schedule", "key": "k", "every": "30s", "anchor": 0, "from": INSTANT, "until": 1_900_000_000, "count": 3,
            "missed": "all", "missed_max": 7, "overlap": "after", "in": 0}),
        json!({"op": "schedule", "key": "k", "cron": "30 2 * * MON-FRI", "zone": "Europe/Berlin", "missed": "none"}),
        json!({"op": "schedule", "key": "k", "recurrence": {"every": "1h", "anchor": INSTANT, "missed": "all", "missed_max": 7,
            "overlap": "allow", "from": INSTANT, "until": "2033-12-01T10:00:00Z", "count": 3}}),
        json!({"op": "schedule", "key": "k", "in": 1, "recurrence": {"cron": "0 9 * * *", "zone": "UTC"},
            "occurrence": {"scheduled_for": INSTANT, "number": 1, "missed": 0, "passed": 0}}),
        json!({"op": "schedule", "key": "k", "in": "1h", "spread": "10m"}),
        json!({"op": "reschedule", "key": "k", "at": INSTANT}),
        json!({"op": "reschedule", "key": "k", "in": 1, "spread": 600}),
        json!({"op": "reschedule", "tag": "t", "in": "1h"}),
        json!({"op": "reschedule", "tag": "t", "by": "-5m"}),
        json!({"op": "reschedule", "tag": "t", "by": -5}),
        json!({"op": "cancel", "key": "k", "and_after": true}),
        json!({"op": "cancel", "tag": "t"}),
        json!({"op": "lookup", "key": "k"}),
        json!({"op": "revive", "key": "k"}),
        json!({"op": "revive", "key": "k", "in": 0}),
        json!({"op": "purge", "key": "k"}),
        json!({"op": "pause", "key": "k"}),
        json!({"op": "reschedule", "key": "k", "in": 1, "if_version": 3}),
        json!({"op": "cancel", "key": "k", "and_after": true, "if_version": 0}),
        json!({"op": "revive", "key": "k", "if_version": 4_294_967_295_u64}),
        json!({"op": "purge", "key": "k", "if_version": 3}),
        json!({"op": "pause", "key": "k", "if_version": 3}),
        json!({"op": "resume", "key": "k", "if_version": 3}),
        json!({"op": "resume", "queue": "mails"}),
        json!({"op": "drain", "queue": "mails", "within": "30s"}),
        json!({"op": "list", "queue": "mails", "tag": "t", "prefix": "order:", "from": INSTANT, "to": 2_000_000_000,
            "state": ["ready", "dead"], "limit": 1000, "cursor": "first", "order": "due"}),
        json!({"op": "count", "state": "paused"}),
        json!({"op": "load", "bucket": "hour", "limit": 10_000}),
    ];
    lines.extend(exported());
    let named = lines.iter().flat_map(|line| line.as_object().unwrap().keys().cloned());
    assert_eq!(
        named.collect::<BTreeSet<_>>(),
        fields::names().map(str::to_owned).collect(),
        "a field without a sample"
    );
    lines
}

/// Lines of an export, whose options have every word that there is in them.
fn exported() -> Vec<Value> {
    let plain = JobOptions::default;
    let second = Duration::from_secs(1);
    let every = || Recurrence::every(second).unwrap();
    let at = Timestamp::from_micros(1_796_094_000_000_000);
    let options = [
        plain().with_priority(Priority(0)).with_delivery(Delivery::AtMostOnce),
        plain().with_retry(Retry::sidekiq().forgive_panics().forgive_timeouts()),
        plain().with_retry(Retry::attempts(1).exponential(second).jitter(Jitter::Full)),
        plain().with_retry(Retry::attempts(u16::MAX).fixed(second).jitter(Jitter::None).count_interrupted()),
        plain().with_timeout(Timeout(second)).with_expires(Expires(at)).with_debounce(Debounce::new(second)),
        plain().with_tags(Tags::new(["a", "é"]).unwrap()).with_headers(Headers::new([("a-b", "ü")]).unwrap()),
        plain().with_recurrence(every().missed(Missed::None).overlap(Overlap::Allow)).with_paused(Paused(at)),
        plain().with_recurrence(
            every().missed(Missed::All { max: Missed::ALL_MAX_DEFAULT }).overlap(Overlap::After),
        ),
        plain().with_recurrence(Recurrence::cron("0 9 * * *", "Europe/Berlin").unwrap().until(at).unwrap()),
    ];
    let key = Key::new("k").unwrap();
    let line = |(options, payload): (&JobOptions, &[u8])| {
        let mut line = Vec::new();
        let payload = Payload::from(payload);
        let written = job::Written { key: &key, queue: "mails", due: at, options, payload: &payload };
        written.write(&mut line).unwrap();
        serde_json::from_slice(&line).unwrap()
    };
    options.iter().zip([&b"null"[..], b"\xff", b"{}"].into_iter().cycle()).map(line).collect()
}

/// A right value for each field but `op`.
pub(super) fn right_values() -> BTreeMap<&'static str, Value> {
    let mut values = BTreeMap::new();
    for line in samples() {
        for name in fields::names() {
            if let Some(value) = line.get(name).filter(|value| name != "op" && !value.is_null()) {
                values.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    values
}

/// Values to put in the place of others: of every kind, at the edges of what is allowed, and every word that the schema has.
pub(super) fn values(document: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(255),
        json!(256),
        json!(1000),
        json!(1001),
        json!(10_000),
        json!(10_001),
        json!(65_535),
        json!(65_536),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
        json!(1e20),
        json!(1e300),
        json!(-1e300),
        json!(253_402_300_799_i64),
        json!(253_402_300_800_i64),
        json!(""),
        json!("x"),
        json!("5s"),
        json!("-5m"),
        json!("1h 30m"),
        json!("7"),
        json!(INSTANT),
        json!("2026-12-01T10:00:00[Europe/Berlin]"),
        json!("noon"),
        json!("* * * * *"),
        json!("61 * * * *"),
        json!("UTC"),
        json!("Mars/Olympus"),
        json!("AP8="),
        json!("AP9="),
        json!("\u{7}"),
        json!("a".repeat(64)),
        json!("a".repeat(65)),
        json!("é".repeat(64)),
        json!("a".repeat(128)),
        json!("a".repeat(129)),
        json!("a".repeat(256)),
        json!("a".repeat(257)),
        json!("a".repeat(512)),
        json!("a".repeat(513)),
        json!("7-3-1f"),
        json!("first"),
        json!([]),
        json!([null]),
        json!(["x"]),
        json!([7]),
        json!(["x", "x"]),
        json!(["5s"]),
        json!([3, "fixed", "1s", "1h", null, []]),
        json!(["a", "b", "c", "d", "e", "f", "g", "h"]),
        json!(["a", "a", "a", "a", "a", "a", "a", "a", "a"]),
        json!({}),
        json!({"x": 1}),
        json!({"x": "y"}),
        json!({"max": "5s"}),
        json!({"attempts": 3}),
        json!({"every": 5}),
        json!({"a b": "c"}),
        json!((0..17).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>()),
    ];
    let mut words = BTreeSet::new();
    collect_words(&document["$defs"], &mut words);
    values.extend(words.into_iter().map(Value::from));
    values
}

fn collect_words(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("const", Value::String(word)) => drop(words.insert(word.clone())),
                    ("enum", Value::Array(some)) => {
                        words.extend(some.iter().filter_map(|word| word.as_str().map(str::to_owned)));
                    }
                    _ => collect_words(value, words),
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect_words(part, words)),
        _ => {}
    }
}

/// Every line that `line` becomes when one thing in it is changed: a value, at whatever depth; a field taken away; one added, known
/// or not.
pub(super) fn mutate(line: &Value, values: &[Value], each: &mut dyn FnMut(&Value)) {
    let mut changed = line.clone();
    for path in paths(line) {
        let was = line.pointer(&path).unwrap().clone();
        for value in values {
            *changed.pointer_mut(&path).unwrap() = value.clone();
            each(&changed);
        }
        *changed.pointer_mut(&path).unwrap() = was.clone();
        match &was {
            Value::Object(fields) => {
                for name in fields.keys() {
                    changed.pointer_mut(&path).unwrap().as_object_mut().unwrap().remove(name);
                    each(&changed);
                    *changed.pointer_mut(&path).unwrap() = was.clone();
                }
                for name in
                    fields::names().chain(["unknown", "base", "max", "until", "attempts", "backoff", "Key"])
                {
                    if fields.contains_key(name) {
                        continue;
                    }
                    for value in
                        [json!(null), json!(1), json!("5s"), json!("x"), json!(INSTANT), json!([]), json!({})]
                    {
                        changed.pointer_mut(&path).unwrap()[name] = value;
                        each(&changed);
                    }
                    *changed.pointer_mut(&path).unwrap() = was.clone();
                }
            }
            Value::Array(elements) => {
                for value in values {
                    changed.pointer_mut(&path).unwrap().as_array_mut().unwrap().push(value.clone());
                    each(&changed);
                    *changed.pointer_mut(&path).unwrap() = Value::Array(elements.clone());
                }
            }
            _ => {}
        }
    }
}

/// Where there is something to be changed, the line itself included: but within a payload, and within what only an export writes.
fn paths(line: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    collect_paths(line, String::new(), &mut paths);
    paths
}

fn collect_paths(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        _ if path == "/payload" => {}
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| collect_paths(value, format!("{path}/{name}"), paths));
        }
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(at, value)| collect_paths(value, format!("{path}/{at}"), paths));
        }
        _ => {}
    }
    paths.push(path);
}

/// The lines of the fuzzer's corpus, and those that the documents show.
pub(super) fn written_down() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut lines = Vec::new();
    for folder in ["fuzz/corpus/jsonl", "docs", "."] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let is_document = path.extension().is_some_and(|extension| extension == "md");
            if !path.is_file() || folder != "fuzz/corpus/jsonl" && !is_document {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            lines.extend(text.lines().filter(|line| line.starts_with('{')).map(str::to_owned));
        }
    }
    lines
}
