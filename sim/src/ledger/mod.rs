//! The oracle: what users were told, and whether what happens agrees with it. It knows calls, answers, acknowledgements and
//! starts of handlers, and nothing about how the engine works.
//!
//! # How it judges
//! - Within a life of an engine every answer can be predicted exactly: see [`life`].
//! - Across lives a fact (a job taken, moved, cancelled) binds if it was acknowledged at a level that outlives the engine,
//!   unless the server has lost it and no engine lived to write it again: such a fact is *excused*.

mod facts;
mod life;
mod limits;
mod pauses;
mod recurring;
mod wholes;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reveille::partition::{Delivery, QueuePause, TimeBase};
use reveille::sim::{Image, JobImage, Now, Started};
use reveille::{Durability, Handle, JobView, Timestamp};

pub(crate) use facts::{Fact, JobLog};
pub(crate) use life::{Life, Next, Pending, Stand};
use limits::Limits;
pub(crate) use pauses::PAUSED_QUEUE;
use pauses::Pauses;
pub(crate) use recurring::{Recurring, is_recurring};
use wholes::Wholes;
pub(crate) use wholes::{Alike, MEMBERS};
pub(crate) use wholes::{payload as group_payload, prefix as group_prefix, standing as group_standing};

use crate::plan::Setting;
use crate::shadow::Event;
use crate::world::World;

/// When a job is due, by the clock that it follows in this life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DueAt {
    /// By the wall clock.
    Wall(i64),
    /// By the monotonic clock of this life; `None` if that is unknown.
    Mono(Option<u64>),
}

impl DueAt {
    fn is_reached(self, now: Now) -> bool {
        match self {
            DueAt::Wall(us) => now.wall.as_micros() >= us,
            DueAt::Mono(us) => us.is_none_or(|us| now.mono.as_micros() >= us),
        }
    }
}

/// What a call did, and its place in the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    /// It changed nothing.
    Nothing,
    /// A job was taken, in place of another.
    Taken {
        /// The job.
        nonce: usize,
        /// The other, and which of its facts that is.
        replaced: Option<(usize, usize)>,
    },
    /// A job was moved.
    Moved {
        /// The job.
        nonce: usize,
        /// Which of its moves.
        at: usize,
    },
    /// A job was cancelled.
    TakenBack {
        /// The job.
        nonce: usize,
        /// Which of its ends.
        at: usize,
    },
    /// A transaction has changed a group of jobs.
    Whole {
        /// Which of these changes.
        at: usize,
    },
    /// A queue was paused, or goes on.
    Said {
        /// Which of the changes of that.
        at: usize,
    },
}

/// The ledger of a run.
pub(crate) struct Ledger {
    world: Arc<World>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: Vec<JobLog>,
    recurring: Recurring,
    pauses: Pauses,
    wholes: Wholes,
    lives: BTreeMap<u64, Life>,
    tick_us: u64,
    /// Partitions of which the server has lost something that was not written again, and since when.
    unmended: BTreeMap<u16, u64>,
    /// When the server last lost anything, including a proved lease.
    lost_us: u64,
    /// How long an owner relies on a proof at most.
    lease_us: u64,
    /// Whether some of the dead may be purged for others.
    purges: bool,
    /// Those that each life begins with.
    limits: Limits,
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new(world: &Arc<World>, setting: &Setting) -> Arc<Self> {
        let (tick_us, lease_us, purges) =
            (setting.tick_us, setting.lease_ms * 1_000, setting.dead_max < 1_000);
        let limits = Limits::new(setting);
        let state = State { tick_us, lease_us, purges, limits, ..State::default() };
        Arc::new(Ledger { world: Arc::clone(world), state: Mutex::new(state) })
    }

    /// Begins a job. What it returns goes into the payload.
    pub(crate) fn open(&self, log: JobLog) -> usize {
        let mut state = self.state.lock();
        state.jobs.push(log);
        state.jobs.len() - 1
    }

