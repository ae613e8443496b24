//! These bytes are in users' Redis. A test here that fails means that what they hold can no longer be read, or that what
//! is written can no longer be read by the programs that are out there. Do not change the bytes: a change of them is a
//! new format, with a reader for both.

use std::time::Duration;

use super::bytes::{hex, unhex};
use super::*;
use crate::job::{Expires, Headers, Retry, Timeout};

pub(super) const BATCH: &str = "
    52564c42 0200 0000 e7000000 d700aa34                   # magic, format, flags, length 231, CRC-32
    03 07 fbe803 fbcc10 0c                                 # partition, epoch, first, near, records
    02 09 6f70656e5f73616c65 04 6d61696c                   # queues: open_sale, mail
    02 08 7072696f72697479 08 64656c6976657279             # options: priority, delivery
    01 00 0a 70726f647563743a3432 00 09 353030207365617473 # scheduled: 4300, product:42, 500 seats
       01 fd00d05150ddc10c00 00                            #   wall, no options
    02 02 02 c3a9 01 00                                    # replacing: 4301, é, mail, no payload
       02 01 06 00 01 ff 01 01 02                          #   mono, -1, priority 255, at most once
       fb5702                                              #   4000
    03 00 02 01 fd00de7857ddc10c00                         # rescheduled: 4300, version 2, wall, a minute later
    04 00                                                  # cancelled: 4300
    05 fbcf20 fd00d05150ddc10c00                           # started for the first time: 100
    06 fbcd20 fd00d05150ddc10c00 fb2c01                    # started again: 101, attempt 300
    07 fbcb20 fd00d05150ddc10c00 01                        # interrupted: 102, attempt 1
    08 fbcf20 fd00d05150ddc10c00 01                        # finished: 100, done
    08 fbcd20 fd00d05150ddc10c00 02                        # finished: 101, failed
    08 fbcb20 fd00d05150ddc10c00 03                        # finished: 102, panicked
    08 fbc920 fd00d05150ddc10c00 04                        # finished: 103, interrupted
    09 fd66deffffffff0100 fd00d05150ddc10c00               # skipped: the last that can be counted
";

pub(super) const CHUNK: &str = "
    52565343 0200 0000 b7000000 7a5cce49                   # magic, format, flags, length 183, CRC-32
    03 07 05 02 fbe803 fb8813 02 02                        # as in the tables, 2 jobs, 2 fired
    02 09 6f70656e5f73616c65 04 6d61696c                   # queues: open_sale, mail
    02 08 7072696f72697479 08 64656c6976657279             # options: priority, delivery
    01 01 0a 70726f647563743a3432 00 09 353030207365617473 # pending: 4999, product:42, 500 seats
       01 fd00d05150ddc10c00 00 01 00                      #   wall, no options, version 1, 0
    02 02 02 c3a9 01 00                                    # running: 5001, é, mail, no payload
       02 01 06 00 01 00 01 01 02                          #   mono, -1, priority 0, at most once
       fc70110100 fb2c01 fd00d05150ddc10c00                #   70000, 300, since
    01 fbed26 0a 70726f647563743a3431                      # fired, done: job 17, product:41
       fd00d05150ddc10c00 fdb8db5150ddc10c00               #   began, ended
    04 fbeb26 0a 70726f647563743a3431                      # fired, interrupted: job 18, product:41
       fd00d05150ddc10c00 fdb8db5150ddc10c00               #   began, ended
";

