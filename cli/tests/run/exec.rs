//! Jobs as commands of a shell: done, failed and tried again, too slow, dead, and brought back.

use serde_json::Value;

use testkit::program::{Run, number, of_kind, run_through, text};

fn lines<'a>(events: &'a [Value], kind: &'a str, key: &'a str) -> Vec<&'a Value> {
    of_kind(events, kind).filter(|event| event["key"] == key).collect()
}

fn line(run: &mut Run, op: &str) {
    run.write(&format!("{op}\n"));
}

/// The answer to a line.
fn ask(run: &mut Run, op: &str) -> Value {
    line(run, op);
    loop {
        let event = run.event();
        if event["event"] == "ack" {
            return event;
        }
    }
}

#[test]
fn a_command_gets_the_payload_and_what_is_known_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let command = format!(
        "cat > {out}; echo; echo \"$REVEILLE_KEY $REVEILLE_QUEUE $REVEILLE_ATTEMPT $REVEILLE_DUE\" >> {out}; echo lost",
        out = out.display()
    );
    let line =
        r#"{"op":"schedule","key":"k 1","queue":"q","at":"2020-12-01T10:00:00Z","payload":{"a": 1e2}}"#;
    let ended = run_through(&["--exec", &command], &format!("{line}\n"));
    assert_eq!(ended.status.code(), Some(0));
    let told = std::fs::read_to_string(out).unwrap();
    assert_eq!(told, "{\"a\": 1e2}k 1 q 1 2020-12-01T10:00:00.000000Z\n");
    let kinds: Vec<&str> = ended.events.iter().map(|event| text(event, "event")).collect();
    assert!(
        !kinds.contains(&"failed") && kinds.contains(&"fired"),
        "standard output is for events: {kinds:?}"
    );
}

#[test]
fn a_command_that_fails_is_tried_again_and_then_dead() {
    let retry = r#""retry":{"attempts":3,"backoff":"fixed","base":"20ms"}"#;
    let input = format!(
        "{{\"op\":\"schedule\",\"key\":\"bad\",\"in\":0,{retry}}}\n\
         {{\"op\":\"schedule\",\"key\":\"flaky\",\"in\":0,\"payload\":2,{retry}}}\n\
         {{\"op\":\"schedule\",\"key\":\"once\",\"in\":0}}\n"
    );
    let command =
        "test \"$REVEILLE_KEY\" = flaky && test $REVEILLE_ATTEMPT -ge 2 || { echo no luck >&2; exit 7; }";
    let ended = run_through(&["--exec", command], &input);
    assert_eq!(ended.status.code(), Some(0));
    let attempts =
        |key| lines(&ended.events, "failed", key).iter().map(|it| number(it, "attempt")).collect::<Vec<_>>();
    assert_eq!((attempts("bad"), attempts("flaky"), attempts("once")), (vec![1, 2, 3], vec![1], vec![1]));
    let first = lines(&ended.events, "failed", "bad")[0];
    assert_eq!((text(first, "error"), text(first, "cause")), ("exit status: 7: no luck", "failed"));
    assert!(first["retry_at"].is_string());
    assert!(lines(&ended.events, "failed", "bad")[2]["retry_at"].is_null());
    let dead = lines(&ended.events, "dead", "bad");
    assert_eq!((dead.len(), number(dead[0], "attempts"), text(dead[0], "reason")), (1, 3, "exhausted"));
    // Without a policy there is one attempt, and nothing is kept.
    assert!(lines(&ended.events, "dead", "once").is_empty());
    assert_eq!(lines(&ended.events, "fired", "flaky").len(), 2);
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_what_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("late");
    let command = format!("(sleep 2; touch {}) & sleep 100", late.display());
    let line = r#"{"op":"schedule","key":"k","in":0,"timeout":"100ms"}"#;
    let ended = run_through(&["--exec", &command], &format!("{line}\n"));
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(text(lines(&ended.events, "failed", "k")[0], "cause"), "timed_out");
    // What it had started would be done by then.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert!(!late.exists());
}

