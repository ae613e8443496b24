//! `schedule_many`, `reschedule_many` and `cancel_many`: the same as as many single calls, but for the time that it takes.

use reveille::testing::TestEngine;
use reveille::{
    CallError, CancelError, CancelOutcome, Due, Durability, Engine, InvalidKey, Job, LookupOutcome,
    OnConflict, Planned, QueueConfig, Refusal, RescheduleError, RescheduleOutcome, ScheduleError,
    ScheduleOutcome, Target, Version,
};
use testkit::HOUR;
use testkit::scripted::{Does, Scripted};
use testkit::{Keys, TEN_O_CLOCK, at_ms, ms, nothing, within};

/// More than one stay in each of the partitions takes.
const MANY: usize = 2_000;

fn planned(engine: &Engine, key: impl AsRef<str>) -> Planned<'_> {
    engine.schedule_raw("q", "payload").key(key).planned(HOUR)
}

#[tokio::test]
async fn outcomes_are_in_the_order_of_the_input() {
    let engine =
        TestEngine::start(Engine::builder().queue("q", nothing).horizon(HOUR), TEN_O_CLOCK).await.unwrap();
    let taken = engine.schedule_raw("q", "").key("taken").at(at_ms(1)).await.unwrap().handle();
    let jobs = [
        planned(&engine, "a"),
        planned(&engine, "taken"),
        planned(&engine, ""),
        engine.schedule_raw("nobody's", "").key("b").planned(HOUR),
        engine.schedule_raw("q", "").key("c").planned(at_ms(i64::from(i32::MAX))),
        planned(&engine, "a"),
        engine.schedule_raw("q", "new").key("taken").on_conflict(OnConflict::Replace).planned(at_ms(2)),
        planned(&engine, "d"),
    ];
    let outcomes = engine.schedule_many(jobs).await.unwrap();
    let [a, exists, empty, unknown, far, again, replaced, d] = &outcomes[..] else { panic!("{outcomes:?}") };
    let Ok(ScheduleOutcome::Scheduled { handle: a }) = a else { panic!("{a:?}") };
    assert!(matches!(exists, Ok(ScheduleOutcome::AlreadyScheduled { handle }) if *handle == taken));
    assert!(matches!(empty, Err(ScheduleError::InvalidKey(InvalidKey::Empty))));
    assert!(matches!(unknown, Err(ScheduleError::UnknownQueue { name, .. }) if name == "nobody's"));
    assert!(matches!(far, Err(ScheduleError::Refused(Refusal::PastHorizon { .. }))));
    assert!(matches!(again, Ok(ScheduleOutcome::AlreadyScheduled { handle }) if handle == a));
    assert!(matches!(replaced, Ok(ScheduleOutcome::Replaced { was, .. }) if *was == at_ms(1)));
    assert!(matches!(d, Ok(ScheduleOutcome::Scheduled { .. })));
    assert_eq!(engine.jobs(), 3);

    let replaced = replaced.as_ref().unwrap().handle();
    let outcomes = engine.cancel_many(["d", "nobody", "", "d"]).await.unwrap();
    assert!(matches!(
        outcomes[..],
        [
            Ok(CancelOutcome::Cancelled),
            Ok(CancelOutcome::NotFound),
            Err(CancelError::InvalidKey(InvalidKey::Empty)),
            Ok(CancelOutcome::NotFound),
        ]
    ));
    let outcomes = engine.cancel_many([replaced, *a, taken]).await.unwrap();
    let [Ok(replaced), Ok(a), Ok(taken)] = outcomes[..] else { panic!("{outcomes:?}") };
    use CancelOutcome::{Cancelled, NotFound};
    assert_eq!((replaced, a, taken, engine.jobs()), (Cancelled, Cancelled, NotFound, 0));
    assert!(engine.schedule_many([]).await.unwrap().is_empty());
}

#[tokio::test]
async fn many_jobs_fire_as_if_each_had_been_scheduled_alone() {
    let fired = Keys::default();
    let told = fired.clone();
    let handler = move |job: Job| {
        told.push(job.key().to_string());
        async {}
    };
    let engine = TestEngine::start(Engine::builder().queue("q", handler), TEN_O_CLOCK).await.unwrap();
    let jobs = (0..MANY).map(|n| engine.schedule_raw("q", "").key(n.to_string()).planned(ms(n as u64 + 1)));
    let outcomes = engine.schedule_many(jobs).into_outcome().unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        let LookupOutcome::Scheduled(job) = engine.lookup(outcome.as_ref().unwrap().handle()) else {
            panic!("{n}")
        };
        assert_eq!((job.key.as_str(), job.due), (n.to_string().as_str(), at_ms(n as i64 + 1)));
    }
    let odd: Vec<String> = (0..MANY).filter(|n| n % 2 == 1).map(|n| n.to_string()).collect();
    let cancelled = engine.cancel_many(&odd).into_outcome().unwrap();
    assert!(cancelled.iter().all(|outcome| matches!(outcome, Ok(CancelOutcome::Cancelled))));
    assert_eq!((cancelled.len(), engine.jobs()), (MANY / 2, MANY / 2));
    engine.advance(ms(MANY as u64)).await;
    let even: Vec<String> = (0..MANY).filter(|n| n % 2 == 0).map(|n| n.to_string()).collect();
    assert_eq!(fired.take(), even);
}