/// Of recurring jobs.
#[test]
fn records_of_recurring_jobs_have_these_bytes() {
    let occurrence = Occurrence { scheduled_for: wall(60_000_000).wall, number: 7, missed: 3 };
    let passed = Passed { count: 3, reason: Reason::Overlap, first: TEN, last: TEN };
    let (due, fault) = (wall(60_000_000), Some(Fault::new(Cause::Failed, "no")));
    let records = [
        Record::Scheduled(ScheduledRecord { before: Predecessor::Detached(id(4_000)), ..scheduled(4_300) }),
        Record::StartedAs { id: id(100), at: TEN, attempt: 1, version: Version(2) },
        Record::Recurred {
            id: id(100),
            at: TEN,
            version: Version(3),
            end: End::Failed,
            fault,
            due,
            occurrence,
            passed: None,
        },
        Record::PassedOver { id: id(100), version: Version(4), due, occurrence, passed },
    ];
    let bytes = "
        0f 00 0a 70726f647563743a3432 00 09 353030207365617473 # detaching: 4300, product:42, 500 seats
           01 fd00d05150ddc10c00 00 fb5702                     #   wall, no options, 4000
        10 fbcf20 fd00d05150ddc10c00 01 02                     # started as: 100, attempt 1, version 2
        11 fbcf20 fd00d05150ddc10c00 03 02 01 02 6e6f          # recurred: 100, version 3, failed, `no`
           fd00de7857ddc10c00 07 03 00                         #   a minute later, number 7, 3 missed, none passed over
        12 fbcf20 04 fd00de7857ddc10c00 07 03                  # passed over: 100, version 4, the same
           03 03 fd00d05150ddc10c00 fd00d05150ddc10c00         #   3 by overlap, the first, the last
    ";
    assert!(hex(&encoded(&records)).ends_with(&hex(&unhex(bytes))), "{}", hex(&encoded(&records)));
    assert_eq!(read_batch(&encoded(&records)).unwrap().1, records);
}

#[test]
fn tags_and_headers_have_these_bytes() {
    let options = JobOptions::default()
        .with_tags(Tags::new(["b", "\u{e9}"]).unwrap())
        .with_headers(Headers::new([("traceparent", "00"), ("A", "")]).unwrap());
    let scheduled = scheduled(4_300);
    let spec = JobSpec { options, ..scheduled.spec };
    let records = [Record::Scheduled(ScheduledRecord { spec, ..scheduled })];
    let bytes = "
        02 04 74616773 07 68656164657273                       # options: tags, headers
        01 00 0a 70726f647563743a3432 00 09 353030207365617473 # scheduled: 4300, product:42, 500 seats
           01 fd00d05150ddc10c00 1d                            #   wall, options
           00 05 01 62 02 c3a9                                 #   b, é
           01 14 01 41 0000 0b 7472616365706172656e74 0200 3030 # A: nothing, traceparent: 00
    ";
    assert!(hex(&encoded(&records)).ends_with(&hex(&unhex(bytes))), "{}", hex(&encoded(&records)));
    assert_eq!(read_batch(&encoded(&records)).unwrap().1, records);
}

#[test]
fn a_batch_has_these_bytes() {
    assert_eq!(hex(&encoded(&records())), hex(&unhex(BATCH)));
    assert_eq!(read_batch(&unhex(BATCH)), Ok((batch_header(), records())));
}

#[test]
fn a_chunk_has_these_bytes() {
    assert_eq!(hex(&encoded_image(&image())), hex(&unhex(CHUNK)));
    assert_eq!(read_chunk(&unhex(CHUNK)), Ok((chunk_header(), image())));
}

/// Every kind of record, and what a job can have.
fn records() -> Vec<Record> {
    let second = ScheduledRecord {
        id: id(4_301),
        spec: second(Priority::LAST),
        before: Predecessor::Replaced(id(4_000)),
    };
    vec![
        Record::Scheduled(scheduled(4_300)),
        Record::Scheduled(second),
        Record::Rescheduled { id: id(4_300), version: Version(2), due: wall(60_000_000) },
        Record::Cancelled { id: id(4_300) },
        Record::Started { id: id(100), at: TEN, attempt: 1 },
        Record::Started { id: id(101), at: TEN, attempt: 300 },
        Record::Interrupted { id: id(102), at: TEN, attempt: 1 },
        Record::Finished { id: id(100), at: TEN, end: End::Done },
        Record::Finished { id: id(101), at: TEN, end: End::Failed },
        Record::Finished { id: id(102), at: TEN, end: End::Panicked },
        Record::Finished { id: id(103), at: TEN, end: End::Interrupted },
        Record::Skipped { id: id((1 << 48) - 1), at: TEN },
    ]
}

