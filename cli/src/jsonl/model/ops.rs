//! An operation, and the line that it was read from.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reveille::job::{Delivery, QueueName, Tags};
use reveille::{Due, JobFilter, Key, ListCursor, OnConflict, Payload, Shift};
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::times;
use crate::jsonl::input::Lines;
use crate::jsonl::op::{self, Action, Draft, Op, OpError, QueueAction, TagAction};
use crate::jsonl::reading::{Order, Reading, STATES};
use crate::jsonl::time::TimeError;
use crate::jsonl::{job, payload};

const OPS: [&str; 12] = [
    "schedule",
    "reschedule",
    "cancel",
    "lookup",
    "revive",
    "purge",
    "pause",
    "resume",
    "drain",
    "list",
    "count",
    "load",
];

pub(super) fn check(line: &str) {
    let fields = Fields::read(line);
    match op::parse(line) {
        Ok(op) => check_op(&op, &fields.expect("an operation is an object")),
        Err(error) => {
            super::check_message(&error.to_string());
            assert!(is_to_blame(&error, line, fields.as_ref()), "{error}");
        }
    }
}

fn check_op(op: &Op, fields: &Fields) {
    assert!(fields.are_known(), "a field was ignored");
    let name = match op {
        Op::Job(key, action) | Op::JobIf(key, _, action) => {
            let version = if let Op::JobIf(_, version, _) = op { Some(version.0.to_string()) } else { None };
            assert_eq!(fields.json("if_version"), version.as_deref());
            assert_eq!(fields.text("key").as_deref(), Some(key.as_str()));
            action.name()
        }
        Op::Tag(tag, action) => {
            assert_eq!(fields.text("tag").as_ref(), Some(tag));
            match action {
                TagAction::Cancel => {}
                TagAction::Reschedule(due) => check_due(*due, fields),
                TagAction::Move(by) => check_shift(*by, fields),
            }
            action.name()
        }
        Op::Queue(queue, action) => {
            assert_eq!(fields.text("queue").as_deref(), Some(queue.as_str()));
            if let QueueAction::Drain(within) = *action {
                assert_eq!(read_length("within", fields), Ok(within));
            }
            action.name()
        }
        Op::Read(reading) => {
            check_reading(reading, fields);
            reading.name()
        }
    };
    assert_eq!(fields.text("op").as_deref(), Some(name));
    for field in fields.names() {
        assert!(!fields.has(field) || has_meaning(field, name, fields), "`{field}` was ignored");
    }
    let (Op::Job(key, action) | Op::JobIf(key, _, action)) = op else { return };
    match action {
        Action::Schedule(draft) => {
            check_draft(draft, fields);
            check_written(key, draft);
            check_shown(&draft.payload);
        }
        Action::Reschedule(due) => check_due(*due, fields),
        Action::Revive(due) => check_due_or_now(*due, fields),
        Action::Cancel { and_after } => {
            assert_eq!(and_after.to_string(), fields.json("and_after").unwrap_or("false"));
        }
        Action::Lookup | Action::Purge | Action::Pause | Action::Resume => {}
    }
}

/// A tag, if there is one, stands in place of the key.
fn has_meaning(field: &str, op: &str, fields: &Fields) -> bool {
    let is_by_tag = fields.has("tag") && matches!(op, "cancel" | "reschedule");
    let is_reading = matches!(op, "list" | "count" | "load");
    match field {
        "op" => true,
        "key" => !is_reading && op != "drain",
        "tag" | "prefix" | "to" | "state" | "queue" if is_reading => true,
        "limit" => matches!(op, "list" | "load"),
        "cursor" | "order" => op == "list",
        "bucket" => op == "load",
        "prefix" | "to" | "state" => false,
        "from" => op == "schedule" || is_reading,
        "tag" => is_by_tag,
        "by" => is_by_tag && op == "reschedule",
        "and_after" if is_by_tag => false,
        "if_version" => {
            let changes_one = ["cancel", "reschedule", "revive", "purge", "pause", "resume"].contains(&op);
            changes_one && !is_by_tag && fields.has("key")
        }
        "queue" => {
            matches!(op, "schedule" | "drain") || matches!(op, "pause" | "resume") && !fields.has("key")
        }
        "within" => op == "drain",
        "at" | "in" => matches!(op, "schedule" | "reschedule" | "revive"),
        "spread" => {
            op == "revive" || matches!(op, "schedule" | "reschedule") && !is_by_tag && has_time(fields)
        }
        "and_after" => op == "cancel",
        _ => op == "schedule",
    }
}

