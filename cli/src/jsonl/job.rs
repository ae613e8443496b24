//! A pending job as the line that schedules it again.

use std::io::{self, Write};

use reveille::partition::Delivery;
use reveille::{JobView, Key, Payload, Priority, Timestamp};
use serde::Serialize;

use super::payload;
use super::time::Rfc3339;

/// The line's fields, in the order in which they are written. Defaults are left out.
#[derive(Serialize)]
struct Fields<'a> {
    op: &'static str,
    key: &'a str,
    queue: &'a str,
    at: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<&'static str>,
    #[serde(flatten)]
    payload: payload::Written<'a>,
}

/// What is written of a job. One that was scheduled after a delay gets the instant at which that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) key: &'a Key,
    pub(crate) queue: &'a str,
    pub(crate) due: Timestamp,
    pub(crate) priority: Priority,
    pub(crate) delivery: Delivery,
    pub(crate) payload: &'a Payload,
}

impl<'a> From<&'a JobView> for Written<'a> {
    fn from(job: &'a JobView) -> Self {
        Written {
            key: &job.key,
            queue: job.queue.as_str(),
            due: job.due,
            priority: job.priority,
            delivery: job.delivery,
            payload: &job.payload,
        }
    }
}

impl Written<'_> {
    /// Writes the job's line.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let fields = Fields {
            op: "schedule",
            key: self.key.as_str(),
            queue: self.queue,
            at: Rfc3339(self.due),
            priority: (self.priority != Priority::NORMAL).then_some(self.priority.0),
            delivery: (self.delivery == Delivery::AtMostOnce).then_some("at_most_once"),
            payload: payload::Written::to_be_read(self.payload),
        };
        serde_json::to_writer(&mut *to, &fields)?;
        to.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use reveille::Due;

    use super::super::op::{self, Action, Op};
    use super::*;

    fn line(job: &Written<'_>) -> String {
        let mut line = Vec::new();
        job.write(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn job<'a>(key: &'a Key, queue: &'a str, us: i64, payload: &'a Payload) -> Written<'a> {
        let (due, priority) = (Timestamp::from_micros(us), Priority::NORMAL);
        Written { key, queue, due, priority, delivery: Delivery::AtLeastOnce, payload }
    }

    #[test]
    fn a_line_has_what_differs_from_the_default() {
        let (key, object, byte) = (Key::new("k").unwrap(), "{\"a\": 1}".into(), b"\xff".into());
        let plain = job(&key, "default", 1_796_094_000_000_000, &object);
        assert_eq!(
            line(&plain),
            "{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"default\",\"at\":\"2026-12-01T03:00:00.000000Z\",\
             \"payload\":{\"a\": 1}}\n"
        );
        let special =
            Written { priority: Priority(0), delivery: Delivery::AtMostOnce, ..job(&key, "q", 1, &byte) };
        assert_eq!(
            line(&special),
            "{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"q\",\"at\":\"1970-01-01T00:00:00.000001Z\",\"priority\":0,\
             \"delivery\":\"at_most_once\",\"payload_base64\":\"/w==\"}\n"
        );
    }

    #[test]
    fn a_line_is_read_back_to_the_same_job() {
        let key = Key::new("é\n\"\u{2028}🎫").unwrap();
        for (at, payload) in
            [&b"null"[..], b"", b"[1,\n2]", b"{\"a\":\"\\u0000\"}", b"\x00\xff", "\"é\"".as_bytes(), b" 1 "]
                .into_iter()
                .enumerate()
        {
            let payload = Payload::from(payload);
            let job = Written {
                priority: Priority(at as u8),
                delivery: if at % 2 == 0 { Delivery::AtLeastOnce } else { Delivery::AtMostOnce },
                ..job(&key, "q\t\"", -1 - at as i64, &payload)
            };
            let line = line(&job);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let Ok(Op { key, action: Action::Schedule(draft) }) = op::parse(&line) else { panic!("{line}") };
            assert_eq!((&key, draft.queue.as_str()), (job.key, job.queue));
            assert_eq!((draft.due, &draft.payload), (Due::At(job.due), job.payload));
            assert_eq!((draft.priority, draft.delivery), (job.priority, job.delivery));
            assert_eq!(draft.on_conflict, None);
        }
    }
}