    /// An engine has been restored: what it holds now is where this life begins. `is_kept` says whether the server has lost nothing
    /// meanwhile.
    pub(crate) fn restored(
        &self,
        life: u64,
        owner: &str,
        now: Now,
        (is_told_exactly, is_kept): (bool, bool),
        images: &[Image],
    ) {
        let mut state = self.state.lock();
        let mut begun = Life::new(now, owner, self.world.now_us(), state.purges, state.limits.clone());
        let is_dead = |job: &JobImage| job.history.as_ref().is_some_and(|history| history.death.is_some());
        for image in images {
            // A key names a pending job rather than a dead one.
            let (dead, pending): (Vec<_>, Vec<_>) = image.jobs.iter().partition(|job| is_dead(job));
            for job in &dead {
                // And one that has fired, if that is newer.
                let is_named =
                    !image.fired.iter().any(|fired| fired.key == job.spec.key && fired.id > job.id);
                if let Some(nonce) = nonce(job.spec.payload.as_bytes()).filter(|_| is_named) {
                    begun.dead(job.spec.key.as_str(), nonce, job.version);
                }
                if let Some(nonce) = nonce(job.spec.payload.as_bytes()) {
                    state.jobs[nonce].has_ended = true;
                }
            }
            for job in pending {
                let Some(nonce) = nonce(job.spec.payload.as_bytes()) else { continue };
                let due = match job.spec.due.base {
                    TimeBase::Wall => DueAt::Wall(job.spec.due.wall.as_micros()),
                    TimeBase::Mono if is_told_exactly => {
                        DueAt::Mono(Some(now.mono_at(job.spec.due.wall).as_micros()))
                    }
                    TimeBase::Mono => DueAt::Mono(None),
                };
                begun.pending(
                    job.spec.key.as_str(),
                    nonce,
                    Pending { version: job.version, due, known: None },
                );
            }
        }
        for image in images {
            for fired in &image.fired {
                begun.knew_fired(fired.key.as_str());
            }
        }
        begun.pause = pauses::found(images).cloned();
        let begun_us = begun.begun_us;
        state.lives.insert(life, begun);
        // What the server has lost was not written again.
        state.facts_mut().for_each(|(_, fact)| fact.excuse_if_endangered());
        let missing =
            state.pauses.missing(pauses::found(images), |fact| fact.binds_for(life, begun_us, !is_kept));
        let changed = state.wholes.missing(images, |fact| fact.binds_for(life, begun_us, !is_kept));
        if let Some(detail) = missing.or(changed).filter(|_| is_kept) {
            self.world.broken("2 nothing is lost", format!("life {life}: {detail}"));
        }
        if let Some(detail) = Wholes::halved(images) {
            self.world.broken("4 whole or not at all", format!("life {life} begins so: {detail}"));
        }
    }

    /// Work on what is known of transactions.
    pub(crate) fn wholes<T>(&self, act: impl FnOnce(&mut Wholes) -> T) -> T {
        act(&mut self.state.lock().wholes)
    }

    /// A call has said that a queue is paused, or goes on; `keeper` looks up which partition keeps that. Returns what was said before,
    /// and what this did, if the life goes on.
    pub(crate) fn said(
        &self,
        number: u64,
        is_paused: bool,
        at: Timestamp,
        level: Durability,
        keeper: impl Fn() -> Option<u16>,
    ) -> Option<(Option<QueuePause>, Done)> {
        let state = &mut *self.state.lock();
        let life = state.lives.get_mut(&number).filter(|life| !life.is_over)?;
        state.pauses.partition = state.pauses.partition.or_else(keeper);
        Some(state.pauses.say(number, life, is_paused, at, level))
    }

    /// Work on a life, if it goes on.
    pub(crate) fn with<T>(&self, life: u64, act: impl FnOnce(&mut Life, &mut Vec<JobLog>) -> T) -> Option<T> {
        let state = &mut *self.state.lock();
        let State { jobs, lives, .. } = state;
        let life = lives.get_mut(&life).filter(|life| !life.is_over)?;
        Some(act(life, jobs))
    }

    /// A life is over: its answers no longer count.
    pub(crate) fn over(&self, life: u64) {
        let state = &mut *self.state.lock();
        if let Some(life) = state.lives.get_mut(&life) {
            life.is_over = true;
        }
        // No other engine has in memory what the server had lost of it.
        let facts = state.facts_mut().map(|(_, fact)| fact);
        facts.filter(|fact| fact.life == life).for_each(Fact::excuse_if_endangered);
    }