fn has_time(fields: &Fields) -> bool {
    fields.has("at") || fields.has("in")
}

fn check_draft(draft: &Draft, fields: &Fields) {
    match draft.due {
        Some(due) => check_due(due, fields),
        None => {
            assert!(draft.options.recurrence().is_some(), "a time was made up");
            assert!(!fields.has("at") && !fields.has("in"), "a time was ignored");
        }
    }
    let has_rule = ["every", "cron", "recurrence"].iter().any(|name| fields.has(name));
    assert_eq!(draft.options.recurrence().is_some(), has_rule, "a rule was ignored, or made up");
    let text_or = |name, default: &str| fields.text(name).unwrap_or_else(|| default.to_owned());
    assert_eq!(draft.queue, text_or("queue", "default"));
    assert_eq!(draft.options.priority().0.to_string(), fields.json("priority").unwrap_or("100"));
    let delivery = match draft.options.delivery() {
        Delivery::AtLeastOnce => "at_least_once",
        Delivery::AtMostOnce => "at_most_once",
        delivery => panic!("{delivery:?} was read, and has no word"),
    };
    assert_eq!(delivery, text_or("delivery", "at_least_once"));
    let on_conflict = draft.on_conflict.map(|on_conflict| match on_conflict {
        OnConflict::Reject => "reject",
        OnConflict::Replace => "replace",
        OnConflict::Keep => "keep",
        OnConflict::KeepEarlier => "keep_earlier",
        OnConflict::KeepLater => "keep_later",
        OnConflict::Payload => "payload",
        OnConflict::Update => "update",
        on_conflict => panic!("{on_conflict:?} was read, and has no word"),
    });
    assert_eq!(on_conflict, fields.text("on_conflict").as_deref());
    match fields.text("payload_base64") {
        None => assert_eq!(draft.payload, on_one_line(fields.json("payload").unwrap_or("null"))),
        Some(base64) => {
            assert!(!fields.has("payload"), "a payload was ignored");
            assert_eq!(STANDARD.encode(draft.payload.as_bytes()), base64);
        }
    }
}

fn check_reading(reading: &Reading, fields: &Fields) {
    let states = match fields.json("state").map(|json| serde_json::from_str(json).expect("it was read")) {
        None => ["pending", "retrying", "ready", "running", "paused"].map(str::to_owned).to_vec(),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
        }
        Some(name) => vec![name.as_str().expect("a name").to_owned()],
    };
    let (filter, limit) = match reading {
        Reading::List { filter, order, from, limit } => {
            assert_eq!(*order == Order::Due, fields.text("order").as_deref() == Some("due"));
            let cursor = fields.text("cursor").map_or(Ok(ListCursor::default()), |text| text.parse());
            assert_eq!(cursor.as_ref(), Ok(from));
            (filter, limit.to_string())
        }
        Reading::Count(filter) => (filter, String::new()),
        Reading::Load { filter, bucket, buckets } => {
            assert_eq!(bucket.name(), fields.text("bucket").as_deref().unwrap_or("minute"));
            (filter, buckets.count.to_string())
        }
    };
    if let Some(json) = fields.json("limit") {
        assert_eq!(limit, json);
    }
    let instant =
        |name| Some(times::instant(fields.json(name)?, fields.text(name).as_deref()).expect("it was read"));
    let mut expected = JobFilter::default().key_prefix(fields.text("prefix").unwrap_or_default());
    let named =
        |name: &String| STATES.iter().find(|(known, _)| known == name).expect("a state that there is").1;
    expected = expected.states(states.iter().map(named));
    for (text, set) in [
        (fields.text("queue"), JobFilter::queue as fn(JobFilter, String) -> JobFilter),
        (fields.text("tag"), JobFilter::tag as fn(JobFilter, String) -> JobFilter),
    ] {
        expected = text.into_iter().fold(expected, set);
    }
    expected = instant("from").into_iter().fold(expected, JobFilter::due_from);
    expected = instant("to").into_iter().fold(expected, JobFilter::due_to);
    assert_eq!(*filter, expected);
}

