//! The rule of a recurring job, as fields of its line: `every`, or `cron` with a `zone`, and what goes with them.

use std::borrow::Cow;
use std::num::NonZeroU32;

use reveille::job::InvalidRecurrence;
use reveille::{Missed, Overlap, Recurrence, Timestamp};
use serde_json::value::RawValue;

use super::op::OpError;
use super::text::{Brief, cut_middle};
use super::time::{self, TimeError};

/// The fields of a rule.
pub(super) const NAMES: [&str; 10] =
    ["every", "cron", "zone", "anchor", "from", "until", "count", "missed", "missed_max", "overlap"];

/// Those that a line has, in its order.
pub(super) type Fields<'a> = Vec<(&'static str, &'a RawValue)>;

/// Takes the rule out of the fields of a line; `None` if there is none of them.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<Recurrence>, OpError> {
    let mut rule = Rule(std::mem::take(fields));
    let mut recurrence = match (rule.take("every"), rule.take("cron")) {
        (None, None) => {
            *fields = rule.0;
            return Ok(None);
        }
        (Some(_), Some(_)) => return Err(OpError::TwoRules),
        (Some(every), None) => {
            if rule.take("zone").is_some() {
                return Err(OpError::Useless { field: "zone", op: "a rule without `cron`" });
            }
            Recurrence::every(read_time("every", every, time::parse_delay, time::parse_delay_seconds)?)
                .map_err(|error| OpError::rule("every", &error))?
        }
        (None, Some(cron)) => {
            let expression = text("cron", cron)?;
            let zone = rule.take("zone").map(|zone| text("zone", zone)).transpose()?;
            let zone = zone.unwrap_or(Cow::Borrowed("UTC"));
            Recurrence::cron(&expression, &zone).map_err(|error| match error {
                InvalidRecurrence::Zone { .. } => OpError::rule("zone", &error),
                error => OpError::rule("cron", &error),
            })?
        }
    };
    for (name, set) in [
        ("anchor", Recurrence::anchor as fn(Recurrence, Timestamp) -> Result<Recurrence, InvalidRecurrence>),
        ("from", Recurrence::from as fn(Recurrence, Timestamp) -> _),
        ("until", Recurrence::until as fn(Recurrence, Timestamp) -> _),
    ] {
        if let Some(value) = rule.take(name) {
            let instant = read_time(name, value, time::parse_instant, time::parse_epoch_seconds)?;
            recurrence = set(recurrence, instant).map_err(|error| OpError::rule(name, &error))?;
        }
    }
    if let Some(count) = rule.take("count") {
        let count = number("count", count, "a whole number from 1 on")?;
        recurrence = recurrence.count(count).map_err(|error| OpError::rule("count", &error))?;
    }
    let missed = missed(rule.take("missed"), rule.take("missed_max"))?;
    let overlap = overlap(rule.take("overlap"))?;
    Ok(Some(recurrence.missed(missed).overlap(overlap)))
}

/// What is left of the fields.
struct Rule<'a>(Fields<'a>);

impl<'a> Rule<'a> {
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }
}

impl OpError {
    fn rule(field: &'static str, error: &InvalidRecurrence) -> Self {
        OpError::Rule { field, error: cut_middle(error.to_string()) }
    }
}

fn missed(missed: Option<&RawValue>, max: Option<&RawValue>) -> Result<Missed, OpError> {
    let missed = match missed {
        None => Missed::One,
        Some(value) => match &*text("missed", value)? {
            "one" => Missed::One,
            "all" => Missed::All { max: Missed::ALL_MAX_DEFAULT },
            "none" => Missed::None,
            other => return Err(wrong("missed", other, "\"one\", \"all\" or \"none\"")),
        },
    };
    match (missed, max) {
        (missed, None) => Ok(missed),
        (Missed::All { .. }, Some(max)) => {
            const MUST_BE: &str = "a whole number from 1 to 4294967295";
            let number = number("missed_max", max, MUST_BE)?;
            let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
            let max = number.ok_or_else(|| wrong_number("missed_max", max, MUST_BE))?;
            Ok(Missed::All { max })
        }
        (_, Some(_)) => {
            Err(OpError::Useless { field: "missed_max", op: "a rule without \"missed\":\"all\"" })
        }
    }
}

fn overlap(overlap: Option<&RawValue>) -> Result<Overlap, OpError> {
    let Some(overlap) = overlap else { return Ok(Overlap::Skip) };
    match &*text("overlap", overlap)? {
        "skip" => Ok(Overlap::Skip),
        "allow" => Ok(Overlap::Allow),
        "after" => Ok(Overlap::After),
        other => Err(wrong("overlap", other, "\"skip\", \"allow\" or \"after\"")),
    }
}

fn text<'a>(field: &'static str, value: &'a RawValue) -> Result<Cow<'a, str>, OpError> {
    serde_json::from_str(value.get()).map(Cow::Owned).map_err(|_| wrong_number(field, value, "a string"))
}

fn number(field: &'static str, value: &RawValue, must_be: &'static str) -> Result<u64, OpError> {
    serde_json::from_str(value.get()).map_err(|_| wrong_number(field, value, must_be))
}

/// Text, or a number of seconds.
pub(super) fn read_time<T>(
    field: &'static str,
    value: &RawValue,
    of_text: impl Fn(&str) -> Result<T, TimeError>,
    of_number: impl Fn(&str) -> Result<T, TimeError>,
) -> Result<T, OpError> {
    let json = value.get();
    let read = match json.as_bytes().first() {
        Some(b'"') => of_text(&text(field, value)?),
        Some(b'-' | b'0'..=b'9') => of_number(json),
        _ => return Err(wrong_number(field, value, "a string or a number of seconds")),
    };
    read.map_err(|error| OpError::Time { field, error })
}

