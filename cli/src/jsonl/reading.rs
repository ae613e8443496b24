//! The ops that read: pages of jobs, how many there are, and when they are due.
//!
//! Which jobs is said by fields of one meaning in all three: `queue`, `tag`, `prefix`, `from`, `to` and `state`.

use std::borrow::Cow;
use std::time::Duration;

use reveille::job::Tags;
use reveille::read::LoadBuckets;
use reveille::{JobFilter, JobState, ListCursor, Timestamp};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::op::OpError;
use super::rule::read_time;
use super::text::Brief;
use super::time;

/// What is to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    List { filter: JobFilter, order: Order, from: ListCursor, limit: usize },
    Count(JobFilter),
    Load { filter: JobFilter, bucket: Bucket, buckets: LoadBuckets },
}

/// In which order jobs are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// In none.
    Any,
    /// The earliest first, of those that wait.
    Due,
}

/// How long a piece of the time to come is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bucket {
    Minute,
    Hour,
    /// 24 hours.
    Day,
}

/// Jobs of a page.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Buckets of a load.
const BUCKETS_MAX: usize = 10_000;

/// The states, as a line has them.
pub(super) const STATES: [(&str, JobState); 7] = [
    ("pending", JobState::Pending),
    ("retrying", JobState::Retrying),
    ("ready", JobState::Ready),
    ("running", JobState::Running),
    ("paused", JobState::Paused),
    ("dead", JobState::Dead),
    ("fired", JobState::Fired),
];

impl Reading {
    /// The op's name in a line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Reading::List { .. } => "list",
            Reading::Count(_) => "count",
            Reading::Load { .. } => "load",
        }
    }

    /// Reads one of these ops; `None` if it is none of them.
    pub(super) fn take(op: &str, fields: &mut Fields<'_>) -> Option<Result<Self, OpError>> {
        match op {
            "list" => Some(list(fields)),
            "count" => Some(filter(fields).map(|(filter, _)| Reading::Count(filter))),
            "load" => Some(load(fields)),
            _ => None,
        }
    }
}

impl Bucket {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bucket::Minute => "minute",
            Bucket::Hour => "hour",
            Bucket::Day => "day",
        }
    }

    /// How long it is, and how many there are unless a line says so.
    fn measure(self) -> (Duration, usize) {
        match self {
            Bucket::Minute => (Duration::from_secs(60), 60),
            Bucket::Hour => (Duration::from_secs(3_600), 24),
            Bucket::Day => (Duration::from_secs(24 * 3_600), 30),
        }
    }
}

fn list(fields: &mut Fields<'_>) -> Result<Reading, OpError> {
    let (filter, _) = filter(fields)?;
    let order = match fields.order.take().as_deref() {
        None => Order::Any,
        Some("due") => Order::Due,
        Some(other) => {
            let (value, must_be) = (Brief::new(other), "\"due\", or left out");
            return Err(OpError::WrongValue { field: "order", value, must_be });
        }
    };
    let from = match fields.cursor.take() {
        None => ListCursor::default(),
        Some(text) => text.parse().map_err(|_| OpError::WrongValue {
            field: "cursor",
            value: Brief::new(&text),
            must_be: "the `next` of a page, or left out",
        })?,
    };
    let limit = limit(fields, LIMIT_MAX, "a whole number from 1 to 1000")?.unwrap_or(LIMIT_DEFAULT);
    Ok(Reading::List { filter, order, from, limit })
}

fn load(fields: &mut Fields<'_>) -> Result<Reading, OpError> {
    let (filter, range) = filter(fields)?;
    let bucket = match fields.bucket.take().as_deref() {
        None | Some("minute") => Bucket::Minute,
        Some("hour") => Bucket::Hour,
        Some("day") => Bucket::Day,
        Some(other) => {
            let (value, must_be) = (Brief::new(other), "\"minute\", \"hour\" or \"day\"");
            return Err(OpError::WrongValue { field: "bucket", value, must_be });
        }
    };
    let (width, by_default) = bucket.measure();
    let limit = limit(fields, BUCKETS_MAX, "a whole number from 1 to 10000")?;
    let count = match (limit, range) {
        (Some(limit), _) => limit,
        // As many as it takes to get from one end to the other.
        (None, (Some(from), Some(to))) => {
            let count = to.since(from).as_micros().div_ceil(width.as_micros());
            usize::try_from(count).unwrap_or(BUCKETS_MAX).clamp(1, BUCKETS_MAX)
        }
        (None, _) => by_default,
    };
    Ok(Reading::Load { filter, bucket, buckets: LoadBuckets { width, count } })
}