    /// Work on what is known of recurring jobs.
    pub(crate) fn recurring<T>(&self, act: impl FnOnce(&mut Recurring) -> T) -> T {
        act(&mut self.state.lock().recurring)
    }

    /// Everything that was done in a life has been flushed, as the engine says.
    pub(crate) fn flushed(&self, life: u64, level: Durability) {
        self.recurring(|recurring| recurring.flushed(life));
        let now_us = self.world.now_us();
        let mut state = self.state.lock();
        let facts = state.facts_mut().map(|(_, fact)| fact);
        facts.filter(|fact| fact.life == life).for_each(|fact| fact.flush(now_us, level));
    }

    /// The wall clock of a life's process was set.
    pub(crate) fn stepped(&self, life: u64) {
        if let Some(life) = self.state.lock().lives.get_mut(&life) {
            life.steps += 1;
        }
    }

    /// The server has lost something, of whatever kind.
    pub(crate) fn store_lost(&self) {
        let mut state = self.state.lock();
        state.lost_us = self.world.now_us();
        state.recurring.lost();
    }

    /// The server has lost something, or a partition was written anew.
    pub(crate) fn store_told(&self, partition: u16, event: &Event, spares: &dyn Fn(Durability) -> bool) {
        let now_us = self.world.now_us();
        let state = &mut *self.state.lock();
        // What a life knows: what it was told, and what bound when it began.
        let writer = match event {
            Event::Rewritten(owner) => state.lives.iter().find(|(_, life)| life.owner == *owner),
            Event::Lost(_) => None,
        };
        self.world.note(|| match event {
            Event::Lost(since_us) => {
                format!("store: partition {partition} is what it was {} µs ago", now_us - since_us)
            }
            Event::Rewritten(_) => {
                format!(
                    "store: partition {partition} is written anew by life {:?}",
                    writer.map(|(life, _)| life)
                )
            }
        });
        match event {
            Event::Lost(_) => {
                state.unmended.insert(partition, now_us);
                state.recurring.lost();
            }
            Event::Rewritten(_) => drop(state.unmended.remove(&partition)),
        }
        let (writer, begun_us) = writer.map_or((0, 0), |(number, life)| (*number, life.begun_us));
        for (_, fact) in state.facts_mut().filter(|(of, _)| *of == partition) {
            match event {
                Event::Lost(since_us) => fact.endanger(*since_us, now_us, spares),
                Event::Rewritten(_) => fact.rewritten(writer, begun_us, now_us),
            }
        }
    }

    /// A call was acknowledged.
    pub(crate) fn acknowledged(&self, done: &Done, level: Durability) {
        let now_us = self.world.now_us();
        let State { jobs, pauses, wholes, .. } = &mut *self.state.lock();
        let fact = match *done {
            Done::Nothing => None,
            Done::Taken { nonce, replaced } => {
                if let Some((old, at)) = replaced {
                    jobs[old].taken_back[at].acknowledge(now_us, level);
                }
                jobs[nonce].taken.as_mut()
            }
            Done::Moved { nonce, at } => jobs[nonce].moves.get_mut(at).map(|(_, fact)| fact),
            Done::TakenBack { nonce, at } => jobs[nonce].taken_back.get_mut(at),
            Done::Said { at } => pauses.fact_mut(at),
            Done::Whole { at } => wholes.fact_mut(at),
        };
        if let Some(fact) = fact {
            fact.acknowledge(now_us, level);
        }
    }