/// Unlike the first in everything.
fn second(priority: Priority) -> JobSpec {
    let due = RecordedDue { base: TimeBase::Mono, wall: Timestamp::from_micros(-1) };
    let options = JobOptions::default().with_priority(priority).with_delivery(Delivery::AtMostOnce);
    JobSpec { options, ..JobSpec::new(Key::new("é").unwrap(), queue("mail"), Payload::default(), due) }
}

fn image() -> Image {
    let running = JobImage {
        id: id(5_001),
        spec: second(Priority::FIRST),
        version: Version(70_000),
        attempt: 300,
        running_since: Some(TEN),
        history: None,
    };
    let fired = |sequence, end| FiredImage {
        id: id(sequence),
        key: Key::new("product:41").unwrap(),
        fired_at: TEN,
        ended_at: Timestamp::from_micros(TEN.as_micros() + 1_500),
        end,
    };
    let fired = vec![fired(17, End::Done), fired(18, End::Interrupted)];
    Image { jobs: vec![pending(4_999), running], fired, next_sequence: 5_000, ..Image::default() }
}

/// A job that was edited, in all and in nothing.
#[test]
fn an_edit_has_these_bytes() {
    let all = Edit::payload("450 seats").and_priority(Priority(7)).and_queue(queue("mail"));
    let edited = |edit| Record::Edited { id: id(4_300), version: Version(2), edit };
    let bytes = "
        52564c42 0200 0000 28000000 0782784a          # magic, format, flags, length 40, CRC-32
        03 07 fbe803 fbcc10 02 01 04 6d61696c 00      # as in the tables, queues: mail; no options
        13 00 02 01 09 343530207365617473 01 07 01 00 # edited: 4300, version 2, 450 seats, priority 7, mail
        13 00 02 00 00 00                             # edited: 4300, version 2, nothing else
    ";
    let records = vec![edited(all), edited(Edit::default())];
    assert_eq!(hex(&encoded(&records)), hex(&unhex(bytes)));
    assert_eq!(read_batch(&unhex(bytes)), Ok((batch_header(), records)));
}

/// What was said of a queue, between records of jobs and by itself, and in a chunk.
#[test]
fn a_pause_of_a_queue_has_these_bytes() {
    let said = |name, is_paused, version| QueuePause {
        queue: queue(name),
        is_paused,
        at: TEN,
        version: Version(version),
    };
    let bytes = "
        02 04 6d61696c 09 6f70656e5f73616c65 00 # queues: mail, open_sale; no options
        14 00 01 fd00d05150ddc10c00 01          # said: mail is paused, version 1
        04 00                                   # cancelled: 4300
        14 01 00 fd00d05150ddc10c00 fb2c01      # said: open_sale goes on, version 300
    ";
    let records = vec![
        Record::PauseSet(said("mail", true, 1)),
        Record::Cancelled { id: id(4_300) },
        Record::PauseSet(said("open_sale", false, 300)),
    ];
    assert!(hex(&encoded(&records)).ends_with(&hex(&unhex(bytes))), "{}", hex(&encoded(&records)));
    assert_eq!(read_batch(&encoded(&records)).unwrap().1, records);
    let alone = vec![records[0].clone()];
    assert_eq!(read_batch(&encoded(&alone)).unwrap().1, alone);

    let bytes = "
        03 07 05 02 fbe803 fb8813 02 00                        # as in the tables, 2 entries, none fired
        02 04 6d61696c 09 6f70656e5f73616c65 00                # queues: mail, open_sale; no options
        06 00 01 fd00d05150ddc10c00 01                         # mail is paused, version 1
        01 01 0a 70726f647563743a3432 01 09 353030207365617473 # pending: 4999, product:42, 500 seats
           01 fd00d05150ddc10c00 00 01 00                      #   wall, no options, version 1, 0
    ";
    let image = Image {
        jobs: vec![pending(4_999)],
        pauses: vec![said("mail", true, 1)],
        next_sequence: 5_000,
        ..Image::default()
    };
    assert!(hex(&encoded_image(&image)).ends_with(&hex(&unhex(bytes))), "{}", hex(&encoded_image(&image)));
    assert_eq!(read_chunk(&encoded_image(&image)).unwrap().1, image);
}

