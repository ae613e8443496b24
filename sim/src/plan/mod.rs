//! What one seed stands for: a setting, and a list of calls and faults with their instants. A list, so that a failure can be
//! reduced to the fewest of them that still cause it.

mod disk;
mod draw;
mod turns;

use reveille::partition::OnConflict;
use reveille::{Durability, Priority};

use crate::disk::Trouble;
use crate::server::{Mode, Policy};
pub use draw::draw;
pub(crate) use turns::{Order, Pace, Pool, Queue, Turns};

/// Where the store of a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// In a Redis.
    Redis,
    /// On the disk of the machine on which all processes run.
    Disk,
}

impl StoreKind {
    /// Where it is in the run of a seed, if nobody says: one in three is on disk.
    pub fn of(seed: u64) -> Self {
        if seed % 3 == 2 { StoreKind::Disk } else { StoreKind::Redis }
    }
}

impl std::str::FromStr for StoreKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "redis" => Ok(StoreKind::Redis),
            "disk" => Ok(StoreKind::Disk),
            _ => Err("it is redis or disk".to_owned()),
        }
    }
}

impl std::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            StoreKind::Redis => "redis",
            StoreKind::Disk => "disk",
        })
    }
}

/// The setting of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The seed of everything drawn during the run.
    pub seed: u64,
    /// Where the store is.
    pub store: StoreKind,
    /// How long a segment of the log on disk may get, in bytes.
    pub segment_bytes: u64,
    /// How many partitions there are.
    pub partitions: u16,
    /// How many processes share the store.
    pub slots: usize,
    /// The term of a lease, in milliseconds.
    pub lease_ms: u64,
    /// The wheel's resolution in microseconds.
    pub tick_us: u64,
    /// The durability at which calls are acknowledged.
    pub durability: Durability,
    /// The kind of server.
    pub policy: Policy,
    /// Records between two snapshots.
    pub snapshot_records: u64,
    /// Records that may wait for the store.
    pub log_records_max: usize,
    /// How long a commit waits, in milliseconds.
    pub commit_deadline_ms: u64,
    /// Overdue jobs a second; 0: no limit.
    pub catch_up_per_second: u32,
    /// Fired jobs that are remembered.
    pub fired_max: usize,
    /// Dead jobs that are kept.
    pub dead_max: usize,
    /// The concurrency of each queue but the inline one.
    pub concurrency: usize,
    /// What queues share.
    pub pool: Option<Pool>,
    /// Queues with a rate.
    pub paces: Vec<(Queue, Pace)>,
    /// The network's latency, in microseconds.
    pub delay_us: u64,
    /// The rate of each process's clocks.
    pub rates_ppm: Vec<u64>,
    /// The time of calls and faults, in microseconds.
    pub active_us: u64,
}

/// A call or a fault.
#[derive(Clone, Debug)]
pub struct Item {
    /// When, in microseconds after the beginning.
    pub at_us: u64,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    /// A process calls its engine, if it has one.
    Call(usize, Call),
    /// Something goes wrong.
    Fault(Fault),
}

/// When a job is to fire.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// After a delay.
    In(u64),
    /// At an instant, this far from the caller's wall clock.
    At(i64),
    /// At the first round instant after this time: many jobs share it.
    Round(u64),
}

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behave {
    /// Ends at once.
    Quick,
    /// Ends after this time.
    Slow(u64),
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Never ends, while there are faults.
    Hang,
    /// Schedules its own key again, after this time.
    Repeat(u64),
    /// Fails so many times, and then succeeds. It may fail so often, and waits for this time in between.
    Flaky(u16, u16, u64),
    /// Asks once to run again after this time.
    Again(u64),
    /// Says that it is of no use to try again.
    Dead,
    /// Says that there is nothing to do.
    Discard,
}

impl Behave {
    /// As it is written in a payload.
    pub(crate) fn to_words(self) -> String {
        match self {
            Behave::Quick => "quick".to_owned(),
            Behave::Slow(us) => format!("slow {us}"),
            Behave::Fail => "fail".to_owned(),
            Behave::Panic => "panic".to_owned(),
            Behave::Hang => "hang".to_owned(),
            Behave::Repeat(us) => format!("repeat {us}"),
            Behave::Flaky(fails, attempts, us) => format!("flaky {us} {fails} {attempts}"),
            Behave::Again(us) => format!("again {us}"),
            Behave::Dead => "dead".to_owned(),
            Behave::Discard => "discard".to_owned(),
        }
    }

    /// What a payload says: it begins with the number of its job.
    pub(crate) fn of_payload(payload: &[u8]) -> Self {
        let text = String::from_utf8_lossy(payload);
        let mut words = text.split(' ').skip(1);
        let word = words.next().unwrap_or_default();
        let us = words.next().and_then(|us| us.parse().ok()).unwrap_or(0);
        let mut number = || words.next().and_then(|number| number.parse().ok()).unwrap_or(1);
        match word {
            "slow" => Behave::Slow(us),
            "fail" => Behave::Fail,
            "panic" => Behave::Panic,
            "hang" => Behave::Hang,
            "repeat" => Behave::Repeat(us),
            "flaky" => Behave::Flaky(number(), number(), us),
            "again" => Behave::Again(us),
            "dead" => Behave::Dead,
            "discard" => Behave::Discard,
            _ => Behave::Quick,
        }
    }
}

