//! The engine's calls, by key and by handle, in memory and with a store.
//!
//! While calls are counted nothing comes due. The clock is one that stands still: to read the real ones rustix looks for the vDSO
//! where Valgrind has none. The store stands still too while calls are counted, so that its committers take nothing out of the log
//! meanwhile: what is counted is the caller's part.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use reveille::clock::ManualClock;
use reveille::store::Store;
use reveille::{
    CancelOutcome, Clock, Engine, Handle, Job, LookupOutcome, QueueConfig, RescheduleOutcome,
    ScheduleOutcome, Timestamp,
};
use tokio::runtime::Runtime;

use super::still::StillStore;
use super::{TIMES, delay_ms, key_text, measure, picked};
use testkit::random::Random;

const QUEUE: &str = "expire_order";

/// Fewer than elsewhere. The 1,024 tables of the handle map have room for 112 keys each: with 100,000 the hashes' seeds
/// would decide how many have to grow while calls are counted.
const PENDING: usize = 80_000;

pub(super) fn run() {
    let mut random = Random::seeded(3);
    let it = Subject::filled(&mut random, false);
    it.count("", &mut random);
    it.end();
    fire("", 1, None);
    fire(", in a pool", 1, Some(1));
    fire(", in turns of ten queues", 10, Some(1));
    let it = Subject::filled(&mut random, true);
    it.count(", logged", &mut random);
    it.end();
}

/// What a job costs the runtime: its start, the poll of a handler that does nothing, and its end. They are all due, and the
/// driver, whose thread is not counted, has moved them before the workers begin, one for each queue. In turns, each end has the
/// worker of another queue go on.
fn fire(how: &str, queues: usize, pool: Option<usize>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let names: Vec<_> = (0..queues).map(|number| format!("{QUEUE}{number}")).collect();
    let mut builder = Engine::builder().clock(Clock::Manual(Arc::clone(&clock)));
    if let Some(handlers) = pool {
        builder = builder.pool(handlers);
    }
    for name in &names {
        builder = builder.queue(QueueConfig::new(name).concurrency(1), |_: Job| async {});
    }
    let engine = runtime.block_on(builder.start()).expect("an engine with default settings");
    for number in 0..TIMES {
        let scheduled = engine
            .schedule_raw(&names[number % queues], &[7; 64])
            .key(key_text(number))
            .after(Duration::from_millis(1));
        assert!(scheduled.into_outcome().is_ok());
    }
    clock.advance(Duration::from_millis(1));
    while engine.stats().ready < TIMES {
        std::thread::sleep(Duration::from_millis(1));
    }
    measure(&format!("engine: start, handler, end{how}"), TIMES, || runtime.block_on(engine.idle()));
    runtime.block_on(engine.shutdown(Duration::from_secs(60)));
}

struct Subject {
    engine: Engine,
    store: Option<Arc<StillStore>>,
    runtime: Runtime,
    keys: Vec<String>,
    handles: Vec<Handle>,
    first_due: Timestamp,
}

impl Subject {
    fn filled(random: &mut Random, is_logged: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let began = Timestamp::from_micros(1_700_000_000_000_000);
        let clock = Clock::Manual(Arc::new(ManualClock::new(began)));
        let mut builder = Engine::builder().queue(QUEUE, |_: Job| async {}).clock(clock);
        let store = is_logged.then(|| Arc::new(StillStore::new()));
        if let Some(store) = &store {
            builder = builder.store(Arc::clone(store) as Arc<dyn Store>);
        }
        let engine = runtime.block_on(builder.start()).expect("an engine with default settings");
        let first_due = began.saturating_add_micros(super::DAY_MS * 1_000);
        let keys = (0..PENDING).map(key_text).collect();
        let mut it = Subject { engine, store, runtime, keys, handles: Vec::new(), first_due };
        it.handles = it.keys.iter().map(|key| it.schedule(key, it.due(random))).collect();
        it
    }

    fn count(&self, how: &str, random: &mut Random) {
        let name = |operation: &str| format!("engine: {operation}{how}");
        let new: Vec<_> = (PENDING..PENDING + TIMES).map(key_text).collect();
        let dues: Vec<_> = (0..TIMES).map(|_| self.due(random)).collect();
        measure(&name("schedule by key"), TIMES, || {
            for (key, &due) in new.iter().zip(&dues) {
                black_box(self.schedule(key, due));
            }
        });
        measure(&name("cancel by key"), TIMES, || {
            for key in &new {
                let outcome = self.engine.cancel(key).into_outcome();
                assert!(matches!(outcome, Ok(CancelOutcome::Cancelled)));
            }
        });
        let moved = picked(random, PENDING);
        measure(&name("reschedule by key"), TIMES, || {
            for (&number, &due) in moved.iter().zip(&dues) {
                let outcome = self.engine.reschedule(&self.keys[number], due).into_outcome();
                assert!(matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. })));
            }
        });
        let moved = picked(random, PENDING);
        measure(&name("reschedule by handle"), TIMES, || {
            for (&number, &due) in moved.iter().zip(&dues) {
                let outcome = self.engine.reschedule(self.handles[number], due).into_outcome();
                assert!(matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. })));
            }
        });
        measure(&name("look up by key"), TIMES, || {
            for &number in &moved {
                let outcome = self.engine.lookup(&self.keys[number]);
                assert!(matches!(black_box(outcome), LookupOutcome::Scheduled(_)));
            }
        });
    }

    fn due(&self, random: &mut Random) -> Timestamp {
        self.first_due.saturating_add_micros(delay_ms(random) * 1_000)
    }

    fn schedule(&self, key: &str, due: Timestamp) -> Handle {
        match self.engine.schedule_raw(QUEUE, &[7; 64]).key(key).at(due).into_outcome() {
            Ok(ScheduleOutcome::Scheduled { handle }) => handle,
            other => panic!("the key is free, not {other:?}"),
        }
    }

    fn end(self) {
        self.store.iter().for_each(|store| store.go_on());
        self.runtime.block_on(self.engine.shutdown(Duration::from_secs(60)));
    }
}
