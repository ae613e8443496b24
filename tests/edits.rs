//! What a call does with a job of its key that is pending: which of the two stays, and what of a pending job can be changed.

use std::sync::Arc;
use std::time::Duration;

use reveille::job::{QueueName, Tags};
use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{
    Edit, EditError, EditOutcome, Engine, JobFilter, JobView, LookupOutcome, OnConflict, Priority, Refusal,
    ScheduleError, ScheduleOutcome, Version,
};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, ms, nothing};

async fn engine() -> TestEngine {
    let builder = Engine::builder().queue("q", nothing).queue("other", nothing).payload_bytes_max(100);
    TestEngine::start(builder, TEN_O_CLOCK).await.unwrap()
}

async fn call(engine: &Engine, policy: OnConflict, due_ms: i64) -> ScheduleOutcome {
    let job = engine.schedule_raw("q", format!("for {due_ms}")).key("k").on_conflict(policy);
    job.at(at_ms(due_ms)).await.unwrap()
}

fn pending(engine: &Engine, key: &str) -> JobView {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) => view,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn the_earlier_or_the_later_of_two_jobs_stays() {
    for (policy, second, stays) in [
        (OnConflict::KeepEarlier, 500, 500),
        (OnConflict::KeepEarlier, 2_000, 1_000),
        (OnConflict::KeepEarlier, 1_000, 1_000),
        (OnConflict::KeepLater, 500, 1_000),
        (OnConflict::KeepLater, 2_000, 2_000),
    ] {
        let engine = engine().await;
        assert!(matches!(call(&engine, policy, 1_000).await, ScheduleOutcome::Scheduled { .. }));
        let outcome = call(&engine, policy, second).await;
        let is_replaced = stays == second && second != 1_000;
        assert_eq!(matches!(outcome, ScheduleOutcome::Replaced { .. }), is_replaced, "{policy:?} {second}");
        assert_eq!(matches!(outcome, ScheduleOutcome::Kept { .. }), !is_replaced);
        let view = pending(&engine, "k");
        assert_eq!((view.due, view.payload.as_bytes()), (at_ms(stays), format!("for {stays}").as_bytes()));
        assert_eq!(engine.advance(ms(5_000)).await.len(), 1);
    }
}

/// A job after a delay is compared by the wall as it stands.
#[tokio::test]
async fn delays_and_instants_are_compared() {
    let engine = engine().await;
    engine.schedule_raw("q", "").key("k").after(ms(1_000)).await.unwrap().scheduled().unwrap();
    assert!(matches!(call(&engine, OnConflict::KeepEarlier, 1_500).await, ScheduleOutcome::Kept { .. }));
    assert!(matches!(call(&engine, OnConflict::KeepEarlier, 999).await, ScheduleOutcome::Replaced { .. }));
}

#[tokio::test]
async fn only_the_payload_of_a_pending_job_is_replaced() {
    let engine = engine().await;
    let first = call(&engine, OnConflict::Payload, 1_000).await.scheduled().unwrap();
    let outcome = call(&engine, OnConflict::Payload, 9_000).await;
    assert_eq!(outcome, ScheduleOutcome::Updated { handle: first, version: Version(2) });
    assert!(!outcome.is_taken());
    let view = pending(&engine, "k");
    assert_eq!((view.due, view.payload.as_bytes(), view.handle), (at_ms(1_000), &b"for 9000"[..], first));
}