fn check_due(due: Due, fields: &Fields) {
    let field = match (fields.has("at"), fields.has("in")) {
        (true, false) => "at",
        (false, true) => "in",
        _ => panic!("a time was ignored, or made up"),
    };
    assert_eq!(read_due(field, fields).map(|told| spread(told, fields)), Ok(due));
}

/// Where the time may be left out.
fn check_due_or_now(due: Due, fields: &Fields) {
    match has_time(fields) {
        true => check_due(due, fields),
        false => assert_eq!(spread(Due::In(Duration::ZERO), fields), due),
    }
}

fn spread(told: Due, fields: &Fields) -> Due {
    if !fields.has("spread") {
        return told;
    }
    let (key, window) = (fields.text("key").unwrap_or_default(), read_length("spread", fields));
    told.spread(&key, window.expect("a window that was read"))
}

fn check_shift(by: Shift, fields: &Fields) {
    assert!(!fields.has("at") && !fields.has("in"), "a time was ignored");
    let (json, text) = (fields.json("by").unwrap_or_default(), fields.text("by"));
    let told = text.as_deref().unwrap_or(json);
    let (length, is_earlier) = told.strip_prefix('-').map_or((told, false), |length| (length, true));
    let expected = times::delay(length, text.is_some().then_some(length));
    let expected =
        expected.map(|length| if is_earlier { Shift::Earlier(length) } else { Shift::Later(length) });
    assert_eq!(expected, Ok(by));
}

/// The time of a field that is text or a number.
fn read_due(field: &str, fields: &Fields) -> Result<Due, TimeError> {
    let (json, text) = (fields.json(field).unwrap_or_default(), fields.text(field));
    match field {
        "at" => times::instant(json, text.as_deref()).map(Due::At),
        field => read_length(field, fields).map(Due::In),
    }
}

fn read_length(field: &str, fields: &Fields) -> Result<Duration, TimeError> {
    times::delay(fields.json(field).unwrap_or_default(), fields.text(field).as_deref())
}

/// What is exported of the job is the same job when it is imported.
fn check_written(key: &Key, draft: &Draft) {
    let (Ok(queue), Some(Due::At(due))) = (QueueName::new(&draft.queue), draft.due) else { return };
    let job =
        job::Written { key, queue: queue.as_str(), due, options: &draft.options, payload: &draft.payload };
    let mut line = Vec::new();
    job.write(&mut line).expect("a vector takes all");
    let Op::Job(again, Action::Schedule(again_draft)) = read_one(&line) else { panic!("{line:?}") };
    assert_eq!((&again, &again_draft.queue), (key, &draft.queue));
    assert_eq!((again_draft.due, again_draft.payload), (draft.due, draft.payload.clone()));
    assert_eq!(again_draft.options, draft.options);
}

/// What `run` shows of a payload is that payload, but for ends of line between tokens.
fn check_shown(payload: &Payload) {
    let shown = serde_json::to_string(&payload::Written::to_be_shown(payload)).expect("text and base64");
    let fields = shown.strip_prefix('{').expect("an object");
    let line = format!("{{\"op\":\"schedule\",\"key\":\"k\",\"in\":0,{fields}\n");
    let Op::Job(_, Action::Schedule(draft)) = read_one(line.as_bytes()) else { panic!("{line}") };
    let is_json = serde_json::from_slice::<&RawValue>(payload.as_bytes());
    let expected = is_json.map_or_else(|_| payload.clone(), |json| on_one_line(json.get()));
    assert_eq!(draft.payload, expected);
}

