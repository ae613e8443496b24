//! The result: a table and a drawn histogram, or one JSON object.

use std::io::{self, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use hdrhistogram::Histogram;
use reveille::Lateness;
use serde::Serialize;

use super::morning::Morning;
use super::plan::Fate;
use crate::figures::grouped;

/// The report of the morning. Serialised as it is for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    scheduled: u64,
    rescheduled: u64,
    cancelled: u64,
    fired: u64,
    early: u64,
    lost: u64,
    fired_after_cancel: u64,
    spread_late_us: Percentiles,
    burst: Burst,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Kept>,
    #[serde(skip)]
    drawn: Drawn,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Burst {
    jobs: u64,
    last_start_us: u64,
}

/// What the report says about the store.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    /// Schedules that it has confirmed, and how long it took until the last was.
    acknowledged: u64,
    acknowledging_us: u64,
    /// How long the store took to confirm a change, by batch.
    commit_delay_us: Percentiles,
    /// Jobs that it still held at the end.
    pending_at_end: u64,
}

/// Figures that only the table shows.
#[derive(Debug)]
struct Drawn {
    fired_twice: u64,
    scheduling_us: u64,
    spread: Histogram<u64>,
    burst: Histogram<u64>,
}

impl Kept {
    pub(super) fn of(morning: &Morning, delay: Lateness, pending: usize) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let Lateness { p50, p99, p999, max, .. } = delay;
        Kept {
            acknowledged: morning.acknowledged.load(SeqCst),
            acknowledging_us: morning.acknowledging_us.load(SeqCst),
            commit_delay_us: Percentiles { p50: us(p50), p99: us(p99), p999: us(p999), max: us(max) },
            pending_at_end: pending as u64,
        }
    }

    fn row(&self) -> (&'static str, u64, String) {
        let seconds = self.acknowledging_us as f64 / 1e6;
        let rate = (self.acknowledged as f64 / seconds) as u64;
        ("acknowledged", self.acknowledged, format!("in {seconds:.2} s, {} a second", grouped(rate)))
    }
}

impl Report {
    pub(super) fn of(morning: &Morning, store: Option<Kept>) -> Self {
        let (mut spread, mut burst) = (histogram(), histogram());
        let (mut early, mut lost, mut fired_after_cancel, mut fired_twice) = (0, 0, 0, 0);
        for (job, seen) in morning.plan.jobs.iter().zip(&morning.seen) {
            let is_cancelled = seen.is_cancelled.load(SeqCst) > 0;
            match seen.times_fired.load(SeqCst) {
                0 => {
                    lost += u64::from(!is_cancelled);
                    continue;
                }
                times => fired_twice += u64::from(times > 1),
            }
            fired_after_cancel += u64::from(is_cancelled);
            let lateness_us = seen.lateness_us.load(SeqCst);
            early += u64::from(lateness_us < 0);
            let of = if job.fate == Fate::Burst { &mut burst } else { &mut spread };
            of.saturating_record(lateness_us.max(0).unsigned_abs());
        }
        Report {
            scheduled: morning.scheduled.load(SeqCst),
            rescheduled: morning.rescheduled.load(SeqCst),
            cancelled: morning.cancelled.load(SeqCst),
            fired: morning.fired.load(SeqCst),
            early,
            lost,
            fired_after_cancel,
            spread_late_us: Percentiles::of(&spread),
            burst: Burst { jobs: burst.len(), last_start_us: burst.max() },
            store,
            drawn: Drawn { fired_twice, scheduling_us: morning.scheduling_us.load(SeqCst), spread, burst },
        }
    }

    /// The first promise that did not hold.
    pub(super) fn broken_promise(&self) -> Option<String> {
        let promises = [
            (self.early, "fired before their due time"),
            (self.lost, "were neither fired nor cancelled"),
            (self.fired_after_cancel, "fired after they were cancelled"),
            (self.drawn.fired_twice, "fired more than once"),
            (self.store.as_ref().map_or(0, |store| store.pending_at_end), "are still pending in the store"),
        ];
        let (jobs, what) = promises.into_iter().find(|&(jobs, _)| jobs > 0)?;
        Some(format!("{jobs} jobs {what}"))
    }

