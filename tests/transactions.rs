//! Changes that are made together or not at all: what stands in their way, what becomes of the others then, and what a crash leaves.

use std::sync::Arc;

use reveille::store::{Batch, DelegatingStore, MemoryStore, Store, StoreFuture};
use reveille::testing::TestEngine;
use reveille::{
    CallError, CancelOutcome, Change, ChangeOutcome, Due, Engine, Job, JobState, Key, LookupOutcome,
    OnConflict, PartitionId, QueueConfig, Refusal, RescheduleError, RescheduleOutcome, Retry, ScheduleError,
    ScheduleOutcome, Target, Transaction, TransactionError, TransactionOutcome, Version,
};
use testkit::random::Random;
use testkit::scripted::{Does, Scripted};
use testkit::{HOUR, TEN_O_CLOCK, at_ms, ms, nothing};
use tokio::sync::Semaphore;

async fn engine() -> TestEngine {
    let builder = Engine::builder().queue("q", nothing).horizon(HOUR).payload_bytes_max(400_000);
    TestEngine::start(builder, TEN_O_CLOCK).await.unwrap()
}

/// Keys of one partition.
fn keys<const N: usize>(engine: &Engine, names: [&str; N]) -> [Key; N] {
    names.map(|name| engine.key_beside("the first", name).unwrap())
}

async fn schedule(engine: &Engine, key: &Key, due_ms: i64) {
    engine.schedule_raw("q", "old").key(key).at(at_ms(due_ms)).await.unwrap().scheduled().unwrap();
}

fn version(engine: &Engine, key: &Key) -> Option<Version> {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) => Some(view.version),
        _ => None,
    }
}

#[tokio::test]
async fn all_changes_are_made_at_once() {
    let engine = engine().await;
    let [new, taken, moved, gone] = keys(&engine, ["new", "taken", "moved", "gone"]);
    for key in [&taken, &moved, &gone] {
        schedule(&engine, key, 1_000).await;
    }
    let planned = |key: &Key| engine.schedule_raw("q", "new").key(key).on_conflict(OnConflict::Replace);
    let all = engine.transaction();
    let all = all.schedule(planned(&new).planned(ms(50))).reschedule_if(&moved, Version(1), at_ms(60));
    let all = all.cancel(&gone).schedule(planned(&taken).planned(at_ms(70)));
    let changes = all.commit().await.unwrap().applied().unwrap();
    let [first, second, third, fourth] = changes[..] else { panic!("{changes:?}") };
    assert!(matches!(first, ChangeOutcome::Schedule(ScheduleOutcome::Scheduled { .. })));
    let was = at_ms(1_000);
    let expected = RescheduleOutcome::Rescheduled { was, version: Version(2) };
    assert_eq!(second, ChangeOutcome::Reschedule(expected));
    assert_eq!(third, ChangeOutcome::Cancel(CancelOutcome::Cancelled));
    assert!(
        matches!(fourth, ChangeOutcome::Schedule(ScheduleOutcome::Replaced { was: told, .. }) if told == was)
    );
    let fired = engine.advance(ms(2_000)).await;
    assert_eq!(fired.iter().map(|job| job.key.clone()).collect::<Vec<_>>(), [new, moved, taken]);
    let none = engine.transaction().commit().await.unwrap();
    assert_eq!(none, TransactionOutcome::Applied { changes: Vec::new() });
}

