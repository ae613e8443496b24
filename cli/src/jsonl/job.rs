//! A pending job as the line that schedules it again.

use std::io::{self, Write};

use reveille::job::JobOptions;
use reveille::partition::JobImage;
use serde::Serialize;

use super::payload;
use super::time::Rfc3339;

/// The line's fields, in the order in which they are written. What a schedule has by default is left out.
#[derive(Serialize)]
struct Fields<'a> {
    op: &'static str,
    key: &'a str,
    queue: &'a str,
    at: Rfc3339,
    #[serde(flatten)]
    options: &'a JobOptions,
    #[serde(flatten)]
    payload: payload::Written<'a>,
}

/// Writes a job's line. One that was scheduled after a delay gets the instant at which that ends.
pub(crate) fn write(job: &JobImage, to: &mut impl Write) -> io::Result<()> {
    let spec = &job.spec;
    let fields = Fields {
        op: "schedule",
        key: spec.key.as_str(),
        queue: spec.queue.as_str(),
        at: Rfc3339(spec.due.wall),
        options: &spec.options,
        payload: payload::Written::to_be_read(&spec.payload),
    };
    serde_json::to_writer(&mut *to, &fields)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use reveille::job::{Delivery, JobSpec, QueueName, RecordedDue};
    use reveille::partition::TimeBase;
    use reveille::{Due, Key, Priority, Timestamp, Version};

    use super::super::op::{self, Action, Op};
    use super::*;

    fn job(key: &str, queue: &str, us: i64, payload: &[u8]) -> JobImage {
        let due = RecordedDue { base: TimeBase::Wall, wall: Timestamp::from_micros(us) };
        let (key, queue) = (Key::new(key).unwrap(), QueueName::new(queue).unwrap());
        JobImage {
            id: serde_json::from_str("7").unwrap(),
            spec: JobSpec::new(key, queue, payload.into(), due),
            version: Version(3),
            attempt: 0,
            running_since: None,
        }
    }

    fn line(job: &JobImage) -> String {
        let mut line = Vec::new();
        write(job, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_has_what_differs_from_the_default() {
        let plain = job("k", "default", 1_796_094_000_000_000, b"{\"a\": 1}");
        assert_eq!(
            line(&plain),
            "{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"default\",\"at\":\"2026-12-01T03:00:00.000000Z\",\
             \"payload\":{\"a\": 1}}\n"
        );
        let mut special = job("k", "q", 1, b"\xff");
        special.spec.options =
            JobOptions::default().with_priority(Priority(0)).with_delivery(Delivery::AtMostOnce);
        assert_eq!(
            line(&special),
            "{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"q\",\"at\":\"1970-01-01T00:00:00.000001Z\",\"priority\":0,\
             \"delivery\":\"at_most_once\",\"payload_base64\":\"/w==\"}\n"
        );
    }

    #[test]
    fn a_line_is_read_back_to_the_same_job() {
        for (at, payload) in
            [&b"null"[..], b"", b"[1,\n2]", b"{\"a\":\"\\u0000\"}", b"\x00\xff", "\"é\"".as_bytes(), b" 1 "]
                .into_iter()
                .enumerate()
        {
            let mut job = job("é\n\"\u{2028}🎫", "q\t\"", -1 - at as i64, payload);
            let delivery = if at % 2 == 0 { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
            job.spec.options =
                JobOptions::default().with_priority(Priority(at as u8)).with_delivery(delivery);
            let line = line(&job);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let Ok(Op { key, action: Action::Schedule(draft) }) = op::parse(&line) else { panic!("{line}") };
            assert_eq!((&key, draft.queue.as_str()), (&job.spec.key, job.spec.queue.as_str()));
            assert_eq!((draft.due, draft.payload), (Due::At(job.spec.due.wall), job.spec.payload));
            assert_eq!(draft.options, job.spec.options);
            assert_eq!(draft.on_conflict, None);
        }
    }
}
