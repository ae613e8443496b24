//! Recurring jobs: whatever happens to them, records give it again: from the beginning, over an image read in slices, and what a
//! restart decides.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{ALL, MAIL, Rig, config, draft, draft_with};
use crate::job::{LateCause, Missed, Overlap, Recurrence, Step};
use crate::partition::job::State;
use crate::partition::recur::Next;
use crate::partition::{
    Again, CatchUp, Cause, Config, Delivery, Draft, Due, End, Fault, Handle, Image, JobOptions, Now,
    OnConflict, Record, Replay, ScheduleOutcome,
};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What happened: each record, and the state after it; and images that were read meanwhile.
struct World {
    rig: Rig,
    keys: HashMap<&'static str, Handle>,
    steps: Vec<(Record, Image)>,
    reading: Option<Fuzzy>,
    read: Vec<Fuzzy>,
}

/// An image in slices.
struct Fuzzy {
    image: Image,
    next: Option<u32>,
    covered: usize,
    complete: usize,
}

impl World {
    fn new() -> Self {
        let rig = Rig::with(Config { is_logged: true, fired_max: 2, ..config() });
        World { rig, keys: HashMap::new(), steps: Vec::new(), reading: None, read: Vec::new() }
    }

    fn of_state(&self, is_wanted: impl Fn(State) -> bool, at: u8) -> Option<Handle> {
        let jobs: Vec<_> = self
            .rig
            .partition
            .jobs
            .iter()
            .filter(|(_, job)| is_wanted(job.state()))
            .map(|(index, _)| index)
            .collect();
        let index = *jobs.get(usize::from(at) % jobs.len().max(1))?;
        Some(self.rig.partition.handle(index))
    }

    fn running(&self, at: u8) -> Option<Handle> {
        self.of_state(|state| matches!(state, State::Running(_)), at)
    }

    fn rule_of(&self, handle: Handle) -> Option<(Recurrence, crate::job::Occurrence)> {
        let rare = self.rig.partition.job(handle)?.rare()?;
        Some((rare.recurrence()?.clone(), rare.occurrence()?.occurrence))
    }

    /// One call at most, so that each step is one record.
    fn act(&mut self, kind: u8, at: u8) {
        let now = self.rig.now;
        match kind % 14 {
            0 | 1 => {
                self.rig.pass_ms(u64::from(at) * 20);
                self.rig.partition.advance(self.rig.now, ALL);
            }
            2 | 3 => drop(self.rig.partition.start(MAIL, now)),
            4 | 5 => self.schedule(at),
            6 | 7 => self.end(at),
            8 => {
                let Some(handle) = self.running(at) else { return };
                let fault = at.is_multiple_of(2).then(|| Fault::new(Cause::Failed, "no"));
                let due = Due::In(Duration::from_millis(u64::from(at)));
                self.rig.partition.retry(handle, Again { due, is_counted: fault.is_some(), fault }, now);
            }
            9 => {
                let Some(handle) = self.of_state(State::is_live, at) else { return };
                let Some((rule, occurrence)) = self.rule_of(handle) else { return };
                let cause = if at.is_multiple_of(2) { LateCause::Busy } else { LateCause::Down };
                if let Ok(Step { passed: Some(passed), next: Some(next) }) =
                    rule.late(&occurrence, now.wall, cause)
                {
                    self.rig.partition.pass_over(handle, next, passed, now);
                }
            }
            10 => {
                let Some(handle) = self.running(at) else { return };
                let Some((rule, occurrence)) = self.rule_of(handle) else { return };
                let Ok(Some(occurrence)) = rule.next_after(&occurrence) else { return };
                let split = self.rig.partition.split(handle, Next { occurrence, passed: None }, now);
                let key = split.and_then(|split| Some((self.rig.partition.key(split)?.to_owned(), split)));
                if let Some((key, split)) = key {
                    self.keys.extend(KEYS.iter().find(|known| **known == key).map(|known| (*known, split)));
                }
            }
            11 => {
                let Some(handle) = self.of_state(|_| true, at) else { return };
                if at.is_multiple_of(3) {
                    let _too_late_or_not = self.rig.partition.stop_after(handle, None);
                } else if at % 3 == 1 {
                    let _too_late_or_not = self.rig.partition.cancel(handle, None);
                } else {
                    let due = Due::In(Duration::from_millis(u64::from(at) * 9));
                    let _too_late_or_not = self.rig.partition.reschedule(handle, due, None, now).unwrap();
                }
            }
            12 => {
                let Some(handle) = self.of_state(|_| true, at) else { return };
                if at.is_multiple_of(2) {
                    let _too_late_or_not = self.rig.partition.pause_job(handle, None, now);
                } else {
                    let _too_late_or_not = self.rig.partition.resume_job(handle, None, None, now);
                }
            }
            _ => {
                let next_sequence = self.rig.partition.next_sequence;
                let image = Image { next_sequence, ..Image::default() };
                let covered = self.steps.len();
                self.reading = Some(Fuzzy { image, next: Some(0), covered, complete: covered });
            }
        }
    }