/// Whatever stands in the way of one change, wherever that is among the others: none is made.
#[tokio::test]
async fn if_one_change_cannot_be_made_none_is() {
    let engine = engine().await;
    let [a, b, taken, fired, unknown] = keys(&engine, ["a", "b", "taken", "fired", "unknown"]);
    schedule(&engine, &fired, 1).await;
    engine.advance(ms(10)).await;
    for key in [&a, &b, &taken] {
        schedule(&engine, key, 60_000).await;
    }
    let LookupOutcome::Scheduled(view) = engine.lookup(&taken) else { panic!("it is pending") };
    let already = ChangeOutcome::Schedule(ScheduleOutcome::AlreadyScheduled { handle: view.handle });
    let new = engine.key_beside("the first", "new").unwrap();
    for at in 0..3 {
        for which in 0..5 {
            let mut all = engine.transaction();
            for place in 0..3 {
                all = match place {
                    _ if place == at => match which {
                        0 => all.schedule(engine.schedule_raw("q", "").key(&taken).planned(ms(5))),
                        1 => all.cancel(&fired),
                        2 => all.reschedule(&unknown, ms(5)),
                        3 => all.reschedule_if(&taken, Version(7), ms(5)),
                        _ => all.cancel_if(&taken, Version(7)),
                    },
                    0 => all.cancel(&a),
                    1 => all.schedule(engine.schedule_raw("q", "").key(&new).planned(ms(5))),
                    _ => all.reschedule(&b, ms(5)),
                };
            }
            let outcome = all.commit().await.unwrap();
            let TransactionOutcome::NotApplied { at: told, change } = outcome.clone() else {
                panic!("{outcome:?}")
            };
            assert_eq!(told, at);
            let first = Version(1);
            match which {
                0 => assert_eq!(change, already),
                1 => assert!(matches!(change, ChangeOutcome::Cancel(CancelOutcome::AlreadyFired { .. }))),
                2 => assert_eq!(change, ChangeOutcome::Reschedule(RescheduleOutcome::NotFound)),
                3 => assert_eq!(
                    change,
                    ChangeOutcome::Reschedule(RescheduleOutcome::Changed { version: first })
                ),
                _ => assert_eq!(change, ChangeOutcome::Cancel(CancelOutcome::Changed { version: first })),
            }
            let json = serde_json::to_value(&outcome).unwrap();
            assert_eq!((&json["outcome"], &json["at"]), (&"not_applied".into(), &at.into()), "{json}");
            assert!(json["change"]["outcome"].is_string(), "{json}");
            let error = outcome.applied().unwrap_err();
            assert_eq!((error.at, error.change), (at, change));
            assert!(error.to_string().starts_with("nothing was changed"), "{error}");
            assert_eq!([&a, &b, &taken].map(|key| version(&engine, key)), [Some(Version(1)); 3]);
            assert_eq!((version(&engine, &new), engine.jobs()), (None, 3));
        }
    }
}

#[tokio::test]
async fn a_mistake_in_one_change_is_an_error_of_all_and_says_where() {
    let engine = engine().await;
    let [a, b] = keys(&engine, ["a", "b"]);
    schedule(&engine, &b, 60_000).await;
    let begun = || engine.transaction().schedule(engine.schedule_raw("q", "").key(&a).planned(ms(5)));
    let planned = |queue: &str, due: Due| engine.schedule_raw(queue, "").key("x").planned(due);

    let error = begun().schedule(planned("nobody's", Due::In(ms(1)))).commit().await.unwrap_err();
    let unknown = |source: &ScheduleError| matches!(source, ScheduleError::UnknownQueue { .. });
    assert!(
        matches!(&error, TransactionError::Schedule { at: 1, source, .. } if unknown(source)),
        "{error:?}"
    );
    assert_eq!(error.change(), Change::None);

    let error = begun().reschedule(&b, 2 * HOUR).commit().await.unwrap_err();
    let past =
        |source: &RescheduleError| matches!(source, RescheduleError::Refused(Refusal::PastHorizon { .. }));
    assert!(
        matches!(&error, TransactionError::Reschedule { at: 1, source, .. } if past(source)),
        "{error:?}"
    );
    assert!(matches!(begun().cancel("").commit().await.unwrap_err(), TransactionError::Cancel { at: 1, .. }));

    // Two of one job: by key and key, and by key and handle.
    let same = begun().cancel(&b).reschedule(&b, ms(5)).commit().await.unwrap_err();
    assert!(matches!(same, TransactionError::SameJob { first: 1, at: 2, .. }), "{same:?}");
    let LookupOutcome::Scheduled(view) = engine.lookup(&b) else { panic!("it is pending") };
    let same = begun().cancel(&b).reschedule(Target::from(&view), ms(5)).commit().await.unwrap_err();
    assert!(matches!(same, TransactionError::SameJob { first: 1, at: 2, .. }), "{same:?}");

    let big = engine.schedule_raw("q", vec![0; 400_000]);
    let mut all = engine.transaction().schedule(big.key(&a).planned(ms(5)));
    for name in ["c", "d"] {
        let key = engine.key_beside("the first", name).unwrap();
        all = all.schedule(engine.schedule_raw("q", vec![0; 400_000]).key(key).planned(ms(5)));
    }
    let error = all.commit().await.unwrap_err();
    assert!(
        matches!(error, TransactionError::TooLarge { bytes: 1_200_000.., max: 1_048_576, .. }),
        "{error:?}"
    );
    let many = (0..257).fold(engine.transaction(), |all, _| all.cancel(&b));
    let error = many.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::TooMany { changes: 257, max: 256, .. }), "{error:?}");
    assert_eq!((version(&engine, &b), engine.jobs()), (Some(Version(1)), 1));
}