#[tokio::test]
async fn a_pending_job_is_edited_and_stays_due() {
    let store = Arc::new(MemoryStore::new());
    let builder = || Engine::builder().queue("q", nothing).queue("other", nothing).store(store.clone());
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let long = "x".repeat(3_000);
    for (key, due) in [("a", 1_000), ("b", 1_000), ("a key of more than a line", 1_000)] {
        let job = engine.schedule_raw("q", "old").key(key);
        if key == "b" { job.after(ms(due)) } else { job.at(at_ms(due as i64)) }
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    let other = QueueName::new("other").unwrap();
    let edit = Edit::payload(long.clone()).and_priority(Priority::FIRST).and_queue(other.clone());
    assert_eq!(engine.edit("a", edit.clone()).await.unwrap(), EditOutcome::Edited { version: Version(2) });
    assert_eq!(
        engine.edit("b", Edit::payload("")).await.unwrap(),
        EditOutcome::Edited { version: Version(2) }
    );
    let key = "a key of more than a line";
    assert_eq!(engine.edit(key, edit).await.unwrap(), EditOutcome::Edited { version: Version(2) });
    // By what was looked up, and no longer when that has changed.
    let seen = pending(&engine, "b");
    let again = Edit::payload(format!("{} bytes before", seen.payload.len()));
    let outcome = engine.edit_if("b", seen.version, again.clone()).await.unwrap();
    assert_eq!(outcome, EditOutcome::Edited { version: Version(3) });
    let outcome = engine.edit_if("b", seen.version, again).await.unwrap();
    assert_eq!(outcome, EditOutcome::Changed { version: Version(3) });
    let before = ["a", "b", key].map(|key| serde_json::to_string(&pending(&engine, key)).unwrap());
    drop(engine);

    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    let after = ["a", "b", key].map(|key| serde_json::to_string(&pending(&engine, key)).unwrap());
    assert_eq!(before, after);
    let fired = engine.advance(ms(2_000)).await;
    assert_eq!(fired.len(), 3);
    for job in fired {
        let is_b = job.key.as_str() == "b";
        assert_eq!((job.queue.as_str(), job.due), (if is_b { "q" } else { "other" }, at_ms(1_000)));
        let payload = if is_b { "0 bytes before" } else { &long };
        assert_eq!(job.payload.as_bytes(), payload.as_bytes());
    }
}

#[tokio::test]
async fn tags_are_put_in_place_of_those_that_were_there() {
    let store = Arc::new(MemoryStore::new());
    let builder = || Engine::builder().queue("q", nothing).store(store.clone());
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    for (key, tags) in [("plain", &[][..]), ("tagged", &["tenant:7", "mail"]), ("both", &["mail"])] {
        let job = engine.schedule_raw("q", "").key(key).tags(tags);
        job.at(at_ms(1_000)).await.unwrap().scheduled().unwrap();
    }
    let to = |tags: &[&str]| Edit::tags(Tags::new(tags).unwrap());
    for (key, tags) in [("plain", &["mail", "vip"][..]), ("tagged", &["vip"]), ("both", &[])] {
        assert!(matches!(engine.edit(key, to(tags)).await.unwrap(), EditOutcome::Edited { .. }));
    }
    let of = |engine: &Engine, tag: &str| engine.count(&JobFilter::default().tag(tag)).jobs;
    let counts = |engine: &Engine| ["mail", "vip", "tenant:7"].map(|tag| of(engine, tag));
    assert_eq!(counts(&engine), [1, 2, 0]);
    assert!(pending(&engine, "both").options.tags().is_none());
    let both = serde_json::to_string(&pending(&engine, "both")).unwrap();
    drop(engine);

    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    assert_eq!(counts(&engine), [1, 2, 0]);
    assert_eq!(serde_json::to_string(&pending(&engine, "both")).unwrap(), both);
    assert_eq!(engine.cancel_tagged("vip").await.unwrap().cancelled(), 2);
    assert_eq!(engine.advance(ms(2_000)).await.len(), 1);
}

#[tokio::test]
async fn a_new_job_is_merged_with_the_pending_one() {
    let engine = engine().await;
    let add = async |event: &str, due_ms| {
        let with = |pending: &JobView| {
            Edit::payload([pending.payload.as_bytes(), event.as_bytes()].concat())
                .and_priority(Priority::FIRST)
        };
        engine.schedule_raw("q", event).key("k").merge(with).at(at_ms(due_ms)).await
    };
    let handle = add("a", 1_000).await.unwrap().scheduled().unwrap();
    let outcome = add("b", 500).await.unwrap();
    assert_eq!(outcome, ScheduleOutcome::Updated { handle, version: Version(2) });
    assert!(matches!(add("c", 2_000).await.unwrap(), ScheduleOutcome::Updated { .. }));
    let view = pending(&engine, "k");
    assert_eq!(
        (view.due, view.payload.as_bytes(), view.options.priority()),
        (at_ms(1_000), &b"abc"[..], Priority::FIRST)
    );
    let large = add(&"x".repeat(100), 0).await;
    assert!(matches!(large, Err(ScheduleError::Refused(Refusal::PayloadTooLarge { bytes: 103, max: 100 }))));
    assert_eq!(engine.advance(ms(1_000)).await.len(), 1);
    // What has fired is not merged with.
    assert!(matches!(add("d", 3_000).await.unwrap(), ScheduleOutcome::Scheduled { .. }));
}

/// Each sees what the others have done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn merges_of_several_callers_lose_nothing() {
    let engine = Engine::builder().queue("q", nothing).start().await.unwrap();
    let callers = (0..4_u8).map(|caller| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for _ in 0..250 {
                let with =
                    |pending: &JobView| Edit::payload([pending.payload.as_bytes(), &[caller]].concat());
                let job = engine.schedule_raw("q", vec![caller]).key("k").merge(with);
                let _new_or_not = job.after(Duration::from_secs(3600)).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let view = pending(&engine, "k");
    let of = |caller| view.payload.as_bytes().iter().filter(|byte| **byte == caller).count();
    assert_eq!([0, 1, 2, 3].map(of), [250; 4]);
    assert_eq!(view.version, Version(1_000));
}

/// Also one that is due already and waits for its queue: it keeps its place by what it is now.
#[tokio::test]
async fn a_job_that_is_ready_is_edited_too() {
    let engine = engine().await;
    engine.pause("q").into_outcome().unwrap();
    for key in ["first", "second", "third"] {
        engine.schedule_raw("q", "").key(key).at(at_ms(10)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(20)).await;
    let other = QueueName::new("other").unwrap();
    assert!(matches!(engine.edit("second", Edit::queue(other)).await.unwrap(), EditOutcome::Edited { .. }));
    assert!(matches!(engine.edit("third", Edit::payload("new")).await.unwrap(), EditOutcome::Edited { .. }));
    let fired = engine.settle().await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["second"]);
    engine.resume("q").into_outcome().unwrap();
    let fired = engine.settle().await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["first", "third"]);
    assert_eq!(fired[1].payload.as_bytes(), b"new");
}

#[tokio::test]
async fn what_cannot_be_edited_says_so() {
    let engine = engine().await;
    assert_eq!(engine.edit("nobody", Edit::payload("")).await.unwrap(), EditOutcome::NotFound);
    call(&engine, OnConflict::Reject, 10).await.scheduled().unwrap();
    let nowhere = Edit::queue(QueueName::new("nowhere").unwrap());
    assert!(matches!(engine.edit("k", nowhere).await, Err(EditError::UnknownQueue { .. })));
    let large = engine.edit("k", Edit::payload(vec![0; 101])).await;
    assert!(matches!(large, Err(EditError::Refused(Refusal::PayloadTooLarge { bytes: 101, max: 100 }))));
    assert_eq!(pending(&engine, "k").version, Version::FIRST);
    engine.advance(ms(20)).await;
    let late = engine.edit("k", Edit::payload("")).await.unwrap();
    assert!(matches!(late, EditOutcome::AlreadyFired { at, .. } if at == at_ms(10)), "{late:?}");
}

#[tokio::test]
async fn calls_in_a_row_push_a_job_back_and_no_further_than_they_may() {
    let engine = engine().await;
    let change = async |n: usize| {
        let job = engine.schedule_raw("q", format!("change {n}")).key("doc").debounce(10 * SECOND);
        job.after(2 * SECOND).await.unwrap()
    };
    // Every second: at 0, 1, … 8 it is pushed back to 2 s later, and at 9 no further than to 10.
    let mut fired = Vec::new();
    for n in 0..12 {
        let outcome = change(n).await;
        let is_first = n == 0 || n == 10;
        assert_eq!(matches!(outcome, ScheduleOutcome::Scheduled { .. }), is_first, "{n}: {outcome:?}");
        fired.extend(engine.advance(SECOND).await);
    }
    assert_eq!(fired.len(), 1);
    assert_eq!((fired[0].fired_at, fired[0].payload.as_bytes()), (at_ms(10_000), &b"change 9"[..]));
    // The next row has its own ten seconds.
    let fired = engine.advance(Duration::from_secs(60)).await;
    assert_eq!((fired.len(), fired[0].payload.as_bytes()), (1, &b"change 11"[..]));
}

/// As the comparison has it: a throttle is to keep what is pending.
#[tokio::test]
async fn of_calls_in_a_row_the_first_decides_when_if_it_is_kept() {
    let engine = engine().await;
    let mut fired = Vec::new();
    for n in 0..12 {
        let job = engine.schedule_raw("q", format!("change {n}")).key("doc").on_conflict(OnConflict::Keep);
        let outcome = job.after(4 * SECOND).await.unwrap();
        assert_eq!(matches!(outcome, ScheduleOutcome::Scheduled { .. }), n % 4 == 0, "{n}: {outcome:?}");
        fired.extend(engine.advance(SECOND).await);
    }
    let told: Vec<_> = fired.iter().map(|job| (job.fired_at, job.payload.as_bytes())).collect();
    let payloads = [&b"change 0"[..], b"change 4", b"change 8"];
    assert_eq!(told, [4_000, 8_000, 12_000].map(at_ms).into_iter().zip(payloads).collect::<Vec<_>>());
}
