//! What calls answer, and what their errors say of the change: each looked up for real.

use std::borrow::Cow;
use std::sync::Arc;

use reveille::store::{MemoryStore, StoreErrorClass};
use reveille::testing::TestEngine;
use reveille::{
    Builder, CallError, CancelError, Change, Durability, Engine, Job, Key, LookupOutcome, OnConflict,
    RescheduleError, ScheduleError, Target, Version,
};
use testkit::HOUR;
use testkit::scripted::{Does, Scripted};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

fn builder(store: Arc<Scripted>) -> Builder {
    Engine::builder().queue("q", nothing).partitions(1).commit_deadline(ms(100)).store(store)
}

/// An engine with the jobs `moved` and `cancelled`, which its store has, and that store.
async fn engine() -> (Engine, Arc<Scripted>) {
    let store = Scripted::in_memory();
    let engine = builder(store.clone()).start().await.unwrap();
    for key in ["moved", "cancelled"] {
        engine.schedule_raw("q", "").key(key).after(HOUR).await.unwrap().scheduled().unwrap();
    }
    (engine, store)
}

/// One call of each kind, and what their errors say of the change.
async fn change(engine: &Engine, level: Option<Durability>) -> [Change; 5] {
    let scheduled = engine.schedule_raw("q", "").key("new").after(HOUR);
    let moved = engine.reschedule("moved", HOUR * 2);
    let cancelled = engine.cancel("cancelled");
    let planned = [engine.schedule_raw("q", "").key("one of many").planned(HOUR)];
    let many = engine.schedule_many(planned);
    let none = engine.cancel_many(["one of many"]);
    let level = level.unwrap_or(Durability::Logged);
    let error = |error: CallError| error.change();
    [
        scheduled.durability(level).await.unwrap_err().change(),
        moved.durability(level).await.unwrap_err().change(),
        cancelled.durability(level).await.unwrap_err().change(),
        many.durability(level).await.map(drop).map_err(error).unwrap_err(),
        none.durability(level).await.map(drop).map_err(error).unwrap_err(),
    ]
}

/// Whether the first three of those calls are in force.
fn in_force(engine: &Engine) -> [bool; 3] {
    let is_moved = match engine.lookup("moved") {
        LookupOutcome::Scheduled(job) => job.version == Version(2),
        other => panic!("{other:?}"),
    };
    [
        matches!(engine.lookup("new"), LookupOutcome::Scheduled(_)),
        is_moved,
        engine.lookup("cancelled") == LookupOutcome::NotFound,
    ]
}