#[tokio::test]
async fn keys_are_placed_in_one_partition_and_those_of_two_are_an_error_that_says_how() {
    let engine = engine().await;
    let home = engine.partition_of("order:7").unwrap();
    for n in 0..200 {
        let key = engine.key_beside("order:7", format!("remind:{n}")).unwrap();
        assert_eq!(engine.partition_of(&key).unwrap(), home);
        assert_eq!(engine.key_beside("order:7", format!("remind:{n}")).unwrap(), key);
        assert!(key.as_str().starts_with(&format!("remind:{n}")));
    }
    assert_eq!(engine.key_beside("order:7", "order:7").unwrap().as_str(), "order:7");
    assert!(engine.key_beside("order:7", "").is_err() && engine.partition_of("x".repeat(513)).is_err());
    // Told by a job's own number too.
    let job = engine.schedule_raw("q", "").key("order:7").after(ms(5)).await.unwrap();
    let LookupOutcome::Scheduled(view) = engine.lookup(job.handle()) else { panic!("it is pending") };
    assert_eq!(view.id.partition(), home);

    let strange =
        (0..).map(|n| format!("s{n}")).find(|key| engine.partition_of(key).unwrap() != home).unwrap();
    let error = engine.transaction().cancel("order:7").cancel(&strange).commit().await.unwrap_err();
    let TransactionError::OtherPartition { at: 1, partition, first, .. } = error else { panic!("{error:?}") };
    assert_eq!((partition, first), (engine.partition_of(&strange).unwrap(), home));
    assert!(error_text(&engine, &strange).await.contains("key_beside"));
    assert_eq!(engine.jobs(), 1);
    // However many partitions there are.
    for partitions in [1, 3, 1024] {
        let builder = Engine::builder().queue("q", nothing).partitions(partitions);
        let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
        let key = engine.key_beside("a", "b").unwrap();
        assert_eq!(engine.partition_of(key).unwrap(), engine.partition_of("a").unwrap());
        assert!(engine.partition_of("a").unwrap() < PartitionId(partitions));
    }
}

async fn error_text(engine: &Engine, strange: &str) -> String {
    engine.transaction().cancel("order:7").cancel(strange).commit().await.unwrap_err().to_string()
}

#[tokio::test]
async fn promise_9_there_is_room_for_all_or_none_is_taken() {
    let builder = Engine::builder().queue("q", nothing).jobs_max(10);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap();
    let names: Vec<Key> = (0..12).map(|n| engine.key_beside("the first", format!("k{n}")).unwrap()).collect();
    let some = |from: usize, end: usize| {
        names[from..end].iter().fold(engine.transaction(), |all, key| {
            all.schedule(engine.schedule_raw("q", "").key(key).planned(ms(50)))
        })
    };
    let error = some(0, 11).commit().await.unwrap_err();
    let is_full = |source: &ScheduleError| matches!(source, ScheduleError::Full { max: 10, .. });
    assert!(
        matches!(&error, TransactionError::Schedule { at: 0, source, .. } if is_full(source)),
        "{error:?}"
    );
    assert_eq!(engine.jobs(), 0);
    some(0, 7).commit().await.unwrap().applied().unwrap();
    assert!(some(7, 11).commit().await.is_err());
    assert_eq!(engine.jobs(), 7);
    some(7, 10).commit().await.unwrap().applied().unwrap();
    // The places of others can be taken, and jobs moved and cancelled.
    let replaced = engine.schedule_raw("q", "").key(&names[3]).on_conflict(OnConflict::Replace);
    let all = engine.transaction().schedule(replaced.planned(ms(70))).cancel(&names[4]);
    all.commit().await.unwrap().applied().unwrap();
    assert_eq!((engine.jobs(), engine.advance(ms(100)).await.len()), (9, 9));
}

#[tokio::test]
async fn promise_9_the_log_takes_all_records_or_none() {
    let store = Scripted::with_append(Does::Stands);
    let builder = Engine::builder().queue(QueueConfig::new("q").paused(), nothing).store(store.clone());
    let engine = builder.partitions(1).log_records_max(10).start().await.unwrap();
    let some = |from: usize, end: usize| {
        (from..end).fold(engine.transaction(), |all, n| {
            all.schedule(engine.schedule_raw("q", "").key(format!("k{n}")).planned(HOUR))
        })
    };
    let first = some(0, 6).commit();
    assert!(matches!(first.outcome(), Ok(TransactionOutcome::Applied { .. })));
    let error = some(6, 11).commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Call(CallError::LogFull { max: 10, .. })), "{error:?}");
    assert_eq!(engine.jobs(), 6);
    let error = some(6, 17).commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::TooMany { changes: 11, max: 10, .. }), "{error:?}");
    store.append.set(Does::Well);
    first.await.unwrap().applied().unwrap();
    some(6, 11).commit().await.unwrap().applied().unwrap();
    assert_eq!(engine.jobs(), 11);
}

