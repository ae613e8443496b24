//! Single operations, their outcomes, and what the events say.

use serde_json::{Value, json};

use testkit::program::{Ended, Run, micros, number, of_kind, run_through, text};

fn outcomes(ended: &Ended) -> Vec<&str> {
    of_kind(&ended.events, "ack").map(|ack| text(ack, "outcome")).collect()
}

fn the_one<'a>(ended: &'a Ended, kind: &'a str) -> &'a Value {
    let mut events = of_kind(&ended.events, kind);
    let event = events.next().unwrap();
    assert!(events.next().is_none(), "more than one");
    event
}

#[test]
fn a_time_that_has_passed_fires_at_once() {
    let times = [
        json!({"at": "2020-12-01T10:00:00+07:00"}),
        json!({"at": "2020-12-01T10:00:00+07:00[Asia/Ho_Chi_Minh]"}),
        json!({"at": 1606791600}),
        json!({"at": -1.5}),
        json!({"at": "0001-01-01T00:00:00Z"}),
        json!({"in": 0}),
        json!({"in": "0s"}),
    ];
    let mut input = String::new();
    for (at, time) in times.iter().enumerate() {
        let mut line = json!({"op": "schedule", "key": format!("k{at}")});
        line.as_object_mut().unwrap().append(&mut time.as_object().unwrap().clone());
        input.push_str(&format!("{line}\n"));
    }
    let ended = run_through(&[], &input);
    assert_eq!(ended.status.code(), Some(0));
    let due = |key: &str| {
        let fired = of_kind(&ended.events, "fired").find(|event| event["key"] == key).unwrap();
        let (due, fired_at) = (micros(fired, "due"), micros(fired, "fired_at"));
        assert_eq!(i64::try_from(number(fired, "late_us")).unwrap(), fired_at - due);
        due
    };
    for key in ["k0", "k1", "k2"] {
        assert_eq!(due(key), 1_606_791_600_000_000);
    }
    assert_eq!(due("k3"), -1_500_000);
    assert_eq!(of_kind(&ended.events, "fired").count(), times.len());
}

