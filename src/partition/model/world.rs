//! A partition and its oracle, and the calls of a user on both.

use super::attempts::DEAD_MAX;
use super::catch_up::Caught;
use super::input::Bytes;
use super::oracle::{
    Expected, FIRED_FOR_US, FIRED_MAX, HORIZON_US, Life, MDue, MJob, Oracle, PAYLOAD_BYTES_MAX, TICK_US,
};
use super::snapshot::{Scanning, Snapshot};
use crate::job::{JobFilter, JobState, Tags};
use crate::partition::{
    CancelOutcome, Config, Delivery, Draft, Due, Edit, EditOutcome, End, Handle, Image, JobId, JobOptions,
    JobSpec, Key, LookupOutcome, MonoTime, Now, OnConflict, Partition, PartitionId, Payload, Priority,
    QueueId, QueueName, Record, Refusal, RescheduleOutcome, ScheduleOutcome, Timestamp, Version, Wanted,
};

pub(super) const ID: PartitionId = PartitionId(3);
pub(super) const KEYS: u8 = 24;
pub(super) const QUEUES: u16 = 3;

/// Which jobs have some of.
const TAGS: [&str; 2] = ["one", "two"];

pub(super) struct World {
    pub(super) partition: Partition,
    pub(super) oracle: Oracle,
    pub(super) config: Config,
    pub(super) now: Now,
    pub(super) records: Vec<Record>,
    /// One after each record, if asked for.
    pub(super) images: Option<Vec<Image>>,
    pub(super) scanning: Option<Scanning>,
    pub(super) snapshots: Vec<Snapshot>,
    /// What the last restart found overdue, if it is held to a pace.
    pub(super) caught: Option<Caught>,
    pub(super) restarts: u16,
}

/// Why a call comes too late, or from the wrong one.
#[derive(Debug)]
enum Late {
    Running,
    Fired(Timestamp, End),
    Dead(Timestamp),
    Changed(Version),
    Unknown,
}

fn config(fired_max: usize, is_traced: bool) -> Config {
    Config {
        tick_us: TICK_US as u64,
        horizon_us: HORIZON_US,
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        fired_max,
        fired_for_us: FIRED_FOR_US,
        dead_max: if is_traced { usize::MAX } else { DEAD_MAX },
        dead_for_us: u64::MAX,
        engine: 0,
        is_logged: true,
    }
}

impl World {
    pub(super) fn new(bytes: &mut Bytes<'_>, is_traced: bool) -> World {
        let now = bytes.first_now();
        let fired_max = FIRED_MAX[usize::from(bytes.byte()) % FIRED_MAX.len()];
        let config = config(fired_max, is_traced);
        World {
            partition: Partition::new(ID, config.clone(), now),
            oracle: Oracle { fired_max, ..Oracle::default() },
            config,
            now,
            records: Vec::new(),
            images: is_traced.then(Vec::new),
            scanning: None,
            snapshots: Vec::new(),
            caught: None,
            restarts: 0,
        }
    }

    pub(super) fn step(&mut self, op: u8, bytes: &mut Bytes<'_>) {
        match op % 22 {
            0..=2 => self.schedule(bytes),
            3 => {
                // Siblings of one tick.
                let (due, count) = (self.due(bytes), bytes.byte() % 12);
                for _ in 0..count {
                    self.schedule_at(due, bytes.byte(), bytes.byte(), bytes.byte());
                }
            }
            4 | 5 => self.reschedule(bytes),
            6 => self.cancel(bytes),
            7 if op >= 210 => self.set_paused(bytes),
            7 => self.lookup(bytes),
            8 => {
                self.pass(u64::from(bytes.byte()) * 97);
                self.advance(bytes.budget());
            }
            9 | 10 => {
                self.advance(bytes.budget());
            }
            11 => {
                let queue = QueueId(u16::from(bytes.byte()) % QUEUES);
                for _ in 0..bytes.byte() % 4 {
                    self.start(queue);
                }
            }
            12 => self.end(bytes),
            13 => self.move_clocks(bytes),
            14 => {
                let budget = bytes.budget();
                self.drain(budget.max(1));
            }
            15 => {
                for _ in 0..bytes.byte() % 6 {
                    self.jump_to_wake(1 + bytes.budget());
                }
            }
            16 => self.begin_scan(bytes),
            18 => self.attempt(bytes),
            21 => self.pause_or_resume(bytes),
            19 => self.raise_the_dead(bytes),
            20 => self.edit(bytes),
            _ => self.restart(bytes),
        }
    }

