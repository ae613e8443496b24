//! What the queues of `reveille run` share, and how much each may do: options such as `--weight mails=3`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use reveille::{Builder, QueueConfig, QueueName, Rate};

use crate::jsonl::time;

/// The options about queues. A queue that is not named has none of them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct QueueArgs {
    /// How many jobs may run at a time over all queues [default: as many as each queue lets]
    #[arg(long, value_name = "JOBS", value_parser = parse_pool)]
    pool: Option<usize>,

    /// Whose jobs go first when not all can run: those of the queue with the higher number, from -128 to 127, where others
    /// have 0. Once for each queue
    #[arg(long, value_name = "QUEUE=NUMBER", requires = "pool", value_parser = of_queue::<Precedence>)]
    precedence: Vec<(String, Precedence)>,

    /// How many jobs of a queue run for one of another of the same precedence, where others have 1. Once for each queue
    #[arg(long, value_name = "QUEUE=NUMBER", requires = "pool", value_parser = of_queue::<Weight>)]
    weight: Vec<(String, Weight)>,

    /// How many jobs of a queue may start in a time, and how many of them at once: `mails=100/1s` or `mails=100/1s,20`. Once for
    /// each queue
    #[arg(long, value_name = "QUEUE=JOBS/DELAY[,JOBS]", value_parser = of_queue::<Pace>)]
    rate: Vec<(String, Pace)>,
}

#[derive(Clone, Copy, Debug)]
struct Precedence(i8);

/// At least 1.
#[derive(Clone, Copy, Debug)]
struct Weight(u16);

#[derive(Clone, Copy, Debug)]
struct Pace(Rate);

/// What was said of each queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<BTreeMap<String, OfQueue>>);

#[derive(Clone, Copy, Debug, Default)]
struct OfQueue {
    precedence: Option<i8>,
    weight: Option<u16>,
    rate: Option<Rate>,
}

impl QueueArgs {
    /// Gives an engine its pool.
    pub(super) fn apply(&self, builder: Builder) -> Builder {
        match self.pool {
            Some(jobs) => builder.pool(jobs),
            None => builder,
        }
    }

    /// What was said of each queue, for when it is made.
    pub(super) fn said(&self) -> Said {
        let mut said: BTreeMap<String, OfQueue> = BTreeMap::new();
        for (queue, Precedence(precedence)) in &self.precedence {
            said.entry(queue.clone()).or_default().precedence = Some(*precedence);
        }
        for (queue, Weight(weight)) in &self.weight {
            said.entry(queue.clone()).or_default().weight = Some(*weight);
        }
        for (queue, Pace(rate)) in &self.rate {
            said.entry(queue.clone()).or_default().rate = Some(*rate);
        }
        Said(Arc::new(said))
    }
}

impl Said {
    /// Configures the queue `name`.
    pub(super) fn apply(&self, name: &str, mut config: QueueConfig) -> QueueConfig {
        let OfQueue { precedence, weight, rate } = self.0.get(name).copied().unwrap_or_default();
        if let Some(precedence) = precedence {
            config = config.precedence(precedence);
        }
        if let Some(weight) = weight {
            config = config.weight(weight);
        }
        if let Some(rate) = rate {
            config = config.rate(rate);
        }
        config
    }
}

fn parse_pool(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=10_000) => Ok(jobs),
        _ => Err("it must be a number from 1 to 10000".into()),
    }
}

/// The name of a queue may have an equals sign, and what is said of it has none.
fn of_queue<T: FromStr<Err = String>>(text: &str) -> Result<(String, T), String> {
    let (name, said) = text.rsplit_once('=').ok_or("it is written as QUEUE=..")?;
    let name = QueueName::new(name).map_err(|error| error.to_string())?;
    Ok((name.as_str().to_owned(), said.parse()?))
}

impl FromStr for Precedence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Precedence).map_err(|_| "a precedence is a number from -128 to 127".into())
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(weight @ 1..) => Ok(Weight(weight)),
            _ => Err("a weight is a number from 1 to 65535".into()),
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "a rate is written as 100/1s, or as 100/1s,20 with how many may start at once";
        let jobs = |text: &str| text.parse::<NonZeroU32>().map_err(|_| FORM.to_owned());
        let (starts, rest) = text.split_once('/').ok_or(FORM)?;
        let (period, burst) =
            rest.split_once(',').map_or((rest, None), |(period, burst)| (period, Some(burst)));
        let period = time::parse_delay(period).map_err(|error| error.to_string())?;
        if period.is_zero() {
            return Err("the time of a rate is longer than nothing".into());
        }
        let rate = Rate::new(jobs(starts)?, period);
        let burst = burst.map(jobs).transpose()?;
        Ok(Pace(burst.map_or(rate, |burst| rate.burst(burst))))
    }
}