/// A call of a user's.
#[derive(Clone, Debug)]
pub enum Call {
    /// Of a job.
    Schedule {
        /// Its key.
        key: u8,
        /// Whether an inline queue runs it.
        is_inline: bool,
        /// When.
        when: When,
        /// If the key is taken.
        on_conflict: OnConflict,
        /// Its place in its tick.
        priority: Priority,
        /// Whether it may run at most once.
        is_once: bool,
        /// When it is acknowledged, if not as the engine does.
        level: Option<Durability>,
        /// What its handler does.
        behave: Behave,
    },
    /// Of the newest job of a key.
    Reschedule {
        /// The key.
        key: u8,
        /// When.
        when: When,
        /// How the job is named, and by which version.
        by: By,
    },
    /// Of the newest job of a key.
    Cancel {
        /// The key.
        key: u8,
        /// How the job is named, and by which version.
        by: By,
    },
    /// Of the newest job of a key, also if it runs: nothing comes after.
    CancelRunning {
        /// The key.
        key: u8,
        /// How the job is named.
        by: By,
    },
    /// Of the newest job of a key.
    Edit {
        /// The key.
        key: u8,
        /// Its place in its tick from here on.
        priority: Priority,
        /// How the job is named, and by which version.
        by: By,
    },
    /// Of the newest job of a key, if it is dead.
    Revive {
        /// The key.
        key: u8,
        /// When.
        when: When,
        /// How the job is named.
        by: By,
    },
    /// Of the newest job of a key, if it is dead.
    Purge {
        /// The key.
        key: u8,
        /// How the job is named.
        by: By,
    },
    /// Of a recurring job, as every process does when it starts.
    Recur {
        /// Its key.
        key: u8,
        /// Which of its rules.
        rule: u8,
    },
    /// Of a recurring job, also if it runs.
    EndRecurring {
        /// Its key.
        key: u8,
    },
    /// Of a recurring job.
    PauseRecurring {
        /// Its key.
        key: u8,
    },
    /// Of a recurring job.
    ResumeRecurring {
        /// Its key.
        key: u8,
    },
    /// Of a job that is not tried for ever.
    Limited {
        /// Its key.
        key: u8,
        /// When.
        when: When,
        /// How long after the call it is too late to begin, or to try again.
        expires_us: u64,
        /// Whether an attempt that a crash cut short counts as a failure.
        is_counted: bool,
        /// What its handler does.
        behave: Behave,
    },
    /// Of jobs with tags.
    Tagged(Tagged),
    /// Of all jobs of a group, together or not at all.
    Whole {
        /// The group.
        group: u8,
        /// What is to become of them.
        act: Whole,
    },
    /// Of queues that share a pool, or have rates.
    Turns(Turns),
    /// Of the newest job of a key.
    Lookup {
        /// The key.
        key: u8,
    },
    /// Of the queue `work`.
    Pause,
    /// Of the queue `work`.
    Resume,
    /// Of every partition.
    Snapshot,
}

/// A call about jobs with tags.
#[derive(Clone, Copy, Debug)]
pub enum Tagged {
    /// Of a job that has the tag.
    Schedule {
        /// Its key.
        key: u8,
        /// Its tag.
        tag: u8,
        /// When.
        when: When,
        /// If the key is taken.
        on_conflict: OnConflict,
        /// What its handler does.
        behave: Behave,
    },
    /// Of all jobs that have the tag.
    Cancel {
        /// The tag.
        tag: u8,
        /// Whether the engine finds them, or they are listed before.
        by_engine: bool,
    },
    /// Of all jobs that have the tag.
    Reschedule {
        /// The tag.
        tag: u8,
        /// When.
        when: When,
    },
}

/// What a transaction does with a group of jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whole {
    /// Schedules them, in place of those that are there.
    Schedule,
    /// Moves them.
    Reschedule,
    /// Cancels them.
    Cancel,
    /// Schedules them, and asks for something that cannot be.
    Spoiled,
}

/// How a call names its job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// By its key.
    Key,
    /// By its handle, as the ledger has it.
    Handle,
    /// By its key, with its current version.
    Version,
    /// By its key, with an old version.
    OldVersion,
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A process is killed, and started again after this time.
    Kill(usize, u64),
    /// A process is shut down with this grace, and started again after this time.
    Shutdown(usize, u64, u64),
    /// A process stands still.
    Freeze(usize, u64),
    /// A process's handlers stand still, while the rest of it goes on.
    Block(usize, u64),
    /// A process's wall clock is set.
    Wall(usize, i64),
    /// The server's wall clock is set back.
    ServerBack(u64),
    /// Connections are cut, of a process or all; requests on their way may arrive up to this much later.
    Cut(Option<usize>, Option<u64>),
    /// Nothing that a process sends arrives.
    Deaf(usize, u64),
    /// The network is slow from now on.
    Slow(u64),
    /// The server does nothing.
    Pause(u64),
    /// The server ends, and is back after this time; its disk may be slow.
    Crash(u64, bool),
    /// The replica takes over, after this time.
    FailOver(u64),
    /// The server refuses.
    Mode(Mode, u64),
    /// An operator runs FLUSHALL.
    Flush,
    /// An operator runs SCRIPT FLUSH.
    ForgetScripts,
    /// A key or a field of a partition is gone.
    Lose(u16, Loss),
    /// The server's wall clock is set forward, and right again after this time.
    ServerAhead(u64, u64),
    /// A process ends instead of an operation on the disk, after so many of them, and is started again after this time.
    KillAt(usize, u64, u64),
    /// The machine loses its power, and what the disk did not have; its processes are started after this time.
    Power(u64),
    /// The same, instead of an operation on the disk, after so many of them.
    PowerAt(u64, u64),
    /// Something is wrong with the disk.
    Disk(Trouble, u64),
}

/// What a partition loses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// `:m`.
    Meta,
    /// `:l`.
    Log,
    /// A chunk of the snapshot, if it has that many.
    Chunk(u64),
    /// A field of `:m`.
    Field(&'static str),
}
