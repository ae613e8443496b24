//! Tags and headers: jobs found, cancelled and moved by a label, and what travels with a job.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::job::{Headers, JobOptions, Tags};
use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{
    CallError, CancelOutcome, Due, Engine, InvalidTag, Job, JobFilter, JobState, ListCursor, LookupOutcome,
    OnConflict, PurgeOutcome, QueueConfig, Refusal, RescheduleError, RescheduleOutcome, Retry, ScheduleError,
    ScheduleOutcome, Shift,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, ms, nothing};

async fn engine() -> TestEngine {
    TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap()
}

async fn schedule(engine: &Engine, key: &str, tags: &[&str], at: i64) {
    let job = engine.schedule_raw("q", "").key(key).tags(tags).at(at_ms(at));
    job.await.unwrap().scheduled().unwrap();
}

const ALL: [JobState; 5] =
    [JobState::Pending, JobState::Retrying, JobState::Ready, JobState::Running, JobState::Dead];

/// The keys of the jobs that have a tag, in whatever state; by pages of two.
fn keys(engine: &Engine, tag: &str) -> Vec<String> {
    let filter = JobFilter::default().tag(tag).states(ALL);
    let (mut keys, mut next) = (BTreeSet::new(), Some(ListCursor::default()));
    while let Some(from) = next {
        let page = engine.list(&filter, from, 2).unwrap();
        for job in page.jobs {
            assert!(job.options.tags().unwrap().has(tag));
            assert!(keys.insert(job.key.to_string()), "{} is shown twice", job.key);
        }
        next = page.next;
    }
    assert_eq!(engine.count(&filter).jobs, keys.len() as u64);
    keys.into_iter().collect()
}

fn due_ms(engine: &Engine, key: &str) -> i64 {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) => (view.due.as_micros() - TEN_O_CLOCK.as_micros()) / 1_000,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_a_tag_or_a_header_is_refused_at_the_call() {
    let engine = engine().await;
    let (nine, long, value) =
        (["1", "2", "3", "4", "5", "6", "7", "8", "9"], "t".repeat(65), "v".repeat(257));
    let job = || engine.schedule_raw("q", "").key("k");
    for (call, said) in [
        (job().tags(nine), "the tag \"9\" is one too many: a job may have 8"),
        (job().tags(&nine[..8]).tag("9"), "the tag \"9\" is one too many: a job may have 8"),
        (job().tag(""), "a tag is empty; give it 1 to 64 bytes"),
        (job().tag(&long), "the tag that begins with \"tttttttttttttttt\" has 65 bytes; it may have 64"),
        (job().tag("a\u{0}"), "the tag \"a\\0\" has a control character at byte 1; take it out"),
        // The first mistake is told.
        (job().tag("").tag(&long), "a tag is empty; give it 1 to 64 bytes"),
        (job().header("", "v"), "the name of a header is empty; give it 1 to 64 visible ASCII characters"),
        (
            job().header("a:\n", "v"),
            "the name of the header \"a:\\n\" has something else than visible ASCII characters at byte 2",
        ),
        (
            job().header("a", "x\u{1b}"),
            "the value of the header \"a\" has a control character at byte 1; take it out",
        ),
        (job().header("a", &value), "the value of the header \"a\" has 257 bytes; it may have 256"),
    ] {
        let error = call.at(at_ms(10)).await.unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(matches!(error, ScheduleError::InvalidTag(_) | ScheduleError::InvalidHeader(_)));
        assert!(!error.change().may_be_in_force());
    }
    assert_eq!(engine.jobs(), 0);
    assert!(matches!(engine.cancel_tagged("").await, Err(InvalidTag::Empty)));
    assert!(matches!(engine.move_tagged(&long, SECOND).await, Err(InvalidTag::TooLong { bytes: 65, .. })));
    let options =
        JobOptions::default().with_headers(Headers::new((0..16).map(|n| (n.to_string(), ""))).unwrap());
    let full = engine.schedule_raw("q", "").options(options).header("17", "").at(at_ms(10)).await;
    assert_eq!(full.unwrap_err().to_string(), "the header \"17\" is one too many: a job may have 16");
}