    /// A job is given to its handler.
    pub(crate) fn started(&self, life: u64, queue: &str, started: &Started, now: Now) {
        let is_paused = self.state.lock().lives.get(&life).is_some_and(Life::is_paused);
        if is_paused && queue == PAUSED_QUEUE {
            self.world.broken(
                "4 definite",
                format!("life {life}: {} has started, and its queue is paused", started.key),
            );
        }
        if is_recurring(started.payload.as_bytes()) {
            // Judged here: the wall clock may be set between a start and the beginning of its handler.
            let occurrence = started.options.occurrence().map(|progress| progress.occurrence);
            if occurrence.is_some_and(|occurrence| now.wall < occurrence.scheduled_for) {
                let detail = format!("life {life}: {} is ahead of its instant: {occurrence:?}", started.key);
                self.world.broken("1 never early", detail);
            }
            if let Some(what) = self.recurring(|recurring| recurring.started(started)) {
                let detail = format!(
                    "life {life}: {} of {} has started, and {what} was acknowledged",
                    started.id, started.key
                );
                self.world.broken("3 cancel means cancel", detail);
            }
            return;
        }
        let Some(nonce) = nonce(started.payload.as_bytes()) else {
            return self.world.broken("4 definite", format!("a job of nobody's has fired: {}", started.key));
        };
        let state = &mut *self.state.lock();
        let State { jobs, lives, tick_us, lost_us, lease_us, .. } = state;
        let (Some(log), Some(life_of)) = (jobs.get_mut(nonce), lives.get_mut(&life)) else {
            return self.world.broken("4 definite", format!("a job of nobody's has fired: {}", started.key));
        };
        let broken = |promise, what: &str| {
            self.world.broken(
                promise,
                format!("job {nonce} ({}, version {}): {what}", started.key, started.version.0),
            );
        };
        let begun_us = life_of.begun_us;
        let is_lease_lost = *lost_us > begun_us && self.world.now_us() < *lost_us + *lease_us;
        let binds = |fact: &Fact| fact.binds_for(life, begun_us, is_lease_lost);
        match life_of.start(nonce, started.version) {
            Stand::Pending(pending) => {
                if !pending.due.is_reached(now) {
                    broken("1 never early", &format!("due {:?}, and the clocks show {now:?}", pending.due));
                }
                if pending.version != started.version {
                    broken("4 definite", &format!("it was to be of version {}", pending.version.0));
                }
                if let Some(after) = life_of.in_order(queue, *tick_us, &pending, started, now) {
                    broken("7 order", &format!("it comes after {after}"));
                }
            }
            Stand::Running | Stand::Ended(_) => broken("6 once in a life", "it was started before"),
            Stand::Dead(_) => broken("4 definite", "it was dead"),
            Stand::Gone => broken("3 cancel means cancel", "it had been taken back, or was never there"),
        }
        if log.taken_back.iter().any(binds) {
            broken("3 cancel means cancel", "taking it back was acknowledged");
        }
        let newest = log.moves.iter().filter(|(_, fact)| binds(fact)).map(|(version, _)| *version).max();
        if newest.is_some_and(|newest| newest > started.version) {
            broken("4 definite", "a later version was acknowledged");
        }
        if started.fired_at < started.due {
            broken("1 never early", "it says itself that it is early");
        }
        if log.expires_us.is_some_and(|at_us| started.fired_at.as_micros() > at_us) && !log.was_revived {
            broken("3 cancel means cancel", "it has expired");
        }
        log.starts.push(life);
    }

    /// A job was to start, and is dead instead: it has expired.
    pub(crate) fn expired(&self, life: u64, job: &JobView, now: Now) {
        let Some(nonce) = nonce(job.payload.as_bytes()) else { return };
        let told = self.with(life, |life, jobs| {
            let stood = life.stand(nonce);
            life.expired(nonce, job.version);
            jobs[nonce].has_ended = true;
            let is_pending = matches!(stood, Stand::Pending(pending) if pending.due.is_reached(now));
            let has_expired = jobs[nonce].expires_us.is_some_and(|at_us| now.wall.as_micros() > at_us);
            (!is_pending || !has_expired).then(|| format!("job {nonce} has expired, and was {stood:?}"))
        });
        if let Some(Some(detail)) = told {
            self.world.broken("8 late, never dropped", detail);
        }
    }