/// From when to when jobs are due, as far as a line says.
type Range = (Option<Timestamp>, Option<Timestamp>);

/// Which jobs, and from when to when they are due.
fn filter(fields: &mut Fields<'_>) -> Result<(JobFilter, Range), OpError> {
    let mut filter = JobFilter::default();
    if let Some(queue) = fields.queue.take() {
        filter = filter.queue(queue);
    }
    if let Some(tag) = fields.tag.take() {
        Tags::check(&tag)?;
        filter = filter.tag(tag);
    }
    if let Some(prefix) = fields.prefix.take() {
        filter = filter.key_prefix(prefix);
    }
    if let Some(states) = fields.state.take() {
        filter = filter.states(read_states(states)?);
    }
    let at = fields.rule.iter().position(|(name, _)| *name == "from");
    let from = at.map(|at| instant("from", fields.rule.remove(at).1)).transpose()?;
    let to = fields.to.take().map(|to| instant("to", to)).transpose()?;
    if let Some(from) = from {
        filter = filter.due_from(from);
    }
    if let Some(to) = to {
        filter = filter.due_to(to);
    }
    Ok((filter, (from, to)))
}

fn instant(field: &'static str, value: &RawValue) -> Result<Timestamp, OpError> {
    read_time(field, value, time::parse_instant, time::parse_epoch_seconds)
}

/// One, or a list of them.
fn read_states(value: &RawValue) -> Result<Vec<JobState>, OpError> {
    let json = value.get();
    let names: Vec<Cow<'_, str>> = match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map(|name| vec![name]).unwrap_or_default(),
        _ => serde_json::from_str(json).unwrap_or_default(),
    };
    let known = |name: &Cow<'_, str>| STATES.iter().find(|(known, _)| known == name).map(|&(_, state)| state);
    let states: Option<Vec<JobState>> = names.iter().map(known).collect();
    states.filter(|states| !states.is_empty()).ok_or_else(|| OpError::WrongValue {
        field: "state",
        value: Brief::number(json),
        must_be: "\"pending\", \"retrying\", \"ready\", \"running\", \"paused\", \"dead\" or \"fired\", or a list of some",
    })
}