#[tokio::test]
async fn promise_9_many_jobs_are_bounded_as_single_ones_are() {
    let engine =
        TestEngine::start(Engine::builder().queue("q", nothing).jobs_max(100), TEN_O_CLOCK).await.unwrap();
    let outcomes = engine.schedule_many((0..150).map(|n| planned(&engine, n.to_string()))).await.unwrap();
    let full = outcomes.iter().filter(|outcome| matches!(outcome, Err(ScheduleError::Full { max: 100, .. })));
    assert_eq!((full.count(), engine.jobs()), (50, 100));
    let outcomes = engine.cancel_many((0..150).map(|n| n.to_string())).await.unwrap();
    let gone = outcomes.iter().filter(|outcome| matches!(outcome, Ok(CancelOutcome::Cancelled)));
    assert_eq!((gone.count(), engine.jobs()), (100, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_9_many_records_are_no_more_than_the_log_takes() {
    let store = Scripted::with_append(Does::Stands);
    let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing).store(store.clone());
    let engine = builder.partitions(1).log_records_max(100).start().await.unwrap();
    let mut commit = engine.schedule_many((0..MANY).map(|n| planned(&engine, n.to_string())));
    let taken = commit.outcome().unwrap().iter().filter(|outcome| outcome.is_ok()).count();
    // The buffer has a hundred at most; a stand-still store has taken none.
    assert!((1..=100).contains(&taken), "{taken}");
    let refused = commit.outcome().unwrap().iter().find_map(|outcome| outcome.as_ref().err());
    assert!(matches!(refused, Some(ScheduleError::Call(CallError::LogFull { max: 100, .. }))), "{refused:?}");
    assert!(tokio::time::timeout(ms(50), &mut commit).await.is_err(), "not acknowledged yet");
    store.append.set(Does::Well);
    assert_eq!(commit.await.unwrap().len(), MANY);
    assert_eq!(engine.jobs(), taken);
}

/// One commit waits for every partition, and what it told is what a restart finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_2_a_commit_of_many_waits_for_every_partition() {
    let store = Scripted::in_memory();
    store.append.set_in(1, Does::Stands);
    let builder = || Engine::builder().queue("q", nothing).store(store.clone()).partitions(4);
    let engine = builder().start().await.unwrap();
    let keys = || (0..MANY).map(|n| n.to_string());
    let mut commit = engine.schedule_many(keys().map(|key| planned(&engine, key)));
    assert!(tokio::time::timeout(ms(50), &mut commit).await.is_err(), "one partition's store stands still");
    store.append.set(Does::Well);
    let outcomes = commit.await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(ScheduleOutcome::Scheduled { .. }))));
    let half = engine.cancel_many(keys().step_by(2)).durability(Durability::Logged).await.unwrap();
    assert!(half.iter().all(|outcome| matches!(outcome, Ok(CancelOutcome::Cancelled))));
    assert!(engine.shutdown(ms(5_000)).await.is_flushed);
    let engine = builder().start().await.unwrap();
    assert_eq!(engine.jobs(), MANY / 2);
    for (n, key) in keys().enumerate() {
        let is_there = matches!(engine.lookup(&key), LookupOutcome::Scheduled(_));
        assert_eq!(is_there, n % 2 == 1, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_ask_no_more_of_a_store_than_it_has() {
    let store = Scripted::in_memory();
    let engine = Engine::builder().queue("q", nothing).store(store).start().await.unwrap();
    let job = |key| engine.schedule_raw("q", "").key(key);
    let jobs = [job("a").durability(Durability::Replicated).planned(HOUR), job("b").planned(HOUR)];
    let outcomes = engine.schedule_many(jobs).await.unwrap();
    assert!(
        matches!(outcomes[0], Err(ScheduleError::Call(CallError::NoSuchDurability { .. }))),
        "{outcomes:?}"
    );
    assert!(outcomes[1].is_ok());
}

#[tokio::test]
async fn a_job_planned_with_another_engine_finds_its_queue_by_name() {
    let one = Engine::builder().queue("other", nothing).queue("q", nothing).start().await.unwrap();
    let two = Engine::builder().queue("q", nothing).start().await.unwrap();
    let jobs = [planned(&one, "k"), one.schedule_raw("other", "").key("l").planned(HOUR)];
    let outcomes = two.schedule_many(jobs).await.unwrap();
    assert!(matches!(&outcomes[1], Err(ScheduleError::UnknownQueue { name, .. }) if name == "other"));
    let LookupOutcome::Scheduled(job) = two.lookup("k") else { panic!("{outcomes:?}") };
    assert_eq!((job.queue.as_str(), one.jobs(), two.jobs()), ("q", 0, 1));
}

#[tokio::test]
async fn many_calls_after_a_shutdown_are_refused_one_by_one() {
    let engine = Engine::builder().queue("q", nothing).start().await.unwrap();
    engine.schedule_many([planned(&engine, "k")]).await.unwrap().scheduled().unwrap();
    engine.shutdown(ms(1_000)).await;
    let outcomes = engine.schedule_many([planned(&engine, "l")]).await.unwrap();
    assert!(matches!(outcomes[..], [Err(ScheduleError::Call(CallError::ShuttingDown))]));
    let outcomes = engine.cancel_many(["k"]).await.unwrap();
    assert!(matches!(outcomes[..], [Err(CancelError::Call(CallError::ShuttingDown))]));
}

#[tokio::test]
async fn many_are_moved_and_told_in_the_order_of_the_input() {
    let builder = Engine::builder().queue("q", nothing).horizon(HOUR);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let schedule = async |key: &str, due: Due| {
        engine.schedule_raw("q", "").key(key).due(due).await.unwrap().scheduled().unwrap()
    };
    schedule("fired", Due::at(at_ms(1))).await;
    assert_eq!(engine.advance(ms(1)).await.len(), 1);
    let stale = schedule("gone", Due::at(at_ms(9))).await;
    engine.cancel("gone").await.unwrap().cancelled().unwrap();
    // Has the slot that the other left.
    let named = schedule("named", Due::at(at_ms(9))).await;
    schedule("moved", Due::In(ms(9))).await;
    let due = Due::at;
    let moves: [(Target<'_>, Due); 9] = [
        ("moved".into(), due(at_ms(20))),
        ("nobody".into(), due(at_ms(20))),
        (named.into(), Due::In(ms(29))),
        ("".into(), due(at_ms(20))),
        ("moved".into(), Due::In(HOUR + ms(1))),
        (stale.into(), due(at_ms(20))),
        ("fired".into(), due(at_ms(20))),
        ("moved".into(), due(at_ms(40))),
        ("named".into(), due(at_ms(50))),
    ];
    let outcomes = engine.reschedule_many(moves).await.unwrap();
    let [first, nobody, in_30, empty, far, gone, fired, again, last] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    let moved = |outcome: &Result<_, _>, since, to| {
        matches!(outcome, Ok(RescheduleOutcome::Rescheduled { was, version: Version(version) })
            if *was == since && *version == to)
    };
    assert!(moved(first, at_ms(10), 2), "{first:?}");
    assert!(matches!(nobody, Ok(RescheduleOutcome::NotFound)));
    assert!(moved(in_30, at_ms(9), 2), "{in_30:?}");
    assert!(matches!(empty, Err(RescheduleError::InvalidKey(InvalidKey::Empty))));
    assert!(matches!(far, Err(RescheduleError::Refused(Refusal::PastHorizon { .. }))));
    assert!(matches!(gone, Ok(RescheduleOutcome::NotFound)));
    assert!(matches!(fired, Ok(RescheduleOutcome::AlreadyFired { at, .. }) if *at == at_ms(1)));
    assert!(moved(again, at_ms(20), 3), "{again:?}");
    assert!(moved(last, at_ms(30), 3), "{last:?}");
    let amiss = outcomes.rescheduled().unwrap_err();
    assert_eq!((amiss.late, amiss.refused, amiss.at, amiss.outcomes.len()), (3, 2, 1, 9));
    assert!(engine.advance(ms(38)).await.is_empty(), "until 39 ms");
    let fired = engine.advance(ms(11)).await;
    assert_eq!(fired.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["moved", "named"]);
    let none: [(&str, Due); 0] = [];
    assert!(engine.reschedule_many(none).await.unwrap().is_empty());
}

#[tokio::test]
async fn many_are_moved_only_if_they_have_not_changed() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    engine.schedule_many(["a", "b"].map(|key| planned(&engine, key))).await.unwrap().scheduled().unwrap();
    let first = Version::FIRST;
    let outcomes = engine.reschedule_many_if([("a", first, ms(1)), ("a", first, ms(2)), ("b", first, ms(3))]);
    let outcomes = outcomes.await.unwrap();
    assert!(
        matches!(
            outcomes[..],
            [
                Ok(RescheduleOutcome::Rescheduled { version: Version(2), .. }),
                Ok(RescheduleOutcome::Changed { version: Version(2) }),
                Ok(RescheduleOutcome::Rescheduled { version: Version(2), .. }),
            ]
        ),
        "{outcomes:?}"
    );
    let moved = engine.reschedule_many([("a", ms(4)), ("b", ms(5))]).await.unwrap().rescheduled().unwrap();
    assert_eq!(moved, [Version(3), Version(3)]);
}

/// More than one window, with every job moved ahead of those that are not.
#[tokio::test]
async fn many_jobs_that_were_moved_fire_when_they_are_due() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    let keys: Vec<_> = (0..MANY).map(|n| n.to_string()).collect();
    let jobs = keys.iter().map(|key| engine.schedule_raw("q", "").key(key).planned(HOUR));
    let handles = engine.schedule_many(jobs).await.unwrap().scheduled().unwrap();
    let odd = keys.iter().zip(1_u64..).step_by(2).map(|(key, at)| (Target::from(key), ms(at)));
    let even =
        handles.iter().zip(1_u64..).skip(1).step_by(2).map(|(handle, at)| (Target::from(handle), ms(at)));
    let moved = engine.reschedule_many(odd.chain(even)).await.unwrap().rescheduled().unwrap();
    assert_eq!(moved, [Version(2); MANY]);
    let fired = engine.advance(ms(MANY as u64)).await;
    assert!(fired.iter().map(|job| job.key.as_str()).eq(&keys), "in the order of the new dues");
    assert_eq!(engine.jobs(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_9_many_moves_are_no_more_than_the_log_takes() {
    let store = Scripted::in_memory();
    let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing).store(store.clone());
    let engine = builder.partitions(1).log_records_max(100).start().await.unwrap();
    let keys: Vec<_> = (0..MANY).map(|n| n.to_string()).collect();
    for keys in keys.chunks(50) {
        engine
            .schedule_many(keys.iter().map(|key| planned(&engine, key)))
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
    store.append.set(Does::Stands);
    let commit = engine.reschedule_many(keys.iter().map(|key| (key, 2 * HOUR)));
    let moved = commit.outcome().unwrap().iter().filter(|outcome| outcome.is_ok()).count();
    assert!((1..=100).contains(&moved), "{moved}");
    assert!(commit.outcome().unwrap()[..moved].iter().all(Result::is_ok), "the first ones were moved");
    let refused = commit.outcome().unwrap().iter().find_map(|outcome| outcome.as_ref().err());
    assert!(
        matches!(refused, Some(RescheduleError::Call(CallError::LogFull { max: 100, .. }))),
        "{refused:?}"
    );
    store.append.set(Does::Well);
    assert_eq!(commit.await.unwrap().len(), MANY);
}

/// What the commit of many moves has told is what the next engine finds, and the one that was relieved moves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_2_many_moves_outlive_their_engine_and_promise_5_a_lost_partition_is_told() {
    let store = Scripted::in_memory();
    let builder = || Engine::builder().queue("q", nothing).store(store.clone()).partitions(4);
    let first = builder().start().await.unwrap();
    let keys: Vec<_> = (0..MANY).map(|n| n.to_string()).collect();
    first.schedule_many(keys.iter().map(|key| planned(&first, key))).await.unwrap().scheduled().unwrap();
    let moved = first.reschedule_many(keys.iter().map(|key| (key, 2 * HOUR))).await.unwrap();
    assert_eq!(moved.rescheduled().unwrap().len(), MANY);
    let second = within("a takeover", builder().take_over(true).start()).await.unwrap();
    // Each partition finds out when it writes.
    let late =
        within("an answer", first.reschedule_many(keys.iter().map(|key| (key, HOUR)))).await.unwrap_err();
    assert!(matches!(late, CallError::NotOwner { .. }), "{late}");
    within("a loss", first.lost()).await;
    let refused = first.reschedule_many(keys.iter().map(|key| (key, HOUR))).await.unwrap();
    assert!(
        refused
            .iter()
            .all(|outcome| matches!(outcome, Err(RescheduleError::Call(CallError::NotOwner { .. }))))
    );
    for key in &keys {
        let LookupOutcome::Scheduled(job) = second.lookup(key) else { panic!("{key}") };
        assert_eq!(job.version, Version(2), "{key}");
    }
}
