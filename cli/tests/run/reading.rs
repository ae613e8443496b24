//! The ops that read: pages, counts, and loads.

use serde_json::{Value, json};

use testkit::program::{Run, text};

/// The answer to a line, past what fires meanwhile.
fn answer(run: &mut Run, line: &Value) -> Value {
    run.write(&format!("{line}\n"));
    loop {
        let event = run.event();
        if event["line"].is_number() {
            return event;
        }
    }
}

fn keys(page: &Value) -> Vec<&str> {
    assert_eq!(page["event"], "page", "{page}");
    let mut keys: Vec<_> = page["jobs"].as_array().unwrap().iter().map(|job| text(job, "key")).collect();
    keys.sort_unstable();
    keys
}

/// Jobs in two queues, due a minute apart from 2033-05-18T03:33:20Z on; one has a tag.
fn with_jobs() -> Run {
    let mut run = Run::start(&[]);
    for n in 0..10 {
        let queue = if n < 4 { "mails" } else { "sales" };
        let tags = if n == 7 { json!(["vip"]) } else { json!([]) };
        let line = json!({
            "op": "schedule", "key": format!("order:{n}"), "queue": queue, "at": 2_000_000_000 + 60 * n, "tags": tags,
        });
        assert_eq!(answer(&mut run, &line)["outcome"], "scheduled");
    }
    run
}

#[test]
fn a_page_tells_of_jobs_as_a_lookup_does() {
    let mut run = with_jobs();
    let page = answer(&mut run, &json!({"op": "list", "prefix": "order:3"}));
    let job = json!({
        "key": "order:3", "state": "pending", "due": "2033-05-18T03:36:20.000000Z", "queue": "mails", "version": 1,
    });
    assert_eq!(page, json!({"event": "page", "line": 11, "jobs": [job]}));
    let found = answer(&mut run, &json!({"op": "lookup", "key": "order:3"}));
    for field in ["due", "queue", "version"] {
        assert_eq!(found[field], job[field]);
    }
}

#[test]
fn pages_follow_each_other_until_all_jobs_were_shown_once() {
    let mut run = with_jobs();
    let (mut all, mut line) = (Vec::new(), json!({"op": "list", "limit": 3}));
    let pages = loop {
        let page = answer(&mut run, &line);
        assert!(keys(&page).len() <= 3);
        all.extend(keys(&page).into_iter().map(str::to_owned));
        match page.get("next") {
            Some(next) => line["cursor"] = next.clone(),
            None => break all.len().div_ceil(3),
        }
    };
    all.sort_unstable();
    assert_eq!(all, (0..10).map(|n| format!("order:{n}")).collect::<Vec<_>>());
    assert_eq!(pages, 4);
    let refused = answer(&mut run, &json!({"op": "list", "cursor": "1-2-3"}));
    assert!(text(&refused, "error").contains("the cursor is of another engine"), "{refused}");
}

#[test]
fn pages_by_due_show_the_earliest_first() {
    let mut run = with_jobs();
    assert_eq!(
        answer(&mut run, &json!({"op": "reschedule", "key": "order:2", "at": 2_100_000_000}))["outcome"],
        "rescheduled"
    );
    let (mut all, mut line) = (Vec::new(), json!({"op": "list", "order": "due", "limit": 4}));
    loop {
        let page = answer(&mut run, &line);
        all.extend(page["jobs"].as_array().unwrap().iter().map(|job| text(job, "key").to_owned()));
        let Some(next) = page.get("next") else { break };
        line["cursor"] = next.clone();
    }
    assert_eq!(all, [0, 1, 3, 4, 5, 6, 7, 8, 9, 2].map(|n| format!("order:{n}")));
    let refused = answer(&mut run, &json!({"op": "list", "cursor": line["cursor"]}));
    assert!(text(&refused, "error").contains("a list in another order"), "{refused}");
}