fn limit(fields: &mut Fields<'_>, max: usize, must_be: &'static str) -> Result<Option<usize>, OpError> {
    let Some(value) = fields.limit.take() else { return Ok(None) };
    match serde_json::from_str(value.get()) {
        Ok(limit) if (1..=max).contains(&limit) => Ok(Some(limit)),
        _ => Err(OpError::WrongValue { field: "limit", value: Brief::number(value.get()), must_be }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::{self, Op};
    use super::*;

    fn reading(line: &str) -> Reading {
        match op::parse(line) {
            Ok(Op::Read(reading)) => reading,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn jobs_are_chosen_by_fields_of_one_meaning() {
        let all = JobFilter::default();
        let list = |filter: &JobFilter, limit| Reading::List {
            filter: filter.clone(),
            order: Order::Any,
            from: ListCursor::default(),
            limit,
        };
        assert_eq!(reading(r#"{"op":"list"}"#), list(&all, 100));
        assert_eq!(reading(r#"{"op":"list","limit":1000,"cursor":"first"}"#), list(&all, 1_000));
        let cursor = "7-3-1f".parse().unwrap();
        let next = reading(r#"{"op":"list","cursor":"7-3-1f"}"#);
        let order = Order::Any;
        assert_eq!(next, Reading::List { filter: all.clone(), order, from: cursor, limit: 100 });
        let by_due = reading(r#"{"op":"list","order":"due","cursor":"7-3-1f"}"#);
        assert_eq!(
            by_due,
            Reading::List { filter: all.clone(), order: Order::Due, from: cursor, limit: 100 }
        );
        let chosen = all
            .queue("mails")
            .tag("tenant:7")
            .key_prefix("order:")
            .due_from(Timestamp::from_micros(1_000_000))
            .due_to(Timestamp::from_micros(2_000_000))
            .states([JobState::Pending, JobState::Paused, JobState::Dead]);
        let fields = r#""queue":"mails","tag":"tenant:7","prefix":"order:","from":1,"to":"1970-01-01T00:00:02Z",
            "state":["dead","paused","pending"]"#;
        assert_eq!(reading(&format!(r#"{{"op":"count",{fields}}}"#)), Reading::Count(chosen.clone()));
        assert_eq!(reading(&format!(r#"{{"op":"list",{fields}}}"#)), list(&chosen, 100));
        let dead = JobFilter::default().states([JobState::Dead]);
        assert_eq!(reading(r#"{"op":"count","state":"dead"}"#), Reading::Count(dead));
    }

    #[test]
    fn a_load_has_as_many_buckets_as_are_asked_for_or_as_it_takes() {
        for (fields, name, seconds, count) in [
            ("", "minute", 60, 60),
            (r#","bucket":"hour""#, "hour", 3_600, 24),
            (r#","bucket":"day""#, "day", 86_400, 30),
            (r#","bucket":"day","limit":7"#, "day", 86_400, 7),
            (r#","from":0,"to":3601,"bucket":"hour""#, "hour", 3_600, 2),
            (r#","from":3601,"to":0"#, "minute", 60, 1),
            (r#","from":0,"to":100000000000"#, "minute", 60, 10_000),
        ] {
            let Reading::Load { bucket, buckets, .. } = reading(&format!(r#"{{"op":"load"{fields}}}"#))
            else {
                panic!("{fields}")
            };
            let LoadBuckets { width, count: got } = buckets;
            assert_eq!((bucket.name(), width.as_secs(), got), (name, seconds, count), "{fields}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_reading_is_said() {
        for (line, said) in [
            (r#"{"op":"list","key":"k"}"#, "`key` has no meaning for list"),
            (r#"{"op":"list","limit":0}"#, "`limit` is 0, and must be a whole number from 1 to 1000"),
            (r#"{"op":"list","limit":1001}"#, "from 1 to 1000"),
            (r#"{"op":"list","limit":"7"}"#, "from 1 to 1000"),
            (r#"{"op":"list","cursor":"here"}"#, "`cursor` is \"here\", and must be the `next` of a page"),
            (r#"{"op":"list","order":"key"}"#, "`order` is \"key\", and must be \"due\", or left out"),
            (r#"{"op":"count","order":"due"}"#, "`order` has no meaning for count"),
            (r#"{"op":"list","state":"late"}"#, "`state` is \"late\", and must be \"pending\""),
            (r#"{"op":"list","state":[]}"#, "`state` is [], and must be"),
            (r#"{"op":"list","state":["dead",7]}"#, "`state` is [\"dead\",7], and must be"),
            (r#"{"op":"list","from":"noon"}"#, "`from`: \"noon\" is not a time"),
            (r#"{"op":"list","to":true}"#, "`to` is true, and must be a string or a number of seconds"),
            (r#"{"op":"list","tag":""}"#, "a tag is empty"),
            (r#"{"op":"list","in":1}"#, "`in` has no meaning for list"),
            (r#"{"op":"list","bucket":"hour"}"#, "`bucket` has no meaning for list"),
            (r#"{"op":"list","every":"5s"}"#, "`every` has no meaning for list"),
            (r#"{"op":"count","limit":1}"#, "`limit` has no meaning for count"),
            (r#"{"op":"load","cursor":"first"}"#, "`cursor` has no meaning for load"),
            (r#"{"op":"load","bucket":"week"}"#, "`bucket` is \"week\", and must be \"minute\""),
            (r#"{"op":"load","limit":10001}"#, "from 1 to 10000"),
            (r#"{"op":"cancel","key":"k","prefix":"p"}"#, "`prefix` has no meaning for cancel"),
            (r#"{"op":"schedule","key":"k","in":1,"state":"dead"}"#, "`state` has no meaning for schedule"),
        ] {
            let error =
                op::parse(line).map(|op| panic!("{line}: {op:?}")).unwrap_or_else(|error| error.to_string());
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