#[tokio::test]
async fn a_handler_and_a_lookup_see_tags_and_headers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let handler = move |job: Job| {
        let tags = job.options().tags().cloned();
        told.lock().unwrap().push((tags, job.header("of").map(str::to_owned), job.header("none").is_none()));
        async {}
    };
    let engine = TestEngine::start(Engine::builder().queue("q", handler), TEN_O_CLOCK).await.unwrap();
    let job = engine.schedule_raw("q", "").key("k").tag("b").tag("a").tag("b");
    let job = job.header("of", "x").header("traceparent", "00-1-2-01").header("of", "shop");
    job.at(at_ms(10)).await.unwrap().scheduled().unwrap();
    let LookupOutcome::Scheduled(view) = engine.lookup("k") else { panic!("it is pending") };
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(json["options"]["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(json["options"]["headers"], serde_json::json!({"of": "shop", "traceparent": "00-1-2-01"}));
    engine.advance(ms(20)).await;
    let tags = Some(Tags::new(["a", "b"]).unwrap());
    assert_eq!(*seen.lock().unwrap(), [(tags, Some("shop".to_owned()), true)]);
}

#[tokio::test]
async fn jobs_are_found_by_tag_whatever_becomes_of_them() {
    let engine = engine().await;
    schedule(&engine, "fires", &["a", "b"], 10).await;
    schedule(&engine, "moved", &["a"], 10).await;
    schedule(&engine, "cancelled", &["a"], 10).await;
    schedule(&engine, "replaced", &["a"], 10).await;
    schedule(&engine, "plain", &[], 10).await;
    assert_eq!(keys(&engine, "a"), ["cancelled", "fires", "moved", "replaced"]);
    assert_eq!(keys(&engine, "b"), ["fires"]);
    assert!(keys(&engine, "c").is_empty() && keys(&engine, "").is_empty());

    engine.reschedule("moved", at_ms(5_000)).await.unwrap().rescheduled().unwrap();
    engine.cancel("cancelled").await.unwrap().cancelled().unwrap();
    let other = engine.schedule_raw("q", "").key("replaced").tag("b").on_conflict(OnConflict::Replace);
    let outcome = other.at(at_ms(9_000)).await.unwrap();
    assert!(matches!(outcome, ScheduleOutcome::Replaced { .. }), "{outcome:?}");
    assert_eq!(
        (keys(&engine, "a").join(" "), keys(&engine, "b").join(" ")),
        ("fires moved".to_owned(), "fires replaced".to_owned())
    );
    engine.advance(ms(20)).await;
    assert_eq!(keys(&engine, "a"), ["moved"], "what has fired has no tags");
    engine.advance(ms(60_000)).await;
    assert!(keys(&engine, "a").is_empty() && keys(&engine, "b").is_empty());
}

#[tokio::test]
async fn by_tag_jobs_are_cancelled_and_each_has_its_outcome() {
    let hangs = |_: Job| std::future::pending::<()>();
    let builder = Engine::builder().queue("q", nothing).queue("hangs", hangs);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().go_on_after(ms(200));
    for n in 0..1_000 {
        schedule(&engine, &format!("t{n}"), &["t"], 10_000 + n).await;
        schedule(&engine, &format!("u{n}"), &["u"], 10_000 + n).await;
    }
    engine.schedule_raw("hangs", "").key("runs").tag("t").at(at_ms(1)).await.unwrap().scheduled().unwrap();
    engine.advance(ms(5)).await;
    let done = engine.cancel_tagged("t").await.unwrap();
    assert!(done.is_whole && done.error().is_none());
    assert_eq!((done.cancelled(), done.jobs.len()), (1_000, 1_001));
    let met: BTreeSet<_> = done.jobs.iter().map(|job| job.id).collect();
    assert_eq!(met.len(), 1_001, "none twice");
    let runs = done.jobs.iter().find(|job| job.key.as_str() == "runs").unwrap();
    assert!(matches!(runs.outcome, Ok(CancelOutcome::Running)));
    assert_eq!((keys(&engine, "t").len(), keys(&engine, "u").len()), (1, 1_000));
    assert!(matches!(engine.lookup("t7"), LookupOutcome::NotFound));
    // Its key is free.
    schedule(&engine, "t7", &["t"], 20_000).await;
    assert_eq!(engine.cancel_tagged("t").await.unwrap().cancelled(), 1);
    assert_eq!(engine.cancel_tagged("nobody's").await.unwrap().jobs.len(), 0);
}

#[tokio::test]
async fn by_tag_jobs_are_moved_to_an_instant_and_by_a_length_of_time() {
    let engine = engine().await;
    schedule(&engine, "wall", &["t"], 60_000).await;
    schedule(&engine, "other", &["u"], 60_000).await;
    let delayed = engine.schedule_raw("q", "").key("mono").tag("t").after(ms(90_000));
    delayed.await.unwrap().scheduled().unwrap();
    let dues = |engine: &Engine| ["wall", "mono", "other"].map(|key| due_ms(engine, key));
    assert_eq!(engine.move_tagged("t", ms(5_000)).await.unwrap().rescheduled(), 2);
    assert_eq!(dues(&engine), [65_000, 95_000, 60_000]);
    assert_eq!(engine.move_tagged("t", Shift::Earlier(ms(64_000))).await.unwrap().rescheduled(), 2);
    assert_eq!(dues(&engine), [1_000, 31_000, 60_000]);
    assert_eq!(engine.advance(ms(2_000)).await.len(), 1);
    // Earlier than now is now.
    assert_eq!(engine.move_tagged("t", Shift::Earlier(Duration::MAX)).await.unwrap().rescheduled(), 1);
    assert_eq!(engine.advance(ms(10)).await.len(), 1);
    let moved = engine.reschedule_tagged("u", at_ms(7_000)).await.unwrap();
    assert!(matches!(moved.jobs[0].outcome, Ok(RescheduleOutcome::Rescheduled { .. })));
    assert_eq!(due_ms(&engine, "other"), 7_000);

    let past = engine.move_tagged("u", Shift::Later(Duration::MAX)).await.unwrap();
    assert_eq!(past.rescheduled(), 0);
    let error = past.error().unwrap();
    assert!(matches!(error, RescheduleError::Refused(Refusal::PastHorizon { .. })), "{error}");
    assert_eq!(due_ms(&engine, "other"), 7_000);
    assert_eq!(engine.reschedule_tagged("u", Due::In(SECOND)).await.unwrap().rescheduled(), 1);
    assert_eq!(engine.advance(ms(1_100)).await.len(), 1);
}

#[tokio::test]
async fn a_log_with_little_room_does_not_stop_a_call_by_tag() {
    let store = Arc::new(MemoryStore::new());
    let builder = Engine::builder().partitions(1).log_records_max(100).queue("q", nothing).store(store);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    for n in 0..600 {
        schedule(&engine, &format!("t{n}"), &["t"], 60_000).await;
    }
    let done = engine.move_tagged("t", SECOND).await.unwrap();
    let error = done.error().map(ToString::to_string);
    assert_eq!((done.is_whole, done.rescheduled(), done.jobs.len()), (true, 600, 600), "{error:?}");
    let moved = (0..600).all(|n| due_ms(&engine, &format!("t{n}")) == 61_000);
    assert!(moved, "each once");
    assert_eq!(engine.cancel_tagged("t").await.unwrap().cancelled(), 600);
}

#[tokio::test]
async fn an_engine_that_shuts_down_says_so_of_each_job() {
    let engine = engine().await;
    schedule(&engine, "k", &["t"], 60_000).await;
    let closed = (*engine).clone();
    engine.shutdown(SECOND).await;
    let done = closed.cancel_tagged("t").await.unwrap();
    for job in &done.jobs {
        let error = job.outcome.as_ref().unwrap_err();
        assert!(matches!(error, reveille::CancelError::Call(CallError::ShuttingDown)), "{error}");
    }
    assert_eq!(done.cancelled(), 0);
}

#[tokio::test]
async fn tags_stay_through_retries_death_revival_and_restarts() {
    let store = Arc::new(MemoryStore::new());
    let builder = || {
        let queue = QueueConfig::new("q").retry(Retry::attempts(2).fixed(SECOND));
        let fails = |_: Job| async { Err::<(), _>("no") };
        Engine::builder().queue(queue, fails).store(store.clone())
    };
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    schedule(&engine, "dies", &["t", "d"], 10).await;
    schedule(&engine, "waits", &["t"], 60_000).await;
    schedule(&engine, "purged", &["t"], 20).await;
    engine.advance(ms(100)).await;
    assert_eq!(keys(&engine, "t"), ["dies", "purged", "waits"], "two wait for a retry");
    assert_eq!(engine.move_tagged("d", ms(10)).await.unwrap().rescheduled(), 1);
    engine.advance(ms(3_000)).await;
    let dead = JobFilter::default().tag("t").states([JobState::Dead]);
    assert_eq!(engine.count(&dead).jobs, 2);
    // The dead are not to fire, so they are not met.
    assert_eq!(engine.cancel_tagged("d").await.unwrap().jobs.len(), 0);
    assert_eq!(engine.purge("purged").await.unwrap(), PurgeOutcome::Purged);
    drop(engine);

    for now in [4_000, 5_000] {
        let engine = TestEngine::start(builder(), at_ms(now)).await.unwrap();
        assert_eq!((keys(&engine, "t").join(" "), engine.count(&dead).jobs), ("dies waits".to_owned(), 1));
        engine.snapshot().await.unwrap();
    }
    let engine = TestEngine::start(builder(), at_ms(6_000)).await.unwrap();
    assert_eq!(engine.revive_all(&dead, at_ms(9_000)).await.unwrap().revived, 1);
    assert_eq!(engine.cancel_tagged("t").await.unwrap().cancelled(), 2);
    assert!(keys(&engine, "t").is_empty() && engine.advance(ms(90_000)).await.is_empty());
    schedule(&engine, "dies", &["t"], 100_000).await;
    engine.advance(ms(30_000)).await;
    assert_eq!(engine.purge_all(&dead).await.unwrap().purged, 1);
    assert!(keys(&engine, "t").is_empty());
}

/// Ten of a hundred thousand, in one page: where a list looks at no more than 4,096 jobs, it has not looked at the others.
#[tokio::test]
async fn ten_jobs_of_a_hundred_thousand_are_found_without_a_look_at_the_others() {
    let engine = engine().await;
    let jobs = (0..100_000).map(|n| {
        let job = engine.schedule_raw("q", "").key(format!("k{n}"));
        let job = if n % 10_000 == 77 { job.tag("rare") } else { job.tag(format!("n{}", n % 100)) };
        job.planned(at_ms(60_000))
    });
    let _handles = engine.schedule_many(jobs).await.unwrap().scheduled().unwrap();
    let page = engine.list(&JobFilter::default().tag("rare"), ListCursor::default(), 100).unwrap();
    assert_eq!((page.jobs.len(), page.next), (10, None));
    assert_eq!(engine.count(&JobFilter::default().tag("rare")).jobs, 10);
    assert_eq!(engine.count(&JobFilter::default().tag("n0")).jobs, 1_000);
    let of_a_key = JobFilter::default().tag("rare").key_prefix("k10077");
    assert_eq!(engine.count(&of_a_key).jobs, 1);
    assert_eq!(engine.cancel_tagged("rare").await.unwrap().cancelled(), 10);
    assert_eq!(engine.jobs(), 99_990);
}
