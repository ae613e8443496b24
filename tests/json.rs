//! The shape in JSON of what an engine, and a reader, tells: a page and other programs read it. Names stay; new ones may come.

use std::sync::Arc;
use std::time::Duration;

use reveille::partition::Counts;
use reveille::read::{LoadBuckets, Namespace};
use reveille::store::{LivingOwner, MemoryStore, Owner, SnapshotInfo};
use reveille::testing::TestEngine;
use reveille::{
    Clock, Engine, Job, JobFilter, JobState, Lateness, ListCursor, OnConflict, PauseOutcome, QueueStats,
    RestoreProgress, ResumeOutcome, Stats, StoreState, StoreStats, Version,
};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

fn value(view: impl Serialize) -> Value {
    serde_json::to_value(view).unwrap()
}

fn builder() -> reveille::Builder {
    let held = |job: Job| async move {
        match job.key().as_str() {
            "held" => std::future::pending().await,
            "fails" => Err("it does not work"),
            _ => Ok(()),
        }
    };
    // In one partition ids are counted from one beginning.
    Engine::builder().queue("mails", held).queue("sales", nothing).partitions(1)
}

#[tokio::test]
async fn a_job() {
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap().go_on_after(ms(50));
    let secret = engine.schedule_raw("mails", "secret").key("later").at_most_once();
    secret.at(at_ms(1_500)).await.unwrap().scheduled().unwrap();
    let later = json!({
        "id": "0-0",
        "key": "later",
        "queue": "mails",
        "state": "pending",
        "due": "2026-12-01T10:00:01.500000Z",
        "options": {"delivery": "at_most_once"},
        "version": 1,
        "attempt": 0,
        "payload_bytes": 6,
    });
    assert_eq!(value(engine.lookup("later")), json!({"outcome": "scheduled", "job": later}));
    for key in ["held", "fails"] {
        engine.schedule_raw("mails", "").key(key).at(at_ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(2)).await;
    let held = json!({
        "id": "0-1",
        "key": "held",
        "queue": "mails",
        "state": "running",
        "due": "2026-12-01T10:00:00.001000Z",
        "running_since": "2026-12-01T10:00:00.001000Z",
        "options": {},
        "version": 1,
        "attempt": 1,
        "payload_bytes": 0,
    });
    assert_eq!(value(engine.lookup("held")), json!({"outcome": "running", "job": held}));
    let fired =
        json!({"outcome": "already_fired", "fired_at": "2026-12-01T10:00:00.001000Z", "end": "failed"});
    assert_eq!(value(engine.lookup("fails")), fired);
    assert_eq!(value(engine.lookup("nobody")), json!({"outcome": "not_found"}));

    let all = JobFilter::default().states([JobState::Pending, JobState::Running, JobState::Fired]);
    let page = engine.list(&all, ListCursor::default(), 9).unwrap();
    let tombstone = json!({
        "id": "0-2",
        "key": "fails",
        "state": "fired",
        "fired_at": "2026-12-01T10:00:00.001000Z",
        "ended_at": value(&page.fired[0])["ended_at"],
        "end": "failed",
    });
    assert_eq!(value(&page), json!({"jobs": [later, held], "fired": [tombstone], "next": null}));
    let first = engine.list(&all, ListCursor::default(), 1).unwrap();
    assert_eq!(value(&first)["next"], json!(first.next.unwrap().to_string()));
}

#[tokio::test]
async fn what_calls_answer() {
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let schedule =
        |policy| engine.schedule_raw("mails", "").key("k").on_conflict(policy).at(at_ms(1)).into_outcome();
    for (policy, answer) in [
        (OnConflict::Reject, json!({"outcome": "scheduled"})),
        (OnConflict::Reject, json!({"outcome": "already_scheduled"})),
        (OnConflict::Keep, json!({"outcome": "kept"})),
        (OnConflict::Replace, json!({"outcome": "replaced", "was": "2026-12-01T10:00:00.001000Z"})),
    ] {
        assert_eq!(value(schedule(policy).unwrap()), answer);
    }
    let moved = engine.reschedule("k", at_ms(2)).into_outcome().unwrap();
    let answer = json!({"outcome": "rescheduled", "was": "2026-12-01T10:00:00.001000Z", "version": 2});
    assert_eq!(value(moved), answer);
    let changed = json!({"outcome": "changed", "version": 2});
    assert_eq!(value(engine.reschedule_if("k", Version(1), at_ms(2)).into_outcome().unwrap()), changed);
    assert_eq!(value(engine.cancel_if("k", Version(1)).into_outcome().unwrap()), changed);
    assert_eq!(value(engine.cancel("k").into_outcome().unwrap()), json!({"outcome": "cancelled"}));
    assert_eq!(value(engine.cancel("k").into_outcome().unwrap()), json!({"outcome": "not_found"}));
    let _ = schedule(OnConflict::Reject).unwrap();
    engine.advance(ms(1)).await;
    let fired = json!({"outcome": "already_fired", "fired_at": "2026-12-01T10:00:00.001000Z"});
    assert_eq!(value(engine.cancel("k").into_outcome().unwrap()), fired);
    assert_eq!(value(engine.reschedule("k", at_ms(9)).into_outcome().unwrap()), fired);
}

#[test]
fn the_figures_of_an_engine() {
    let (mut stats, mut store) = (Stats::default(), StoreStats::default());
    let mut lateness = Lateness::default();
    (lateness.p50, lateness.p99) = (Duration::from_micros(1), Duration::from_millis(2));
    (lateness.p999, lateness.max) = (Duration::from_secs(3), Duration::MAX);
    store.lease_left = Some(Duration::from_millis(8_200));
    store.state = StoreState::Refusing;
    stats.lateness = lateness;
    stats.runtime_pause = Duration::from_millis(1_500);
    stats.store = Some(store);
    stats.queues.push(QueueStats::default());
    let expected = json!({
        "pending": 0, "ready": 0, "running": 0, "fired_remembered": 0,
        "scheduled": 0, "rescheduled": 0, "cancelled": 0, "fired": 0, "succeeded": 0, "failed": 0, "dead": 0,
        "lateness": {"count": 0, "p50_us": 1, "p99_us": 2_000, "p999_us": 3_000_000, "max_us": u64::MAX},
        "pool": null,
        "queues": [{
            "name": "", "has_handler": false, "unhandled": 0, "is_paused": false, "paused_since": null, "is_rate_held": false, "ready": 0,
            "running": 0, "fired": 0, "succeeded": 0, "failed": 0, "panicked": 0, "timed_out": 0, "discarded": 0, "retried": 0, "died": 0, "passed_over": 0,
        }],
        "log_pending": 0, "is_store_healthy": false,
        "store": {
            "state": "refusing", "last_error": null, "doubts": [], "owner": "", "lease_left_ms": 8_200,
            "commit_delay": {"count": 0, "p50_us": 0, "p99_us": 0, "p999_us": 0, "max_us": 0},
            "snapshots": 0, "log_records": 0, "partitions_behind": 0, "partitions_lost": 0, "incidents": 0, "last_incident": null,
        },
        "skipped": 0, "clock_steps": 0, "driver_wakes": 0,
        "runtime_pause_ms": 1_500, "runtime_pause_max_ms": 0, "has_runtime_ended": false,
    });
    assert_eq!(value(stats), expected);
}

#[test]
fn what_pauses_of_queues_answer() {
    let since = TEN_O_CLOCK;
    let paused = json!({"outcome": "already_paused", "since": "2026-12-01T10:00:00.000000Z"});
    assert_eq!(value(PauseOutcome::AlreadyPaused { since }), paused);
    assert_eq!(value(PauseOutcome::Paused), json!({"outcome": "paused"}));
    assert_eq!(value(ResumeOutcome::Resumed), json!({"outcome": "resumed"}));
    assert_eq!(value(ResumeOutcome::NotPaused), json!({"outcome": "not_paused"}));
}

#[tokio::test]
async fn how_an_engine_begins_and_ends() {
    let progress = json!({"partitions": 0, "partitions_done": 0, "jobs": 0, "records": 0, "bytes": 0});
    assert_eq!(value(RestoreProgress::default()), progress);
    assert_eq!(value(SnapshotInfo::default()), json!({"jobs": 0, "fired": 0, "chunks": 0, "bytes": 0}));
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let report = json!({
        "still_running": 0, "pending": 0, "pending_durable": 0, "pending_lost": 0, "changes_unconfirmed": 0,
        "has_store": false, "is_flushed": false, "partitions_behind": 0, "is_taken_over": false,
    });
    assert_eq!(value(engine.shutdown(ms(1_000)).await), report);
}

#[tokio::test]
async fn the_figures_of_a_namespace() {
    let store = Arc::new(MemoryStore::new());
    let engine = TestEngine::start(builder().store(store.clone()), TEN_O_CLOCK).await.unwrap();
    for (key, due) in [("near", 1_500), ("far", 999_999)] {
        engine.schedule_raw("sales", "").key(key).at(at_ms(due)).await.unwrap().scheduled().unwrap();
    }
    let namespace = Namespace::open(store).await.unwrap().clock(Clock::Manual(engine.clock().clone()));
    let figures = namespace.figures(LoadBuckets { width: ms(1_000), count: 3 }).await.unwrap();
    let expected = json!({
        "partitions": 1, "partitions_used": 1, "partitions_owned": 1, "log_records": 0,
        "jobs": {
            "pending": 2, "overdue": 0, "running": 0, "dead": 0, "fired": 0,
            "queues": [{"queue": "sales", "pending": 2, "overdue": 0, "running": 0, "dead": 0}],
        },
        "load": {
            "from": "2026-12-01T10:00:00.000000Z", "bucket_us": 1_000_000,
            "before": 0, "buckets": [0, 1, 0], "after": 1,
        },
    });
    assert_eq!(value(figures), expected);
    let contents = namespace.read(namespace.partitions().next().unwrap()).await.unwrap().unwrap();
    assert_eq!(value(contents.log()), json!({"snapshot_jobs": 2, "records": 0, "log_end": 2}));
    let owner = LivingOwner::new(Owner::new("host:7"), 9, Some(ms(1_500)));
    assert_eq!(value(owner), json!({"owner": "host:7", "epoch": 9, "lease_left_ms": 1_500}));
    let gone = LivingOwner::new(Owner::new("host:7"), 9, None);
    assert_eq!(value(gone), json!({"owner": "host:7", "epoch": 9, "lease_left_ms": null}));
}

#[test]
fn what_a_partition_has_done() {
    let counts = json!({
        "scheduled": 0, "rescheduled": 0, "cancelled": 0, "skipped": 0, "started": 0, "succeeded": 0, "failed": 0,
        "edited": 0, "recurred": 0, "passed": 0, "retried": 0, "died": 0, "revived": 0, "purged": 0,
    });
    assert_eq!(value(Counts::default()), counts);
}