fn wrong(field: &'static str, text: &str, must_be: &'static str) -> OpError {
    OpError::WrongValue { field, value: Brief::new(text), must_be }
}

fn wrong_number(field: &'static str, value: &RawValue, must_be: &'static str) -> OpError {
    OpError::WrongValue { field, value: Brief::number(value.get()), must_be }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::op::{self, Action, Draft, Op};
    use super::*;

    fn draft(fields: &str) -> Result<Draft, String> {
        match op::parse(&format!(r#"{{"op":"schedule","key":"k",{fields}}}"#)) {
            Ok(Op::Job(_, Action::Schedule(draft))) => Ok(draft),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_line_may_have_a_rule_in_place_of_a_time() {
        let every = |seconds| Recurrence::every(Duration::from_secs(seconds)).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (fields, rule) in [
            (r#""every":"5s""#, every(5)),
            (r#""every":5"#, every(5)),
            (
                r#""every":"1h","from":"2026-12-01T10:00:00+01:00""#,
                every(3600).from(at("2026-12-01T09:00:00Z")).unwrap(),
            ),
            (
                r#""every":"1h","until":1796115600,"count":3"#,
                every(3600).until(at("2026-12-01T09:00:00Z")).unwrap().count(3).unwrap(),
            ),
            (
                r#""every":"1m","anchor":0,"overlap":"after","missed":"none""#,
                every(60)
                    .anchor(at("1970-01-01T00:00:00Z"))
                    .unwrap()
                    .overlap(Overlap::After)
                    .missed(Missed::None),
            ),
            (
                r#""every":"1m","missed":"all","missed_max":7"#,
                every(60).missed(Missed::All { max: NonZeroU32::new(7).unwrap() }),
            ),
            (
                r#""cron":"*/2 * * * * *","zone":"Europe/Berlin""#,
                Recurrence::cron("*/2 * * * * *", "Europe/Berlin").unwrap(),
            ),
            (r#""cron":"0 9 * * MON""#, Recurrence::cron("0 9 * * MON", "UTC").unwrap()),
        ] {
            let draft = draft(fields).unwrap();
            assert_eq!((draft.due, draft.options.recurrence()), (None, Some(&rule)), "{fields}");
        }
        assert!(draft(r#""every":"5s","in":1"#).unwrap().due.is_some());
        assert!(draft(r#""recurrence":{"every":"5s"}"#).unwrap().options.recurrence().is_some());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (fields, said) in [
            (r#""zone":"UTC","in":1"#, "`zone` has no meaning for schedule"),
            (r#""count":1,"in":1"#, "`count` has no meaning for schedule"),
            (r#""every":"5s","zone":"UTC""#, "`zone` has no meaning for a rule without `cron`"),
            (r#""every":"5s","cron":"* * * * *""#, "there are two rules"),
            (r#""every":"5s","recurrence":{"every":"5s"}"#, "there are two rules"),
            (r#""every":"0s""#, "`every`: the interval is 0s, and the shortest is 1 ms"),
            (r#""every":-5"#, "`every`: -5 is negative"),
            (r#""every":"-5s""#, "`every`: \"-5s\" is negative"),
            (r#""every":1e300"#, "`every`: 1e300 is out of range"),
            (r#""every":"9999999999999w""#, "is out of range"),
            (r#""every":true"#, "`every` is true, and must be a string or a number of seconds"),
            (r#""cron":7"#, "`cron` is 7, and must be a string"),
            (r#""cron":"* * * *""#, "`cron`: the cron expression has 4 fields"),
            (
                r#""cron":"0 0 31 2 *""#,
                "`cron`: the cron expression \"0 0 31 2 *\" names no day that there is",
            ),
            (r#""cron":"61 * * * *""#, "`cron`: the cron expression has \"61\" for the minute"),
            (r#""cron":"0 9 * * *","zone":"Mars/Olympus""#, "`zone`: there is no time zone \"Mars/Olympus\""),
            (r#""cron":"0 9 * * *","anchor":0"#, "`anchor`: a cron expression has no anchor"),
            (
                r#""every":"5s","from":2,"until":1"#,
                "`until`: `until` (1970-01-01T00:00:01.000000Z) lies before `from`",
            ),
            (r#""every":"5s","until":"noon""#, "`until`: \"noon\" is not a time"),
            (r#""every":"5s","count":0"#, "`count`: `count` is 0"),
            (r#""every":"5s","count":-1"#, "`count` is -1, and must be a whole number from 1 on"),
            (r#""every":"5s","count":1.5"#, "must be a whole number"),
            (r#""every":"5s","missed":"some""#, "`missed` is \"some\", and must be"),
            (
                r#""every":"5s","missed":"one","missed_max":3"#,
                "`missed_max` has no meaning for a rule without",
            ),
            (r#""every":"5s","missed":"all","missed_max":0"#, "`missed_max` is 0, and must be"),
            (r#""every":"5s","overlap":true"#, "`overlap` is true, and must be a string"),
        ] {
            let error = draft(fields).unwrap_err();
            assert!(error.contains(said), "{fields}: {error}");
        }
        let long = draft(&format!(r#""cron":"0 9 * * *","zone":"{}""#, "x".repeat(1_000_000))).unwrap_err();
        assert!(long.len() < 600, "{} bytes", long.len());
    }
}