/// Lets so many batches through to the store below, and no more.
#[derive(Debug)]
struct Gate {
    inner: Arc<MemoryStore>,
    left: Semaphore,
}

impl DelegatingStore for Gate {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn append<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.left.acquire().await.expect("it is never closed").forget();
            self.inner.append(batch).await
        })
    }
}

/// The log is cut into batches of 64 KiB, and a crash may come between any two.
#[tokio::test]
async fn promise_2_a_crash_between_two_batches_leaves_all_of_a_transaction_or_nothing() {
    const TRANSACTIONS: usize = 60;
    let mut partly = 0;
    for batches in 0..9 {
        let inner = Arc::new(MemoryStore::new());
        let gate = Arc::new(Gate { inner: Arc::clone(&inner), left: Semaphore::new(0) });
        let builder = || Engine::builder().queue(QueueConfig::new("q").paused(), nothing).partitions(1);
        let engine = TestEngine::start(builder().store(gate.clone()), TEN_O_CLOCK).await.unwrap();
        let mut last = None;
        for n in 0..TRANSACTIONS {
            // Of some kilobytes each, so that no batch ends where one does.
            let all = (0..9).fold(engine.transaction(), |all, member| {
                let job = engine.schedule_raw("q", vec![7; 700 + 13 * n]).key(format!("t{n}.{member}"));
                all.schedule(job.planned(HOUR))
            });
            let commit = all.commit();
            assert!(matches!(commit.outcome(), Ok(TransactionOutcome::Applied { .. })));
            last = Some(commit);
        }
        gate.left.add_permits(batches);
        // All that were let through have arrived, or there were no more.
        testkit::eventually("they have arrived", || gate.left.available_permits() == 0).await;
        drop(last);
        let engine = engine.crash().await.restart(builder().store(inner)).await.unwrap();
        let found = (0..TRANSACTIONS).map(|n| {
            let is_there = |member| engine.lookup(format!("t{n}.{member}")) != LookupOutcome::NotFound;
            (0..9).filter(|&member| is_there(member)).count()
        });
        let found: Vec<usize> = found.collect();
        assert!(found.iter().all(|&members| [0, 9].contains(&members)), "{batches} batches: {found:?}");
        partly += usize::from(found.contains(&0) && found.contains(&9));
    }
    assert!(partly >= 4, "the crashes came before or after everything: {partly}");
}