    fn schedule(&mut self, at: u8) {
        let (key, now) = (KEYS[usize::from(at) % 3], self.rig.now);
        let current = self.keys.get(key).copied();
        let plain = at.is_multiple_of(16);
        let rule = Recurrence::every(Duration::from_millis(300 + 100 * u64::from(at / 64))).unwrap();
        let rule = match at / 3 % 4 {
            0 => rule,
            1 => rule.missed(Missed::None),
            2 => rule.overlap(Overlap::After).count(4).unwrap(),
            _ => rule.overlap(Overlap::Allow),
        };
        let delivery = if at.is_multiple_of(5) { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
        let job = if plain {
            draft(key, Due::In(Duration::from_millis(50)))
        } else {
            let first = rule.first(now.wall).unwrap();
            let options = JobOptions::default().with_recurrence(rule).with_delivery(delivery);
            draft_with(key, Due::At(first.scheduled_for), options)
        };
        let draft = Draft { on_conflict: OnConflict::Update, ..job };
        let held = current.is_some_and(|handle| self.rig.partition.holds_key(handle));
        let outcome = self.rig.partition.schedule(current, draft, now).unwrap();
        assert_eq!(
            held,
            !matches!(outcome, ScheduleOutcome::Scheduled { .. }),
            "a key has one recurring job"
        );
        self.keys.insert(key, outcome.handle());
    }

    fn end(&mut self, at: u8) {
        let (Some(handle), now) = (self.running(at), self.rig.now) else { return };
        let end = if at.is_multiple_of(3) { End::Failed } else { End::Done };
        let next = self.rule_of(handle).and_then(|(rule, ran)| rule.ended(&ran, now.wall, now.wall).ok());
        if let Some(Step { passed, next: Some(occurrence) }) = next {
            let fault = (end == End::Failed).then(|| Fault::new(Cause::Failed, "no"));
            if self.rig.partition.recur(handle, end, fault, Next { occurrence, passed }, now) {
                return;
            }
        }
        assert!(self.rig.partition.finish(handle, end, now));
    }

    fn step(&mut self, kind: u8, at: u8) {
        let before = self.steps.len();
        self.act(kind, at);
        self.rig.partition.validate();
        let records: Vec<Record> = self.rig.partition.drain_records().collect();
        assert!(records.len() <= 1, "{records:?}");
        self.steps.extend(records.into_iter().map(|record| (record, self.rig.partition.image())));
        assert!(self.steps.len() <= before + 1);
        let Some(mut reading) = self.reading.take() else { return };
        if let Some(from) = reading.next {
            let slice = self.rig.partition.scan(from, 1);
            reading.image.add(slice.image);
            (reading.next, reading.complete) = (slice.next, self.steps.len());
        }
        match reading.next {
            Some(_) => self.reading = Some(reading),
            None => self.read.push(reading),
        }
    }
}

fn replay(now: Now) -> Replay<'static> {
    Replay::new(crate::partition::PartitionId(0), Config { fired_max: 2, ..config() }, now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn records_give_it_again_in_whole_in_slices_and_after_a_restart(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 0..250),
    ) {
        let mut world = World::new();
        for (kind, at) in steps {
            world.step(kind, at);
        }
        let now = world.rig.now;
        let mut whole = replay(now);
        for (record, image) in &world.steps {
            whole.apply(record.clone(), now).unwrap();
            prop_assert_eq!(&whole.image(), image, "after {:?}", record);
        }
        for fuzzy in &world.read {
            let mut over = replay(now);
            over.load(fuzzy.image.clone(), now).unwrap();
            for (record, _) in &world.steps[fuzzy.covered..fuzzy.complete] {
                over.apply_fuzzy(record.clone(), now).unwrap();
            }
            if let Some(last) = fuzzy.complete.checked_sub(1).filter(|last| *last >= fuzzy.covered) {
                prop_assert_eq!(&over.image(), &world.steps[last].1, "over {:?}", fuzzy.image);
            }
            for (record, image) in &world.steps[fuzzy.complete..] {
                over.apply(record.clone(), now).unwrap();
                prop_assert_eq!(&over.image(), image);
            }
        }
        // What a restart decides is in its records.
        let later = Now { wall: now.wall.saturating_add_micros(2_000_000), ..now };
        let mut again = replay(now);
        for (record, _) in &world.steps {
            again.apply(record.clone(), now).unwrap();
        }
        let mut restored = whole.finish(true, &CatchUp::default(), later).partition;
        restored.validate();
        let decided: Vec<Record> = restored.drain_records().collect();
        for record in decided {
            again.apply(record, later).unwrap();
        }
        prop_assert_eq!(again.image(), restored.image());
        let recurring = |image: &Image| {
            let recurs = image.jobs.iter().filter(|job| job.spec.options.recurrence().is_some());
            recurs.map(|job| job.spec.key.clone()).collect::<Vec<_>>()
        };
        let mut keys = recurring(&restored.image());
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), recurring(&restored.image()).len(), "a key has one recurring job");
    }
}
