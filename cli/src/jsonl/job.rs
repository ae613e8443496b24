//! A pending job as the line that schedules it again.

use std::io::{self, Write};

use reveille::job::JobOptions;
use reveille::{JobView, Key, Payload, Timestamp};
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
    #[serde(flatten)]
    options: &'a JobOptions,
    #[serde(flatten)]
    payload: payload::Written<'a>,
}

/// What is written of a job. One that was scheduled after a delay gets the instant at which that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) key: &'a Key,
    pub(crate) queue: &'a str,
    pub(crate) due: Timestamp,
    pub(crate) options: &'a JobOptions,
    pub(crate) payload: &'a Payload,
}

impl<'a> From<&'a JobView> for Written<'a> {
    fn from(job: &'a JobView) -> Self {
        Written {
            key: &job.key,
            queue: job.queue.as_str(),
            due: job.due,
            options: &job.options,
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
            options: self.options,
            payload: payload::Written::to_be_read(self.payload),
        };
        serde_json::to_writer(&mut *to, &fields)?;
        to.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use reveille::job::Delivery;
    use reveille::{Due, Priority};

    use super::super::op::{self, Action, Op};
    use super::*;

    fn line(job: &Written<'_>) -> String {
        let mut line = Vec::new();
        job.write(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn job<'a>(
        key: &'a Key,
        queue: &'a str,
        us: i64,
        options: &'a JobOptions,
        payload: &'a Payload,
    ) -> Written<'a> {
        Written { key, queue, due: Timestamp::from_micros(us), options, payload }
    }

    #[test]
    fn a_line_has_what_differs_from_the_default() {
        let plain = JobOptions::default();
        let options = plain.clone().with_priority(Priority(0)).with_delivery(Delivery::AtMostOnce);
        let (key, object, byte) = (Key::new("k").unwrap(), "{\"a\": 1}".into(), b"\xff".into());
        let ordinary = job(&key, "default", 1_796_094_000_000_000, &plain, &object);
        assert_eq!(
            line(&ordinary),
            "{\"op\":\"schedule\",\"key\":\"k\",\"queue\":\"default\",\"at\":\"2026-12-01T03:00:00.000000Z\",\
             \"payload\":{\"a\": 1}}\n"
        );
        let special = job(&key, "q", 1, &options, &byte);
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
            let delivery = if at % 2 == 0 { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
            let options = JobOptions::default().with_priority(Priority(at as u8)).with_delivery(delivery);
            let job = job(&key, "q\t\"", -1 - at as i64, &options, &payload);
            let line = line(&job);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let Ok(Op::Job(key, Action::Schedule(draft))) = op::parse(&line) else { panic!("{line}") };
            assert_eq!((&key, draft.queue.as_str()), (job.key, job.queue));
            assert_eq!((draft.due, &draft.payload), (Some(Due::At(job.due)), job.payload));
            assert_eq!(&draft.options, job.options);
            assert_eq!(draft.on_conflict, None);
        }
    }
}