fn read_one(line: &[u8]) -> Op {
    let mut lines = Lines::new(line);
    let text = lines.next().expect("bytes can be read").expect("a line").text.expect("text");
    let op = op::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(lines.next().expect("bytes can be read"), None, "more than a line");
    op
}

fn on_one_line(json: &str) -> Payload {
    json.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect::<String>().as_str().into()
}

/// Whether the line has what the error says that it has.
fn is_to_blame(error: &OpError, line: &str, fields: Option<&Fields>) -> bool {
    let fields = match (error, fields) {
        (OpError::NotAnObject, _) => return !line.starts_with('{'),
        (OpError::Json(_), _) => return !fields.is_some_and(Fields::are_known),
        (_, None) => return false,
        (_, Some(fields)) => fields,
    };
    let op = fields.text("op").unwrap_or_default();
    match error {
        OpError::NotAnObject | OpError::Json(_) => false,
        OpError::Missing { field } => !fields.has(field),
        OpError::UnknownOp { .. } => !OPS.contains(&op.as_str()),
        OpError::Useless { field: field @ ("zone" | "missed_max"), op: named } if *named != op => {
            fields.has(field)
        }
        OpError::Useless { field, op: named } => {
            op == *named && fields.has(field) && !has_meaning(field, &op, fields)
        }
        OpError::NoTime { .. } => op != "revive" && !has_time(fields),
        OpError::TwoTimes => ["at", "in", "by"].into_iter().filter(|field| fields.has(field)).count() > 1,
        OpError::TwoRules => {
            ["every", "cron", "recurrence"].iter().filter(|name| fields.has(name)).count() > 1
        }
        OpError::Rule { field, .. } => fields.has(field),
        OpError::TwoNames => fields.has("key") && (fields.has("tag") || fields.has("queue")),
        OpError::NoName { op: named } => op == *named && !fields.has("key") && !fields.has("queue"),
        OpError::Option { field, .. } => fields.has(field),
        OpError::Tag(_) => fields.text("tag").is_some_and(|tag| Tags::check(&tag).is_err()),
        OpError::Queue(_) => fields.text("queue").is_some_and(|queue| QueueName::new(queue).is_err()),
        OpError::Time { field: "by", .. } => fields.has("by"),
        OpError::Time { field: field @ ("within" | "spread"), error } => {
            read_length(field, fields).as_ref() == Err(error)
        }
        OpError::TwoPayloads => fields.has("payload") && fields.has("payload_base64"),
        OpError::Time { field: field @ ("from" | "to"), .. } if op != "schedule" => fields.has(field),
        OpError::Time { field: "every" | "anchor" | "from" | "until", .. } => op == "schedule",
        OpError::Time { field, error } => read_due(field, fields).as_ref() == Err(error),
        OpError::WrongValue { field, .. } => is_wrong(field, fields),
        OpError::Key(_) => fields.text("key").is_some_and(|key| Key::new(key).is_err()),
    }
}

fn is_wrong(field: &str, fields: &Fields) -> bool {
    let (json, text) = (fields.json(field).unwrap_or("null"), fields.text(field).unwrap_or_default());
    match field {
        "at" | "in" | "by" | "within" | "spread" => {
            !json.starts_with(['"', '-']) && !json.starts_with(|c: char| c.is_ascii_digit())
        }
        "priority" => !(0..=255).any(|priority| json == priority.to_string()),
        "delivery" => !["at_least_once", "at_most_once"].contains(&text.as_str()),
        "on_conflict" => !["reject", "replace", "keep", "update"].contains(&text.as_str()),
        "payload_base64" => STANDARD.decode(&text).is_err(),
        // What a rule may say is the library's, and tested there.
        "to" | "state" | "limit" | "cursor" | "order" | "bucket" => fields.has(field),
        "every" | "cron" | "zone" | "anchor" | "from" | "until" | "count" | "missed" | "missed_max"
        | "overlap" => fields.has(field),
        _ => false,
    }
}
