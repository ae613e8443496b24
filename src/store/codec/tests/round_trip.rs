//! What was written is what is read.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_come_back(
        (partition, epoch, first_record) in (any::<u16>(), any::<u64>(), 0..u64::MAX / 2),
        records in prop::collection::vec(record(), 0..40),
    ) {
        let partition = PartitionId(partition);
        let header = BatchHeader { partition, epoch, first_record };
        let records: Vec<Record> = records.into_iter().map(|record| moved(record, partition)).collect();
        let mut out = vec![1, 2, 3];
        encode_batch(&header, &records, &mut out).unwrap();
        prop_assert_eq!(read_batch(&out), Ok((header, records)));
    }

    #[test]
    fn chunks_come_back(
        (epoch, generation, covered, next_sequence) in (any::<u64>(), any::<u64>(), any::<u64>(), sequence()),
        number in any::<u32>(),
        pauses in prop::collection::vec(pause(), 0..5),
        jobs in prop::collection::vec(job_image(), 0..20),
        fired in prop::collection::vec(fired_image(), 0..20),
    ) {
        let snapshot = SnapshotHeader { partition: PARTITION, epoch, generation, covered, next_sequence };
        let header = ChunkHeader { snapshot, number };
        let image = Image { jobs, fired, pauses, next_sequence };
        let chunk = model::encoded_chunk(&header, &image);
        prop_assert_eq!(read_chunk(&chunk), Ok((header, image)));
    }
}

#[test]
fn queues_share_one_text_over_a_whole_load() {
    let mut names = Names::new();
    let mut records = Vec::new();
    let mut image = Image::default();
    // A short name lies where it is used.
    let name = QueueName::new("q".repeat(64)).unwrap();
    let spec = || JobSpec { queue: name.clone(), ..scheduled(1).spec };
    let scheduled = |sequence| ScheduledRecord { spec: spec(), ..scheduled(sequence) };
    let pending = |sequence| JobImage { spec: spec(), ..pending(sequence) };
    for first in [1, 10] {
        let batch = encoded(&[Record::Scheduled(scheduled(first)), Record::Scheduled(scheduled(first + 1))]);
        decode_batch(&batch, &mut names, &mut records).unwrap();
    }
    let chunk = encoded_image(&Image { jobs: vec![pending(1)], ..Image::default() });
    decode_chunk(&chunk, &mut names, &mut image).unwrap();
    let text = |spec: &JobSpec| spec.queue.as_str().as_ptr();
    assert_eq!(records.len(), 4);
    for record in &records {
        let Record::Scheduled(job) = record else { panic!("{record:?}") };
        assert_eq!(text(&job.spec), text(&image.jobs[0].spec));
    }
}

#[test]
fn a_frame_names_its_own_queues() {
    let mut names = Names::new();
    let mut records = Vec::new();
    for name in ["mail", "open_sale", "mail"] {
        let spec = JobSpec { queue: queue(name), ..scheduled(1).spec };
        let written = [Record::Scheduled(ScheduledRecord { spec, ..scheduled(1) })];
        records.clear();
        decode_batch(&encoded(&written), &mut names, &mut records).unwrap();
        assert_eq!(records, written);
    }
}

#[test]
fn an_encoder_goes_on_with_an_empty_chunk() {
    let mut encoder = ChunkEncoder::new(chunk_header().snapshot);
    let empty = encoder.len();
    encoder.push_job(&pending(1)).unwrap();
    assert!(!encoder.is_empty());
    encoder.finish(0).unwrap();
    assert!(encoder.is_empty());
    assert_eq!(encoder.len(), empty);
    let spec = JobSpec { queue: queue("mail"), ..pending(2).spec };
    let second = JobImage { spec, ..pending(2) };
    encoder.push_job(&second).unwrap();
    let (header, image) = read_chunk(&encoder.finish(1).unwrap()).unwrap();
    assert_eq!(header.number, 1);
    assert_eq!(image.jobs, [second]);
}

#[test]
fn chunks_of_a_load_add_up() {
    let (mut names, mut image) = (Names::new(), Image::default());
    for (sequence, next_sequence) in [(1, 9), (2, 5)] {
        let snapshot = SnapshotHeader { next_sequence, ..chunk_header().snapshot };
        let jobs = Image { jobs: vec![pending(sequence)], ..Image::default() };
        let chunk = model::encoded_chunk(&ChunkHeader { snapshot, number: 0 }, &jobs);
        decode_chunk(&chunk, &mut names, &mut image).unwrap();
    }
    assert_eq!(image, Image { jobs: vec![pending(1), pending(2)], next_sequence: 9, ..Image::default() });
}

#[test]
fn the_smallest_values_fit_where_they_are_counted() {
    let due = RecordedDue { base: TimeBase::Wall, wall: Timestamp::from_micros(0) };
    let spec = JobSpec::new(Key::new("k").unwrap(), queue("open_sale"), Payload::default(), due);
    let smallest = JobImage { spec, ..pending(5_000) };
    let at = Timestamp::from_micros(0);
    let fired =
        FiredImage { id: id(5_000), key: Key::new("k").unwrap(), fired_at: at, ended_at: at, end: End::Done };
    let image = Image {
        jobs: vec![smallest; 500],
        fired: vec![fired; 500],
        next_sequence: 5_000,
        ..Image::default()
    };
    assert_eq!(read_chunk(&encoded_image(&image)), Ok((chunk_header(), image)));
    let records = vec![Record::Cancelled { id: id(1) }; 500];
    assert_eq!(read_batch(&encoded(&records)), Ok((batch_header(), records)));
}