async fn restarted(store: Arc<Scripted>) -> Engine {
    store.append.set(Does::Well);
    builder(store).take_over(true).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_change_is_in_force_and_lasts_once_the_store_is_back() {
    let (engine, store) = engine().await;
    store.append.set(Does::Stands);
    assert_eq!(change(&engine, None).await, [Change::InForce; 5]);
    assert_eq!(in_force(&engine), [true; 3]);
    store.append.set(Does::Well);
    assert!(engine.shutdown(ms(10_000)).await.is_flushed);
    assert_eq!(in_force(&restarted(store).await), [true; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_not_durable_is_in_force_until_the_engine_ends() {
    let (engine, store) = engine().await;
    store.append.set(Does::Fails(StoreErrorClass::Fatal));
    assert_eq!(change(&engine, None).await, [Change::InForce; 5]);
    assert_eq!(in_force(&engine), [true; 3]);
    engine.shutdown(ms(100)).await;
    drop(engine);
    assert_eq!(in_force(&restarted(store).await), [false; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durability_that_cannot_be_had_changes_nothing_before_the_call_and_stops_nothing_after_it() {
    let (engine, store) = engine().await;
    let before = engine.schedule_raw("q", "").key("new").durability(Durability::Fsync).after(HOUR).await;
    assert_eq!(before.unwrap_err().change(), Change::None);
    assert_eq!(in_force(&engine), [false; 3]);
    assert_eq!(change(&engine, Some(Durability::Fsync)).await, [Change::InForce; 5]);
    assert_eq!(in_force(&engine), [true; 3]);
    assert!(engine.shutdown(ms(10_000)).await.is_flushed);
    assert_eq!(in_force(&restarted(store).await), [true; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_when_another_took_over_is_unknown() {
    let (first, store) = engine().await;
    store.append.set(Does::Stands);
    let commits = [first.cancel("cancelled"), first.cancel("moved")];
    let second = builder(store.clone()).take_over(true).start().await.unwrap();
    store.append.set(Does::Well);
    for commit in commits {
        let error = commit.await.unwrap_err();
        assert!(matches!(error, CancelError::Call(CallError::NotOwner { .. })), "{error}");
        assert_eq!(error.change(), Change::Unknown);
    }
    assert_eq!(in_force(&second), [false; 3]);
    // Calls that come after that change nothing.
    first.lost().await;
    let scheduled = first.schedule_raw("q", "").key("new").after(HOUR).await.unwrap_err();
    assert!(matches!(scheduled, ScheduleError::Call(CallError::NotOwner { .. })), "{scheduled}");
    let moved = first.reschedule("moved", HOUR).await.unwrap_err();
    assert!(matches!(moved, RescheduleError::Call(CallError::NotOwner { .. })), "{moved}");
    let cancelled = first.cancel("cancelled").await.unwrap_err();
    assert_eq!([scheduled.change(), moved.change(), cancelled.change()], [Change::None; 3]);
    assert_eq!(in_force(&second), [false; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_when_the_engine_ended_is_unknown() {
    let (engine, store) = engine().await;
    store.append.set(Does::Stands);
    let commit = engine.cancel("cancelled");
    engine.shutdown(ms(50)).await;
    let error = commit.await.unwrap_err();
    assert!(matches!(error, CancelError::Call(CallError::Interrupted)), "{error}");
    assert_eq!(error.change(), Change::Unknown);
    let after = engine.cancel("moved").await.unwrap_err();
    assert!(matches!(after, CancelError::Call(CallError::ShuttingDown)), "{after}");
    assert_eq!(after.change(), Change::None);
    drop(engine);
    assert!(matches!(restarted(store).await.lookup("moved"), LookupOutcome::Scheduled(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_changes_nothing() {
    let store = Scripted::with_append(Does::Stands);
    let engine = builder(store).log_records_max(1).jobs_max(1).start().await.unwrap();
    let commit = engine.schedule_raw("q", "").key("only").after(HOUR);
    let full = engine.cancel("only").await.unwrap_err();
    assert!(matches!(full, CancelError::Call(CallError::LogFull { .. })), "{full}");
    let schedule = |queue: &'static str, key: &'static str| engine.schedule_raw(queue, "").key(key);
    let changes = [
        full.change(),
        engine.reschedule("", HOUR).await.unwrap_err().change(),
        engine.cancel("").await.unwrap_err().change(),
        schedule("nobody's", "k").after(HOUR).await.unwrap_err().change(),
        schedule("q", "").after(HOUR).await.unwrap_err().change(),
        schedule("q", "k").after(HOUR * 24 * 36_500).await.unwrap_err().change(),
        schedule("q", "k").after(HOUR).await.unwrap_err().change(),
    ];
    assert_eq!(changes, [Change::None; 7]);
    assert!(matches!(engine.lookup("only"), LookupOutcome::Scheduled(_)));
    assert_eq!(engine.jobs(), 1);
    drop(commit);
}

#[tokio::test]
async fn an_answer_can_be_insisted_on() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    let schedule = || engine.schedule_raw("q", "").key("k");
    let handle = schedule().at(at_ms(5)).await.unwrap().scheduled().unwrap();
    let taken = schedule().at(at_ms(9)).await.unwrap().scheduled().unwrap_err();
    assert_eq!(taken.outcome.handle(), handle);
    assert!(taken.to_string().contains("on_conflict"), "{taken}");
    assert_eq!(schedule().on_conflict(OnConflict::Keep).at(at_ms(9)).await.unwrap().scheduled(), Ok(handle));
    schedule().on_conflict(OnConflict::Replace).at(at_ms(9)).await.unwrap().scheduled().unwrap();

    assert_eq!(engine.reschedule("k", at_ms(10)).await.unwrap().rescheduled(), Ok(Version(2)));
    let changed = engine.cancel_if("k", Version(1)).await.unwrap().cancelled().unwrap_err();
    assert!(changed.to_string().contains("version 2"), "{changed}");
    let unknown = engine.reschedule("nobody", at_ms(10)).await.unwrap().rescheduled().unwrap_err();
    assert!(unknown.to_string().contains("no such job"), "{unknown}");
    assert_eq!(engine.advance(ms(10)).await.len(), 1);
    let fired = engine.cancel("k").await.unwrap().cancelled().unwrap_err();
    assert!(fired.to_string().contains("it fired, at"), "{fired}");
    let fired = engine.reschedule("k", at_ms(99)).await.unwrap().rescheduled().unwrap_err();
    assert!(fired.to_string().contains("schedule the key anew"), "{fired}");
    schedule().at(at_ms(20)).await.unwrap().scheduled().unwrap();
    assert_eq!(engine.cancel("k").await.unwrap().cancelled(), Ok(()));
}

#[tokio::test]
async fn answers_about_many_can_be_insisted_on_and_are_counted() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    let planned = |key: &'static str| engine.schedule_raw("q", "").key(key).planned(HOUR);
    let jobs = engine.schedule_many([planned("a"), planned("b")]).await.unwrap().scheduled().unwrap();
    assert_eq!(jobs.len(), 2);
    let some = [planned("c"), planned("a"), planned(""), planned("b")];
    let amiss = engine.schedule_many(some).await.unwrap().scheduled().unwrap_err();
    assert_eq!((amiss.taken, amiss.refused, amiss.at, amiss.outcomes.len()), (2, 1, 1, 4));
    assert!(amiss.to_string().starts_with("3 of 4 jobs were not scheduled"), "{amiss}");
    let amiss = engine.cancel_many(["a", "x", "", "b"]).await.unwrap().cancelled().unwrap_err();
    assert_eq!((amiss.late, amiss.refused, amiss.at), (1, 1, 1));
    assert!(amiss.to_string().starts_with("2 of 4 jobs were not cancelled"), "{amiss}");
    assert_eq!(engine.cancel_many(["c"]).await.unwrap().cancelled().unwrap(), 1);
    assert_eq!(engine.jobs(), 0);
}

#[tokio::test]
async fn whatever_holds_a_key_names_its_job() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    let key = Key::new("order:7").unwrap();
    let text = String::from("order:7");
    assert_eq!(key, "order:7");
    assert_eq!(*text, key);
    assert_eq!(key, text);
    assert_eq!(("order:7".parse(), Key::try_from("order:7")), (Ok(key.clone()), Ok(key.clone())));
    engine.schedule_raw("q", "").key(&key).after(HOUR).await.unwrap().scheduled().unwrap();
    let LookupOutcome::Scheduled(job) = engine.lookup(&key) else { panic!("it is pending") };
    let shared = Arc::<str>::from("order:7");
    let texts: [Target<'_>; 10] = [
        key.clone().into(),
        (&key).into(),
        (&"order:7").into(),
        Cow::Borrowed("order:7").into(),
        Cow::<str>::Owned(key.clone().into()).into(),
        Box::<str>::from("order:7").into(),
        (&shared).into(),
        String::from(key.clone()).into(),
        (&job).into(),
        (&job.handle).into(),
    ];
    for target in texts {
        assert!(matches!(engine.lookup(target.clone()), LookupOutcome::Scheduled(_)), "{target:?}");
    }
    engine.reschedule(key.clone(), HOUR).await.unwrap().rescheduled().unwrap();
    engine.cancel(key).await.unwrap().cancelled().unwrap();
}

/// Also of the engine after it.
#[tokio::test]
async fn a_failed_job_is_told_from_one_that_was_done() {
    use reveille::End::{Done, Failed, Panicked};
    let store = Arc::new(MemoryStore::new());
    let handler = |job: Job| async move {
        match job.key().as_str() {
            "fails" => Err("it was told to"),
            "panics" => panic!("it was told to"),
            _ => Ok(()),
        }
    };
    let builder = || Engine::builder().queue("q", handler).store(store.clone()).take_over(true);
    let engine = TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap();
    for key in ["done", "fails", "panics"] {
        engine.schedule_raw("q", "").key(key).at(at_ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.advance(ms(1)).await;
    let ends = [("done", Done), ("fails", Failed), ("panics", Panicked)];
    let check = |engine: &Engine| {
        for (key, end) in ends {
            let LookupOutcome::AlreadyFired { at, end: told, .. } = engine.lookup(key) else {
                panic!("{key}")
            };
            assert_eq!((at, told), (at_ms(1), end));
        }
    };
    check(&engine);
    engine.shutdown(ms(5_000)).await;
    check(&TestEngine::start(builder(), at_ms(1)).await.unwrap());
}