    fn schedule(&mut self, bytes: &mut Bytes<'_>) {
        let due = self.due(bytes);
        self.schedule_at(due, bytes.byte(), bytes.byte(), bytes.byte());
    }

    fn schedule_at(&mut self, due: Due, key: u8, queue: u8, options: u8) {
        let key = key % KEYS;
        let queue = QueueId(u16::from(queue) % QUEUES);
        let on_conflict = [
            OnConflict::Replace,
            OnConflict::Keep,
            OnConflict::Reject,
            OnConflict::KeepEarlier,
            OnConflict::KeepLater,
            OnConflict::Payload,
        ][usize::from(options / 3 % 6)];
        let bytes = if options > 250 { PAYLOAD_BYTES_MAX + 1 } else { usize::from(options) % 9 };
        let payload = Payload::from(vec![options; bytes]);
        let mut spec = JobSpec::new(name(key), queue_name(queue), payload, due);
        spec.options = job_options(options);
        let draft = Draft { spec, queue, on_conflict };
        let current = self.oracle.by_key.get(&key).map(|&job| self.oracle.jobs[job].handle);
        let outcome = self.partition.schedule(current, draft, self.now);
        self.note();
        if bytes > PAYLOAD_BYTES_MAX {
            return assert_eq!(outcome, Err(Refusal::PayloadTooLarge { bytes, max: PAYLOAD_BYTES_MAX }));
        }
        let due = match Oracle::read_due(due, self.now, self.partition.wheel_wall()) {
            Ok(due) => due,
            Err(refusal) => return assert_eq!(outcome, Err(refusal)),
        };
        let handle_of = |job: usize| self.oracle.jobs[job].handle;
        let expected = self.oracle.expect(key, on_conflict, due, self.now);
        match (expected, outcome.expect("within the limits")) {
            (Expected::Kept(job), ScheduleOutcome::Kept { handle })
            | (Expected::Rejected(job), ScheduleOutcome::AlreadyScheduled { handle }) => {
                assert_eq!(handle, handle_of(job));
            }
            (Expected::Updated(job), ScheduleOutcome::Updated { handle, version }) => {
                assert_eq!(handle, handle_of(job));
                let job = &mut self.oracle.jobs[job];
                job.version = Version(job.version.0 + 1);
                assert_eq!(version, job.version);
            }
            (Expected::New, ScheduleOutcome::Scheduled { handle }) => {
                self.admit(handle, key, queue, options, due)
            }
            (Expected::InPlaceOf(job), ScheduleOutcome::Replaced { handle, was }) => {
                assert_eq!(was, self.oracle.jobs[job].due.told(self.now));
                self.oracle.jobs[job].life = Life::Gone;
                self.admit(handle, key, queue, options, due);
            }
            odd => panic!("schedule: {odd:?}"),
        }
    }

    fn admit(&mut self, handle: Handle, key: u8, queue: QueueId, options: u8, due: MDue) {
        assert_eq!(self.oracle.by_handle(handle), None, "a handle is never used twice");
        self.oracle.by_key.insert(key, self.oracle.jobs.len());
        self.oracle.jobs.push(MJob {
            handle,
            id: JobId::new(ID, self.oracle.jobs.len() as u64),
            key,
            queue,
            options: job_options(options),
            due,
            version: Version::FIRST,
            attempt: 0,
            life: Life::Pending,
            is_stopped: false,
            paused: None,
            is_fresh: !due.is_tick_reached(self.now),
        });
    }