/// A record of [`PARTITION`] as one of another.
fn moved(mut record: Record, to: PartitionId) -> Record {
    let there = |id: &mut JobId| *id = JobId::new(to, id.sequence());
    match &mut record {
        Record::Scheduled(job) => {
            there(&mut job.id);
            if let Predecessor::Replaced(id) | Predecessor::Detached(id) = &mut job.before {
                there(id);
            }
        }
        Record::Rescheduled { id, .. }
        | Record::Edited { id, .. }
        | Record::Paused { id, .. }
        | Record::Resumed { id, .. }
        | Record::Cancelled { id }
        | Record::Started { id, .. }
        | Record::StartedAs { id, .. }
        | Record::Recurred { id, .. }
        | Record::PassedOver { id, .. }
        | Record::Interrupted { id, .. }
        | Record::Finished { id, .. }
        | Record::Retried { id, .. }
        | Record::Died { id, .. }
        | Record::Revived { id, .. }
        | Record::Purged { id }
        | Record::Stopped { id }
        | Record::Skipped { id, .. } => there(id),
        Record::PauseSet(_) => {}
    }
    record
}

fn record() -> impl Strategy<Value = Record> {
    let id = || sequence().prop_map(id);
    prop_oneof![
        4 => job().prop_map(Record::Scheduled),
        1 => (id(), version(), due()).prop_map(|(id, version, due)| Record::Rescheduled { id, version, due }),
        1 => id().prop_map(|id| Record::Cancelled { id }),
        1 => (id(), instant(), attempt()).prop_map(|(id, at, attempt)| Record::Started { id, at, attempt }),
        1 => (id(), instant(), attempt()).prop_map(|(id, at, attempt)| Record::Interrupted { id, at, attempt }),
        1 => (id(), instant(), end()).prop_map(|(id, at, end)| Record::Finished { id, at, end }),
        1 => (id(), instant()).prop_map(|(id, at)| Record::Skipped { id, at }),
        1 => retried(),
        1 => (id(), instant(), attempt(), version())
            .prop_map(|(id, at, attempt, version)| Record::StartedAs { id, at, attempt, version }),
        1 => recurred(),
        1 => (id(), version(), occurrence(), passed()).prop_map(|(id, version, (occurrence, due), passed)| {
            Record::PassedOver { id, version, due, occurrence, passed }
        }),
        1 => ((id(), instant(), version()), reason(), prop::option::of(fault())).prop_map(
            |((id, at, version), reason, fault)| Record::Died { id, at, version, reason, fault }
        ),
        1 => (id(), version(), due()).prop_map(|(id, version, due)| Record::Revived { id, version, due }),
        1 => edited(),
        1 => (id(), instant(), version()).prop_map(|(id, at, version)| Record::Paused { id, at, version }),
        1 => (id(), version()).prop_map(|(id, version)| Record::Resumed { id, version }),
        1 => id().prop_map(|id| Record::Purged { id }),
        1 => id().prop_map(|id| Record::Stopped { id }),
        1 => pause().prop_map(Record::PauseSet),
    ]
}

fn pause() -> impl Strategy<Value = QueuePause> {
    ("\\PC{1,30}", any::<bool>(), instant(), version())
        .prop_map(|(name, is_paused, at, version)| QueuePause { queue: queue(&name), is_paused, at, version })
}

fn edited() -> impl Strategy<Value = Record> {
    let payload = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let parts = (payload, prop::option::of(any::<u8>()), prop::option::of("\\PC{1,30}"));
    let parts = (parts, prop::option::of(prop::collection::vec("[a-z]{1,20}", 0..4)));
    (sequence().prop_map(id), version(), parts).prop_map(
        |(id, version, ((payload, priority, name), tags))| {
            let mut edit = Edit::default();
            (edit.payload, edit.priority) = (payload.map(Payload::from), priority.map(Priority));
            edit.queue = name.map(|name| queue(&name));
            edit.tags = tags.map(|tags| Tags::new(tags).unwrap());
            Record::Edited { id, version, edit }
        },
    )
}

fn retried() -> impl Strategy<Value = Record> {
    let changes = (sequence().prop_map(id), instant(), attempt(), version(), due());
    (changes, prop::option::of(fault()), any::<bool>()).prop_map(|(changes, fault, is_counted)| {
        let (id, at, attempt, version, due) = changes;
        Record::Retried { id, at, attempt, version, due, fault, is_counted }
    })
}

fn recurred() -> impl Strategy<Value = Record> {
    let run = (sequence().prop_map(id), instant(), version(), end(), prop::option::of(fault()));
    let next = (occurrence(), prop::option::of(passed()));
    (run, next).prop_map(|((id, at, version, end, fault), ((occurrence, due), passed))| Record::Recurred {
        id,
        at,
        version,
        end,
        fault,
        due,
        occurrence,
        passed,
    })
}

