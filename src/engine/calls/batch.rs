//! Many calls at once: how they are made.
//!
//! # Rules
//! - Each is a call of its own, with an outcome of its own at its place in the input. A refused one does not affect the others.
//!   Other calls, and starts of jobs, may come between any two.
//! - Calls about one key go to one partition, where they are made in the order of the input.
//! - They are made in windows of [`WINDOW`], and a partition is entered once for all of a window that concerns it. Its
//!   records reach the log together.
//! - One [`Commit`] for all: it waits for the last record in each partition.
//!
//! # Fetching ahead
//! By itself a call waits for memory several times in a row: for the index, the job, the jobs beside it in its list. So before
//! the calls of a window are made, all of them are looked at together, once for each step of the way. Each look takes the
//! locks of the partitions concerned, one after the other, for some nanoseconds. What it finds may have changed by the time
//! the call is made: it is a hint and nothing more.

use std::sync::Arc;

use super::chunks::Told;
use super::commit::{Commit, Wait};
use super::outcomes::Outcomes;
use crate::clock::LazyNow;
use crate::engine::error::{CallError, CancelError, RescheduleError, ScheduleError};
use crate::engine::state::{Aim, Owned, Shared};
use crate::partition::PartitionId;
use crate::store::Durability;

/// How many calls are looked at together, and how many are made at most in one stay in a partition: some tens of
/// microseconds.
const WINDOW: usize = 64;

/// From how many calls on it pays to look ahead.
const LOOK_AHEAD_MIN: usize = 3;

/// A kind of call.
pub(super) trait Kind {
    type Call;
    type Outcome;
    type Error: OfCall;

    /// What is known of the job that a call is about.
    fn aim(call: &Self::Call) -> Aim;

    /// Makes a call. One that was refused for want of room may be made again.
    fn make(
        &self,
        shared: &Shared,
        owned: &mut Owned,
        call: &mut Self::Call,
        clock: &mut LazyNow<'_>,
    ) -> Result<Self::Outcome, Self::Error>;

    /// Whether a call was refused since there are as many jobs as there may be.
    fn is_full(_: &Self::Error) -> bool {
        false
    }
}

/// An error that may be one which any call may get.
pub(super) trait OfCall: From<CallError> {
    fn call(&self) -> Option<&CallError>;

    /// Whether the call may be made again when the log has room.
    fn is_log_full(&self) -> bool {
        matches!(self.call(), Some(CallError::LogFull { .. }))
    }
}

macro_rules! of_call {
    ($($error:ident),*) => {
        $(impl OfCall for $error {
            fn call(&self) -> Option<&CallError> {
                if let $error::Call(error) = self { Some(error) } else { None }
            }
        })*
    };
}

of_call!(ScheduleError, RescheduleError, CancelError);

/// Calls that are to be made, and what has come of them so far.
pub(super) struct Batch<K: Kind> {
    /// In the order of the input, without those that were refused at once.
    calls: Vec<Bound<K::Call>>,
    /// By place in the input.
    outcomes: Vec<Option<Result<K::Outcome, K::Error>>>,
    /// The partitions that were entered, and the end of what was recorded there.
    ends: Vec<(PartitionId, u64)>,
}

/// A call bound for a partition.
struct Bound<C> {
    partition: usize,
    /// Its place in the input.
    at: usize,
    call: C,
}

/// A call's partition above, and its place among the calls below: what the calls are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u64);

impl Turn {
    fn new(partition: usize, call: usize) -> Self {
        Turn((partition as u64) << 48 | call as u64)
    }

    fn partition(self) -> usize {
        (self.0 >> 48) as usize
    }

    fn call(self) -> usize {
        (self.0 & ((1 << 48) - 1)) as usize
    }
}

impl<K: Kind> Batch<K> {
    /// With room for so many calls.
    pub(super) fn with_capacity(calls: usize) -> Self {
        Batch { calls: Vec::with_capacity(calls), outcomes: Vec::with_capacity(calls), ends: Vec::new() }
    }

    /// Adds a call that goes to a partition, or one that is refused already.
    pub(super) fn push(&mut self, bound: Result<(usize, K::Call), K::Error>) {
        let at = self.outcomes.len();
        match bound {
            Ok((partition, call)) => {
                self.calls.push(Bound { partition, at, call });
                self.outcomes.push(None);
            }
            Err(error) => self.outcomes.push(Some(Err(error))),
        }
    }

    /// Makes all calls.
    pub(super) fn make(&mut self, kind: &K, shared: &Arc<Shared>, is_handler: bool) {
        let turns = self.calls.iter().enumerate().map(|(at, bound)| Turn::new(bound.partition, at));
        self.make_turns(turns.collect(), kind, shared, is_handler);
    }

    fn make_turns(&mut self, mut turns: Vec<Turn>, kind: &K, shared: &Arc<Shared>, is_handler: bool) {
        // No two are equal, so those of a partition keep their order.
        turns.sort_unstable();
        self.warm_index(shared, &turns[..turns.len().min(WINDOW)]);
        let mut windows = turns.chunks(WINDOW).peekable();
        while let Some(window) = windows.next() {
            self.look_ahead(shared, window);
            if let Some(next) = windows.peek() {
                self.warm_index(shared, next);
            }
            for stay in window.chunk_by(|one, next| one.partition() == next.partition()) {
                self.make_some(kind, shared, stay, is_handler);
            }
        }
    }

    /// Has the processor fetch where the index would have the keys of a window. Takes no lock.
    fn warm_index(&self, shared: &Shared, window: &[Turn]) {
        for &turn in window {
            if let Aim::Key(hash) = K::aim(&self.calls[turn.call()].call) {
                shared.cells[turn.partition()].heads.warm(hash);
            }
        }
    }