    pub(super) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)
    }

    pub(super) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let seconds = self.drawn.scheduling_us as f64 / 1e6;
        let rate = (self.scheduled as f64 / seconds) as u64;
        writeln!(out, "\nA ticket-sale morning\n")?;
        let mut rows =
            vec![("scheduled", self.scheduled, format!("in {seconds:.2} s, {} a second", grouped(rate)))];
        rows.extend(self.store.as_ref().map(Kept::row));
        rows.extend([
            ("rescheduled", self.rescheduled, "by key, while others fired".into()),
            ("cancelled", self.cancelled, "by key, while others fired".into()),
            ("fired", self.fired, String::new()),
            ("fired early", self.early, String::new()),
            ("lost", self.lost, String::new()),
            ("fired after cancel", self.fired_after_cancel, String::new()),
        ]);
        for (name, jobs, note) in rows {
            writeln!(out, "{}", format!("  {name:<20} {:>12}   {note}", grouped(jobs)).trim_end())?;
        }
        writeln!(out, "\n  {:<28} {:>9} {:>9} {:>9} {:>9}", "how late, in µs", "p50", "p99", "p99.9", "max")?;
        let spread = format!("{} spread over 9 s", grouped(self.drawn.spread.len()));
        write_percentiles(&mut out, &spread, self.spread_late_us)?;
        let burst = format!("{} at one instant", grouped(self.burst.jobs));
        write_percentiles(&mut out, &burst, Percentiles::of(&self.drawn.burst))?;
        if let Some(store) = &self.store {
            write_percentiles(&mut out, "until the store has a change", store.commit_delay_us)?;
        }
        writeln!(out)?;
        draw(&mut out, &self.drawn.spread, &self.drawn.burst)
    }
}

fn write_percentiles(out: &mut impl Write, name: &str, late_us: Percentiles) -> io::Result<()> {
    let [p50, p99, p999, max] = [late_us.p50, late_us.p99, late_us.p999, late_us.max].map(grouped);
    writeln!(out, "  {name:<28} {p50:>9} {p99:>9} {p999:>9} {max:>9}")
}

/// Draws how many jobs were how late: steps of 1, 2, 5, 10 and so on, spread jobs and burst beside each other.
fn draw(out: &mut impl Write, spread: &Histogram<u64>, burst: &Histogram<u64>) -> io::Result<()> {
    const WIDTH: f64 = 30.0;
    let max = spread.max().max(burst.max());
    let bounds: Vec<u64> =
        steps().take_while(|&bound| bound <= max).chain(steps().find(|&bound| bound > max)).collect();
    let count = |of: &Histogram<u64>, n: usize| {
        let from = n.checked_sub(1).map_or(0, |below| bounds[below]);
        of.count_between(from, bounds[n] - 1)
    };
    let rows = 0..bounds.len();
    let most = |of: &Histogram<u64>| rows.clone().map(|n| count(of, n)).max().unwrap_or(0).max(1) as f64;
    let (most_spread, most_burst) = (most(spread), most(burst));
    writeln!(out, "  {:<14} {:<41} burst", "late by", "spread")?;
    for n in rows.clone().skip_while(|&n| count(spread, n) + count(burst, n) == 0) {
        let bar = |jobs: u64, most: f64| "█".repeat((jobs as f64 / most * WIDTH).ceil() as usize);
        let (in_spread, in_burst) = (count(spread, n), count(burst, n));
        let left = format!("{} {}", bar(in_spread, most_spread), shown(in_spread));
        let right = format!("{} {}", bar(in_burst, most_burst), shown(in_burst));
        let row = format!("  under {:<8} {left:<41} {right}", duration(bounds[n]));
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

fn shown(jobs: u64) -> String {
    if jobs == 0 { String::new() } else { grouped(jobs) }
}

fn steps() -> impl Iterator<Item = u64> {
    (0..12).flat_map(|power| [1, 2, 5].map(|step| step * 10u64.pow(power)))
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .expect("the bounds are constants within hdrhistogram's limits")
}

impl Percentiles {
    fn of(late_us: &Histogram<u64>) -> Self {
        let at = |quantile| late_us.value_at_quantile(quantile);
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: late_us.max() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_drawn_once() {
        let (mut spread, mut burst) = (histogram(), histogram());
        for us in [0, 1, 2, 9, 10, 11, 999, 1_000, 77_777] {
            spread.record(us).unwrap();
        }
        burst.record(5).unwrap();
        let mut out = Vec::new();
        draw(&mut out, &spread, &burst).unwrap();
        let text = String::from_utf8(out).unwrap();
        // The count follows its bar.
        let words: Vec<_> = text.split_whitespace().collect();
        let counts = words.windows(2).filter(|pair| pair[0].contains('█')).map(|pair| pair[1]);
        assert_eq!(counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 10, "{text}");
        assert!(text.contains("under 100 ms"), "{text}");
        assert!(!text.contains("under 200 ms"), "{text}");
    }
}