/// What came with pauses of jobs, and with tags in an edit.
#[test]
fn a_pause_and_an_edit_of_tags_have_these_bytes() {
    let bytes = "
        52564c42 0200 0000 23000000 c662eae4 # magic, format, flags, length 35, CRC-32
        03 07 fbe803 fbcc10 03 00 00         # as in the tables; no queues, no options
        16 00 fd00d05150ddc10c00 02          # paused: 4300, version 2
        17 00 03                             # resumed: 4300, version 3
        18 00 04 00 00 00 02 0162            # edited: 4300, version 4, the tag b
    ";
    let edit = Edit::tags(Tags::new(["b"]).unwrap());
    let records = vec![
        Record::Paused { id: id(4_300), at: TEN, version: Version(2) },
        Record::Resumed { id: id(4_300), version: Version(3) },
        Record::Edited { id: id(4_300), version: Version(4), edit },
    ];
    assert_eq!(hex(&encoded(&records)), hex(&unhex(bytes)));
    assert_eq!(read_batch(&unhex(bytes)), Ok((batch_header(), records)));
}

/// What came with retries. The same promise holds.
pub(super) const RETRIES_BATCH: &str = "
    52564c42 0200 0000 3a010000 4419e3a8                   # magic, format, flags, length 314, CRC-32
    03 07 fbe803 fbcc10 0d                                 # partition, epoch, first, near, records
    01 09 6f70656e5f73616c65                               # queues: open_sale
    03 05 7265747279 07 74696d656f7574 07 65787069726573   # options: retry, timeout, expires
    01 00 0a 70726f647563743a3432 00 09 353030207365617473 # scheduled: 4300, product:42, 500 seats
       01 fd00d05150ddc10c00 2b                            #   wall, options
       00 15 0300 010108 40420f0000000000 00a493d600000000 #   3 attempts, fixed, none, 8, 1 s, 1 h
       01 08 8813000000000000                              #   5 ms
       02 08 00e828a8ee600600                              #   expires
    0a 00 fd00d05150ddc10c00 02 03 02 fd00d05150ddc10c00   # again: 4300, at, attempt 2, version 3, mono
       00 00                                               #   does not count, no fault
    0a 00 fd00d05150ddc10c00 02 03 02 fd00d05150ddc10c00   # again
       01 01 09 6e6f20616e73776572                         #   counts, failed: no answer
    0a 00 fd00d05150ddc10c00 02 03 02 fd00d05150ddc10c00   # again
       01 03 02 c3a9                                       #   counts, timed out: é
    0b 00 fd00d05150ddc10c00 04 01 02 02 6f68              # died: 4300, at, version 4, exhausted, panicked: oh
    0b 02 fd00d05150ddc10c00 04 02 04 00                   # died: 4301, killed, interrupted
    0b 04 fd00d05150ddc10c00 04 03 00                      # died: 4302, expired
    0c 00 05 02 fd00d05150ddc10c00                         # revived: 4300, version 5, mono
    0d 02                                                  # purged: 4301
    0e 06                                                  # to be stopped: 4303
    08 fbcf20 fd00d05150ddc10c00 05                        # finished: 100, timed out
    08 fbcd20 fd00d05150ddc10c00 06                        # finished: 101, discarded
    08 fbcb20 fd00d05150ddc10c00 07                        # finished: 102, cancelled
";

pub(super) const RETRIES_CHUNK: &str = "
    52565343 0200 0000 24010000 6e15624a                   # magic, format, flags, length 292, CRC-32
    03 07 05 02 fbe803 fb8813 03 00                        # as in the tables, 3 jobs, none fired
    01 09 6f70656e5f73616c65 00                            # queues: open_sale; no options
    03 05 0a 70726f647563743a3432 00 09 353030207365617473 # pending again: 4997, product:42, 500 seats
       01 fd00d05150ddc10c00 00 01 02                      #   wall, no options, version 1, 2
       02 01 00 2a                                         #   2 failures, 1 revival, not stopped, errors
       01 fd00d05150ddc10c00 01 09 6e6f20616e73776572      #   attempt 1, at, failed: no answer
       02 fd00d05150ddc10c00 03 09 6e6f20616e73776572      #   attempt 2, at, timed out
    04 03 0a 70726f647563743a3432 00 09 353030207365617473 # running again: 4998
       01 fd00d05150ddc10c00 00 01 03 fd00d05150ddc10c00   #   wall, no options, version 1, 3, since
       02 01 01 2a                                         #   2 failures, 1 revival, to be stopped, errors
       01 fd00d05150ddc10c00 01 09 6e6f20616e73776572
       02 fd00d05150ddc10c00 03 09 6e6f20616e73776572
    05 01 0a 70726f647563743a3432 00 09 353030207365617473 # dead: 4999
       01 fd00d05150ddc10c00 00 01 02                      #   wall, no options, version 1, 2
       fd00d05150ddc10c00 01                               #   died, exhausted
       02 01 00 2a                                         #   2 failures, 1 revival, not stopped, errors
       01 fd00d05150ddc10c00 01 09 6e6f20616e73776572
       02 fd00d05150ddc10c00 03 09 6e6f20616e73776572
