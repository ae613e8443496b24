//! How the driver moves due jobs to their queues, so that those of one queue start in the order of their ticks, priorities
//! and dues, whichever partitions they are in.
//!
//! # Rules
//! - All partitions are shown one reading of the clocks, so that a tick is over in all of them or in none.
//! - A tick is gathered in all partitions that have it before it is released in any, and the ticks go in order.
//! - A tick that fits the budget is released as one: see [`Releases`](super::order::Releases). A larger one goes by priority, each
//!   released in all partitions before the next is in any, in slices: what is released may start.
//! - A tick that is known to be large is gathered in one partition after the other. What is whole is released meanwhile, as far
//!   as no partition can have a job of a lower priority in that tick: so the first job of a million waits for one partition's
//!   share. That is known as long as none has a live job of a lower priority at all; otherwise it waits for all of them.
//! - Once something of a large tick is released, partitions that have gathered nothing of it come first, until they have: from
//!   then on their wheels tell it from later ticks.
//! - While a large tick is on its way, what later ticks have goes past it, once a tick: jobs of queues of which nothing that comes
//!   before is on its way in any partition (see [`release_past`](crate::partition::Partition::release_past)). So another
//!   queue's jobs do not wait for a burst.
//! - Jobs that were overdue at the start come last, with what is left of the budget. They are merged: none is released before one
//!   of another partition that comes first. One pace is for all.

use std::mem;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::engine::state::{Busier, Owned, Shared};
use crate::partition::{Behind, Gathering, Now, OverdueHead, Pace, Priority, RankKey};
use crate::sync::atomic::Ordering::SeqCst;

/// Work units of one stay in a partition: some tens to a few hundred microseconds.
const PARTITION_BUDGET: usize = 2048;

/// The most jobs of a tick that is released as one. No job begins meanwhile.
const AT_ONCE_MAX: usize = 4 * PARTITION_BUDGET;

/// Ticks that are released in a row when several partitions have something due.
const TICKS_MAX: usize = 64;

/// Work units of such a stay for the tick that comes after those that went past a large one.
const PAST_BUDGET: usize = 256;

/// What the driver knows from one turn to the next.
pub(crate) struct Release {
    shared: Arc<Shared>,
    /// The partitions that have something due, and how far each is with its first tick.
    due: Vec<(usize, Gathering)>,
    /// How far they were, by partition, when a large tick was left to be gone on with: it is not looked for anew.
    left_at: Vec<Option<Gathering>>,
    /// The tick of which something was released last.
    begun: Option<i64>,
    /// The tick, by the monotonic clock, in which something last had the chance to go past a large one.
    past_at: u64,
    /// Workers to be called once a tick is released.
    busier: Busier,
    overdue: Option<CatchUp>,
}

/// The tick that comes first.
struct Tick {
    tick: i64,
    /// Below which priority it has no job.
    first: Priority,
    /// Jobs of it that have been gathered.
    jobs: usize,
    /// The one of the due partitions that gathers it next, if one is not done.
    partly: Option<usize>,
    /// Whether it is released as one.
    is_small: bool,
}

/// Of a partition that is not done, the tick may still turn out to be the one of either clock.
fn tick_of(gathering: &Gathering, apart: i64) -> Option<i64> {
    match gathering {
        Gathering::Nothing => None,
        Gathering::Whole { first, .. } => Some(first.key(apart).0),
        Gathering::Partly { at_least: [a, b], .. } => Some(a.key(apart).0.min(b.key(apart).0)),
    }
}

