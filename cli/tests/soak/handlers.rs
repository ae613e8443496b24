//! The queues of the long-lived engine, and what their handlers do: nothing, take time, fail, panic, schedule siblings, repeat
//! themselves. Each tells the ledger first that it has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use reveille::store::RedisStore;
use reveille::{Builder, CallError, Due, Engine, Job, QueueConfig, ScheduleError};

use crate::ledger::{Ledger, number_of};

/// The queues that the load schedules to.
pub(crate) const QUEUES: [&str; 5] = ["quick", "inline", "slow", "faulty", "parent"];
const CHAIN: &str = "chain";

pub(crate) const PARTITIONS: u16 = 4;
pub(crate) const NAMESPACE: &str = "soak";
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// Shorter than the longest faults, so that some commits end with it.
pub(crate) const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// Records of a partition that may wait for the store: few enough to fill up in a long fault.
pub(crate) const LOG_RECORDS_MAX: usize = 1_000;

/// Records of a partition between two snapshots.
pub(crate) const SNAPSHOT_RECORDS: u64 = 4_000;

/// Chains: jobs that schedule their own key again.
const CHAINS: usize = 20;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) ledger: Arc<Ledger>,
    /// Chains end.
    pub(crate) is_winding_down: Arc<AtomicBool>,
}

/// An engine that has yet to start. `is_paused`: its queues begin so.
pub(crate) fn builder(seen: &Seen, store: RedisStore, is_paused: bool) -> Builder {
    let queue = |name: &str| {
        let config = QueueConfig::new(name);
        if is_paused { config.paused() } else { config }
    };
    let begins = |seen: &Seen| {
        let ledger = Arc::clone(&seen.ledger);
        move |job: &Job| ledger.starts(job)
    };
    let (quick, inline, slow, faulty) = (begins(seen), begins(seen), begins(seen), begins(seen));
    let (parents, chains) = (seen.clone(), seen.clone());
    Engine::builder()
        .queue(queue("quick"), move |job: Job| {
            quick(&job);
            async {}
        })
        .inline_queue(queue("inline"), move |job: &Job| {
            inline(job);
            if number_of(job.payload().as_bytes()).is_multiple_of(7) {
                panics();
            }
        })
        .queue(queue("slow").concurrency(16), move |job: Job| {
            slow(&job);
            tokio::time::sleep(Duration::from_millis(1 + number_of(job.payload().as_bytes()) % 20))
        })
        .queue(queue("faulty"), move |job: Job| {
            faulty(&job);
            async move {
                match number_of(job.payload().as_bytes()) % 3 {
                    0 => Err("it fails, as it should"),
                    1 => panics(),
                    _ => Ok(()),
                }
            }
        })
        .queue(queue("parent"), move |job: Job| {
            parents.ledger.starts(&job);
            have_a_child(parents.clone(), job)
        })
        .queue(queue(CHAIN), move |job: Job| {
            chains.ledger.starts(&job);
            go_on(chains.clone(), job)
        })
        .partitions(PARTITIONS)
        .store(Arc::new(store))
        .lease(LEASE)
        .commit_deadline(COMMIT_DEADLINE)
        .log_records_max(LOG_RECORDS_MAX)
        // Small, so that memory is as full as it gets after the first minute.
        .remember_fired(4_000, Duration::from_secs(30))
        .snapshot_every(Duration::from_secs(20), SNAPSHOT_RECORDS)
}

/// As a handler's own panic, without its message on standard error.
fn panics() -> ! {
    std::panic::resume_unwind(Box::new("it panics, as it should"))
}

/// Begins the chains.
pub(crate) async fn begin_chains(engine: &Engine, seen: &Seen) {
    for chain in 0..CHAINS {
        link(engine, seen, &format!("chain:{chain}").into(), Duration::from_millis(20)).await;
    }
}

async fn have_a_child(seen: Seen, job: Job) {
    let number = number_of(job.payload().as_bytes());
    let (key, delay) = (format!("child:{number}").into(), Duration::from_millis(number % 500));
    let child = seen.ledger.asks(&key, "quick", Due::In(delay));
    let engine = job.engine();
    let commit = engine.schedule_raw("quick", child.to_string()).key(&*key).after(delay);
    match commit.outcome() {
        Ok(outcome) if outcome.is_taken() => seen.ledger.taken(child),
        Ok(outcome) => seen.ledger.breaks(format!("{key} is new, and was answered {outcome:?}")),
        Err(error) => return refused(&seen, child, error),
    }
    // A handler may wait for its own calls.
    if let Err(error) = commit.await {
        if matches!(error, ScheduleError::Call(CallError::Unconfirmed)) && !seen.ledger.is_calm() {
            return;
        }
        seen.ledger.breaks(format!("the commit of {key} ended with {error}"));
    }
}

async fn go_on(seen: Seen, job: Job) {
    let number = number_of(job.payload().as_bytes());
    let key = job.key().as_str().into();
    link(&job.engine(), &seen, &key, Duration::from_millis(20 + number % 400)).await;
}

/// Schedules the next of a chain under the same key, which is free: the one before has begun.
async fn link(engine: &Engine, seen: &Seen, key: &Arc<str>, delay: Duration) {
    while !seen.is_winding_down.load(SeqCst) {
        let number = seen.ledger.asks(key, CHAIN, Due::In(delay));
        match engine.schedule_raw(CHAIN, number.to_string()).key(&**key).after(delay).into_outcome() {
            Ok(outcome) if outcome.is_taken() => return seen.ledger.taken(number),
            Ok(outcome) => {
                return seen.ledger.breaks(format!("{key} repeats itself, and was answered {outcome:?}"));
            }
            Err(error) => refused(seen, number, &error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A call changed nothing. Only a log that is full is a reason, and only while something disturbs the engine.
pub(crate) fn refused(seen: &Seen, number: u64, error: &ScheduleError) {
    seen.ledger.not_taken(number);
    if !matches!(error, ScheduleError::Call(CallError::LogFull { .. })) || seen.ledger.is_calm() {
        seen.ledger.breaks(format!("job {number} was refused: {error}"));
    }
    seen.ledger.counts.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}