    fn reschedule(&mut self, bytes: &mut Bytes<'_>) {
        let due = self.due(bytes);
        let (handle, job, expected) = self.pick(bytes);
        let outcome = self.partition.reschedule(handle, due, expected, self.now);
        self.note();
        let due = match Oracle::read_due(due, self.now, self.partition.wheel_wall()) {
            Ok(due) => due,
            Err(refusal) => return assert_eq!(outcome, Err(refusal)),
        };
        let expected = match self.standing(job, expected) {
            Err(Late::Running) => RescheduleOutcome::Running,
            Err(Late::Fired(at, _)) => RescheduleOutcome::AlreadyFired { at },
            Err(Late::Dead(at)) => RescheduleOutcome::Dead { at },
            Err(Late::Changed(version)) => RescheduleOutcome::Changed { version },
            Err(Late::Unknown) => RescheduleOutcome::NotFound,
            Ok(job) => {
                let job = &mut self.oracle.jobs[job];
                let was = job.due.told(self.now);
                (job.due, job.version) = (due, Version(job.version.0 + 1));
                job.is_fresh = !due.is_tick_reached(self.now);
                RescheduleOutcome::Rescheduled { was, version: job.version }
            }
        };
        assert_eq!(outcome, Ok(expected));
    }

    fn edit(&mut self, bytes: &mut Bytes<'_>) {
        let (what, to) = (bytes.byte(), bytes.byte());
        let (handle, job, expected) = self.pick(bytes);
        let queue = (what & 1 > 0).then_some(QueueId(u16::from(to) % QUEUES));
        let edit = Edit {
            queue: queue.map(queue_name),
            priority: (what & 2 > 0).then_some(Priority(to % 3)),
            payload: (what & 4 > 0).then(|| Payload::from(vec![to; usize::from(to) % 11])),
            tags: (what & 8 > 0)
                .then(|| Tags::new(&TAGS[..1 + usize::from(to) % TAGS.len()]).expect("short")),
        };
        let (moves, len) = (what & 3 > 0, edit.payload.as_ref().map_or(0, Payload::len));
        let outcome = self.partition.edit(handle, edit.clone(), queue, expected, self.now);
        self.note();
        if len > PAYLOAD_BYTES_MAX {
            let refused = Refusal::PayloadTooLarge { bytes: len, max: PAYLOAD_BYTES_MAX };
            return assert_eq!(outcome, Err(refused));
        }
        let expected = match self.standing(job, expected) {
            Err(Late::Running) => EditOutcome::Running,
            Err(Late::Fired(at, _)) => EditOutcome::AlreadyFired { at },
            Err(Late::Dead(at)) => EditOutcome::Dead { at },
            Err(Late::Changed(version)) => EditOutcome::Changed { version },
            Err(Late::Unknown) => EditOutcome::NotFound,
            Ok(job) => {
                let now = self.now;
                let job = &mut self.oracle.jobs[job];
                job.version = Version(job.version.0 + 1);
                job.queue = queue.unwrap_or(job.queue);
                if let Some(priority) = edit.priority {
                    job.options = job.options.clone().with_priority(priority);
                }
                if let Some(tags) = edit.tags {
                    job.options = job.options.clone().with_tags(tags);
                }
                if moves {
                    job.is_fresh = !job.due.is_tick_reached(now);
                }
                EditOutcome::Edited { version: job.version }
            }
        };
        assert_eq!(outcome, Ok(expected));
    }

    fn cancel(&mut self, bytes: &mut Bytes<'_>) {
        let (handle, job, expected) = self.pick(bytes);
        let outcome = self.partition.cancel(handle, expected);
        self.note();
        let expected = match self.standing(job, expected) {
            Err(Late::Running) => CancelOutcome::Running,
            Err(Late::Fired(at, _)) => CancelOutcome::AlreadyFired { at },
            Err(Late::Dead(at)) => CancelOutcome::Dead { at },
            Err(Late::Changed(version)) => CancelOutcome::Changed { version },
            Err(Late::Unknown) => CancelOutcome::NotFound,
            Ok(job) => {
                self.oracle.jobs[job].life = Life::Gone;
                CancelOutcome::Cancelled
            }
        };
        assert_eq!(outcome, expected);
    }

