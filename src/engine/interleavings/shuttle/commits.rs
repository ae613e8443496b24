//! Calls, the log, the committer and the store: a commit is told how it ended, whatever becomes of them.

use std::sync::Arc;
use std::time::Duration;

use super::store::{Breaks, ModelStore};
use super::{FOR_EVER, Rig, TICK, check, thread};
use crate::engine::{CallError, Engine, ScheduleError};
use crate::store::StoreErrorClass;

/// Schedules a job and waits until that is durable. Returns whether it is.
async fn commit(engine: Engine, key: &str, store: &ModelStore) -> Result<(), ScheduleError> {
    let committed = engine.schedule_raw("q", "").key(key).after(Duration::ZERO).await;
    if committed.is_ok() {
        assert!(
            store.keys.lock().unwrap().iter().any(|kept| kept.as_str() == key),
            "{key} is not in the store"
        );
    }
    committed.map(drop)
}

async fn rig(store: &Arc<ModelStore>, log_records_max: usize) -> Rig {
    let store = Arc::clone(store);
    Rig::start(1, |builder| builder.store(store).commit_deadline(FOR_EVER).log_records_max(log_records_max))
        .await
}

/// Starts a caller on a thread of its own that tries until the log has room.
fn caller(
    rig: &Rig,
    store: &Arc<ModelStore>,
    key: &'static str,
) -> shuttle::thread::JoinHandle<Result<(), ScheduleError>> {
    let (engine, store) = (rig.engine.clone(), Arc::clone(store));
    thread(move || {
        shuttle::future::block_on(async {
            loop {
                match commit(engine.clone(), key, &store).await {
                    Err(ScheduleError::Call(CallError::LogFull { .. })) => shuttle::future::yield_now().await,
                    ended => break ended,
                }
            }
        })
    })
}

/// With a log that one record fills: callers are refused until there is room, jobs wait for it, and all goes through. With
/// answers that are lost, and batches that are sent again.
#[test]
fn a_full_log_has_room_again() {
    async fn scenario(breaks: Breaks) {
        let store = Arc::new(ModelStore::new(breaks, 1));
        let rig = rig(&store, 1).await;
        let callers = ["a", "b"].map(|key| caller(&rig, &store, key));
        for caller in callers {
            caller.join().unwrap().unwrap();
        }
        rig.engine.idle().await;
        assert_eq!(rig.fired.total(), 2);
        rig.end().await;
    }
    check(|| scenario(Breaks::Never));
    check(|| scenario(Breaks::Once));
    check(|| scenario(Breaks::Answers));
}

/// The store says that it takes no more while commits wait, and while more come: each is told, and jobs go on as far as they
/// may.
#[test]
fn a_commit_is_told_when_the_committer_ends() {
    async fn scenario(class: StoreErrorClass, at: usize) {
        let store = Arc::new(ModelStore::new(Breaks::For(class), at));
        let rig = rig(&store, 2).await;
        let callers = ["a", "b"].map(|key| caller(&rig, &store, key));
        let mut ended = Vec::from(callers.map(|caller| caller.join().unwrap()));
        ended.push(commit(rig.engine.clone(), "c", &store).await);
        assert!(ended.iter().any(Result::is_err) || at > 0, "{ended:?}");
        rig.engine.shutdown(FOR_EVER).await;
        rig.ended().await;
    }
    check(|| scenario(StoreErrorClass::Fatal, 0));
    check(|| scenario(StoreErrorClass::Fatal, 1));
    check(|| scenario(StoreErrorClass::Fenced, 1));
}

/// A shutdown beside commits: each is durable, or is told that it is not known to be; and what was durable before is flushed.
#[test]
fn a_commit_is_told_when_the_engine_shuts_down() {
    check(|| async {
        let store = Arc::new(ModelStore::new(Breaks::Never, 0));
        let rig = rig(&store, 3).await;
        let callers = ["a", "b"].map(|key| caller(&rig, &store, key));
        let report = rig.engine.shutdown(FOR_EVER).await;
        let ended = callers.map(|caller| caller.join().unwrap());
        for ended in &ended {
            let is_fair = match ended {
                Ok(()) => true,
                Err(ScheduleError::Call(error)) => {
                    matches!(error, CallError::ShuttingDown | CallError::Interrupted)
                }
                Err(_) => false,
            };
            assert!(is_fair, "{ended:?}");
        }
        assert!(report.is_flushed || ended.iter().any(Result::is_err), "all is durable, and not flushed");
        rig.ended().await;
    });
}

/// A store that never answers, and a grace period that runs out at any moment: the shutdown returns, and commits are told.
#[test]
fn a_shutdown_that_gives_up_tells_all() {
    check(|| async {
        tokio::time::clear_triggers();
        let store = Arc::new(ModelStore::new(Breaks::Silent, 1));
        let rig = rig(&store, 3).await;
        let callers = ["a", "b"].map(|key| caller(&rig, &store, key));
        let time = thread(|| tokio::time::trigger_timeouts(|_| true));
        rig.engine.shutdown(TICK).await;
        for caller in callers {
            let _ = caller.join().unwrap();
        }
        time.join().unwrap();
        rig.ended().await;
        tokio::time::clear_triggers();
    });
}