/// With its due.
fn occurrence() -> impl Strategy<Value = (Occurrence, RecordedDue)> {
    (instant(), any::<u64>(), any::<u64>()).prop_map(|(scheduled_for, number, missed)| {
        let due = RecordedDue { base: TimeBase::Wall, wall: scheduled_for };
        (Occurrence { scheduled_for, number, missed }, due)
    })
}

fn passed() -> impl Strategy<Value = Passed> {
    let reason =
        prop::sample::select(vec![Reason::Coalesced, Reason::Missed, Reason::Overlap, Reason::Paused]);
    (1..=u64::MAX, reason, instant(), instant()).prop_map(|(count, reason, first, last)| Passed {
        count,
        reason,
        first,
        last,
    })
}

fn job() -> impl Strategy<Value = ScheduledRecord> {
    let name = prop_oneof!["[a-d]", "\\PC{1,30}"];
    let texts = (key(), name, prop::collection::vec(any::<u8>(), 0..600));
    let rest = (due(), options(), prop::option::of((sequence(), any::<bool>())));
    (sequence(), texts, rest).prop_map(|(sequence, (key, name, payload), (due, options, before))| {
        let spec = JobSpec { options, ..JobSpec::new(key, queue(&name), payload.into(), due) };
        let before = match before {
            None => Predecessor::None,
            Some((old, false)) => Predecessor::Replaced(id(old)),
            Some((old, true)) => Predecessor::Detached(id(old)),
        };
        ScheduledRecord { id: id(sequence), spec, before }
    })
}

fn options() -> impl Strategy<Value = JobOptions> {
    let some = (any::<u8>(), any::<bool>(), prop::option::of("\\PC{0,300}"));
    let some = some.prop_map(|(priority, once, trial)| {
        let delivery = if once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
        let options = JobOptions::default().with_priority(Priority(priority)).with_delivery(delivery);
        match trial {
            Some(text) => options.with_trial(Trial(text)),
            None => options,
        }
    });
    prop_oneof![Just(JobOptions::default()), some]
}

fn job_image() -> impl Strategy<Value = JobImage> {
    let changes = (version(), any::<u16>(), prop::option::of(instant()));
    (job(), changes, prop::option::of(history())).prop_map(|(job, changes, history)| {
        let ScheduledRecord { id, spec, .. } = job;
        let (version, attempt, running_since) = changes;
        let is_dead = history.as_deref().is_some_and(|history: &History| history.death.is_some());
        let running_since = running_since.filter(|_| !is_dead);
        JobImage { id, spec, version, attempt, running_since, history }
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let cause = prop_oneof![
        Just(Cause::Failed),
        Just(Cause::Panicked),
        Just(Cause::TimedOut),
        Just(Cause::Interrupted)
    ];
    (cause, "\\PC{0,200}").prop_map(|(cause, message)| Fault::new(cause, &message))
}

fn reason() -> impl Strategy<Value = DeathReason> {
    prop_oneof![Just(DeathReason::Exhausted), Just(DeathReason::Killed), Just(DeathReason::Expired)]
}

fn history() -> impl Strategy<Value = Box<History>> {
    let error = (any::<u16>(), instant(), fault());
    let error = error.prop_map(|(attempt, at, fault)| AttemptError::new(attempt, at, &fault));
    let errors = prop::collection::vec(error, 0..=ERRORS_MAX);
    let death = prop::option::of((instant(), reason()).prop_map(|(at, reason)| Death::new(at, reason)));
    (any::<(u16, u16, bool)>(), errors, death).prop_map(
        |((failures, revivals, is_stopped), errors, death)| {
            let mut history = History::default();
            (history.failures, history.revivals, history.is_stopped) = (failures, revivals, is_stopped);
            (history.errors, history.death) = (errors, death);
            Box::new(history)
        },
    )
}

fn fired_image() -> impl Strategy<Value = FiredImage> {
    (sequence(), key(), instant(), instant(), end()).prop_map(|(sequence, key, fired_at, ended_at, end)| {
        FiredImage { id: id(sequence), key, fired_at, ended_at, end }
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Done), Just(End::Failed), Just(End::Panicked), Just(End::Interrupted)]
}

fn attempt() -> impl Strategy<Value = u16> {
    prop_oneof![0..3u16, any::<u16>()]
}

/// All lengths of numbers come up, and the ends.
fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, 0..1u64 << 32, 0..1u64 << 48, Just((1 << 48) - 1)]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    let us = prop_oneof![-300..300i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    us.prop_map(Timestamp::from_micros)
}

fn due() -> impl Strategy<Value = RecordedDue> {
    let base = prop_oneof![Just(TimeBase::Wall), Just(TimeBase::Mono)];
    (base, instant()).prop_map(|(base, wall)| RecordedDue { base, wall })
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![1..300u32, any::<u32>()].prop_map(Version)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof!["\\PC{1,60}", "k{240,260}", "k{512}"].prop_map(|text| Key::new(text).unwrap())
}