    fn lookup(&mut self, bytes: &mut Bytes<'_>) {
        let (handle, job, _) = self.pick(bytes);
        let outcome = self.partition.lookup(handle, self.now);
        match (outcome, self.standing(job, None)) {
            (LookupOutcome::NotFound, Err(Late::Unknown)) => {}
            (LookupOutcome::AlreadyFired { at, end }, Err(Late::Fired(began, ended))) => {
                assert_eq!((at, end), (began, ended));
            }
            (LookupOutcome::Dead(view), Err(Late::Dead(at))) => {
                let death = view.history.and_then(|history| history.death);
                assert_eq!((view.handle, death.map(|death| death.at)), (handle, Some(at)));
            }
            (LookupOutcome::Running(view), Err(Late::Running)) => {
                assert_eq!((view.handle, view.state), (handle, JobState::Running));
            }
            (LookupOutcome::Scheduled(view), Ok(job)) => {
                let job = &self.oracle.jobs[job];
                assert_eq!((view.handle, view.id, view.key), (job.handle, job.id, name(job.key)));
                let options = job.options.clone().paused_as(job.paused);
                assert_eq!((view.queue, view.options), (queue_name(job.queue), options));
                assert_eq!((view.version, view.attempt), (job.version, job.attempt));
                assert_eq!(view.due, job.due.told(self.now));
            }
            odd => panic!("lookup: {odd:?}"),
        }
    }

    /// A job, by the handle of a key, by one that may be stale, or by one that another partition gave out; and
    /// a version to expect of it.
    pub(super) fn pick(&self, bytes: &mut Bytes<'_>) -> (Handle, Option<usize>, Option<Version>) {
        let (kind, at) = (bytes.byte(), bytes.byte());
        let by_key = self.oracle.by_key.get(&(at % KEYS)).copied();
        let any = self.oracle.jobs.len().checked_sub(1).map(|last| last - usize::from(at) % (last + 1));
        let job = if kind.is_multiple_of(4) { any } else { by_key.or(any) };
        let Some(job) = job else {
            let nothing = Handle {
                index: crate::slab::Index { slot: at.into(), generation: 1 },
                partition: ID,
                engine: 0,
            };
            return (nothing, None, None);
        };
        let (handle, version) = (self.oracle.jobs[job].handle, self.oracle.jobs[job].version);
        match kind % 16 {
            1 => (Handle { partition: PartitionId(4), ..handle }, None, None),
            2 | 3 => (handle, Some(job), Some(version)),
            5 => (handle, Some(job), Some(Version(version.0 + 1))),
            7 => (handle, Some(job), Some(Version(version.0 - 1))),
            _ => (handle, Some(job), None),
        }
    }

    fn standing(&self, job: Option<usize>, expected: Option<Version>) -> Result<usize, Late> {
        let job = job.ok_or(Late::Unknown)?;
        let MJob { life, version, .. } = self.oracle.jobs[job];
        match life {
            Life::Running(_) => Err(Late::Running),
            Life::Fired(at, end) => Err(Late::Fired(at, end)),
            Life::Dead(at) => Err(Late::Dead(at)),
            Life::Gone => Err(Late::Unknown),
            Life::Pending if expected.is_some_and(|expected| expected != version) => {
                Err(Late::Changed(version))
            }
            Life::Pending => Ok(job),
        }
    }

    /// Takes the record of the call just made.
    pub(super) fn note(&mut self) {
        let before = self.records.len();
        self.note_all();
        assert!(self.records.len() <= before + 1, "a call is one record at most");
    }

    fn set_paused(&mut self, bytes: &mut Bytes<'_>) {
        let (byte, at) = (bytes.byte(), self.now.wall);
        let queue = queue_name(QueueId(u16::from(byte / 2) % QUEUES));
        assert!(self.partition.set_paused(&queue, byte % 2 == 0, at));
        self.note();
        let said = self.partition.pause_of(&queue).expect("it was said");
        assert_eq!((said.is_paused, said.at), (byte % 2 == 0, at));
    }

    /// Takes the records of a call that may make several, where no image is wanted after each.
    pub(super) fn note_all(&mut self) {
        let before = self.records.len();
        self.records.extend(self.partition.drain_records());
        assert!(self.images.is_none() || self.records.len() <= before + 1, "an image for each");
        if let Some(images) = &mut self.images
            && self.records.len() > before
        {
            images.push(self.partition.image());
        }
        self.scan_on();
    }

    pub(super) fn ready(&self) -> usize {
        (0..QUEUES).map(|queue| self.partition.ready(QueueId(queue))).sum()
    }