    /// A handler has begun.
    pub(crate) fn began(&self, life: u64, nonce: usize) {
        let now_us = self.world.now_us();
        let state = &mut *self.state.lock();
        let begun_us = state.lives.get(&life).map_or(0, |life| life.begun_us);
        let is_lease_lost = state.lost_us > begun_us && now_us < state.lost_us + state.lease_us;
        let log = &mut state.jobs[nonce];
        if log.delivery == Delivery::AtMostOnce
            && log.began.iter().any(|fact| fact.binds_for(life, begun_us, is_lease_lost))
        {
            self.world.broken("6 at most once", format!("job {nonce} ({}) has begun again", log.key));
        }
        self.world.note(|| format!("life {life}: the handler of {nonce} begins"));
        let mut fact = Fact::new(life, Durability::Logged);
        // The store knew of the start before the handler began, at the engine's durability.
        fact.acknowledge(now_us, log.start_level);
        // Its start was acknowledged before, and may be lost by now.
        fact.lost_at(state.unmended.get(&log.partition).copied());
        log.began.push(fact);
    }

    /// A handler is about to end, like this.
    pub(crate) fn ended(&self, life: u64, nonce: usize, next: Next) {
        let _ = self.with(life, |life, jobs| {
            let key = jobs[nonce].key.clone();
            jobs[nonce].has_ended |= life.end(&key, nonce, next);
        });
    }

    /// After when a job is too late, if ever.
    pub(crate) fn expires_us(&self, nonce: usize) -> Option<i64> {
        self.state.lock().jobs[nonce].expires_us
    }

    /// At the end, after the faults: every acknowledged job has fired, was cancelled, or is pending.
    pub(crate) fn settle(&self, image: &[Image]) {
        let state = self.state.lock();
        if let Some(key) = state.recurring.missing(image) {
            let detail = format!("the recurring job {key} was acknowledged, and is not there");
            return self.world.broken("2 nothing is lost", detail);
        }
        let pending: Vec<usize> = image
            .iter()
            .flat_map(|image| &image.jobs)
            .filter_map(|job| nonce(job.spec.payload.as_bytes()))
            .collect();
        for (nonce, log) in state.jobs.iter().enumerate() {
            let is_owed = log.taken.as_ref().is_some_and(Fact::binds);
            // One that may begin once only has ended with a crash in its middle.
            let has_ended = log.has_ended || (log.delivery == Delivery::AtMostOnce && !log.starts.is_empty());
            let is_known = has_ended || !log.taken_back.is_empty() || pending.contains(&nonce);
            if is_owed && !is_known {
                let detail = format!(
                    "job {nonce} ({}) was acknowledged, and has neither ended nor is it there",
                    log.key
                );
                return self.world.broken("2 nothing is lost", detail);
            }
        }
    }

    /// The handle of the newest job of a key, of any life.
    pub(crate) fn handle_of(&self, key: &str) -> Option<(usize, u64, Handle)> {
        let state = self.state.lock();
        let mut newest = state.jobs.iter().enumerate().rev().filter(|(_, log)| log.key == key);
        newest.find_map(|(nonce, log)| log.handle.map(|(life, handle)| (nonce, life, handle)))
    }

    /// How many jobs there were, and how many starts.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.jobs.len(), state.jobs.iter().map(|log| log.starts.len()).sum())
    }
}

impl State {
    /// All facts, and the partitions that they are of.
    fn facts_mut(&mut self) -> impl Iterator<Item = (u16, &mut Fact)> {
        let of_jobs = self.jobs.iter_mut().flat_map(|log| {
            let partition = log.partition;
            log.facts_mut().map(move |fact| (partition, fact))
        });
        let keeper = self.pauses.partition.unwrap_or(u16::MAX);
        let of_pauses = self.pauses.facts_mut().map(move |fact| (keeper, fact));
        of_jobs.chain(of_pauses).chain(self.wholes.facts_mut())
    }
}

/// The number of the job in the ledger, as its payload has it.
pub(crate) fn nonce(payload: &[u8]) -> Option<usize> {
    std::str::from_utf8(payload).ok()?.split(' ').next()?.parse().ok()
}

/// When a call's due is, for a caller whose clocks show `now`.
pub(crate) fn due_at(due: reveille::Due, now: Now) -> DueAt {
    match due {
        reveille::Due::At(instant) => DueAt::Wall(instant.as_micros()),
        reveille::Due::In(delay) => {
            DueAt::Mono(Some(now.mono.as_micros().saturating_add(delay.as_micros() as u64)))
        }
        due => unreachable!("no simulated caller asks for {due:?}"),
    }
}