    /// Has it fetch what the calls of a window will touch.
    fn look_ahead(&self, shared: &Shared, window: &[Turn]) {
        if window.len() < LOOK_AHEAD_MIN {
            return;
        }
        let mut slots = [None; WINDOW];
        let look = |slots: &mut [Option<u32>; WINDOW], look: &dyn Fn(&Owned, Turn, &mut Option<u32>)| {
            let mut rest = slots.as_mut_slice();
            for stay in window.chunk_by(|one, next| one.partition() == next.partition()) {
                let Some(stay_slots) = rest.split_off_mut(..stay.len()) else { return };
                let Some(first) = stay.first() else { return };
                let owned = shared.cells[first.partition()].lock();
                stay.iter().zip(stay_slots).for_each(|(&turn, slot)| look(&owned, turn, slot));
            }
        };
        look(&mut slots, &|owned, turn, slot| {
            *slot = owned.guess(K::aim(&self.calls[turn.call()].call));
            slot.iter().for_each(|&slot| owned.partition.warm_job(slot));
        });
        if slots.iter().all(Option::is_none) {
            return;
        }
        look(&mut slots, &|owned, _, slot| {
            slot.iter().for_each(|&slot| owned.partition.warm_neighbours(slot))
        });
    }

    /// Makes those calls of a window that are bound for one partition.
    fn make_some(&mut self, kind: &K, shared: &Arc<Shared>, stay: &[Turn], is_handler: bool) {
        let Some(partition) = stay.first().map(|turn| turn.partition()) else { return };
        if let Err(error) = shared.check_open(partition, is_handler) {
            for &turn in stay {
                self.outcomes[self.calls[turn.call()].at] = Some(Err(error.clone().into()));
            }
            return;
        }
        let (mut left, mut exact) = (stay, shared.room.exact_turn());
        while !left.is_empty() {
            let (done, end) = shared.enter_lazily(partition, |owned, clock| {
                let mut done = 0;
                for &turn in left {
                    let Bound { at, call, .. } = &mut self.calls[turn.call()];
                    let has_room = shared.check_log_room(owned).map_err(K::Error::from);
                    let outcome = has_room.and_then(|()| kind.make(shared, owned, call, clock));
                    let is_exact = || exact.is_some() && exact == shared.room.exact_turn();
                    if outcome.as_ref().is_err_and(K::is_full) && !is_exact() {
                        break;
                    }
                    self.outcomes[*at] = Some(outcome);
                    done += 1;
                }
                (done, owned.log_end())
            });
            self.note_end(PartitionId(partition as u16), end);
            left = &left[done..];
            if !left.is_empty() {
                exact = shared.gather_room();
            }
        }
    }

    fn note_end(&mut self, partition: PartitionId, end: u64) {
        match self.ends.last_mut() {
            Some((last, last_end)) if *last == partition => *last_end = end,
            _ => self.ends.push((partition, end)),
        }
    }

    /// Makes all calls, those that the log has no room for when it has, and waits until all are as durable as `level`. Returns what came of
    /// each, and whether the store has confirmed that; `None` if there are no calls.
    pub(super) async fn make_whole(
        mut self,
        kind: &K,
        shared: &Arc<Shared>,
        level: Durability,
        is_handler: bool,
    ) -> Told<Result<K::Outcome, K::Error>> {
        if self.outcomes.is_empty() {
            return None;
        }
        self.make(kind, shared, is_handler);
        let confirmed = loop {
            let again = self.refused_by_log();
            // For room in the log it has to be with the store, whatever the caller wants.
            let level = if again.is_empty() { level } else { level.max(Durability::Logged) };
            let confirmed = match self.wait(shared, level) {
                Some(wait) => Commit::<(), CallError>::after((), wait).await,
                None => Ok(()),
            };
            if confirmed.is_err() || again.is_empty() {
                break confirmed;
            }
            self.make_turns(again, kind, shared, is_handler);
        };
        Some((self.outcomes.into_iter().flatten().collect(), confirmed))
    }

    /// The calls that the log had no room for.
    fn refused_by_log(&self) -> Vec<Turn> {
        let is_refused = |bound: &Bound<K::Call>| matches!(&self.outcomes[bound.at], Some(Err(error)) if error.is_log_full());
        let refused = self.calls.iter().enumerate().filter(|(_, bound)| is_refused(bound));
        refused.map(|(at, bound)| Turn::new(bound.partition, at)).collect()
    }

    /// What there is to wait for.
    fn wait(&self, shared: &Arc<Shared>, level: Durability) -> Option<Wait> {
        let (&(partition, end), more) = self.ends.split_first()?;
        shared.ownership.as_ref()?;
        Some(Wait::new(Arc::clone(shared), partition, end, level).and(more.into()))
    }

    /// One commit for all records.
    pub(super) fn commit(
        self,
        shared: &Arc<Shared>,
        level: Durability,
    ) -> Commit<Outcomes<K::Outcome, K::Error>, CallError> {
        let wait = self.wait(shared, level);
        // Each call was made or refused.
        let outcomes = Outcomes::new(self.outcomes.into_iter().flatten().collect());
        match wait {
            Some(wait) => Commit::after(outcomes, wait),
            None => Commit::now(Ok(outcomes)),
        }
    }
}

impl Shared {
    /// Whether the log has room for one record more than this stay has made.
    fn check_log_room(&self, owned: &Owned) -> Result<(), CallError> {
        if self.ownership.is_none() {
            return Ok(());
        }
        let max = self.settings.log_records_max;
        let records = owned.log.outstanding() + owned.partition.records_pending() as u64;
        if records >= max as u64 { Err(CallError::LogFull { max }) } else { Ok(()) }
    }
}
