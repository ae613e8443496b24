//! How the driver moves due jobs to their queues, so that those of one queue start in the order of their ticks, priorities
//! and dues, whichever partitions they are in.
//!
//! # Rules
//! - All partitions are shown one reading of the clocks, so that a tick is over in all of them or in none.
//! - A tick is gathered in all partitions that have it before it is released in any, and the ticks go in order.
//! - A tick that fits the budget is released as one: see [`Releases`](super::order::Releases). A larger one goes by priority, each
//!   released in all partitions before the next is in any, in slices: what is released may start.
//! - Jobs that were overdue at the start come last, with what is left of the budget. They are merged: none is released before one
//!   of another partition that comes first. One pace is for all.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::engine::state::{Busier, Shared};
use crate::partition::{Gathering, Now, OverdueHead, Pace, Priority, RankKey};
use crate::sync::atomic::Ordering::SeqCst;

/// Work units of one stay in a partition: some tens to a few hundred microseconds.
const PARTITION_BUDGET: usize = 2048;

/// The most jobs of a tick that is released as one. No job begins meanwhile.
const AT_ONCE_MAX: usize = 4 * PARTITION_BUDGET;

/// Ticks that are released in a row when several partitions have something due.
const TICKS_MAX: usize = 64;

/// What the driver knows from one turn to the next.
pub(crate) struct Release {
    shared: Arc<Shared>,
    /// The partitions that have something due, and how far each is with its first tick.
    due: Vec<(usize, Gathering)>,
    /// Workers to be called once a tick is released.
    busier: Busier,
    overdue: Option<CatchUp>,
}

/// The jobs that were overdue at the start.
struct CatchUp {
    pace: Pace,
    /// By partition.
    heads: Vec<OverdueHead>,
}

impl Release {
    pub(crate) fn new(shared: Arc<Shared>, now: Now) -> Self {
        let per_second = shared.settings.catch_up_per_second.unwrap_or(NonZeroU32::MAX);
        let pace = Pace::new(per_second, shared.settings.tick_us(), now.mono);
        let heads = vec![OverdueHead::Unseen; shared.cells.len()];
        Release { shared, due: Vec::new(), busier: Busier::default(), overdue: Some(CatchUp { pace, heads }) }
    }

    /// Moves a slice of what is due to its queues. Returns whether nothing due is left.
    pub(crate) fn turn(&mut self, now: Now) -> bool {
        self.shared.releases.note_clocks(now, self.shared.settings.tick_us());
        let cells = self.shared.cells.iter().enumerate();
        self.due.clear();
        self.due
            .extend(cells.filter(|(_, cell)| cell.wake().is_due(now)).map(|(at, _)| (at, Gathering::Partly)));
        let is_done = match *self.due.as_slice() {
            [] => true,
            [(at, _)] => self.advance(at, now),
            _ => self.advance_in_step(now),
        };
        self.release_overdue(now) && is_done
    }

    /// One partition has something due, and needs to look at no other.
    fn advance(&self, at: usize, now: Now) -> bool {
        let advance =
            |owned: &mut crate::engine::state::Owned, now| owned.partition.advance(now, PARTITION_BUDGET);
        let mut busier = Busier::default();
        let is_done = self.shared.enter_quietly(at, Some(now), &mut busier, advance);
        if !busier.is_none() {
            self.shared.releases.note();
            busier.call(&self.shared);
        }
        is_done
    }

    /// Several do.
    fn advance_in_step(&mut self, now: Now) -> bool {
        for (at, gathering) in &mut self.due {
            *gathering =
                self.shared.enter(*at, Some(now), |owned, now| owned.partition.gather(now, PARTITION_BUDGET));
        }
        for _ in 0..TICKS_MAX {
            if self.due.iter().any(|(_, gathering)| *gathering == Gathering::Partly) {
                return false;
            }
            let apart = self.shared.releases.apart();
            let wholes = self.due.iter().filter_map(|(_, gathering)| match *gathering {
                Gathering::Whole { first, jobs } => Some((first.key(apart).0, first.priority(), jobs)),
                Gathering::Nothing | Gathering::Partly => None,
            });
            let Some(tick) = wholes.clone().map(|(tick, ..)| tick).min() else { return true };
            let of_tick = wholes.filter(|whole| whole.0 == tick);
            let is_small = of_tick.clone().all(|(.., jobs)| jobs <= PARTITION_BUDGET)
                && of_tick.clone().map(|(.., jobs)| jobs).sum::<usize>() <= AT_ONCE_MAX;
            if !is_small {
                let first = of_tick.map(|(_, priority, _)| priority).min().unwrap_or(Priority::LAST);
                self.release(tick, first, now);
                self.shared.releases.note();
                self.call_workers();
                return false;
            }
            let shared = Arc::clone(&self.shared);
            let releasing = shared.releases.begin();
            self.release(tick, Priority::LAST, now);
            drop(releasing);
            self.call_workers();
        }
        false
    }

    /// Releases what there is of a tick up to a priority, as far as the budget goes, and gathers the next.
    fn release(&mut self, tick: i64, up_to: Priority, now: Now) {
        let apart = self.shared.releases.apart();
        let is_of_tick = |gathering: &Gathering| matches!(gathering, Gathering::Whole { first, .. } if first.key(apart).0 == tick);
        for (at, gathering) in self.due.iter_mut().filter(|(_, gathering)| is_of_tick(gathering)) {
            *gathering = self.shared.enter_quietly(*at, Some(now), &mut self.busier, |owned, now| {
                owned.partition.release_tick(up_to, PARTITION_BUDGET);
                owned.partition.gather(now, PARTITION_BUDGET)
            });
        }
    }

    fn call_workers(&mut self) {
        self.busier.call(&self.shared);
    }

    /// Lets go what the pace allows of the jobs that were overdue at the start. Returns whether none is left that may go now.
    fn release_overdue(&mut self, now: Now) -> bool {
        let Some(catch_up) = &mut self.overdue else { return true };
        let apart = self.shared.releases.apart();
        let mut left = PARTITION_BUDGET;
        let wake = loop {
            let Some((at, bound)) = catch_up.first(apart) else { break u64::MAX };
            let most = catch_up.pace.allowance(now.mono);
            if most == 0 {
                break catch_up.pace.next().as_micros();
            }
            if left == 0 {
                return false;
            }
            let (head, gone) = self.shared.enter(at, Some(now), |owned, now| {
                owned.partition.release_overdue_while(now, most, |rank| rank.key(apart) <= bound, &mut left)
            });
            catch_up.heads[at] = head;
            catch_up.pace.spend_many(gone);
            self.shared.releases.note();
        };
        self.shared.overdue_wake.store(wake, SeqCst);
        if wake == u64::MAX {
            self.overdue = None;
        }
        true
    }
}

impl CatchUp {
    /// The partition whose overdue jobs come first, and what they may not go beyond: the first of the others.
    fn first(&self, apart: i64) -> Option<(usize, RankKey)> {
        let key = |head: &OverdueHead| match head {
            OverdueHead::Unseen => Some((i64::MIN, 0)),
            OverdueHead::First(rank) => Some(rank.key(apart)),
            OverdueHead::Gone => None,
        };
        let keys = || self.heads.iter().enumerate().filter_map(|(at, head)| Some((key(head)?, at)));
        let (_, at) = keys().min()?;
        let others = keys().filter(|&(_, other)| other != at).map(|(key, _)| key);
        Some((at, others.min().unwrap_or((i64::MAX, u64::MAX))))
    }
}
