//! Lines that are operations, and lines that are not.

use reveille::job::Delivery;
use reveille::{Priority, Timestamp};

use super::*;

fn draft(line: &str) -> Draft {
    match parse(line) {
        Ok(Op::Job(_, Action::Schedule(draft))) => draft,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    match parse(line) {
        Ok(op) => panic!("{line}: {op:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_schedule_has_defaults() {
    let draft = draft(r#"{"op":"schedule","key":"k","in":0.25}"#);
    assert_eq!(draft.queue, "default");
    assert_eq!(draft.due, Some(Due::In(Duration::from_millis(250))));
    assert_eq!(draft.payload.as_bytes(), b"null");
    assert_eq!(draft.options, JobOptions::default());
    assert_eq!(draft.on_conflict, None);
}

#[test]
fn a_schedule_takes_all_fields() {
    let draft = draft(
        r#" { "op":"schedule", "key":"concert:42", "queue":"open_sale", "at":"2026-12-01T10:00:00+07:00",
             "payload":{"seats": 5e2,"a":[1.10]} , "priority":0, "on_conflict":"replace",
             "delivery":"at_most_once" } "#,
    );
    assert_eq!(draft.queue, "open_sale");
    assert_eq!(draft.due, Some(Due::At(Timestamp::from_micros(1_796_094_000_000_000))));
    assert_eq!(draft.payload.as_bytes(), br#"{"seats": 5e2,"a":[1.10]}"#);
    let options = JobOptions::default().with_priority(Priority::FIRST);
    assert_eq!(draft.options, options.with_delivery(Delivery::AtMostOnce));
    assert_eq!(draft.on_conflict, Some(OnConflict::Replace));
}

#[test]
fn null_is_as_good_as_nothing() {
    let line = r#"{"op":"cancel","key":"k","at":null,"payload":null,"queue":null}"#;
    assert!(matches!(parse(line), Ok(Op::Job(_, Action::Cancel { and_after: false }))));
}

#[test]
fn a_change_may_name_the_version_of_its_job() {
    for op in ["cancel", "revive", "purge", "pause", "resume"] {
        let line = format!(r#"{{"op":"{op}","key":"k","if_version":7}}"#);
        assert!(matches!(parse(&line), Ok(Op::JobIf(_, Version(7), _))), "{line}");
    }
    let useless = "`if_version` has no meaning for";
    for line in [
        r#"{"op":"lookup","key":"k","if_version":7}"#,
        r#"{"op":"schedule","key":"k","in":1,"if_version":7}"#,
        r#"{"op":"cancel","tag":"t","if_version":7}"#,
        r#"{"op":"pause","queue":"q","if_version":7}"#,
    ] {
        assert!(error(line).starts_with(useless), "{line}");
    }
    let wrong = error(r#"{"op":"cancel","key":"k","if_version":-1}"#);
    assert!(wrong.contains("expected u32"), "{wrong}");
}

#[test]
fn jobs_are_named_by_tag() {
    let parsed = |line: &str| match parse(line) {
        Ok(Op::Tag(tag, action)) => format!("{tag} {action:?}"),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(parsed(r#"{"op":"cancel","tag":"t"}"#), "t Cancel");
    assert_eq!(parsed(r#"{"op":"reschedule","tag":"t","in":1}"#), "t Reschedule(In(1s))");
    for (by, shift) in [("\"5m\"", "Later(300s)"), ("\"-5m\"", "Earlier(300s)"), ("-1.5", "Earlier(1.5s)")] {
        let line = format!(r#"{{"op":"reschedule","tag":"t","by":{by}}}"#);
        assert_eq!(parsed(&line), format!("t Move({shift})"));
    }
}

#[test]
fn escapes_are_read() {
    let Ok(Op::Job(key, Action::Lookup)) = parse(r#"{"op":"lookup","key":"\u00e9\n\ud83c\udfab"}"#) else {
        panic!("a look-up")
    };
    assert_eq!(key.as_str(), "é\n🎫");
    let draft = draft(r#"{"op":"schedule","key":"k","in":"\u0031s"}"#);
    assert_eq!(draft.due, Some(Due::In(Duration::from_secs(1))));
}

#[test]
fn a_payload_is_one_line() {
    let draft = draft("{\"op\":\"schedule\",\"key\":\"k\",\"in\":1,\"payload\":[1,\r2]}");
    assert_eq!(draft.payload.as_bytes(), b"[1, 2]");
}

#[test]
fn a_payload_may_be_any_bytes() {
    for (base64, bytes) in [("AP8=", &b"\x00\xff"[..]), ("", b""), ("\\u0041P8=", b"\x00\xff")] {
        let draft = draft(&format!(
            r#"{{"op":"schedule","key":"k","in":1,"payload_base64":"{base64}","payload":null}}"#
        ));
        assert_eq!(draft.payload.as_bytes(), bytes);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (line, said) in [
        ("", "not a JSON object"),
        ("[\"cancel\",\"k\"]", "not a JSON object"),
        ("{\"op\":\"cancel\",\"key\":\"k\"", "not JSON: EOF"),
        ("{\"op\":\"cancel\",\"key\":\"k\"} x", "not JSON: trailing characters (at column 27)"),
        (r#"{"op":"cancel","key":"k","when":1}"#, "unknown field `when`"),
        (r#"{"op":"cancel","key":"k","key":"l"}"#, "duplicate field `key`"),
        (r#"{"op":"schedule","key":"k","in":1,"payload":1,"payload":2}"#, "duplicate field `payload`"),
        (r#"{"op":"fire","key":"k"}"#, "unknown op \"fire\""),
        (r#"{"op":"cancel"}"#, "`key` is missing"),
        (r#"{"key":"k"}"#, "`op` is missing"),
        (r#"{"op":"cancel","key":7}"#, "invalid type: integer `7`, expected a string"),
        (r#"{"op":"cancel","key":""}"#, "the key is empty"),
        (r#"{"op":"cancel","key":"k","in":1}"#, "`in` has no meaning for cancel"),
        (r#"{"op":"reschedule","key":"k","in":1,"payload":1}"#, "`payload` has no meaning for reschedule"),
        (r#"{"op":"schedule","key":"k"}"#, "the time is missing"),
        (r#"{"op":"schedule","key":"k","in":1,"at":1}"#, "two times"),
        (r#"{"op":"schedule","key":"k","in":true}"#, "`in` is \"true\", and must be"),
        (r#"{"op":"schedule","key":"k","in":NaN}"#, "not JSON"),
        (r#"{"op":"schedule","key":"k","in":1e400}"#, "out of range"),
        (r#"{"op":"schedule","key":"k","in":-1}"#, "negative"),
        (r#"{"op":"schedule","key":"k","at":"noon"}"#, "`at`: \"noon\" is not a time"),
        (r#"{"op":"schedule","key":"k","in":1,"priority":256}"#, "0 to 255"),
        (r#"{"op":"schedule","key":"k","in":1,"priority":1.5}"#, "0 to 255"),
        (r#"{"op":"schedule","key":"k","in":1,"priority":"1"}"#, "0 to 255"),
        (r#"{"op":"schedule","key":"k","in":1,"on_conflict":"merge"}"#, "`on_conflict` is \"merge\""),
        (r#"{"op":"schedule","key":"k","in":1,"delivery":"once"}"#, "`delivery` is \"once\""),
        (r#"{"op":"cancel","key":"k","delivery":"at_most_once"}"#, "`delivery` has no meaning for cancel"),
        (r#"{"op":"schedule","key":"k","in":1,"payload_base64":"AP8"}"#, "must be base64"),
        (r#"{"op":"schedule","key":"k","in":1,"payload_base64":7}"#, "expected a string"),
        (r#"{"op":"schedule","key":"k","in":1,"payload_base64":"","payload":1}"#, "two payloads"),
        (r#"{"op":"lookup","key":"k","payload_base64":""}"#, "`payload_base64` has no meaning for lookup"),
        (r#"{"op":"cancel","key":"\ud800"}"#, "not JSON"),
        (r#"{"op":"cancel","key":"k","tag":"t"}"#, "two names"),
        (r#"{"op":"cancel","tag":""}"#, "a tag is empty"),
        (r#"{"op":"cancel","tag":"a\tb"}"#, "the tag \"a\\tb\" has a control character at byte 1"),
        (r#"{"op":"cancel","tag":"t","by":1}"#, "`by` has no meaning for cancel"),
        (r#"{"op":"cancel","tag":"t","and_after":true}"#, "`and_after` has no meaning for cancel"),
        (r#"{"op":"lookup","key":"k","tag":"t"}"#, "`tag` has no meaning for lookup"),
        (r#"{"op":"reschedule","key":"k","in":1,"by":1}"#, "`by` has no meaning for reschedule"),
        (r#"{"op":"reschedule","tag":"t"}"#, "or `by`, to move them"),
        (r#"{"op":"reschedule","key":"k"}"#, "or seconds)"),
        (r#"{"op":"reschedule","tag":"t","by":"5m","in":1}"#, "two times"),
        (r#"{"op":"reschedule","tag":"t","by":"soon"}"#, "`by`: "),
        (r#"{"op":"reschedule","tag":"t","by":[]}"#, "`by` is \"[]\", and must be"),
        (r#"{"op":"schedule","key":"k","in":1,"tags":["a",""]}"#, "`tags`: a tag is empty"),
        (
            r#"{"op":"schedule","key":"k","in":1,"tags":["1","2","3","4","5","6","7","8","9"]}"#,
            "`tags`: the tag \"9\" is one too many",
        ),
        (r#"{"op":"schedule","key":"k","in":1,"tags":"a"}"#, "`tags` is \"a\", and must be a list"),
        (
            r#"{"op":"schedule","key":"k","in":1,"headers":{"a":"\n"}}"#,
            "`headers`: the value of the header \"a\" has a control character at byte 0",
        ),
    ] {
        let error = error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn what_a_message_quotes_is_escaped() {
    let error = error("{\"a\\n\\u001b[2J\u{9b}\":1}");
    assert!(error.contains("unknown field `a\\n\\u{1b}[2J\\u{9b}`"), "{error}");
}

#[test]
fn no_message_grows_with_the_line() {
    let long = "x".repeat(1_000_000);
    for line in [
        long.clone(),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"op":"{long}","key":"k"}}"#),
        format!(r#"{{"op":"cancel","key":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","at":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":{}}}"#, "9".repeat(1_000_000)),
        format!(r#"{{"op":"schedule","key":"k","in":1,"priority":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":1,"on_conflict":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":["{long}"]}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":1,"delivery":"{long}"}}"#),
        format!(r#"{{"op":"schedule","key":"k","in":1,"payload_base64":"{long}!"}}"#),
        "{\"op\":".repeat(150_000),
    ] {
        let error = error(&line);
        assert!(error.len() < 600, "{} bytes", error.len());
    }
}