/// What a transaction foresees is what single calls answer: two engines of one history, one of which is asked change by change.
#[tokio::test]
async fn a_transaction_does_what_its_changes_do_by_themselves_or_nothing() {
    let mut random = Random::seeded(14);
    let start = || async {
        let queue = QueueConfig::new("fails").retry(Retry::attempts(1));
        let builder =
            Engine::builder().queue("q", nothing).queue(queue, |_: Job| async { Err::<(), _>("no") });
        TestEngine::start(builder.horizon(HOUR), TEN_O_CLOCK).await.unwrap()
    };
    let (whole, single) = (start().await, start().await);
    let keys: Vec<Key> = (0..9).map(|n| whole.key_beside("the first", format!("k{n}")).unwrap()).collect();
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..400 {
        let (first, step) = (random.below(9) as usize, [1, 2, 4][random.below(3) as usize]);
        let picked = (0..=random.below(3) as usize).map(|n| &keys[(first + n * step) % 9]);
        let asked = picked.map(|key| Asked::draw(key, &whole, &mut random)).collect::<Vec<_>>();
        let all = asked.iter().fold(whole.transaction(), |all, asked| asked.add(all, &whole));
        let outcome = match all.commit().await {
            Ok(outcome) => outcome,
            // One of them alone is refused as well.
            Err(TransactionError::Schedule { at, source, .. }) => {
                assert_eq!(asked[at].make(&single).await, Err(source.to_string()));
                continue;
            }
            Err(TransactionError::Reschedule { at, source, .. }) => {
                assert_eq!(asked[at].make(&single).await, Err(source.to_string()));
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        match outcome {
            TransactionOutcome::Applied { changes } => {
                applied += 1;
                for (asked, change) in asked.iter().zip(changes) {
                    assert_eq!(asked.make(&single).await, Ok(word(change)), "{asked:?}");
                }
            }
            TransactionOutcome::NotApplied { at, change } => {
                refused += 1;
                assert_eq!(asked[at].make(&single).await, Ok(word(change)), "{:?}", asked[at]);
            }
        }
        for key in &keys {
            assert_eq!(standing(&whole, key), standing(&single, key), "{key}");
        }
        let pass = ms(random.below(40));
        let fired = [whole.advance(pass).await, single.advance(pass).await];
        let fired = fired.map(|fired| fired.iter().map(|job| (job.key.clone(), job.due)).collect::<Vec<_>>());
        assert_eq!(fired[0], fired[1]);
    }
    assert!(applied > 50 && refused > 50, "{applied} applied, {refused} refused");
}

#[derive(Debug)]
enum Asked {
    Schedule { key: Key, queue: &'static str, policy: OnConflict, due: Due },
    Reschedule { key: Key, version: Option<Version>, due: Due },
    Cancel { key: Key, version: Option<Version> },
}

impl Asked {
    fn draw(key: &Key, engine: &Engine, random: &mut Random) -> Self {
        let key = key.clone();
        // Past the horizon now and then.
        let due = ms(if random.below(40) == 0 { 4_000_000 } else { random.below(300) }).into();
        let version = match random.below(4) {
            0 => version(engine, &key),
            1 => Some(Version(1 + random.below(3) as u32)),
            _ => None,
        };
        match random.below(6) {
            0..4 => {
                let policies = [
                    OnConflict::Reject,
                    OnConflict::Replace,
                    OnConflict::Keep,
                    OnConflict::KeepEarlier,
                    OnConflict::KeepLater,
                    OnConflict::Payload,
                ];
                let (queue, policy) =
                    (["q", "fails"][random.below(2) as usize], policies[random.below(6) as usize]);
                Asked::Schedule { key, queue, policy, due }
            }
            4 => Asked::Reschedule { key, version, due },
            _ => Asked::Cancel { key, version },
        }
    }

    fn add<'a>(&'a self, all: Transaction<'a>, engine: &'a Engine) -> Transaction<'a> {
        match self {
            Asked::Schedule { key, queue, policy, due } => {
                all.schedule(engine.schedule_raw(queue, "new").key(key).on_conflict(*policy).planned(*due))
            }
            Asked::Reschedule { key, version: None, due } => all.reschedule(key, *due),
            Asked::Reschedule { key, version: Some(version), due } => all.reschedule_if(key, *version, *due),
            Asked::Cancel { key, version: None } => all.cancel(key),
            Asked::Cancel { key, version: Some(version) } => all.cancel_if(key, *version),
        }
    }

    /// By itself. Returns the answer in words.
    async fn make(&self, engine: &Engine) -> Result<String, String> {
        match self {
            Asked::Schedule { key, queue, policy, due } => {
                let made = engine.schedule_raw(queue, "new").key(key).on_conflict(*policy).due(*due).await;
                made.map(|outcome| word(ChangeOutcome::Schedule(outcome))).map_err(|error| error.to_string())
            }
            Asked::Reschedule { key, version, due } => {
                let made = match version {
                    Some(version) => engine.reschedule_if(key, *version, *due).await,
                    None => engine.reschedule(key, *due).await,
                };
                made.map(|outcome| word(ChangeOutcome::Reschedule(outcome)))
                    .map_err(|error| error.to_string())
            }
            Asked::Cancel { key, version } => {
                let made = match version {
                    Some(version) => engine.cancel_if(key, *version).await,
                    None => engine.cancel(key).await,
                };
                made.map(|outcome| word(ChangeOutcome::Cancel(outcome))).map_err(|error| error.to_string())
            }
        }
    }
}

/// As it is told elsewhere: without the handle, which is of an engine.
fn word(change: ChangeOutcome) -> String {
    serde_json::to_string(&change).unwrap()
}

fn standing(engine: &Engine, key: &Key) -> String {
    match engine.lookup(key) {
        LookupOutcome::Scheduled(view) | LookupOutcome::Running(view) | LookupOutcome::Dead(view) => {
            // What is due is ready as soon as the driver has seen it.
            let state = if view.state == JobState::Ready { JobState::Pending } else { view.state };
            format!("{state:?} {:?} {} {:?}", view.due, view.version.0, view.payload)
        }
        other => format!("{other:?}"),
    }
}