#[test]
fn a_job_is_changed_only_in_the_version_that_a_line_names() {
    let lines = [
        json!({"op": "schedule", "key": "k", "in": "1h"}),
        json!({"op": "reschedule", "key": "k", "in": "2h", "if_version": 2}),
        json!({"op": "reschedule", "key": "k", "in": "2h", "if_version": 1}),
        json!({"op": "pause", "key": "k", "if_version": 1}),
        json!({"op": "pause", "key": "k", "if_version": 2}),
        json!({"op": "resume", "key": "k", "if_version": 2}),
        json!({"op": "revive", "key": "k", "if_version": 3}),
        json!({"op": "purge", "key": "k", "if_version": 3}),
        json!({"op": "cancel", "key": "k", "if_version": 2}),
        json!({"op": "cancel", "key": "k", "and_after": true, "if_version": 2}),
        json!({"op": "cancel", "key": "k", "if_version": 3}),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ended = run_through(&[], &input);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let told: Vec<_> = of_kind(&ended.events, "ack")
        .map(|ack| (text(ack, "outcome"), ack["version"].as_u64()))
        .filter(|told| told.0 != "scheduled")
        .collect();
    let changed = |version| ("changed", Some(version));
    assert_eq!(told[0], changed(1));
    assert_eq!((told[1].0, told[2], told[3].0, told[4]), ("rescheduled", changed(2), "paused", changed(3)));
    assert_eq!((told[5].0, told[6].0), ("not_dead", "not_dead"));
    assert_eq!((told[7], told[8], told[9].0), (changed(3), changed(3), "cancelled"));
}

#[test]
fn a_fired_event_says_all_there_is_to_say() {
    let payload = r#"{"seats": 5e2, "a":[1.10,"é"]}"#;
    let line = |payload: &str| format!(r#"{{"op":"schedule","key":"k","at":0.000001,"payload":{payload}}}"#);
    let mut run = Run::start(&["--exit-when-idle"]);
    run.write(&line(payload));
    run.end_input();
    let ended = run.ended();
    let fired = the_one(&ended, "fired");
    let fields: Vec<&String> = fired.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 8, "{fields:?}");
    assert_eq!((text(fired, "queue"), text(fired, "due")), ("default", "1970-01-01T00:00:00.000001Z"));
    assert_eq!(fired["payload"], serde_json::from_str::<Value>(payload).unwrap());
    let ack = the_one(&ended, "ack");
    assert_eq!(
        *ack,
        json!({"event": "ack", "line": 1, "op": "schedule", "key": "k", "outcome": "scheduled"})
    );
}

#[test]
fn a_taken_key_follows_the_policy() {
    let schedule = |policy: &str, payload: u32| {
        json!({"op": "schedule", "key": "k", "in": 0.2, "payload": payload, "on_conflict": policy})
            .to_string()
    };
    let lines = [schedule("keep", 1), schedule("reject", 2), schedule("keep", 3), schedule("replace", 4)];
    let ended = run_through(&[], &lines.join("\n"));
    assert_eq!(outcomes(&ended), ["scheduled", "already_scheduled", "kept", "replaced"]);
    assert_eq!(the_one(&ended, "fired")["payload"], 4);
    let replaced = of_kind(&ended.events, "ack").find(|ack| ack["outcome"] == "replaced").unwrap();
    assert!(micros(replaced, "was") > 0);
}

#[test]
fn a_lookup_tells_how_a_job_stands() {
    let mut run = Run::start(&[]);
    run.write("{\"op\":\"lookup\",\"key\":\"k\"}\n");
    assert_eq!(run.event()["outcome"], "not_found");
    run.write("{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"q\",\"at\":2000000000}\n");
    assert_eq!(run.event()["outcome"], "scheduled");
    run.write("{\"op\":\"lookup\",\"key\":\"k\"}\n");
    let pending = json!({
        "event": "ack", "line": 3, "op": "lookup", "key": "k", "outcome": "scheduled",
        "due": "2033-05-18T03:33:20.000000Z", "queue": "q", "version": 1,
    });
    assert_eq!(run.event(), pending);
    run.write("{\"op\":\"reschedule\",\"key\":\"k\",\"in\":0}\n");
    let (one, other) = (run.event(), run.event());
    let (moved, fired) = if one["event"] == "ack" { (one, other) } else { (other, one) };
    assert_eq!(
        (text(&moved, "outcome"), text(&moved, "was")),
        ("rescheduled", "2033-05-18T03:33:20.000000Z")
    );
    assert_eq!(text(&fired, "event"), "fired");
    // Its event has been written, but its handler may not have ended yet.
    let fired_at = loop {
        run.write("{\"op\":\"lookup\",\"key\":\"k\"}\n");
        let found = run.event();
        if found["outcome"] != "running" {
            assert_eq!(found["outcome"], "already_fired");
            break text(&found, "fired_at").to_owned();
        }
    };
    assert_eq!(text(&fired, "fired_at"), fired_at);
    for op in ["{\"op\":\"cancel\",\"key\":\"k\"}\n", "{\"op\":\"reschedule\",\"key\":\"k\",\"in\":1}\n"] {
        run.write(op);
        let answer = run.event();
        assert_eq!(
            (text(&answer, "outcome"), text(&answer, "fired_at")),
            ("already_fired", fired_at.as_str())
        );
    }
}

#[test]
fn cancelled_means_cancelled() {
    let lines = r#"{"op":"schedule","key":"k","in":"100ms"}
        {"op":"cancel","key":"k"}
        {"op":"cancel","key":"k"}
        {"op":"reschedule","key":"k","in":0}
        {"op":"schedule","key":"other","in":"300ms"}"#;
    let ended = run_through(&[], lines);
    assert_eq!(outcomes(&ended), ["scheduled", "cancelled", "not_found", "not_found", "scheduled"]);
    assert_eq!(the_one(&ended, "fired")["key"], "other");
}

#[test]
fn a_full_engine_says_so_and_goes_on() {
    let lines = r#"{"op":"schedule","key":"a","in":0.3}
        {"op":"schedule","key":"b","in":0.3}
        {"op":"schedule","key":"c","in":0.3}
        {"op":"schedule","key":"a","in":0.2,"on_conflict":"replace"}
        {"op":"cancel","key":"b"}
        {"op":"schedule","key":"c","in":0.3}"#;
    let ended = run_through(&["--jobs-max", "2"], lines);
    assert_eq!(ended.status.code(), Some(1));
    let error = the_one(&ended, "error");
    assert_eq!(number(error, "line"), 3);
    assert!(text(error, "error").contains("full with 2"), "{error}");
    assert_eq!(outcomes(&ended), ["scheduled", "scheduled", "replaced", "cancelled", "scheduled"]);
    assert_eq!(of_kind(&ended.events, "fired").count(), 2);
}

#[test]
fn there_are_only_so_many_queues() {
    let line = |at: usize| {
        json!({"op": "schedule", "key": at.to_string(), "queue": at.to_string(), "in": 0}).to_string()
    };
    let lines: Vec<String> = (0..reveille::QUEUES_MAX + 1).map(line).collect();
    let ended = run_through(&[], &lines.join("\n"));
    let error = the_one(&ended, "error");
    assert_eq!(number(error, "line"), reveille::QUEUES_MAX as u64 + 1);
    assert_eq!(of_kind(&ended.events, "fired").count(), reveille::QUEUES_MAX);
}

#[test]
fn jobs_are_cancelled_and_moved_by_tag() {
    let mut run = Run::start(&["--exit-when-idle"]);
    for (key, tags) in [("a", json!(["t", "u"])), ("b", json!(["t"])), ("c", json!(["u"]))] {
        let headers = json!({"traceparent": "00-1-2-01"});
        let line = json!({"op": "schedule", "key": key, "in": 3600, "tags": tags, "headers": headers});
        run.write(&format!("{line}\n"));
    }
    for (op, outcome, count) in [
        (r#"{"op":"reschedule","tag":"u","by":"5m"}"#, "rescheduled", 2),
        (r#"{"op":"cancel","tag":"t"}"#, "cancelled", 2),
        (r#"{"op":"cancel","tag":"t"}"#, "cancelled", 0),
        // Moved before the next line is read.
        (r#"{"op":"reschedule","tag":"u","by":"-2h"}"#, "rescheduled", 1),
    ] {
        run.write(&format!("{op}\n"));
        let acknowledged = loop {
            let event = run.event();
            if event["event"] == "ack" && event["op"] != "schedule" {
                break event;
            }
        };
        assert_eq!(
            (acknowledged["outcome"].as_str(), acknowledged["count"].as_u64()),
            (Some(outcome), Some(count))
        );
        assert!(acknowledged.get("key").is_none() && acknowledged["tag"].is_string(), "{acknowledged}");
    }
    run.end_input();
    let ended = run.ended();
    let fired: Vec<_> = of_kind(&ended.events, "fired").map(|event| event["key"].clone()).collect();
    assert_eq!(fired, ["c"]);
}