    /// What must hold between any two calls.
    pub(super) fn check(&self) {
        self.partition.validate();
        let count = |is: fn(&Life) -> bool| self.oracle.jobs.iter().filter(|job| is(&job.life)).count();
        let running = count(|life| matches!(life, Life::Running(_)));
        assert_eq!(self.partition.running(), running);
        assert_eq!(self.partition.live(), running + count(|life| *life == Life::Pending));
        assert_eq!(self.partition.fired_remembered(), self.oracle.fired.len());
        assert_eq!(self.partition.dead(), count(|life| matches!(life, Life::Dead(_))));
        TAGS.iter().for_each(|tag| self.check_tag(tag));
    }

    /// By tag are found the jobs that have it, each once, and are pending, with a handler, or dead; and not those that have fired.
    fn check_tag(&self, tag: &str) {
        let states = [
            JobState::Pending,
            JobState::Retrying,
            JobState::Ready,
            JobState::Running,
            JobState::Dead,
            JobState::Paused,
        ];
        let filter = JobFilter::default().tag(tag).states(states);
        let wanted = Wanted::of(&filter, |_| None).expect("no queue is named");
        let (mut found, mut from) = (Vec::new(), Some(0));
        while let Some(slot) = from {
            let slice = self.partition.list(slot, 3, 2, &wanted, self.now);
            assert!(slice.looked_at <= 3 && slice.jobs.len() <= 2);
            found.extend(slice.jobs.into_iter().map(|view| view.id.as_u64()));
            from = slice.next;
        }
        found.sort_unstable();
        let has = |job: &&MJob| job.options.tags().is_some_and(|tags| tags.has(tag));
        let is_there = |job: &&MJob| !matches!(job.life, Life::Fired(..) | Life::Gone);
        let expected = self.oracle.jobs.iter().filter(has).filter(is_there).map(|job| job.id.as_u64());
        assert_eq!(found, expected.collect::<Vec<_>>(), "jobs of {tag}");
        let mut counted = 0;
        assert_eq!(self.partition.count(0, usize::MAX, &wanted, self.now, |_| counted += 1), None);
        assert_eq!(counted, found.len());
    }

    /// Lets time go on until every job has fired, and sees that the records tell all of it.
    pub(super) fn finish(mut self) {
        // A wake may only turn a wheel; ten times a job, and for either wheel.
        let mut wakes_left = 100 + 40 * self.oracle.jobs.len();
        for job in 0..self.oracle.jobs.len() {
            if self.oracle.jobs[job].is_paused() {
                self.resume(job);
            }
        }
        self.drain(100_000);
        while self.jump_to_wake(100_000) {
            self.drain(100_000);
            wakes_left = wakes_left.checked_sub(1).expect("the wakes end");
        }
        for job in 0..self.oracle.jobs.len() {
            if matches!(self.oracle.jobs[job].life, Life::Running(_)) {
                self.end_job(job, End::Done);
            }
        }
        self.check();
        assert_eq!((self.partition.live(), self.ready()), (0, 0), "every job has fired");
        let counts = self.partition.counts();
        if self.restarts == 0 {
            let ended = counts.cancelled + counts.succeeded + counts.failed + counts.purged;
            assert_eq!(counts.scheduled, ended + self.partition.dead() as u64);
        }
        self.now.mono = MonoTime::from_micros(77);
        for is_from_snapshot in [false, true] {
            let replay = self.read_back(is_from_snapshot);
            assert_eq!(replay.image(), self.partition.image(), "from a snapshot: {is_from_snapshot}");
        }
    }
}

fn job_options(byte: u8) -> JobOptions {
    let delivery = if byte.is_multiple_of(2) { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
    let options = JobOptions::default().with_priority(Priority(byte % 3)).with_delivery(delivery);
    let options = match byte % 4 {
        1 => options.with_tags(Tags::new(&TAGS[..1]).expect("short")),
        2 => options.with_tags(Tags::new(TAGS).expect("short")),
        _ => options,
    };
    #[cfg(test)]
    if byte.is_multiple_of(5) {
        return options.with_trial(crate::job::Trial(byte.to_string()));
    }
    options
}

pub(super) fn name(key: u8) -> Key {
    Key::new(format!("key-{key}")).expect("short")
}

fn queue_name(queue: QueueId) -> QueueName {
    QueueName::new(format!("queue-{}", queue.0)).expect("short")
}

pub(super) fn queue_number(name: &QueueName) -> Option<QueueId> {
    name.as_str().strip_prefix("queue-")?.parse().ok().map(QueueId)
}