";

#[test]
fn what_came_with_retries_has_these_bytes() {
    assert_eq!(hex(&encoded(&retries())), hex(&unhex(RETRIES_BATCH)));
    assert_eq!(read_batch(&unhex(RETRIES_BATCH)), Ok((batch_header(), retries())));
    assert_eq!(hex(&encoded_image(&histories())), hex(&unhex(RETRIES_CHUNK)));
    assert_eq!(read_chunk(&unhex(RETRIES_CHUNK)), Ok((chunk_header(), histories())));
}

fn retries() -> Vec<Record> {
    let retry = Retry::attempts(3).fixed(Duration::from_secs(1));
    let options = JobOptions::default()
        .with_retry(retry)
        .with_timeout(Timeout(Duration::from_millis(5)))
        .with_expires(Expires(TEN));
    let scheduled = scheduled(4_300);
    let spec = JobSpec { options, ..scheduled.spec };
    let due = RecordedDue { base: TimeBase::Mono, wall: TEN };
    let fault = |cause, message: &str| Some(Fault::new(cause, message));
    let retried = |sequence, fault: Option<Fault>| Record::Retried {
        id: id(sequence),
        at: TEN,
        attempt: 2,
        version: Version(3),
        due,
        is_counted: fault.is_some(),
        fault,
    };
    let died = |sequence, reason, fault| Record::Died {
        id: id(sequence),
        at: TEN,
        version: Version(4),
        reason,
        fault,
    };
    vec![
        Record::Scheduled(ScheduledRecord { spec, ..scheduled }),
        retried(4_300, None),
        retried(4_300, fault(Cause::Failed, "no answer")),
        retried(4_300, fault(Cause::TimedOut, "é")),
        died(4_300, DeathReason::Exhausted, fault(Cause::Panicked, "oh")),
        died(4_301, DeathReason::Killed, fault(Cause::Interrupted, "")),
        died(4_302, DeathReason::Expired, None),
        Record::Revived { id: id(4_300), version: Version(5), due },
        Record::Purged { id: id(4_301) },
        Record::Stopped { id: id(4_303) },
        Record::Finished { id: id(100), at: TEN, end: End::TimedOut },
        Record::Finished { id: id(101), at: TEN, end: End::Discarded },
        Record::Finished { id: id(102), at: TEN, end: End::Cancelled },
    ]
}

fn histories() -> Image {
    let error = |attempt, cause| AttemptError::new(attempt, TEN, &Fault::new(cause, "no answer"));
    let history = |death, is_stopped| {
        let mut history = History::default();
        (history.failures, history.revivals) = (2, 1);
        history.errors = vec![error(1, Cause::Failed), error(2, Cause::TimedOut)];
        (history.death, history.is_stopped) = (death, is_stopped);
        Some(Box::new(history))
    };
    let waiting = JobImage { attempt: 2, history: history(None, false), ..pending(4_997) };
    let running =
        JobImage { attempt: 3, running_since: Some(TEN), history: history(None, true), ..pending(4_998) };
    let death = Some(Death::new(TEN, DeathReason::Exhausted));
    let dead = JobImage { attempt: 2, history: history(death, false), ..pending(4_999) };
    Image { jobs: vec![waiting, running, dead], next_sequence: 5_000, ..Image::default() }
}
