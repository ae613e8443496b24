//! What is known about each job, as facts that bind or do not.

use reveille::partition::Delivery;
use reveille::{Durability, Handle, Version};

/// Something that an engine did and may have acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// The life in which it was done.
    pub life: u64,
    level: Durability,
    acknowledged_us: Option<u64>,
    endangered_us: Option<u64>,
    is_excused: bool,
}

impl Fact {
    /// Something that was done, and not acknowledged yet.
    pub(crate) fn new(life: u64, level: Durability) -> Self {
        Fact { life, level, acknowledged_us: None, endangered_us: None, is_excused: false }
    }

    /// It was acknowledged at this level. A change only in memory binds no other life.
    pub(crate) fn acknowledge(&mut self, now_us: u64, level: Durability) {
        /// No answer is on its way for so long.
        const ON_ITS_WAY_US: u64 = 4_000_000;
        if level >= Durability::Logged {
            if self.acknowledged_us.is_none() {
                // What the server lost after it had answered: the answer was on its way.
                self.endangered_us = self.endangered_us.filter(|lost_us| now_us < lost_us + ON_ITS_WAY_US);
            }
            self.level = level;
            self.acknowledged_us.get_or_insert(now_us);
        }
    }

    /// The engine says that the store has everything. The store may have lost it since, unnoticed by the engine.
    pub(crate) fn flush(&mut self, now_us: u64, level: Durability) {
        if self.acknowledged_us.is_none() {
            (self.acknowledged_us, self.level) = (Some(now_us), level);
        }
    }

    /// Whether it holds for every life from now on.
    pub(crate) fn binds(&self) -> bool {
        self.acknowledged_us.is_some() && !self.is_excused
    }

    /// Whether it holds for a life that began at `begun_us`: not if it was made elsewhere after that and the server has lost
    /// it, or may have lost that life's own lease, so that both rely on one.
    pub(crate) fn binds_for(&self, life: u64, begun_us: u64, is_lease_lost: bool) -> bool {
        let is_unheard = self.life != life && self.acknowledged_us.is_some_and(|at_us| at_us > begun_us);
        self.binds() && !(is_unheard && (is_lease_lost || self.endangered_us.is_some()))
    }

    /// The server has lost what was changed since then, except what is as safe as `spares` says.
    pub(crate) fn endanger(&mut self, since_us: u64, now_us: u64, spares: &dyn Fn(Durability) -> bool) {
        if self.acknowledged_us.is_none_or(|at_us| at_us >= since_us) && !spares(self.level) {
            self.endangered_us = Some(now_us);
        }
    }

    /// It rests on something that the server has lost.
    pub(crate) fn lost_at(&mut self, lost_us: Option<u64>) {
        self.endangered_us = self.endangered_us.or(lost_us);
    }

    /// A life that began at `begun_us` has written everything anew. It knows what it did itself, and what bound when it
    /// began; anything else is lost with what the server has lost.
    pub(crate) fn rewritten(&mut self, life: u64, begun_us: u64, now_us: u64) {
        let Some(at_us) = self.acknowledged_us else { return };
        if self.life != life && at_us > begun_us {
            self.is_excused = true;
        } else if self.endangered_us.take().is_some() {
            // The server has it; where else it is, was not asked yet.
            (self.acknowledged_us, self.level) = (Some(now_us), Durability::Logged);
        }
    }

    /// Another engine begins without it.
    pub(crate) fn excuse_if_endangered(&mut self) {
        self.is_excused |= self.endangered_us.is_some();
    }
}

/// Everything known about a job.
#[derive(Clone, Debug)]
pub(crate) struct JobLog {
    /// Its key.
    pub key: String,
    /// Its partition.
    pub partition: u16,
    /// What a crash in the middle of its handler means.
    pub delivery: Delivery,
    /// How safe its start is before its handler begins, if it may begin once only.
    pub start_level: Durability,
    /// Its handle, and the life in which that holds.
    pub handle: Option<(u64, Handle)>,
    /// It was taken.
    pub taken: Option<Fact>,
    /// Its tag, if it has one.
    pub tag: Option<u8>,
    /// After when, by its process's wall clock, it is too late to start.
    pub expires_us: Option<i64>,
    /// Whether a call has brought it back. It no longer expires then.
    pub was_revived: bool,
    /// It was moved: to which version.
    pub moves: Vec<(Version, Fact)>,
    /// It was cancelled or replaced.
    pub taken_back: Vec<Fact>,
    /// Its handler has begun.
    pub began: Vec<Fact>,
    /// The lives in which it was started.
    pub starts: Vec<u64>,
    /// Whether an attempt was its last in some life: it has ended, or died.
    pub has_ended: bool,
}

impl JobLog {
    /// A job that is about to be scheduled.
    pub(crate) fn new(key: &str, partition: u16, delivery: Delivery, start_level: Durability) -> Self {
        JobLog {
            key: key.to_owned(),
            partition,
            delivery,
            start_level,
            handle: None,
            taken: None,
            tag: None,
            expires_us: None,
            was_revived: false,
            moves: Vec::new(),
            taken_back: Vec::new(),
            began: Vec::new(),
            starts: Vec::new(),
            has_ended: false,
        }
    }

    /// All its facts.
    pub(crate) fn facts_mut(&mut self) -> impl Iterator<Item = &mut Fact> {
        let moves = self.moves.iter_mut().map(|(_, fact)| fact);
        self.taken.iter_mut().chain(moves).chain(&mut self.taken_back).chain(&mut self.began)
    }
}
