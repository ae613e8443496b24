//! `reveille bench burst`: many jobs due at one instant, beside as many tokio sleeps; and jobs of another queue that are due
//! in the middle of it.
//!
//! All ways take turns, for some rounds, so that they meet the same conditions. What is told of a way is the median of its
//! rounds, and the lateness of the other queue's jobs in all of them. A handler reads the clock, and does nothing else.

mod begun;
mod ways;

use std::fmt;

use serde::Serialize;

use super::Error;
use super::late::{Late, Seen};
use crate::figures::grouped;
use ways::Way;

/// The arguments of `reveille bench burst`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many jobs are due at one instant; several numbers, one after the other
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    jobs: Vec<u32>,

    /// How often each way takes its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    rounds: u32,
    bursts: Vec<Burst>,
}

#[derive(Debug, Serialize)]
struct Burst {
    jobs: u32,
    /// The floor: as many sleeping tasks.
    tokio_sleep: Came,
    async_handler: Came,
    inline_handler: Came,
}

/// The result of one way of firing.
#[derive(Debug, Serialize)]
struct Came {
    /// How late the first one began, half of them had begun, and the last one began: the medians of the rounds.
    first_ms: f64,
    half_ms: f64,
    last_ms: f64,
    /// How many times as long as the floor the last one took.
    to_floor: Option<f64>,
    rounds: Vec<Round>,
    /// Jobs of another queue that were due before the last one began: how many in all rounds, and how late they began.
    others: u64,
    others_late: Option<Late>,
}

/// One turn of a way.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    first_ms: f64,
    half_ms: f64,
    last_ms: f64,
}

pub(super) async fn run(args: &Args) -> Result<Report, Error> {
    let mut bursts = Vec::new();
    for &jobs in &args.jobs {
        bursts.push(Burst::measure(jobs, args.rounds).await?);
    }
    Ok(Report { rounds: args.rounds, bursts })
}

impl Burst {
    async fn measure(jobs: u32, rounds: u32) -> Result<Self, Error> {
        let mut turns = [Turns::new()?, Turns::new()?, Turns::new()?];
        for _ in 0..rounds {
            for (way, turns) in Way::ALL.into_iter().zip(&mut turns) {
                turns.add(way.fire(jobs).await?)?;
            }
        }
        let [tokio_sleep, async_handler, inline_handler] = turns.map(Turns::came);
        let floor_ms = tokio_sleep.last_ms;
        let beside = |came: Came| Came { to_floor: Some(came.last_ms / floor_ms), ..came };
        let (async_handler, inline_handler) = (beside(async_handler), beside(inline_handler));
        Ok(Burst { jobs, tokio_sleep, async_handler, inline_handler })
    }
}

/// The turns of one way.
struct Turns {
    rounds: Vec<Round>,
    others: Seen,
}

impl Turns {
    fn new() -> Result<Self, Error> {
        Ok(Turns { rounds: Vec::new(), others: Seen::new()? })
    }

    fn add(&mut self, fired: ways::Fired) -> Result<(), Error> {
        let ways::Fired { instant_ns, burst, others } = fired;
        let mut at_ns = burst.all().ok_or("not all jobs have fired")?;
        let others_ns = others.all().ok_or("not all jobs of the other queue have fired")?;
        at_ns.sort_unstable();
        let ms = |at: usize| (at_ns[at] - instant_ns) as f64 / 1e6;
        let (half, last) = (at_ns.len() / 2, at_ns.len() - 1);
        self.rounds.push(Round { first_ms: ms(0), half_ms: ms(half), last_ms: ms(last) });
        for (n, &began_ns) in (0..).zip(&others_ns) {
            let due_ns = ways::other_ns(instant_ns, n);
            if due_ns < at_ns[last] {
                self.others.record(began_ns - due_ns);
            }
        }
        if at_ns[0] < instant_ns || self.others.early() > 0 {
            return Err("a job fired before its time".into());
        }
        Ok(())
    }

    fn came(self) -> Came {
        let Turns { rounds, others } = self;
        let median =
            |part: fn(&Round) -> f64| super::median(&mut rounds.iter().map(part).collect::<Vec<_>>());
        Came {
            first_ms: median(|round| round.first_ms),
            half_ms: median(|round| round.half_ms),
            last_ms: median(|round| round.last_ms),
            to_floor: None,
            others: others.len(),
            others_late: (others.len() > 0).then(|| others.late()),
            rounds,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nJobs due at one instant, in ms after it; the medians of {} rounds\n", self.rounds)?;
        let columns = ["first", "half", "last", "to tokio"].map(|column| format!("{column:>10}")).concat();
        writeln!(f, "  {:<28}{columns}   another queue's, due meanwhile: ms late", "")?;
        for Burst { jobs, tokio_sleep, async_handler, inline_handler } in &self.bursts {
            let jobs = grouped(u64::from(*jobs));
            let rows = [
                ("tokio sleeps", tokio_sleep),
                ("async handlers", async_handler),
                ("inline handlers", inline_handler),
            ];
            for (name, came) in rows {
                writeln!(f, "  {:<28}{came}", format!("{jobs} {name}"))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Came { first_ms, half_ms, last_ms, to_floor, others, others_late, .. } = self;
        write!(f, "{first_ms:>10.1}{half_ms:>10.1}{last_ms:>10.1}")?;
        let to_floor = to_floor.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
        write!(f, "{to_floor:>10}")?;
        let Some(Late { p50_us, p99_us, max_us, .. }) = others_late else { return Ok(()) };
        let [p50, p99, max] = [p50_us, p99_us, max_us].map(|us| us / 1e3);
        write!(f, "   p50 {p50:.2}, p99 {p99:.2}, max {max:.2}, of {}", grouped(*others))
    }
}