#[test]
fn a_dead_job_is_looked_up_brought_back_and_purged() {
    let mut run = Run::start(&["--exec", "exit 1"]);
    line(&mut run, r#"{"op":"schedule","key":"k","in":0,"retry":{"attempts":1}}"#);
    while run.event()["event"] != "dead" {}
    let found = ask(&mut run, r#"{"op":"lookup","key":"k"}"#);
    assert_eq!((text(&found, "outcome"), text(&found, "error")), ("dead", "exit status: 1"));
    assert!(found["died_at"].is_string());
    assert_eq!(text(&ask(&mut run, r#"{"op":"cancel","key":"k"}"#), "outcome"), "dead");
    assert_eq!(text(&ask(&mut run, r#"{"op":"revive","key":"k","in":3600}"#), "outcome"), "revived");
    assert_eq!(text(&ask(&mut run, r#"{"op":"revive","key":"k","in":0}"#), "outcome"), "not_dead");
    assert_eq!(text(&ask(&mut run, r#"{"op":"purge","key":"k"}"#), "outcome"), "not_dead");
    assert_eq!(text(&ask(&mut run, r#"{"op":"reschedule","key":"k","in":0}"#), "outcome"), "rescheduled");
    while run.event()["event"] != "dead" {}
    // Without a time: now.
    line(&mut run, r#"{"op":"revive","key":"k"}"#);
    while run.event()["event"] != "dead" {}
    assert_eq!(text(&ask(&mut run, r#"{"op":"purge","key":"k"}"#), "outcome"), "purged");
    assert_eq!(text(&ask(&mut run, r#"{"op":"purge","key":"k"}"#), "outcome"), "not_found");
}

#[test]
fn a_cancel_of_a_running_job_ends_what_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let command = format!("until test -e {}; do sleep 0.02; done; exit 1", go.display());
    let mut run = Run::start(&["--exit-when-idle", "--exec", &command]);
    line(
        &mut run,
        r#"{"op":"schedule","key":"k","in":0,"retry":{"attempts":9,"backoff":"fixed","base":"1ms"}}"#,
    );
    while run.event()["event"] != "fired" {}
    line(&mut run, r#"{"op":"cancel","key":"k","and_after":true}"#);
    while run.event()["outcome"] != "running" {}
    std::fs::write(&go, "").unwrap();
    run.end_input();
    let ended = run.ended();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(of_kind(&ended.events, "fired").count(), 0, "it has been tried again: {:?}", ended.events);
}

#[test]
fn a_paused_queue_waits_until_it_goes_on() {
    let mut run = Run::start(&["--exit-when-idle"]);
    for op in [
        r#"{"op":"pause","queue":"q"}"#,
        r#"{"op":"schedule","key":"a","queue":"q","in":0}"#,
        r#"{"op":"schedule","key":"b","queue":"other","in":0.2}"#,
    ] {
        line(&mut run, op);
    }
    while run.event()["event"] != "fired" {}
    line(&mut run, r#"{"op":"resume","queue":"q"}"#);
    line(&mut run, r#"{"op":"resume","queue":"nobody"}"#);
    run.end_input();
    let ended = run.ended();
    let fired: Vec<&str> = of_kind(&ended.events, "fired").map(|event| text(event, "key")).collect();
    assert_eq!(fired, ["a"], "b has gone first");
    assert!(text(of_kind(&ended.events, "error").next().unwrap(), "error").contains("no queue"));
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_drain_waits_for_what_runs_and_holds_the_rest_back() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let command = format!("until test -e {}; do sleep 0.02; done", go.display());
    let mut run = Run::start(&["--exit-when-idle", "--exec", &command]);
    line(&mut run, r#"{"op":"schedule","key":"first","queue":"q","in":0}"#);
    while run.event()["event"] != "fired" {}
    let drained = ask(&mut run, r#"{"op":"drain","queue":"q","within":0.1}"#);
    assert_eq!((text(&drained, "outcome"), number(&drained, "running")), ("still_running", 1));
    line(&mut run, r#"{"op":"schedule","key":"second","queue":"q","in":0}"#);
    while run.event()["op"] != "schedule" {}
    std::fs::write(&go, "").unwrap();
    let drained = ask(&mut run, r#"{"op":"drain","queue":"q","within":"60s"}"#);
    assert_eq!((text(&drained, "outcome"), text(&drained, "queue")), ("drained", "q"));
    for wrong in [r#"{"op":"drain","queue":"q"}"#, r#"{"op":"drain","queue":"q","key":"k","within":1}"#] {
        line(&mut run, wrong);
        assert_eq!(run.event()["event"], "error");
    }
    line(&mut run, r#"{"op":"resume","queue":"q"}"#);
    run.end_input();
    let ended = run.ended();
    let fired: Vec<&str> = of_kind(&ended.events, "fired").map(|event| text(event, "key")).collect();
    assert_eq!(fired, ["second"], "it was held back");
}

#[test]
fn a_paused_job_waits_until_it_goes_on() {
    let mut run = Run::start(&["--exit-when-idle"]);
    for op in [
        r#"{"op":"schedule","key":"a","queue":"q","in":"1h"}"#,
        r#"{"op":"schedule","key":"b","queue":"q","in":0.2}"#,
        r#"{"op":"pause","key":"a"}"#,
        r#"{"op":"reschedule","key":"a","in":0}"#,
        r#"{"op":"lookup","key":"a"}"#,
    ] {
        line(&mut run, op);
    }
    let shown = loop {
        let event = run.event();
        if event["op"] == "lookup" {
            break event;
        }
    };
    assert!(shown["paused_at"].is_string(), "{shown}");
    while run.event()["event"] != "fired" {}
    for op in [
        r#"{"op":"resume","key":"a"}"#,
        r#"{"op":"resume","key":"nobody"}"#,
        r#"{"op":"pause","key":"a","queue":"q"}"#,
        r#"{"op":"pause"}"#,
    ] {
        line(&mut run, op);
    }
    run.end_input();
    let ended = run.ended();
    let fired: Vec<&str> = of_kind(&ended.events, "fired").map(|event| text(event, "key")).collect();
    assert_eq!(fired, ["a"], "b has gone first");
    let outcomes: Vec<&str> = of_kind(&ended.events, "ack").map(|event| text(event, "outcome")).collect();
    assert_eq!(outcomes, ["resumed", "not_found"]);
    let errors: Vec<&str> = of_kind(&ended.events, "error").map(|event| text(event, "error")).collect();
    assert_eq!(
        errors,
        [
            "there are two names; keep one of `key`, `tag` and `queue`",
            "the name is missing; add `queue`, or `key` to pause one job",
        ]
    );
}