fn gather(shared: &Arc<Shared>, at: usize, now: Now) -> Gathering {
    shared.enter(at, Some(now), |owned, now| owned.partition.gather(now, PARTITION_BUDGET))
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
        let left_at = vec![None; shared.cells.len()];
        let (due, busier) = (Vec::new(), Busier::default());
        Release {
            shared,
            due,
            left_at,
            begun: None,
            past_at: 0,
            busier,
            overdue: Some(CatchUp { pace, heads }),
        }
    }

    /// Moves a slice of what is due to its queues. Returns whether nothing due is left.
    pub(crate) fn turn(&mut self, now: Now) -> bool {
        self.shared.releases.note_clocks(now, self.shared.settings.tick_us());
        let cells = self.shared.cells.iter().enumerate();
        self.due.clear();
        self.due.extend(
            cells.filter(|(_, cell)| cell.wake().is_due(now)).map(|(at, _)| (at, Gathering::Nothing)),
        );
        let is_done = match *self.due.as_slice() {
            [] => true,
            [(at, _)] => self.advance(at, now),
            _ => self.advance_in_step(now),
        };
        self.release_overdue(now) && is_done
    }

    /// One partition has something due, and needs to look at no other.
    fn advance(&mut self, at: usize, now: Now) -> bool {
        self.left_at.fill(None);
        let may_pass = self.may_pass(now);
        let advance = |owned: &mut Owned, now| {
            let is_done = owned.partition.advance(now, PARTITION_BUDGET);
            if !is_done && may_pass {
                let behind = owned.partition.behind(now, false);
                owned.partition.release_past(now, behind, false);
            }
            is_done
        };
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
            *gathering = match self.left_at[*at].take() {
                Some(left) => left,
                None => gather(&self.shared, *at, now),
            };
        }
        // Of those that have nothing due any more.
        self.left_at.fill(None);
        for _ in 0..TICKS_MAX {
            let Some(Tick { tick, first, jobs, partly, is_small }) = self.first_tick() else { return true };
            if let Some(partly) = partly {
                if jobs > AT_ONCE_MAX {
                    self.release_noted(tick, first, now);
                }
                let (at, gathering) = &mut self.due[partly];
                *gathering = gather(&self.shared, *at, now);
                self.release_past(tick, now);
                self.leave();
                return false;
            }
            if !is_small {
                self.release_noted(tick, first, now);
                self.release_past(tick, now);
                self.leave();
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

    /// The tick that comes first, as far as it is gathered.
    fn first_tick(&self) -> Option<Tick> {
        let apart = self.shared.releases.apart();
        let tick = self.due.iter().filter_map(|(_, gathering)| tick_of(gathering, apart)).min()?;
        let mut of_tick = Tick { tick, first: Priority::LAST, jobs: 0, partly: None, is_small: true };
        let (is_begun, mut has_untold) = (self.begun == Some(tick), false);
        for (number, (_, gathering)) in self.due.iter().enumerate() {
            if tick_of(gathering, apart) != Some(tick) {
                continue;
            }
            let (first, jobs) = match *gathering {
                Gathering::Whole { first, jobs } => (first, jobs),
                Gathering::Partly { at_least: [first, _], jobs } => {
                    if jobs == 0 && is_begun && !has_untold {
                        (of_tick.partly, has_untold) = (Some(number), true);
                    }
                    of_tick.partly = of_tick.partly.or(Some(number));
                    (first, jobs)
                }
                Gathering::Nothing => continue,
            };
            of_tick.first = of_tick.first.min(first.priority());
            of_tick.jobs += jobs;
            of_tick.is_small &= jobs <= PARTITION_BUDGET;
        }
        of_tick.is_small &= of_tick.jobs <= AT_ONCE_MAX;
        Some(of_tick)
    }

    /// Keeps for the next turn how far each partition is.
    fn leave(&mut self) {
        for &(at, gathering) in &self.due {
            self.left_at[at] = (gathering != Gathering::Nothing).then_some(gathering);
        }
    }

    /// Releases a slice of a tick that is not released as one.
    fn release_noted(&mut self, tick: i64, up_to: Priority, now: Now) {
        self.release(tick, up_to, now);
        self.shared.releases.note();
        self.call_workers();
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
            self.begun = Some(tick);
        }
    }

    /// Whether there may be more to go past a large tick than the last time.
    fn may_pass(&mut self, now: Now) -> bool {
        let tick = now.mono.as_micros() / self.shared.settings.tick_us();
        mem::replace(&mut self.past_at, tick) != tick
    }

    /// Releases, as one, what need not wait for a tick that takes several turns.
    fn release_past(&mut self, tick: i64, now: Now) {
        if !self.may_pass(now) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let apart = shared.releases.apart();
        let is_out = |gathering: &Gathering| tick_of(gathering, apart).is_none_or(|first| first > tick);
        let mut behind = Behind::default();
        for (at, gathering) in &self.due {
            behind.add(shared.cells[*at].lock().partition.behind(now, is_out(gathering)));
        }
        let releasing = shared.releases.begin();
        for (at, gathering) in &mut self.due {
            let is_out = is_out(gathering);
            *gathering = shared.enter_quietly(*at, Some(now), &mut self.busier, |owned, now| {
                owned.partition.release_past(now, behind, is_out);
                if is_out { owned.partition.gather(now, PAST_BUDGET) } else { *gathering }
            });
        }
        drop(releasing);
        self.call_workers();
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