#[test]
fn jobs_are_chosen_by_queue_tag_state_and_when_they_are_due() {
    let mut run = with_jobs();
    let mut chosen = |fields: Value| {
        let mut line = json!({"op": "list"});
        line.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        let page = answer(&mut run, &line);
        line["op"] = json!("count");
        let count = answer(&mut run, &line);
        assert_eq!(count["count"], page["jobs"].as_array().unwrap().len(), "{count}");
        let (op, outcome) = (text(&count, "op"), text(&count, "outcome"));
        assert_eq!((op, outcome), ("count", "counted"));
        assert!(count["exact"].is_boolean());
        keys(&page).into_iter().map(|key| key["order:".len()..].to_owned()).collect::<String>()
    };
    assert_eq!(chosen(json!({})), "0123456789");
    assert_eq!(chosen(json!({"queue": "mails"})), "0123");
    assert_eq!(chosen(json!({"queue": "nobody's"})), "");
    assert_eq!(chosen(json!({"tag": "vip"})), "7");
    assert_eq!(chosen(json!({"from": 2_000_000_060})), "123456789", "from that instant on");
    assert_eq!(chosen(json!({"to": "2033-05-18T03:36:20Z"})), "012", "before that instant");
    assert_eq!(chosen(json!({"from": 2_000_000_060, "to": 2_000_000_300, "queue": "sales"})), "4");
    assert_eq!(chosen(json!({"state": "pending"})), "0123456789");
    assert_eq!(chosen(json!({"state": ["running", "dead"]})), "");
}

#[test]
fn a_paused_job_is_shown_as_one_and_is_no_load() {
    let mut run = with_jobs();
    let from = 2_000_000_000;
    let first_minute =
        |run: &mut Run| answer(run, &json!({"op": "load", "from": from, "limit": 1}))["buckets"][0].clone();
    assert_eq!(first_minute(&mut run), 1);
    assert_eq!(answer(&mut run, &json!({"op": "pause", "key": "order:0"}))["outcome"], "paused");
    let page = answer(&mut run, &json!({"op": "list", "state": "paused"}));
    assert_eq!(keys(&page), ["order:0"]);
    let job = &page["jobs"][0];
    assert!(job["state"] == "paused" && job["paused_at"].is_string(), "{job}");
    assert_eq!(answer(&mut run, &json!({"op": "count"}))["count"], 10, "it is still to end");
    assert_eq!(answer(&mut run, &json!({"op": "count", "state": "pending"}))["count"], 9);
    assert_eq!(first_minute(&mut run), 0);
    assert_eq!(answer(&mut run, &json!({"op": "resume", "key": "order:0"}))["outcome"], "resumed");
    assert_eq!(first_minute(&mut run), 1);
}

#[test]
fn a_fired_job_is_shown_with_its_end() {
    let mut run = Run::start(&[]);
    run.write("{\"op\":\"schedule\",\"key\":\"k\",\"in\":0}\n");
    while run.event()["event"] != "fired" {}
    let page = loop {
        let page = answer(&mut run, &json!({"op": "list", "state": ["fired"]}));
        // Its event has been written, but its handler may not have ended yet.
        if !keys(&page).is_empty() {
            break page;
        }
    };
    let job = &page["jobs"][0];
    assert_eq!((text(job, "key"), text(job, "state")), ("k", "fired"));
    assert!(job["fired_at"].is_string() && job.get("failed").is_none(), "{job}");
    assert_eq!(answer(&mut run, &json!({"op": "count", "state": "fired"}))["count"], 1);
}

#[test]
fn a_load_counts_jobs_by_bucket() {
    let mut run = with_jobs();
    let load = answer(&mut run, &json!({"op": "load", "from": 2_000_000_000, "to": 2_000_000_300}));
    assert_eq!((text(&load, "event"), text(&load, "bucket")), ("ack", "minute"));
    assert_eq!(load["from"], "2033-05-18T03:33:20.000000Z");
    assert_eq!(load["buckets"], json!([1, 1, 1, 1, 1]));
    let load = answer(
        &mut run,
        &json!({"op": "load", "bucket": "hour", "limit": 2, "from": 2_000_000_060, "queue": "mails"}),
    );
    assert_eq!((&load["before"], &load["buckets"], &load["after"]), (&json!(0), &json!([3, 0]), &json!(0)));
    let from_now = answer(&mut run, &json!({"op": "load", "bucket": "day"}));
    assert_eq!(from_now["buckets"].as_array().unwrap().len(), 30);
    assert_eq!(from_now["after"], 10);
}
