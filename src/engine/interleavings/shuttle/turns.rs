//! Queues that share a pool. A call that is lost is a run without an end.

use std::sync::Arc;
use std::time::Duration;

use super::{Rig, TICK, check, thread};
use crate::engine::{Builder, Job, QueueConfig};

/// With a second queue `upper`, whose jobs go first.
async fn rig(handlers: usize, concurrency: usize) -> Rig {
    let upper = QueueConfig::new("upper").precedence(1).concurrency(1);
    let with = |builder: Builder| {
        builder.pool(handlers).queue(upper, |_: Job| async { tokio::task::yield_now().await })
    };
    Rig::start(concurrency, with).await
}

/// Both have jobs, which come due and are due at once, and the upper one is paused and goes on meanwhile.
#[test]
fn no_call_is_lost_between_queues_of_a_pool() {
    async fn scenario(handlers: usize, concurrency: usize) {
        let rig = rig(handlers, concurrency).await;
        let (engine, clock) = (rig.engine.clone(), Arc::clone(&rig.clock));
        let callers = [
            thread(move || {
                let _ = engine.schedule_raw("upper", "").key("later").after(TICK).into_outcome().unwrap();
                clock.advance(TICK);
            }),
            {
                let engine = rig.engine.clone();
                thread(move || {
                    let _ = engine
                        .schedule_raw("upper", "")
                        .key("now")
                        .after(Duration::ZERO)
                        .into_outcome()
                        .unwrap();
                    engine.pause("upper").into_outcome().unwrap();
                    engine.resume("upper").into_outcome().unwrap();
                })
            },
        ];
        for key in ["a", "b"] {
            rig.schedule(key, Duration::ZERO);
        }
        for caller in callers {
            caller.join().unwrap();
        }
        rig.engine.idle().await;
        assert_eq!(rig.fired.total(), 2);
        assert_eq!(rig.engine.stats().fired, 4);
        rig.end().await;
    }
    check(|| scenario(1, 1));
    check(|| scenario(1, 2));
    check(|| scenario(2, 1));
}

/// What comes first is cancelled or paused after its worker was called: the other queue's job starts.
#[test]
fn a_call_for_a_queue_that_cannot_start_any_more_is_passed_on() {
    check(|| async {
        let rig = rig(1, 1).await;
        for key in ["stays", "goes"] {
            let _ =
                rig.engine.schedule_raw("upper", "").key(key).after(Duration::ZERO).into_outcome().unwrap();
        }
        rig.schedule("lower", Duration::ZERO);
        let threads = [
            thread({
                let engine = rig.engine.clone();
                move || {
                    let _ = engine.cancel("goes").into_outcome().unwrap();
                }
            }),
            thread({
                let engine = rig.engine.clone();
                move || {
                    let _ = engine.pause("upper").into_outcome().unwrap();
                }
            }),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        while rig.fired.total() == 0 {
            shuttle::future::yield_now().await;
        }
        rig.engine.resume("upper").into_outcome().unwrap();
        rig.engine.idle().await;
        while rig.engine.shared.pool.as_ref().is_some_and(|pool| pool.in_use() > 0) {
            shuttle::future::yield_now().await;
        }
        rig.end().await;
    });
}

/// The pool is made smaller and larger while jobs run.
#[test]
fn a_pool_that_changes_starts_all_jobs() {
    check(|| async {
        let rig = rig(2, 2).await;
        let changes = thread({
            let engine = rig.engine.clone();
            move || {
                engine.set_pool(1).unwrap();
                engine.set_pool(3).unwrap();
            }
        });
        for key in ["a", "b", "c"] {
            rig.schedule(key, Duration::ZERO);
            let _ = rig
                .engine
                .schedule_raw("upper", "")
                .key(format!("upper {key}"))
                .after(Duration::ZERO)
                .into_outcome()
                .unwrap();
        }
        changes.join().unwrap();
        rig.engine.idle().await;
        assert_eq!((rig.fired.total(), rig.engine.stats().fired), (3, 6));
        rig.end().await;
    });
}
